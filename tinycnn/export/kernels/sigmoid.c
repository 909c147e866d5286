/* The sigmoid, 15 bits after the binary point, of a number with 12: interpolated between 129 values from -8 to 8. */
static int32_t sigmoid(int32_t number)
{
    const int32_t place = (number < -32768 ? -32768 : number > 32767 ? 32767 : number) + 32768, rest = place % 512;
    const uint16_t *left = sigmoid_table + place / 512;
    return left[0] + ((int32_t)(left[1] - left[0]) * rest + 256) / 512;
}
