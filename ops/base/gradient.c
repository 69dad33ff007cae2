/* gradient.c: functions that the derivative rules of ops share. */
#include "ops/base/gradient.h"

#include "autodiff/pass/pass.h"
#include "ops/kernels/base/vector.h"
#include "ops/ops.h"

#include <string.h>

void ad__add_gradient(const ad_op *op, int i, const void *g) {
    bool fresh;
    void *to = ad_grad_claim(op, i, &fresh);
    if (to == NULL || (fresh && to == g)) return; /* the gradient uses the memory of g */
    if (fresh) memcpy(to, g, ad__bytes(op->in[i]));
    else AD__BY_DTYPE(op->in[i]->layout->dtype, ad__array_add, op->in[i]->layout->numel, g, to);
}

void ad__add_sums(const ad_op *op, int i, const double *sums) {
    const ad__layout *l = op->in[i]->layout;
    void *to = ad_grad_into(op, i);
    if (to == NULL) return;
    if (l->dtype == AD_F32) ad__to_f32_add(l->numel, sums, to);
    else ad__array_add_f64(l->numel, sums, to);
}

void *ad__product_grad(const ad_op *op, int i, double *beta) {
    bool fresh = false;
    void *to = ad_grad_claim(op, i, &fresh);
    *beta = fresh ? 0 : 1;
    return to;
}

ad_var *ad__constant(const ad_var *x, double value) { return ad_scalar(ad__owner(x), x->layout->dtype, value); }

ad_var *ad__zero_where(ad_var *condition, ad_var *g) { return ad_where(condition, ad__constant(g, 0), g); }

ad_var *ad__times_sign(ad_var *g, ad_var *x) {
    ad_var *zero = ad__constant(x, 0);
    return ad_where(ad_gt(x, zero), g, ad_where(ad_lt(x, zero), ad_neg(g), ad_muls(x, 0)));
}

ad_var *ad__in_dtype(ad_var *x, ad_dtype t) { return x->layout->dtype == t ? x : ad_cast(x, t); }

/* The expression is built on views of the operands, so that the pass ends at the views. */
void ad__vjp_of_expression(const ad_op *op, ad_var *cotangent, ad_var *dx[], ad__expression_fn *build) {
    ad_graph *g = ad__owner(cotangent);
    ad_var **in = ad_scope_alloc(g, (size_t)op->n_in * sizeof *in);
    for (int i = 0; in != NULL && i < op->n_in; i++) in[i] = ad_reshape(op->in[i], op->in[i]->layout->shape);
    uint32_t before = g->n_ops;
    ad_var *y = g->code == AD_OK ? build(op, in) : NULL;
    if (g->code == AD_OK) ad__vjp_of(1, &y, &cotangent, op->n_in, in, dx, before);
}
