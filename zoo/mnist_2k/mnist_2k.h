/* experiment record_2k
   seed       1000
   run        7c760af0954b4ad995e2da697f76cc79
   weights    as trained
   data       mnist

   Image    28 x 28 x 1 uint8, row by row from the top left, the channels of a pixel together
   Classes  0, 1, 2, 3, 4, 5, 6, 7, 8, 9
   Flash    2938 bytes of constants, 1883 of them weights; and the code
   RAM      4272 bytes; image and scores are the caller's
   Work     282602 multiply-accumulates */
#ifndef mnist_2k_h
#define mnist_2k_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    mnist_2k_height = 28,
    mnist_2k_width = 28,
    mnist_2k_channels = 1,
    mnist_2k_pixels = 28 * 28 * 1,
    mnist_2k_classes = 10
};

/* Return the class of an image, the one with the largest score. Scores times 0.000403783421 are the logits.
   Not reentrant: it works in memory of its own. */
int mnist_2k_predict(const uint8_t image[mnist_2k_pixels], int32_t scores[mnist_2k_classes]);

#ifdef __cplusplus
}
#endif
#endif
