// What follows a convolution, in one pass: bias or batch norm, activation, dropout, max-pool without overlap.
#pragma once

#include "network.h"

// The mean of a block's numbers and the sum of their squared distances from it. They are taken from the first number,
// which is among them: so little is lost where the mean is far from 0.
static void statistics(const Step &s, const View &y, i64 block, i64 images) {
    vec valid = valid_lanes(block, images);
    double *to = s.sums + block * 2 * y.channels, count = (double)total(valid) * y.height * y.width;
    for (i64 o = 0; o < y.channels; o++) {
        vec near = all(y.row_of(o, 0)[0][0]), sum{}, more{}, squares{}, more_squares{};
        for (i64 r = 0; r < y.height; r++) {
            const vec *at = y.row_of(o, r);
            i64 c = 0;
            for (; c + 1 < y.width; c += 2) {
                vec x = at[c] - near, next = at[c + 1] - near;
                sum += x, squares += x * x;
                more += next, more_squares += next * next;
            }
            if (c < y.width) sum += at[c] - near, squares += (at[c] - near) * (at[c] - near);
        }
        double first = total((sum + more) * valid), second = total((squares + more_squares) * valid);
        to[2 * o] = near[0] + first / count;
        to[2 * o + 1] = second - first * first / count;
    }
}

static void set_scale(const Step &s, i64 channels, bool training) {
    for (i64 o = 0; o < channels; o++) {
        float beta = s.size[1] ? s.parameter[1][o] : 0;
        if (!s.batch_norm) {
            s.scale[o] = 1, s.shift[o] = beta;
            continue;
        }
        float mean = training ? s.mean[o] : s.running_mean[o];
        float inverse = training ? s.inverse[o] : 1 / std::sqrt((double)s.running_var[o] + s.eps);
        s.scale[o] = s.parameter[0][o] * inverse;
        s.shift[o] = beta - mean * s.scale[o];
    }
}

static void batch_statistics(const Step &s, const Map &y, i64 blocks, i64 images) {
    double count = (double)images * y.height * y.width, in_block = (double)LANES * y.height * y.width;
    for (i64 o = 0; o < y.channels; o++) {
        double mean = 0, squares = 0;
        for (i64 b = 0; b < blocks; b++) {  // the last block may have fewer images
            const double *of = s.sums + (b * y.channels + o) * 2;
            double more = b + 1 < blocks ? in_block : count - b * in_block, before = b * in_block;
            double distance = of[0] - mean;
            mean += distance * more / (before + more);
            squares += of[1] + distance * distance * before * more / (before + more);
        }
        double var = std::max(0.0, squares / count);
        s.mean[o] = mean;
        s.inverse[o] = 1 / std::sqrt(var + s.eps);
        s.running_mean[o] += s.momentum * (mean - s.running_mean[o]);
        s.running_var[o] += s.momentum * (squares / std::max(1.0, count - 1) - s.running_var[o]);
    }
    set_scale(s, y.channels, true);
}

// a channel's numbers, and the factors of its elements; passed by value, so that no store can change it
struct Channel {
    vec scale, shift, slope, keep;
    const vec *drop;  // of each element, or null
};

static Channel channel_of(const Step &s, i64 o, i64 channels, i64 pixels, i64 block, vec valid) {
    Channel c = {all(s.scale[o]), all(s.shift[o]), vec{}, valid, nullptr};
    if (s.function == PRELU) c.slope = all(s.parameter[2][s.size[2] > 1 ? o : 0]);
    if (s.drop && s.drop_each) c.drop = s.drop + (block * channels + o) * pixels;
    else if (s.drop) c.keep = valid * s.drop[block * channels + o];
    return c;
}

template <int F> static inline vec activated(vec z, vec slope) {
    if constexpr (F == RELU) return largest(vec{}, z);
    if constexpr (F == PRELU) return z > 0.f ? z : slope * z;
    if constexpr (F == SILU) return z * sigmoid(z);
    if constexpr (F == GELU) {
        vec function, density;
        normal(z, function, density);
        return z * function;
    }
    return z;
}

