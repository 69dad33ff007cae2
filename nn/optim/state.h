/* state.h: what optimisers and schedules remember from step to step; private to nn.

   A checkpoint holds every nn__state by its name. To restore one, ad_set var, or set *number, in an optimiser that was
   made in the same way. */
#ifndef NN_OPTIM_STATE_H
#define NN_OPTIM_STATE_H

#include "nn/kernels/update.h"
#include "nn/module/module_private.h"
#include "nn/optim.h"

typedef struct {
    const char *name; /* "0.weight.exp_avg", "0.weight.step", "group0.lr": PyTorch's words */
    ad_var *var;      /* an array, or */
    double *number;   /* one number; the other is NULL */
} nn__state;

const char *nn__optim_kind(const nn_optim *opt); /* "adam" */
int nn__optim_state_count(const nn_optim *opt);
nn__state nn__optim_state_at(nn_optim *opt, int i);

/* What the next updates of a group depend on beside gradients and states: rates, decays, the options. */
enum { NN__STEP_NUMBERS = 8 };
void nn__optim_numbers(const nn_optim *opt, int group, double to[NN__STEP_NUMBERS]);

const char *nn__schedule_kind(const nn_schedule *s); /* "cosine" */
int nn__schedule_state_count(const nn_schedule *s);
nn__state nn__schedule_state_at(nn_schedule *s, int i);
const nn_optim *nn__schedule_optim(const nn_schedule *s);
/* A hash of the rates and momenta of the next steps, or of plateau's options. */
uint64_t nn__schedule_hash(const nn_schedule *s);
/* Of the metric given to nn_schedule_step: 1, larger is better; -1, smaller is better; 0: it is ignored. */
int nn__schedule_direction(const nn_schedule *s);
/* 0, or AD_EGRAPH with an error where the schedule's scope is closed. */
int nn__check_schedule(const nn_schedule *s, const char *caller);

/* ---- the parts of an optimiser -------------------------------------------------------------------- */

enum { NN__GROUPS = 8 };
typedef struct {
    double lr, initial_lr; /* schedules compute lr from initial_lr */
    double weight_decay;
    double momentum; /* beta1 of the Adam family; 0 where the optimiser has none */
} nn__param_group;

/* A parameter and its state. */
typedef struct {
    nn_parameter parameter;
    int group;
    double step;       /* updates so far */
    double mu_product; /* of nadam */
    ad_var *state[NN__RULE_STATES]; /* NULL where the optimiser goes without */
} nn__slot;

typedef union {
    nn__sgd_numbers sgd;
    nn__adam_numbers adam;
    nn__rmsprop_numbers rmsprop;
    nn__adagrad_numbers adagrad;
    nn__adadelta_numbers adadelta;
    nn__adamax_numbers adamax;
    nn__lion_numbers lion;
} nn__numbers;

typedef struct {
    const char *name;
    const char *state[NN__RULE_STATES]; /* PyTorch's names of the rule's states */
    bool has_mu_product;                /* nadam */
    bool has_beta1;                     /* the groups' momentum is beta1, and may be 0 */
    const nn__rule *rule;               /* NULL: the optimiser minimises a closure and has states of its own */
    /* For a rule: the numbers of update number s->step of a parameter. */
    void (*numbers)(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to);
    int (*minimise)(nn_optim *opt, nn_closure_fn *f, void *data, double *loss); /* NULL: one update by the rule */
    void (*own_numbers)(const void *opts, double to[NN__STEP_NUMBERS]);         /* of a minimiser: its options */
} nn__method;

struct nn_optim {
    nn__object object;
    const nn__method *method;
    void *opts;
    nn__param_group group[NN__GROUPS];
    int n, n_groups, n_states;
    nn_gradient_fn *on_gradient; /* see nn_on_gradient; NULL: none */
    void *on_gradient_data;
    nn__state *states;
    nn__slot slots[];
};

/* An optimiser of m's parameters with a copy of opts. uses tells which of the rule's states it keeps; NULL for none.
   NULL after an error. */
nn_optim *nn__optim_new(nn_module *m, const nn__method *method, const void *opts, size_t size, nn__param_group p,
                        const bool uses[NN__RULE_STATES]);

/* Whether a step moves x: a gradient has arrived and x is not frozen. */
static inline bool nn__moves(const ad_var *x) { return ad_has_grad(x) && ad_requires_grad(x); }

/* 0, or the code of the graph's error, which may be that the optimiser's scope is closed. opt is not NULL. */
int nn__check_optim(const nn_optim *opt, const char *caller);

/* The name of the first parameter that opt moves and that has a NaN or an infinity, or NULL. */
const char *nn__nonfinite_parameter(const nn_optim *opt);
/* Multiplies the gradients of the parameters that opt moves. */
void nn__scale_optim(const nn_optim *opt, double k);
/* nn_clip_grad_norm for the parameters that opt moves. False where a gradient is not finite, which stays. */
bool nn__clip_optim(const nn_optim *opt, double max_norm, double *norm);

enum { NN__OWN_STATES = 12 };
/* Lists a state of a minimiser; name is a constant. At most NN__OWN_STATES of them. */
void nn__list_own_state(nn_optim *opt, const char *name, ad_var *var, double *number);
/* *loss = the loss, with its gradients in the parameters; a negative code where f fails. */
int nn__run_closure(nn_optim *opt, nn_closure_fn *f, void *data, double *loss);

/* 0 where the number is at least lo and below hi; otherwise the error "caller: name value: it must ...". */
int nn__check_number(ad_graph *g, const char *caller, const char *name, double value, double lo, double hi);
/* The same for a finite number above 0. */
int nn__check_positive(ad_graph *g, const char *caller, const char *name, double value);

#endif
