/* check.c: gradients against finite differences, for a user's expression and for an op's samples. */
#include <math.h>
#include <string.h>

#include "autodiff/graph/node.h"
#include "autodiff/base/spread.h"
#include "autodiff/check/sample.h"

static ad_check_opts with_defaults(const ad_check_opts *opts) {
    ad_check_opts o = opts ? *opts : (ad_check_opts){ 0 };
    if (o.eps == 0) o.eps = 1e-6;
    if (o.atol == 0) o.atol = 1e-5;
    if (o.rtol == 0) o.rtol = 1e-3;
    return o;
}

/* True for equal infinities and for two NaNs too. */
static bool close_to(double a, double b, double atol, double rtol) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= atol + rtol * fabs(b);
}

static const char *maker(const ad_var *y) { return y->creator ? y->creator->type->name : "a leaf"; }

/* Counts one comparison; on the first that fails, fills the report in. */
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

/* A failure of the graph while checking, told in the report. */
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
    int64_t rows, columns; /* elements of f's result, elements of all xs */
    double *jacobian;      /* [rows, columns], by backward */
    double *up, *down;     /* f's result at x + eps, x - eps */
    ad_random_state random;     /* every call of f draws the same numbers */
    double **kept;         /* gradients that the xs had before; NULL where none */
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
            return ad_fail(g, AD_EDTYPE, "gradcheck: xs[%d] is f32; differences need the digits of f64", i);
        if (xs[i]->creator != NULL) return ad_fail(g, AD_EVALUE, "gradcheck: xs[%d] is not a leaf", i);
    }
    return AD_OK;
}

static int check_result(const jacobian_check *c, const ad_var *y) {
    if (c->g->code == AD_OK && (y == NULL || ad__owner(y) != c->g))
        return ad_fail(c->g, AD_EGRAPH, "gradcheck: f returned no Var of its xs' graph");
    if (ad__absent(y)) return ad_refuse_nil(y, "gradcheck");
    if (y->layout->dtype != AD_F64)
        return ad_fail(c->g, AD_EDTYPE, "gradcheck: f's result is f32; differences need the digits of f64");
    return c->g->code;
}

static int reserve(jacobian_check *c, const ad_var *y) {
    c->rows = y->layout->numel;
    for (int i = 0; i < c->n; i++) c->columns += c->xs[i]->layout->numel;
    size_t row = (size_t)c->rows * sizeof(double);
    if ((c->jacobian = ad_scope_array(c->g, row * (size_t)c->columns)) == NULL) return AD_ENOMEM;
    if ((c->up = ad_scope_array(c->g, row)) == NULL || (c->down = ad_scope_array(c->g, row)) == NULL) return AD_ENOMEM;
    return AD_OK;
}

/* The user's accumulated gradients, put aside and back. */
static int keep_gradients(jacobian_check *c) {
    c->kept = ad_scope_zalloc(c->g, (size_t)c->n * sizeof *c->kept);
    for (int i = 0; i < c->n && c->kept != NULL; i++) {
        if (!(c->xs[i]->flags & AD__HAS_GRAD)) continue;
        if ((c->kept[i] = ad_scope_array(c->g, ad__bytes(c->xs[i]))) == NULL) return AD_ENOMEM;
        memcpy(c->kept[i], c->xs[i]->grad, ad__bytes(c->xs[i]));
    }
    return c->g->code;
}

static void restore_gradients(const jacobian_check *c) {
    for (int i = 0; i < c->n; i++) {
        ad_zero_grad(c->xs[i]);
        if (c->kept[i] == NULL) continue;
        memcpy(c->xs[i]->grad, c->kept[i], ad__bytes(c->xs[i]));
        c->xs[i]->flags |= AD__HAS_GRAD;
    }
}

