/* scatter_reduce.c: products and extrema of the elements that share an index, and functions that have sums too. */
#include "ops/shape/index.h"

#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

typedef struct {
    ad__axis_attrs axis;
    int how; /* an ad_scatter */
} scatter_attrs;
static const ad_attr scatter_list[] = { { "axis", AD_ATTR_INT, 0 },
                                        { "how", AD_ATTR_INT, offsetof(scatter_attrs, how) },
                                        { 0 } };
static const ad_attr_values scatter_values[] = { { "how", "sum mean prod amax amin" }, { 0 } };

static ad_scatter_kind how_of(const ad_op *op) {
    return (ad_scatter_kind)((const scatter_attrs *)ad__attrs_of(op))->how;
}

/* ---- prod, amax and amin: x's element and those of src at its index ------------------------------------------- */

/* Scratch has f64 numbers: two for each element of x and one for each of src. */
static int scatter_reduce_shape(ad_call *c) {
    int how = ((const scatter_attrs *)c->attrs)->how, rc = ad__index_per_element(c);
    if (rc == AD_OK && how != AD_SCATTER_PROD && how != AD_SCATTER_AMAX && how != AD_SCATTER_AMIN)
        return ad_call_fail(c, AD_EVALUE, "%d is neither AD_SCATTER_PROD nor AD_SCATTER_AMAX nor AD_SCATTER_AMIN", how);
    c->scratch = (2 * (size_t)c->in[0]->layout->numel + (size_t)c->in[2]->layout->numel) * sizeof(double);
    return rc == AD_OK ? ad__index_reserve(c) : rc;
}

/* The number of the element of x that belongs to element k of src. */
static int64_t place_of(const ad__indexed *x, int64_t k) {
    return (k / (x->k * x->inner) * x->n + x->at[k]) * x->inner + k % x->inner;
}

static double reduced(ad_scatter_kind how, double a, double b) {
    if (how == AD_SCATTER_PROD) return a * b;
    if (a != a || b != b) return a != a ? a : b;
    return (how == AD_SCATTER_AMAX) == (b > a) ? b : a;
}

static int scatter_reduce_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op), *src = op->in[2];
    int rc = ad__index_read(op, true);
    if (rc != AD_OK) return rc;
    ad__indexed x = ad__indexed_of(op, true);
    double *table = ad_scratch(op);
    for (int64_t i = 0; i < y->layout->numel; i++) table[i] = ad__get(op->in[0], i);
    for (int64_t k = 0; k < src->layout->numel; k++) {
        double *to = &table[place_of(&x, k)];
        *to = reduced(how_of(op), *to, ad__get(src, k));
    }
    for (int64_t i = 0; i < y->layout->numel; i++) ad__put(y, i, table[i]);
    return AD_OK;
}

static void add_to(const ad_op *op, void *grad, int64_t i, double d) {
    ad_dtype t = ad__out(op)->layout->dtype;
    if (grad != NULL) ad_write_element(t, grad, i, ad_read_element(t, grad, i) + d);
}

/* The slope of a factor is the product of all others, so that zeros are allowed. */
static void prod_back(const ad_op *op, void *gx, void *gsrc) {
    const ad_var *y = ad__out(op), *src = op->in[2];
    ad__indexed x = ad__indexed_of(op, true);
    int64_t n = y->layout->numel, m = src->layout->numel;
    double *running = ad_scratch(op), *before = running + 2 * n;
    for (int64_t i = 0; i < n; i++) running[i] = ad__get(op->in[0], i);
    for (int64_t k = 0; k < m; k++) {
        double *at = &running[place_of(&x, k)];
        before[k] = *at;
        *at *= ad__get(src, k);
    }
    for (int64_t i = 0; i < n; i++) running[i] = 1;
    for (int64_t k = m - 1; k >= 0; k--) {
        int64_t at = place_of(&x, k);
        add_to(op, gsrc, k, ad_grad_at(y, at) * (before[k] * running[at]));
        running[at] *= ad__get(src, k);
    }
    for (int64_t i = 0; i < n; i++) add_to(op, gx, i, ad_grad_at(y, i) * running[i]);
}

/* A NaN is equal to a NaN. */
static bool is_result(double a, double y) { return a == y || (a != a && y != y); }

/* Elements that equal the result share the gradient. */
static void extremum_back(const ad_op *op, void *gx, void *gsrc) {
    const ad_var *y = ad__out(op), *src = op->in[2];
    ad__indexed x = ad__indexed_of(op, true);
    int64_t n = y->layout->numel, m = src->layout->numel;
    double *count = ad_scratch(op);
    for (int64_t i = 0; i < n; i++) count[i] = is_result(ad__get(op->in[0], i), ad__get(y, i));
    for (int64_t k = 0; k < m; k++) {
        int64_t at = place_of(&x, k);
        count[at] += is_result(ad__get(src, k), ad__get(y, at));
    }
    for (int64_t i = 0; i < n; i++)
        if (is_result(ad__get(op->in[0], i), ad__get(y, i))) add_to(op, gx, i, ad_grad_at(y, i) / count[i]);
    for (int64_t k = 0; k < m; k++) {
        int64_t at = place_of(&x, k);
        if (is_result(ad__get(src, k), ad__get(y, at))) add_to(op, gsrc, k, ad_grad_at(y, at) / count[at]);
    }
}

