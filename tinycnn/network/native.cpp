// Training and evaluation of small convolutional networks on the CPU in float32: what native.py compiles and calls.
//
// Why: libraries lay a vector register along the channels, which here are 8 to 18, so most of each is padding. Here it
// lies along the batch. A *block* is as many images as a register holds floats (LANES); a tensor is
// [block][channel][row][column] of registers. Any number of channels is then as good as any other, a convolution is
// broadcasts of a weight and multiply-adds of whole registers, and a block's maps stay in the cache of the core that
// works on it. Blocks are shared out among the threads; every sum over images is taken block by block in the same
// order, so results do not depend on the number of threads.
//
// A network is a row of stages: convolution, then, where asked for, batch norm, ReLU, dropout of whole maps, max-pool,
// average over the map. `in` has a border of `pad` zeros, `grad` one of kernel - 1 - pad: no tap needs a test.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t mask __attribute__((vector_size(4 * LANES)));
typedef int64_t i64;

#define UNROLL _Pragma("GCC unroll 32")

struct Stage {  // native.py has the same, field by field
    i64 channels, height, width, kernel, pad;   // input map, without its border
    i64 outputs, out_height, out_width;         // after the convolution
    i64 pool, average, pooled_height, pooled_width;  // pool: side and stride of the window, 1 for none
    i64 batch_norm, relu;
    double eps, momentum;
    const float *weight, *gamma, *beta;         // beta: batch norm's, or the convolution's bias, or null
    float *running_mean, *running_var;
    const float *drop;                          // [image][output] factors, or null
    float *packed, *packed_back;                // weights as the kernels read them
    float *scale, *shift, *mean, *inverse;      // [output]
    vec *in, *y, *grad, *sums;                  // sums: [thread][weights], scratch
    float *partial;                             // [block][max(weights, 2 * outputs)]
    float *d_weight, *d_gamma, *d_beta;
};

static inline i64 in_row(const Stage &s) { return s.width + 2 * s.pad; }
static inline i64 in_plane(const Stage &s) { return in_row(s) * (s.height + 2 * s.pad); }
static inline i64 halo(const Stage &s) { return s.kernel - 1 - s.pad; }
static inline i64 grad_row(const Stage &s) { return s.out_width + 2 * halo(s); }
static inline i64 grad_plane(const Stage &s) { return grad_row(s) * (s.out_height + 2 * halo(s)); }
static inline i64 weights(const Stage &s) { return s.outputs * s.channels * s.kernel * s.kernel; }
static inline i64 partials(const Stage &s) { return std::max(weights(s), 2 * s.outputs); }

