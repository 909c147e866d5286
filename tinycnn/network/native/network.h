// A network as the kernels see it: maps, and the steps that compute one map from another.
#pragma once

#include "vectors.h"

struct Map {  // library.py has the same, field by field
    i64 channels, height, width;
    i64 border, halo;  // zeros around each plane of data and of its gradient: no tap of a convolution needs a test
    i64 wanted;        // whether anything before this map needs its gradient
    i64 brief_data, brief_grad;  // whether a thread keeps it for one block at a time: it then stays in the cache
    vec *data, *grad;  // [slot][channel][row][column]; grad: null in evaluation
    vec *normed;       // the gradient of its batch norm's result, where one follows: without halo, never brief
};

enum Kind { IMAGES, CONVOLUTION, POINTWISE, MAX_POOL, AVERAGE_POOL, GATED_POOL, BLUR, EXCITE, SUM, BRANCH, RESULT };
enum Function { NONE, RELU, PRELU, SILU, GELU };

constexpr int PARAMETERS = 4;

struct Step {  // library.py has the same, field by field
    i64 kind, in, out, other;       // maps; other: the second summand
    i64 rows, columns;              // of the window
    i64 stride, pad, dilation, groups;
    i64 function, pool, batch_norm; // pointwise; pool: side and stride of the window, 1 for none
    i64 drop_each;                  // whether `drop` has a factor for each element, or one for each map
    i64 again;                      // whether the input is computed again on the way back, by the step before
    i64 size[PARAMETERS];           // numbers in each parameter, 0 where there is none
    i64 partials;                   // their sum
    double eps, momentum;
    const float *parameter[PARAMETERS];
    float *gradient[PARAMETERS];
    float *running_mean, *running_var;
    const vec *drop;                // [block][channel] or [block][channel][row][column], or null
    float *packed, *packed_back;    // weights as the kernels read them
    float *scale, *shift, *mean, *inverse, *d_shift, *d_scale;  // [channel]
    double *sums;                   // [block][channel][2]: of batch norm
    float *partial;                 // [block][partials]: gradients of the parameters
};

struct Network {  // library.py has the same, field by field
    Map *maps;
    Step *steps;
    i64 count, threads;
    vec *scratch;      // [thread][scratch_size]
    i64 scratch_size;
};

struct Slot {  // which of a map's buffers: while training a block has its own, unless the map is brief
    i64 block, thread;
};

// The planes of a map in a slot.
struct View {
    vec *at;  // first pixel, within the border
    i64 row, plane, channels, height, width;
    vec *row_of(i64 channel, i64 y) const { return at + channel * plane + y * row; }
};

static inline View view(const Map &m, vec *start, i64 border, i64 slot) {
    i64 row = m.width + 2 * border, plane = row * (m.height + 2 * border);
    return {start + slot * m.channels * plane + border * (row + 1), row, plane, m.channels, m.height, m.width};
}
static inline View data(const Map &m, Slot at) {
    return view(m, m.data, m.border, m.brief_data ? at.thread : at.block);
}
static inline View grad(const Map &m, Slot at) {
    return view(m, m.grad, m.halo, m.brief_grad ? at.thread : at.block);
}

static inline void set(const View &to, float value) {
    for (i64 c = 0; c < to.channels; c++)
        for (i64 y = 0; y < to.height; y++) std::fill_n(to.row_of(c, y), to.width, all(value));
}

static inline View normed(const Map &m, Slot at) { return view(m, m.normed, 0, at.block); }

// where a block's gradients of a parameter go
static inline float *partial(const Step &s, i64 block, int which) {
    float *at = s.partial + block * s.partials;
    for (int i = 0; i < which; i++) at += s.size[i];
    return at;
}
