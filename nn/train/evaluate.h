/* evaluate.h: loss and several metrics of the same predictions; private to nn. */
#ifndef NN_TRAIN_EVALUATE_H
#define NN_TRAIN_EVALUATE_H

#include "nn/ranks.h"

/* A loss or a metric: one of the two functions, or none. */
typedef struct {
    nn_loss_fn *of;
    nn_loss_data_fn *with;
    void *data;
    bool of_rows; /* it gives the loss of each row */
} nn__loss;
typedef struct {
    nn_metric_fn *of;
    nn_metric_data_fn *with;
    void *data;
} nn__any_metric;
bool nn__has_metric(const nn__any_metric *m);

/* The loss of predictions y. Where w is not NULL: the mean of the rows' losses by the weights w [n]. */
ad_var *nn__loss_of(const nn__loss *l, ad_var *y, ad_var *target, ad_var *w);
/* Returns the loss, and writes the metrics to values [n]; NaN where there is no function, and after an error. ranks,
   unless NULL, share the predictions. */
double nn__metrics_of(nn_module *net, const nn__loss *loss, int n, const nn__any_metric metrics[], nn_dataset d,
                      int64_t batch, const nn_ranks *ranks, double values[]);

/* Rows from .. from+n-1 of x, or of each of its inputs, in x's own memory. */
ad_var *nn__rows_of(ad_var *x, int64_t from, int64_t n);
/* The first n rows, or all if they are fewer, in d's own memory. x and y have one row per sample. */
nn_dataset nn__first_rows(nn_dataset d, int64_t n);

#endif
