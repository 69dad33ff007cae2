/* check.c: comparing gradients with finite differences, for a user's expression and for an op's samples. */
#include <math.h>
#include <string.h>

#include "autodiff/base/spread.h"
#include "autodiff/check/sample.h"
#include "autodiff/graph/node.h"

static ad_check_opts with_defaults(const ad_check_opts *opts) {
    ad_check_opts o = opts ? *opts : (ad_check_opts){ 0 };
    return (ad_check_opts){ ad_option(o.eps, 1e-6), ad_option(o.atol, 1e-5), ad_option(o.rtol, 1e-3) };
}

/* True also for equal infinities and for two NaNs. */
static bool close_to(double a, double b, double atol, double rtol) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= atol + rtol * fabs(b);
}

static const char *op_name_of(const ad_var *y) { return y->creator ? y->creator->type->name : "a leaf"; }

/* Compares two numbers and counts the comparison. AD_ECHECK, with the report filled in, if they differ. */
static int compare(ad_check_report *r, const char *op, int operand, int64_t index, double analytic, double numeric,
                   double atol, double rtol, const char *what) {
    r->compared++;
    if (close_to(analytic, numeric, atol, rtol)) return AD_OK;
    char where[48] = "";
    if (operand >= 0) snprintf(where, sizeof where, " operand %d", operand);
    ad_check_report bad = { false, r->compared, op, operand, index, analytic, numeric, "" };
    *r = bad;
    snprintf(r->message, sizeof r->message, "%s:%s element %lld: %s: %.10g and %.10g differ by %.3g", op, where,
             (long long)index, what, analytic, numeric, fabs(analytic - numeric));
    return AD_ECHECK;
}

/* Reports an error of the graph that stopped the check. Returns rc. */
static int failed(ad_check_report *r, const ad_graph *g, int rc) {
    r->ok = false;
    snprintf(r->message, sizeof r->message, "%s", ad_error(g));
    return rc;
}

/* ---- ad_gradcheck ------------------------------------------------------------------------------ */

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

