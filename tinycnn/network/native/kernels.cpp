// Training and evaluation of small convolutional networks on the CPU in float32: what library.py compiles and calls.
//
// Why: libraries lay a vector register along the channels, which here are 8 to 18, so most of each is padding. Here it
// lies along the batch. A *block* is as many images as a register holds floats (LANES); a tensor is
// [block][channel][row][column] of registers. Any number of channels is then as good as any other, a convolution is
// broadcasts of a weight and multiply-adds of whole registers, and a block's maps stay in the cache of the core that
// works on it. Blocks are shared out among the threads; every sum over images is taken block by block in the same
// order, so results do not depend on the number of threads.
//
// A network is a row of steps. A block goes through all steps up to the next batch norm before the next block does:
// only there the threads wait for each other. In lanes without an image all maps are 0.

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

#include "convolution.h"
#include "network.h"
#include "pointwise.h"
#include "pooling.h"

struct Batch {
    i64 images;
    const float *in;  // [image][channel][row][column]
    float *out;       // likewise
    i64 blocks() const { return (images + LANES - 1) / LANES; }
    i64 lanes(i64 block) const { return std::min<i64>(LANES, images - block * LANES); }
};

static void from_images(const float *images, i64 lanes, const View &to) {
    i64 size = to.channels * to.height * to.width;
    for (i64 c = 0; c < to.channels; c++)
        for (i64 y = 0; y < to.height; y++, images += to.width)
            for (i64 x = 0; x < to.width; x++) {
                vec v{};
                for (i64 i = 0; i < lanes; i++) v[i] = images[i * size + x];
                to.row_of(c, y)[x] = v;
            }
}

static void to_images(const View &from, i64 lanes, float *images) {
    i64 size = from.channels * from.height * from.width;
    for (i64 c = 0; c < from.channels; c++)
        for (i64 y = 0; y < from.height; y++, images += from.width)
            for (i64 x = 0; x < from.width; x++)
                for (i64 i = 0; i < lanes; i++) images[i * size + x] = from.row_of(c, y)[x][i];
}

// out = in + other, of which a border may be left out, and which may be strided
static void forward_sum(const Step &s, const View &in, const View &other, const View &out) {
    for (i64 c = 0; c < out.channels; c++)
        for (i64 y = 0; y < out.height; y++)
            for (i64 x = 0; x < out.width; x++)
                out.row_of(c, y)[x] = in.row_of(c, y)[x] + other.row_of(c, s.stride * y - s.pad)[s.stride * x - s.pad];
}

static void backward_sum(const Step &s, const View &d_out, const View &d_in, const View &d_other) {
    set(d_other, 0);
    for (i64 c = 0; c < d_out.channels; c++)
        for (i64 y = 0; y < d_out.height; y++)
            for (i64 x = 0; x < d_out.width; x++)
                d_in.row_of(c, y)[x] = d_other.row_of(c, s.stride * y - s.pad)[s.stride * x - s.pad] =
                    d_out.row_of(c, y)[x];
}

static void add(const View &from, const View &to) {
    for (i64 c = 0; c < from.channels; c++)
        for (i64 y = 0; y < from.height; y++)
            for (i64 x = 0; x < from.width; x++) to.row_of(c, y)[x] += from.row_of(c, y)[x];
}

static void forward_step(const Network &n, const Step &s, const Batch &batch, Slot slot, i64 block) {
    View in = data(n.maps[s.in], slot), out = data(n.maps[s.out], slot);
    i64 first = block * LANES * in.channels * in.height * in.width;
    switch (s.kind) {
    case IMAGES: return from_images(batch.in + first, batch.lanes(block), out);
    case CONVOLUTION: return forward_convolution(s, in, out);
    case POINTWISE: return forward_pointwise(s, in, out, block, batch.images);
    case BLUR: return forward_blur(s, in, out);
    case EXCITE: return forward_excite(s, in, out);
    case SUM: return forward_sum(s, in, data(n.maps[s.other], slot), out);
    case BRANCH: return;  // another name for the same data
    case RESULT: return to_images(in, batch.lanes(block), batch.out + first);
    default: return forward_pool(s, in, out);
    }
}

