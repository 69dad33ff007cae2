/* segments.h: a reduction's segments: the elements that one element of the result is made from, as a row. */
#ifndef OPS_KERNELS_REDUCE_SEGMENTS_H
#define OPS_KERNELS_REDUCE_SEGMENTS_H

#include "ops/kernels/shape/copy.h"

/* How the elements of an array fall into segments, each of n; row copies one whose elements lie apart. */
typedef struct {
    int64_t n_segments, n;
    int kept; /* axes that are not reduced, but for those of size 1 */
    int64_t dim[AD_MAX_NDIM], stride[AD_MAX_NDIM];
    ad__copy_plan row;
} ad__segments;

ad__segments ad__segments_of(ad_shape s, unsigned mask); /* bit i of mask: axis i is reduced */
/* The place of a segment's first element. */
int64_t ad__segment_start(const ad__segments *c, int64_t segment);
/* Whether a segment's elements lie side by side. */
static inline bool ad__segments_are_rows(const ad__segments *c) {
    return c->row.ndim == 0 || (c->row.ndim == 1 && c->row.from[0] == 1);
}

/* ---- of a row; results and sums in f64 ------------------------------------------------------------ */

double ad__row_prod_f32(int64_t n, const float *x);
double ad__row_prod_f64(int64_t n, const double *x);
/* gx[i] += g times the product of all elements but x[i]; buffer [n] is for products from the right. */
void ad__row_prod_back_f32(int64_t n, const float *x, double g, double *buffer, float *gx);
void ad__row_prod_back_f64(int64_t n, const double *x, double g, double *buffer, double *gx);

/* The mean in two parts, as x - mean has no more digits than the mean. */
typedef struct {
    double high, low;
} ad__row_mean;
/* The sum of (x - mean)^2, and its root, which neither overflows nor underflows on the way. */
double ad__squares_f32(int64_t n, const float *x, ad__row_mean *mean);
double ad__squares_f64(int64_t n, const double *x, ad__row_mean *mean);
double ad__deviation_f32(int64_t n, const float *x, ad__row_mean *mean);
double ad__deviation_f64(int64_t n, const double *x, ad__row_mean *mean);
/* gx += k (x - mean) */
void ad__centred_back_f32(int64_t n, const float *x, ad__row_mean mean, double k, float *gx);
void ad__centred_back_f64(int64_t n, const double *x, ad__row_mean mean, double k, double *gx);

/* (sum |x|^p)^(1/p) without overflow or underflow; for p = inf and -inf the largest and smallest |x|, for
   p = 0 how many are not 0. Of no elements: 0. */
double ad__row_norm_f32(int64_t n, const float *x, double p);
double ad__row_norm_f64(int64_t n, const double *x, double p);
/* gx += g times the slope of y = norm(x, p); 0 where y is 0. */
void ad__row_norm_back_f32(int64_t n, const float *x, double p, double y, double g, float *gx);
void ad__row_norm_back_f64(int64_t n, const double *x, double p, double y, double g, double *gx);

/* The place of the largest or smallest element: of the first where several tie, of the first NaN if
   there is one. n > 0. */
int64_t ad__arg_extremum_f32(int64_t n, const float *x, bool smallest);
int64_t ad__arg_extremum_f64(int64_t n, const double *x, bool smallest);

#endif
