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

/* Samples in rows: x [n, ...] and y [n, ...]; they must outlive the loader. */
typedef struct {
    ad_var *x, *y;
} nn_dataset;
typedef struct {
    int64_t batch;   /* rows in a minibatch */
    bool shuffle;    /* a new order each epoch, from the graph's random numbers */
    bool drop_last;  /* leave out a last minibatch that is not full */
} nn_loader_opts;
typedef struct nn_loader nn_loader;
AD_API nn_loader *nn_loader_new(ad_graph *g, nn_dataset data, nn_loader_opts o);
AD_API int64_t nn_loader_batches(const nn_loader *l); /* in an epoch */
/* The next minibatch as constant Vars of the open scope, in the dataset's own memory where it is not
   shuffled. False, with nil in x and y, at the end of the epoch (the next call begins another) and
   after an error. */
AD_API bool nn_loader_next(nn_loader *l, ad_var **x, ad_var **y);

/* The share of rows of scores [n, c] whose largest, the first of several, is at classes [n]; NaN of
   no rows and after an error. */
AD_API double nn_accuracy(const ad_var *scores, const ad_var *classes);

#ifdef __cplusplus
}
#endif
#endif
