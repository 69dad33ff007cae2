/* state.h: what optimisers and schedules remember from step to step; private to the library.

   A checkpoint holds every nn__state by its name; restoring is ad_set into var, or *number = value, on an
   optimiser that was made in the same way. */
#ifndef NN_OPTIM_STATE_H
#define NN_OPTIM_STATE_H

#include "nn/optim.h"
#include "nn/kernels/update.h"

typedef struct {
    const char *name; /* "0.weight.exp_avg", "0.weight.step", "group0.lr": PyTorch's words */
    ad_var *var;      /* an array, or */
    double *number;   /* one number: the other is NULL */
} nn__state;

const char *nn__optim_kind(const nn_optim *opt); /* "adam" */
int nn__optim_state_count(const nn_optim *opt);
nn__state nn__optim_state_at(nn_optim *opt, int i);

const char *nn__schedule_kind(const nn_schedule *s); /* "cosine" */
int nn__schedule_state_count(const nn_schedule *s);
nn__state nn__schedule_state_at(nn_schedule *s, int i);

/* ---- how an optimiser lies in memory -------------------------------------------------------------- */

enum { NN__GROUPS = 8 };
typedef struct {
    double lr, initial_lr; /* initial_lr: what schedules start from */
    double weight_decay;
    double momentum; /* beta1 of adam and its kin; 0: the optimiser has none */
} nn__param_group;

/* A parameter and what is remembered of it. */
typedef struct {
    nn_parameter parameter;
    int group;
    double step;       /* updates so far */
    double mu_product; /* of nadam */
    ad_var *state[NN__RULE_STATES];
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
    const char *state[NN__RULE_STATES]; /* PyTorch's names; the optimiser may go without some */
    bool has_mu_product;
    const nn__rule *rule; /* NULL: it minimises, with states of its own */
    /* For a rule: the numbers of the step that s->step, counted already, is the number of. */
    void (*numbers)(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to);
    int (*minimise)(nn_optim *opt, nn_closure_fn *f, void *data, double *loss); /* NULL: one step of the rule */
} nn__method;

struct nn_optim {
    ad_graph *graph;
    const nn__method *method;
    void *opts;
    nn__param_group group[NN__GROUPS];
    int n, n_groups, n_states;
    nn__state *states;
    nn__slot slots[];
};

/* An optimiser of m's parameters with a copy of opts and, of each parameter, the states whose bits are
   set in uses. NULL after an error. */
nn_optim *nn__optim_new(nn_module *m, const nn__method *method, const void *opts, size_t size, nn__param_group p,
                        unsigned uses);

enum { NN__OWN_STATES = 12 };
/* Lists a state of a minimiser; name is a constant. At most NN__OWN_STATES of them. */
void nn__list_own_state(nn_optim *opt, const char *name, ad_var *var, double *number);
/* The loss, and its gradients in the parameters; a negative code where f fails. */
int nn__run_closure(nn_optim *opt, nn_closure_fn *f, void *data, double *loss);

/* 0 where the number is at least lo and below hi; else an error "caller: name value: it must ...". */
int nn__check_number(ad_graph *g, const char *caller, const char *name, double value, double lo, double hi);
int nn__check_lr(ad_graph *g, const char *caller, double lr);

#endif
