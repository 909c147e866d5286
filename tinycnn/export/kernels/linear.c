struct linear {
    const int8_t *weights;     /* [outputs][inputs / groups] */
    const int32_t *bias;       /* [outputs] */
    const int16_t *multiplier; /* [outputs], of sums from 0 up */
    const int16_t *negative;   /* [outputs], of sums below 0; none: as above */
    const uint8_t *shift;      /* [outputs] */
    int16_t inputs, outputs, groups;
    uint8_t zero;
};

/* A linear layer, and its activation, of numbers of 32 bits; into bytes or, where those are none, into 32 bits. */
static void linear(const struct linear *p, const int32_t *in, uint8_t *out, int32_t *wide)
{
    const int32_t inputs = p->inputs / p->groups, outputs = p->outputs / p->groups;
    for (int32_t output = 0; output < p->outputs; output++) {
        const int32_t *numbers = in + output / outputs * inputs;
        int32_t sum = p->bias[output];
        for (int32_t i = 0; i < inputs; i++)
            sum += numbers[i] * p->weights[output * inputs + i];
        sum = requantise(sum, (p->negative && sum < 0 ? p->negative : p->multiplier)[output], p->shift[output]);
        if (wide)
            wide[output] = sum;
        else
            out[output] = to_byte(sum + p->zero);
    }
}
