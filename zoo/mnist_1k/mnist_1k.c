/* experiment record_1k
   seed       1000
   run        b13de775f0ed4f9d96b8d94b398866a8
   weights    as trained
   data       mnist

   Weights are int8, maps uint8, sums int32; a sum becomes a byte by a multiplier and a shift: see requantise. */
#include "mnist_1k.h"

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

static const int8_t step0_weights[36] = {
    46, -32, -95, 35, -104, 31, -127, 2, 0, -6, -127, -119, 52, -6, 0, 7, 71, 100, 17, 6,
    -79, 127, 28, -67, -15, 34, -17, -91, -43, 14, -114, 4, 69, -45, 63, 127};
static const int32_t step0_bias[4] = {
    13431, 10316, 2491, 3053};
static const int16_t step0_multiplier[4] = {
    31134, 25118, 18653, 23424};
static const uint8_t step0_shift[4] = {
    16, 16, 15, 16};
static const int16_t step0_table[129] = {
    -5, -6, -7, -8, -8, -9, -11, -12, -13, -15, -16, -18, -20, -22, -25, -27, -30, -34, -37, -41,
    -46, -51, -56, -62, -69, -76, -83, -92, -101, -111, -122, -134, -147, -161, -176, -193, -210, -229, -248, -269,
    -291, -314, -338, -363, -388, -414, -439, -464, -488, -511, -531, -548, -560, -568, -570, -565, -551, -527, -493, -446,
    -387, -313, -224, -120, 0, 136, 288, 455, 637, 834, 1043, 1265, 1497, 1739, 1990, 2248, 2512, 2780, 3053, 3329,
    3608, 3888, 4169, 4450, 4732, 5013, 5294, 5574, 5853, 6131, 6408, 6683, 6958, 7231, 7504, 7775, 8045, 8314, 8582, 8849,
    9115, 9380, 9645, 9908, 10171, 10434, 10696, 10957, 11218, 11479, 11739, 11998, 12258, 12517, 12775, 13034, 13292, 13550, 13808, 14065,
    14323, 14580, 14837, 15095, 15352, 15608, 15865, 16122, 16379};
static const int16_t step0_by[1] = {
    17062};
static const uint8_t step0_by_shift[1] = {
    20};
static const uint8_t step0_zeros[1] = {
    9};
