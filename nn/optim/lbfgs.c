/* lbfgs.c: limited-memory BFGS with a line search, over all parameters as one long vector. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "nn/kernels/vector.h"
#include "nn/optim/state.h"

/* A point x0 + t d of the line that is searched, with the loss f, its gradient g [n] and its slope g.d there. */
typedef struct {
    double t, f, slope, *g;
} point;

typedef struct {
    nn_lbfgs_opts o;
    int64_t n;            /* elements of all parameters */
    ad_var *y, *s, *rho;  /* [history,n], [history,n], [history]: a ring of gradient changes, steps, and 1 / y.s */
    ad_var *d, *old;      /* [n]: the direction, and the gradient from which it was computed */
    double pushed;        /* pairs y, s that were ever put into the ring */
    double iterations, t; /* t: the length of the last step, in units of d */
    double scale;         /* of the first estimate of the inverse Hessian */
    double *x0, *gradient[4], *alpha; /* x0 [n]; the gradients of the points in use [n]; alpha [history] */
} lbfgs;

/* The call in progress. */
typedef struct {
    nn_optim *opt;
    lbfgs *l;
    nn_closure_fn *f;
    void *data;
    int evaluations, rc;
} search;

/* ---- parameters as one vector ------------------------------------------------------------------------ */

static void read_values(const nn_optim *opt, double *to) {
    for (int i = 0; i < opt->n; i++) {
        const ad_var *x = opt->slots[i].parameter.var;
        nn__array_to_f64(ad_dtype_of(x), ad_numel(x), ad_data(x), to);
        to += ad_numel(x);
    }
}

/* The gradient of a frozen parameter is zero, so that it does not move. */
static void read_gradients(const nn_optim *opt, double *to) {
    for (int i = 0; i < opt->n; i++) {
        const ad_var *x = opt->slots[i].parameter.var;
        if (ad_requires_grad(x)) nn__array_to_f64(ad_dtype_of(x), ad_numel(x), ad_grad(x), to);
        else memset(to, 0, (size_t)ad_numel(x) * sizeof *to);
        to += ad_numel(x);
    }
}

/* A parameter's elements, for writing. After an error of the graph, when ad_data_mut refuses, a search that is given up
   still restores them. It need not mark them as changed, since the closure's scope has taken all that it computed from
   them. */
static void *elements(ad_var *x) { return ad_ok(ad_graph_of(x)) ? ad_data_mut(x) : (void *)ad_data(x); }

/* Sets the parameters to x0 + t d; spare is an array of n. */
static void move_to(const search *w, double t, double *spare) {
    const lbfgs *l = w->l;
    memcpy(spare, l->x0, (size_t)l->n * sizeof *spare);
    nn__array_axpy(l->n, t, ad_data(l->d), spare);
    for (int i = 0; i < w->opt->n; i++) {
        ad_var *x = w->opt->slots[i].parameter.var;
        nn__array_from_f64(ad_dtype_of(x), ad_numel(x), spare, elements(x));
        spare += ad_numel(x);
    }
}

/* A loss that is not finite counts as infinite, so that the search turns back from it. */
static void evaluate(search *w, point *p) {
    w->rc = nn__run_closure(w->opt, w->f, w->data, &p->f);
    if (w->rc != AD_OK) return;
    w->evaluations++;
    read_gradients(w->opt, p->g);
    if (!isfinite(p->f)) p->f = INFINITY;
}

static void evaluate_at(search *w, double t, point *p) {
    move_to(w, t, p->g);
    evaluate(w, p);
    p->t = t;
    p->slope = nn__array_dot(w->l->n, p->g, ad_data(w->l->d));
}

/* ---- the line search: Nocedal and Wright 2006, algorithms 3.5 and 3.6, as in torch.optim ------------- */

enum { MOST_TRIALS = 25 };
static const double ARMIJO = 1e-4, WOLFE = 0.9;

/* The minimum of the cubic through both points with their slopes, limited to lo .. hi. */
static double cubic_minimum(const point *p, const point *q, double lo, double hi) {
    const point *a = p->t <= q->t ? p : q, *b = a == p ? q : p;
    double d1 = a->slope + b->slope - 3 * (a->f - b->f) / (a->t - b->t), square = d1 * d1 - a->slope * b->slope;
    double t = b->t - (b->t - a->t) * ((b->slope + sqrt(square) - d1) / (b->slope - a->slope + 2 * sqrt(square)));
    if (!(square >= 0) || isnan(t)) return (lo + hi) / 2;
    return fmin(fmax(t, lo), hi);
}

