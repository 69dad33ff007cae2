/* sum.h: accurate sums of arrays, of columns and of computed terms. */
#ifndef OPS_KERNELS_BASE_SUM_H
#define OPS_KERNELS_BASE_SUM_H

#include "autodiff/base/parallel.h"
#include "ops/kernels/base/simd.h"

/* f32 is summed in f64; f64 is summed in blocks, and their sums with compensation (Neumaier 1974). */
double ad__array_sum_f32(int64_t n, const float *x);
double ad__array_sum_f64(int64_t n, const double *x);
double ad__array_sum(ad_team *team, ad_dtype t, int64_t n, const void *x); /* the same sum, computed by the team */
/* The sum of f(0, term), f(term, 2 term), ... up to n. The order of addition does not depend on the threads. work: the
   cost of one index, in elements of a cheap loop. */
typedef double ad__term_fn(void *context, int worker, int64_t from, int64_t to);
double ad__sum_terms(ad_team *team, int64_t n, int64_t term, int64_t work, ad__term_fn *f, void *context);
/* to [columns] += x [rows, columns] summed over its rows in f64; fresh: to = the sums. */
void ad__column_sums_f32(int64_t rows, int64_t columns, const float *x, bool fresh, float *to);
void ad__column_sums_f64(int64_t rows, int64_t columns, const double *x, bool fresh, double *to);

#endif
