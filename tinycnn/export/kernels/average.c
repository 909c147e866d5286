struct average {
    struct window window;
    int32_t offset; /* zero times the numbers of a window */
    int16_t multiplier;
    uint8_t shift, zero;
};

/* The average of each window as bytes or, where those are none, its sum in 32 bits. */
static void average(const struct average *p, const uint8_t *in, uint8_t *out, int32_t *wide)
{
    for (int32_t row = 0; row < p->window.out_height; row++)
        for (int32_t column = 0; column < p->window.out_width; column++)
            for (int32_t channel = 0; channel < p->window.channels; channel++) {
                int32_t sum;
                (void)window(&p->window, in + channel, row, column, &sum);
                if (wide)
                    *wide++ = sum - p->offset;
                else
                    *out++ = to_byte(requantise(sum - p->offset, p->multiplier, p->shift) + p->zero);
            }
}
