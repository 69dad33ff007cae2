/* export.c: nn_export_c: a network, and a step of its training, as a C file. */
#include <math.h>
#include <string.h>

#include "nn/module/module_private.h"
#include "nn/optim/state.h"
#include "nn/train.h"
#include "ops/ops.h"

enum { STATES = 3 }; /* arrays of state of one parameter, at most */

/* A buffer that a batch moves, such as a running average of a batch_norm, and what it becomes. */
typedef struct {
    nn_parameter before;
    ad_var *after;
} moved_buffer;

/* The functions that are written, as Vars. */
typedef struct {
    ad_graph *g;
    nn_module *net;
    ad_var *x;
    const nn_export_opts *o;
    int n, n_buffers, n_states; /* parameters and buffers that the step moves; arrays of state */
    const nn__slot **moved;
    moved_buffer *buffers;
    ad_var **xs, **ys;       /* of the step: parameters, buffers, states, x, target, lr; the first three, loss */
    const char **x_names, **y_names, **labels;
    int n_xs, n_ys;
} exported;

/* ---- rules of optimisers, as Vars: the formulas of nn/kernels/update.c ------------------------------------------- */

/* One parameter at one step. */
typedef struct {
    ad_var *p, *g, *lr;
    ad_var *state[STATES], *next[STATES]; /* before and after the step */
    double decay;
} update;

static ad_var *times(ad_var *k, ad_var *x) { return ad_mul(x, k); }

static ad_var *with_decay(const update *u) { return u->decay == 0 ? u->g : ad_add(u->g, ad_muls(u->p, u->decay)); }

static ad_var *sgd_rule(update *u, const void *opts) {
    const nn_sgd_opts *o = opts;
    ad_var *g = with_decay(u);
    if (o->momentum != 0) {
        u->next[0] = ad_add(ad_muls(u->state[0], o->momentum), g);
        g = o->nesterov ? ad_add(g, ad_muls(u->next[0], o->momentum)) : u->next[0];
    }
    return ad_sub(u->p, times(u->lr, g));
}

/* 1 - beta^t, where f32 keeps its digits for beta near 1. */
static ad_var *correction(ad_var *t, double beta) { return ad_neg(ad_expm1(ad_muls(t, log(beta)))); }

/* state: the number of steps, the averages of the gradient and of its square. */
static ad_var *adam_step(update *u, const nn_adam_opts *o, ad_var *g, ad_var *p) {
    ad_var *t = u->next[0] = ad_adds(u->state[0], 1);
    ad_var *m = u->next[1] = ad_add(ad_muls(u->state[1], o->beta1), ad_muls(g, 1 - o->beta1));
    ad_var *v = u->next[2] = ad_add(ad_muls(u->state[2], o->beta2), ad_muls(ad_square(g), 1 - o->beta2));
    ad_var *size = ad_adds(ad_div(ad_sqrt(v), ad_sqrt(correction(t, o->beta2))), o->eps);
    return ad_sub(p, times(ad_div(u->lr, correction(t, o->beta1)), ad_div(m, size)));
}

static ad_var *adam_rule(update *u, const void *opts) { return adam_step(u, opts, with_decay(u), u->p); }

static ad_var *adamw_rule(update *u, const void *opts) {
    ad_var *shrink = ad_adds(ad_muls(u->lr, -u->decay), 1);
    return adam_step(u, opts, u->g, u->decay == 0 ? u->p : times(shrink, u->p));
}

typedef struct {
    const char *name;
    ad_var *(*rule)(update *u, const void *opts);
    int states;          /* arrays for each parameter */
    bool first_is_count; /* the first of them is one number */
} method;

static const method methods[] = {
    { "sgd", sgd_rule, 1, false },
    { "adam", adam_rule, 3, true },
    { "adamw", adamw_rule, 3, true },
};

static const method *method_of(const nn_optim *opt) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, nn__optim_kind(opt)) == 0) return &methods[i];
    return NULL;
}

static int states_of(const nn_optim *opt) {
    const method *m = method_of(opt);
    if (m->rule == sgd_rule && ((const nn_sgd_opts *)opt->opts)->momentum == 0) return 0;
    return m->states;
}

/* ---- the step ---------------------------------------------------------------------------------------------------- */

static int check_optim(const exported *e) {
    nn_optim *opt = e->o->optim;
    if (nn__check_optim(opt, "export_c")) return ad_error_code(e->g);
    const method *m = method_of(opt);
    if (m == NULL)
        return ad_fail(e->g, AD_EABSENT, "export_c: %s has no form in C; sgd, adam and adamw have",
                       nn__optim_kind(opt));
    if (m->rule == sgd_rule && ((const nn_sgd_opts *)opt->opts)->dampening != 0)
        return ad_fail(e->g, AD_EABSENT, "export_c: sgd with dampening has no form in C");
    if (m->rule != sgd_rule && ((const nn_adam_opts *)opt->opts)->amsgrad)
        return ad_fail(e->g, AD_EABSENT, "export_c: %s with amsgrad has no form in C", nn__optim_kind(opt));
    return AD_OK;
}

