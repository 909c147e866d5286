// Pools of any size and stride, the blur of anti-aliased pools, and the gate of squeeze-and-excite.
#pragma once

#include "network.h"

// every window of a map: use(channel, row, column, its first pixel)
template <class Use>
static inline void each_window(const Step &s, const View &in, const View &out, const Use &use) {
    for (i64 c = 0; c < out.channels; c++)
        for (i64 y = 0; y < out.height; y++)
            for (i64 x = 0; x < out.width; x++)
                use(c, y, x, in.row_of(c, y * s.stride) + x * s.stride);
}

static inline vec highest(const Step &s, const vec *at, i64 row) {
    vec best = *at;
    for (i64 i = 0; i < s.rows; i++)
        for (i64 j = 0; j < s.columns; j++) best = largest(best, at[i * row + j]);
    return best;
}

static inline vec average(const Step &s, const vec *at, i64 row) {
    vec sum{};
    for (i64 i = 0; i < s.rows; i++)
        for (i64 j = 0; j < s.columns; j++) sum += at[i * row + j];
    return sum / (float)(s.rows * s.columns);
}

// a window's gradient: to its first highest pixel, as in torch
static inline void to_highest(const Step &s, const vec *at, i64 row, vec best, vec d, vec *to, i64 to_row) {
    mask open = ~mask{};
    for (i64 i = 0; i < s.rows; i++)
        for (i64 j = 0; j < s.columns; j++) {
            mask here = open & (at[i * row + j] == best);
            open &= ~here;
            to[i * to_row + j] += choose(here, d);
        }
}

static inline void to_all(const Step &s, vec d, vec *to, i64 to_row) {
    for (i64 i = 0; i < s.rows; i++)
        for (i64 j = 0; j < s.columns; j++) to[i * to_row + j] += d;
}

static void forward_pool(const Step &s, const View &in, const View &out) {
    each_window(s, in, out, [&](i64 c, i64 y, i64 x, const vec *at) {
        vec &to = out.row_of(c, y)[x];
        if (s.kind == AVERAGE_POOL) to = average(s, at, in.row);
        else to = highest(s, at, in.row);
        if (s.kind == GATED_POOL)
            to *= sigmoid(average(s, at, in.row) * s.parameter[0][c] + s.parameter[1][c]);
    });
}

static void backward_pool(const Step &s, const View &in, const View &d_out, const View &d_in, i64 block) {
    std::vector<vec> d_scale(in.channels, vec{}), d_shift(in.channels, vec{});
    float size = s.rows * s.columns;
    set(d_in, 0);
    each_window(s, in, d_out, [&](i64 c, i64 y, i64 x, const vec *at) {
        vec d = d_out.row_of(c, y)[x];
        vec *to = d_in.row_of(c, y * s.stride) + x * s.stride;
        if (s.kind == AVERAGE_POOL) return to_all(s, d / size, to, d_in.row);
        vec best = highest(s, at, in.row);
        if (s.kind == MAX_POOL) return to_highest(s, at, in.row, best, d, to, d_in.row);
        vec middle = average(s, at, in.row), gate = sigmoid(middle * s.parameter[0][c] + s.parameter[1][c]);
        vec d_gate = d * best * gate * (1.f - gate);
        d_scale[c] += d_gate * middle;
        d_shift[c] += d_gate;
        to_highest(s, at, in.row, best, d * gate, to, d_in.row);
        to_all(s, d_gate * s.parameter[0][c] / size, to, d_in.row);
    });
    if (s.kind == GATED_POOL)
        for (i64 c = 0; c < in.channels; c++) {
            partial(s, block, 0)[c] = total(d_scale[c]);
            partial(s, block, 1)[c] = total(d_shift[c]);
        }
}

// ---- blur: a fixed filter of rows * columns; at the border the map is reflected ------------------------------------

static inline i64 reflected(i64 at, i64 side) { return at < 0 ? -at : at >= side ? 2 * side - 2 - at : at; }

