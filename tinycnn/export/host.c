/* Reads images from the standard input and writes their scores to the standard output, 4 bytes each, low byte first.
   With -DTIMED it also tells, on the standard error, the processor time in microseconds and the number of images. */
#include HEADER

#include <stdio.h>
#ifdef TIMED
#include <time.h>
#endif

#define JOIN(a, b) a##b
#define NAMED(a, b) JOIN(a, b)
#define OF(what) NAMED(MODEL, what)

int main(void)
{
    static uint8_t image[OF(_pixels)];
    static int32_t scores[OF(_classes)];
#ifdef TIMED
    double spent = 0;
    long images = 0;
#endif
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {
#ifdef TIMED
        const clock_t begun = clock();
#endif
        OF(_predict)(image, scores);
#ifdef TIMED
        spent += (double)(clock() - begun) / CLOCKS_PER_SEC;
        images++;
#endif
        for (int i = 0; i < OF(_classes); i++)
            for (int bits = 0; bits < 32; bits += 8)
                putchar((int)((uint32_t)scores[i] >> bits & 255));
    }
#ifdef TIMED
    fprintf(stderr, "%.0f %ld\n", spent * 1e6, images);
#endif
    return 0;
}
