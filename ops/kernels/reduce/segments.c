/* segments.c: divides an array into the segments of a reduction, and reduces one: product, variance, norm, arg. */
#include "ops/kernels/base/vector_math.h"

#include "ops/kernels/reduce/segments.h"

#include "ops/kernels/base/sum.h"
#include "ops/kernels/base/vector.h"

ad__segments ad__segments_of(ad_shape s, unsigned mask) {
    ad__segments c = { .n_segments = 1, .n = 1 };
    int64_t stride[AD_MAX_NDIM], dim[AD_MAX_NDIM], from[AD_MAX_NDIM], to[AD_MAX_NDIM];
    int reduced = 0;
    ad__row_major(s, stride);
    for (int i = s.ndim - 1; i >= 0; i--)
        if (mask >> i & 1) {
            dim[reduced] = s.dim[i], from[reduced] = stride[i], to[reduced++] = c.n;
            c.n *= s.dim[i];
        } else if (s.dim[i] != 1) {
            c.dim[c.kept] = s.dim[i], c.stride[c.kept++] = stride[i];
            c.n_segments *= s.dim[i];
        }
    c.row = ad__copy_plan_of(reduced, dim, from, to);
    return c;
}

/* c->dim and c->stride list the kept axes from the last to the first. */
int64_t ad__segment_start(const ad__segments *c, int64_t segment) {
    int64_t at = 0;
    for (int a = 0; a < c->kept; a++) {
        at += segment % c->dim[a] * c->stride[a];
        segment /= c->dim[a];
    }
    return at;
}

/* Whether a sum of squares or powers is far enough from overflow and underflow to be accurate. */
static bool in_range(double sum) { return sum > 1e-280 && sum < 1e300; }

#define KERNELS "ops/kernels/reduce/segments.inc"
#include "ops/kernels/base/each_dtype.h"
