/* broadcast.h: a small array repeated to fill a large one, and the reverse, which sums. */
#ifndef OPS_KERNELS_BASE_BROADCAST_H
#define OPS_KERNELS_BASE_BROADCAST_H

#include "autodiff/base/parallel.h"
#include "ops/kernels/base/simd.h"

/* For each axis of the big array, how far the small one's index moves: 0 where it repeats. Axes that
   move alike are merged, so the last axis has stride 0 or 1. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM], stride[AD_MAX_NDIM];
} ad__broadcast_map;
ad__broadcast_map ad__broadcast_map_of(ad_shape small, ad_shape big); /* small broadcasts to big */
/* Whether the small array has the big one's elements in the same order. */
static inline bool ad__broadcast_is_whole(const ad__broadcast_map *s) {
    return s->ndim == 0 || (s->ndim == 1 && s->stride[0] == 1);
}

/* The small array's elements for elements from .. from+n of the big one: a pointer into small where
   they lie together, else to, filled. */
const float *ad__broadcast_read_f32(const ad__broadcast_map *s, int64_t from, int64_t n, const float *small, float *to);
const double *ad__broadcast_read_f64(const ad__broadcast_map *s, int64_t from, int64_t n, const double *small, double *to);
/* Adds n elements of the big array, from its element from on, to those of the small they repeat. */
void ad__broadcast_sum_f32(const ad__broadcast_map *s, int64_t from, int64_t n, const float *big, double *small);
void ad__broadcast_sum_f64(const ad__broadcast_map *s, int64_t from, int64_t n, const double *big, double *small);
/* All n of the big array, added to the small one's sums by the team. */
void ad__broadcast_sum(ad_team *team, const ad__broadcast_map *s, ad_dtype t, int64_t n, const void *big, double *small);

#endif
