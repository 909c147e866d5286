/* experiment record_4k
   seed       1001
   run        f8b338b4149e4e85894759c6f40bae62
   weights    as trained
   data       mnist

   Image    28 x 28 x 1 uint8, row by row from the top left, the channels of a pixel together
   Classes  0, 1, 2, 3, 4, 5, 6, 7, 8, 9
   Flash    4995 bytes of constants, 3830 of them weights; and the code
   RAM      5916 bytes; image and scores are the caller's
   Work     565700 multiply-accumulates */
#ifndef mnist_4k_h
#define mnist_4k_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    mnist_4k_height = 28,
    mnist_4k_width = 28,
    mnist_4k_channels = 1,
    mnist_4k_pixels = 28 * 28 * 1,
    mnist_4k_classes = 10
};

/* Return the class of an image, the one with the largest score. Scores times 0.000258325125 are the logits.
   Not reentrant: it works in memory of its own. */
int mnist_4k_predict(const uint8_t image[mnist_4k_pixels], int32_t scores[mnist_4k_classes]);

#ifdef __cplusplus
}
#endif
#endif
