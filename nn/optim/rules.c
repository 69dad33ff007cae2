/* rules.c: the optimisers: options, defaults, and the numbers of an update. */
#include <math.h>

#include "nn/optim/state.h"

static void default_to(double *option, double value) { *option = ad_option(*option, value); }

/* Whether m can have an optimiser with these settings. Each check reports its own error. */
static bool accepts(nn_module *m, const char *caller, double lr, double weight_decay) {
    if (m == NULL || nn__check_open(&m->object, NULL, caller, "module")) return false;
    ad_graph *g = nn_graph_of(m);
    return ad_ok(g) && nn__check_positive(g, caller, "lr", lr) == AD_OK &&
           nn__check_number(g, caller, "weight_decay", weight_decay, 0, INFINITY) == AD_OK;
}

/* A decay rate such as beta1: from 0 to below 1. */
static bool is_rate(nn_module *m, const char *caller, const char *name, double value) {
    return nn__check_number(nn_graph_of(m), caller, name, value, 0, 1) == AD_OK;
}

static bool is_not_negative(nn_module *m, const char *caller, const char *name, double value) {
    return nn__check_number(nn_graph_of(m), caller, name, value, 0, INFINITY) == AD_OK;
}

/* ---- sgd --------------------------------------------------------------------------------------------- */

/* The first momentum buffer is the gradient, without dampening. */
static void sgd_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_sgd_opts *o = opts;
    bool first = s->step == 1;
    to->sgd = (nn__sgd_numbers){ .lr = p->lr,
                                 .decay = p->weight_decay,
                                 .momentum = first ? 0 : p->momentum,
                                 .undamped = first ? 1 : 1 - o->dampening,
                                 .of_gradient = o->nesterov ? 1 : 0,
                                 .of_buffer = o->nesterov ? p->momentum : 1 };
}

static bool check_sgd(nn_module *m, const nn_sgd_opts *o) {
    if (!accepts(m, "sgd", o->lr, o->weight_decay) || !is_not_negative(m, "sgd", "momentum", o->momentum) ||
        !is_not_negative(m, "sgd", "dampening", o->dampening))
        return false;
    if (!o->nesterov || (o->momentum > 0 && o->dampening == 0)) return true;
    ad_fail(nn_graph_of(m), AD_EVALUE, "sgd: nesterov needs a momentum above 0, and no dampening");
    return false;
}

nn_optim *nn_sgd(nn_module *m, nn_sgd_opts o) {
    static const nn__method method = { .name = "sgd",
                                       .state = { [NN__SGD_MOMENTUM_BUFFER] = "momentum_buffer" },
                                       .rule = &nn__rule_sgd,
                                       .numbers = sgd_numbers };
    default_to(&o.lr, 0), default_to(&o.momentum, 0), default_to(&o.dampening, 0), default_to(&o.weight_decay, 0);
    if (!check_sgd(m, &o)) return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay, .momentum = o.momentum };
    const bool uses[NN__RULE_STATES] = { [NN__SGD_MOMENTUM_BUFFER] = o.momentum != 0 };
    return nn__optim_new(m, &method, &o, sizeof o, p, uses);
}

/* ---- the Adam family ----------------------------------------------------------------------------------- */

static void adam_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adam_opts *o = opts;
    to->adam = (nn__adam_numbers){ .lr = p->lr / (1 - pow(p->momentum, s->step)),
                                   .decay = p->weight_decay,
                                   .shrink = 1,
                                   .beta1 = p->momentum,
                                   .beta2 = o->beta2,
                                   .correction = 1 / sqrt(1 - pow(o->beta2, s->step)),
                                   .eps = o->eps };
}

static void adamw_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    adam_numbers(opts, p, s, to);
    to->adam.decay = 0;
    to->adam.shrink = 1 - p->lr * p->weight_decay;
}

static nn_optim *adam_new(nn_module *m, const nn__method *method, nn_adam_opts o) {
    const char *name = method->name;
    default_to(&o.lr, 1e-3), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.999), default_to(&o.eps, 1e-8);
    if (!accepts(m, name, o.lr, o.weight_decay) || !is_rate(m, name, "beta1", o.beta1) ||
        !is_rate(m, name, "beta2", o.beta2) || !is_not_negative(m, name, "eps", o.eps))
        return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay, .momentum = o.beta1 };
    const bool uses[NN__RULE_STATES] = { [NN__ADAM_EXP_AVG] = true,
                                         [NN__ADAM_EXP_AVG_SQ] = true,
                                         [NN__ADAM_MAX_EXP_AVG_SQ] = o.amsgrad };
    return nn__optim_new(m, method, &o, sizeof o, p, uses);
}

#define ADAM_STATES                                                                                                    \
    {                                                                                                                  \
        [NN__ADAM_EXP_AVG] = "exp_avg", [NN__ADAM_EXP_AVG_SQ] = "exp_avg_sq",                                          \
        [NN__ADAM_MAX_EXP_AVG_SQ] = "max_exp_avg_sq"                                                                   \
    }

