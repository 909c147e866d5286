/* experiment record_8k
   seed       1009
   run        cc92deb0f1ff40dc89b40423e1c5cfac
   weights    as trained
   data       mnist

   Image    28 x 28 x 1 uint8, row by row from the top left, the channels of a pixel together
   Classes  0, 1, 2, 3, 4, 5, 6, 7, 8, 9
   Flash    9279 bytes of constants, 7757 of them weights; and the code
   RAM      6804 bytes; image and scores are the caller's
   Work     1423322 multiply-accumulates */
#ifndef mnist_8k_h
#define mnist_8k_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    mnist_8k_height = 28,
    mnist_8k_width = 28,
    mnist_8k_channels = 1,
    mnist_8k_pixels = 28 * 28 * 1,
    mnist_8k_classes = 10
};

/* Return the class of an image, the one with the largest score. Scores times 8.13514129e-05 are the logits.
   Not reentrant: it works in memory of its own. */
int mnist_8k_predict(const uint8_t image[mnist_8k_pixels], int32_t scores[mnist_8k_classes]);

#ifdef __cplusplus
}
#endif
#endif
