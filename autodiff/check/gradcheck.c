/* gradcheck.c: comparing the gradients of a user's expression with finite differences. */
#include <string.h>

#include "autodiff/check/compare.h"

static const char *op_name_of(const ad_var *y) { return y->creator ? y->creator->type->name : "a leaf"; }

typedef struct {
    ad_graph *g;
    ad_check_fn *f;
    void *user;
    int n;
    ad_var *const *xs;
    ad_check_opts opts;
    ad_check_report *report;
    int64_t rows, columns;  /* elements of f's result, elements of all xs */
    double *jacobian;       /* [rows, columns], by backward */
    double *up, *down;      /* [rows], f's result at x + eps and at x - eps */
    ad_random_state random; /* f starts from this state, so that each call draws the same numbers */
    double **saved;         /* gradients that the xs had before the check; NULL for an x without one */
} jacobian_check;

/* A check moves no state, such as running averages. */
static ad_var *call_f(const jacobian_check *c) {
    c->g->random = c->random;
    c->g->recomputing++;
    ad_var *y = c->f(c->n, c->xs, c->user);
    c->g->recomputing--;
    return y;
}

static int check_xs(ad_graph *g, int n, ad_var *const xs[]) {
    for (int i = 0; i < n; i++) {
        if (ad__absent(xs[i])) return ad_fail(g, AD_EVALUE, "gradcheck: xs[%d] is nil", i);
        if (ad__owner(xs[i]) != g) return ad_fail(g, AD_EGRAPH, "gradcheck: xs[0] and xs[%d] belong to two graphs", i);
        if (xs[i]->layout->dtype != AD_F64)
            return ad_fail(g, AD_EDTYPE, "gradcheck: xs[%d] is f32; finite differences need the precision of f64", i);
        if (xs[i]->creator != NULL) return ad_fail(g, AD_EVALUE, "gradcheck: xs[%d] is not a leaf", i);
    }
    return AD_OK;
}

static int check_result(const jacobian_check *c, const ad_var *y) {
    if (c->g->code == AD_OK && (y == NULL || ad__owner(y) != c->g))
        return ad_fail(c->g, AD_EGRAPH, "gradcheck: f did not return a Var of the graph of xs");
    if (ad__absent(y)) return ad_refuse_nil(y, "gradcheck");
    if (y->layout->dtype != AD_F64)
        return ad_fail(c->g, AD_EDTYPE, "gradcheck: f's result is f32; finite differences need the precision of f64");
    return c->g->code;
}

/* Allocates the arrays. */
static int reserve(jacobian_check *c, const ad_var *y) {
    c->rows = y->layout->numel;
    for (int i = 0; i < c->n; i++) c->columns += c->xs[i]->layout->numel;
    size_t row = (size_t)c->rows * sizeof(double);
    if ((c->jacobian = ad_scope_array(c->g, row * (size_t)c->columns)) == NULL) return AD_ENOMEM;
    if ((c->up = ad_scope_array(c->g, row)) == NULL || (c->down = ad_scope_array(c->g, row)) == NULL) return AD_ENOMEM;
    return AD_OK;
}

/* Copies the gradients that the user has accumulated in the xs. */
static int save_gradients(jacobian_check *c) {
    c->saved = ad_scope_zalloc(c->g, (size_t)c->n * sizeof *c->saved);
    for (int i = 0; i < c->n && c->saved != NULL; i++) {
        if (!(c->xs[i]->flags & AD__HAS_GRAD)) continue;
        if ((c->saved[i] = ad_scope_array(c->g, ad__bytes(c->xs[i]))) == NULL) return AD_ENOMEM;
        memcpy(c->saved[i], c->xs[i]->grad, ad__bytes(c->xs[i]));
    }
    return c->g->code;
}

static void restore_gradients(const jacobian_check *c) {
    for (int i = 0; i < c->n; i++) {
        ad_zero_grad(c->xs[i]);
        if (c->saved[i] == NULL) continue;
        memcpy(c->xs[i]->grad, c->saved[i], ad__bytes(c->xs[i]));
        c->xs[i]->flags |= AD__HAS_GRAD;
    }
}