/* One row of the Jacobian for each element of y. */
static int by_backward(jacobian_check *c, ad_var *y) {
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

/* f's result with one element of one leaf set to v. */
static int shifted(jacobian_check *c, ad_var *x, int64_t k, double v, double *to) {
    double was = ad_at(x, k);
    uint64_t stamp = ad__stamp(x);
    ad_mark m = ad_begin(c->g);
    ((double *)x->data)[k] = v;
    ad__leaf_changed(x);
    uint64_t changed = c->g->clock;
    ad_var *y = call_f(c);
    int rc = check_result(c, y);
    if (rc == AD_OK && y->layout->numel != c->rows)
        rc = ad_fail(c->g, AD_ESHAPE, "gradcheck: f gave results of two sizes for nearby values");
    if (rc == AD_OK && c->rows > 0) memcpy(to, y->data, (size_t)c->rows * sizeof(double));
    ad_end(c->g, m);
    ((double *)x->data)[k] = was;
    if (c->g->clock == changed) ad__set_stamp(x, stamp); /* nothing is left that saw another value */
    else ad__leaf_changed(x);                            /* f evaluated again what was there before */
    return rc;
}

static int by_differences(jacobian_check *c, const char *op) {
    int64_t column = 0;
    for (int i = 0; i < c->n; i++) {
        ad_var *x = c->xs[i];
        for (int64_t k = 0; k < x->layout->numel; k++, column++) {
            if (!ad__needs(x)) continue;
            double at = ad_at(x, k), hi = at + c->opts.eps, lo = at - c->opts.eps;
            int rc = shifted(c, x, k, hi, c->up);
            if (rc == AD_OK) rc = shifted(c, x, k, lo, c->down);
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
    const char *op = rc == AD_OK ? maker(y) : "";
    if (rc == AD_OK) rc = reserve(c, y);
    if (rc == AD_OK) rc = by_backward(c, y);
    return rc == AD_OK ? by_differences(c, op) : rc;
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
    bool kept = ad_keep_grads(g, true), enabled = ad_enable_grad(g, true);
    ad_mark m = ad_begin(g);
    int rc = keep_gradients(&c);
    if (rc == AD_OK) {
        rc = compare_jacobians(&c);
        restore_gradients(&c);
    }
    ad_end(g, m);
    ad_keep_grads(g, kept);
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
    ad_random_state random;
} op_check;

/* One case in one dtype: its leaves, result, cotangent and the gradients by backward. */
typedef struct {
    op_check *s;
    const void *attrs;
    int n;
    unsigned flags;
    ad_var *in[MAX_OPERANDS], *y, *weights;
    double *grad[MAX_OPERANDS];
} trial;

static bool takes_gradient(const trial *t, int i) { return ad__needs(t->in[i]) && !(t->s->type->no_grad >> i & 1); }

static ad_var *operand(trial *t, ad_dtype dtype, int i, ad_shape shape, const double *values) {
    ad_graph *g = t->s->g;
    bool constant = t->s->type->no_grad >> i & 1;
    ad_var *x = constant ? ad_tensor(g, dtype, NULL, shape) : ad_param(g, dtype, NULL, shape);
    for (int64_t k = 0; k < x->layout->numel; k++)
        if (dtype == AD_F32) ((float *)x->data)[k] = (float)values[k];
        else ((double *)x->data)[k] = values[k];
    return x;
}

static int weigh(trial *t) {
    ad_var *y = t->y;
    t->weights = ad_tensor(t->s->g, y->layout->dtype, NULL, y->layout->shape);
    for (int64_t k = 0; k < t->weights->layout->numel; k++) {
        double v = 2.5 * ad__spread_number(k, 7) - 1;
        if (y->layout->dtype == AD_F32) ((float *)t->weights->data)[k] = (float)v;
        else ((double *)t->weights->data)[k] = v;
    }
    return t->s->g->code;
}

static int build(trial *t, ad_dtype dtype, const ad_sample_case *c) {
    op_check *s = t->s;
    for (int i = 0; i < t->n; i++) t->in[i] = operand(t, dtype, i, c->shapes[i], c->values[i]);
    s->g->random = s->random;
    t->y = ad_apply(s->type, t->n, t->in, t->attrs);
    return ad__absent(t->y) ? ad_refuse_nil(t->y, s->type->name) : weigh(t);
}

static int differ(const trial *t, int i, int64_t k, double a, double b, double atol, double rtol, const char *what) {
    return compare(t->s->report, t->s->type->name, i, k, a, b, atol, rtol, what);
}

/* Backward twice: the second must find leaves that accumulate and interior gradients that do not. */
static int run_backward(trial *t) {
    int rc = ad_backward_from(t->y, t->weights);
    for (int i = 0; i < t->n && rc == AD_OK; i++) {
        int64_t numel = t->in[i]->layout->numel;
        t->grad[i] = ad_scope_array(t->s->g, (size_t)numel * sizeof(double));
        if (t->grad[i] == NULL) return AD_ENOMEM;
        for (int64_t k = 0; k < numel; k++) t->grad[i][k] = ad_grad_at(t->in[i], k);
    }
    if (rc == AD_OK) rc = ad_backward_from(t->y, t->weights);
    for (int i = 0; i < t->n; i++)
        for (int64_t k = 0; k < t->in[i]->layout->numel && rc == AD_OK; k++)
            rc = differ(t, i, k, ad_grad_at(t->in[i], k), 2 * t->grad[i][k], 1e-12, 1e-5,
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
            rc = differ(t, from[j], k, ad_at(dxs[j], k), t->grad[from[j]][k], 1e-11, 1e-10, "vjp and backward");
    return rc;
}

/* The weighted sum of the result, evaluated in place with one element of one operand set to v. */
static int weighted(trial *t, int i, int64_t k, double v, double *sum) {
    ((double *)t->in[i]->data)[k] = v;
    ad__leaf_changed(t->in[i]);
    t->s->g->random = t->s->random;
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
            int rc = weighted(t, i, k, at + h, &up);
            if (rc == AD_OK) rc = weighted(t, i, k, at - h, &down);
            if (rc == AD_OK) rc = weighted(t, i, k, at, &back);
            if (rc == AD_OK)
                rc = differ(t, i, k, t->grad[i][k], (up - down) / (2 * h), o.atol, o.rtol,
                            "backward and finite differences");
            if (rc != AD_OK) return rc;
        }
    return AD_OK;
}

static int check_f32(const trial *wide, const trial *narrow) {
    int rc = AD_OK;
    for (int64_t k = 0; k < wide->y->layout->numel && rc == AD_OK; k++)
        rc = differ(wide, -1, k, ad_at(narrow->y, k), ad_at(wide->y, k), 2e-5, 2e-5, "the result in f32 and in f64");
    for (int i = 0; i < wide->n && wide->grad[i] != NULL; i++)
        for (int64_t k = 0; k < wide->in[i]->layout->numel && rc == AD_OK; k++)
            rc = differ(wide, i, k, narrow->grad[i][k], wide->grad[i][k], 1e-4, 1e-4, "the gradient in f32 and in f64");
    return rc;
}

static int check_gradients(trial *t) {
    bool constant = (t->s->type->flags & AD_OP_CONSTANT) != 0;
    if (constant || !ad__needs(t->y)) {
        if (constant && !ad__needs(t->y)) return AD_OK;
        snprintf(t->s->report->message, sizeof t->s->report->message, "%s: the result %s a gradient",
                 t->s->type->name, constant ? "of a constant op wants" : "does not want");
        t->s->report->ok = false;
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
    trial wide = { .s = s, .attrs = c->attrs, .n = c->n, .flags = c->flags }, narrow = wide;
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
    if (g != NULL && type == NULL) ad_fail(g, AD_EVALUE, "check_op: there is no op");
    if (g == NULL || g->code != AD_OK) return failed(r, g, g ? g->code : AD_EVALUE);
    op_check s = { .g = g, .type = type, .report = r, .random = g->random };
    bool kept = ad_keep_grads(g, true), enabled = ad_enable_grad(g, true);
    int rc = ad_each_sample(g, type, check_case, &s);
    ad_keep_grads(g, kept);
    ad_enable_grad(g, enabled);
    if (rc == AD_OK && s.cases == 0)
        rc = ad_fail(g, AD_EVALUE, "%s: an op needs samples, its own test cases", type->name);
    return rc != AD_OK && rc != AD_ECHECK ? failed(r, g, rc) : rc;
}