static int check(const exported *e) {
    const nn_export_opts *o = e->o;
    if (e->x == NULL || ad_is_nil(e->x)) return ad_refuse_nil(e->x ? e->x : ad_nil(e->g), "export_c");
    if (o->optim == NULL && o->loss == NULL && o->target == NULL) return AD_OK;
    if (o->optim == NULL || o->loss == NULL || o->target == NULL)
        return ad_fail(e->g, AD_EVALUE, "export_c: a step of training needs an optimiser, a loss and a target");
    if (ad_is_nil(o->target)) return ad_refuse_nil(o->target, "export_c");
    return check_optim(e);
}

static int list_moved(exported *e) {
    const nn_optim *opt = e->o->optim;
    e->moved = ad_scope_alloc(e->g, ((size_t)opt->n + 1) * sizeof *e->moved);
    for (int i = 0; e->moved && i < opt->n; i++)
        if (ad_requires_grad(opt->slots[i].parameter.var)) e->moved[e->n++] = &opt->slots[i];
    if (e->moved && e->n == 0) return ad_fail(e->g, AD_EVALUE, "export_c: the optimiser has no parameter to move");
    e->n_states = e->moved ? e->n * states_of(opt) : 0;
    return e->moved ? AD_OK : AD_ENOMEM;
}

static int allocate(exported *e) {
    size_t n = (size_t)(e->n + e->n_buffers + e->n_states + 4);
    e->xs = ad_scope_zalloc(e->g, n * sizeof *e->xs), e->ys = ad_scope_zalloc(e->g, n * sizeof *e->ys);
    e->x_names = ad_scope_zalloc(e->g, n * sizeof *e->x_names);
    e->y_names = ad_scope_zalloc(e->g, n * sizeof *e->y_names);
    e->labels = ad_scope_zalloc(e->g, n * sizeof *e->labels);
    return e->xs && e->ys && e->x_names && e->y_names && e->labels ? AD_OK : AD_ENOMEM;
}

static void take(exported *e, ad_var *x, const char *name, const char *label) {
    e->xs[e->n_xs] = x, e->x_names[e->n_xs] = name, e->labels[e->n_xs++] = label;
}

static void give(exported *e, ad_var *y, const char *name) { e->ys[e->n_ys] = y, e->y_names[e->n_ys++] = name; }

/* The parameters, the buffers, and the states of parameters, which are leaves of zeros. */
static void take_parameters(exported *e) {
    const method *m = method_of(e->o->optim);
    for (int i = 0; i < e->n; i++) take(e, e->moved[i]->parameter.var, "weights", e->moved[i]->parameter.name);
    for (int i = 0; i < e->n_buffers; i++) take(e, e->buffers[i].before.var, "buffers", e->buffers[i].before.name);
    for (int i = 0; i < e->n_states; i++) {
        int states = e->n_states / e->n;
        ad_var *p = e->moved[i / states]->parameter.var;
        bool count = m->first_is_count && i % states == 0;
        take(e, ad_zeros(e->g, ad_dtype_of(p), count ? AD_SCALAR : ad_shape_of(p)), "state", count ? "steps" : NULL);
    }
}

static void move_parameter(exported *e, int i, ad_var *gradient, ad_var *lr) {
    const nn_optim *opt = e->o->optim;
    const nn__param_group *group = &opt->group[e->moved[i]->group];
    int states = e->n_states / e->n, first = e->n + e->n_buffers + i * states;
    double ratio = opt->group[0].lr != 0 ? group->lr / opt->group[0].lr : 1;
    update u = { .p = e->moved[i]->parameter.var, .g = gradient, .lr = ratio == 1 ? lr : ad_muls(lr, ratio) };
    u.decay = group->weight_decay;
    for (int k = 0; k < states; k++) u.state[k] = e->xs[first + k];
    e->ys[i] = method_of(opt)->rule(&u, opt->opts);
    for (int k = 0; k < states; k++) e->ys[first + k] = u.next[k];
}

static int list_buffers(exported *e, const nn__places_of *all) {
    e->buffers = ad_scope_alloc(e->g, (size_t)nn_buffer_count(e->net) * sizeof *e->buffers);
    if (e->buffers == NULL) return AD_ENOMEM;
    for (int i = 0; i < nn_buffer_count(e->net); i++) {
        moved_buffer b = { .before = nn_buffer_at(e->net, i) };
        for (int64_t k = 0; k < all->n && b.after == NULL; k++)
            b.after = nn__next_of(all->at[k].module, b.before.var);
        if (b.after != NULL) e->buffers[e->n_buffers++] = b;
    }
    return AD_OK;
}

/* The loss of the predictions of x; NULL after an error. */
static ad_var *record_loss(exported *e) {
    nn__places_of all = nn__list_modules(e->net);
    if (all.at == NULL) return NULL;
    for (int64_t i = 0; i < all.n; i++) nn__next_begin(all.at[i].module);
    ad_var *y = nn_apply(e->net, e->x), *loss = ad_is_nil(y) ? y : e->o->loss(y, e->o->target);
    int rc = list_buffers(e, &all);
    for (int64_t i = 0; i < all.n; i++) nn__next_end(all.at[i].module);
    nn__give_list(e->g, &all);
    if (loss == NULL) ad_fail(e->g, AD_EVALUE, "export_c: the loss function returned NULL");
    return rc == AD_OK ? loss : NULL;
}

