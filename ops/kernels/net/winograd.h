/* winograd.h: convolutions by kernels of 3 x 3 with 16 multiplications for 2 x 2 results, where windows take 36.

   A tile is a square of 4 x 4 pixels d, from which 2 x 2 results come: y = A^T ((G w G^T) * (B^T d B)) A, where * is
   the product of elements. These are summed over the channels before A, so a convolution is 16 matrix products:
   F(2 x 2, 3 x 3) of A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2016. Its gradients
   have the same form with transposed matrices.

   Rounding errors are relative to the largest pixel of a tile. Images are [c,h,w], results [o,oh,ow] and weights
   [o,c,3,3], or [c,o,3,3] if they are turned: then the image is a gradient of the results. Strides and dilations are 1,
   padding is 0 to 2, and c and o are multiples of 8. */
#ifndef OPS_KERNELS_NET_WINOGRAD_H
#define OPS_KERNELS_NET_WINOGRAD_H

#include "ops/kernels/net/im2col.h"

/* Whether this takes less time than windows: from 32 channels on both sides, for images that are not too small. */
bool ad__winograd_suits(const ad__window_of *w, int64_t o);
/* False if one of n numbers is not finite, or so large that sums could overflow where those of windows would not: then
   its image needs windows. */
bool ad__winograd_takes(int64_t n, const float *x);

/* Floats of work for a convolution with o results. */
int64_t ad__winograd_work(const ad__window_of *w, int64_t o);

/* G w G^T -> u [16,o,c] */
void ad__winograd_weights(int64_t o, int64_t c, bool turned, const float *w, float *u);
/* Adds the results of an image to y, or overwrites y if fresh is true. */
void ad__winograd_results(const ad__window_of *w, int64_t o, const float *u, const float *image, bool fresh, float *y,
                          float *work);

/* Adds to sums [16,o,c] what an image and the gradient g of its results give for the gradient of u. */
void ad__winograd_sums(const ad__window_of *w, int64_t o, const float *image, const float *g, float *sums, float *work);
/* Adds G^T sums G to w [o,c,3,3]. */
void ad__winograd_into_weights(int64_t o, int64_t c, const float *sums, float *w);

#endif
