struct window {
    int16_t width, channels, out_height, out_width, rows, columns, stride_y, stride_x;
};

/* The largest number of a window, and the sum of all. */
static int32_t window(const struct window *p, const uint8_t *in, int32_t row, int32_t column, int32_t *total)
{
    int32_t largest = 0, sum = 0;
    for (int32_t i = 0; i < p->rows; i++)
        for (int32_t j = 0; j < p->columns; j++) {
            const int32_t y = row * p->stride_y + i, x = column * p->stride_x + j;
            const int32_t number = in[(y * p->width + x) * p->channels];
            largest = number > largest ? number : largest;
            sum += number;
        }
    *total = sum;
    return largest;
}
