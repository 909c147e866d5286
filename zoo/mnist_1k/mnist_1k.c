/* experiment record_1k
   seed       1002
   run        a320ec2c12f94902955c11db3e4c8f43
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

/* A convolution and its activation, into bytes or, where those are none, into 32 bits. */
static void conv(const struct conv *p, const uint8_t *in, uint8_t *out, int32_t *wide)
{
    const int32_t inputs = p->inputs / p->groups, outputs = p->outputs / p->groups, line = p->columns * inputs;
    for (int32_t row = 0; row < p->out_height; row++)
        for (int32_t column = 0; column < p->out_width; column++)
            for (int32_t output = 0; output < p->outputs; output++) {
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
                sum = requantise(sum, (p->negative && sum < 0 ? p->negative : p->multiplier)[output], p->shift[output]);
                if (wide)
                    *wide++ = sum;
                else
                    *out++ = to_byte(sum + p->zero);
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

static void lookup(const uint8_t *table, int32_t count, const uint8_t *in, uint8_t *out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = table[in[i]];
}

static const int8_t step0_weights[36] = {
    127, -17, -47, 72, 1, 47, -87, -64, 30, 45, 34, 3, 3, -26, -118, -33, -127, -35, -36, 55,
    56, -44, 7, 98, -127, -57, 102, -98, -52, 38, 10, 127, 106, 7, -3, -48};
static const int32_t step0_bias[4] = {
    8800, 18831, -4784, -5215};
static const int16_t step0_multiplier[4] = {
    28554, 16886, 22715, 17188};
static const uint8_t step0_shift[4] = {
    24, 23, 24, 23};
static const struct conv step0 = {step0_weights, step0_bias, step0_multiplier, 0, step0_shift, 0, 28, 28, 1, 26, 26, 4, 3, 3, 1, 1, 1, 1, 0, 0, 1, 136};
static const uint8_t step1_table[256] = {
    12, 12, 12, 12, 12, 12, 12, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 9, 9, 9, 9, 9, 9, 9, 9, 9, 8, 8, 8,
    8, 8, 8, 8, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 6, 6, 5, 5, 5, 5,
    5, 4, 4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1,
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,
    1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    17, 18, 19, 21, 22, 24, 25, 27, 29, 30, 32, 34, 36, 38, 40, 41, 43, 45, 48, 50,
    52, 54, 56, 58, 60, 63, 65, 67, 69, 72, 74, 76, 78, 81, 83, 86, 88, 90, 93, 95,
    97, 100, 102, 104, 107, 109, 112, 114, 116, 119, 121, 124, 126, 128, 131, 133, 135, 138, 140, 142,
    145, 147, 149, 152, 154, 156, 159, 161, 163, 166, 168, 170, 173, 175, 177, 180, 182, 184, 186, 189,
    191, 193, 196, 198, 200, 202, 205, 207, 209, 211, 214, 216, 218, 220, 222, 225, 227, 229, 231, 234,
    236, 238, 240, 243, 245, 247, 249, 251, 254, 255, 255, 255, 255, 255, 255, 255};
static const int8_t step2_weights[144] = {
    -1, -61, -79, -63, -70, -36, -28, 58, -39, -127, -52, 54, 50, -84, -38, -25, -23, -57, -105, 24,
    18, -8, -83, 34, 7, 49, 19, -54, 11, 15, -23, -7, 16, -25, -11, 62, 19, -127, -1, -3,
    -35, -62, -16, 10, -68, 45, 27, -53, 26, -80, 37, -13, 19, -72, -23, -34, 14, -12, 18, -66,
    -18, -48, 39, -21, -10, -112, 6, -27, 17, -53, 29, 19, 49, 29, 56, -9, 19, 48, 28, 40,
    9, 29, 66, 34, -127, -21, -11, -75, -19, -7, 0, -19, 20, 54, 19, 41, -95, 44, -43, -56,
    -127, 15, -27, -88, -109, 18, -71, -92, 44, -34, -43, 15, 5, -127, 17, 30, 20, -57, 26, -36,
    56, 42, 34, 0, 42, 8, 40, 7, 48, -41, 22, -17, -33, 44, 4, -95, -73, 1, -38, -22,
    -16, -50, -50, -9};
static const int32_t step2_bias[4] = {
    13922, 42282, 5586, -2383};
static const int16_t step2_multiplier[4] = {
    21546, 32412, 26848, 26210};
static const uint8_t step2_shift[4] = {
    24, 25, 24, 24};
static const struct conv step2 = {step2_weights, step2_bias, step2_multiplier, 0, step2_shift, 0, 26, 26, 4, 24, 24, 4, 3, 3, 1, 1, 1, 1, 0, 0, 1, 187};
static const uint8_t step3_table[256] = {
    17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17,
    17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17,
    17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17,
    17, 17, 17, 17, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
    16, 16, 16, 16, 16, 16, 16, 16, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    14, 14, 14, 14, 14, 14, 14, 14, 13, 13, 13, 13, 13, 13, 12, 12, 12, 12, 12, 11,
    11, 11, 11, 11, 10, 10, 10, 10, 9, 9, 9, 8, 8, 8, 8, 7, 7, 7, 6, 6,
    6, 5, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7,
    8, 9, 10, 11, 12, 14, 15, 17, 19, 21, 22, 24, 26, 29, 31, 33, 36, 38, 41, 43,
    46, 49, 52, 54, 57, 60, 64, 67, 70, 73, 76, 80, 83, 86, 90, 93, 97, 100, 104, 107,
    111, 115, 118, 122, 125, 129, 133, 136, 140, 144, 147, 151, 155, 158, 162, 166, 169, 173, 176, 180,
    184, 187, 191, 195, 198, 202, 205, 209, 213, 216, 220, 223, 227, 230, 234, 238};
static const struct window step4 = {24, 4, 12, 12, 2, 2, 2, 2};
static const int8_t step5_weights[180] = {
    28, 46, 18, -29, -6, -15, 5, 5, 44, 111, -17, 103, 5, 30, -38, 36, -4, -6, 19, 32,
    -39, 48, -83, 25, -103, 99, -63, -47, -15, 96, 1, 11, 58, 127, -82, 13, -68, 127, -93, -98,
    34, -26, -1, -33, 79, 73, -63, 66, 80, 105, -37, -54, 19, 15, -25, -24, 7, 42, -74, -4,
    -38, -41, 22, 22, 119, 7, 74, -24, 112, -33, 60, -22, 0, 22, 20, 32, 29, 38, -32, -21,
    -7, 21, -13, 20, 0, -19, -46, 19, 34, -14, -125, -35, 11, -34, 32, -3, 29, 4, -127, -55,
    -9, 46, 4, 12, -32, -27, 48, -19, -90, -37, 41, -69, -46, -39, -59, -34, 18, -110, -127, -50,
    -57, -111, 39, -88, -48, 30, -4, -39, 73, 44, -36, -37, -117, -26, 44, -50, -115, -31, 32, -13,
    86, 29, 39, -6, -35, 54, 8, 0, -75, 24, 2, -16, -42, 2, -24, -41, -48, 55, 18, -7,
    -32, 5, 16, -18, -7, 3, -75, -127, -54, -32, 9, -2, 34, -24, -46, -56, -28, -21, -52, -87};
static const int32_t step5_bias[5] = {
    42542, -25166, 5707, 27382, 14525};
static const int16_t step5_multiplier[5] = {
    28031, 22167, 20252, 23676, 20844};
static const uint8_t step5_shift[5] = {
    25, 24, 23, 24, 23};
static const struct conv step5 = {step5_weights, step5_bias, step5_multiplier, 0, step5_shift, 0, 12, 12, 4, 10, 10, 5, 3, 3, 1, 1, 1, 1, 0, 0, 1, 152};
static const uint8_t step6_table[256] = {
    12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
    12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 11, 11, 11,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
    11, 11, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9, 9, 9, 9, 9, 9,
    9, 9, 8, 8, 8, 8, 8, 8, 8, 7, 7, 7, 7, 7, 6, 6, 6, 6, 6, 5,
    5, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1,
    1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2,
    2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 20, 22,
    24, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 50, 52, 54, 57, 59, 62, 64,
    67, 69, 72, 74, 77, 79, 82, 84, 87, 89, 92, 95, 97, 100, 102, 105, 108, 110, 113, 115,
    118, 121, 123, 126, 128, 131, 134, 136, 139, 141, 144, 146, 149, 151, 154, 157, 159, 162, 164, 167,
    169, 172, 174, 177, 179, 182, 184, 187, 189, 192, 194, 197, 199, 202, 204, 206, 209, 211, 214, 216,
    219, 221, 224, 226, 228, 231, 233, 236, 238, 241, 243, 245, 248, 250, 253, 255};
static const int8_t step7_weights[225] = {
    -25, -53, -73, 38, -41, -37, -43, -64, 38, -69, -55, 39, -39, 39, -127, 36, -49, -12, 47, -21,
    23, 10, -54, 6, 11, 25, 47, -75, -18, 11, 39, -22, 35, -1, 20, 9, 49, 15, -1, 37,
    15, -7, 16, 33, -14, 7, 21, 42, 45, 21, -44, -6, 45, 66, 15, -18, -48, 34, -64, 4,
    41, -7, 58, 19, 24, -4, 3, 29, -18, -56, -22, 47, 43, -15, -65, 127, -5, 88, 46, -26,
    64, 25, 17, 57, -59, 24, 95, -11, 94, 25, -3, 15, 12, -33, -45, -30, 3, -24, -62, 3,
    -45, 58, 9, -81, -36, 61, -68, -35, -18, -23, 13, 2, -31, -60, 39, -102, 46, -66, -62, -32,
    38, -6, -31, 10, 43, -8, -127, -23, 16, 28, -35, -30, -110, 10, -1, -16, -18, -7, 10, -20,
    -19, 4, 38, 8, -53, -94, -27, -1, 63, -26, 43, -70, 51, -50, 51, 12, -4, 68, 19, 5,
    -27, -5, 43, 52, 1, -12, -127, -10, 70, 31, -47, -49, -7, 36, 76, -80, -45, 0, 16, 67,
    -46, 2, 27, -102, -38, -3, -4, -22, -127, -89, 50, -1, -33, -106, -111, 41, -29, 2, 12, -65,
    40, -22, 2, 9, -23, 61, -38, 42, -32, 20, 30, -45, 31, 44, 11, -16, -28, 8, 33, -27,
    2, -80, 26, -8, -8};
static const int32_t step7_bias[5] = {
    531, -37420, 22604, 17522, 6734};
static const int16_t step7_multiplier[5] = {
    26824, 22728, 27013, 20187, 31194};
static const uint8_t step7_shift[5] = {
    23, 23, 23, 23, 24};
static const struct conv step7 = {step7_weights, step7_bias, step7_multiplier, 0, step7_shift, 0, 10, 10, 5, 8, 8, 5, 3, 3, 1, 1, 1, 1, 0, 0, 1, 153};
static const uint8_t step8_table[256] = {
    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 14, 14, 14, 14, 14, 14, 14, 14, 14, 13, 13, 13, 13, 13, 13, 13,
    12, 12, 12, 12, 12, 12, 12, 11, 11, 11, 11, 11, 11, 10, 10, 10, 10, 10, 9, 9,
    9, 9, 9, 8, 8, 8, 8, 8, 7, 7, 7, 7, 7, 6, 6, 6, 6, 5, 5, 5,
    5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1,
    1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7,
    8, 8, 9, 10, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26,
    28, 29, 30, 32, 33, 35, 36, 38, 39, 41, 43, 44, 46, 48, 50, 51, 53, 55, 57, 59,
    61, 63, 65, 67, 69, 71, 73, 75, 77, 79, 81, 84, 86, 88, 90, 92, 95, 97, 99, 101,
    104, 106, 108, 111, 113, 115, 118, 120, 122, 125, 127, 130, 132, 134, 137, 139, 142, 144, 146, 149,
    151, 154, 156, 158, 161, 163, 166, 168, 171, 173, 175, 178, 180, 183, 185, 188, 190, 192, 195, 197,
    200, 202, 204, 207, 209, 212, 214, 216, 219, 221, 224, 226, 228, 231, 233, 236};
static const struct window step9 = {8, 5, 4, 4, 2, 2, 2, 2};
static const int8_t step10_weights[270] = {
    -4, 53, 18, 22, 20, 10, -7, 14, -41, 32, -33, 19, 75, -27, 8, 64, -17, -17, 21, -47,
    -28, -19, -32, 30, -35, 13, 21, 58, 42, -20, 73, -29, 20, -20, 61, 2, -8, 31, -3, 21,
    -16, -76, -127, 2, 39, -28, 85, 48, 40, -34, -40, 47, 40, 13, 3, 43, -43, 81, -26, 31,
    48, 19, -12, -17, -21, 35, 26, -89, -56, -45, 31, 65, -23, -30, 1, -62, 127, 48, -55, 21,
    8, 53, 31, -112, 5, 43, -26, -7, -15, -44, -13, -75, 35, 43, -54, -29, -44, 46, 21, 3,
    -38, -79, -3, 31, -3, 63, 46, -52, 2, -11, 2, 38, -12, 31, 33, -19, 31, -91, -6, -35,
    -28, 13, 9, -29, -17, -27, -69, -13, 36, 24, -16, 12, 9, -127, -51, 35, 16, -1, 68, 85,
    51, 5, 22, 13, 115, -26, -15, -98, -3, 127, -17, 27, 58, 2, -42, 58, -56, 30, -9, -13,
    -40, -71, -62, -34, -29, 2, 54, -9, 47, 14, 55, 6, -40, 11, 45, -23, 19, -10, 29, -65,
    -28, 21, 66, -59, -10, 48, 4, -69, 7, 17, -62, -24, -3, -9, 13, -14, 14, 22, -15, -36,
    56, -36, -32, -1, -11, -105, 42, -3, 5, -80, 13, 7, 39, 83, 52, -63, 36, -40, 63, 66,
    -127, 21, 58, -16, 37, 11, -41, 2, -37, 57, -6, -23, -34, -25, 35, -17, -27, -55, 77, 53,
    127, -24, -44, 77, 13, 2, 0, -6, -90, -68, 65, 122, 16, 26, -21, 50, 65, -19, -24, 24,
    -53, 4, 33, -63, -5, 92, -31, 39, -4, 74};
static const int32_t step10_bias[6] = {
    -8489, 6197, 28757, -13993, 2717, -17790};
static const int16_t step10_multiplier[6] = {
    16803, 18968, 27417, 17844, 31363, 24549};
static const uint8_t step10_shift[6] = {
    22, 23, 23, 23, 23, 23};
static const struct conv step10 = {step10_weights, step10_bias, step10_multiplier, 0, step10_shift, 0, 4, 4, 5, 2, 2, 6, 3, 3, 1, 1, 1, 1, 0, 0, 1, 90};
static const uint8_t step11_table[256] = {
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4,
    4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1,
    1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,
    1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 9, 10, 11, 13, 14, 15,
    16, 17, 19, 20, 21, 23, 24, 26, 27, 29, 30, 32, 33, 35, 37, 38, 40, 41, 43, 45,
    46, 48, 50, 51, 53, 55, 56, 58, 60, 61, 63, 65, 66, 68, 70, 71, 73, 75, 76, 78,
    79, 81, 83, 84, 86, 87, 89, 91, 92, 94, 95, 97, 99, 100, 102, 103, 105, 106, 108, 110,
    111, 113, 114, 116, 117, 119, 120, 122, 124, 125, 127, 128, 130, 131, 133, 134, 136, 137, 139, 140,
    142, 143, 145, 147, 148, 150, 151, 153, 154, 156, 157, 159, 160, 162, 163, 165, 166, 168, 169, 171,
    172, 174, 175, 177, 178, 180, 182, 183, 185, 186, 188, 189, 191, 192, 194, 195, 197, 198, 200, 201,
    203, 204, 206, 207, 209, 210, 212, 213, 215, 216, 218, 219, 221, 222, 224, 225, 227, 228, 230, 231,
    233, 235, 236, 238, 239, 241, 242, 244, 245, 247, 248, 250, 251, 253, 254, 255};
static const struct average step12 = {{2, 6, 1, 1, 2, 2, 1, 1}, 24, 0, 1, 0};
static const int8_t step13_weights[60] = {
    -108, 30, 3, 58, -99, -127, -27, -127, 85, -49, -18, -34, -127, -65, 42, -6, -45, 65, 47, -89,
    -53, 18, -127, 78, -23, -26, 9, -127, 104, -126, 66, 15, -19, -29, -127, -40, -76, 98, -17, -123,
    -127, -80, -81, -127, -22, 52, 28, 9, -27, 43, -127, -39, 5, 27, 47, -28, -65, 29, 24, -127};
static const int32_t step13_bias[10] = {
    -92, -122, -210, 62, -55, -99, 117, -139, -251, -18};
static const int16_t step13_multiplier[10] = {
    22038, 28665, 30579, 18661, 19950, 30421, 21840, 16384, 19967, 18755};
static const uint8_t step13_shift[10] = {
    15, 15, 16, 15, 15, 15, 15, 14, 15, 15};
static const struct linear step13 = {step13_weights, step13_bias, step13_multiplier, 0, step13_shift, 6, 10, 1, 0};

static int32_t words[712]; /* every map, one after another in the same place */

int mnist_1k_predict(const uint8_t image[mnist_1k_pixels], int32_t scores[mnist_1k_classes])
{
    int best = 0;
    uint8_t *const bytes = (uint8_t *)words;

    conv(&step0, image, bytes + 144, 0);
    lookup(step1_table, 2704, bytes + 144, bytes + 144);
    conv(&step2, bytes + 144, bytes + 48, 0);
    lookup(step3_table, 2304, bytes + 48, bytes + 48);
    max_pool(&step4, bytes + 48, bytes + 0);
    conv(&step5, bytes + 0, bytes + 576, 0);
    lookup(step6_table, 500, bytes + 576, bytes + 40);
    conv(&step7, bytes + 40, bytes + 0, 0);
    lookup(step8_table, 320, bytes + 0, bytes + 0);
    max_pool(&step9, bytes + 0, bytes + 320);
    conv(&step10, bytes + 320, bytes + 0, 0);
    lookup(step11_table, 24, bytes + 0, bytes + 0);
    average(&step12, bytes + 0, 0, words + 6);
    linear(&step13, words + 6, 0, scores);
    for (int i = 1; i < mnist_1k_classes; i++)
        best = scores[i] > scores[best] ? i : best;
    return best;
}
