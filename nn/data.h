/* data.h: data sets, minibatches and how good predictions are; included by nn.h. */
#ifndef NN_DATA_H
#define NN_DATA_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data ----------------------------------------------------------------------------------------- */

/* An IDX file (http://yann.lecun.com/exdb/mnist), plain or gzipped, as a constant Var of dtype t
   and the file's shape, elements multiplied by scale. nil and a graph error that names file and
   fault where it cannot be read: AD_EIO, or AD_EABSENT for a gzipped file in a build without zlib. */
AD_API ad_var *nn_load_idx(ad_graph *g, ad_dtype t, const char *path, double scale);

/* NumPy's arrays, of numbers or truth values and in C order, as constant Vars of dtype t; an array of an archive of
   numpy.savez by its name, through minizip. Errors as of nn_load_idx. */
AD_API ad_var *nn_load_npy(ad_graph *g, ad_dtype t, const char *path);
AD_API ad_var *nn_load_npz(ad_graph *g, ad_dtype t, const char *path, const char *name);
/* numpy.load reads them; written whole or not at all. */
AD_API int nn_save_npy(const ad_var *x, const char *path);
AD_API int nn_save_npz(const char *path, int n, const char *const names[], ad_var *const vars[]); /* n: at least 1 */

/* A CSV file (RFC 4180: fields may be quoted) as a table of text, through libcsv; blank lines are passed over.
   NULL and a graph error, AD_EIO, or AD_EABSENT in a build without libcsv. A table lives in the graph. */
typedef struct nn_table nn_table;
typedef struct {
    char delimiter;      /* a comma */
    bool no_header;      /* otherwise the first line is the columns' names */
    const char *missing; /* what stands for nothing, as "NA" or "?"; an empty field does too */
} nn_csv_opts;
AD_API nn_table *nn_read_csv(ad_graph *g, const char *path, nn_csv_opts o);
AD_API int64_t nn_table_rows(const nn_table *t);
AD_API int nn_table_columns(const nn_table *t);
AD_API const char *nn_table_name(const nn_table *t, int column);              /* NULL out of range */
AD_API const char *nn_table_text(const nn_table *t, int64_t row, int column); /* NULL where it is missing too */
/* Columns as numbers [rows, n], NaN where they are missing; any other text is an error. */
AD_API ad_var *nn_table_numbers(const nn_table *t, ad_dtype dtype, int n, const char *const names[]);
AD_API ad_var *nn_table_range(const nn_table *t, ad_dtype dtype, int from, int to); /* columns from .. to-1 */
/* A column of words as class numbers [rows], in strcmp's order of the words; NaN where one is missing. */
AD_API ad_var *nn_table_classes(const nn_table *t, ad_dtype dtype, const char *name, int64_t *classes);
AD_API ad_var *nn_column_means(ad_var *x);                    /* [n,c] -> [1,c], of what is not NaN */
AD_API ad_var *nn_fill_missing(ad_var *x, ad_var *values);    /* NaN becomes values, broadcast */

/* Samples in rows: x [n, ...] and y [n, ...]; they must outlive the loader. */
typedef struct {
    ad_var *x, *y;
} nn_dataset;
/* Random numbers of a minibatch's own, the same whenever it is made. */
typedef struct {
    uint64_t seed, counter;
} nn_random;
AD_API double nn_random_uniform(nn_random *r); /* in [0, 1) */
AD_API double nn_random_normal(nn_random *r);
/* Makes one sample of a minibatch, to, of the data set's: both are of dtype t and shape row. */
typedef void nn_transform_fn(ad_dtype t, ad_shape row, const void *from, void *to, nn_random *r, void *data);

typedef struct {
    int64_t batch;   /* rows in a minibatch */
    bool shuffle;    /* a new order each epoch, from the graph's random numbers */
    bool drop_last;  /* leave out a last minibatch that is not full */
    nn_transform_fn *transform; /* of each x; NULL: none */
    void *transform_data;
    int64_t prefetch; /* so many minibatches are made ahead, by a thread; 0: none */
} nn_loader_opts;
typedef struct nn_loader nn_loader;
AD_API nn_loader *nn_loader_new(ad_graph *g, nn_dataset data, nn_loader_opts o);
AD_API int64_t nn_loader_batches(const nn_loader *l); /* in an epoch */
/* The next minibatch as constant Vars of the open scope, in the dataset's own memory where it is neither
   shuffled nor transformed. False, with nil in x and y, at the end of the epoch (the next call begins another) and
   after an error. */
AD_API bool nn_loader_next(nn_loader *l, ad_var **x, ad_var **y);
/* With prefetch, a thread gathers and transforms the epoch's next minibatches while the present one is computed with.
   They are to the bit what they are without. The thread reads the dataset, which must not be changed meanwhile, and
   calls transform, which must not touch the graph, nor what transform_data points to but to read it. It ends when the
   scope of the loader does, or before that with nn_loader_close (which may be called twice, and at any time); a closed
   loader goes on without it. So does one whose thread cannot be started, and one in a child of fork. */
