/* extremum.h: max and min over segments, and their gradient. */
#ifndef OPS_KERNELS_REDUCE_EXTREMUM_H
#define OPS_KERNELS_REDUCE_EXTREMUM_H

#include "ops/kernels/base/broadcast.h"

/* s maps y [m] to x [n]. Each segment of x has at least one element. The result is NaN if any of its elements is. */
void ad__extremum_f32(const ad__broadcast_map *s, int64_t n, const float *x, bool smallest, int64_t m, float *y);
void ad__extremum_f64(const ad__broadcast_map *s, int64_t n, const double *x, bool smallest, int64_t m, double *y);
/* gx += g / ties where x equals its y. ties [m] is scratch for the number of such elements. */
void ad__extremum_back_f32(const ad__broadcast_map *s, int64_t n, const float *x, int64_t m, const float *y,
                           const float *g, double *ties, float *gx);
void ad__extremum_back_f64(const ad__broadcast_map *s, int64_t n, const double *x, int64_t m, const double *y,
                           const double *g, double *ties, double *gx);

#endif