nn_optim *nn_adam(nn_module *m, nn_adam_opts o) {
    static const nn__method method = {
        .name = "adam", .state = ADAM_STATES, .has_beta1 = true, .rule = &nn__rule_adam, .numbers = adam_numbers
    };
    default_to(&o.weight_decay, 0);
    return adam_new(m, &method, o);
}

nn_optim *nn_adamw(nn_module *m, nn_adam_opts o) {
    static const nn__method method = {
        .name = "adamw", .state = ADAM_STATES, .has_beta1 = true, .rule = &nn__rule_adam, .numbers = adamw_numbers
    };
    default_to(&o.weight_decay, 0.01);
    return adam_new(m, &method, o);
}

/* Dozat 2016: the momentum of update t is mu = beta1 (1 - 0.96^(t momentum_decay) / 2). */
static void nadam_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_nadam_opts *o = opts;
    double mu = p->momentum * (1 - 0.5 * pow(0.96, s->step * o->momentum_decay));
    double next = p->momentum * (1 - 0.5 * pow(0.96, (s->step + 1) * o->momentum_decay));
    s->mu_product *= mu;
    to->adam = (nn__adam_numbers){ .lr = p->lr * next / (1 - s->mu_product * next),
                                   .lr_gradient = p->lr * (1 - mu) / (1 - s->mu_product),
                                   .decay = p->weight_decay,
                                   .shrink = 1,
                                   .beta1 = p->momentum,
                                   .beta2 = o->beta2,
                                   .correction = 1 / sqrt(1 - pow(o->beta2, s->step)),
                                   .eps = o->eps };
}

nn_optim *nn_nadam(nn_module *m, nn_nadam_opts o) {
    static const nn__method method = { .name = "nadam",
                                       .state = ADAM_STATES,
                                       .has_mu_product = true,
                                       .has_beta1 = true,
                                       .rule = &nn__rule_adam,
                                       .numbers = nadam_numbers };
    default_to(&o.lr, 2e-3), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.999), default_to(&o.eps, 1e-8);
    default_to(&o.weight_decay, 0), default_to(&o.momentum_decay, 4e-3);
    if (!accepts(m, "nadam", o.lr, o.weight_decay) || !is_rate(m, "nadam", "beta1", o.beta1) ||
        !is_rate(m, "nadam", "beta2", o.beta2) || !is_not_negative(m, "nadam", "eps", o.eps) ||
        !is_not_negative(m, "nadam", "momentum_decay", o.momentum_decay))
        return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay, .momentum = o.beta1 };
    const bool uses[NN__RULE_STATES] = { [NN__ADAM_EXP_AVG] = true, [NN__ADAM_EXP_AVG_SQ] = true };
    return nn__optim_new(m, &method, &o, sizeof o, p, uses);
}

static void adamax_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adamax_opts *o = opts;
    to->adamax = (nn__adamax_numbers){ .lr = p->lr / (1 - pow(p->momentum, s->step)),
                                       .decay = p->weight_decay,
                                       .beta1 = p->momentum,
                                       .beta2 = o->beta2,
                                       .eps = o->eps };
}

nn_optim *nn_adamax(nn_module *m, nn_adamax_opts o) {
    static const nn__method method = { .name = "adamax",
                                       .state = { [NN__ADAMAX_EXP_AVG] = "exp_avg", [NN__ADAMAX_EXP_INF] = "exp_inf" },
                                       .has_beta1 = true,
                                       .rule = &nn__rule_adamax,
                                       .numbers = adamax_numbers };
    default_to(&o.lr, 2e-3), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.999), default_to(&o.eps, 1e-8);
    default_to(&o.weight_decay, 0);
    if (!accepts(m, "adamax", o.lr, o.weight_decay) || !is_rate(m, "adamax", "beta1", o.beta1) ||
        !is_rate(m, "adamax", "beta2", o.beta2) || !is_not_negative(m, "adamax", "eps", o.eps))
        return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay, .momentum = o.beta1 };
    const bool uses[NN__RULE_STATES] = { [NN__ADAMAX_EXP_AVG] = true, [NN__ADAMAX_EXP_INF] = true };
    return nn__optim_new(m, &method, &o, sizeof o, p, uses);
}

static void lion_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_lion_opts *o = opts;
    (void)s;
    to->lion = (nn__lion_numbers){ .lr = p->lr,
                                   .shrink = 1 - p->lr * p->weight_decay,
                                   .beta1 = p->momentum,
                                   .beta2 = o->beta2 };
}

nn_optim *nn_lion(nn_module *m, nn_lion_opts o) {
    static const nn__method method = { .name = "lion",
                                       .state = { [NN__LION_EXP_AVG] = "exp_avg" },
                                       .has_beta1 = true,
                                       .rule = &nn__rule_lion,
                                       .numbers = lion_numbers };
    default_to(&o.lr, 1e-4), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.99), default_to(&o.weight_decay, 0);
    if (!accepts(m, "lion", o.lr, o.weight_decay) || !is_rate(m, "lion", "beta1", o.beta1) ||
        !is_rate(m, "lion", "beta2", o.beta2))
        return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay, .momentum = o.beta1 };
    const bool uses[NN__RULE_STATES] = { [NN__LION_EXP_AVG] = true };
    return nn__optim_new(m, &method, &o, sizeof o, p, uses);
}

