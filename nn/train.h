/* train.h: the training loop, evaluation and prediction; included by nn.h. */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include "nn/data.h"
#include "nn/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef ad_var *nn_loss_fn(ad_var *y, ad_var *target);                  /* nn_mse, nn_cross_entropy, ... */
typedef double nn_metric_fn(const ad_var *y, const ad_var *target);     /* nn_accuracy, nn_r2, ... */
enum { NN_MORE_METRICS = 4 };
typedef struct {
    const char *name;
    nn_metric_fn *of;
} nn_metric;

/* The net's values for x [n, ...] as a constant Var [n, ...], computed batch rows at a time in evaluation mode
   and without gradients. */
AD_API ad_var *nn_predict(nn_module *net, ad_var *x, int64_t batch);

/* loss and metric of the predictions for all of d; either may be NULL, and is NaN then. */
typedef struct {
    double loss, metric;
} nn_evaluation;
AD_API nn_evaluation nn_evaluate(nn_module *net, nn_loss_fn *loss, nn_metric_fn *metric, nn_dataset d, int64_t batch);

/* Where a training is; what callbacks are given, and nn_fit's result. NaN: there is none. */
typedef struct {
    int64_t epoch, epochs;           /* complete ones, for on_step the present one; the last */
    int64_t steps;                   /* of the optimiser, over all epochs */
    double loss;                     /* the mean over the epoch's samples until now */
    double validation_loss, metric;  /* of the validation data after the epoch */
    double more_metrics[NN_MORE_METRICS];
    double lr;                       /* of the epoch's last step */
    double best;                     /* validation loss, or metric, of best_epoch */
    int64_t best_epoch;              /* 0: none yet */
    bool stopped_early, interrupted; /* by patience or a callback; by SIGINT */
} nn_training_state;
typedef int nn_callback_fn(const nn_training_state *s, void *data); /* other than 0: stop after this */

typedef struct {
    int64_t epochs; /* must be given */
    int64_t batch;  /* 32 */
    bool in_order, drop_last;           /* of the minibatches: not shuffled; without a last one that is not full */
    nn_transform_fn *transform;         /* of the training minibatches, see nn_loader_opts */
    void *transform_data;
    int64_t prefetch;                   /* training minibatches made ahead on a thread, see nn_loader_close; 0: none */
    double clip_norm;                   /* 0: gradients are not clipped */
    nn_schedule *schedule;              /* stepped after each epoch, with what best is judged by; or each step */
    bool schedule_by_step;
    nn_dataset validation;              /* none where x is NULL; as large in memory as its predictions */
    nn_metric_fn *metric;               /* of the validation data */
    const char *metric_name;            /* "metric" */
    nn_metric more_metrics[NN_MORE_METRICS]; /* told beside it */
    bool by_metric;                     /* best is the largest metric, not the smallest validation loss */
    int64_t patience;                   /* stop when so many epochs bring nothing better; 0: never */
    double min_delta;                   /* that much is no better */
    bool restore_best;                  /* end with the weights of the best epoch; patience does so too */
    FILE *progress;                     /* a bar on a terminal, a line an epoch elsewhere; NULL: nothing */
    const char *log;                    /* a CSV file with a row for each epoch */
    const char *checkpoint;             /* a file that a killed training goes on from, written at the beginning, after */
    int64_t checkpoint_steps;           /* each epoch, and after so many steps; 0: not within epochs */
    bool resume;                        /* go on from checkpoint, where there is one */
    bool catch_interrupt;               /* SIGINT ends the training after the present step, with a checkpoint. One
                                           such training at a time in a program; its handler goes with it */
    nn_callback_fn *on_step, *on_epoch;
    void *callback_data;
} nn_fit_opts;

/* Trains net in minibatches of data. 0, or the graph's error; what may be NULL. A training that was resumed, with
   the same data and options, gives to the bit what it would have given uninterrupted: a checkpoint holds parameters
   and buffers, the optimiser's and the schedule's state, the place in the epoch and the random numbers. Optimisers
   that compute the loss themselves (nn_lbfgs) are given each minibatch as a function; clip_norm is not for them. */
AD_API int nn_fit(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_fit_opts o,
                  nn_training_state *end);

#ifdef __cplusplus
}
#endif
#endif
