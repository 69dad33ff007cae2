/* order.h: the stable order of a row's elements, by radix sort, and places in sorted rows.

   0 and -0 are equal. NaNs are equal to each other and larger than infinity. */
#ifndef OPS_KERNELS_SORT_ORDER_H
#define OPS_KERNELS_SORT_ORDER_H

#include "ops/kernels/base/simd.h"

/* order[i step] = the index of the element that is in place i when x [n] is sorted. The elements of x and of order are
   step apart. Equal elements keep their order, also if descending. work is memory of ad__order_bytes(n), 8-byte
   aligned. n is at most 2^24 for f32, as order has x's dtype. */
size_t ad__order_bytes_f32(int64_t n);
size_t ad__order_bytes_f64(int64_t n);
void ad__row_order_f32(int64_t n, int64_t step, bool descending, const float *x, void *work, float *order);
void ad__row_order_f64(int64_t n, int64_t step, bool descending, const double *x, void *work, double *order);

/* places[i], for from <= i < to, is the number of elements < values[i], or <= values[i] if right, of row i / m of the
   rows sorted [.., n]. It is n for NaN. */
void ad__sorted_places_f32(int64_t n, bool right, const float *sorted, int64_t m, int64_t from, int64_t to,
                           const float *values, float *places);
void ad__sorted_places_f64(int64_t n, bool right, const double *sorted, int64_t m, int64_t from, int64_t to,
                           const double *values, double *places);

#endif