static int record_step(exported *e) {
    ad_var *lr = ad_scalar(e->g, ad_dtype_of(e->x), nn_lr(e->o->optim)), *loss = record_loss(e);
    ad_var **gradients = ad_scope_alloc(e->g, (size_t)e->n * sizeof *gradients);
    if (loss == NULL || gradients == NULL || allocate(e)) return AD_ENOMEM;
    take_parameters(e);
    take(e, e->x, "x", NULL), take(e, e->o->target, "target", NULL), take(e, lr, "lr", NULL);
    if (ad_gradient(loss, e->n, e->xs, gradients)) return ad_error_code(e->g);
    for (int i = 0; i < e->n; i++) give(e, NULL, "weights");
    for (int i = 0; i < e->n_buffers; i++) give(e, e->buffers[i].after, "buffers");
    for (int i = 0; i < e->n_states; i++) give(e, NULL, "state");
    for (int i = 0; i < e->n; i++) move_parameter(e, i, gradients[i], lr);
    give(e, loss, "loss");
    return ad_ok(e->g) ? AD_OK : ad_error_code(e->g);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static ad_var *predict(exported *e) {
    nn__begin_evaluation(e->net);
    ad_var *y = nn_apply(e->net, e->x);
    nn__end_evaluation(e->net);
    return y;
}

static ad_export_opts file_opts(const exported *e) {
    const nn_export_opts *o = e->o;
    return (ad_export_opts){
        .caller = "export_c", .number = o->number, .separate = o->separate, .no_test = o->no_test
    };
}

static int write_prediction(exported *e, const char *path, const char *name) {
    static const char *const x_names[] = { "x" }, *const y_names[] = { "y" };
    ad_var *y = predict(e);
    ad_export_function f = { .m = 1, .ys = &y, .y_names = y_names, .n = 1, .xs = &e->x, .x_names = x_names };
    return ad_export_functions(path, name, 1, &f, file_opts(e));
}

/* The prediction of a file that can train takes the weights, the buffers and x. */
static int list_inputs(const exported *e, ad_export_function *f) {
    int n = e->n + e->n_buffers;
    ad_var **xs = ad_scope_alloc(e->g, ((size_t)n + 1) * sizeof *xs);
    const char **names = ad_scope_alloc(e->g, ((size_t)n + 1) * sizeof *names);
    const char **labels = ad_scope_alloc(e->g, ((size_t)n + 1) * sizeof *labels);
    if (xs == NULL || names == NULL || labels == NULL) return AD_ENOMEM;
    for (int i = 0; i < n; i++) xs[i] = e->xs[i], names[i] = e->x_names[i], labels[i] = e->labels[i];
    xs[n] = e->x, names[n] = "x", labels[n] = NULL;
    f->n = n + 1, f->xs = xs, f->x_names = names, f->x_labels = labels;
    return AD_OK;
}

static int write_training(exported *e, const char *path, const char *name) {
    static const char *const y_names[] = { "y" };
    if (list_moved(e) || record_step(e)) return ad_ok(e->g) ? AD_ENOMEM : ad_error_code(e->g);
    ad_var *y = predict(e);
    ad_export_function f[] = {
        { .m = 1, .ys = &y, .y_names = y_names },
        { .name = "step", .m = e->n_ys, .ys = e->ys, .y_names = e->y_names, .n = e->n_xs, .xs = e->xs,
          .x_names = e->x_names, .x_labels = e->labels },
    };
    if (list_inputs(e, &f[0])) return AD_ENOMEM;
    const ad_export_array arrays[] = { { "weights", e->n, e->xs }, { "buffers", e->n_buffers, e->xs + e->n } };
    ad_export_opts o = file_opts(e);
    o.n_arrays = e->n_buffers ? 2 : 1, o.arrays = arrays;
    return ad_export_functions(path, name, 2, f, o);
}

int nn_export_c(const char *path, const char *name, nn_module *net, ad_var *x, nn_export_opts o) {
    ad_graph *g = ad_graph_of(x) ? ad_graph_of(x) : ad_graph_of(o.target);
    if (net == NULL) return g ? ad_fail(g, AD_EVALUE, "export_c: the network is NULL") : AD_EVALUE;
    exported e = { .g = nn_graph_of(net), .net = net, .x = x, .o = &o };
    if (nn__check_open(&net->object, NULL, "export_c", "module")) return AD_EGRAPH;
    if (!ad_ok(e.g)) return ad_error_code(e.g);
    if (check(&e) != AD_OK) return ad_error_code(e.g);
    ad_mark m = ad_begin(e.g);
    bool grad = ad_enable_grad(e.g, true);
    int rc = o.optim ? write_training(&e, path, name) : write_prediction(&e, path, name);
    ad_enable_grad(e.g, grad);
    ad_end(e.g, m);
    return rc;
}
