/* data.h: data sets, minibatches, transforms, splitting, scaling and synthetic data; included by nn.h.

   In structs of options, a field that is false or 0 has its default; in a number, AD_ZERO means 0 itself. */
#ifndef NN_DATA_H
#define NN_DATA_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data sets and minibatches ----------------------------------------------------------------------- */

/* One sample per row: x [n, ...] and y [n, ...]. For a network of several inputs, x is nn_inputs of all of them: then
   the x of a part or of a minibatch is the same rows of each. */
typedef struct {
    ad_var *x, *y;
} nn_dataset;

/* Writes to `to` the transform of `from`, one row of a data set's x. Both are arrays of dtype t and shape row.
   Random numbers come from r: each sample of each epoch has a stream of its own, so the result does not depend on when
   or on which thread the sample is made. data is transform_data of the loader's options. */
typedef void nn_transform_fn(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *data);
AD_API double nn_random_uniform(ad_random_state *r); /* in [0, 1); 0 for NULL */
AD_API double nn_random_normal(ad_random_state *r);  /* mean 0, variance 1; 0 for NULL */

typedef struct {
    int64_t batch;   /* rows in a minibatch; required */
    bool in_order;   /* keep the order of the rows; by default the graph's random numbers shuffle them in each epoch */
    bool drop_last;  /* skip a last minibatch of fewer than batch rows */
    nn_transform_fn *transform; /* applied to each row of x, or of its first input; NULL: none */
    void *transform_data;
    int64_t prefetch; /* how many minibatches a thread prepares ahead; 0: none, and no thread */
    ad_var *draw_weights; /* [rows of the data set], 0 or more, read once: rows are drawn with replacement, each time in
                             proportion to these, as by PyTorch's WeightedRandomSampler. NULL: each row comes once */
    int64_t draws;        /* with draw_weights: the rows of an epoch; 0: as many as the data set has */
    bool draw_once;       /* with draw_weights: without replacement, from up to 2^24 rows. A row comes at most once in
                             an epoch, one of weight 0 never; a draw is in proportion to the weights that are left */
} nn_loader_opts;

/* Splits a data set, which must outlive it, into minibatches. It belongs to the graph's innermost scope. */
typedef struct nn_loader nn_loader;
AD_API nn_loader *nn_loader_new(ad_graph *g, nn_dataset data, nn_loader_opts o); /* NULL after an error */
AD_API int64_t nn_loader_batches(const nn_loader *l); /* minibatches per epoch; 0 for NULL */
/* Sets *x and *y to the next minibatch: constant Vars of the innermost scope. Where rows are in order and not
   transformed, they use the data set's own memory. Returns false, with nil in *x and *y, at the end of an epoch (the
   next call starts another epoch) and after an error. */
AD_API bool nn_loader_next(nn_loader *l, ad_var **x, ad_var **y);
/* With prefetch, a thread gathers and transforms the next minibatches of the epoch in the meantime; their values are
   exactly those without prefetch. The thread reads the data set, which must not change meanwhile, and calls transform,
   which must not use the graph and may only read what transform_data points to. The thread ends with the loader's
   scope, or earlier by nn_loader_close, which may be called at any time and more than once. After that, without enough
   resources for a thread, and in the child of a fork, the loader works without one. */
AD_API void nn_loader_close(nn_loader *l);

/* A transform for images, rows of shape [h,w] or [channels,h,w]. Pixels from outside the image are 0. Rows of fewer
   than two dimensions, and all rows if transform_data is NULL, are copied; for an invalid shape and a NULL array,
   nothing is written. */
typedef struct {
    int shift;    /* translation by up to so many pixels, along both axes */
    double angle; /* rotation about the centre by up to so many degrees, in both directions */
    double noise; /* standard deviation of normal noise added to each pixel */
    bool flip;    /* mirror left to right with probability 1/2 */
} nn_augmentation;
/* transform_data points to an nn_augmentation. */
AD_API void nn_augment(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *augmentation);

/* ---- transforms of minibatches --------------------------------------------------------------------------

   A function that changes a minibatch, such as those below, whose data points to an nn_mix. Random numbers are the
   graph's. Targets that were class numbers [n] become probabilities [n, classes]: the loss must take these, as
   nn_cross_entropy_with does. */
typedef void nn_batch_fn(ad_var **x, ad_var **y, void *data);