/* Whether the loss has not decreased enough: Armijo's condition is not met. */
static bool falls_short(const point *start, const point *p) { return p->f > start->f + ARMIJO * p->t * start->slope; }

/* The curvature condition, in its strong form. */
static bool is_flat(const point *start, const point *p) { return fabs(p->slope) <= -WOLFE * start->slope; }

static void swap(point *a, point *b) {
    point c = *a;
    *a = *b;
    *b = c;
}

/* Goes outwards from start until there is a good point between a and b; true where b itself is one. */
static bool bracket(search *w, const point *start, point *a, point *b, int *trials) {
    for (; *trials < MOST_TRIALS; ++*trials) {
        if (falls_short(start, b) || (*trials > 1 && b->f >= a->f)) return false;
        if (is_flat(start, b)) return true;
        if (b->slope >= 0) return false;
        double t = cubic_minimum(a, b, b->t + 0.01 * (b->t - a->t), 10 * b->t);
        swap(a, b);
        evaluate_at(w, t, b);
        if (w->rc != AD_OK) return true;
    }
    *a = (point){ start->t, start->f, start->slope, memcpy(a->g, start->g, (size_t)w->l->n * sizeof *a->g) };
    return false;
}

/* A trial between both points that is not too close to either one. *stuck tells whether the last trial was. */
static double trial(const point *p, const point *q, bool *stuck) {
    double lo = fmin(p->t, q->t), hi = fmax(p->t, q->t), edge = 0.1 * (hi - lo), t = cubic_minimum(p, q, lo, hi);
    bool near = fmin(hi - t, t - lo) < edge;
    if (!near || (!*stuck && t < hi && t > lo)) {
        *stuck = near;
        return t;
    }
    *stuck = false;
    return fabs(t - hi) < fabs(t - lo) ? hi - edge : lo + edge;
}

/* Narrows the interval between low, the better point, and high. The result is in low. */
static void zoom(search *w, const point *start, point *low, point *high, point *spare, int trials) {
    double size = nn__array_max_abs(w->l->n, ad_data(w->l->d));
    bool done = false, stuck = false;
    for (; !done && trials < MOST_TRIALS && fabs(high->t - low->t) * size >= w->l->o.tolerance_change; trials++) {
        evaluate_at(w, trial(low, high, &stuck), spare);
        if (w->rc != AD_OK) return;
        if (falls_short(start, spare) || spare->f >= low->f) {
            swap(high, spare);
            if (high->f < low->f) swap(high, low);
            continue;
        }
        done = is_flat(start, spare);
        if (!done && spare->slope * (high->t - low->t) >= 0) swap(high, low);
        swap(low, spare);
    }
}

/* From the point *at, whose slope is below 0, to a better one: *at becomes that point and the parameters are there. */
static void line_search(search *w, point *at) {
    lbfgs *l = w->l;
    int trials = 0;
    point start = *at, a = start, b = { .g = l->gradient[2] }, spare = { .g = l->gradient[3] };
    a.g = memcpy(l->gradient[1], start.g, (size_t)l->n * sizeof *a.g);
    evaluate_at(w, l->t, &b);
    bool found = w->rc == AD_OK && bracket(w, &start, &a, &b, &trials);
    if (!found && a.f <= b.f) swap(&a, &b);
    if (w->rc == AD_OK && !found) zoom(w, &start, &b, &a, &spare, trials);
    if (w->rc != AD_OK) {
        move_to(w, 0, spare.g);
        return;
    }
    *at = (point){ b.t, b.f, b.slope, memcpy(start.g, b.g, (size_t)l->n * sizeof *b.g) };
    l->t = b.t;
    move_to(w, b.t, spare.g);
}

/* ---- the direction ----------------------------------------------------------------------------------- */

static int64_t kept(const lbfgs *l) { return l->pushed < l->o.history_size ? (int64_t)l->pushed : l->o.history_size; }

/* The ring's index of pair i; 0 is the oldest pair. */
static int64_t index_of(const lbfgs *l, int64_t i) { return ((int64_t)l->pushed - kept(l) + i) % l->o.history_size; }

