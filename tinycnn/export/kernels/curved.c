struct curved {
    struct conv conv;
    const int16_t *table;
    const int16_t *by;       /* [outputs] multipliers of the curve, or one for all */
    const uint8_t *by_shift; /* as many */
    const uint8_t *zeros;    /* as many */
    uint8_t each;            /* 1: one for each output */
};

/* A convolution whose sums, 12 bits after the binary point, pass a curve before they are bytes. */
static void curved(const struct curved *p, const uint8_t *in, uint8_t *out)
{
    for (int32_t row = 0; row < p->conv.out_height; row++)
        for (int32_t column = 0; column < p->conv.out_width; column++)
            for (int32_t output = 0; output < p->conv.outputs; output++) {
                const int32_t number = curve(p->table, convolved(&p->conv, in, row, column, output));
                const int32_t i = output * p->each;
                *out++ = to_byte(requantise(number, p->by[i], p->by_shift[i]) + p->zeros[i]);
            }
}