template <int F> static inline vec derivative(vec z, vec slope) {
    if constexpr (F == RELU) return choose(z > 0.f, all(1));
    if constexpr (F == PRELU) return choose(z > 0.f, all(1), slope);
    if constexpr (F == SILU) {
        vec gate = sigmoid(z);
        return gate * (1.f + z * (1.f - gate));
    }
    if constexpr (F == GELU) {
        vec function, density;
        normal(z, function, density);
        return function + z * density;
    }
    return all(1);
}

template <int F> static void forward_each(Channel k, const View &y, i64 o, const View &to) {
    const vec *drop = k.drop;
    for (i64 r = 0; r < y.height; r++) {
        const vec *at = y.row_of(o, r);
        vec *out = to.row_of(o, r);
        for (i64 c = 0; c < y.width; c++) {
            vec z = activated<F>(at[c] * k.scale + k.shift, k.slope) * k.keep;
            out[c] = drop ? z * drop[c] : z;
        }
        if (drop) drop += y.width;
    }
}

static void forward_pooled(const Step &s, Channel k, const View &y, i64 o, const View &to) {
    vec floor = all(s.function == RELU ? 0.f : -INFINITY);
    for (i64 r = 0; r < to.height; r++)
        for (i64 c = 0; c < to.width; c++) {
            vec best = floor;
            for (i64 i = 0; i < s.pool; i++) {
                const vec *at = y.row_of(o, r * s.pool + i) + c * s.pool;
                for (i64 j = 0; j < s.pool; j++) best = largest(best, at[j] * k.scale + k.shift);
            }
            to.row_of(o, r)[c] = best * k.keep;
        }
}

static void forward_pointwise(const Step &s, const View &y, const View &to, i64 block, i64 images) {
    vec valid = valid_lanes(block, images);
    for (i64 o = 0; o < y.channels; o++) {
        Channel k = channel_of(s, o, y.channels, y.height * y.width, block, valid);
        if (s.pool > 1) forward_pooled(s, k, y, o, to);
        else if (s.function == NONE) forward_each<NONE>(k, y, o, to);
        else if (s.function == RELU) forward_each<RELU>(k, y, o, to);
        else if (s.function == PRELU) forward_each<PRELU>(k, y, o, to);
        else if (s.function == SILU) forward_each<SILU>(k, y, o, to);
        else forward_each<GELU>(k, y, o, to);
    }
}

// ---- backward ------------------------------------------------------------------------------------------------------

struct Sums {  // of a channel, of the gradients of: its shift, its scale, the slope of its activation
    vec shift, scale, slope;
};

template <int F>
static Sums backward_each(Channel k, vec mean, vec inverse, const View &y, i64 o, const View &d_out,
                          const View &d_y) {
    vec shift{}, scale{}, slope{};  // not in a structure, which compilers keep in memory
    const vec *drop = k.drop;
    for (i64 r = 0; r < y.height; r++) {
        const vec *at = y.row_of(o, r), *from = d_out.row_of(o, r);
        vec *to = d_y.row_of(o, r);
        for (i64 c = 0; c < y.width; c++) {
            vec value = at[c], z = value * k.scale + k.shift, g = from[c] * k.keep;
            if (drop) g *= drop[c];
            if constexpr (F == PRELU) slope += g * choose(z < 0.f, z);
            vec d = F == RELU ? choose(z > 0.f, g) : g * derivative<F>(z, k.slope);
            shift += d;
            scale += d * ((value - mean) * inverse);
            to[c] = d;
        }
        if (drop) drop += y.width;
    }
    return {shift, scale, slope};
}

