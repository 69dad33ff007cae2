/* samples.h: the shapes of samples as text, which takes a fifth of the space of the code that fills in structs. */
#ifndef OPS_BASE_SAMPLES_H
#define OPS_BASE_SAMPLES_H

#include "autodiff/op.h"

/* Fills the array `to`, of one or more dimensions, with shapes such as "2,3 4 ()", where () is a scalar. A semicolon
   stands where a reader sees a case end. */
#define AD__SHAPES(to, text) ad__read_shapes((int)(sizeof(to) / sizeof(ad_shape)), (ad_shape *)(to), text)
void ad__read_shapes(int n, ad_shape *to, const char *text);
/* ad_sample with such shapes, of n operands. */
void ad__sample_text(ad_sampler *s, const void *attrs, int n, const char *shapes, const double *lo, const double *hi);

#endif