/* Keeps the last step t d and the change of the gradient along it, if the curvature there is positive. */
static void remember(lbfgs *l, const double *g) {
    int64_t at = (int64_t)l->pushed % l->o.history_size, n = l->n;
    double *y = l->gradient[1], *s = l->gradient[2];
    memcpy(y, g, (size_t)n * sizeof *y);
    nn__array_axpy(n, -1, ad_data(l->old), y);
    memcpy(s, ad_data(l->d), (size_t)n * sizeof *s);
    nn__array_scale(AD_F64, n, l->t, s);
    double ys = nn__array_dot(n, y, s);
    if (!(ys > 1e-10)) return;
    memcpy((double *)ad_data_mut(l->y) + at * n, y, (size_t)n * sizeof *y);
    memcpy((double *)ad_data_mut(l->s) + at * n, s, (size_t)n * sizeof *s);
    ((double *)ad_data_mut(l->rho))[at] = 1 / ys;
    l->scale = ys / nn__array_dot(n, y, y);
    l->pushed++;
}

/* d = -H g, where H is the estimate of the inverse Hessian by the pairs: the two loops of Nocedal 1980. */
static void compute_direction(lbfgs *l, const double *g) {
    const double *y = ad_data(l->y), *s = ad_data(l->s), *rho = ad_data(l->rho);
    double *d = ad_data_mut(l->d);
    int64_t n = l->n;
    memcpy(d, g, (size_t)n * sizeof *d);
    nn__array_scale(AD_F64, n, -1, d);
    for (int64_t i = kept(l) - 1; i >= 0; i--) {
        int64_t k = index_of(l, i);
        l->alpha[i] = nn__array_dot(n, s + k * n, d) * rho[k];
        nn__array_axpy(n, -l->alpha[i], y + k * n, d);
    }
    nn__array_scale(AD_F64, n, l->scale, d);
    for (int64_t i = 0; i < kept(l); i++) {
        int64_t k = index_of(l, i);
        nn__array_axpy(n, l->alpha[i] - nn__array_dot(n, y + k * n, d) * rho[k], s + k * n, d);
    }
}

/* One iteration from the point *at; false where the step ends with it. */
static bool iterate(search *w, point *at) {
    lbfgs *l = w->l;
    double lr = w->opt->group[0].lr, before = at->f;
    if (l->iterations++ > 0) remember(l, at->g);
    compute_direction(l, at->g);
    memcpy(ad_data_mut(l->old), at->g, (size_t)l->n * sizeof *at->g);
    l->t = l->iterations == 1 ? fmin(1, 1 / nn__array_sum_abs(l->n, at->g)) * lr : lr;
    at->slope = nn__array_dot(l->n, at->g, ad_data(l->d));
    at->t = 0;
    if (!(at->slope <= -l->o.tolerance_change)) return false;
    read_values(w->opt, l->x0);
    line_search(w, at);
    return w->rc == AD_OK && w->evaluations < l->o.max_eval && nn__array_max_abs(l->n, at->g) > l->o.tolerance_grad &&
           nn__array_max_abs(l->n, ad_data(l->d)) * fabs(l->t) > l->o.tolerance_change &&
           fabs(at->f - before) >= l->o.tolerance_change;
}

static int minimise(nn_optim *opt, nn_closure_fn *f, void *data, double *loss) {
    lbfgs *l = opt->opts;
    search w = { .opt = opt, .l = l, .f = f, .data = data };
    point at = { .g = l->gradient[0] };
    evaluate(&w, &at);
    *loss = at.f;
    if (w.rc != AD_OK) return w.rc;
    if (!isfinite(at.f))
        return ad_fail(opt->object.graph, AD_EVALUE, "lbfgs: the loss is not finite where the step begins");
    if (!isfinite(nn__array_largest(AD_F64, l->n, at.g)))
        return ad_fail(opt->object.graph, AD_EVALUE, "lbfgs: the gradient is not finite where the step begins");
    if (nn__array_max_abs(l->n, at.g) <= l->o.tolerance_grad) return AD_OK;
    for (int i = 0; i < l->o.max_iter && iterate(&w, &at); i++) {}
    return w.rc;
}

