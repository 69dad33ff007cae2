/* index.h: reads and adds elements by index, and through a mask. */
#ifndef OPS_KERNELS_SHAPE_INDEX_H
#define OPS_KERNELS_SHAPE_INDEX_H

#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/simd.h"

/* Converts n elements of x to indices 0..below-1; a negative element counts from the end. Returns n, or the position of
   the first that is not an integer -below..below-1, or of 2^24 or more in f32, which may be rounded. */
int64_t ad__read_indices_f32(int64_t n, const float *x, int64_t below, int64_t *to);
int64_t ad__read_indices_f64(int64_t n, const double *x, int64_t below, int64_t *to);

/* Indices from an array [outer,k,inner] into a table [outer,n,inner]. each: at is [outer,k,inner], one index per
   element; otherwise at is [k], one index per row, for all of outer and inner. */
typedef struct {
    int64_t outer, n, k, inner;
    bool each;
    const int64_t *at;
    int64_t width; /* elements of a row that _put_add and _put_sum take: inner; fewer for some columns, unless each */
} ad__indexed;

/* array [o,j,i] = table [o,at,i]; the second function adds to array. */
void ad__indexed_take_f32(const ad__indexed *x, const float *table, float *array);
void ad__indexed_take_f64(const ad__indexed *x, const double *table, double *array);
void ad__indexed_take_add_f32(const ad__indexed *x, const float *table, float *array);
void ad__indexed_take_add_f64(const ad__indexed *x, const double *table, double *array);
/* table [o,at,i] += array [o,j,i]; the second function adds to an f64 table. */
void ad__indexed_put_add_f32(const ad__indexed *x, const float *array, float *table);
void ad__indexed_put_add_f64(const ad__indexed *x, const double *array, double *table);
void ad__indexed_put_sum_f32(const ad__indexed *x, const float *array, double *table);
void ad__indexed_put_sum_f64(const ad__indexed *x, const double *array, double *table);

/* table [o,at,i] = array [o,j,i], where of several for one place the last one stays. */
void ad__indexed_put_f32(const ad__indexed *x, const float *array, float *table);
void ad__indexed_put_f64(const ad__indexed *x, const double *array, double *table);
/* array [o,j,i] += table [o,at,i] for those that stay; sets what was read to 0. array NULL: only that. */
void ad__indexed_take_clear_f32(const ad__indexed *x, float *table, float *array);
void ad__indexed_take_clear_f64(const ad__indexed *x, double *table, double *array);

/* y [n] = value where mask, broadcast by map to n elements, is not 0, else x. mask_add: y += x where mask is 0. */
void ad__mask_fill_f32(const ad__broadcast_map *map, int64_t n, const float *mask, double value, const float *x,
                       float *y);
void ad__mask_fill_f64(const ad__broadcast_map *map, int64_t n, const double *mask, double value, const double *x,
                       double *y);
void ad__mask_add_f32(const ad__broadcast_map *map, int64_t n, const float *mask, const float *x, float *y);
void ad__mask_add_f64(const ad__broadcast_map *map, int64_t n, const double *mask, const double *x, double *y);

#endif
