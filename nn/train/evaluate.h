/* evaluate.h: loss and several metrics of the same predictions; private to nn. */
#ifndef NN_TRAIN_EVALUATE_H
#define NN_TRAIN_EVALUATE_H

#include "nn/train.h"

/* Returns the loss, and writes the metrics to values [n]; NaN where a function is NULL, and after an error. */
double nn__metrics_of(nn_module *net, nn_loss_fn *loss, int n, nn_metric_fn *const metrics[], nn_dataset d,
                      int64_t batch, double values[]);

/* The first n rows, or all if they are fewer, in d's own memory. x and y have one row per sample. */
nn_dataset nn__first_rows(nn_dataset d, int64_t n);

#endif