template <class Use>
static inline void each_blurred(const Step &s, const View &in, const View &out, const Use &use) {
    const float *filter = s.parameter[0];
    for (i64 c = 0; c < out.channels; c++)
        for (i64 y = 0; y < out.height; y++)
            for (i64 i = 0; i < s.rows; i++) {
                i64 row = reflected(y * s.stride + i - s.pad, in.height);
                for (i64 j = 0; j < s.columns; j++)
                    for (i64 x = 0; x < out.width; x++)
                        use(out.row_of(c, y)[x], in.row_of(c, row)[reflected(x * s.stride + j - s.pad, in.width)],
                            filter[i * s.columns + j]);
            }
}

static void forward_blur(const Step &s, const View &in, const View &out) {
    set(out, 0);
    each_blurred(s, in, out, [](vec &to, const vec &from, float weight) { to += weight * from; });
}

static void backward_blur(const Step &s, const View &d_out, const View &d_in) {
    set(d_in, 0);
    each_blurred(s, d_in, d_out, [](const vec &from, vec &to, float weight) { to += weight * from; });
}

// ---- squeeze-and-excite --------------------------------------------------------------------------------------------

struct Excitement {
    std::vector<vec> average, hidden, gate;

    // parameters: weight [hidden][channel] and bias of the first layer, weight [channel][hidden] and bias of the second
    Excitement(const Step &s, const View &in) : average(in.channels), hidden(s.size[1]), gate(in.channels) {
        i64 units = s.size[1];
        for (i64 c = 0; c < in.channels; c++) {
            vec sum{};
            for (i64 y = 0; y < in.height; y++)
                for (i64 x = 0; x < in.width; x++) sum += in.row_of(c, y)[x];
            average[c] = sum / (float)(in.height * in.width);
        }
        for (i64 h = 0; h < units; h++) {
            vec sum = all(s.parameter[1][h]);
            for (i64 c = 0; c < in.channels; c++) sum += s.parameter[0][h * in.channels + c] * average[c];
            hidden[h] = largest(sum, vec{});
        }
        for (i64 c = 0; c < in.channels; c++) {
            vec sum = all(s.parameter[3][c]);
            for (i64 h = 0; h < units; h++) sum += s.parameter[2][c * units + h] * hidden[h];
            gate[c] = sigmoid(sum);
        }
    }
};

static void forward_excite(const Step &s, const View &in, const View &out) {
    Excitement found(s, in);
    for (i64 c = 0; c < in.channels; c++)
        for (i64 y = 0; y < in.height; y++)
            for (i64 x = 0; x < in.width; x++) out.row_of(c, y)[x] = in.row_of(c, y)[x] * found.gate[c];
}

static void backward_excite(const Step &s, const View &in, const View &d_out, const View &d_in, i64 block) {
    Excitement found(s, in);
    i64 units = s.size[1];
    std::vector<vec> d_hidden(units, vec{});
    for (i64 c = 0; c < in.channels; c++) {
        vec sum{};
        for (i64 y = 0; y < in.height; y++)
            for (i64 x = 0; x < in.width; x++) sum += d_out.row_of(c, y)[x] * in.row_of(c, y)[x];
        sum *= found.gate[c] * (1.f - found.gate[c]);
        partial(s, block, 3)[c] = total(sum);
        for (i64 h = 0; h < units; h++) {
            partial(s, block, 2)[c * units + h] = total(sum * found.hidden[h]);
            d_hidden[h] += sum * s.parameter[2][c * units + h];
        }
    }
    for (i64 h = 0; h < units; h++) {
        d_hidden[h] = choose(found.hidden[h] > 0.f, d_hidden[h]);
        partial(s, block, 1)[h] = total(d_hidden[h]);
        for (i64 c = 0; c < in.channels; c++)
            partial(s, block, 0)[h * in.channels + c] = total(d_hidden[h] * found.average[c]);
    }
    for (i64 c = 0; c < in.channels; c++) {
        vec sum{};
        for (i64 h = 0; h < units; h++) sum += d_hidden[h] * s.parameter[0][h * in.channels + c];
        sum /= (float)(in.height * in.width);
        for (i64 y = 0; y < in.height; y++)
            for (i64 x = 0; x < in.width; x++) d_in.row_of(c, y)[x] = d_out.row_of(c, y)[x] * found.gate[c] + sum;
    }
}
