/* A convolution and its activation, into bytes or, where those are none, into 32 bits. */
static void conv(const struct conv *p, const uint8_t *in, uint8_t *out, int32_t *wide)
{
    for (int32_t row = 0; row < p->out_height; row++)
        for (int32_t column = 0; column < p->out_width; column++)
            for (int32_t output = 0; output < p->outputs; output++) {
                const int32_t sum = convolved(p, in, row, column, output);
                if (wide)
                    *wide++ = sum;
                else
                    *out++ = to_byte(sum + p->zero);
            }
}
