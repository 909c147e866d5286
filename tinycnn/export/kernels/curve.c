/* A function, 11 bits after the binary point, of a number with 12: straight between 129 values from -8 to 8, and beyond
   them as the first and the last line go on. 2^30 is added before the division and taken away after it, because C
   rounds what is below 0 up. */
static int32_t curve(const int16_t *table, int32_t number)
{
    const int32_t place = (number < -2097152 ? -2097152 : number > 2097152 ? 2097152 : number) + 32768;
    const int32_t index = place < 0 ? 0 : place > 65535 ? 127 : place / 512, rest = place - index * 512;
    const int32_t along = (table[index + 1] - table[index]) * rest + 256;
    return table[index] + (along + 1073741824) / 512 - 2097152;
}