/* A field that is 0 has its default; AD_ZERO means 0 itself. */
typedef struct {
    int64_t classes;  /* of y; 0: y holds numbers or probabilities, which are mixed as they are */
    double alpha;     /* 1: the share l of the first row is drawn from the distribution Beta(alpha, alpha) */
    double smoothing; /* 0: the part of each target that is spread equally over all classes */
    double chance;    /* 1: the probability that a minibatch is mixed */
} nn_mix;
/* Each row becomes l row + (1 - l) another row, and so does its target (Zhang et al. 2018). One l for the minibatch.
   An x of several inputs is an error, for nn_cutmix too. */
AD_API void nn_mixup(ad_var **x, ad_var **y, void *mix);
/* x [n, .., h, w]: a rectangle whose area is the part 1 - l of the image is that of another row; targets are mixed
   by the areas (Yun et al. 2019). */
AD_API void nn_cutmix(ad_var **x, ad_var **y, void *mix);
AD_API void nn_smooth(ad_var **x, ad_var **y, void *mix); /* targets alone: label smoothing */
/* classes [n] -> [n, c]: 1 - smoothing + smoothing / c for the class, smoothing / c for the others. */
AD_API ad_var *nn_smooth_labels(ad_var *classes, int64_t c, double smoothing);
/* A weight for each of n classes: rows / (n rows of the class), scikit-learn's "balanced"; 0 for a class without rows.
   classes [rows] -> [n] */
AD_API ad_var *nn_class_weights(ad_var *classes, int64_t n);

/* ---- splitting a data set ---------------------------------------------------------------------------- */

AD_API nn_dataset nn_take_rows(nn_dataset d, int64_t n, const int64_t *rows); /* copies of these rows, in this order */

typedef struct {
    double validation, test; /* fractions of the rows, together less than 1; all other rows are for training */
    bool in_order;           /* keep the order of the rows; by default they are shuffled, by random numbers from seed */
    bool stratify;           /* y holds class numbers [n]: each part has its proportion of each class, to 2 rows */
    uint64_t seed;
} nn_split_opts;
typedef struct {
    nn_dataset train, validation, test;
} nn_parts;
/* Of a data set with rows, each part that is asked for gets a row, and so does train: otherwise an error. */
AD_API nn_parts nn_split(nn_dataset d, nn_split_opts o);
/* Fold number fold (0 .. k-1) of k as validation, the rows of all other folds as train, and nil as test. Ignores
   o.validation and o.test. */
AD_API nn_parts nn_kfold(nn_dataset d, int64_t k, int64_t fold, nn_split_opts o);

/* ---- scaling ----------------------------------------------------------------------------------------- */

/* x -> (x - shift) scale, with a shift and a scale [1, ...] for each column. Fit it on the training rows, one or more,
   and use it on all rows. As scikit-learn's: NaNs are left out and stay NaN, infinities are an error, and constant
   columns (to within rounding) are shifted and not scaled. */
typedef struct {
    ad_var *shift, *scale;
} nn_scaler;
AD_API nn_scaler nn_fit_standard(ad_var *x); /* to mean 0 and population standard deviation 1; x [n, ...] */
AD_API nn_scaler nn_fit_minmax(ad_var *x);   /* to the range 0 .. 1 */
AD_API ad_var *nn_scale(nn_scaler s, ad_var *x);
AD_API ad_var *nn_unscale(nn_scaler s, ad_var *x); /* the inverse */

/* ---- synthetic data ---------------------------------------------------------------------------------- */

/* n points x [n,2] with normal noise of standard deviation noise, and their classes y [n], in equal numbers. */
AD_API nn_dataset nn_xor_data(ad_graph *g, ad_dtype t, int64_t n, double noise); /* corners of the unit square */
AD_API nn_dataset nn_spiral_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, double noise); /* radius 1 */
AD_API nn_dataset nn_moons_data(ad_graph *g, ad_dtype t, int64_t n, double noise); /* scikit-learn's make_moons */
AD_API nn_dataset nn_circles_data(ad_graph *g, ad_dtype t, int64_t n, double noise,
                                  double factor); /* radii 1 and factor */
/* x [n,width] around one centre per class, uniform in -10 .. 10 in each dimension; std is the deviation from it. */
AD_API nn_dataset nn_blobs_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, int64_t width, double std);
/* Regression: x [n,1] evenly spaced from lo to hi, and y [n,1] = f(x) + noise. */
AD_API nn_dataset nn_curve_data(ad_graph *g, ad_dtype t, int64_t n, double lo, double hi, double (*f)(double),
                                double noise);

#ifdef __cplusplus
}
#endif
#endif