static void scatter_reduce_backward(const ad_op *op) {
    void *gx = ad_grad_into(op, 0), *gsrc = ad_grad_into(op, 2);
    if (how_of(op) == AD_SCATTER_PROD) prod_back(op, gx, gsrc);
    else extremum_back(op, gx, gsrc);
}

/* ---- the rules in Vars --------------------------------------------------------------------------------------- */

/* x and src as the factors [outer,n,1+k,inner] of a product: those of other places are 1. */
static ad_var *prod_expression(const ad_op *op, ad_var *const in[]) {
    ad__indexed i = ad__indexed_of(op, true);
    ad_var *x = ad__in_dtype(in[0], AD_F64), *src = ad__in_dtype(in[2], AD_F64);
    ad_var *index = ad_detach(ad__in_dtype(in[1], AD_F64)), *zero = ad__constant(index, 0);
    index = ad_where(ad_lt(index, zero), ad_adds(index, (double)i.n), index);
    ad_var *places = ad_reshape(ad_arange(ad__owner(x), AD_F64, 0, (double)i.n, 1), AD_SHAPE(i.n, 1, 1));
    ad_var *here = ad_eq(ad_reshape(index, AD_SHAPE(i.outer, 1, i.k, i.inner)), places);
    ad_var *factors = ad_where(here, ad_reshape(src, AD_SHAPE(i.outer, 1, i.k, i.inner)), ad__constant(src, 1));
    ad_var *both[] = { ad_reshape(x, AD_SHAPE(i.outer, i.n, 1, i.inner)), factors };
    ad_var *y = ad_reshape(ad_prod_axis(ad_concat(2, both, 2), 2, false), op->in[0]->layout->shape);
    return ad__in_dtype(y, op->in[0]->layout->dtype);
}

static void extremum_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    int axis = ad__index_axis(op);
    ad_var *x = op->in[0], *index = op->in[1], *src = op->in[2], *y = ad_detach(ad__out(op));
    ad_var *own = ad_logical_or(ad_eq(x, y), ad_isnan(x));
    ad_var *theirs = ad_logical_or(ad_eq(src, ad_gather(y, axis, index)), ad_isnan(src));
    ad_var *share = ad_div(g, ad_scatter_add(own, axis, index, theirs));
    dx[0] = ad__zero_where(ad_logical_not(own), share);
    dx[2] = ad__zero_where(ad_logical_not(theirs), ad_gather(share, axis, index));
}

static void scatter_reduce_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    if (how_of(op) == AD_SCATTER_PROD) ad__vjp_of_expression(op, g, dx, prod_expression);
    else extremum_vjp(op, g, dx);
}

#define EXTREMUM(KEEPS) "y[at] = y[at] != y[at] || src[here] " KEEPS " y[at] ? y[at] : src[here]"
AD_COLD static int scatter_reduce_emit(ad_emit *e, const ad_op *op) {
    const int how = how_of(op);
    const char *product = AD__FOR_ELEMENTS("y[at] *= src[here]", AD__BAD_PUT);
    const char *largest = AD__FOR_ELEMENTS(EXTREMUM("<="), AD__BAD_PUT);
    const char *smallest = AD__FOR_ELEMENTS(EXTREMUM(">="), AD__BAD_PUT);
    const char *text = how == AD_SCATTER_PROD ? product : how == AD_SCATTER_AMAX ? largest : smallest;
    return ad__index_put_emit(e, op, true, text, NULL);
}

static void scatter_reduce_samples(ad_sampler *s) {
    const double zeros[] = { 2, 0, 0, -1, 0.5, 3 }, factors[] = { 3, 0, 2, 0, 0, -1, 1.5, 2, 0, 1, 3, -2 };
    const double ties[] = { 1, 1, -2, NAN, 0, 2 }, more[] = { 1, 3, -2, 3, -2, 0.5, NAN, 1, -2, -2, NAN, 0 };
    const double *random[] = { NULL, ad__index_numbers, NULL }, *edges[] = { zeros, ad__index_numbers, factors };
    const double *equal[] = { ties, ad__index_numbers, more };
    ad_shape shapes[3];
    AD__SHAPES(shapes, "3,2 6,2 6,2");
    for (const ad__index_case *k = ad__index_cases; k < ad__index_cases + AD__INDEX_CASES; k++)
        for (int how = AD_SCATTER_PROD; how <= AD_SCATTER_AMIN; how++)
            ad_sample_values(s, &(scatter_attrs){ { k->axis, false }, how }, 3,
                             (ad_shape[]){ k->x, k->index, k->index }, random, 0);
    ad_sample_values(s, &(scatter_attrs){ { 0, false }, AD_SCATTER_PROD }, 3, shapes, edges, 0);
    for (int how = AD_SCATTER_AMAX; how <= AD_SCATTER_AMIN; how++)
        ad_sample_values(s, &(scatter_attrs){ { 0, false }, how }, 3, shapes, equal, AD_SAMPLE_KINK);
}

