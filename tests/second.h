/* second.h: checks the second derivatives of an op: its differentiated vjp rule against finite differences. */
#ifndef TESTS_SECOND_H
#define TESTS_SECOND_H

#include "tests/common.h"

typedef struct {
    const ad_optype *type;
    const void *attrs;
} applied;

/* A weighted sum of the gradients of all operands, as a function of the operands. */
static inline ad_var *first_derivatives(int n, ad_var *const xs[], void *user) {
    const applied *a = user;
    ad_var *y = ad_apply(a->type, n, xs, a->attrs), *dxs[4], *sum = NULL;
    ad_graph *g = ad_graph_of(y);
    ad_var *row = ad_arange(g, AD_F64, 0, (double)ad_numel(y), 1);
    ad_var *weights = ad_adds(ad_muls(ad_reshape(row, ad_shape_of(y)), 0.1), 1);
    ad_vjp(y, weights, n, xs, dxs);
    for (int i = 0; i < n; i++) {
        if (a->type->no_grad >> i & 1) continue;
        ad_var *part = ad_sum(ad_mul(dxs[i], ad_adds(xs[i], 3)));
        sum = sum ? ad_add(sum, part) : part;
    }
    return sum;
}

static inline int check_second(const ad_sample_case *c, void *data) {
    ad_graph *g = data;
    int64_t largest = 0;
    for (int i = 0; i < c->n; i++) {
        int64_t n = ad_shape_numel(c->shapes[i]);
        largest = n > largest ? n : largest;
    }
    if (c->flags & AD_SAMPLE_KINK || largest == 0 || largest > 8) return AD_OK;
    ad_var *xs[4];
    for (int i = 0; i < c->n; i++)
        xs[i] = c->type->no_grad >> i & 1 ? ad_tensor(g, AD_F64, c->values[i], c->shapes[i])
                                          : ad_param(g, AD_F64, c->values[i], c->shapes[i]);
    applied a = { c->type, c->attrs };
    ad_check_report report;
    if (ad_gradcheck(first_derivatives, &a, c->n, xs, NULL, &report)) fail_msg("%s: %s", c->type->name, report.message);
    return AD_OK;
}

/* Checks all samples of the op that are smooth and small. */
static inline void check_second_derivatives(const char *name) {
    ad_graph *g = ad_graph_new();
    assert_int_equal(ad_each_sample(g, ad_find_op(g, name), check_second, g), AD_OK);
    assert_ok(g);
    ad_graph_free(g);
}

#endif
