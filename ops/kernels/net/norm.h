/* norm.h: loops of layer_norm, rms_norm and batch_norm, which normalise rows or channels to mean 0 and variance 1. */
#ifndef OPS_KERNELS_NET_NORM_H
#define OPS_KERNELS_NET_NORM_H

#include "ops/kernels/base/simd.h"

/* Statistics of a row: its normalised elements are (x - mean) scale, where scale = 1 / sqrt(variance + eps). */
typedef struct {
    double mean, scale;
} ad__moments;

/* The sum of (x - mean)^2. */
double ad__squares_about_f32(int64_t n, double mean, const float *x);
double ad__squares_about_f64(int64_t n, double mean, const double *x);
/* The sum of g (x - mean). */
double ad__covariance_f32(int64_t n, double mean, const float *x, const float *g);
double ad__covariance_f64(int64_t n, double mean, const double *x, const double *g);

/* y = (x - mean) scale w + b, where w and b are rows of n elements. NULL stands for w = 1 and b = 0. */
void ad__normalize_f32(int64_t n, ad__moments m, const float *x, const float *w, const float *b, float *y);
void ad__normalize_f64(int64_t n, ad__moments m, const double *x, const double *w, const double *b, double *y);
/* y = g w */
void ad__weigh_f32(int64_t n, const float *g, const float *w, float *y);
void ad__weigh_f64(int64_t n, const double *g, const double *w, double *y);
/* gx += scale (g - mean g - (x - mean) scale^2 mean(g (x - mean))) */
void ad__normalize_back_f32(int64_t n, ad__moments m, const float *x, const float *g, float *gx);
void ad__normalize_back_f64(int64_t n, ad__moments m, const double *x, const double *g, double *gx);
/* gx += scale (g - x scale^2 mean(g x)) */
void ad__rms_back_f32(int64_t n, double scale, const float *x, const float *g, float *gx);
void ad__rms_back_f64(int64_t n, double scale, const double *x, const double *g, double *gx);
/* sum[i] += g[i] (x[i] - mean) scale, which is the gradient of w from one row. */
void ad__normalized_times_f32(int64_t n, ad__moments m, const float *x, const float *g, double *sum);
void ad__normalized_times_f64(int64_t n, ad__moments m, const double *x, const double *g, double *sum);

/* Functions for channels: x, y, g and gx are [n,c,l], or some channels of such arrays; the f64 arrays are [c]. Sums are
   added to sum. */
typedef struct {
    int64_t n, c, l;
    int64_t sample; /* elements from one sample to the next */
} ad__channels;
void ad__channel_sums_f32(ad__channels s, const float *x, double *sum);
void ad__channel_sums_f64(ad__channels s, const double *x, double *sum);
/* The sums of g (x - mean), or of (x - mean)^2 if g is NULL. */
void ad__channel_products_f32(ad__channels s, const double *mean, const float *x, const float *g, double *sum);
void ad__channel_products_f64(ad__channels s, const double *mean, const double *x, const double *g, double *sum);
/* y = (x - mean) scale + shift */
void ad__channel_scale_f32(ad__channels s, const double *mean, const double *scale, const double *shift, const float *x,
                           float *y);
void ad__channel_scale_f64(ad__channels s, const double *mean, const double *scale, const double *shift,
                           const double *x, double *y);
/* gx += scale g, of one sample: without s.n */
void ad__channel_scale_back_f32(ad__channels s, const double *scale, const float *g, float *gx);
void ad__channel_scale_back_f64(ad__channels s, const double *scale, const double *g, double *gx);
/* gx += scale (g - a - b (x - mean)), of one sample: without s.n */
void ad__channel_back_f32(ad__channels s, const double *mean, const double *scale, const double *a, const double *b,
                          const float *x, const float *g, float *gx);
void ad__channel_back_f64(ad__channels s, const double *mean, const double *scale, const double *a, const double *b,
                          const double *x, const double *g, double *gx);

#endif
