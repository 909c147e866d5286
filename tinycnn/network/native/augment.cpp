// Augmentation of a batch: tinycnn/data/augment.py, whose columns these are, in one pass from bytes to what a network
// is given.
//
// Images are shared out among the threads; none depends on another, nor on the number of threads.

#include "vectors.h"

enum Column { ROTATION, SHIFT_X, SHIFT_Y, SCALE, SHEAR, CROP_Y, CROP_X, FLIP, CUTOUT_Y, CUTOUT_X, COLUMNS };

struct Augmentation {  // augment.py has the same, field by field
    i64 channels, height, width;
    i64 resamples, crop, flip, cutout;
    double rotation, shift, scale, shear;
    const float *mean, *deviation;  // [channel]
};

// What an image is sampled from: its planes after crop and flip, white being 1, with zeros around them.
struct Planes {
    i64 height, width, row, size;
    std::vector<float> pixels;

    // bilinear sampling reads one pixel above and left of the image, and two below and right of it
    explicit Planes(const Augmentation &a)
        : height(a.height), width(a.width), row(width + 3), size(row * (height + 3)), pixels(a.channels * size) {}
    float *plane(i64 channel) { return pixels.data() + channel * size; }
    float *row_of(i64 channel, i64 y) { return plane(channel) + (y + 1) * row + 1; }
};

// Numbers as float32 arithmetic of torch has them: an integer of another rounding would be another window.
static i64 integer(float uniform, i64 count) { return (i64)std::floor(uniform * (float)count); }
static float symmetric(float uniform, double limit) { return (2 * uniform - 1) * (float)limit; }

static void crop_and_flip(const Augmentation &a, const uint8_t *image, const float *draw, Planes &to) {
    i64 down = a.crop ? integer(draw[CROP_Y], 2 * a.crop + 1) - a.crop : 0;
    i64 right = a.crop ? integer(draw[CROP_X], 2 * a.crop + 1) - a.crop : 0;
    bool flipped = a.flip && draw[FLIP] < 0.5f;
    i64 first = std::max<i64>(0, -right), last = std::min(a.width, a.width - right);  // columns that are in the image
    for (i64 c = 0; c < a.channels; c++)
        for (i64 y = 0; y < a.height; y++) {
            float *row = to.row_of(c, y);
            if (a.crop) std::fill_n(row, a.width, 0.f);
            if (y + down < 0 || y + down >= a.height) continue;
            const uint8_t *from = image + (c * a.height + y + down) * a.width + right;
            for (i64 x = first; x < last; x++) row[x] = from[x] / 255.f;
            if (flipped) std::reverse(row, row + a.width);
        }
}

// From a pixel of the result, counted from its first, to its source, counted from the first of its margin: the matrix
// of `_sampling_matrix` in pixels.
struct Sampling {
    float x_of_x, x_of_y, x0, y_of_x, y_of_y, y0;

    Sampling(const Augmentation &a, const float *draw) {
        const float degree = 0.017453292519943295f;
        float turn = symmetric(draw[ROTATION], a.rotation) * degree;
        float lean = std::tan(symmetric(draw[SHEAR], a.shear) * degree), cos = std::cos(turn), sin = std::sin(turn);
        float scale = 1 + symmetric(draw[SCALE], a.scale);
        float shift_x = symmetric(draw[SHIFT_X], a.shift), shift_y = symmetric(draw[SHIFT_Y], a.shift);
        x_of_x = (cos - lean * sin) / scale, x_of_y = (sin + lean * cos) / scale;
        y_of_x = -sin / scale, y_of_y = cos / scale;
        float middle_x = (a.width - 1) / 2.f, middle_y = (a.height - 1) / 2.f;
        x0 = 1 + middle_x - x_of_x * (middle_x + shift_x) - x_of_y * (middle_y + shift_y);
        y0 = 1 + middle_y - y_of_x * (middle_x + shift_x) - y_of_y * (middle_y + shift_y);
    }
};

// Of the pixels of the result: where the first of four is, and the shares of those to the right and below.
struct Taps {
    std::vector<int32_t> at;
    std::vector<float> right, down;
    explicit Taps(i64 pixels) : at(pixels), right(pixels), down(pixels) {}
};

