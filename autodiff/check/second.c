/* second.c: checking the second derivatives of an op on its samples, which come from its vjp rule. */
#include <math.h>
#include <string.h>

#include "autodiff/base/spread.h"
#include "autodiff/check/check_op.h"

/* The gradient of the op's weighted result as Vars, and two directions in the space of its operands. */
typedef struct {
    ad__trial *t;
    int n;                           /* operands that take a gradient */
    bool fixed[AD__SAMPLE_OPERANDS]; /* operands with derivative 0, such as indices: direction 0 is 0 there */
    ad_var *xs[AD__SAMPLE_OPERANDS], *dxs[AD__SAMPLE_OPERANDS];
    ad_var *direction[2][AD__SAMPLE_OPERANDS];
    double *product[2][AD__SAMPLE_OPERANDS]; /* the Hessian times each direction */
} hessian;

static double *zeros_like(ad_graph *g, const ad_var *x) {
    double *v = ad_scope_array(g, ad__bytes(x));
    if (v != NULL) memset(v, 0, ad__bytes(x));
    return v;
}

static int make_directions(hessian *h) {
    ad_graph *g = h->t->check->g;
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < h->n; i++) {
            ad_var *u = h->direction[d][i] = ad_tensor(g, AD_F64, NULL, h->xs[i]->layout->shape);
            h->product[d][i] = zeros_like(g, h->xs[i]);
            if (ad__absent(u) || h->product[d][i] == NULL) return g->code;
            for (int64_t k = 0; k < u->layout->numel && (d == 1 || !h->fixed[i]); k++)
                ((double *)u->data)[k] = 2 * ad__spread_number(k * k + 3 * k, 11 + d + 2 * i) - 1;
        }
    return AD_OK;
}

/* The Hessian is symmetric, so its product with a direction is the sum of the gradients' vjps. */
static int multiply(hessian *h, int d) {
    ad_var *rows[AD__SAMPLE_OPERANDS];
    for (int i = 0; i < h->n; i++) {
        if (!ad__needs(h->dxs[i])) continue;
        int rc = ad_vjp(h->dxs[i], h->direction[d][i], h->n, h->xs, rows);
        for (int j = 0; j < h->n && rc == AD_OK; j++)
            for (int64_t k = 0; k < rows[j]->layout->numel; k++) h->product[d][j][k] += ad_at(rows[j], k);
        if (rc != AD_OK) return rc;
    }
    return AD_OK;
}

/* The sum of direction d times the Hessian times the other direction, and the sum of the sizes of its terms. */
static double quadratic(const hessian *h, int d, double *size) {
    double sum = 0;
    for (int i = 0; i < h->n; i++)
        for (int64_t k = 0; k < h->xs[i]->layout->numel; k++) {
            double term = ad_at(h->direction[d][i], k) * h->product[1 - d][i][k];
            sum += term, *size += fabs(term);
        }
    return sum;
}

static int compare_symmetry(const hessian *h) {
    double size = 0, a = quadratic(h, 0, &size), b = quadratic(h, 1, &size);
    return ad__compare(h->t->check->report, h->t->check->type->name, -1, 0, a, b, 1e-10 * size + 1e-12, 0,
                       "u (H v) and v (H u) of the Hessian H");
}

/* Moves the operands by step times direction 0 and writes the gradients by backward to `to`. */
static int gradients_at(const hessian *h, double step, double *const to[]) {
    ad__trial *t = h->t;
    for (int i = 0; i < h->n; i++) {
        double *x = h->xs[i]->data;
        for (int64_t k = 0; k < h->xs[i]->layout->numel; k++) x[k] += step * ad_at(h->direction[0][i], k);
        ad__leaf_changed(h->xs[i]);
        ad_zero_grad(h->xs[i]);
    }
    t->check->g->random = t->check->random;
    int rc = ad_eval(t->y);
    if (rc == AD_OK) rc = ad_backward_from(t->y, t->weights);
    for (int i = 0; i < h->n; i++)
        for (int64_t k = 0; k < h->xs[i]->layout->numel; k++) to[i][k] = ad_grad_at(h->xs[i], k);
    return rc;
}

/* Evaluates the gradients that were recorded as Vars again, for operands that have changed. */
static int compare_evaluated(const hessian *h, double *const by_backward[]) {
    ad__op_check *s = h->t->check;
    int rc = AD_OK;
    for (int i = 0; i < h->n && rc == AD_OK; i++) {
        s->g->random = s->random;
        rc = ad_eval(h->dxs[i]);
        for (int64_t k = 0; k < h->xs[i]->layout->numel && rc == AD_OK; k++)
            rc = ad__compare(s->report, s->type->name, i, k, ad_at(h->dxs[i], k), by_backward[i][k], 1e-11, 1e-10,
                             "vjp, evaluated again, and backward");
    }
    return rc;
}

/* Recorded without gradients, an expression has the same derivatives for those who ask. */
static int compare_without_recording(const hessian *h) {
    ad__trial *t = h->t;
    ad_var *again[AD__SAMPLE_OPERANDS];
    bool enabled = ad_enable_grad(t->check->g, false);
    int rc = ad_vjp(t->y, t->weights, h->n, h->xs, again);
    ad_enable_grad(t->check->g, enabled);
    for (int i = 0; i < h->n && rc == AD_OK; i++)
        for (int64_t k = 0; k < h->xs[i]->layout->numel && rc == AD_OK; k++)
            rc = ad__compare(t->check->report, t->check->type->name, i, k, ad_at(again[i], k), ad_at(h->dxs[i], k), 0,
                             0, "vjp under ad_enable_grad(g, false) and vjp");
    return rc;
}

static int compare_differences(const hessian *h) {
    const double step = 1e-5;
    double *up[AD__SAMPLE_OPERANDS], *down[AD__SAMPLE_OPERANDS], *back[AD__SAMPLE_OPERANDS];
    ad__op_check *s = h->t->check;
    for (int i = 0; i < h->n; i++)
        if ((up[i] = zeros_like(s->g, h->xs[i])) == NULL || (down[i] = zeros_like(s->g, h->xs[i])) == NULL ||
            (back[i] = zeros_like(s->g, h->xs[i])) == NULL)
            return AD_ENOMEM;
    int rc = gradients_at(h, step, up);
    if (rc == AD_OK) rc = compare_evaluated(h, up);
    if (rc == AD_OK) rc = gradients_at(h, -2 * step, down);
    if (rc == AD_OK) rc = gradients_at(h, step, back);
    for (int i = 0; i < h->n; i++)
        for (int64_t k = 0; k < h->xs[i]->layout->numel && rc == AD_OK; k++)
            rc = ad__compare(s->report, s->type->name, i, k, h->product[0][i][k], (up[i][k] - down[i][k]) / (2 * step),
                             1e-5, 1e-4, "second derivatives and differences of first ones");
    return rc;
}

int ad__check_second(ad__trial *t) {
    hessian h = { .t = t };
    for (int i = 0; i < t->n; i++)
        if (ad__needs(t->in[i])) h.fixed[h.n] = !ad__trial_takes_gradient(t, i), h.xs[h.n++] = t->in[i];
    int rc = ad_vjp(t->y, t->weights, h.n, h.xs, h.dxs);
    if (rc == AD_OK) rc = make_directions(&h);
    for (int d = 0; d < 2 && rc == AD_OK; d++) rc = multiply(&h, d);
    if (rc == AD_OK) rc = compare_symmetry(&h);
    if (rc == AD_OK) rc = compare_without_recording(&h);
    return rc == AD_OK ? compare_differences(&h) : rc;
}
