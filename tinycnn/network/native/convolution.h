// Convolutions: any window, stride, padding, dilation and number of groups.
//
// A convolution is a list of taps, one for each input channel and pixel of the window: how far from the pixel of its
// first tap it reads. Output maps and neighbouring pixels are summed up in tiles of registers.
#pragma once

#include "network.h"

typedef std::vector<i64> Offsets;

constexpr int MOST_OUT = REGISTERS == 32 ? 12 : 6;
constexpr int wide(int out) { return out == 1 ? 6 : std::max(1, std::min(4, (REGISTERS - 1) / (out + 1))); }

static inline i64 part_of(i64 outputs, i64 most) {  // how many maps a tile takes, so that tiles are about equal
    i64 parts = (outputs + most - 1) / most;
    return (outputs + parts - 1) / parts;
}

// For each tile, for each tap, the tile's weights one after the other: weight[output * step + at[tap]].
static float *pack(const float *weight, i64 outputs, i64 step, const Offsets &at, float *packed) {
    i64 part = part_of(outputs, MOST_OUT);
    for (i64 first = 0; first < outputs; first += part)
        for (i64 tap : at)
            for (i64 o = first; o < std::min(outputs, first + part); o++) *packed++ = weight[o * step + tap];
    return packed;
}

// What a convolution reads: taps in rows, each `across` of all channels; a row's taps that lie above or below the map
// are left out. Left and right of it the map has zeros.
struct Taps {
    Offsets at, down;  // every tap's distance from a pixel of the result, in registers; every row's, in rows
    i64 across() const { return at.size() / down.size(); }
};

struct Source {  // steps in registers from the taps of a pixel to those of the next
    const vec *at;
    i64 row, column, rows, stride;  // rows: of the map; stride: in rows
};

struct Target {
    vec *at;
    i64 row, plane, column, height, width;
};

template <int OUT, int WIDE>
static inline void tile(const vec *in, i64 column, const i64 *tap, const i64 *end, const float *w, vec *out,
                        const Target &to) {
    vec sum[OUT][WIDE] = {};
    for (; tap < end; tap++, w += OUT) {
        const vec *at = in + *tap;
        vec x[WIDE];
        UNROLL for (int p = 0; p < WIDE; p++) x[p] = at[p * column];
        UNROLL for (int o = 0; o < OUT; o++) {
            vec each = all(w[o]);
            UNROLL for (int p = 0; p < WIDE; p++) sum[o][p] += each * x[p];
        }
    }
    UNROLL for (int o = 0; o < OUT; o++)
        UNROLL for (int p = 0; p < WIDE; p++) out[o * to.plane + p * to.column] = sum[o][p];
}

template <int OUT, int WIDE>
static inline void tiles(const vec *in, i64 column, const i64 *tap, const i64 *end, const float *w, vec *out,
                         const Target &to, i64 x) {
    for (; x + WIDE <= to.width; x += WIDE)
        tile<OUT, WIDE>(in + x * column, column, tap, end, w, out + x * to.column, to);
    if constexpr (WIDE > 1) tiles<OUT, WIDE - 1>(in, column, tap, end, w, out, to, x);
}

template <int OUT = MOST_OUT>
static void rows(i64 part, const Source &from, const Taps &taps, const float *w, const Target &to) {
    if constexpr (OUT > 1)
        if (part < OUT) return rows<OUT - 1>(part, from, taps, w, to);
    i64 count = taps.down.size(), across = count ? taps.across() : 0, first = 0, last = 0;
    for (i64 y = 0; y < to.height; y++) {
        while (last < count && y * from.stride + taps.down[last] < from.rows) last++;
        while (last > 0 && y * from.stride + taps.down[last - 1] >= from.rows) last--;
        for (first = 0; first < last && y * from.stride + taps.down[first] < 0;) first++;
        tiles<OUT, wide(OUT)>(from.at + y * from.row, from.column, taps.at.data() + first * across,
                              taps.at.data() + last * across, w + first * across * OUT, to.at + y * to.row, to, 0);
    }
}

