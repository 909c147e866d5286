static void max_pool(const struct window *p, const uint8_t *in, uint8_t *out)
{
    for (int32_t row = 0; row < p->out_height; row++)
        for (int32_t column = 0; column < p->out_width; column++)
            for (int32_t channel = 0; channel < p->channels; channel++) {
                int32_t sum;
                *out++ = (uint8_t)window(p, in + channel, row, column, &sum);
            }
}
