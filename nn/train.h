/* train.h: the training loop, evaluation and prediction; included by nn.h. */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include "nn/data.h"
#include "nn/metric.h"
#include "nn/optim.h"
#include "ops/compile.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef ad_var *nn_loss_fn(ad_var *y, ad_var *target); /* nn_mse, nn_cross_entropy, ... */

/* The network's outputs for x [n, ...] as a constant Var [n, ...]: computed batch rows at a time, in evaluation mode
   and without gradients. */
AD_API ad_var *nn_predict(nn_module *net, ad_var *x, int64_t batch);

/* Loss and metric of the predictions for all of d. Either function may be NULL; its value is then NaN. */
typedef struct {
    double loss, metric;
} nn_evaluation;
AD_API nn_evaluation nn_evaluate(nn_module *net, nn_loss_fn *loss, nn_metric_fn *metric, nn_dataset d, int64_t batch);

/* Losses and metrics that need more than y and target: data is the caller's. */
typedef ad_var *nn_loss_data_fn(ad_var *y, ad_var *target, void *data);
typedef double nn_metric_data_fn(const ad_var *y, const ad_var *target, void *data);
/* nn_cross_entropy_with as such a loss: weights of classes, label smoothing. data points to its ad_ce_opts. */
AD_API ad_var *nn_cross_entropy_data(ad_var *logits, ad_var *target, void *opts);

/* nn_evaluate with such functions. At most one loss and one metric. */
typedef struct {
    nn_loss_fn *loss;
    nn_loss_data_fn *loss_with;
    void *loss_data;
    nn_metric_fn *metric;
    nn_metric_data_fn *metric_with;
    void *metric_data;
    int64_t batch; /* 256 */
} nn_evaluate_opts;
AD_API nn_evaluation nn_evaluate_with(nn_module *net, nn_dataset d, nn_evaluate_opts o);

/* The running statistics of all batch_norms below net anew: the means over the minibatches of x [n, ...], to which
   net is applied in training mode and without gradients; PyTorch's swa_utils.update_bn. For averaged weights. */
AD_API int nn_update_statistics(nn_module *net, ad_var *x, int64_t batch);

enum { NN_MORE_METRICS = 4 };
typedef struct {
    const char *name;
    nn_metric_fn *of;
} nn_metric;
typedef struct {
    const char *name;
    nn_metric_data_fn *of;
    void *data;
} nn_data_metric;

/* Minibatches from elsewhere: data that is larger than memory, or made on the way. Sets *x and *y to minibatch
   `number`, from 0, of an epoch, from 1: Vars of the innermost scope, *x also by nn_inputs. Returns false at the end of
   the epoch and after an error of g. A resumed training begins with the number at which it ended. nn_stream_rows in
   file.h is one. */
typedef bool nn_stream_fn(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data);

/* The state of a training: what callbacks get, and what nn_fit returns. A value that does not exist is NaN. */
typedef struct {
    int64_t epoch;                  /* complete epochs; for on_step, the number of the current one, from 1 */
    int64_t epochs;                 /* as in the options */
    int64_t steps;                  /* of the optimiser, over all epochs */
    double loss;                    /* the mean over the epoch's samples so far */
    double validation_loss, metric; /* on the validation data, after the epoch */
    double more_metrics[NN_MORE_METRICS];
    double lr;          /* learning rate of the last step */
    double best;        /* validation loss, or metric, of best_epoch */
    int64_t best_epoch; /* 0: none yet */
    bool stopped_early; /* by patience or by a callback */
    bool interrupted;   /* by SIGINT */
    char how[240];      /* with compile, once a full minibatch came: "compiled", or "interpreted: " and the reason */
} nn_training_state;
typedef int nn_callback_fn(const nn_training_state *s, void *data); /* a result other than 0 stops the training */