AD_API void nn_loader_close(nn_loader *l);

/* Transforms of images [h,w] or [channels,h,w]: moved by up to shift pixels in both directions, turned by up to
   angle degrees around the middle, mirrored left to right in half of the cases, with normal noise added. What comes
   in from outside is 0. Use with transform_data pointing to an nn_augmentation. */
typedef struct {
    int shift;
    double angle, noise;
    bool flip;
} nn_augmentation;
AD_API void nn_augment(ad_dtype t, ad_shape row, const void *from, void *to, nn_random *r, void *augmentation);

/* ---- parts of a data set ------------------------------------------------------------------------------ */

AD_API nn_dataset nn_take_rows(nn_dataset d, int64_t n, const int64_t *rows); /* copies, in the order of rows */

typedef struct {
    double validation, test; /* shares of the rows, together below 1; the rest is for training */
    bool in_order;           /* as the rows lie; otherwise shuffled, by random numbers of seed's own */
    bool stratify;           /* y is class numbers [n]: each part has its share of each class to within two rows */
    uint64_t seed;
} nn_split_opts;
typedef struct {
    nn_dataset train, validation, test;
} nn_parts;
AD_API nn_parts nn_split(nn_dataset d, nn_split_opts o);
/* Fold 0 .. k-1 of k as validation, the other folds as train, test nil; o's shares are not looked at. */
AD_API nn_parts nn_kfold(nn_dataset d, int64_t k, int64_t fold, nn_split_opts o);

/* x -> (x - shift) scale by columns [1, ...], fitted on the training rows [n, ...] and used on all: to mean 0 and
   standard deviation 1 (of the population), or to 0 .. 1. A constant column is only shifted. */
typedef struct {
    ad_var *shift, *scale;
} nn_scaler;
AD_API nn_scaler nn_fit_standard(ad_var *x);
AD_API nn_scaler nn_fit_minmax(ad_var *x);
AD_API ad_var *nn_scale(nn_scaler s, ad_var *x);
AD_API ad_var *nn_unscale(nn_scaler s, ad_var *x); /* the way back */

/* ---- made-up data: n points x [n,2] with normal noise, and classes y [n] in turn -------------------------- */

AD_API nn_dataset nn_xor_data(ad_graph *g, ad_dtype t, int64_t n, double noise);     /* the corners of a unit square */
AD_API nn_dataset nn_spiral_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, double noise); /* radius 1 */
AD_API nn_dataset nn_moons_data(ad_graph *g, ad_dtype t, int64_t n, double noise);   /* as scikit-learn's */
AD_API nn_dataset nn_circles_data(ad_graph *g, ad_dtype t, int64_t n, double noise, double factor); /* radii 1, factor */
/* x [n, width] around centres anywhere in -10 .. 10. */
AD_API nn_dataset nn_blobs_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, int64_t width, double std);
/* x [n,1] from lo to hi, y [n,1] = f(x) and noise. */
AD_API nn_dataset nn_curve_data(ad_graph *g, ad_dtype t, int64_t n, double lo, double hi, double (*f)(double),
                                double noise);

/* ---- how good predictions are ----------------------------------------------------------------------------- */

/* The share of rows of scores [n, c] whose largest, the first of several, is at classes [n]; NaN of
   no rows and after an error. A row whose score is not a number is wrong. */
AD_API double nn_accuracy(const ad_var *scores, const ad_var *classes);
AD_API double nn_top_k(const ad_var *scores, const ad_var *classes, int64_t k); /* among the k largest */
/* [c, c] in f64: how many rows of class i were taken for class j. */
AD_API ad_var *nn_confusion(const ad_var *scores, const ad_var *classes);
typedef struct {
    double precision, recall, f1; /* 0 where nothing was predicted, or there */
} nn_class_scores;
AD_API nn_class_scores nn_scores_of_class(const ad_var *confusion, int64_t class_number);
AD_API nn_class_scores nn_macro_scores(const ad_var *confusion); /* the classes' mean */
/* The same in one step, as nn_fit wants its metrics. */
AD_API double nn_top5(const ad_var *scores, const ad_var *classes);
AD_API double nn_precision(const ad_var *scores, const ad_var *classes); /* the classes' mean, and of the next two */
AD_API double nn_recall(const ad_var *scores, const ad_var *classes);
AD_API double nn_f1(const ad_var *scores, const ad_var *classes);
/* 1 - (squared errors) / (squared distances of the targets from their mean). */
AD_API double nn_r2(const ad_var *y, const ad_var *target);
/* The area under the ROC curve: scores [n], positive [n] other than 0; NaN without rows of both kinds. */
AD_API double nn_auc(const ad_var *scores, const ad_var *positive);

#ifdef __cplusplus
}
#endif
#endif
