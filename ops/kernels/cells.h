/* cells.h: a reduction's cells: the elements that one element of the result is made from, as a row. */
#ifndef OPS_KERNELS_CELLS_H
#define OPS_KERNELS_CELLS_H

#include "ops/kernels/kernels.h"

/* How the elements of an array fall into cells, each of n. Axes of size 1 are left out, and neighbours
   that lie alike are merged. */
typedef struct {
    int64_t n_cells, n;
    int kept, reduced; /* axes */
    int64_t kept_dim[AD_MAX_NDIM], kept_stride[AD_MAX_NDIM];
    int64_t dim[AD_MAX_NDIM], stride[AD_MAX_NDIM];
} ad__cells;

ad__cells ad__cells_of(ad_shape s, unsigned mask); /* bit i of mask: axis i is reduced */
/* The place of a cell's first element. */
int64_t ad__cell_start(const ad__cells *c, int64_t cell);
/* Whether a cell's elements lie side by side. */
static inline bool ad__cells_are_rows(const ad__cells *c) {
    return c->reduced == 0 || (c->reduced == 1 && c->stride[0] == 1);
}

/* x is the cell's first element; row has n elements. */
void ad__cell_load_f32(const ad__cells *c, const float *x, float *row);
void ad__cell_load_f64(const ad__cells *c, const double *x, double *row);
void ad__cell_store_f32(const ad__cells *c, const float *row, float *x);
void ad__cell_store_f64(const ad__cells *c, const double *row, double *x);

/* ---- what a row comes to; results and sums in f64 ------------------------------------------------- */

double ad__prod_f32(int64_t n, const float *x);
double ad__prod_f64(int64_t n, const double *x);
/* gx[i] += g times the product of all elements but x[i]; room [n] is for products from the right. */
void ad__prod_back_f32(int64_t n, const float *x, double g, double *room, float *gx);
void ad__prod_back_f64(int64_t n, const double *x, double g, double *room, double *gx);

/* The mean, and the sum of (x - mean)^2 in a pass of its own. */
double ad__squares_f32(int64_t n, const float *x, double *mean);
double ad__squares_f64(int64_t n, const double *x, double *mean);
/* Its root, without overflow or underflow. */
double ad__deviation_f32(int64_t n, const float *x, double *mean);
double ad__deviation_f64(int64_t n, const double *x, double *mean);
/* gx += k (x - mean) */
void ad__centred_back_f32(int64_t n, const float *x, double mean, double k, float *gx);
void ad__centred_back_f64(int64_t n, const double *x, double mean, double k, double *gx);

/* (sum |x|^p)^(1/p) without overflow or underflow; for p = inf and -inf the largest and smallest |x|, for
   p = 0 how many are not 0. Of no elements: 0. */
double ad__norm_f32(int64_t n, const float *x, double p);
double ad__norm_f64(int64_t n, const double *x, double p);
/* gx += g times the slope of y = norm(x, p); 0 where y is 0. */
void ad__norm_back_f32(int64_t n, const float *x, double p, double y, double g, float *gx);
void ad__norm_back_f64(int64_t n, const double *x, double p, double y, double g, double *gx);

/* The place of the largest or smallest element: of the first where several tie, of the first NaN if
   there is one. n > 0. */
int64_t ad__arg_extremum_f32(int64_t n, const float *x, bool smallest);
int64_t ad__arg_extremum_f64(int64_t n, const double *x, bool smallest);

#endif