/* A field that is false or 0 has its default; in a number, AD_ZERO means 0 itself. */
typedef struct {
    int64_t epochs; /* required */
    int64_t batch;  /* rows in a minibatch; 32 */

    /* Minibatches; see nn_loader_opts. */
    bool in_order, drop_last;
    nn_transform_fn *transform; /* for training only */
    void *transform_data;
    int64_t prefetch;
    ad_var *draw_weights; /* rows are drawn in proportion to these */
    int64_t draws;
    bool draw_once;
    nn_batch_fn *mix;   /* applied to each minibatch of the training: nn_mixup, nn_cutmix, nn_smooth */
    void *mix_data;
    nn_stream_fn *stream; /* in place of data, which is { NULL }; batch and the options above but mix have no meaning */
    void *stream_data;

    nn_loss_data_fn *loss_with; /* in place of the argument loss, which is NULL */
    void *loss_data;
    ad_var *weights;    /* [n], 0 or more, a weight for each row of data. The loss function then gives the loss of
                           each row, by AD_NONE, and a step's loss is sum(weight loss) / sum(weight). Validation
                           weighs rows alike */
    int64_t accumulate; /* minibatches in a step of the optimiser; 1. Their losses count by their rows, or weights: the
                           gradient is that of one minibatch of all their rows, but for rounding and for layers that mix
                           rows. The last step of an epoch takes what is left */

    double clip_norm;      /* clip the gradients of the optimiser's parameters to this norm; 0: do not */
    bool allow_nonfinite;  /* go on after a loss that is NaN or infinite. By default the training stops with AD_EVALUE
                              before that step. In both cases a step whose norm clip_norm finds not finite is not taken,
                              and a checkpoint never gets parameters that are not finite */
    nn_schedule *schedule; /* stepped after each epoch with the value that decides about best */
    bool schedule_by_step; /* stepped after each step of the optimiser instead, with the minibatch's loss */

    nn_dataset validation;   /* x NULL: none; its predictions must fit in memory. A first part is tried at the start */
    nn_metric_fn *metric;    /* of the validation data */
    const char *metric_name; /* "metric" */
    nn_metric more_metrics[NN_MORE_METRICS]; /* reported too */
    nn_metric_data_fn *metric_with;          /* in place of metric */
    void *metric_data;
    nn_data_metric more_metrics_with[NN_MORE_METRICS]; /* each in place of that of more_metrics */

    bool by_metric;    /* best is the highest metric; by default it is the lowest validation loss */
    int64_t patience;  /* stop after so many epochs without improvement; 0: never */
    double min_delta;  /* smaller changes are no improvement */
    bool restore_best; /* end with the parameters of the best epoch; implied by patience */

    nn_average *average;  /* of net: updated after each step. Validation, and so the best epoch, are of the averages;
                             at the end net has its own weights, but for restore_best, and nn_average_apply gives it
                             the averages. Checkpoints have the averages too */
    int64_t average_from; /* epochs before the first update; 0 */
    bool average_epochs;  /* updated after each epoch, not each step, as SWA does */

    FILE *progress;           /* a progress bar if it is a terminal, otherwise a line per epoch; NULL: none */
    const char *log;          /* a CSV file with a row per epoch; NULL: none. Where a resumed training finds it empty or
                                 gone, it begins again; another file there is an error before the first step */
    const char *checkpoint;   /* a file to resume from, written at the start and after each epoch; NULL: none */
    int64_t checkpoint_steps; /* written after so many steps as well; 0: not within epochs */
    bool resume;              /* continue from checkpoint if that file exists; an error if it is of another net,
                                 optimiser, schedule or number of rows */
    bool catch_interrupt;     /* SIGINT ends the training after the current step, with a checkpoint. For one training
                                 at a time in a program; the previous handler is restored at the end */
    nn_callback_fn *on_step, *on_epoch;
    void *callback_data;

    bool compile; /* loss and gradients of full minibatches by a compiled program; see below */
    ad_compile_opts compiler; /* with compile */
} nn_fit_opts;

