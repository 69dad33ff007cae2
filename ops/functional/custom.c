/* custom.c: ad_custom, a Var with a gradient rule that the caller gives. Its operands are y and the xs. Its result is a
   view of y. */
#include "autodiff/graph/walk.h"
#include "autodiff/pass/inner.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <string.h>

typedef struct {
    ad_custom_fn *rule;
    void *user;
} custom_attrs;

static int custom_shape(ad_call *c) { return (void)c, AD_OK; }

/* Checks what the rule gave for xs[i]. NULL stands for zero. */
static int check_custom(const ad_op *op, int i, const ad_var *d) {
    const ad_var *x = op->in[i + 1];
    ad_graph *g = ad__owner(x);
    if (d == NULL || g->code != AD_OK) return g->code;
    if (ad__absent(d))
        return ad_fail(g, AD_EVALUE, "custom: the rule gave nil for xs[%d]; leave NULL where the gradient is zero", i);
    if (ad__owner(d) != g)
        return ad_fail(g, AD_EGRAPH,
                       "custom: the rule gave a Var of another graph for xs[%d]; make it from the xs, y and g "
                       "that the rule gets",
                       i);
    if (ad__check_open(d, "custom: the rule")) return g->code;
    bool same_dtype = d->layout->dtype == x->layout->dtype;
    if (same_dtype && ad_shape_equal(d->layout->shape, x->layout->shape)) return AD_OK;
    return ad_fail(
        g, same_dtype ? AD_ESHAPE : AD_EDTYPE,
        "custom: the rule gave %s %s for xs[%d], which is %s %s; a gradient has the dtype and shape of its Var: "
        "%s",
        ad_dtype_name(d->layout->dtype), ad_shape_str(d->layout->shape).text, i, ad_dtype_name(x->layout->dtype),
        ad_shape_str(x->layout->shape).text, same_dtype ? "see ad_sum_to and ad_expand" : "see ad_cast");
}

static int check_all(const ad_op *op, ad_var *const dxs[]) {
    int rc = ad__owner(ad__out(op))->code;
    for (int i = 0; i < op->n_in - 1 && rc == AD_OK; i++) rc = check_custom(op, i, dxs[i]);
    return rc;
}

/* Runs the rule within a backward pass. It may begin passes of its own. */
static void run_rule(const ad_op *op, int n, ad_var *const xs[], ad_var *y, ad_var *cotangent, ad_var *dxs[]) {
    const custom_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(y);
    ad__rule rule = { .outer = g->rule, .op = op, .floor = g->n_ops };
    g->rule = &rule;
    a->rule(n, xs, y, cotangent, dxs, a->user);
    g->rule = rule.outer;
    ad__walk_unpark(&rule);
}

static void custom_backward(const ad_op *op) {
    ad_var *out = ad__out(op);
    ad_graph *g = ad__owner(out);
    int n = op->n_in - 1;
    ad__inner_pass in = ad__inner_begin(g);
    ad_var **xs = ad__inner_vars(g, 2 * n);
    for (int i = 0; i < n && xs != NULL; i++) xs[i] = ad__stand_in(op->in[i + 1], false);
    ad_var *y = ad__stand_in(out, false), *cotangent = ad_input(g, out->layout->dtype, out->grad, out->layout->shape);
    if (g->code == AD_OK) run_rule(op, n, xs, y, cotangent, xs + n);
    bool right = g->code == AD_OK && check_all(op, xs + n) == AD_OK;
    for (int i = 0; i < n && right; i++)
        if (xs[n + i] != NULL) ad__add_gradient(op, i + 1, xs[n + i]->data);
    ad__inner_end(g, &in);
}

static void custom_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const custom_attrs *a = ad__attrs_of(op);
    a->rule(op->n_in - 1, op->in + 1, ad__out(op), g, dx + 1, a->user);
    check_all(op, dx + 1);
}

static const ad_optype custom_type = { .name = "custom",
                                       .doc = "a view of y with a gradient rule that the caller gives",
                                       .arity = -1,
                                       .flags = AD_OP_VIEW | AD_OP_MIXED,
                                       .no_grad = AD_NO_GRAD(0),
                                       .attr_size = sizeof(custom_attrs),
                                       .shape = custom_shape,
                                       .backward = { custom_backward, custom_backward },
                                       .vjp = custom_vjp };

ad_var *ad_custom(ad_var *y, int n, ad_var *const xs[], ad_custom_fn *rule, void *user) {
    ad_graph *g = ad__owner_of_all(n, xs, "custom");
    if (g == NULL && (g = ad_graph_of(y)) != NULL) ad_fail(g, AD_EVALUE, "custom: there are no xs, or xs[0] is NULL");
    if (g == NULL || g->code != AD_OK) return ad_nil(g);
    if (rule == NULL || y == NULL) return ad_fail(g, AD_EVALUE, "custom: y or the rule is NULL"), ad_nil(g);
    size_t bytes = (size_t)(n + 1) * sizeof(ad_var *);
    ad_var **in = ad__pool_take(&g->pool, bytes);
    if (in == NULL) return ad_no_memory(g, "an op", bytes), ad_nil(g);
    in[0] = y;
    memcpy(in + 1, xs, (size_t)n * sizeof *xs);
    ad_var *result = ad_apply(&custom_type, n + 1, in, &(custom_attrs){ rule, user });
    ad__pool_give(&g->pool, in, bytes);
    return result;
}
