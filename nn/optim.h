/* optim.h: optimisers, clipping of gradients and schedules of learning rates; included by nn.h. */
#ifndef NN_OPTIM_H
#define NN_OPTIM_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimisers: they live in the graph as modules do --------------------------------------------

   An optimiser moves the parameters that m has when it is made, as the optimiser of the same name in torch.optim does
   (lion: Chen et al. 2023). In structs of options, a field that is 0 or false has the default that its comment gives,
   which is PyTorch's; AD_ZERO stands for zero itself. lr must be above 0.

   Parameters that no gradient has reached since nn_zero_grad do not move, and the optimiser's state for them does not
   change; the same holds for frozen ones.

   Gradients add up over backward passes until nn_zero_grad. To accumulate over k minibatches, differentiate
   ad_muls(loss, 1.0 / k) of each and step after the last one. weight_decay adds weight_decay x to the gradient (the
   L2 penalty); adamw and lion multiply x by 1 - lr weight_decay instead. */
typedef struct nn_optim nn_optim;

/* An optimiser of the parameters of m: stochastic gradient descent, Adam, AdamW and so on. NULL after an error. */
typedef struct {
    double lr;                                /* must be given */
    double momentum, dampening, weight_decay; /* 0, 0, 0 */
    bool nesterov;
} nn_sgd_opts;
typedef struct {
    double lr, beta1, beta2, eps; /* 1e-3, 0.9, 0.999, 1e-8 */
    double weight_decay;          /* adam: 0; adamw: 0.01 */
    bool amsgrad;
} nn_adam_opts;
typedef struct {
    double lr, alpha, eps, momentum, weight_decay; /* 1e-2, 0.99, 1e-8, 0, 0 */
    bool centered;
} nn_rmsprop_opts;
typedef struct {
    double lr, lr_decay, eps, initial_accumulator_value, weight_decay; /* 1e-2, 0, 1e-10, 0, 0 */
} nn_adagrad_opts;
typedef struct {
    double lr, rho, eps, weight_decay; /* 1, 0.9, 1e-6, 0 */
} nn_adadelta_opts;
typedef struct {
    double lr, beta1, beta2, eps, weight_decay; /* 2e-3, 0.9, 0.999, 1e-8, 0 */
} nn_adamax_opts;
typedef struct {
    double lr, beta1, beta2, eps, weight_decay, momentum_decay; /* 2e-3, 0.9, 0.999, 1e-8, 0, 4e-3 */
} nn_nadam_opts;
typedef struct {
    double lr, beta1, beta2, weight_decay; /* 1e-4, 0.9, 0.99, 0 */
} nn_lion_opts;
AD_API nn_optim *nn_sgd(nn_module *m, nn_sgd_opts o);
AD_API nn_optim *nn_adam(nn_module *m, nn_adam_opts o);
AD_API nn_optim *nn_adamw(nn_module *m, nn_adam_opts o);
AD_API nn_optim *nn_rmsprop(nn_module *m, nn_rmsprop_opts o);
AD_API nn_optim *nn_adagrad(nn_module *m, nn_adagrad_opts o);
AD_API nn_optim *nn_adadelta(nn_module *m, nn_adadelta_opts o);
AD_API nn_optim *nn_adamax(nn_module *m, nn_adamax_opts o);
AD_API nn_optim *nn_nadam(nn_module *m, nn_nadam_opts o);
AD_API nn_optim *nn_lion(nn_module *m, nn_lion_opts o);

/* Moves the parameters by the gradients that have arrived. 0, or an AD_E code: after an error of the graph nothing
   moves. The code of an optimiser that is NULL, or whose scope was closed and whose memory is used again, comes
   without a sentence in ad_error, since the graph is not known. */
AD_API int nn_step(nn_optim *opt);
AD_API void nn_zero_grad(nn_optim *opt); /* sets the gradients of its parameters to zero, before ad_backward */
AD_API void nn_set_lr(nn_optim *opt, double lr); /* of the parameters that are in no group; may be 0 */
AD_API double nn_lr(const nn_optim *opt); /* the same, as it is now; 0 for NULL */

/* Builds the loss, a one-element Var, from the present values of the parameters. */
typedef ad_var *nn_closure_fn(void *data);
/* A step that computes the loss itself, in a scope of its own: it zeroes the gradients, calls f and differentiates the
   result. lbfgs does this many times. *loss, unless loss is NULL, gets the loss before the step. */
