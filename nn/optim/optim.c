/* optim.c: what all optimisers share: parameters, groups, state and the step. */
#include <math.h>
#include <string.h>

#include "nn/kernels/vector.h"
#include "nn/optim/state.h"

/* ---- options ---------------------------------------------------------------------------------------- */

int nn__check_number(ad_graph *g, const char *caller, const char *name, double value, double lo, double hi) {
    if (value >= lo && value < hi) return AD_OK;
    if (isinf(hi))
        return ad_fail(g, AD_EVALUE, "%s: %s %g: it must be a finite number, %g or more", caller, name, value, lo);
    return ad_fail(g, AD_EVALUE, "%s: %s %g: it must be %g or more, and below %g", caller, name, value, lo, hi);
}

int nn__check_positive(ad_graph *g, const char *caller, const char *name, double value) {
    if (value > 0 && value < INFINITY) return AD_OK;
    return ad_fail(g, AD_EVALUE, "%s: %s %g: it must be a finite number above 0", caller, name, value);
}

/* ---- construction ------------------------------------------------------------------------------------ */

/* Lists a state under the name "parameter.name". */
static int list_state(nn_optim *opt, const nn__slot *s, const char *name, ad_var *var, double *number) {
    size_t size = strlen(s->parameter.name) + strlen(name) + 2;
    char *full = ad_scope_alloc(opt->object.graph, size);
    if (full == NULL) return AD_ENOMEM;
    snprintf(full, size, "%s.%s", s->parameter.name, name);
    opt->states[opt->n_states++] = (nn__state){ full, var, number };
    return AD_OK;
}

/* The states in use, as zeros, and their names. */
static int add_states(nn_optim *opt, nn__slot *s, const bool uses[NN__RULE_STATES]) {
    const nn__method *method = opt->method;
    if (method->rule == NULL) return AD_OK;
    int rc = list_state(opt, s, "step", NULL, &s->step);
    if (rc == AD_OK && method->has_mu_product) rc = list_state(opt, s, "mu_product", NULL, &s->mu_product);
    for (int k = 0; k < NN__RULE_STATES && rc == AD_OK; k++) {
        if (!uses[k]) continue;
        const ad_var *x = s->parameter.var;
        s->state[k] = ad_zeros(opt->object.graph, ad_dtype_of(x), ad_shape_of(x));
        rc = list_state(opt, s, method->state[k], s->state[k], NULL);
    }
    return rc;
}

void nn__list_own_state(nn_optim *opt, const char *name, ad_var *var, double *number) {
    opt->states[opt->n_states++] = (nn__state){ name, var, number };
}

nn_optim *nn__optim_new(nn_module *m, const nn__method *method, const void *opts, size_t size, nn__param_group p,
                        const bool uses[NN__RULE_STATES]) {
    ad_graph *g = nn_graph_of(m);
    size_t n = (size_t)nn_parameter_count(m);
    nn_optim *opt = ad_scope_zalloc(g, sizeof *opt + n * sizeof *opt->slots);
    void *copy = opt ? ad_scope_alloc(g, size) : NULL;
    nn__state *states = copy ? ad_scope_alloc(g, (n * (NN__RULE_STATES + 2) + NN__OWN_STATES) * sizeof *states) : NULL;
    if (states == NULL) return NULL;
    p.initial_lr = p.lr;
    *opt = (nn_optim){ .object = { g, &opt->object },
                       .method = method,
                       .opts = memcpy(copy, opts, size),
                       .group = { p },
                       .n = (int)n,
                       .n_groups = 1,
                       .states = states };
    for (int i = 0; i < opt->n; i++) {
        opt->slots[i] = (nn__slot){ .parameter = nn_parameter_at(m, i), .mu_product = 1 };
        if (add_states(opt, &opt->slots[i], uses)) return NULL;
    }
    return ad_ok(g) ? opt : NULL;
}

/* ---- state, by name ----------------------------------------------------------------------------------- */

const char *nn__optim_kind(const nn_optim *opt) { return opt->method->name; }

enum { GROUP_STATES = 3 };

int nn__optim_state_count(const nn_optim *opt) { return opt->n_states + GROUP_STATES * opt->n_groups; }

