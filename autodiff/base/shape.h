/* shape.h: arithmetic on shapes, and choosing code by dtype; private to the library. */
#ifndef AUTODIFF_BASE_SHAPE_H
#define AUTODIFF_BASE_SHAPE_H

#include "autodiff/autodiff.h"

/* Whether s has 0 to 6 dimensions, no negative size and fewer than 2^59 elements. */
bool ad__shape_valid(ad_shape s);
/* *out = the shape that a and b broadcast to by NumPy's rule; -1 where they do not. */
int ad__broadcast(ad_shape a, ad_shape b, ad_shape *out);

/* f_f32(...) or f_f64(...), by dtype t. */
#define AD__BY_DTYPE(t, f, ...) ((t) == AD_F32 ? f##_f32(__VA_ARGS__) : f##_f64(__VA_ARGS__))

static inline int64_t ad__lesser(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
