/* experiment record_cifar
   seed       1002
   run        2431d5ebe05a43f1b6db6185a30fe799
   weights    as trained
   data       cifar10

   Image    32 x 32 x 3 uint8, row by row from the top left, the channels of a pixel together
   Classes  airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck
   Flash    11658 bytes of constants, 7176 of them weights; and the code
   RAM      26880 bytes; image and scores are the caller's
   Work     1983336 multiply-accumulates */
#ifndef cifar_8k_h
#define cifar_8k_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    cifar_8k_height = 32,
    cifar_8k_width = 32,
    cifar_8k_channels = 3,
    cifar_8k_pixels = 32 * 32 * 3,
    cifar_8k_classes = 10
};

/* Return the class of an image, the one with the largest score. Scores times 3.2613657e-05 are the logits.
   Not reentrant: it works in memory of its own. */
int cifar_8k_predict(const uint8_t image[cifar_8k_pixels], int32_t scores[cifar_8k_classes]);

#ifdef __cplusplus
}
#endif
#endif
