struct conv {
    const int8_t *weights;     /* [outputs][rows][columns][inputs / groups] */
    const int32_t *bias;       /* [outputs] */
    const int16_t *multiplier; /* [outputs], of sums from 0 up */
    const int16_t *negative;   /* [outputs], of sums below 0; none: as above */
    const uint8_t *shift;      /* [outputs] */
    const uint8_t *border;     /* [inputs], what surrounds the map; none: 0 */
    int16_t height, width, inputs, out_height, out_width, outputs;
    int16_t rows, columns, stride_y, stride_x, dilation_y, dilation_x, pad_y, pad_x, groups;
    uint8_t zero;
};

static int32_t dot(const uint8_t *numbers, const int8_t *weights, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += (int32_t)numbers[i] * weights[i];
    return sum;
}

/* The sum of one output of a convolution, times its multiplier. */
static int32_t convolved(const struct conv *p, const uint8_t *in, int32_t row, int32_t column, int32_t output)
{
    const int32_t inputs = p->inputs / p->groups, outputs = p->outputs / p->groups, line = p->columns * inputs;
    const int32_t x = column * p->stride_x - p->pad_x, first = output / outputs * inputs;
    const int8_t *weights = p->weights + output * p->rows * line;
    int32_t sum = p->bias[output];
    for (int32_t i = 0; i < p->rows; i++, weights += line) {
        const int32_t y = row * p->stride_y - p->pad_y + i * p->dilation_y;
        const int inside = y >= 0 && y < p->height;
        if (inside && x >= 0 && x + p->columns <= p->width && p->dilation_x == 1 && p->groups == 1) {
            sum += dot(in + (y * p->width + x) * p->inputs, weights, line); /* in one go */
            continue;
        }
        for (int32_t j = 0; j < p->columns; j++) {
            const int32_t at = x + j * p->dilation_x;
            if (inside && at >= 0 && at < p->width)
                sum += dot(in + (y * p->width + at) * p->inputs + first, weights + j * inputs, inputs);
            else if (p->border)
                sum += dot(p->border + first, weights + j * inputs, inputs);
        }
    }
    return requantise(sum, (p->negative && sum < 0 ? p->negative : p->multiplier)[output], p->shift[output]);
}