static inline vec all(float x) { return x - vec{}; }
static inline vec choose(mask m, vec a) { return (vec)(m & (mask)a); }
static inline float total(vec v) {
    float x[LANES];
    memcpy(x, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
}
static inline vec valid_lanes(i64 block, i64 images) {
    vec v{};
    for (int i = 0; i < LANES; i++) v[i] = block * LANES + i < images;
    return v;
}
static inline vec factors(const Stage &s, i64 block, i64 output) {
    vec v{};
    for (int i = 0; i < LANES; i++) v[i] = s.drop[(block * LANES + i) * s.outputs + output];
    return v;
}

// ---- convolution: a tile of OUT output maps by WIDE neighbouring pixels is summed up in registers ------------------

constexpr int MOST_OUT = REGISTERS == 32 ? 12 : 6;
constexpr int wide(int out) { return std::max(1, std::min(4, (REGISTERS - 4) / (out + 1))); }

static inline i64 part_of(i64 outputs, i64 most) {  // how many maps a tile takes, so that tiles are about equal
    i64 parts = (outputs + most - 1) / most;
    return (outputs + parts - 1) / parts;
}

// packed: for each tile, for each input channel and tap, the tile's weights one after the other
static void pack(const float *weight, i64 outputs, i64 channels, i64 kernel, bool back, float *packed) {
    // back: the roles of input and output exchanged and the taps turned round
    i64 taps = kernel * kernel, to = back ? channels : outputs, from = back ? outputs : channels;
    i64 part = part_of(to, MOST_OUT);
    for (i64 first = 0; first < to; first += part)
        for (i64 c = 0; c < from; c++)
            for (i64 t = 0; t < taps; t++)
                for (i64 o = first; o < std::min(to, first + part); o++)
                    *packed++ = back ? weight[(c * channels + o) * taps + taps - 1 - t]
                                     : weight[(o * channels + c) * taps + t];
}

template <int OUT, int WIDE>
static inline void tile(const vec *in, i64 row, i64 plane, i64 channels, i64 kernel, const float *w, vec *out,
                        i64 out_plane) {
    vec sum[OUT][WIDE] = {};
    for (i64 c = 0; c < channels; c++)
        for (i64 ky = 0; ky < kernel; ky++) {
            const vec *at = in + c * plane + ky * row;
            for (i64 kx = 0; kx < kernel; kx++, at++, w += OUT) {
                vec x[WIDE];
                UNROLL for (int p = 0; p < WIDE; p++) x[p] = at[p];
                UNROLL for (int o = 0; o < OUT; o++) {
                    vec each = all(w[o]);
                    UNROLL for (int p = 0; p < WIDE; p++) sum[o][p] += each * x[p];
                }
            }
        }
    UNROLL for (int o = 0; o < OUT; o++)
        UNROLL for (int p = 0; p < WIDE; p++) out[o * out_plane + p] = sum[o][p];
}

template <int OUT, int WIDE>
static inline i64 rest(const vec *in, i64 row, i64 plane, i64 channels, i64 kernel, const float *w, vec *out,
                       i64 out_plane, i64 x, i64 width) {
    for (; x + WIDE <= width; x += WIDE)
        tile<OUT, WIDE>(in + x, row, plane, channels, kernel, w, out + x, out_plane);
    if constexpr (WIDE > 1) x = rest<OUT, WIDE - 1>(in, row, plane, channels, kernel, w, out, out_plane, x, width);
    return x;
}

template <int OUT>
static void rows(const vec *in, i64 row, i64 plane, i64 channels, i64 kernel, const float *w, vec *out, i64 out_row,
                 i64 out_plane, i64 height, i64 width) {
    for (i64 y = 0; y < height; y++)
        rest<OUT, wide(OUT)>(in + y * row, row, plane, channels, kernel, w, out + y * out_row, out_plane, 0, width);
}

template <int OUT = MOST_OUT>
static void pick_rows(i64 part, const vec *in, i64 row, i64 plane, i64 channels, i64 kernel, const float *w, vec *out,
                      i64 out_row, i64 out_plane, i64 height, i64 width) {
    if (part == OUT) rows<OUT>(in, row, plane, channels, kernel, w, out, out_row, out_plane, height, width);
    else if constexpr (OUT > 1)
        pick_rows<OUT - 1>(part, in, row, plane, channels, kernel, w, out, out_row, out_plane, height, width);
}

static void convolve(const vec *in, i64 row, i64 plane, i64 channels, i64 kernel, const float *packed, vec *out,
                     i64 outputs, i64 height, i64 width) {
    i64 part = part_of(outputs, MOST_OUT), out_plane = height * width;
    for (i64 first = 0; first < outputs; first += part) {
        i64 count = std::min(part, outputs - first);
        pick_rows(count, in, row, plane, channels, kernel, packed, out + first * out_plane, width, out_plane, height,
                  width);
        packed += count * channels * kernel * kernel;
    }
}

// ---- gradient of the weights: a tile of OUT output maps by a row of TAPS taps is summed up over a band of rows -----

template <int TAPS> constexpr int most_out() { return std::min(8, (REGISTERS - 1 - TAPS) / TAPS); }

template <int OUT, int TAPS>
static inline void correlate(const vec *in, i64 row, const vec *grad, i64 g_row, i64 g_plane, i64 height, i64 width,
                             vec *sums, i64 step) {
    vec sum[OUT][TAPS] = {};
    for (i64 y = 0; y < height; y++) {
        const vec *at = in + y * row, *g = grad + y * g_row;
        vec x[TAPS];
        UNROLL for (int t = 0; t + 1 < TAPS; t++) x[t + 1] = at[t];
        for (i64 i = 0; i < width; i++) {
            UNROLL for (int t = 0; t + 1 < TAPS; t++) x[t] = x[t + 1];
            x[TAPS - 1] = at[i + TAPS - 1];
            UNROLL for (int o = 0; o < OUT; o++) {
                vec each = g[o * g_plane + i];
                UNROLL for (int t = 0; t < TAPS; t++) sum[o][t] += each * x[t];
            }
        }
    }
    UNROLL for (int o = 0; o < OUT; o++)
        UNROLL for (int t = 0; t < TAPS; t++) sums[o * step + t] += sum[o][t];
}

template <int OUT, int TAPS>
static inline void pick_correlate(i64 part, const vec *in, i64 row, const vec *grad, i64 g_row, i64 g_plane,
                                  i64 height, i64 width, vec *sums, i64 step) {
    if (part == OUT) correlate<OUT, TAPS>(in, row, grad, g_row, g_plane, height, width, sums, step);
    else if constexpr (OUT > 1)
        pick_correlate<OUT - 1, TAPS>(part, in, row, grad, g_row, g_plane, height, width, sums, step);
}

template <int TAPS>
static void weight_gradient(const Stage &s, const vec *in, const vec *grad, vec *sums) {
    constexpr int most = most_out<TAPS>();
    i64 part = part_of(s.outputs, most), step = s.channels * s.kernel * s.kernel;
    i64 band = std::max<i64>(1, 20000 / (i64)(s.outputs * s.out_width * sizeof(vec)));  // of grad stays in the L1 cache
    for (i64 y = 0; y < s.out_height; y += band)
        for (i64 c = 0; c < s.channels; c++)
            for (i64 ky = 0; ky < s.kernel; ky++)
                for (i64 kx = 0; kx < s.kernel; kx += TAPS)
                    for (i64 o = 0; o < s.outputs; o += part)
                        pick_correlate<most, TAPS>(
                            std::min(part, s.outputs - o), in + c * in_plane(s) + (y + ky) * in_row(s) + kx, in_row(s),
                            grad + o * grad_plane(s) + y * grad_row(s), grad_row(s), grad_plane(s),
                            std::min(band, s.out_height - y), s.out_width,
                            sums + o * step + (c * s.kernel + ky) * s.kernel + kx, step);
}

// ---- the stages, a block at a time ---------------------------------------------------------------------------------

// slot: which of the buffers; while training a block has its own, in evaluation a thread has
static vec *in_of(const Stage &s, i64 slot) { return s.in + slot * s.channels * in_plane(s); }
static vec *y_of(const Stage &s, i64 slot) { return s.y + slot * s.outputs * s.out_height * s.out_width; }
static vec *grad_of(const Stage &s, i64 slot) {
    return s.grad + slot * s.outputs * grad_plane(s) + halo(s) * grad_row(s) + halo(s);
}

static void put_images(const Stage &s, i64 slot, i64 block, i64 images, const float *from) {
    i64 pixels = s.height * s.width;
    for (i64 c = 0; c < s.channels; c++) {
        const float *at[LANES];
        i64 lanes = std::min<i64>(LANES, images - block * LANES);
        for (i64 i = 0; i < lanes; i++) at[i] = from + ((block * LANES + i) * s.channels + c) * pixels;
        vec *to = in_of(s, slot) + c * in_plane(s) + s.pad * in_row(s) + s.pad;
        for (i64 y = 0; y < s.height; y++)
            for (i64 x = 0; x < s.width; x++) {
                vec v{};
                for (i64 i = 0; i < lanes; i++) v[i] = at[i][y * s.width + x];
                to[y * in_row(s) + x] = v;
            }
    }
}

static void forward_conv(const Stage &s, i64 slot) {
    convolve(in_of(s, slot), in_row(s), in_plane(s), s.channels, s.kernel, s.packed, y_of(s, slot), s.outputs,
             s.out_height, s.out_width);
}

static void block_statistics(const Stage &s, i64 block) {
    i64 pixels = s.out_height * s.out_width;
    for (i64 o = 0; o < s.outputs; o++) {
        const vec *y = y_of(s, block) + o * pixels;
        vec sum[2] = {}, squares[2] = {};
        for (i64 i = 0; i < pixels; i++) sum[i & 1] += y[i], squares[i & 1] += y[i] * y[i];
        s.partial[block * partials(s) + 2 * o] = total(sum[0] + sum[1]);
        s.partial[block * partials(s) + 2 * o + 1] = total(squares[0] + squares[1]);
    }
}

static void batch_statistics(const Stage &s, i64 blocks, i64 images) {
    double count = (double)images * s.out_height * s.out_width;
    for (i64 o = 0; o < s.outputs; o++) {
        double sum = 0, squares = 0;
        for (i64 b = 0; b < blocks; b++) {
            sum += s.partial[b * partials(s) + 2 * o];
            squares += s.partial[b * partials(s) + 2 * o + 1];
        }
        double mean = sum / count, var = std::max(0.0, squares / count - mean * mean);
        s.mean[o] = mean;
        s.inverse[o] = 1 / std::sqrt(var + s.eps);
        s.running_mean[o] += s.momentum * (mean - s.running_mean[o]);
        s.running_var[o] += s.momentum * (var * count / std::max(1.0, count - 1) - s.running_var[o]);
    }
}

static void set_scale(const Stage &s, bool training) {
    for (i64 o = 0; o < s.outputs; o++) {
        float beta = s.beta ? s.beta[o] : 0;
        if (!s.batch_norm) { s.scale[o] = 1, s.shift[o] = beta; continue; }
        float mean = training ? s.mean[o] : s.running_mean[o];
        float inverse = training ? s.inverse[o] : 1 / std::sqrt((double)s.running_var[o] + s.eps);
        s.scale[o] = s.gamma[o] * inverse;
        s.shift[o] = beta - mean * s.scale[o];
    }
}

// batch norm, ReLU, dropout, max-pool, average, in one pass from y to where the next stage reads
static void forward_rest(const Stage &s, i64 slot, i64 block, i64 images, bool training, vec *to, i64 row, i64 plane) {
    vec valid = valid_lanes(block, images), floor = all(s.relu ? 0.f : -INFINITY);
    for (i64 o = 0; o < s.outputs; o++) {
        const vec *y = y_of(s, slot) + o * s.out_height * s.out_width;
        vec scale = all(s.scale[o]), shift = all(s.shift[o]), sum{};
        vec keep = training && s.drop ? valid * factors(s, block, o) : valid;
        for (i64 r = 0; r < s.pooled_height; r++)
            for (i64 c = 0; c < s.pooled_width; c++) {
                vec best = floor;
                for (i64 i = 0; i < s.pool; i++)
                    for (i64 j = 0; j < s.pool; j++) {
                        vec z = y[(r * s.pool + i) * s.out_width + c * s.pool + j] * scale + shift;
                        best = best > z ? best : z;
                    }
                best *= keep;
                if (s.average) sum += best;
                else to[o * plane + r * row + c] = best;
            }
        if (s.average) to[o * plane] = sum / (float)(s.pooled_height * s.pooled_width);
    }
}

// from the gradient of a stage's result to that of batch norm's result, which goes to `grad`, and its sums
static void backward_rest(const Stage &s, i64 block, const vec *from, i64 row, i64 plane) {
    for (i64 o = 0; o < s.outputs; o++) {
        const vec *y = y_of(s, block) + o * s.out_height * s.out_width;
        vec *to = grad_of(s, block) + o * grad_plane(s);
        vec scale = all(s.scale[o]), shift = all(s.shift[o]), keep = s.drop ? factors(s, block, o) : all(1);
        vec mean = all(s.batch_norm ? s.mean[o] : 0), inverse = all(s.batch_norm ? s.inverse[o] : 0);
        vec floor = all(s.relu ? 0.f : -INFINITY), sum{}, product{};
        if (s.average) keep /= (float)(s.pooled_height * s.pooled_width);
        if (s.pooled_height * s.pool < s.out_height || s.pooled_width * s.pool < s.out_width)
            for (i64 r = 0; r < s.out_height; r++)  // what no window covers has no gradient
                for (i64 c = 0; c < s.out_width; c++) to[r * grad_row(s) + c] = vec{};
        for (i64 r = 0; r < s.pooled_height; r++)
            for (i64 c = 0; c < s.pooled_width; c++) {
                vec g = keep * (s.average ? from[o * plane] : from[o * plane + r * row + c]);
                vec best = floor;  // the first of the largest gets it all, as in torch
                for (i64 i = 0; i < s.pool; i++)
                    for (i64 j = 0; j < s.pool; j++) {
                        vec z = y[(r * s.pool + i) * s.out_width + c * s.pool + j] * scale + shift;
                        best = best > z ? best : z;
                    }
                mask open = s.relu ? best > 0 : ~mask{};
                for (i64 i = 0; i < s.pool; i++)
                    for (i64 j = 0; j < s.pool; j++) {
                        vec value = y[(r * s.pool + i) * s.out_width + c * s.pool + j];
                        mask here = open & (value * scale + shift == best);
                        open &= ~here;
                        vec d = choose(here, g);
                        sum += d;
                        product += d * ((value - mean) * inverse);
                        to[(r * s.pool + i) * grad_row(s) + c * s.pool + j] = d;
                    }
            }
        s.partial[block * partials(s) + 2 * o] = total(sum);
        s.partial[block * partials(s) + 2 * o + 1] = total(product);
    }
}

static void sum_backward(const Stage &s, i64 blocks) {
    for (i64 o = 0; o < s.outputs; o++) {
        double sum = 0, product = 0;
        for (i64 b = 0; b < blocks; b++) {
            sum += s.partial[b * partials(s) + 2 * o];
            product += s.partial[b * partials(s) + 2 * o + 1];
        }
        if (s.beta) s.d_beta[o] = sum;
        if (s.batch_norm) s.d_gamma[o] = product;
    }
}

static void backward_norm(const Stage &s, i64 block, i64 images) {
    float count = (float)images * s.out_height * s.out_width;
    vec valid = valid_lanes(block, images);
    for (i64 o = 0; o < s.outputs; o++) {
        const vec *y = y_of(s, block) + o * s.out_height * s.out_width;
        vec *d = grad_of(s, block) + o * grad_plane(s);
        vec sum = all(s.d_beta[o] / count), product = all(s.d_gamma[o] / count * s.inverse[o]);
        vec scale = valid * s.scale[o], mean = all(s.mean[o]);
        for (i64 r = 0; r < s.out_height; r++)
            for (i64 c = 0; c < s.out_width; c++) {
                vec &each = d[r * grad_row(s) + c];
                each = scale * (each - sum - (y[r * s.out_width + c] - mean) * product);
            }
    }
}

static void backward_weights(const Stage &s, i64 block) {
    i64 count = weights(s);
    vec *sums = s.sums + omp_get_thread_num() * count;
    memset((void *)sums, 0, count * sizeof(vec));
    const vec *in = in_of(s, block), *grad = grad_of(s, block);
    if (s.kernel % 3 == 0) weight_gradient<3>(s, in, grad, sums);
    else if (s.kernel % 5 == 0) weight_gradient<5>(s, in, grad, sums);
    else weight_gradient<1>(s, in, grad, sums);
    for (i64 i = 0; i < count; i++) s.partial[block * partials(s) + i] = total(sums[i]);
}

static void sum_weights(const Stage &s, i64 blocks, i64 from, i64 to) {
    for (i64 i = from; i < to; i++) s.d_weight[i] = s.partial[i];
    for (i64 b = 1; b < blocks; b++)
        for (i64 i = from; i < to; i++) s.d_weight[i] += s.partial[b * partials(s) + i];
}

static void backward_input(const Stage &s, i64 block, vec *to) {
    convolve(grad_of(s, block) - halo(s) * grad_row(s) - halo(s), grad_row(s), grad_plane(s), s.outputs, s.kernel,
             s.packed_back, to, s.channels, s.height, s.width);
}

static void result(const Stage &last, i64 slot, i64 block, i64 images, bool training, vec *map, float *out) {
    i64 pixels = last.average ? 1 : last.pooled_height * last.pooled_width;
    forward_rest(last, slot, block, images, training, map, last.average ? 1 : last.pooled_width, pixels);
    for (i64 i = 0; i < LANES && block * LANES + i < images; i++)
        for (i64 o = 0; o < last.outputs * pixels; o++) out[(block * LANES + i) * last.outputs * pixels + o] = map[o][i];
}

static void onward(const Stage &s, const Stage &next, i64 slot, i64 block, i64 images, bool training) {
    forward_rest(s, slot, block, images, training, in_of(next, slot) + next.pad * in_row(next) + next.pad, in_row(next),
                 in_plane(next));
}

extern "C" {

int lanes() { return LANES; }

// images: [image][channel][row][column]; out likewise; map: room for the last stage's result, a slot for each block
void forward(Stage *stages, i64 count, const float *images, i64 number, float *out, vec *map, i64 threads) {
    i64 blocks = (number + LANES - 1) / LANES;
    i64 size = stages[count - 1].outputs * (stages[count - 1].average ? 1
                   : stages[count - 1].pooled_height * stages[count - 1].pooled_width);
#pragma omp parallel num_threads(threads)
    for (i64 n = 0; n < count; n++) {
        Stage &s = stages[n];
#pragma omp single
        {
            pack(s.weight, s.outputs, s.channels, s.kernel, false, s.packed);
            if (n) pack(s.weight, s.outputs, s.channels, s.kernel, true, s.packed_back);
        }
#pragma omp for schedule(static)
        for (i64 b = 0; b < blocks; b++) {
            if (n) onward(stages[n - 1], s, b, b, number, true);
            else put_images(s, b, b, number, images);
            forward_conv(s, b);
            if (s.batch_norm) block_statistics(s, b);
        }
#pragma omp single
        {
            if (s.batch_norm) batch_statistics(s, blocks, number);
            set_scale(s, true);
        }
        if (n == count - 1)
#pragma omp for schedule(static)
            for (i64 b = 0; b < blocks; b++) result(s, b, b, number, true, map + b * size, out);
    }
}

// d_out: the gradient of out. `scratch`: a slot for each block, as large as the largest input of a stage
void backward(Stage *stages, i64 count, const float *d_out, i64 number, vec *scratch, i64 slot_size, i64 threads) {
    i64 blocks = (number + LANES - 1) / LANES;
#pragma omp parallel num_threads(threads)
    for (i64 n = count - 1; n >= 0; n--) {
        Stage &s = stages[n];
        i64 row = s.average ? 1 : s.pooled_width, plane = s.average ? 1 : s.pooled_height * s.pooled_width;
#pragma omp for schedule(static)
        for (i64 b = 0; b < blocks; b++) {
            vec *from = scratch + b * slot_size;
            if (n == count - 1)
                for (i64 o = 0; o < s.outputs * plane; o++) {
                    from[o] = vec{};
                    for (i64 i = 0; i < LANES && b * LANES + i < number; i++)
                        from[o][i] = d_out[(b * LANES + i) * s.outputs * plane + o];
                }
            backward_rest(s, b, from, row, plane);
        }
#pragma omp single
        sum_backward(s, blocks);
#pragma omp for schedule(static)
        for (i64 b = 0; b < blocks; b++) {
            if (s.batch_norm) backward_norm(s, b, number);
            backward_weights(s, b);
            if (n) backward_input(s, b, scratch + b * slot_size);
        }
#pragma omp for schedule(static)
        for (i64 part = 0; part < threads; part++)
            sum_weights(s, blocks, weights(s) * part / threads, weights(s) * (part + 1) / threads);
    }
}

// A block goes through all stages before the next, in the thread's own slot: no statistics of the batch are needed.
void evaluate(Stage *stages, i64 count, const float *images, i64 number, float *out, vec *map, i64 threads) {
    i64 blocks = (number + LANES - 1) / LANES;
    i64 size = stages[count - 1].outputs * (stages[count - 1].average ? 1
                   : stages[count - 1].pooled_height * stages[count - 1].pooled_width);
    for (i64 n = 0; n < count; n++) {
        pack(stages[n].weight, stages[n].outputs, stages[n].channels, stages[n].kernel, false, stages[n].packed);
        set_scale(stages[n], false);
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (i64 b = 0; b < blocks; b++) {
        i64 slot = omp_get_thread_num();
        put_images(stages[0], slot, b, number, images);
        for (i64 n = 0; n < count; n++) {
            if (n) onward(stages[n - 1], stages[n], slot, b, number, false);
            forward_conv(stages[n], slot);
        }
        result(stages[count - 1], slot, b, number, false, map + slot * size, out);
    }
}
}