// batch.in: the gradient of the result; batch.out: that of the images, or null
static void backward_step(const Network &n, i64 which, const Batch &batch, Slot slot) {
    const Step &s = n.steps[which];
    const Map &map = n.maps[s.in];
    if (s.again) forward_step(n, n.steps[which - 1], batch, slot, slot.block);
    View in = data(map, slot), d_in = grad(map, slot), d_out = grad(n.maps[s.out], slot);
    i64 block = slot.block, first = block * LANES * in.channels * in.height * in.width;
    switch (s.kind) {
    case IMAGES:
        if (batch.out) to_images(d_in, batch.lanes(block), batch.out + first);
        return;
    case CONVOLUTION:
        backward_weights(s, in, d_out, n.scratch + slot.thread * n.scratch_size, partial(s, block, 0));
        if (map.wanted) backward_input(s, d_out, d_in);
        return;
    case POINTWISE: return backward_pointwise(s, in, d_out, s.batch_norm ? normed(map, slot) : d_in, block);
    case BLUR: return backward_blur(s, d_out, d_in);
    case EXCITE: return backward_excite(s, in, d_out, d_in, block);
    case SUM: return backward_sum(s, d_out, d_in, grad(n.maps[s.other], slot));
    case BRANCH: return add(d_out, d_in);
    case RESULT: return from_images(batch.in + first, batch.lanes(block), d_in);
    default: return backward_pool(s, in, d_out, d_in, block);
    }
}

static void prepare(const Network &n, bool training) {
    for (i64 i = 0; i < n.count; i++) {
        const Step &s = n.steps[i];
        if (s.kind == CONVOLUTION) pack_convolution(s, n.maps[s.in].channels, n.maps[s.out].channels);
        if (s.kind == POINTWISE && !(training && s.batch_norm)) set_scale(s, n.maps[s.in].channels, training);
    }
}

// The gradients of a step's parameters, added to what other steps with the same parameters have left there.
static void sum_gradients(const Step &s, i64 blocks) {
    for (int which = 0; which < PARAMETERS; which++)
        for (i64 i = 0; s.gradient[which] && i < s.size[which]; i++) {
            float sum = partial(s, 0, which)[i];
            for (i64 b = 1; b < blocks; b++) sum += partial(s, b, which)[i];
            s.gradient[which][i] += sum;
        }
}

extern "C" {

int lanes() { return LANES; }

// The factors of a dropout as the steps read them, [block][number] of registers; kept: 0 or 1, [image][number].
void lay_out(const float *kept, i64 images, i64 size, float share, vec *factors) {
    for (i64 first = 0; first < images; first += LANES, factors += size)
        for (i64 i = 0; i < LANES; i++)
            for (i64 n = 0; n < size; n++)
                factors[n][i] = first + i < images ? kept[(first + i) * size + n] / share : 0;
}

void forward(const Network *network, const float *images, i64 number, float *out) {
    const Network &n = *network;
    Batch batch = {number, images, out};
    prepare(n, true);
#pragma omp parallel num_threads(n.threads)
    for (i64 first = 0, last; first < n.count; first = last) {
        for (last = first + 1; last < n.count && !n.steps[last].batch_norm;) last++;
        const Step *norm = last < n.count ? n.steps + last : nullptr;
#pragma omp for schedule(static)
        for (i64 b = 0; b < batch.blocks(); b++) {
            Slot slot = {b, omp_get_thread_num()};
            for (i64 i = first; i < last; i++) forward_step(n, n.steps[i], batch, slot, b);
            if (norm) statistics(*norm, data(n.maps[norm->in], slot), b, number);
        }
#pragma omp single
        if (norm) batch_statistics(*norm, n.maps[norm->in], batch.blocks(), number);
    }
}

// d_out: the gradient of out; d_images: where that of the images goes, or null. Parameters' gradients must be 0 before.
void backward(const Network *network, const float *d_out, i64 number, float *d_images) {
    const Network &n = *network;
    Batch batch = {number, d_out, d_images};
#pragma omp parallel num_threads(n.threads)
    for (i64 last = n.count, first; last > 0; last = first) {
        for (first = last - 1; first > 0 && !n.steps[first].batch_norm;) first--;
        const Step *norm = last < n.count ? n.steps + last : nullptr;
#pragma omp for schedule(static)
        for (i64 b = 0; b < batch.blocks(); b++) {
            Slot slot = {b, omp_get_thread_num()};
            if (norm) {
                const Map &y = n.maps[norm->in];
                backward_norm(*norm, data(y, slot), normed(y, slot), grad(y, slot), b, number);
            }
            for (i64 i = last - 1; i >= first; i--) backward_step(n, i, batch, slot);
        }
#pragma omp single
        if (n.steps[first].batch_norm) sum_backward(n.steps[first], n.maps[n.steps[first].in].channels, batch.blocks());
    }
    for (i64 i = 0; i < n.count; i++) sum_gradients(n.steps[i], batch.blocks());
}

// A block goes through all steps before the next, in the thread's own slot: no statistics of the batch are needed.
void evaluate(const Network *network, const float *images, i64 number, float *out) {
    const Network &n = *network;
    Batch batch = {number, images, out};
    prepare(n, false);
#pragma omp parallel for schedule(static) num_threads(n.threads)
    for (i64 b = 0; b < batch.blocks(); b++) {
        i64 thread = omp_get_thread_num();
        for (i64 i = 0; i < n.count; i++) forward_step(n, n.steps[i], batch, {thread, thread}, b);
    }
}
}
