struct gated_pool {
    struct window window;
    const int32_t *bias;       /* [channels], and the rest of what makes a gate of a window's sum */
    const int16_t *multiplier;
    const uint8_t *gate_shift;
    int16_t factor; /* of the product */
    uint8_t shift, in_zero, zero;
};

/* The largest number of each window times the sigmoid of its average, scaled and shifted by channel. */
static void gated_pool(const struct gated_pool *p, const uint8_t *in, uint8_t *out)
{
    for (int32_t row = 0; row < p->window.out_height; row++)
        for (int32_t column = 0; column < p->window.out_width; column++)
            for (int32_t channel = 0; channel < p->window.channels; channel++) {
                int32_t sum;
                const int32_t largest = window(&p->window, in + channel, row, column, &sum) - p->in_zero;
                const int32_t gate = requantise(sum + p->bias[channel], p->multiplier[channel], p->gate_shift[channel]);
                *out++ = to_byte(requantise(largest * sigmoid(gate), p->factor, p->shift) + p->zero);
            }
}