/* Trains net, which must be in training mode, on minibatches of data, and sets *end, unless NULL, to the final state.
   Returns 0 or the code of the graph's error. Options that would be ignored are an error. Resumed with the same data
   and options, a training ends with exactly the numbers of one that was not interrupted: a checkpoint has parameters
   and buffers, the state of optimiser and schedule, the position in the epoch and the state of the random numbers. An
   optimiser that evaluates the loss itself (nn_lbfgs) gets each minibatch as a function, and clip_norm has no effect on
   it; it takes neither weights nor accumulate.

   With compile, the first full minibatch is recorded and becomes a program (ad_compile_gradient) for loss and gradients
   of the full ones. Numbers differ by rounding, which optimisers such as adam enlarge where a gradient is near
   0. All else is as without: the optimiser's update, smaller minibatches, random draws, buffers, callbacks that change
   rates, weights, modes or frozen parameters, for which a new program is made. A resumed training still ends with
   exactly the numbers of one that was not interrupted. The program runs on one thread, besides the BLAS.

   The interpreter trains, and `how` in the state says why, if there is no compiler; if the network or the loss reads
   values while it is recorded (ad_item, ad_data, ad_branch), as what it does then may depend on them; if it changes
   buffers outside of ops; if the loss depends on other leaves that require a gradient; with nn_lbfgs, and with
   ad_detect_anomaly, accumulate and weights. The interpreter also computes minibatches whose loss is not finite.

   The functions of network and loss are not called again, so a number in C that they use stays as it was. The first two
   steps of a program, then fewer, and at least each 256th are computed both ways. If the losses differ by over 1e-3
   (f32) or 1e-6 (f64), or the buffers do, the training goes on without the program after its first step; later it stops
   with AD_ECHECK. */
AD_API int nn_fit(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_fit_opts o,
                  nn_training_state *end);

/* ---- a learning rate to begin with -------------------------------------------------------------------------- */

/* A field that is false or 0 has its default. */
typedef struct {
    double from, to;     /* 1e-7, 10: the rates of the first and the last step */
    int64_t steps;       /* 100 */
    int64_t batch;       /* 32 */
    double smoothing;    /* 0.98: of the running mean of the losses; AD_ZERO: none */
    double divergence;   /* 4: it ends where the smoothed loss is so many times its least value so far */
    bool in_order;       /* keep the order of the rows */
    nn_loss_data_fn *loss_with; /* in place of loss, which is NULL */
    void *loss_data;
    double *rates, *losses; /* [steps] each, or NULL: get the rates that were tried and the smoothed losses */
} nn_rate_opts;
typedef struct {
    double steepest; /* the rate at which the loss falls fastest, without the first tenth of the steps: Lightning's and
                        fastai's suggestion */
    double minimum;  /* the rate of the least smoothed loss; a tenth of it is a usual choice */
    int64_t steps;   /* steps that were done */
} nn_rates;
/* Trains net for some steps whose rates grow from step to step by one factor, those of all groups alike, and puts
   everything back: parameters, buffers, optimiser and random numbers (Smith 2017); gradients are zero. Returns the
   rate steepest, and NaN after an error. *found may be NULL. The optimiser is one that takes nn_step. */
AD_API double nn_find_rate(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_rate_opts o,
                           nn_rates *found);

/* ---- networks as C files: see ad_export_c in ops/compile.h for what such files are ---- */

typedef struct {
    ad_export_number number; /* f32 or f64; as the network computes */
    bool separate, no_test;  /* weights in a file of their own; no main for tests */
    nn_optim *optim;         /* with loss and target: the file can train */
    nn_loss_fn *loss;
    ad_var *target;          /* of the loss for the predictions of x */
} nn_export_opts;

/* Writes PATH, which ends in .c, and its header. They have

       void NAME(const float *x, float *y, float *work);                               y = net(x), in evaluation mode

   for inputs of x's shape; the weights stand in the file as constants. With an optimiser, they have

       extern const float NAME_weights[];                                              as they are now
       void NAME(const float *weights, const float *x, float *y, float *work);
       void NAME_step(float *weights, float *state, const float *x, const float *target, const float *lr, float *loss,
                      float *work);

   NAME_step is a step of training; the header says the lengths of the arrays. state is the optimiser's and begins with
   zeros; it is left out if the optimiser has none. The optimiser is sgd (without dampening), adam or adamw; groups keep
   the ratios of their rates. Frozen parameters are constants. Modules are in the modes that they have. Where some are
   batch_norms in training mode, their running averages are an array `buffers` behind `weights` in both functions, which
   NAME_step moves and NAME reads, and NAME_buffers has them as they are now.

   Returns 0 or the code of the graph's error: those of ad_export_functions, and AD_EABSENT for another optimiser. */
AD_API int nn_export_c(const char *path, const char *name, nn_module *net, ad_var *x, nn_export_opts o);

#ifdef __cplusplus
}
#endif
#endif