/* ---- construction ------------------------------------------------------------------------------------ */

static int check(ad_graph *g, const nn_lbfgs_opts *o) {
    int rc = nn__check_positive(g, "lbfgs", "lr", o->lr);
    if (rc == AD_OK) rc = nn__check_number(g, "lbfgs", "max_iter", o->max_iter, 1, INFINITY);
    if (rc == AD_OK) rc = nn__check_number(g, "lbfgs", "max_eval", o->max_eval, 1, INFINITY);
    if (rc == AD_OK) rc = nn__check_number(g, "lbfgs", "history_size", o->history_size, 1, INFINITY);
    if (rc == AD_OK) rc = nn__check_number(g, "lbfgs", "tolerance_grad", o->tolerance_grad, 0, INFINITY);
    if (rc == AD_OK) rc = nn__check_number(g, "lbfgs", "tolerance_change", o->tolerance_change, 0, INFINITY);
    return rc;
}

static int allocate(ad_graph *g, lbfgs *l) {
    int64_t n = l->n, history = l->o.history_size;
    l->y = ad_zeros(g, AD_F64, AD_SHAPE(history, n));
    l->s = ad_zeros(g, AD_F64, AD_SHAPE(history, n));
    l->rho = ad_zeros(g, AD_F64, AD_SHAPE(history));
    l->d = ad_zeros(g, AD_F64, AD_SHAPE(n));
    l->old = ad_zeros(g, AD_F64, AD_SHAPE(n));
    l->alpha = ad_scope_array(g, (size_t)history * sizeof *l->alpha);
    l->x0 = ad_scope_array(g, (size_t)n * sizeof *l->x0);
    for (int i = 0; i < 4; i++) l->gradient[i] = ad_scope_array(g, (size_t)n * sizeof *l->x0);
    return ad_error_code(g);
}

static void list_states(nn_optim *opt, lbfgs *l) {
    nn__list_own_state(opt, "old_dirs", l->y, NULL);
    nn__list_own_state(opt, "old_stps", l->s, NULL);
    nn__list_own_state(opt, "ro", l->rho, NULL);
    nn__list_own_state(opt, "d", l->d, NULL);
    nn__list_own_state(opt, "prev_flat_grad", l->old, NULL);
    nn__list_own_state(opt, "pushed", NULL, &l->pushed);
    nn__list_own_state(opt, "n_iter", NULL, &l->iterations);
    nn__list_own_state(opt, "t", NULL, &l->t);
    nn__list_own_state(opt, "H_diag", NULL, &l->scale);
}

static void own_numbers(const void *opts, double to[NN__STEP_NUMBERS]) {
    const nn_lbfgs_opts *o = &((const lbfgs *)opts)->o;
    const double all[] = { o->lr, o->max_iter, o->max_eval, o->history_size, o->tolerance_grad, o->tolerance_change };
    memcpy(to, all, sizeof all);
}

static nn_lbfgs_opts with_defaults(nn_lbfgs_opts o) {
    o.lr = ad_option(o.lr, 1);
    o.max_iter = (int)ad_option_int(o.max_iter, 20);
    o.max_eval = (int)fmin(ad_option(o.max_eval, floor(1.25 * o.max_iter)), INT_MAX);
    o.history_size = (int)ad_option_int(o.history_size, 100);
    o.tolerance_grad = ad_option(o.tolerance_grad, 1e-7);
    o.tolerance_change = ad_option(o.tolerance_change, 1e-9);
    return o;
}

nn_optim *nn_lbfgs(nn_module *m, nn_lbfgs_opts o) {
    static const nn__method method = { .name = "lbfgs", .minimise = minimise, .own_numbers = own_numbers };
    if (m == NULL || nn__check_open(&m->object, NULL, "lbfgs", "module")) return NULL;
    ad_graph *g = nn_graph_of(m);
    o = with_defaults(o);
    if (!ad_ok(g) || check(g, &o)) return NULL;
    lbfgs l = { .o = o, .n = nn_parameter_numel(m), .scale = 1 };
    if (allocate(g, &l)) return NULL;
    nn_optim *opt = nn__optim_new(m, &method, &l, sizeof l, (nn__param_group){ .lr = o.lr }, NULL);
    if (opt != NULL) list_states(opt, opt->opts);
    return opt;
}