static const float *convolve(const Source &from, const Taps &taps, const float *packed, Target to, i64 outputs) {
    i64 part = part_of(outputs, MOST_OUT);
    for (i64 first = 0; first < outputs; first += part) {
        i64 count = std::min(part, outputs - first);
        rows(count, from, taps, packed, to);
        packed += count * taps.at.size();
        to.at += count * to.plane;
    }
    return packed;
}

// Row by row, channel by channel, column by column.
static void forward_taps(const Step &s, i64 channels, const View &in, Taps &taps) {
    taps.at.clear(), taps.down.clear();
    for (i64 y = 0; y < s.rows; y++) {
        taps.down.push_back(y * s.dilation - s.pad);
        for (i64 c = 0; c < channels; c++)
            for (i64 x = 0; x < s.columns; x++)
                taps.at.push_back(c * in.plane + taps.down[y] * in.row + x * s.dilation - s.pad);
    }
}

static void forward_convolution(const Step &s, const View &in, const View &out) {
    static thread_local Taps taps;
    i64 channels = in.channels / s.groups, outputs = out.channels / s.groups;
    forward_taps(s, channels, in, taps);
    const float *packed = s.packed;
    for (i64 g = 0; g < s.groups; g++)
        packed = convolve({in.row_of(g * channels, 0), s.stride * in.row, s.stride, in.height, s.stride}, taps, packed,
                          {out.row_of(g * outputs, 0), out.row, out.plane, 1, out.height, out.width}, outputs);
}

// The pixels of the input that are `stride` apart get their gradients through the same taps: a convolution for each of
// the stride * stride sets, `first` its first pixel along an axis. taps: which taps, the last first.
static void taps_of(const Step &s, i64 first, i64 side, Offsets &taps, Offsets &distance) {
    taps.clear(), distance.clear();
    for (i64 t = side - 1; t >= 0; t--) {
        i64 at = first + s.pad - t * s.dilation;
        if (at % s.stride == 0) taps.push_back(t), distance.push_back(at / s.stride);
    }
}

// one of those convolutions for each set: use(first row, first column, rows, columns, their distances)
template <class Use>
static void each_set(const Step &s, const Use &use) {
    static thread_local Offsets rows, columns, down, right;
    for (i64 y = 0; y < s.stride; y++)
        for (i64 x = 0; x < s.stride; x++) {
            taps_of(s, y, s.rows, rows, down);
            taps_of(s, x, s.columns, columns, right);
            use(y, x, rows, columns, down, right);
        }
}

static void pack_convolution(const Step &s, i64 channels, i64 outputs) {
    static thread_local Offsets at;
    i64 window = s.rows * s.columns, inputs = channels / s.groups, each = outputs / s.groups;
    at.clear();
    for (i64 y = 0; y < s.rows; y++)
        for (i64 c = 0; c < inputs; c++)
            for (i64 x = 0; x < s.columns; x++) at.push_back(c * window + y * s.columns + x);
    float *packed = s.packed;
    for (i64 g = 0; g < s.groups; g++)
        packed = pack(s.parameter[0] + g * each * inputs * window, each, inputs * window, at, packed);
    if (!s.packed_back) return;
    packed = s.packed_back;
    each_set(s, [&](i64, i64, const Offsets &rows, const Offsets &columns, const Offsets &, const Offsets &) {
        at.clear();
        for (i64 y : rows)
            for (i64 o = 0; o < each; o++)
                for (i64 x : columns) at.push_back(o * inputs * window + y * s.columns + x);
        for (i64 g = 0; g < s.groups; g++)
            packed = pack(s.parameter[0] + g * each * inputs * window, inputs, window, at, packed);
    });
}

static void backward_input(const Step &s, const View &d_out, const View &d_in) {
    static thread_local Taps taps;
    i64 inputs = d_in.channels / s.groups, each = d_out.channels / s.groups;
    const float *packed = s.packed_back;
    each_set(s, [&](i64 y, i64 x, const Offsets &, const Offsets &, const Offsets &down, const Offsets &right) {
        i64 height = (d_in.height - y + s.stride - 1) / s.stride, width = (d_in.width - x + s.stride - 1) / s.stride;
        taps.at.clear(), taps.down.clear();
        for (i64 i : right.empty() ? Offsets() : down) {
            taps.down.push_back(i);
            for (i64 o = 0; o < each; o++)
                for (i64 j : right) taps.at.push_back(o * d_out.plane + i * d_out.row + j);
        }
        for (i64 g = 0; g < s.groups; g++)
            packed = convolve({d_out.row_of(g * each, 0), d_out.row, 1, d_out.height, 1}, taps, packed,
                              {d_in.row_of(g * inputs, y) + x, s.stride * d_in.row, d_in.plane, s.stride,
                               std::max<i64>(0, height), std::max<i64>(0, width)}, inputs);
    });
}