static const struct curved step0 = {{step0_weights, step0_bias, step0_multiplier, 0, step0_shift, 0, 28, 28, 1, 26, 26, 4, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step0_by, step0_by_shift, step0_zeros, 0};
static const int8_t step1_weights[144] = {
    62, 58, -103, 92, -51, -77, -32, -18, -37, -77, 45, 11, 38, -71, -5, 16, -43, -127, 57, 58,
    -36, -57, 43, 100, -30, -109, 92, 21, 13, -61, 11, 11, -19, -5, 44, -1, -84, 44, 23, -15,
    -63, -7, 13, -57, -95, -29, 35, -46, -22, -18, -14, -127, -58, 5, 22, -64, -29, -63, 11, -11,
    -11, 12, -68, 23, 31, 28, -96, 43, 44, -9, -56, 6, 5, 13, 9, -33, 8, 66, 29, -80,
    48, -27, -71, 49, -65, 15, 8, -5, -6, 42, 17, -63, -15, 0, -5, -5, -127, 6, -8, -9,
    -85, 11, -41, -8, -51, 12, 23, -28, -8, -70, 96, -127, 39, -44, 43, -67, -58, -88, -22, -7,
    46, 0, 27, -34, 55, 32, -104, 31, -16, 45, -74, 26, -54, 52, -64, 84, -59, 59, -87, 71,
    -60, 72, -17, 2};
static const int32_t step1_bias[4] = {
    9463, 17785, 7537, 3397};
static const int16_t step1_multiplier[4] = {
    21556, 17913, 18822, 17639};
static const uint8_t step1_shift[4] = {
    16, 15, 15, 16};
static const int16_t step1_by[1] = {
    21874};
static const uint8_t step1_zeros[1] = {
    12};
static const struct curved step1 = {{step1_weights, step1_bias, step1_multiplier, 0, step1_shift, 0, 26, 26, 4, 24, 24, 4, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step1_by, step0_by_shift, step1_zeros, 0};
static const struct window step2 = {24, 4, 12, 12, 2, 2, 2, 2};
static const int8_t step3_weights[180] = {
    -7, -48, 11, -1, 64, -10, -68, 23, 5, 6, -32, -1, -54, 109, -9, 55, -13, 42, -125, 39,
    35, -42, -127, 34, -10, 55, -123, 19, 11, -103, -123, 2, 68, -34, -27, -33, -44, -28, 13, -108,
    4, -5, -46, -53, -51, -42, -91, 51, -12, 22, 46, -79, -39, -38, 28, -89, 30, -34, 17, -16,
    48, -80, -14, 17, 2, -31, -38, -82, 18, -92, 3, -127, -8, 37, -41, -25, 35, -10, -26, -50,
    65, -18, -12, 8, -101, 41, -4, 32, -35, 20, 28, 24, -18, 58, -29, -36, -30, 35, -5, -11,
    -61, 0, 38, 11, -127, -1, 7, 0, 17, -49, 43, -33, 15, 37, 35, -38, 1, 69, -23, 0,
    -39, 53, 98, 19, -12, -47, 122, -27, 127, 3, -11, 34, 15, -19, 1, 9, 84, 17, -6, -95,
    55, 62, 27, -98, 22, -7, 5, 23, -22, -37, 25, -14, 26, -127, -23, 0, 0, -44, -7, -26,
    -41, -65, 11, 9, -3, -100, -34, 40, -17, -57, 71, 50, -38, -75, 34, 34, 37, 26, 18, 41};
static const int32_t step3_bias[5] = {
    10149, 29132, 11851, 6962, 3662};
static const int16_t step3_multiplier[5] = {
    30592, 20932, 27886, 19327, 22470};
static const uint8_t step3_shift[5] = {
    17, 16, 16, 17, 16};
static const int16_t step3_by[1] = {
    16523};
static const uint8_t step3_by_shift[1] = {
    19};
static const uint8_t step3_zeros[1] = {
    18};
static const struct curved step3 = {{step3_weights, step3_bias, step3_multiplier, 0, step3_shift, 0, 12, 12, 4, 10, 10, 5, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step3_by, step3_by_shift, step3_zeros, 0};
static const int8_t step4_weights[225] = {
    -84, 110, 37, 17, -42, -33, 60, -8, 57, -6, -5, 6, -37, -6, -29, 2, 16, 47, -54, 35,
    -66, 101, -6, 5, -34, -81, 62, -25, 37, -42, 78, -101, 19, -105, 44, 49, -66, 3, -127, -32,
    -80, 19, -9, -20, -75, -8, 26, -65, 10, 61, -2, 3, -70, -14, 4, 19, -5, -10, -43, -53,
    -7, 10, -127, -8, -16, 5, -5, -22, -28, -81, 10, 3, 32, -20, -28, -63, 7, -40, -10, -29,
    -92, -20, 24, 44, 28, -46, -41, -3, 73, 50, -10, -127, 7, -68, -55, 22, -74, 4, -28, -100,
    -69, -3, 4, 8, -112, -20, 20, 42, -55, -67, 10, -30, 32, -43, -45, 12, -10, -120, 3, -71,
    -8, 5, -49, 66, 60, -36, -28, 9, 17, 18, 31, -54, -87, 45, 11, -83, -25, 22, 11, 38,
    -52, -48, 72, 46, 47, 21, -127, 22, 29, 34, -49, 33, 2, 42, 3, -61, -34, -2, 35, 29,
    14, -82, -29, 37, -31, -26, -58, 15, -18, 39, -110, -100, 35, 15, 11, -29, -76, 67, 70, 38,
    0, 9, -12, -1, -39, 25, -11, 8, 6, 29, 9, -34, 31, -127, 41, -37, -63, 62, -12, 1,
    -8, -32, 14, -16, -21, -4, -7, 43, -5, 30, 88, 8, 87, -28, 9, 17, 9, -19, 13, -29,
    -34, 53, 13, -42, 19};
static const int32_t step4_bias[5] = {
    13603, 15056, 28465, 60292, -1634};
static const int16_t step4_multiplier[5] = {
    20401, 27946, 21252, 21251, 28422};
static const uint8_t step4_shift[5] = {
    16, 16, 16, 17, 16};
static const int16_t step4_by[1] = {
    24401};
static const uint8_t step4_zeros[1] = {
    13};
static const struct curved step4 = {{step4_weights, step4_bias, step4_multiplier, 0, step4_shift, 0, 10, 10, 5, 8, 8, 5, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step4_by, step0_by_shift, step4_zeros, 0};
static const struct window step5 = {8, 5, 4, 4, 2, 2, 2, 2};
static const int8_t step6_weights[270] = {
    71, -40, -8, 5, 92, 37, 4, 71, -31, -84, 30, -15, 50, -127, -57, 32, 3, 27, -40, 88,
    1, -37, -15, 11, 2, -29, 83, -70, 103, 53, -8, 113, 43, 10, 22, 77, 83, 18, -51, 72,
    109, 76, 41, 32, 0, 14, 127, 4, -46, 9, 29, 59, 50, -24, -12, 39, 45, 84, 100, 91,
    64, -32, 0, 63, -34, 9, 10, -1, -28, -6, 11, 33, -101, -45, 46, 52, -1, 14, 43, -69,
    5, 67, 14, 28, 50, 73, -25, 122, -103, -57, -24, 75, -127, -38, -48, 54, -7, -26, -48, -39,
    -54, 27, -95, -12, 55, 3, 27, 5, 57, 12, -14, -12, -11, 32, -59, -47, 79, -17, 32, -15,
    24, -38, 50, 15, 46, 11, 27, -16, -39, -57, 36, 32, 36, -36, -7, -32, 33, -56, 18, 3,
    53, 8, 60, 11, 20, -2, -38, 26, -55, -127, 61, 84, 10, 63, 3, 90, -16, 24, 82, 16,
    -52, 56, -80, 17, -34, -54, -1, 5, -75, 12, -84, -13, -2, -64, -71, -110, 11, -47, -30, -36,
    -17, -49, 38, -4, -11, -26, -30, 37, -13, 21, -6, -37, 23, -23, 47, 80, -27, -47, 4, 21,
    -60, 24, -5, -80, -21, 19, 37, -43, 10, 29, 7, -127, 36, 71, -13, -35, -78, 62, -43, -24,
    -2, -38, 64, -42, -21, -37, 59, -62, -71, 10, -44, 64, -75, -25, 15, 28, -26, -18, -88, -25,
    -38, 26, 2, -19, -74, 11, -26, 5, -6, 62, -23, -13, 56, -43, -84, -59, 30, -31, 27, -127,
    10, -29, 1, 16, 16, 6, 61, -1, 48, 29};
static const int32_t step6_bias[6] = {
    -9043, -19907, 14075, 19013, 26441, 38350};
static const int16_t step6_multiplier[6] = {
    20813, 24806, 27359, 26061, 30162, 23911};
static const uint8_t step6_shift[6] = {
    15, 15, 15, 15, 15, 15};
static const int16_t step6_by[1] = {
    25262};
static const uint8_t step6_by_shift[1] = {
    21};
static const uint8_t step6_zeros[1] = {
    7};
static const struct curved step6 = {{step6_weights, step6_bias, step6_multiplier, 0, step6_shift, 0, 4, 4, 5, 2, 2, 6, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0}, step0_table, step6_by, step6_by_shift, step6_zeros, 0};
static const struct average step7 = {{2, 6, 1, 1, 2, 2, 1, 1}, 28, 0, 1, 0};
static const int8_t step8_weights[60] = {
    -42, -12, -127, -12, -66, 77, -2, -127, 5, -48, 40, 14, 127, -122, -107, 5, -52, -14, 48, 21,
    -118, -127, 80, -79, -93, -127, 111, 65, -88, -45, -65, 54, 34, -127, 12, -42, -26, 3, 50, -127,
    -100, 33, -13, -127, -53, 51, 44, -87, 41, 70, -3, -21, -127, -70, -127, 28, -56, 33, 3, -19};
static const int32_t step8_bias[10] = {
    -146, -208, -214, -204, -67, -31, -145, -247, 25, -72};
static const int16_t step8_multiplier[10] = {
    16384, 30265, 18268, 19456, 16484, 28583, 28988, 28468, 30587, 23036};
static const uint8_t step8_shift[10] = {
    14, 15, 15, 15, 15, 15, 15, 15, 16, 15};
static const struct linear step8 = {step8_weights, step8_bias, step8_multiplier, 0, step8_shift, 6, 10, 1, 0};

static int32_t words[712]; /* every map, one after another in the same place */

int mnist_1k_predict(const uint8_t image[mnist_1k_pixels], int32_t scores[mnist_1k_classes])
{
    int best = 0;
    uint8_t *const bytes = (uint8_t *)words;

    curved(&step0, image, bytes + 144);
    curved(&step1, bytes + 144, bytes + 48);
    max_pool(&step2, bytes + 48, bytes + 0);
    curved(&step3, bytes + 0, bytes + 576);
    curved(&step4, bytes + 576, bytes + 0);
    max_pool(&step5, bytes + 0, bytes + 320);
    curved(&step6, bytes + 320, bytes + 0);
    average(&step7, bytes + 0, 0, words + 6);
    linear(&step8, words + 6, 0, scores);
    for (int i = 1; i < mnist_1k_classes; i++)
        best = scores[i] > scores[best] ? i : best;
    return best;
}
