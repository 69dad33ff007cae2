/* options.h: options of nn_fit that say where minibatches, losses and metrics come from; private to nn. */
#ifndef NN_TRAIN_OPTIONS_H
#define NN_TRAIN_OPTIONS_H

#include "nn/train/evaluate.h"

/* Metric i: the first one, then the further ones. */
nn__any_metric nn__metric_at(const nn_fit_opts *o, int i);

/* Each returns 0 or the code of g's error. */
int nn__check_functions(ad_graph *g, nn_loss_fn *loss, const nn_fit_opts *o); /* of two ways to give one, not both */
int nn__check_sources(ad_graph *g, nn_dataset data, const nn_optim *opt, const nn_fit_opts *o);
int nn__check_weights(ad_graph *g, nn_dataset data, const ad_var *w);

#endif