/* Of the third update: the first ones of some rules leave options out. */
void nn__optim_numbers(const nn_optim *opt, int group, double to[NN__STEP_NUMBERS]) {
    _Static_assert(sizeof(nn__numbers) <= NN__STEP_NUMBERS * sizeof *to, "the numbers of a rule are doubles");
    nn__slot third = { .step = 3, .mu_product = 1 };
    nn__numbers numbers;
    memset(&numbers, 0, sizeof numbers);
    memset(to, 0, NN__STEP_NUMBERS * sizeof *to);
    if (opt->method->rule == NULL) opt->method->own_numbers(opt->opts, to);
    else opt->method->numbers(opt->opts, &opt->group[group], &third, &numbers), memcpy(to, &numbers, sizeof numbers);
}

nn__state nn__optim_state_at(nn_optim *opt, int i) {
#define GROUP(number) number ".lr", number ".initial_lr", number ".momentum"
    static const char *const names[GROUP_STATES * NN__GROUPS] = { GROUP("group0"), GROUP("group1"), GROUP("group2"),
                                                                  GROUP("group3"), GROUP("group4"), GROUP("group5"),
                                                                  GROUP("group6"), GROUP("group7") };
#undef GROUP
    if (i < opt->n_states) return opt->states[i];
    i -= opt->n_states;
    nn__param_group *p = &opt->group[i / GROUP_STATES];
    double *const numbers[GROUP_STATES] = { &p->lr, &p->initial_lr, &p->momentum };
    return (nn__state){ names[i], NULL, numbers[i % GROUP_STATES] };
}

/* ---- stepping ------------------------------------------------------------------------------------------- */

int nn__check_optim(const nn_optim *opt, const char *caller) {
    int rc = nn__check_open(&opt->object, NULL, caller, "optimiser");
    return rc ? rc : ad_error_code(opt->object.graph);
}

static void move(nn_optim *opt, nn__slot *s, ad_team *team) {
    ad_var *x = s->parameter.var;
    void *state[NN__RULE_STATES];
    nn__numbers numbers;
    for (int k = 0; k < NN__RULE_STATES; k++) state[k] = s->state[k] ? ad_data_mut(s->state[k]) : NULL;
    s->step++;
    opt->method->numbers(opt->opts, &opt->group[s->group], s, &numbers);
    nn__update(team, opt->method->rule, ad_dtype_of(x), ad_numel(x), &numbers, ad_grad(x), state, ad_data_mut(x));
}

static bool is_finite(const ad_var *x) {
    double sum = nn__array_sum_squares(ad_dtype_of(x), ad_numel(x), ad_data(x));
    return isfinite(sum) || isfinite(nn__array_largest(ad_dtype_of(x), ad_numel(x), ad_data(x)));
}

const char *nn__nonfinite_parameter(const nn_optim *opt) {
    for (int i = 0; i < opt->n; i++) {
        nn_parameter p = opt->slots[i].parameter;
        if (ad_requires_grad(p.var) && !is_finite(p.var)) return p.name;
    }
    return NULL;
}

int nn_step(nn_optim *opt) {
    if (opt == NULL) return AD_EVALUE;
    int rc = nn__check_optim(opt, "step");
    if (rc != AD_OK) return rc;
    if (opt->method->rule == NULL)
        return ad_fail(opt->object.graph, AD_EVALUE, "step: %s computes the loss many times; call nn_step_closure",
                       opt->method->name);
    ad_team *team = ad_team_of(opt->object.graph);
    for (int i = 0; i < opt->n; i++)
        if (nn__moves(opt->slots[i].parameter.var)) move(opt, &opt->slots[i], team);
    return AD_OK;
}

int nn__run_closure(nn_optim *opt, nn_closure_fn *f, void *data, double *loss) {
    ad_graph *g = opt->object.graph;
    ad_mark m = ad_begin(g);
    nn_zero_grad(opt);
    ad_var *y = f(data);
    if (y == NULL) ad_fail(g, AD_EVALUE, "step_closure: the function returned NULL, not the loss");
    int rc = ad_ok(g) ? ad_backward(y) : ad_error_code(g);
    *loss = ad_item(y);
    if (opt->on_gradient != NULL) rc = opt->on_gradient(opt, loss, opt->on_gradient_data);
    if (ad_ok(g) && rc != AD_OK) ad_fail(g, AD_EVALUE, "step_closure: on_gradient returned %d", rc);
    rc = ad_error_code(g);
    ad_end(g, m);
    return rc;
}

int nn_on_gradient(nn_optim *opt, nn_gradient_fn *f, void *data) {
    if (opt == NULL) return AD_EVALUE;
    int rc = nn__check_optim(opt, "on_gradient");
    if (rc != AD_OK && f != NULL) return rc;
    opt->on_gradient = f, opt->on_gradient_data = data;
    return rc;
}