// ---- gradient of the weights: a tile of OUT output maps by TAPS taps is summed up over a band of rows --------------

constexpr int most_taps(int out) { return out == 1 ? 9 : REGISTERS == 32 && out == 2 ? 9 : 3; }
constexpr int MOST_CORRELATED = REGISTERS == 32 ? 8 : 4;

constexpr i64 IN_CACHE = 20000;  // bytes of a band's gradients: they stay in the L1 cache for all taps

struct Band {  // of rows: input and gradient
    const vec *in, *grad;
    i64 row, column, g_row, g_plane, height, width;
};

template <int OUT, int TAPS>
static inline void correlate(const Band &b, const i64 *taps, vec *sums, i64 step) {
    vec sum[OUT][TAPS] = {};
    i64 offset[TAPS];
    UNROLL for (int t = 0; t < TAPS; t++) offset[t] = taps[t];
    for (i64 y = 0; y < b.height; y++) {
        const vec *at = b.in + y * b.row, *g = b.grad + y * b.g_row;
        for (i64 i = 0; i < b.width; i++, at += b.column, g++) {
            vec x[TAPS];
            UNROLL for (int t = 0; t < TAPS; t++) x[t] = at[offset[t]];
            UNROLL for (int o = 0; o < OUT; o++) {
                vec each = in_register(g[o * b.g_plane]);
                UNROLL for (int t = 0; t < TAPS; t++) sum[o][t] += each * x[t];
            }
        }
    }
    UNROLL for (int o = 0; o < OUT; o++)
        UNROLL for (int t = 0; t < TAPS; t++) sums[o * step + t] += sum[o][t];
}

template <int OUT, int TAPS = most_taps(OUT)>
static void all_taps(const Band &b, const i64 *taps, i64 count, vec *sums, i64 step) {
    for (; count >= TAPS; count -= TAPS, taps += TAPS, sums += TAPS) correlate<OUT, TAPS>(b, taps, sums, step);
    if constexpr (TAPS > 1) all_taps<OUT, (TAPS > 3 ? 3 : TAPS - 1)>(b, taps, count, sums, step);
}

template <int OUT = MOST_CORRELATED>
static void pick(i64 part, const Band &b, const Offsets &taps, vec *sums) {
    if constexpr (OUT > 1)
        if (part < OUT) return pick<OUT - 1>(part, b, taps, sums);
    all_taps<OUT>(b, taps.data(), taps.size(), sums, taps.size());
}

static void backward_weights(const Step &s, const View &in, const View &d_out, vec *sums, float *gradient) {
    static thread_local Offsets taps;
    i64 channels = in.channels / s.groups, outputs = d_out.channels / s.groups, part = part_of(outputs, MOST_CORRELATED);
    taps.clear();
    for (i64 c = 0; c < channels; c++)  // in the order of the weights
        for (i64 y = 0; y < s.rows; y++)
            for (i64 x = 0; x < s.columns; x++)
                taps.push_back(c * in.plane + (y * s.dilation - s.pad) * in.row + x * s.dilation - s.pad);
    memset((void *)sums, 0, s.size[0] * sizeof(vec));
    i64 band = std::max<i64>(1, IN_CACHE / (i64)(part * d_out.width * sizeof(vec)));
    for (i64 g = 0; g < s.groups; g++)
        for (i64 o = g * outputs; o < (g + 1) * outputs; o += part)
            for (i64 y = 0; y < d_out.height; y += band)
                pick(std::min(part, (g + 1) * outputs - o),
                     {in.row_of(g * channels, y * s.stride), d_out.row_of(o, y), s.stride * in.row, s.stride, d_out.row,
                      d_out.plane, std::min(band, d_out.height - y), d_out.width},
                     taps, sums + o * taps.size());
    totals(sums, s.size[0], gradient);
}
