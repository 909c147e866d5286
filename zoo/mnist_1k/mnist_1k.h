/* experiment record_1k
   seed       1000
   run        b13de775f0ed4f9d96b8d94b398866a8
   weights    as trained
   data       mnist

   Image    28 x 28 x 1 uint8, row by row from the top left, the channels of a pixel together
   Classes  0, 1, 2, 3, 4, 5, 6, 7, 8, 9
   Flash    1893 bytes of constants, 915 of them weights; and the code
   RAM      2848 bytes; image and scores are the caller's
   Work     140820 multiply-accumulates */
#ifndef mnist_1k_h
#define mnist_1k_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    mnist_1k_height = 28,
    mnist_1k_width = 28,
    mnist_1k_channels = 1,
    mnist_1k_pixels = 28 * 28 * 1,
    mnist_1k_classes = 10
};

/* Return the class of an image, the one with the largest score. Scores times 0.000327914766 are the logits.
   Not reentrant: it works in memory of its own. */
int mnist_1k_predict(const uint8_t image[mnist_1k_pixels], int32_t scores[mnist_1k_classes]);

#ifdef __cplusplus
}
#endif
#endif