int nn_step_closure(nn_optim *opt, nn_closure_fn *f, void *data, double *loss) {
    double unwanted;
    if (opt == NULL) return AD_EVALUE;
    int rc = nn__check_optim(opt, "step_closure");
    if (rc != AD_OK) return rc;
    if (f == NULL)
        return ad_fail(opt->object.graph, AD_EVALUE, "step_closure: no function is given that builds the loss");
    if (loss == NULL) loss = &unwanted;
    if (opt->method->minimise != NULL) return opt->method->minimise(opt, f, data, loss);
    rc = nn__run_closure(opt, f, data, loss);
    return rc ? rc : nn_step(opt);
}

void nn_zero_grad(nn_optim *opt) {
    if (opt == NULL || nn__check_open(&opt->object, NULL, "zero_grad", "optimiser")) return;
    for (int i = 0; i < opt->n; i++) ad_zero_grad(opt->slots[i].parameter.var);
}

/* ---- groups and rates ------------------------------------------------------------------------------------ */

static bool is_meant(const char *name, const nn_group_opts *o) {
    return nn__ends_with(name, o->ending) && nn__matches(name, o->pattern);
}

static bool belongs(const nn_parameter *p, const nn_group_opts *o) {
    if (o->part == NULL) return is_meant(p->name, o);
    for (int i = 0; i < nn_parameter_count(o->part); i++) {
        nn_parameter q = nn_parameter_at(o->part, i);
        if (q.var == p->var) return is_meant(q.name, o);
    }
    return false;
}

static int check_group(const nn_optim *opt, const nn_group_opts *o) {
    ad_graph *g = opt->object.graph;
    int rc = nn__check_optim(opt, "group");
    if (rc != AD_OK) return rc;
    if (opt->method->rule == NULL)
        return ad_fail(g, AD_EVALUE, "group: %s moves all parameters together and has no groups", opt->method->name);
    if (opt->n_groups == NN__GROUPS)
        return ad_fail(g, AD_EVALUE, "group: %s has %d groups already, which is the most", opt->method->name,
                       NN__GROUPS - 1);
    rc = nn__check_positive(g, "group", "lr", ad_option(o->lr, opt->group[0].lr));
    return rc ? rc : nn__check_number(g, "group", "weight_decay", ad_option(o->weight_decay, 0), 0, INFINITY);
}

int nn_group(nn_optim *opt, nn_group_opts o) {
    if (opt == NULL) return ad_fail(nn_graph_of(o.part), AD_EVALUE, "group: the optimiser is NULL");
    int rc = check_group(opt, &o), found = 0;
    if (rc != AD_OK) return rc;
    for (int i = 0; i < opt->n; i++)
        if (belongs(&opt->slots[i].parameter, &o)) opt->slots[i].group = opt->n_groups, found++;
    if (found == 0)
        return ad_fail(opt->object.graph, AD_EVALUE,
                       "group: no parameter of the optimiser is among them; names are as in \"0.bias\"");
    double lr = ad_option(o.lr, opt->group[0].lr);
    opt->group[opt->n_groups] = (nn__param_group){ lr, lr, ad_option(o.weight_decay, 0), opt->group[0].momentum };
    return opt->n_groups++;
}

static bool is_open(const nn_optim *opt, const char *caller) {
    return opt != NULL && nn__check_open(&opt->object, NULL, caller, "optimiser") == AD_OK;
}

int nn_group_count(const nn_optim *opt) { return is_open(opt, "group_count") ? opt->n_groups : 0; }

void nn_set_group_lr(nn_optim *opt, int group, double lr) {
    if (opt == NULL || nn__check_open(&opt->object, NULL, "set_lr", "optimiser")) return;
    ad_graph *g = opt->object.graph;
    if (group < 0 || group >= opt->n_groups)
        ad_fail(g, AD_EVALUE, "set_lr: group %d of %d: there is no such group", group, opt->n_groups);
    else if (nn__check_number(g, "set_lr", "lr", lr, 0, INFINITY) == AD_OK)
        opt->group[group].lr = opt->group[group].initial_lr = lr;
}

double nn_group_lr(const nn_optim *opt, int group) {
    return is_open(opt, "lr") && group >= 0 && group < opt->n_groups ? opt->group[group].lr : (double)NAN;
}

void nn_set_lr(nn_optim *opt, double lr) { nn_set_group_lr(opt, 0, lr); }
double nn_lr(const nn_optim *opt) { return opt ? nn_group_lr(opt, 0) : 0; }