/* Computes the Jacobian, one row for each element of y. */
static int jacobian_by_backward(jacobian_check *c, ad_var *y) {
    ad_var *seed = ad_zeros(c->g, AD_F64, y->layout->shape);
    if (ad__absent(seed)) return c->g->code;
    if (!ad__needs(y)) return memset(c->jacobian, 0, (size_t)(c->rows * c->columns) * sizeof(double)), AD_OK;
    for (int64_t r = 0; r < c->rows; r++) {
        for (int i = 0; i < c->n; i++) ad_zero_grad(c->xs[i]);
        ((double *)seed->data)[r] = 1;
        int rc = ad_backward_from(y, seed);
        if (rc != AD_OK) return rc;
        ((double *)seed->data)[r] = 0;
        double *to = c->jacobian + r * c->columns;
        for (int i = 0; i < c->n; i++)
            for (int64_t k = 0; k < c->xs[i]->layout->numel; k++) *to++ = ad_grad_at(c->xs[i], k);
    }
    return AD_OK;
}

/* Writes f's result, with element k of leaf x set to v, to `to` [rows]. x is restored. */
static int evaluate_at(jacobian_check *c, ad_var *x, int64_t k, double v, double *to) {
    double old = ad_at(x, k);
    uint64_t stamp = ad__stamp(x);
    ad_mark m = ad_begin(c->g);
    ((double *)x->data)[k] = v;
    ad__leaf_changed(x);
    uint64_t changed = c->g->clock;
    ad_var *y = call_f(c);
    int rc = check_result(c, y);
    if (rc == AD_OK && y->layout->numel != c->rows)
        rc = ad_fail(c->g, AD_ESHAPE, "gradcheck: f returned results of different sizes for nearby values");
    if (rc == AD_OK && c->rows > 0) memcpy(to, y->data, (size_t)c->rows * sizeof(double));
    ad_end(c->g, m);
    ((double *)x->data)[k] = old;
    /* Unless f called ad_eval, no Op outside the closed scope has seen v, and x gets its old stamp back. */
    if (c->g->clock == changed) ad__set_stamp(x, stamp);
    else ad__leaf_changed(x);
    return rc;
}

/* Compares each column of the Jacobian with central differences. */
static int check_columns(jacobian_check *c, const char *op) {
    int64_t column = 0;
    for (int i = 0; i < c->n; i++) {
        ad_var *x = c->xs[i];
        for (int64_t k = 0; k < x->layout->numel; k++, column++) {
            if (!ad__needs(x)) continue;
            double at = ad_at(x, k), hi = at + c->opts.eps, lo = at - c->opts.eps;
            int rc = evaluate_at(c, x, k, hi, c->up);
            if (rc == AD_OK) rc = evaluate_at(c, x, k, lo, c->down);
            for (int64_t r = 0; r < c->rows && rc == AD_OK; r++)
                rc = ad__compare(c->report, op, i, k, c->jacobian[r * c->columns + column],
                                 (c->up[r] - c->down[r]) / (hi - lo), c->opts.atol, c->opts.rtol,
                                 "backward and finite differences");
            if (rc != AD_OK) return rc;
        }
    }
    return AD_OK;
}

static int compare_jacobians(jacobian_check *c) {
    ad_var *y = call_f(c);
    int rc = check_result(c, y);
    const char *op = rc == AD_OK ? op_name_of(y) : "";
    if (rc == AD_OK) rc = reserve(c, y);
    if (rc == AD_OK) rc = jacobian_by_backward(c, y);
    return rc == AD_OK ? check_columns(c, op) : rc;
}

int ad_gradcheck(ad_check_fn *f, void *user, int n, ad_var *const xs[], const ad_check_opts *opts,
                 ad_check_report *out) {
    ad_check_report own, *r = out ? out : &own;
    *r = (ad_check_report){ .ok = true, .op = "" };
    ad_graph *g = n > 0 && xs && xs[0] ? ad__owner(xs[0]) : NULL;
    if (g != NULL && f == NULL) ad_fail(g, AD_EVALUE, "gradcheck: f is NULL");
    if (g == NULL || g->code != AD_OK || check_xs(g, n, xs)) return ad__check_failed(r, g, g ? g->code : AD_EVALUE);
    jacobian_check c = { .g = g,
                         .f = f,
                         .user = user,
                         .n = n,
                         .xs = xs,
                         .opts = ad__check_defaults(opts),
                         .report = r,
                         .random = g->random };
    bool keep_grads = ad_keep_grads(g, true), enabled = ad_enable_grad(g, true);
    ad_mark m = ad_begin(g);
    int rc = save_gradients(&c);
    if (rc == AD_OK) {
        rc = compare_jacobians(&c);
        restore_gradients(&c);
    }
    ad_end(g, m);
    ad_keep_grads(g, keep_grads);
    ad_enable_grad(g, enabled);
    return rc != AD_OK && rc != AD_ECHECK ? ad__check_failed(r, g, rc) : rc;
}