AD_API int nn_step_closure(nn_optim *opt, nn_closure_fn *f, void *data, double *loss);

/* From now on nn_step_closure calls f after each evaluation of the loss and its gradient, before they are used: f may
   change the gradients (ad_grad_mut) and *loss, which is how several processes minimise the sum of their losses. It is
   called after an error of the evaluation too, so that it can tell others. It returns 0, or a code that ends the step.
   f NULL: no function. */
typedef int nn_gradient_fn(nn_optim *opt, double *loss, void *data);
AD_API int nn_on_gradient(nn_optim *opt, nn_gradient_fn *f, void *data);

/* Limited-memory BFGS with a line search for the strong Wolfe conditions (Nocedal and Wright 2006), as
   torch.optim.LBFGS with line_search_fn="strong_wolfe". f must return the same loss for the same parameters: all of
   the data, no dropout. It takes nn_step_closure, not nn_step; it has no groups; it computes in f64 whatever the
   dtype of the parameters. */
typedef struct {
    double lr;             /* 1: the first step length tried */
    int max_iter;          /* 20: iterations of one step */
    int max_eval;          /* 1.25 max_iter: evaluations of one step */
    int history_size;      /* 100: directions kept */
    double tolerance_grad; /* 1e-7: a step ends when no element of the gradient is larger */
    double tolerance_change; /* 1e-9: or when the loss or every parameter changes by less */
} nn_lbfgs_opts;
AD_API nn_optim *nn_lbfgs(nn_module *m, nn_lbfgs_opts o);

/* Makes a group: parameters with a learning rate and weight decay of their own. Returns its number, 1 for the first
   one, or a negative code. A parameter is in the group that took it last. An optimiser has at most 7 groups.

       nn_group(opt, (nn_group_opts){ .pattern = "*bias|*norm*.weight" });      these do not decay
       nn_group(opt, (nn_group_opts){ .pattern = "layers.[0-3].*", .lr = 1e-5, .weight_decay = 0.01 }); */
typedef struct {
    nn_module *part;     /* its parameters; NULL: all that the optimiser has */
    const char *ending;  /* those whose names end so; NULL: all */
    double lr;           /* the optimiser's, as it is now */
    double weight_decay; /* 0, whatever the optimiser's is */
    const char *pattern; /* those whose names it matches, as file names in a shell: * for any text, dots included, ?
                            for a character, [0-3] for one of them; | between several patterns. NULL: all */
} nn_group_opts;
AD_API int nn_group(nn_optim *opt, nn_group_opts o);
AD_API int nn_group_count(const nn_optim *opt); /* with group 0, which has the parameters of no other group */
AD_API void nn_set_group_lr(nn_optim *opt, int group, double lr); /* of this group; may be 0 */
AD_API double nn_group_lr(const nn_optim *opt, int group); /* NaN where there is no such group */

/* ---- averages of weights -----------------------------------------------------------------------------

   The parameters of m averaged over the updates, in arrays of their own: torch.optim.swa_utils.AveragedModel and timm's
   ModelEma. The first update copies the parameters. An average lives in the graph as an optimiser does.

       nn_average *a = nn_average_new(net, (nn_average_opts){ .decay = 0.999 });
       ... after each nn_step: nn_average_update(a);
       nn_average_swap(a);      the net has the averages
       ... evaluate or save it
       nn_average_swap(a);      it has its own weights again and can be trained on */
typedef struct nn_average nn_average;
typedef struct {
    double decay;       /* average = decay average + (1 - decay) parameter (EMA). 0: the mean of all updates (SWA) */
    bool warm_up;       /* decay is at most (1 + t) / (10 + t) after t updates, so that early averages are not those of
                           the first weights */
    bool buffers;       /* averages buffers too, but no counters; by default they are those of the last update */
} nn_average_opts;
AD_API nn_average *nn_average_new(nn_module *m, nn_average_opts o); /* NULL after an error */
AD_API int nn_average_update(nn_average *a);          /* takes the parameters as they are now into the averages */
AD_API int64_t nn_average_count(const nn_average *a); /* updates so far; 0 for NULL */
AD_API int nn_average_swap(nn_average *a);  /* exchanges the module's arrays and the averages; none without an update */
AD_API int nn_average_apply(nn_average *a); /* copies the averages to the module, whose own weights are lost */
AD_API ad_var *nn_average_find(const nn_average *a, const char *name); /* by a name of nn_find_parameter; NULL: none */

