struct add {
    int16_t height, width, channels, other_width, crop, multiplier, other_multiplier;
    uint8_t shift, in_zero, other_zero, zero;
};

/* The sum of a map and of the middle of another. */
static void add(const struct add *p, const uint8_t *in, const uint8_t *other, uint8_t *out)
{
    for (int32_t row = 0; row < p->height; row++)
        for (int32_t column = 0; column < p->width; column++) {
            const uint8_t *beside = other + ((row + p->crop) * p->other_width + column + p->crop) * p->channels;
            for (int32_t channel = 0; channel < p->channels; channel++) {
                const int32_t sum = (int32_t)(*in++ - p->in_zero) * p->multiplier +
                                    (int32_t)(beside[channel] - p->other_zero) * p->other_multiplier;
                *out++ = to_byte(requantise(sum, 1, p->shift) + p->zero);
            }
        }
}
