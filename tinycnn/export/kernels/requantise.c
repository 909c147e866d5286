/* floor(sum * multiplier / 2^shift + 1/2), limited to -2^30 ... 2^30; shift is 1 to 46.
   2^62 is added before the shift and taken away after it, because C leaves to the compiler how it shifts what is below 0. */
static int32_t requantise(int32_t sum, int16_t multiplier, uint8_t shift)
{
    const uint64_t above = (uint64_t)1 << 62, half = ((uint64_t)1 << shift) >> 1;
    const uint64_t moved = ((uint64_t)((int64_t)sum * multiplier) + half + above) >> shift;
    const int64_t result = (int64_t)moved - (int64_t)(above >> shift), limit = (int64_t)1 << 30;
    return (int32_t)(result < -limit ? -limit : result > limit ? limit : result);
}