/* ---- clipping: between backward and step --------------------------------------------------------- */

/* Scales all gradients of m so that their norm, as one long vector, is at most max_norm. Returns the norm before. Where
   it is not finite, gradients stay as they are, and it is better not to step. */
AD_API double nn_clip_grad_norm(nn_module *m, double max_norm);
AD_API int nn_clip_grad_value(nn_module *m, double limit); /* each element to -limit .. limit */

/* ---- schedules of learning rates ---------------------------------------------------------------------

   The schedules of torch.optim.lr_scheduler. A schedule sets the learning rates of all groups of opt when it is made
   and at each nn_schedule_step, relative to the rates given by options, nn_set_lr or nn_group (lr below). t counts the
   steps from 0; a step is a minibatch or an epoch, as the caller chooses. A schedule lives in the graph as the
   optimiser does. */
typedef struct nn_schedule nn_schedule;
/* lr gamma^floor(t / step_size) */
AD_API nn_schedule *nn_step_decay_lr(nn_optim *opt, int64_t step_size, double gamma);
/* lr gamma^k after k of the n milestones, which must be in rising order. */
AD_API nn_schedule *nn_multistep_lr(nn_optim *opt, int n, const int64_t *milestones, double gamma);
AD_API nn_schedule *nn_exponential_lr(nn_optim *opt, double gamma); /* lr gamma^t */
/* Warm-up: in equal steps from lr start to lr end, which is reached at t = steps. */
AD_API nn_schedule *nn_linear_lr(nn_optim *opt, double start, double end, int64_t steps);
/* Half a period of a cosine, from lr down to eta_min at t = t_max (after that it rises again). */
AD_API nn_schedule *nn_cosine_lr(nn_optim *opt, int64_t t_max, double eta_min);
/* The same, restarted: over t_0 steps, then t_0 t_mult, t_0 t_mult^2, ... (Loshchilov and Hutter 2017). */
AD_API nn_schedule *nn_cosine_restarts_lr(nn_optim *opt, int64_t t_0, int64_t t_mult, double eta_min);

/* One cycle (Smith and Topin 2018). The rate rises to the optimiser's lr, which is PyTorch's max_lr, and then falls far
   below its start. The momentum (beta1 of the Adam family) falls and rises in opposition. */
typedef struct {
    int64_t total_steps;        /* must be given: the steps of the whole training */
    double pct_start;           /* 0.3: the share of steps in which the rate rises */
    double div_factor;          /* 25: the rate starts at lr / div_factor */
    double final_div_factor;    /* 1e4: the rate ends at its start / final_div_factor */
    bool linear;                /* linear, not cosine, interpolation */
    bool three_phase;           /* the rate falls to its start as slowly as it rose, and then to its end */
    bool keep_momentum;         /* do not change the momentum; otherwise the optimiser must have one */
    double base_momentum, max_momentum; /* 0.85, where the rate is highest; 0.95, at both ends */
} nn_one_cycle_opts;
AD_API nn_schedule *nn_one_cycle_lr(nn_optim *opt, nn_one_cycle_opts o);

/* first until t = milestone, then the other one, whose t is 0 there: a warm-up before a cosine, for example. */
AD_API nn_schedule *nn_sequential_lr(nn_schedule *first, nn_schedule *then, int64_t milestone);

/* Multiplies the rates by factor when the metric given to nn_schedule_step has not improved for more than patience
   steps. */
typedef struct {
    double factor;    /* 0.1 */
    int64_t patience; /* 10 */
    double threshold; /* 1e-4: the least improvement, relative to the size of the best metric so far */
    int64_t cooldown; /* 0: steps after a change in which nothing is counted */
    double min_lr;    /* 0 */
    double eps;       /* 1e-8: smaller changes of a rate are left out */
    bool maximise;    /* larger metrics are better: an accuracy, not a loss */
    bool absolute;    /* threshold is a difference, not a ratio */
} nn_plateau_opts;
AD_API nn_schedule *nn_plateau_lr(nn_optim *opt, nn_plateau_opts o);

/* Advances t by one step. metric is for nn_plateau_lr; the other schedules ignore it. */
AD_API int nn_schedule_step(nn_schedule *s, double metric);

#ifdef __cplusplus
}
#endif
#endif
