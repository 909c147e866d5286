struct scale {
    int32_t pixels;
    int16_t channels, multiplier;
    uint8_t shift, in_zero, zero;
};

/* A map times the sigmoid of another number for each channel. */
static void scale(const struct scale *p, const uint8_t *in, const int32_t *gates, uint8_t *out)
{
    for (int32_t channel = 0; channel < p->channels; channel++) {
        const int32_t gate = sigmoid(gates[channel]);
        for (int32_t i = channel; i < p->pixels * p->channels; i += p->channels)
            out[i] = to_byte(requantise((in[i] - p->in_zero) * gate, p->multiplier, p->shift) + p->zero);
    }
}
