/* optim.h: optimisers, clipping of gradients and schedules of learning rates; included by nn.h. */
#ifndef NN_OPTIM_H
#define NN_OPTIM_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimisers: live in the graph as modules do ------------------------------------------------

   Each moves the parameters that m has when it is made, as torch.optim's does (lion: Chen et al. 2023).
   A field that is 0 has the default that stands behind it, PyTorch's. Parameters that no gradient has reached
   since nn_zero_grad stay as they are, and so does what is remembered of them; frozen ones likewise.

   Gradients add up over backward passes until nn_zero_grad: to accumulate over k minibatches,
   differentiate ad_muls(loss, 1.0 / k) of each and step after the last. weight_decay adds half its
   square's gradient, weight_decay x, to the gradient (the L2 penalty); adamw and lion shrink x instead. */
typedef struct nn_optim nn_optim;

typedef struct {
    double lr, momentum, dampening, weight_decay; /* lr must be given; 0, 0, 0 */
    bool nesterov;
} nn_sgd_opts;
typedef struct {
    double lr, beta1, beta2, eps; /* 1e-3, 0.9, 0.999, 1e-8 */
    double weight_decay;          /* adam: 0; adamw: 0.01, or none where it is negative */
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

AD_API int nn_step(nn_optim *opt); /* moves parameters against their gradients; nothing after an error */
AD_API void nn_zero_grad(nn_optim *opt);
AD_API void nn_set_lr(nn_optim *opt, double lr); /* of the parameters that are in no group */
AD_API double nn_lr(const nn_optim *opt);

/* Builds the loss, a one-element Var, from the parameters as they are now. */
typedef ad_var *nn_closure_fn(void *data);
/* A step that computes the loss itself, in a scope of its own: gradients are zeroed, f called and its result
   differentiated; by lbfgs many times. loss, which may be NULL, gets the loss before the step. */
AD_API int nn_step_closure(nn_optim *opt, nn_closure_fn *f, void *data, double *loss);

/* Limited-memory BFGS with a line search for the strong Wolfe conditions (Nocedal and Wright 2006), as
   torch.optim.LBFGS with line_search_fn="strong_wolfe". f must be a function: the whole data, no dropout. It takes
   nn_step_closure, not nn_step, has no groups, and works in f64 whatever the parameters are. */
typedef struct {
    double lr;                              /* 1: the first length tried */
    int max_iter, max_eval, history_size;   /* of one step: 20, 1.25 max_iter; directions kept: 100 */
    double tolerance_grad, tolerance_change; /* 1e-7, 1e-9: of the largest element; of loss and step */
} nn_lbfgs_opts;
AD_API nn_optim *nn_lbfgs(nn_module *m, nn_lbfgs_opts o);

/* A group is parameters with a rate and a decay of their own. Answers its number, 1 for the first, or a
   negative code; a parameter belongs to the group that was made last. At most 7 groups an optimiser.

       nn_group(opt, (nn_group_opts){ .ending = "bias", .weight_decay = 0 });      biases do not decay */
typedef struct {
    nn_module *part;     /* of its parameters; NULL: of all that the optimiser has */
    const char *ending;  /* those whose names end so; NULL: all */
    double lr;           /* 0: the optimiser's, as it is now */
    double weight_decay; /* as it stands: 0 is none */
} nn_group_opts;
AD_API int nn_group(nn_optim *opt, nn_group_opts o);
AD_API int nn_group_count(const nn_optim *opt); /* with group 0, of what is in no other */
AD_API void nn_set_group_lr(nn_optim *opt, int group, double lr);
AD_API double nn_group_lr(const nn_optim *opt, int group); /* NaN where there is no such group */

/* ---- clipping: between backward and step --------------------------------------------------------- */

/* Scales all gradients of m so that their norm, as of one long vector, is max_norm at most. Returns the
   norm that it was; where that is not finite, gradients stay as they are (it is better not to step). */
AD_API double nn_clip_grad_norm(nn_module *m, double max_norm);
AD_API int nn_clip_grad_value(nn_module *m, double limit); /* each element to -limit .. limit */

/* ---- schedules of learning rates ---------------------------------------------------------------------

   As torch.optim.lr_scheduler's. Each sets the rates of all groups of opt when it is made and at each
   nn_schedule_step, from what they were set to by options, nn_set_lr or nn_group; t counts the steps (of
   training or epochs, as the caller likes) from 0. A schedule lives in the graph as the optimiser does. */
typedef struct nn_schedule nn_schedule;
AD_API nn_schedule *nn_step_lr(nn_optim *opt, int64_t step_size, double gamma); /* lr gamma^floor(t / step_size) */
/* lr gamma^k after k of the n milestones, which rise. */
AD_API nn_schedule *nn_multistep_lr(nn_optim *opt, int n, const int64_t *milestones, double gamma);
AD_API nn_schedule *nn_exponential_lr(nn_optim *opt, double gamma); /* lr gamma^t */
/* Warm-up: from lr start to lr end in equal steps, which it has reached at t = steps. */
AD_API nn_schedule *nn_linear_lr(nn_optim *opt, double start, double end, int64_t steps);
/* Half a cosine from lr down to eta_min at t = t_max (and up again behind it). */
AD_API nn_schedule *nn_cosine_lr(nn_optim *opt, int64_t t_max, double eta_min);
/* The same again and again: over t_0 steps, then t_0 t_mult, t_0 t_mult^2 ... (Loshchilov and Hutter 2017). */
AD_API nn_schedule *nn_cosine_restarts_lr(nn_optim *opt, int64_t t_0, int64_t t_mult, double eta_min);

/* Smith and Topin 2018. Rises to the optimiser's lr, which is PyTorch's max_lr, and falls to far below; the momentum,
   of adam and its kin beta1, falls meanwhile and rises again. */
typedef struct {
    int64_t total_steps; /* must be given: of the whole training */
    double pct_start;    /* 0.3: the share of steps in which it rises */
    double div_factor, final_div_factor; /* 25 and 1e4: starts at lr / div_factor, ends at that / final_div_factor */
    bool linear;         /* by lines, not cosines */
    bool three_phase;    /* falls as it rose first, and then to the end */
    bool keep_momentum;  /* the momentum stays as it is; otherwise the optimiser must have one */
    double base_momentum, max_momentum; /* 0.85 where the rate is highest, 0.95 at both ends */
} nn_one_cycle_opts;
AD_API nn_schedule *nn_one_cycle_lr(nn_optim *opt, nn_one_cycle_opts o);

/* first until t = milestone, and then the other, which begins there at 0: a warm-up before a cosine, say. */
AD_API nn_schedule *nn_sequential_lr(nn_schedule *first, nn_schedule *then, int64_t milestone);

/* Multiplies rates by factor when the metric given to nn_schedule_step has not become better for more
   than patience steps. */
typedef struct {
    double factor;    /* 0.1 */
    int64_t patience; /* 10; none where it is negative */
    double threshold; /* 1e-4: what better means, as a share of the best so far */
    int64_t cooldown; /* 0: steps without counting after a change */
    double min_lr, eps; /* 0, 1e-8: the smallest rate; and the smallest change of one */
    bool maximise;    /* larger is better: an accuracy, not a loss */
    bool absolute;    /* threshold is a difference, not a share */
} nn_plateau_opts;
AD_API nn_schedule *nn_plateau_lr(nn_optim *opt, nn_plateau_opts o);

/* One step on. metric is for nn_plateau_lr; others do not look at it. */
AD_API int nn_schedule_step(nn_schedule *s, double metric);

#ifdef __cplusplus
}
#endif
#endif
