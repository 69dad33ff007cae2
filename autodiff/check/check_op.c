/* check_op.c: checking an op on its samples. */
#include <math.h>

#include "autodiff/base/spread.h"
#include "autodiff/check/check_op.h"

enum { MAX_OPERANDS = AD__SAMPLE_OPERANDS };

bool ad__trial_takes_gradient(const ad__trial *t, int i) {
    return ad__needs(t->in[i]) && !ad__takes_no_grad(t->check->type->no_grad, i);
}

static ad_var *operand(ad__trial *t, ad_dtype dtype, int i, ad_shape shape, const double *values) {
    ad_graph *g = t->check->g;
    bool constant = !t->all_params && ad__takes_no_grad(t->check->type->no_grad, i);
    ad_var *x = constant ? ad_tensor(g, dtype, NULL, shape) : ad_param(g, dtype, NULL, shape);
    for (int64_t k = 0; k < x->layout->numel; k++) ad_write_element(dtype, x->data, k, values[k]);
    return x;
}

/* Makes the cotangent: different numbers of both signs. They are not a linear function of the samples' values, for
   which the gradient of a normalisation would be 0. */
static int make_weights(ad__trial *t) {
    ad_var *y = t->y;
    t->weights = ad_tensor(t->check->g, y->layout->dtype, NULL, y->layout->shape);
    for (int64_t k = 0; k < t->weights->layout->numel; k++)
        ad_write_element(y->layout->dtype, t->weights->data, k, 2.5 * ad__spread_number(k * k, 7) - 1);
    return t->check->g->code;
}

int ad__trial_build(ad__trial *t, ad_dtype dtype, const ad_shape *shapes, const double *const *values) {
    ad__op_check *check = t->check;
    for (int i = 0; i < t->n; i++) t->in[i] = operand(t, dtype, i, shapes[i], values[i]);
    check->g->random = check->random;
    t->y = ad_apply(check->type, t->n, t->in, t->attrs);
    return ad__absent(t->y) ? ad_refuse_nil(t->y, check->type->name) : make_weights(t);
}

static int compare_at(const ad__trial *t, int i, int64_t k, double a, double b, double atol, double rtol,
                      const char *what) {
    return ad__compare(t->check->report, t->check->type->name, i, k, a, b, atol, rtol, what);
}

