/* segments.h: the segments of a reduction, each the elements of one result element, and reductions of one segment. */
#ifndef OPS_KERNELS_REDUCE_SEGMENTS_H
#define OPS_KERNELS_REDUCE_SEGMENTS_H

#include "ops/kernels/shape/copy.h"

/* n_segments segments of n elements each. row copies the elements of one segment if they are not contiguous. */
typedef struct {
    int64_t n_segments, n;
    int kept; /* the number of axes that are not reduced and not of size 1 */
    int64_t dim[AD_MAX_NDIM], stride[AD_MAX_NDIM];
    ad__copy_plan row;
} ad__segments;

ad__segments ad__segments_of(ad_shape s, unsigned mask); /* bit i of mask: axis i is reduced */
/* The offset of a segment's first element. */
int64_t ad__segment_start(const ad__segments *c, int64_t segment);
/* Whether the elements of a segment are contiguous. */
static inline bool ad__segments_are_rows(const ad__segments *c) {
    return c->row.ndim == 0 || (c->row.ndim == 1 && c->row.from[0] == 1);
}

/* ---- reductions of one row; results and sums are in f64 ------------------------------------------------- */

double ad__row_prod_f32(int64_t n, const float *x);
double ad__row_prod_f64(int64_t n, const double *x);
/* gx[i] += g times the product of all elements but x[i]. buffer [n] is for the products of the elements after i. */
void ad__row_prod_back_f32(int64_t n, const float *x, double g, double *buffer, float *gx);
void ad__row_prod_back_f64(int64_t n, const double *x, double g, double *buffer, double *gx);

/* The mean as a sum of two doubles: one would not be accurate enough for x - mean. */
typedef struct {
    double high, low;
} ad__row_mean;
/* The sum of (x - mean)^2; and its square root, without overflow or underflow in between. */
double ad__squares_f32(int64_t n, const float *x, ad__row_mean *mean);
double ad__squares_f64(int64_t n, const double *x, ad__row_mean *mean);
double ad__deviation_f32(int64_t n, const float *x, ad__row_mean *mean);
double ad__deviation_f64(int64_t n, const double *x, ad__row_mean *mean);
/* gx += k (x - mean) */
void ad__centred_back_f32(int64_t n, const float *x, ad__row_mean mean, double k, float *gx);
void ad__centred_back_f64(int64_t n, const double *x, ad__row_mean mean, double k, double *gx);

/* (sum |x|^p)^(1/p), without overflow or underflow. For p = inf and -inf it is the largest and the smallest |x|; for
   p = 0, the number of nonzero elements. It is 0 if n is 0. */
double ad__row_norm_f32(int64_t n, const float *x, double p);
double ad__row_norm_f64(int64_t n, const double *x, double p);
/* gx += g times the slope of y = norm(x, p); 0 where y is 0. */
void ad__row_norm_back_f32(int64_t n, const float *x, double p, double y, double g, float *gx);
void ad__row_norm_back_f64(int64_t n, const double *x, double p, double y, double g, double *gx);

/* The index of the largest or smallest element, the first of equal ones; the first NaN if there is one. n > 0. */
int64_t ad__arg_extremum_f32(int64_t n, const float *x, bool smallest);
int64_t ad__arg_extremum_f64(int64_t n, const double *x, bool smallest);

#endif
