/* broadcast.h: the map that broadcasts a small array to a larger shape; reading through it, and summing back. */
#ifndef OPS_KERNELS_BASE_BROADCAST_H
#define OPS_KERNELS_BASE_BROADCAST_H

#include "autodiff/base/parallel.h"
#include "ops/kernels/base/simd.h"

/* For each axis of the big array, its size and the stride in the small array, 0 where the small array repeats. Axes
   that can be traversed as one are merged, so the stride of the last axis is 0 or 1. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM], stride[AD_MAX_NDIM];
} ad__broadcast_map;
ad__broadcast_map ad__broadcast_map_of(ad_shape small, ad_shape big); /* small broadcasts to big */
/* Whether the small array has the same elements as the big one, in the same order. */
static inline bool ad__broadcast_is_whole(const ad__broadcast_map *s) {
    return s->ndim == 0 || (s->ndim == 1 && s->stride[0] == 1);
}

/* Elements from .. from+n of the small array as broadcast to the big shape: a pointer into small if they are
   contiguous there, else to, filled with copies. */
const float *ad__broadcast_read_f32(const ad__broadcast_map *s, int64_t from, int64_t n, const float *small, float *to);
const double *ad__broadcast_read_f64(const ad__broadcast_map *s, int64_t from, int64_t n, const double *small,
                                     double *to);
/* Adds n elements of the big array, starting at element from, to the elements of small that are broadcast to them. */
void ad__broadcast_sum_f32(const ad__broadcast_map *s, int64_t from, int64_t n, const float *big, double *small);
void ad__broadcast_sum_f64(const ad__broadcast_map *s, int64_t from, int64_t n, const double *big, double *small);
/* Adds all n elements of the big array to small, using the team's threads. */
void ad__broadcast_sum(ad_team *team, const ad__broadcast_map *s, ad_dtype t, int64_t n, const void *big,
                       double *small);

#endif
