/* experiment record_2k
   seed       1000
   run        7c760af0954b4ad995e2da697f76cc79
   weights    as trained
   data       mnist

   Weights are int8, maps uint8, sums int32; a sum becomes a byte by a multiplier and a shift: see requantise. */
#include "mnist_2k.h"

/* floor(sum * multiplier / 2^shift + 1/2), limited to -2^30 ... 2^30; shift is 1 to 46.
   2^62 is added before the shift and taken away after it, because C leaves to the compiler how it shifts what is below 0. */
static int32_t requantise(int32_t sum, int16_t multiplier, uint8_t shift)
{
    const uint64_t above = (uint64_t)1 << 62, half = ((uint64_t)1 << shift) >> 1;
    const uint64_t moved = ((uint64_t)((int64_t)sum * multiplier) + half + above) >> shift;
    const int64_t result = (int64_t)moved - (int64_t)(above >> shift), limit = (int64_t)1 << 30;
    return (int32_t)(result < -limit ? -limit : result > limit ? limit : result);
}

static uint8_t to_byte(int32_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* A function, 11 bits after the binary point, of a number with 12: straight between 129 values from -8 to 8, and beyond
   them as the first and the last line go on. 2^30 is added before the division and taken away after it, because C
   rounds what is below 0 up. */
static int32_t curve(const int16_t *table, int32_t number)
{
    const int32_t place = (number < -2097152 ? -2097152 : number > 2097152 ? 2097152 : number) + 32768;
    const int32_t index = place < 0 ? 0 : place > 65535 ? 127 : place / 512, rest = place - index * 512;
    const int32_t along = (table[index + 1] - table[index]) * rest + 256;
    return table[index] + (along + 1073741824) / 512 - 2097152;
}

struct window {
    int16_t width, channels, out_height, out_width, rows, columns, stride_y, stride_x;
};

/* The largest number of a window, and the sum of all. */
static int32_t window(const struct window *p, const uint8_t *in, int32_t row, int32_t column, int32_t *total)
{
    int32_t largest = 0, sum = 0;
    for (int32_t i = 0; i < p->rows; i++)
        for (int32_t j = 0; j < p->columns; j++) {
            const int32_t y = row * p->stride_y + i, x = column * p->stride_x + j;
            const int32_t number = in[(y * p->width + x) * p->channels];
            largest = number > largest ? number : largest;
            sum += number;
        }
    *total = sum;
    return largest;
}

static void max_pool(const struct window *p, const uint8_t *in, uint8_t *out)
{
    for (int32_t row = 0; row < p->out_height; row++)
        for (int32_t column = 0; column < p->out_width; column++)
            for (int32_t channel = 0; channel < p->channels; channel++) {
                int32_t sum;
                *out++ = (uint8_t)window(p, in + channel, row, column, &sum);
            }
}

struct average {
    struct window window;
    int32_t offset; /* zero times the numbers of a window */
    int16_t multiplier;
    uint8_t shift, zero;
};

/* The average of each window as bytes or, where those are none, its sum in 32 bits. */
static void average(const struct average *p, const uint8_t *in, uint8_t *out, int32_t *wide)
{
    for (int32_t row = 0; row < p->window.out_height; row++)
        for (int32_t column = 0; column < p->window.out_width; column++)
            for (int32_t channel = 0; channel < p->window.channels; channel++) {
                int32_t sum;
                (void)window(&p->window, in + channel, row, column, &sum);
                if (wide)
                    *wide++ = sum - p->offset;
                else
                    *out++ = to_byte(requantise(sum - p->offset, p->multiplier, p->shift) + p->zero);
            }
}

struct conv {
    const int8_t *weights;     /* [outputs][rows][columns][inputs / groups] */
    const int32_t *bias;       /* [outputs] */
    const int16_t *multiplier; /* [outputs], of sums from 0 up */
    const int16_t *negative;   /* [outputs], of sums below 0; none: as above */
    const uint8_t *shift;      /* [outputs] */
    const uint8_t *border;     /* [inputs], what surrounds the map; none: 0 */
    int16_t height, width, inputs, out_height, out_width, outputs;
    int16_t rows, columns, stride_y, stride_x, dilation_y, dilation_x, pad_y, pad_x, groups;
    uint8_t zero;
};

static int32_t dot(const uint8_t *numbers, const int8_t *weights, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += (int32_t)numbers[i] * weights[i];
    return sum;
}

/* The sum of one output of a convolution, times its multiplier. */
static int32_t convolved(const struct conv *p, const uint8_t *in, int32_t row, int32_t column, int32_t output)
{
    const int32_t inputs = p->inputs / p->groups, outputs = p->outputs / p->groups, line = p->columns * inputs;
    const int32_t x = column * p->stride_x - p->pad_x, first = output / outputs * inputs;
    const int8_t *weights = p->weights + output * p->rows * line;
    int32_t sum = p->bias[output];
    for (int32_t i = 0; i < p->rows; i++, weights += line) {
        const int32_t y = row * p->stride_y - p->pad_y + i * p->dilation_y;
        const int inside = y >= 0 && y < p->height;
        if (inside && x >= 0 && x + p->columns <= p->width && p->dilation_x == 1 && p->groups == 1) {
            sum += dot(in + (y * p->width + x) * p->inputs, weights, line); /* in one go */
            continue;
        }
        for (int32_t j = 0; j < p->columns; j++) {
            const int32_t at = x + j * p->dilation_x;
            if (inside && at >= 0 && at < p->width)
                sum += dot(in + (y * p->width + at) * p->inputs + first, weights + j * inputs, inputs);
            else if (p->border)
                sum += dot(p->border + first, weights + j * inputs, inputs);
        }
    }
    return requantise(sum, (p->negative && sum < 0 ? p->negative : p->multiplier)[output], p->shift[output]);
}

struct curved {
    struct conv conv;
    const int16_t *table;
    const int16_t *by;       /* [outputs] multipliers of the curve, or one for all */
    const uint8_t *by_shift; /* as many */
    const uint8_t *zeros;    /* as many */
    uint8_t each;            /* 1: one for each output */
};

/* A convolution whose sums, 12 bits after the binary point, pass a curve before they are bytes. */
static void curved(const struct curved *p, const uint8_t *in, uint8_t *out)
{
    for (int32_t row = 0; row < p->conv.out_height; row++)
        for (int32_t column = 0; column < p->conv.out_width; column++)
            for (int32_t output = 0; output < p->conv.outputs; output++) {
                const int32_t number = curve(p->table, convolved(&p->conv, in, row, column, output));
                const int32_t i = output * p->each;
                *out++ = to_byte(requantise(number, p->by[i], p->by_shift[i]) + p->zeros[i]);
            }
}

struct linear {
    const int8_t *weights;     /* [outputs][inputs / groups] */
    const int32_t *bias;       /* [outputs] */
    const int16_t *multiplier; /* [outputs], of sums from 0 up */
    const int16_t *negative;   /* [outputs], of sums below 0; none: as above */
    const uint8_t *shift;      /* [outputs] */
    int16_t inputs, outputs, groups;
    uint8_t zero;
};

/* A linear layer, and its activation, of numbers of 32 bits; into bytes or, where those are none, into 32 bits. */
static void linear(const struct linear *p, const int32_t *in, uint8_t *out, int32_t *wide)
{
    const int32_t inputs = p->inputs / p->groups, outputs = p->outputs / p->groups;
    for (int32_t output = 0; output < p->outputs; output++) {
        const int32_t *numbers = in + output / outputs * inputs;
        int32_t sum = p->bias[output];
        for (int32_t i = 0; i < inputs; i++)
            sum += numbers[i] * p->weights[output * inputs + i];
        sum = requantise(sum, (p->negative && sum < 0 ? p->negative : p->multiplier)[output], p->shift[output]);
        if (wide)
            wide[output] = sum;
        else
            out[output] = to_byte(sum + p->zero);
    }
}

static const int8_t step0_weights[54] = {
    33, -15, -94, 8, -116, 40, -127, -20, 39, -6, -127, -87, -5, -33, 33, 88, 98, 98, 59, 6,
    -127, 110, -18, -83, 123, 34, -24, -74, -33, 64, -127, -13, 82, -81, 37, 65, -61, 15, 48, -22,
    -127, -34, 43, 22, -42, -79, -33, 33, 3, 109, 18, 127, -16, -90};
static const int32_t step0_bias[6] = {
    9392, 7334, -8693, 6277, 7122, -8237};
static const int16_t step0_multiplier[6] = {
    28076, 25923, 30165, 31398, 19413, 28553};
static const uint8_t step0_shift[6] = {
    16, 17, 17, 17, 15, 17};
static const int16_t step0_table[129] = {
    -5, -6, -7, -8, -8, -9, -11, -12, -13, -15, -16, -18, -20, -22, -25, -27, -30, -34, -37, -41,
    -46, -51, -56, -62, -69, -76, -83, -92, -101, -111, -122, -134, -147, -161, -176, -193, -210, -229, -248, -269,
    -291, -314, -338, -363, -388, -414, -439, -464, -488, -511, -531, -548, -560, -568, -570, -565, -551, -527, -493, -446,
    -387, -313, -224, -120, 0, 136, 288, 455, 637, 834, 1043, 1265, 1497, 1739, 1990, 2248, 2512, 2780, 3053, 3329,
    3608, 3888, 4169, 4450, 4732, 5013, 5294, 5574, 5853, 6131, 6408, 6683, 6958, 7231, 7504, 7775, 8045, 8314, 8582, 8849,
    9115, 9380, 9645, 9908, 10171, 10434, 10696, 10957, 11218, 11479, 11739, 11998, 12258, 12517, 12775, 13034, 13292, 13550, 13808, 14065,
    14323, 14580, 14837, 15095, 15352, 15608, 15865, 16122, 16379};
static const int16_t step0_by[1] = {
    30243};
static const uint8_t step0_by_shift[1] = {
    20};
static const uint8_t step0_zeros[1] = {
    16};
static const struct curved step0 = {{step0_weights, step0_bias, step0_multiplier, 0, step0_shift, 0, 28, 28, 1, 26, 26, 6, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step0_by, step0_by_shift, step0_zeros, 0};
static const int8_t step1_weights[324] = {
    -90, -65, 10, -87, 93, -55, -106, -82, 12, -81, 26, -79, 5, -125, -6, -71, 3, -60, 25, 19,
    -83, -43, 71, -16, 32, 7, -121, -41, -9, 12, 47, 39, -75, -2, -56, 9, 127, 44, -54, 112,
    -53, 49, 51, 50, 22, 87, -95, 80, 35, 69, 71, 69, -82, 87, 0, 18, 64, -29, 33, -71,
    37, 62, 4, -57, 62, -51, 75, 12, -25, 60, 55, 29, -91, 107, 53, -29, 65, 17, -50, 89,
    -6, -58, 30, 45, -1, 30, -3, 5, -72, 53, -127, -30, 12, -19, 52, -9, -124, 22, -11, -5,
    20, -57, -74, 92, 54, -15, -72, 1, 24, -29, 14, 84, -13, -34, -55, -10, 40, 45, -69, -3,
    -51, -37, 36, 64, -127, -27, -8, -25, -1, 96, -41, 50, -38, -41, 29, 44, -92, 5, -55, -84,
    30, 66, -44, -50, 11, -56, 20, 18, -118, 8, -8, -36, 34, 4, -71, -47, -11, -12, 31, 0,
    -12, 14, 40, 78, -82, 9, -56, 5, -38, 13, -59, 2, -127, 37, -30, -23, -40, -28, -125, 7,
    48, 48, -62, -35, -110, 112, -33, -8, -11, -32, -123, 12, -10, -93, -24, -93, -76, -28, 63, -15,
    14, -33, -73, 19, 95, -30, -15, -108, -54, -7, 41, 7, -30, 22, 36, -33, -61, 5, 34, -30,
    16, -9, -127, 39, 22, -67, 15, -23, -80, 35, -10, 30, -51, 52, -64, -16, -26, -34, 11, -13,
    -64, 13, -18, -51, -16, -4, -91, 11, -21, -48, 12, 20, -30, -57, -71, 13, 42, -68, -14, -35,
    -64, 18, 26, -26, -11, -7, -6, -6, 21, -6, -20, 2, 2, 21, -7, -25, -47, -28, -20, -34,
    28, 29, -37, -48, -74, 18, 14, -35, -1, 7, -35, -3, -64, -50, -66, 39, 82, -18, -2, 5,
    -5, -34, -72, 44, 7, 9, 72, -68, -44, -14, -39, -13, -59, 50, 127, -57, -16, -12, -23, -11,
    -32, 10, 23, 31};
static const int32_t step1_bias[6] = {
    6257, -265, 39502, 48293, 27240, 7876};
static const int16_t step1_multiplier[6] = {
    29532, 20945, 29830, 16745, 23995, 28413};
static const uint8_t step1_shift[6] = {
    17, 17, 17, 16, 16, 16};
static const int16_t step1_by[1] = {
    20572};
static const uint8_t step1_zeros[1] = {
    11};
static const struct curved step1 = {{step1_weights, step1_bias, step1_multiplier, 0, step1_shift, 0, 26, 26, 6, 24, 24, 6, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step1_by, step0_by_shift, step1_zeros, 0};
static const struct window step2 = {24, 6, 12, 12, 2, 2, 2, 2};
static const int8_t step3_weights[324] = {
    -18, 13, -30, 28, 56, -24, 45, 44, -28, 44, 42, -52, 57, 5, 33, 61, 41, -32, -41, -47,
    54, 10, -13, 27, 2, -72, 38, 44, 23, 5, -10, -76, 61, -13, 51, 27, -53, -43, 49, -67,
    -111, 98, -42, -5, -36, -110, -21, 41, -57, -127, 7, -103, -3, -6, -28, 54, -91, 40, -1, -6,
    -23, 21, -91, 8, -51, -23, -40, -57, -100, 8, -58, -19, 48, 49, -81, -25, 35, 45, 7, 40,
    -13, -102, 36, 31, -106, 19, -94, -127, 22, 21, 24, -16, 25, 24, -42, 32, -19, -31, 70, -45,
    -51, 46, -83, -16, -31, -106, -20, -3, -59, 31, -9, -28, 26, -13, 10, 4, 5, -45, 27, -19,
    -19, 36, -16, -52, 52, 8, 9, -6, -17, 44, 69, -68, -12, -39, 12, 23, 47, -52, -45, -46,
    13, -10, 28, -2, 127, -70, -5, 74, 6, -90, 34, -46, 6, 34, -30, -28, -12, -75, 30, 4,
    -56, 26, -43, -4, -2, -4, -7, 13, -17, -19, -9, -7, -42, 4, 52, -36, -20, -12, -127, -14,
    -41, -31, 19, 21, -25, 3, -3, -53, 10, -1, -40, -36, 27, -13, 0, 22, -72, -32, -5, -87,
    15, 29, -86, -33, -5, -39, -8, -36, -2, -15, -16, -19, 10, 4, 1, 12, -4, -6, -8, 20,
    -66, -83, -23, 4, 8, 76, -13, -8, -15, 11, 0, 40, 65, 34, -127, -69, 26, -18, -8, 21,
    -29, 2, 5, 19, 36, 47, 13, 15, 33, 36, 13, 36, -6, -22, 2, -71, 32, 68, 9, 20,
    -52, 16, 27, 24, -41, -18, -10, 62, 0, -20, -66, -15, 31, -38, 26, -71, -78, 33, 114, 6,
    7, -18, -39, -22, 17, 73, -9, -90, 68, -30, -125, -40, 9, -33, 41, -22, -91, -13, 7, -127,
    30, -55, -119, 2, -33, -57, 13, 6, -86, 12, 1, -25, 43, 5, 26, -19, -27, 50, -15, 48,
    -31, -17, 17, 69};
static const int32_t step3_bias[6] = {
    7375, 48614, 17018, 31111, -6742, 24296};
static const int16_t step3_multiplier[6] = {
    22679, 23933, 20970, 19957, 17620, 19913};
static const int16_t step3_by[1] = {
    27854};
static const uint8_t step3_zeros[1] = {
    15};
static const struct curved step3 = {{step3_weights, step3_bias, step3_multiplier, 0, step1_shift, 0, 12, 12, 6, 10, 10, 6, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step3_by, step0_by_shift, step3_zeros, 0};
static const int8_t step4_weights[378] = {
    65, -53, 54, 1, -23, -54, 65, 28, 61, -84, 5, 0, -56, 88, 41, -68, 55, -20, 73, -5,
    -79, 41, 94, -52, -68, 56, -14, 40, 75, 21, -43, -37, 11, 10, 48, 18, -11, 43, -59, -11,
    127, -31, -51, 21, 28, -43, 48, 0, 64, -56, 8, 42, -3, -7, 19, 43, 39, -24, 13, -20,
    37, 30, -9, 11, 8, -5, -20, 106, -59, 15, 14, 40, -26, 35, 31, 45, -76, -84, 3, 29,
    -37, 14, -20, -127, -1, 85, -37, 20, -48, -9, -53, -28, 42, 3, -61, -65, 5, 16, -18, 22,
    -33, -87, 22, 19, 9, 36, -19, 38, 43, 11, -33, -7, 28, -33, -31, 12, 24, -35, -15, -29,
    -55, 17, 30, -10, -41, -18, -36, -21, 3, 17, 22, 4, -90, 12, 13, 28, 37, 41, -118, -12,
    45, 31, 45, -26, -115, -21, -69, -46, -71, 9, -95, -127, -38, 9, -54, 11, -66, -126, 51, 40,
    -44, -93, -57, 30, -11, 54, -34, 26, -59, -71, -99, 103, -74, -4, -12, -95, -62, 79, 32, -33,
    -71, 54, 13, -55, 14, 25, -17, -10, -22, -47, 60, 84, 12, 17, -31, -41, 93, 29, -81, 34,
    23, -71, 58, 64, -64, 92, 55, -90, -33, 88, -70, 36, 31, -127, 7, 36, 20, -52, 20, 1,
    33, -113, -9, 4, -40, 36, -21, -50, 40, -7, -107, 127, -65, 23, -33, -38, -41, -30, 24, -99,
    -25, -13, -72, 46, -14, 3, -79, -11, -95, 43, 22, 42, -24, 36, 75, -57, 5, -75, 13, -37,
    -40, -92, 71, -6, -26, -26, -42, -108, -14, -46, 21, -78, -9, -37, -41, 42, 48, -71, -59, -48,
    -48, 81, 22, 7, -99, -62, -88, 127, 18, -3, 1, 11, 13, -67, 50, 27, -3, 31, -8, -26,
    39, 73, 31, -28, 28, 7, -32, 40, 3, 50, -1, -27, 6, -30, -26, 32, -6, 58, 22, -4,
    -18, -39, 62, 44, 9, -30, 15, -114, 5, 37, 31, -11, 55, -121, 9, 8, -31, 3, 41, -86,
    37, -2, 28, 22, 104, 36, 23, 25, 12, 21, 33, 27, -2, -29, -29, -43, -22, 17, -70, -109,
    46, 32, -9, 90, 7, 28, 24, -35, -67, 27, -85, -60, 54, -127, 2, -1, 32, -105};
static const int32_t step4_bias[7] = {
    -10368, -9185, 36082, 12863, 26089, 1636, 2290};
static const int16_t step4_multiplier[7] = {
    17977, 19597, 17522, 25831, 20755, 17270, 21421};
static const uint8_t step4_shift[7] = {
    16, 16, 16, 17, 16, 16, 16};
static const int16_t step4_by[1] = {
    26162};
static const uint8_t step4_zeros[1] = {
    14};
static const struct curved step4 = {{step4_weights, step4_bias, step4_multiplier, 0, step4_shift, 0, 10, 10, 6, 8, 8, 7, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step4_by, step0_by_shift, step4_zeros, 0};
static const struct window step5 = {8, 7, 4, 4, 2, 2, 2, 2};
static const int8_t step6_weights[693] = {
    32, -32, 35, -21, 11, -27, -55, -11, -65, 66, -47, 10, 27, -33, -2, -14, -27, -49, 27, 55,
    -65, 45, 20, 20, 127, 68, -47, -47, 11, 38, -10, -8, 16, -20, 21, -21, 42, -63, -28, -16,
    12, -32, -64, 38, 26, 59, -63, 12, -28, -13, 54, 6, 18, -10, 41, 97, -84, -14, 7, -34,
    34, -42, 95, -6, -2, 43, 8, -101, 0, 21, 7, 79, -23, 59, -17, -12, -52, 12, 57, 37,
    -34, 68, -97, 3, 14, 35, -4, -18, 7, -20, -12, -5, -27, -76, 88, 20, 72, -18, -1, -26,
    48, -1, -8, -127, -1, 73, 66, -39, 37, 50, -66, -68, 33, -59, 10, 96, 1, 1, -33, -39,
    -45, 60, 18, -41, -14, 4, -54, 18, -19, -28, -57, -7, 16, -1, 11, 30, -26, -50, -19, 21,
    -55, 24, 49, 10, 15, -50, 87, 14, -11, 30, -7, -127, 42, 14, 6, 36, 27, -8, -17, 10,
    -48, -51, 2, 7, 59, 47, 51, -1, -9, 4, -1, -18, -48, 56, -14, 6, 11, -10, -19, -1,
    -40, -3, 32, 16, -13, 5, 15, -40, 36, -68, 78, -39, -47, -54, 47, 30, 11, -27, -44, 6,
    3, 47, 32, -55, 21, 6, -27, -5, -4, 42, -5, -3, -11, 11, -14, -50, -25, 24, -82, 11,
    -58, -24, 20, -23, -39, -33, -21, -74, 46, -34, -14, -46, 56, 40, -53, 33, 35, 118, -62, -2,
    -7, -6, -39, 29, 106, -23, -13, 20, -127, -85, -5, 21, 65, -24, -73, 46, 39, 28, -29, 71,
    55, 30, -2, 54, 6, 18, 32, 5, 77, -26, 1, -18, 8, 7, -1, 98, 1, -8, -18, 23,
    -62, 0, 10, -16, -35, -33, -12, 0, -13, -22, -37, 7, -15, -13, 127, -45, -29, -90, 3, -32,
    21, 72, 10, -51, -24, -19, 15, 10, 59, 27, -16, 47, 66, 20, 33, 3, 0, -22, -30, -10,
    9, 42, 4, -24, 47, -20, 15, 10, -37, 32, -28, 54, 33, 14, 42, -4, -29, 65, 35, 49,
    10, -6, 48, -12, -72, -14, -34, -20, -22, 3, 19, -3, -61, 23, 29, 75, -11, 11, 41, 42,
    38, -18, 19, 26, 5, 80, 0, -15, -40, -10, -74, 54, 120, 127, 16, -54, -14, 38, -51, -39,
    -72, 28, 32, -41, -42, 35, 30, -24, -44, -23, -63, -7, 5, -11, -34, -17, -31, 31, -58, -56,
    21, 52, 67, -44, 2, 28, -82, 60, 19, 15, -66, 9, -54, -30, -18, -17, 82, -7, 91, -97,
    58, 2, 47, -40, -4, -15, -23, 37, -10, 1, -53, -15, -29, -38, 58, -48, -20, 94, 127, 100,
    51, 34, -66, 24, -47, -8, 31, -84, 30, -90, -80, -30, -33, -64, -24, 43, 31, -61, 58, -99,
    70, 30, 27, 19, -25, -14, 81, -12, -23, 26, 8, 7, 25, 51, 2, 30, 20, 42, 59, 18,
    -127, 100, 78, -21, 96, -22, -13, 13, 14, -22, 27, 40, 47, 8, 2, -76, 12, 14, -31, 37,
    -59, -60, -25, -62, -73, 127, 4, -8, 71, -8, -94, -7, 3, 61, 21, 57, -47, -43, -93, -15,
    -47, 9, 87, 30, -12, -11, -35, 27, -86, 51, 46, 49, -6, -100, -35, 76, 37, 6, 4, 94,
    9, 11, 14, 123, 32, 62, -8, 67, 21, 0, 43, -40, 76, 6, 15, 4, -27, -3, -48, 45,
    65, -40, -49, -79, -27, 5, -3, 28, -64, 3, -80, 68, -59, -104, 12, -17, 23, 4, 37, -59,
    -59, 38, -14, 39, -25, -31, -18, 3, -14, -85, -40, -79, 59, -105, 32, -36, -2, -28, 5, -5,
    -3, 26, -5, 28, 31, -30, -44, -2, -17, 46, -94, -44, -82, 40, -127, 37, 3, -13, -46, -10,
    -7, 59, -60, 24, 52, 22, -1, -70, -25, -65, -1, -127, -4, -12, -12, 28, -4, 28, -11, 88,
    17, -8, 21, 44, 32, 59, 47, 19, 5, 12, 21, -12, -38, -36, 7, 31, -3, -21, 10, 1,
    48, -8, -9, 9, -14, 11, -5, -45, 10, -24, 5, -45, -7, -23, 41, 17, 24, -12, -27, -63,
    25, -5, -7, -27, 42, 38, -21, 21, 0, 1, 10, -23, 47};
static const int32_t step6_bias[11] = {
    -647, 2826, 1604, 30503, -12941, -22660, 19872, 7367, -11301, 43414, -20321};
static const int16_t step6_multiplier[11] = {
    18393, 31745, 23241, 26920, 17040, 25360, 26864, 32091, 29273, 28885, 24743};
static const uint8_t step6_shift[11] = {
    15, 16, 15, 16, 15, 15, 16, 16, 16, 16, 15};
static const int16_t step6_by[1] = {
    26044};
static const uint8_t step6_by_shift[1] = {
    21};
static const uint8_t step6_zeros[1] = {
    7};
static const struct curved step6 = {{step6_weights, step6_bias, step6_multiplier, 0, step6_shift, 0, 4, 4, 7, 2, 2, 11, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step6_by, step6_by_shift, step6_zeros, 0};
static const struct average step7 = {{2, 11, 1, 1, 2, 2, 1, 1}, 28, 0, 1, 0};
static const int8_t step8_weights[110] = {
    -127, 65, -77, -6, -63, -65, -79, 40, -66, 42, -53, 4, -53, 34, 5, -79, -61, 46, -127, -70,
    46, -75, -82, 44, 41, -76, 78, -104, 49, -6, 10, -127, -4, -43, 33, 18, -27, -90, 80, -89,
    -66, -56, -127, 82, 45, 32, -86, 31, -7, -114, -25, -127, 63, -16, -65, 62, -53, -127, -73, -78,
    80, 43, 50, -85, -98, -126, -23, -11, -3, -127, -54, 0, -3, 23, 37, 26, -28, -62, -127, 43,
    58, -21, -101, -50, 29, 46, -76, -10, -118, -21, -127, -16, 122, 64, -13, -78, -42, 47, -25, 68,
    -53, -127, 15, 7, -93, -47, 3, -84, -28, 103};
static const int32_t step8_bias[10] = {
    -83, -292, -140, 73, -77, -241, 96, -274, 0, -121};
static const int16_t step8_multiplier[10] = {
    19143, 23223, 30955, 29301, 16991, 23661, 16384, 19776, 22873, 27716};
static const uint8_t step8_shift[10] = {
    15, 15, 16, 16, 15, 16, 14, 15, 16, 16};
static const struct linear step8 = {step8_weights, step8_bias, step8_multiplier, 0, step8_shift, 11, 10, 1, 0};

static int32_t words[1068]; /* every map, one after another in the same place */

int mnist_2k_predict(const uint8_t image[mnist_2k_pixels], int32_t scores[mnist_2k_classes])
{
    int best = 0;
    uint8_t *const bytes = (uint8_t *)words;

    curved(&step0, image, bytes + 216);
    curved(&step1, bytes + 216, bytes + 72);
    max_pool(&step2, bytes + 72, bytes + 0);
    curved(&step3, bytes + 0, bytes + 864);
    curved(&step4, bytes + 864, bytes + 0);
    max_pool(&step5, bytes + 0, bytes + 448);
    curved(&step6, bytes + 448, bytes + 0);
    average(&step7, bytes + 0, 0, words + 11);
    linear(&step8, words + 11, 0, scores);
    for (int i = 1; i < mnist_2k_classes; i++)
        best = scores[i] > scores[best] ? i : best;
    return best;
}
