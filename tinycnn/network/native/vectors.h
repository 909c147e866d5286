// Registers of floats, one image in each lane, and the functions of them that the kernels need.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

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

// The same, loaded once: compilers would rather read it from memory for each of its uses.
static inline vec in_register(vec v) {
#if defined(__x86_64__)
    asm("" : "+v"(v));
#elif defined(__aarch64__)
    asm("" : "+w"(v));
#endif
    return v;
}

static inline vec all(float x) { return x - vec{}; }
static inline vec choose(mask m, vec a) { return (vec)(m & (mask)a); }
static inline vec choose(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }
static inline vec largest(vec a, vec b) { return a > b ? a : b; }
static inline float total(vec v) {
    float x[LANES];
    memcpy(x, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
}
// the totals of many
static inline void totals(const vec *v, i64 count, float *to) {
    typedef float four __attribute__((vector_size(16), may_alias));
    for (i64 i = 0; i < count; i++) {
        const four *part = (const four *)(v + i);
        four sum = part[0];
        UNROLL for (int k = 1; k < LANES / 4; k++) sum += part[k];
        to[i] = (sum[0] + sum[2]) + (sum[1] + sum[3]);
    }
}
static inline vec valid_lanes(i64 block, i64 images) {
    vec v{};
    for (int i = 0; i < LANES; i++) v[i] = block * LANES + i < images;
    return v;
}

// e^x within 2 units of the last place: 2^n times a polynomial of the rest (Cephes, expf)
static inline vec exponential(vec x) {
    x = largest(all(-87.f), x);
    x = x < 88.f ? x : all(88.f);
    const vec whole = all(12582912.f);  // 1.5 * 2^23: what is added to it is rounded to an integer
    vec shifted = x * 1.44269504f + whole, n = shifted - whole;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.f;
    return p * (vec)(((mask)shifted - 0x4B400000 + 127) << 23);
}
static inline vec sigmoid(vec x) { return 1.f / (1.f + exponential(-x)); }

// the normal distribution's function and density (Abramowitz & Stegun 7.1.26; error below 1e-7)
static inline void normal(vec x, vec &function, vec &density) {
    vec size = largest(x, -x), bell = exponential(-0.5f * x * x);
    vec t = 1.f / (1.f + (0.3275911f * 0.70710678f) * size);
    vec tail = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    tail *= 0.5f * bell;
    function = x < 0.f ? tail : 1.f - tail;
    density = 0.39894228f * bell;
}