// bend: [x, y][row][column], how much further on a pixel is taken from, or null. Loops read local variables alone:
// compilers then use whole registers.
static void find_taps(const Sampling &s, const Planes &from, const float *bend, Taps &taps) {
    const float of_x = s.x_of_x, of_y = s.y_of_x, end_x = from.width + 1, end_y = from.height + 1;
    const int32_t row = from.row, width = from.width;
    for (i64 y = 0; y < from.height; y++) {
        const float x0 = s.x0 + s.x_of_y * y, y0 = s.y0 + s.y_of_y * y;
        float *__restrict right = taps.right.data() + y * width, *__restrict down = taps.down.data() + y * width;
        int32_t *__restrict at = taps.at.data() + y * width;
        for (int32_t x = 0; x < width; x++) right[x] = x0 + of_x * x, down[x] = y0 + of_y * x;
        if (bend)
            for (int32_t x = 0; x < width; x++)
                right[x] += bend[y * width + x], down[x] += bend[(from.height + y) * width + x];
        for (int32_t x = 0; x < width; x++) {
            float u = right[x], v = down[x];
            u = u > 0.f ? u : 0.f, v = v > 0.f ? v : 0.f;  // whatever is further out is 0 too; no number: likewise
            u = u < end_x ? u : end_x, v = v < end_y ? v : end_y;
            int32_t whole_u = u, whole_v = v;
            at[x] = whole_v * row + whole_u;
            right[x] = u - whole_u, down[x] = v - whole_v;
        }
    }
}

static void sample(const float *plane, i64 row, i64 pixels, const Taps &taps, float mean, float deviation,
                   float *__restrict to) {
    const int32_t *at = taps.at.data();
    const float *right = taps.right.data(), *down = taps.down.data();
    const float *beside = plane + 1, *under = plane + row, *across = plane + row + 1;
    for (i64 i = 0; i < pixels; i++) {
        float a = plane[at[i]], b = beside[at[i]], c = under[at[i]], d = across[at[i]];
        float above = a + right[i] * (b - a), below = c + right[i] * (d - c);
        to[i] = (above + down[i] * (below - above) - mean) / deviation;
    }
}

// The mean, which is what is left: 0.
static void cut_out(const Augmentation &a, const float *draw, float *image) {
    i64 top = integer(draw[CUTOUT_Y], a.height) - a.cutout / 2, left = integer(draw[CUTOUT_X], a.width) - a.cutout / 2;
    i64 bottom = std::min(a.height, top + a.cutout), right = std::min(a.width, left + a.cutout);
    top = std::max<i64>(0, top), left = std::max<i64>(0, left);
    for (i64 c = 0; c < a.channels; c++)
        for (i64 y = top; y < bottom; y++)
            std::fill(image + (c * a.height + y) * a.width + left, image + (c * a.height + y) * a.width + right, 0.f);
}

extern "C" {

// images: bytes [image][channel][row][column], of which `chosen` are taken; draws: [chosen][COLUMNS], from 0 to 1;
// bend: [chosen][x, y][row][column], or null; out: [chosen][channel][row][column].
void augment(const Augmentation *settings, const uint8_t *images, const i64 *chosen, i64 count, const float *draws,
             const float *bend, float *out, i64 threads) {
    const Augmentation &a = *settings;
    const i64 plane = a.height * a.width;
#pragma omp parallel num_threads(threads)
    {
        Planes planes(a);
        Taps taps(plane);
#pragma omp for schedule(static)
        for (i64 i = 0; i < count; i++) {
            const float *draw = draws + i * COLUMNS;
            float *image = out + i * a.channels * plane;
            crop_and_flip(a, images + chosen[i] * a.channels * plane, draw, planes);
            if (a.resamples) find_taps(Sampling(a, draw), planes, bend ? bend + 2 * i * plane : nullptr, taps);
            for (i64 c = 0; c < a.channels; c++) {
                float *to = image + c * plane, mean = a.mean[c], deviation = a.deviation[c];
                if (a.resamples) {
                    sample(planes.plane(c), planes.row, plane, taps, mean, deviation, to);
                    continue;
                }
                for (i64 y = 0; y < a.height; y++, to += a.width) {
                    const float *row = planes.row_of(c, y);
                    for (i64 x = 0; x < a.width; x++) to[x] = (row[x] - mean) / deviation;
                }
            }
            if (a.cutout) cut_out(a, draw, image);
        }
    }
}
}
