/* rules.c: the optimisers: options, defaults, and the numbers of a step. */
#include <math.h>

#include "autodiff/op.h"
#include "nn/optim/state.h"

/* What an option that was left 0 stands for. */
static void default_to(double *option, double value) {
    if (*option == 0) *option = value;
}

/* Whether m can have an optimiser of these settings; each reports its own error. */
static bool accepts(nn_module *m, const char *caller, double lr, double weight_decay) {
    ad_graph *g = nn_graph_of(m);
    return ad_ok(g) && nn__check_lr(g, caller, lr) == AD_OK &&
           nn__check_number(g, caller, "weight_decay", weight_decay, 0, INFINITY) == AD_OK;
}

/* A share such as a beta, from 0 to below 1. */
static bool is_share(nn_module *m, const char *caller, const char *name, double value) {
    return nn__check_number(nn_graph_of(m), caller, name, value, 0, 1) == AD_OK;
}

static bool is_not_negative(nn_module *m, const char *caller, const char *name, double value) {
    return nn__check_number(nn_graph_of(m), caller, name, value, 0, INFINITY) == AD_OK;
}

/* ---- sgd --------------------------------------------------------------------------------------------- */

static void sgd_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_sgd_opts *o = opts;
    bool first = s->step == 1; /* the first velocity is the gradient, whole */
    to->sgd = (nn__sgd_numbers){ .lr = p->lr,
                         .decay = p->weight_decay,
                         .momentum = first ? 0 : p->momentum,
                         .keep = first ? 1 : 1 - o->dampening,
                         .now = o->nesterov ? 1 : 0,
                         .later = o->nesterov ? p->momentum : 1 };
}

nn_optim *nn_sgd(nn_module *m, nn_sgd_opts o) {
    static const nn__method method = { "sgd", { "momentum_buffer" }, false, &nn__rule_sgd, sgd_numbers, NULL };
    if (!accepts(m, "sgd", o.lr, o.weight_decay) || !is_not_negative(m, "sgd", "momentum", o.momentum)) return NULL;
    if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
        return ad_fail(nn_graph_of(m), AD_EVALUE, "sgd: nesterov needs a momentum above 0, and no dampening"), NULL;
    return nn__optim_new(m, &method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, o.momentum }, o.momentum != 0);
}

/* ---- adam and its kin ---------------------------------------------------------------------------------- */

static void adam_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adam_opts *o = opts;
    to->adam = (nn__adam_numbers){ .lr = p->lr / (1 - pow(p->momentum, s->step)),
                           .decay = p->weight_decay,
                           .shrink = 1,
                           .beta1 = p->momentum,
                           .beta2 = o->beta2,
                           .root = 1 / sqrt(1 - pow(o->beta2, s->step)),
                           .eps = o->eps };
}

static void adamw_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    adam_numbers(opts, p, s, to);
    to->adam.decay = 0;
    to->adam.shrink = 1 - p->lr * p->weight_decay;
}

static nn_optim *adam_new(nn_module *m, const nn__method *method, nn_adam_opts o) {
    default_to(&o.lr, 1e-3), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.999), default_to(&o.eps, 1e-8);
    const char *name = method->name;
    if (!accepts(m, name, o.lr, o.weight_decay) || !is_share(m, name, "beta1", o.beta1) ||
        !is_share(m, name, "beta2", o.beta2) || !is_not_negative(m, name, "eps", o.eps))
        return NULL;
    return nn__optim_new(m, method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, o.beta1 }, o.amsgrad ? 7 : 3);
}

#define ADAM_STATES                                                                                                    \
    { "exp_avg", "exp_avg_sq", "max_exp_avg_sq" }

nn_optim *nn_adam(nn_module *m, nn_adam_opts o) {
    static const nn__method method = { "adam", ADAM_STATES, false, &nn__rule_adam, adam_numbers, NULL };
    return adam_new(m, &method, o);
}

nn_optim *nn_adamw(nn_module *m, nn_adam_opts o) {
    static const nn__method method = { "adamw", ADAM_STATES, false, &nn__rule_adam, adamw_numbers, NULL };
    default_to(&o.weight_decay, 0.01);
    if (o.weight_decay < 0) o.weight_decay = 0;
    return adam_new(m, &method, o);
}

/* Dozat 2016: the momentum of step t is mu = beta1 (1 - 0.96^(t momentum_decay) / 2). */
static void nadam_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_nadam_opts *o = opts;
    double mu = p->momentum * (1 - 0.5 * pow(0.96, s->step * o->momentum_decay));
    double next = p->momentum * (1 - 0.5 * pow(0.96, (s->step + 1) * o->momentum_decay));
    s->mu_product *= mu;
    to->adam = (nn__adam_numbers){ .lr = p->lr * next / (1 - s->mu_product * next),
                           .now = p->lr * (1 - mu) / (1 - s->mu_product),
                           .decay = p->weight_decay,
                           .shrink = 1,
                           .beta1 = p->momentum,
                           .beta2 = o->beta2,
                           .root = 1 / sqrt(1 - pow(o->beta2, s->step)),
                           .eps = o->eps };
}

nn_optim *nn_nadam(nn_module *m, nn_nadam_opts o) {
    static const nn__method method = {
        "nadam", { "exp_avg", "exp_avg_sq" }, true, &nn__rule_adam, nadam_numbers, NULL
    };
    default_to(&o.lr, 2e-3), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.999), default_to(&o.eps, 1e-8);
    default_to(&o.momentum_decay, 4e-3);
    if (!accepts(m, "nadam", o.lr, o.weight_decay) || !is_share(m, "nadam", "beta1", o.beta1) ||
        !is_share(m, "nadam", "beta2", o.beta2) || !is_not_negative(m, "nadam", "eps", o.eps) ||
        !is_not_negative(m, "nadam", "momentum_decay", o.momentum_decay))
        return NULL;
    return nn__optim_new(m, &method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, o.beta1 }, 3);
}