template <int POOL>  // the window's side, 0: any
static Sums backward_pooled(const Step &s, Channel k, vec mean, vec inverse, const View &y, i64 o,
                            const View &d_out, const View &d_y) {
    const i64 side = POOL ? POOL : s.pool;
    vec floor = all(s.function == RELU ? 0.f : -INFINITY), shift{}, scale{};
    if (d_out.height * side < y.height || d_out.width * side < y.width)  // what no window covers has no gradient
        for (i64 r = 0; r < y.height; r++) std::fill_n(d_y.row_of(o, r), y.width, vec{});
    for (i64 r = 0; r < d_out.height; r++)
        for (i64 c = 0; c < d_out.width; c++) {
            vec g = k.keep * d_out.row_of(o, r)[c], best = floor;  // the first of the largest gets it all, as in torch
            const vec *at = y.row_of(o, r * side) + c * side;
            vec *to = d_y.row_of(o, r * side) + c * side;
            for (i64 i = 0; i < side; i++)
                for (i64 j = 0; j < side; j++) best = largest(best, at[i * y.row + j] * k.scale + k.shift);
            mask open = s.function == RELU ? best > 0.f : ~mask{};
            for (i64 i = 0; i < side; i++)
                for (i64 j = 0; j < side; j++) {
                    vec value = at[i * y.row + j];
                    mask here = open & (value * k.scale + k.shift == best);
                    open &= ~here;
                    vec d = choose(here, g);
                    shift += d;
                    scale += d * ((value - mean) * inverse);
                    to[i * d_y.row + j] = d;
                }
        }
    return {shift, scale, vec{}};
}

static Sums backward_channel(const Step &s, Channel k, vec mean, vec inverse, const View &y, i64 o,
                             const View &d_out, const View &d_y) {
    if (s.pool == 2) return backward_pooled<2>(s, k, mean, inverse, y, o, d_out, d_y);
    if (s.pool > 1) return backward_pooled<0>(s, k, mean, inverse, y, o, d_out, d_y);
    switch (s.function) {
    case NONE: return backward_each<NONE>(k, mean, inverse, y, o, d_out, d_y);
    case RELU: return backward_each<RELU>(k, mean, inverse, y, o, d_out, d_y);
    case PRELU: return backward_each<PRELU>(k, mean, inverse, y, o, d_out, d_y);
    case SILU: return backward_each<SILU>(k, mean, inverse, y, o, d_out, d_y);
    default: return backward_each<GELU>(k, mean, inverse, y, o, d_out, d_y);
    }
}

// from the gradient of the result to that of batch norm's result, and the sums over it
static void backward_pointwise(const Step &s, const View &y, const View &d_out, const View &d_y, i64 block) {
    float *of_slope = partial(s, block, 2);
    std::fill_n(of_slope, s.size[2], 0.f);
    for (i64 o = 0; o < y.channels; o++) {
        Channel k = channel_of(s, o, y.channels, y.height * y.width, block, all(1));
        vec mean = all(s.batch_norm ? s.mean[o] : 0), inverse = all(s.batch_norm ? s.inverse[o] : 0);
        Sums sums = backward_channel(s, k, mean, inverse, y, o, d_out, d_y);
        float shift = total(sums.shift), scale = total(sums.scale);
        if (s.batch_norm) s.sums[(block * y.channels + o) * 2] = shift, s.sums[(block * y.channels + o) * 2 + 1] = scale;
        if (s.size[0]) partial(s, block, 0)[o] = scale;
        if (s.size[1]) partial(s, block, 1)[o] = shift;
        if (s.size[2]) of_slope[s.size[2] > 1 ? o : 0] += total(sums.slope);
    }
}

static void sum_backward(const Step &s, i64 channels, i64 blocks) {
    for (i64 o = 0; o < channels; o++) {
        double shift = 0, scale = 0;
        for (i64 b = 0; b < blocks; b++) {
            shift += s.sums[(b * channels + o) * 2];
            scale += s.sums[(b * channels + o) * 2 + 1];
        }
        s.d_shift[o] = shift, s.d_scale[o] = scale;
    }
}

// batch norm's own part: from the gradient of its result to that of its input
static void backward_norm(const Step &s, const View &y, const View &d, const View &d_y, i64 block, i64 images) {
    float count = (float)images * y.height * y.width;
    vec valid = valid_lanes(block, images);
    for (i64 o = 0; o < y.channels; o++) {
        vec shift = all(s.d_shift[o] / count), product = all(s.d_scale[o] / count * s.inverse[o]);
        vec scale = valid * s.scale[o], mean = all(s.mean[o]);
        for (i64 r = 0; r < y.height; r++) {
            const vec *at = y.row_of(o, r), *from = d.row_of(o, r);
            vec *to = d_y.row_of(o, r);
            for (i64 c = 0; c < y.width; c++) to[c] = scale * (from[c] - shift - (at[c] - mean) * product);
        }
    }
}
