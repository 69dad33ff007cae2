/* read.h: elements of a sparse matrix from products with vectors. */
#ifndef OPS_KERNELS_SPARSE_READ_H
#define OPS_KERNELS_SPARSE_READ_H

#include <stdint.h>

/* Where n elements are read from: element k is at place at[k] of array product[k], or equal to element at[k] if
   product[k] is -1.

   If `order` is not NULL, the elements that it lists are found in that order, after all others that are in an array:
   minus[start[i]] to minus[start[i + 1] - 1] are the elements to subtract from element order[i]. Equal elements follow
   at the end. */
typedef struct {
    int64_t n;
    const int32_t *product, *at;
    int64_t n_order;
    const int64_t *order, *start, *minus;
} ad__reads;

void ad__read_elements_f32(const ad__reads *r, const void *const arrays[], float *y);
void ad__read_elements_f64(const ad__reads *r, const void *const arrays[], double *y);
/* The transpose, in two steps: gradients g of elements pass to those that were subtracted from them, or that they
   equal; then the gradient of each array is added to `to`. */
void ad__read_back_order_f32(const ad__reads *r, float *g);
void ad__read_back_order_f64(const ad__reads *r, double *g);
void ad__read_back_f32(const ad__reads *r, int32_t product, const float *g, float *to);
void ad__read_back_f64(const ad__reads *r, int32_t product, const double *g, double *to);

#endif