static void adamax_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adamax_opts *o = opts;
    double lr = p->lr / (1 - pow(p->momentum, s->step));
    to->adamax = (nn__adamax_numbers){ lr, p->weight_decay, p->momentum, o->beta2, o->eps };
}

nn_optim *nn_adamax(nn_module *m, nn_adamax_opts o) {
    static const nn__method method = {
        "adamax", { "exp_avg", "exp_inf" }, false, &nn__rule_adamax, adamax_numbers, NULL
    };
    default_to(&o.lr, 2e-3), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.999), default_to(&o.eps, 1e-8);
    if (!accepts(m, "adamax", o.lr, o.weight_decay) || !is_share(m, "adamax", "beta1", o.beta1) ||
        !is_share(m, "adamax", "beta2", o.beta2) || !is_not_negative(m, "adamax", "eps", o.eps))
        return NULL;
    return nn__optim_new(m, &method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, o.beta1 }, 3);
}

static void lion_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_lion_opts *o = opts;
    (void)s;
    to->lion = (nn__lion_numbers){ p->lr, 1 - p->lr * p->weight_decay, p->momentum, o->beta2 };
}

nn_optim *nn_lion(nn_module *m, nn_lion_opts o) {
    static const nn__method method = { "lion", { "exp_avg" }, false, &nn__rule_lion, lion_numbers, NULL };
    default_to(&o.lr, 1e-4), default_to(&o.beta1, 0.9), default_to(&o.beta2, 0.99);
    if (!accepts(m, "lion", o.lr, o.weight_decay) || !is_share(m, "lion", "beta1", o.beta1) ||
        !is_share(m, "lion", "beta2", o.beta2))
        return NULL;
    return nn__optim_new(m, &method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, o.beta1 }, 1);
}

/* ---- scaled by past gradients ---------------------------------------------------------------------------- */

static void rmsprop_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_rmsprop_opts *o = opts;
    (void)s;
    to->rmsprop = (nn__rmsprop_numbers){ p->lr, p->weight_decay, o->alpha, p->momentum, o->eps };
}

nn_optim *nn_rmsprop(nn_module *m, nn_rmsprop_opts o) {
    static const nn__method method = { "rmsprop",       { "square_avg", "grad_avg", "momentum_buffer" },
                                       false,           &nn__rule_rmsprop,
                                       rmsprop_numbers, NULL };
    default_to(&o.lr, 1e-2), default_to(&o.alpha, 0.99), default_to(&o.eps, 1e-8);
    if (!accepts(m, "rmsprop", o.lr, o.weight_decay) || !is_share(m, "rmsprop", "alpha", o.alpha) ||
        !is_not_negative(m, "rmsprop", "eps", o.eps) || !is_not_negative(m, "rmsprop", "momentum", o.momentum))
        return NULL;
    unsigned uses = 1u | (o.centered ? 2u : 0) | (o.momentum != 0 ? 4u : 0);
    return nn__optim_new(m, &method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, o.momentum }, uses);
}

static void adagrad_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adagrad_opts *o = opts;
    to->adagrad = (nn__adagrad_numbers){ p->lr / (1 + (s->step - 1) * o->lr_decay), p->weight_decay, o->eps };
}

nn_optim *nn_adagrad(nn_module *m, nn_adagrad_opts o) {
    static const nn__method method = { "adagrad", { "sum" }, false, &nn__rule_adagrad, adagrad_numbers, NULL };
    default_to(&o.lr, 1e-2), default_to(&o.eps, 1e-10);
    if (!accepts(m, "adagrad", o.lr, o.weight_decay) || !is_not_negative(m, "adagrad", "lr_decay", o.lr_decay) ||
        !is_not_negative(m, "adagrad", "eps", o.eps) ||
        !is_not_negative(m, "adagrad", "initial_accumulator_value", o.initial_accumulator_value))
        return NULL;
    nn_optim *opt = nn__optim_new(m, &method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, 0 }, 1);
    for (int i = 0; opt != NULL && i < opt->n; i++)
        nn_init_constant(opt->slots[i].state[0], o.initial_accumulator_value);
    return opt;
}

static void adadelta_numbers(const void *opts, const nn__param_group *p, nn__slot *s, nn__numbers *to) {
    const nn_adadelta_opts *o = opts;
    (void)s;
    to->adadelta = (nn__adadelta_numbers){ p->lr, p->weight_decay, o->rho, o->eps };
}

nn_optim *nn_adadelta(nn_module *m, nn_adadelta_opts o) {
    static const nn__method method = {
        "adadelta", { "square_avg", "acc_delta" }, false, &nn__rule_adadelta, adadelta_numbers, NULL
    };
    default_to(&o.lr, 1), default_to(&o.rho, 0.9), default_to(&o.eps, 1e-6);
    if (!accepts(m, "adadelta", o.lr, o.weight_decay) || !is_share(m, "adadelta", "rho", o.rho) ||
        !is_not_negative(m, "adadelta", "eps", o.eps))
        return NULL;
    return nn__optim_new(m, &method, &o, sizeof o, (nn__param_group){ o.lr, 0, o.weight_decay, 0 }, 3);
}