/* Runs backward twice, so that the gradients of leaves must double: leaves accumulate, interior Vars do not. */
static int run_backward(ad__trial *t) {
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

static int check_vjp(ad__trial *t) {
    ad_var *dxs[MAX_OPERANDS], *xs[MAX_OPERANDS] = { NULL };
    int from[MAX_OPERANDS], n = 0;
    for (int i = 0; i < t->n; i++)
        if (ad__trial_takes_gradient(t, i)) xs[n] = t->in[i], from[n++] = i;
    int rc = ad_vjp(t->y, t->weights, n, xs, dxs);
    for (int j = 0; j < n; j++)
        for (int64_t k = 0; k < xs[j]->layout->numel && rc == AD_OK; k++)
            rc = compare_at(t, from[j], k, ad_at(dxs[j], k), t->grad[from[j]][k], 1e-11, 1e-10, "vjp and backward");
    return rc;
}

/* Sets element k of operand i to v, evaluates in place, and writes the weighted sum of the result to *sum. */
static int weighted_sum_at(ad__trial *t, int i, int64_t k, double v, double *sum) {
    ((double *)t->in[i]->data)[k] = v;
    ad__leaf_changed(t->in[i]);
    t->check->g->random = t->check->random;
    int rc = ad_eval(t->y);
    *sum = 0;
    for (int64_t j = 0; j < t->y->layout->numel && rc == AD_OK; j++) *sum += ad_at(t->weights, j) * ad_at(t->y, j);
    return rc;
}

static int check_differences(ad__trial *t) {
    ad_check_opts o = ad__check_defaults(NULL);
    for (int i = 0; i < t->n; i++)
        for (int64_t k = 0; ad__trial_takes_gradient(t, i) && k < t->in[i]->layout->numel; k++) {
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

static int check_f32(const ad__trial *wide, const ad__trial *narrow) {
    int rc = AD_OK;
    for (int64_t k = 0; k < wide->y->layout->numel && rc == AD_OK; k++)
        rc =
            compare_at(wide, -1, k, ad_at(narrow->y, k), ad_at(wide->y, k), 2e-5, 2e-5, "the result in f32 and in f64");
    for (int i = 0; i < wide->n && wide->grad[i] != NULL; i++)
        for (int64_t k = 0; k < wide->in[i]->layout->numel && rc == AD_OK; k++)
            rc = compare_at(wide, i, k, narrow->grad[i][k], wide->grad[i][k], 1e-4, 1e-4,
                            "the gradient in f32 and in f64");
    return rc;
}

static int check_gradients(ad__trial *t) {
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

/* Operands that get no gradient must have derivatives 0, unless the op refuses them as parameters. */
static int check_second(const ad__trial *first, const ad_sample_case *c) {
    ad_graph *g = first->check->g;
    ad__trial t = *first;
    ad_error_fn *on_error = g->on_error;
    t.all_params = true;
    g->on_error = NULL; /* a refusal is no error of the user's */
    int rc = ad__trial_build(&t, AD_F64, c->shapes, c->values);
    g->on_error = on_error;
    if (rc == AD_EGRAD) {
        ad_clear_error(g);
        t.all_params = false;
        rc = ad__trial_build(&t, AD_F64, c->shapes, c->values);
    }
    return rc == AD_OK && ad__needs(t.y) && t.y->layout->dtype == AD_F64 ? ad__check_second(&t) : rc;
}

static int check_case(const ad_sample_case *c, void *data) {
    ad__op_check *s = data;
    s->cases++;
    ad__trial wide = { .check = s, .attrs = c->attrs, .n = c->n, .flags = c->flags }, narrow = wide;
    int rc = ad__trial_build(&wide, AD_F64, c->shapes, c->values);
    if (rc == AD_OK) rc = check_gradients(&wide);
    if (rc == AD_OK && s->type->evaluate[AD_F32] != NULL) {
        rc = ad__trial_build(&narrow, AD_F32, c->shapes, c->values);
        if (rc == AD_OK) rc = check_gradients(&narrow);
        if (rc == AD_OK && !(c->flags & AD_SAMPLE_LOOSE)) rc = check_f32(&wide, &narrow);
    }
    if (rc == AD_OK && !(c->flags & AD_SAMPLE_KINK)) rc = check_second(&wide, c);
    if (rc == AD_OK) rc = ad__check_special_points(s, c);
    return rc;
}

int ad_check_op(ad_graph *g, const ad_optype *type, ad_check_report *out) {
    ad_check_report own, *r = out ? out : &own;
    *r = (ad_check_report){ .ok = true, .op = type ? type->name : "" };
    if (g != NULL && (type == NULL || type->name == NULL))
        ad_fail(g, AD_EVALUE, "check_op: the op or its name is NULL");
    if (g == NULL || g->code != AD_OK) return ad__check_failed(r, g, g ? g->code : AD_EVALUE);
    ad__op_check s = { .g = g, .type = type, .report = r, .random = g->random };
    bool keep_grads = ad_keep_grads(g, true), enabled = ad_enable_grad(g, true);
    g->recomputing++; /* a check moves no state */
    int rc = ad_each_sample(g, type, check_case, &s);
    g->recomputing--;
    ad_keep_grads(g, keep_grads);
    ad_enable_grad(g, enabled);
    if (rc == AD_OK && s.cases == 0)
        rc = ad_fail(g, AD_EVALUE, "%s: the op has no samples, which are the test cases to check it with", type->name);
    return rc != AD_OK && rc != AD_ECHECK ? ad__check_failed(r, g, rc) : rc;
}
