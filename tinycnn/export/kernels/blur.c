struct blur {
    const uint8_t *filter; /* [side], whose sum is 2^(side - 1) */
    int16_t height, width, channels, out_height, out_width, side, stride;
};

static int32_t reflected(int32_t place, int32_t size)
{
    return place < 0 ? -place : place < size ? place : 2 * (size - 1) - place;
}

static void blur(const struct blur *p, const uint8_t *in, uint8_t *out)
{
    const int32_t before = (p->side - 1) / 2, whole = (int32_t)1 << (2 * (p->side - 1));
    for (int32_t row = 0; row < p->out_height; row++)
        for (int32_t column = 0; column < p->out_width; column++)
            for (int32_t channel = 0; channel < p->channels; channel++) {
                int32_t sum = whole / 2;
                for (int32_t i = 0; i < p->side; i++)
                    for (int32_t j = 0; j < p->side; j++) {
                        const int32_t y = reflected(row * p->stride + i - before, p->height);
                        const int32_t x = reflected(column * p->stride + j - before, p->width);
                        sum += (int32_t)p->filter[i] * p->filter[j] * in[(y * p->width + x) * p->channels + channel];
                    }
                *out++ = (uint8_t)(sum / whole);
            }
}