/* ---- steps scaled by past gradients ---------------------------------------------------------------------- */

static void rmsprop_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_rmsprop_opts *o = opts;
    (void)s;
    to->rmsprop = (nn__rmsprop_numbers){
        .lr = p->lr, .decay = p->weight_decay, .alpha = o->alpha, .momentum = p->momentum, .eps = o->eps
    };
}

nn_optim *nn_rmsprop(nn_module *m, nn_rmsprop_opts o) {
    static const nn__method method = { .name = "rmsprop",
                                       .state = { [NN__RMSPROP_SQUARE_AVG] = "square_avg",
                                                  [NN__RMSPROP_GRAD_AVG] = "grad_avg",
                                                  [NN__RMSPROP_MOMENTUM_BUFFER] = "momentum_buffer" },
                                       .rule = &nn__rule_rmsprop,
                                       .numbers = rmsprop_numbers };
    default_to(&o.lr, 1e-2), default_to(&o.alpha, 0.99), default_to(&o.eps, 1e-8);
    default_to(&o.momentum, 0), default_to(&o.weight_decay, 0);
    if (!accepts(m, "rmsprop", o.lr, o.weight_decay) || !is_rate(m, "rmsprop", "alpha", o.alpha) ||
        !is_not_negative(m, "rmsprop", "eps", o.eps) || !is_not_negative(m, "rmsprop", "momentum", o.momentum))
        return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay, .momentum = o.momentum };
    const bool uses[NN__RULE_STATES] = { [NN__RMSPROP_SQUARE_AVG] = true,
                                         [NN__RMSPROP_GRAD_AVG] = o.centered,
                                         [NN__RMSPROP_MOMENTUM_BUFFER] = o.momentum != 0 };
    return nn__optim_new(m, &method, &o, sizeof o, p, uses);
}

static void adagrad_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adagrad_opts *o = opts;
    to->adagrad = (nn__adagrad_numbers){ .lr = p->lr / (1 + (s->step - 1) * o->lr_decay),
                                         .decay = p->weight_decay,
                                         .eps = o->eps };
}

nn_optim *nn_adagrad(nn_module *m, nn_adagrad_opts o) {
    static const nn__method method = { .name = "adagrad",
                                       .state = { [NN__ADAGRAD_SUM] = "sum" },
                                       .rule = &nn__rule_adagrad,
                                       .numbers = adagrad_numbers };
    default_to(&o.lr, 1e-2), default_to(&o.eps, 1e-10), default_to(&o.lr_decay, 0);
    default_to(&o.initial_accumulator_value, 0), default_to(&o.weight_decay, 0);
    if (!accepts(m, "adagrad", o.lr, o.weight_decay) || !is_not_negative(m, "adagrad", "lr_decay", o.lr_decay) ||
        !is_not_negative(m, "adagrad", "eps", o.eps) ||
        !is_not_negative(m, "adagrad", "initial_accumulator_value", o.initial_accumulator_value))
        return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay };
    const bool uses[NN__RULE_STATES] = { [NN__ADAGRAD_SUM] = true };
    nn_optim *opt = nn__optim_new(m, &method, &o, sizeof o, p, uses);
    for (int i = 0; opt != NULL && i < opt->n; i++)
        nn_init_constant(opt->slots[i].state[NN__ADAGRAD_SUM], o.initial_accumulator_value);
    return ad_ok(nn_graph_of(m)) ? opt : NULL;
}

static void adadelta_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adadelta_opts *o = opts;
    (void)s;
    to->adadelta = (nn__adadelta_numbers){ .lr = p->lr, .decay = p->weight_decay, .rho = o->rho, .eps = o->eps };
}

nn_optim *nn_adadelta(nn_module *m, nn_adadelta_opts o) {
    static const nn__method method = { .name = "adadelta",
                                       .state = { [NN__ADADELTA_SQUARE_AVG] = "square_avg",
                                                  [NN__ADADELTA_ACC_DELTA] = "acc_delta" },
                                       .rule = &nn__rule_adadelta,
                                       .numbers = adadelta_numbers };
    default_to(&o.lr, 1), default_to(&o.rho, 0.9), default_to(&o.eps, 1e-6), default_to(&o.weight_decay, 0);
    if (!accepts(m, "adadelta", o.lr, o.weight_decay) || !is_rate(m, "adadelta", "rho", o.rho) ||
        !is_not_negative(m, "adadelta", "eps", o.eps))
        return NULL;
    nn__param_group p = { .lr = o.lr, .weight_decay = o.weight_decay };
    const bool uses[NN__RULE_STATES] = { [NN__ADADELTA_SQUARE_AVG] = true, [NN__ADADELTA_ACC_DELTA] = true };
    return nn__optim_new(m, &method, &o, sizeof o, p, uses);
}
