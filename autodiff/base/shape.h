/* shape.h: arithmetic on shapes, and access to elements by dtype; private to the library. */
#ifndef AUTODIFF_BASE_SHAPE_H
#define AUTODIFF_BASE_SHAPE_H

#include "autodiff/autodiff.h"
#include "autodiff/base/floating.h"

/* ad_shape_numel and ad_shape_equal without copies: the copy of a shape that was just written waits for the stores. */
int64_t ad__numel_of(const ad_shape *s);
static inline bool ad__equal_shapes(const ad_shape *a, const ad_shape *b) {
    bool same = a->ndim == b->ndim && a->ndim >= 0 && a->ndim <= AD_MAX_NDIM;
    for (int i = 0; same && i < a->ndim; i++) same = a->dim[i] == b->dim[i];
    return same;
}
/* An array has fewer elements than 2 to this power, so that its bytes, and twice as many, can be counted. */
enum { AD__NUMEL_BITS = sizeof(ptrdiff_t) == 8 ? 59 : 27 };
/* True if s has 0 to AD_MAX_NDIM dimensions, no negative size and not too many elements. */
static inline bool ad__shape_valid(ad_shape s) { return ad__numel_of(&s) >= 0; }
/* Sets *out to the shape that a and b broadcast to by NumPy's rule. Returns 0, or -1 if they do not broadcast. */
int ad__broadcast(ad_shape a, ad_shape b, ad_shape *out);

/* Calls f_f32(...) or f_f64(...), by dtype t. */
#define AD__BY_DTYPE(t, f, ...) ((t) == AD_F32 ? f##_f32(__VA_ARGS__) : f##_f64(__VA_ARGS__))

static inline int64_t ad__lesser(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ad__greater(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