static ad_var *call_f(const jacobian_check *c) {
    c->g->random = c->random;
    return c->f(c->n, c->xs, c->user);
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
                rc = compare(c->report, op, i, k, c->jacobian[r * c->columns + column],
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
    if (g == NULL || g->code != AD_OK || check_xs(g, n, xs)) return failed(r, g, g ? g->code : AD_EVALUE);
    jacobian_check c = { .g = g, .f = f, .user = user, .n = n, .xs = xs, .opts = with_defaults(opts), .report = r,
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
    return rc != AD_OK && rc != AD_ECHECK ? failed(r, g, rc) : rc;
}

/* ---- ad_check_op -------------------------------------------------------------------------------- */

enum { MAX_OPERANDS = AD__SAMPLE_OPERANDS };

typedef struct {
    ad_graph *g;
    const ad_optype *type;
    ad_check_report *report;
    int cases;
    ad_random_state random; /* each evaluation starts from this state */
} op_check;

/* One case in one dtype: its operands, result, cotangent (weights) and the gradients by backward. */
typedef struct {
    op_check *check;
    const void *attrs;
    int n;
    unsigned flags;
    ad_var *in[MAX_OPERANDS], *y, *weights;
    double *grad[MAX_OPERANDS];
} trial;

static bool takes_gradient(const trial *t, int i) {
    return ad__needs(t->in[i]) && !ad__takes_no_grad(t->check->type->no_grad, i);
}

static ad_var *operand(trial *t, ad_dtype dtype, int i, ad_shape shape, const double *values) {
    ad_graph *g = t->check->g;
    bool constant = ad__takes_no_grad(t->check->type->no_grad, i);
    ad_var *x = constant ? ad_tensor(g, dtype, NULL, shape) : ad_param(g, dtype, NULL, shape);
    for (int64_t k = 0; k < x->layout->numel; k++) ad_write_element(dtype, x->data, k, values[k]);
    return x;
}

/* Makes the cotangent: different numbers of both signs. */
static int make_weights(trial *t) {
    ad_var *y = t->y;
    t->weights = ad_tensor(t->check->g, y->layout->dtype, NULL, y->layout->shape);
    for (int64_t k = 0; k < t->weights->layout->numel; k++)
        ad_write_element(y->layout->dtype, t->weights->data, k, 2.5 * ad__spread_number(k, 7) - 1);
    return t->check->g->code;
}

static int build(trial *t, ad_dtype dtype, const ad_sample_case *c) {
    op_check *check = t->check;
    for (int i = 0; i < t->n; i++) t->in[i] = operand(t, dtype, i, c->shapes[i], c->values[i]);
    check->g->random = check->random;
    t->y = ad_apply(check->type, t->n, t->in, t->attrs);
    return ad__absent(t->y) ? ad_refuse_nil(t->y, check->type->name) : make_weights(t);
}

static int compare_at(const trial *t, int i, int64_t k, double a, double b, double atol, double rtol,
                      const char *what) {
    return compare(t->check->report, t->check->type->name, i, k, a, b, atol, rtol, what);
}

/* Runs backward twice, so that the gradients of leaves must double: leaves accumulate, interior Vars do not. */
static int run_backward(trial *t) {
    int rc = ad_backward_from(t->y, t->weights);
    for (int i = 0; i < t->n && rc == AD_OK; i++) {
        int64_t numel = t->in[i]->layout->numel;
        t->grad[i] = ad_scope_array(t->check->g, (size_t)numel * sizeof(double));
        if (t->grad[i] == NULL) return AD_ENOMEM;
        for (int64_t k = 0; k < numel; k++) t->grad[i][k] = ad_grad_at(t->in[i], k);
    }
    if (rc == AD_OK) rc = ad_backward_from(t->y, t->weights);
    for (int i = 0; i < t->n; i++)
        for (int64_t k = 0; k < t->in[i]->layout->numel && rc == AD_OK; k++)
            rc = compare_at(t, i, k, ad_grad_at(t->in[i], k), 2 * t->grad[i][k], 1e-12, 1e-5,
                            "the gradient after two backward passes and twice that after one");
    return rc;
}

static int check_vjp(trial *t) {
    ad_var *dxs[MAX_OPERANDS], *xs[MAX_OPERANDS] = { NULL };
    int from[MAX_OPERANDS], n = 0;
    for (int i = 0; i < t->n; i++)
        if (takes_gradient(t, i)) xs[n] = t->in[i], from[n++] = i;
    int rc = ad_vjp(t->y, t->weights, n, xs, dxs);
    for (int j = 0; j < n; j++)
        for (int64_t k = 0; k < xs[j]->layout->numel && rc == AD_OK; k++)
            rc = compare_at(t, from[j], k, ad_at(dxs[j], k), t->grad[from[j]][k], 1e-11, 1e-10, "vjp and backward");
    return rc;
}

/* Sets element k of operand i to v, evaluates in place, and writes the weighted sum of the result to *sum. */
static int weighted_sum_at(trial *t, int i, int64_t k, double v, double *sum) {
    ((double *)t->in[i]->data)[k] = v;
    ad__leaf_changed(t->in[i]);
    t->check->g->random = t->check->random;
    int rc = ad_eval(t->y);
    *sum = 0;
    for (int64_t j = 0; j < t->y->layout->numel && rc == AD_OK; j++) *sum += ad_at(t->weights, j) * ad_at(t->y, j);
    return rc;
}

static int check_differences(trial *t) {
    ad_check_opts o = with_defaults(NULL);
    for (int i = 0; i < t->n; i++)
        for (int64_t k = 0; takes_gradient(t, i) && k < t->in[i]->layout->numel; k++) {
            double at = ad_at(t->in[i], k), h = o.eps * fmax(1, fabs(at)), up, down, back;
            int rc = weighted_sum_at(t, i, k, at + h, &up);
            if (rc == AD_OK) rc = weighted_sum_at(t, i, k, at - h, &down);
            if (rc == AD_OK) rc = weighted_sum_at(t, i, k, at, &back);
            if (rc == AD_OK)
                rc = compare_at(t, i, k, t->grad[i][k], (up - down) / (2 * h), o.atol, o.rtol,
                                "backward and finite differences");
            if (rc != AD_OK) return rc;
        }
    return AD_OK;
}

static int check_f32(const trial *wide, const trial *narrow) {
    int rc = AD_OK;
    for (int64_t k = 0; k < wide->y->layout->numel && rc == AD_OK; k++)
        rc = compare_at(wide, -1, k, ad_at(narrow->y, k), ad_at(wide->y, k), 2e-5, 2e-5,
                        "the result in f32 and in f64");
    for (int i = 0; i < wide->n && wide->grad[i] != NULL; i++)
        for (int64_t k = 0; k < wide->in[i]->layout->numel && rc == AD_OK; k++)
            rc = compare_at(wide, i, k, narrow->grad[i][k], wide->grad[i][k], 1e-4, 1e-4,
                            "the gradient in f32 and in f64");
    return rc;
}

static int check_gradients(trial *t) {
    bool constant = (t->check->type->flags & AD_OP_CONSTANT) != 0;
    if (constant || !ad__needs(t->y)) {
        if (constant && !ad__needs(t->y)) return AD_OK;
        snprintf(t->check->report->message, sizeof t->check->report->message, "%s: the result %s a gradient",
                 t->check->type->name, constant ? "of a constant op requires" : "does not require");
        t->check->report->ok = false;
        return AD_ECHECK;
    }
    int rc = run_backward(t);
    if (rc == AD_OK && t->y->layout->dtype == AD_F64 && t->in[0]->layout->dtype == AD_F64) {
        rc = check_vjp(t);
        if (rc == AD_OK && !(t->flags & AD_SAMPLE_KINK)) rc = check_differences(t);
    }
    return rc;
}

static int check_case(const ad_sample_case *c, void *data) {
    op_check *s = data;
    s->cases++;
    trial wide = { .check = s, .attrs = c->attrs, .n = c->n, .flags = c->flags }, narrow = wide;
    int rc = build(&wide, AD_F64, c);
    if (rc == AD_OK) rc = check_gradients(&wide);
    if (rc == AD_OK && s->type->evaluate[AD_F32] != NULL) {
        rc = build(&narrow, AD_F32, c);
        if (rc == AD_OK) rc = check_gradients(&narrow);
        if (rc == AD_OK && !(c->flags & AD_SAMPLE_LOOSE)) rc = check_f32(&wide, &narrow);
    }
    return rc;
}

int ad_check_op(ad_graph *g, const ad_optype *type, ad_check_report *out) {
    ad_check_report own, *r = out ? out : &own;
    *r = (ad_check_report){ .ok = true, .op = type ? type->name : "" };
    if (g != NULL && type == NULL) ad_fail(g, AD_EVALUE, "check_op: the op is NULL");
    if (g == NULL || g->code != AD_OK) return failed(r, g, g ? g->code : AD_EVALUE);
    op_check s = { .g = g, .type = type, .report = r, .random = g->random };
    bool keep_grads = ad_keep_grads(g, true), enabled = ad_enable_grad(g, true);
    int rc = ad_each_sample(g, type, check_case, &s);
    ad_keep_grads(g, keep_grads);
    ad_enable_grad(g, enabled);
    if (rc == AD_OK && s.cases == 0)
        rc = ad_fail(g, AD_EVALUE, "%s: the op has no samples, which are the test cases to check it with", type->name);
    return rc != AD_OK && rc != AD_ECHECK ? failed(r, g, rc) : rc;
}