static void scatter_reduce_pattern(ad_pattern *p, const ad_op *op) { ad__index_pattern(p, op, true, false); }

AD_OPTYPE(
    scatter_reduce,
    .doc = "the product, largest or smallest of an element of x and those elements of src that have its index along "
           "the axis; ad_scatter_reduce has sums, means and reductions without x's element too",
    .formula = "y[i] = x[i] times, or max or min with, all src[j] with index[j] = i",
    .gradient = "prod: g times the product of all others; amax, amin: g to the elements that equal y, in equal parts",
    .special = AD__INDEX_SPECIAL "; a NaN counts as the largest and as the smallest, and NaNs share the gradient; "
                                 "the vjp rule of a product takes memory for x and src times the length of the axis",
    .differs = "the slope of an infinite or NaN factor is the product of the others, and NaNs share the gradient "
                     "of an extremum; PyTorch's slopes are NaN", .flags = AD_OP_MIXED,
    .arity = 3, .no_grad = AD_NO_GRAD(1), .attr_size = sizeof(scatter_attrs), .attrs = scatter_list,
    .values = scatter_values, .shape = scatter_reduce_shape,
    .evaluate = { scatter_reduce_evaluate, scatter_reduce_evaluate },
    .backward = { scatter_reduce_backward, scatter_reduce_backward }, .vjp = scatter_reduce_vjp,
    .pattern = scatter_reduce_pattern, .emit = scatter_reduce_emit);

/* ---- functions ------------------------------------------------------------------------------------------------- */

/* x with those elements replaced that some index names. */
static ad_var *replace_hit(ad_var *x, int axis, ad_var *index, double value) {
    ad_var *ones = ad_ones(ad__owner(x), x->layout->dtype, index->layout->shape);
    ad_var *hit = ad_scatter(ad_zeros(ad__owner(x), x->layout->dtype, x->layout->shape), axis, index, ones);
    return ad_masked_fill(x, hit, value);
}

/* How many elements each element of a mean has: 1 for x's own, and 1 for each index. */
static ad_var *count_hits(ad_var *x, int axis, ad_var *index, bool include_self) {
    ad_var *own = ad_ones(ad__owner(x), x->layout->dtype, x->layout->shape);
    if (!include_self) own = replace_hit(own, axis, index, 0);
    return ad_scatter_add(own, axis, index, ad_ones(ad__owner(x), x->layout->dtype, index->layout->shape));
}

ad_var *ad_scatter_reduce(ad_var *x, int axis, ad_var *index, ad_var *src, ad_scatter_kind how, bool include_self) {
    ad_var *nil = ad__absent_result("scatter_reduce", 3, (ad_var *[]){ x, index, src });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("scatter_reduce", x);
    const double neutral[] = { 0, 0, 1, -INFINITY, INFINITY };
    if (how < AD_SCATTER_SUM || how > AD_SCATTER_AMIN) {
        ad_call_fail(&c, AD_EVALUE, "%d is no reduction; see ad_scatter_kind", (int)how);
        return ad_nil(c.graph);
    }
    ad_var *from = include_self ? x : replace_hit(x, axis, index, neutral[how]);
    if (how > AD_SCATTER_MEAN)
        return ad__index_write(&ad_op_scatter_reduce, from, index, src, &(scatter_attrs){ { axis, false }, (int)how });
    ad_var *sum = ad_scatter_add(from, axis, index, src);
    return how == AD_SCATTER_SUM ? sum : ad_div(sum, count_hits(x, axis, index, include_self));
}

/* index [k] and src, which has x's sizes but k along the axis */
ad_var *ad_index_reduce(ad_var *x, int axis, ad_var *index, ad_var *src, ad_scatter_kind how, bool include_self) {
    ad_var *nil = ad__absent_result("index_reduce", 3, (ad_var *[]){ x, index, src });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("index_reduce", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    ad_shape whole = c.shape, along = { .ndim = c.shape.ndim - at, .dim = { index->layout->numel, 1, 1, 1, 1, 1 } };
    whole.dim[at] = index->layout->numel;
    if (ad_shape_equal(whole, src->layout->shape))
        return ad_scatter_reduce(x, at, ad_expand(ad_reshape(index, along), whole), src, how, include_self);
    ad_call_fail(&c, AD_ESHAPE, "src must be %s, one row for each index", ad_shape_str(whole).text);
    return ad_nil(c.graph);
}
