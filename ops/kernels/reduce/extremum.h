/* extremum.h: the largest or smallest of the elements that a result's element stands for. */
#ifndef OPS_KERNELS_REDUCE_EXTREMUM_H
#define OPS_KERNELS_REDUCE_EXTREMUM_H

#include "ops/kernels/base/broadcast.h"

/* s says how y [m] lies in x [n]. NaN if there is one. Every y has at least one x. */
void ad__extremum_f32(const ad__broadcast_map *s, int64_t n, const float *x, bool smallest, int64_t m, float *y);
void ad__extremum_f64(const ad__broadcast_map *s, int64_t n, const double *x, bool smallest, int64_t m, double *y);
/* gx += g / ties where x equals its y; ties [m] counts them. */
void ad__extremum_back_f32(const ad__broadcast_map *s, int64_t n, const float *x, int64_t m, const float *y,
                           const float *g, double *ties, float *gx);
void ad__extremum_back_f64(const ad__broadcast_map *s, int64_t n, const double *x, int64_t m, const double *y,
                           const double *g, double *ties, double *gx);

#endif
