/* put.c: index_copy and scatter, which replace elements by index, and index_fill, put_flat, by these. */
#include "ops/shape/index.h"

#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <string.h>

static bool has_each(const ad_op *op) { return op->type == &ad_op_scatter; }

/* ---- both ops: of several elements for one place the last one stays ------------------------------------------- */

static int put_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    int rc = ad__index_read(op, has_each(op));
    if (rc != AD_OK || y->layout->numel == 0) return rc;
    ad__indexed x = ad__indexed_of(op, has_each(op));
    memcpy(y->data, op->in[0]->data, ad__bytes(y));
    AD__BY_DTYPE(y->layout->dtype, ad__indexed_put, &x, op->in[2]->data, y->data);
    return AD_OK;
}

/* A place's gradient goes to the last element that was written there; only the rest belongs to x. */
static void put_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    if (y->layout->numel == 0) return;
    ad__indexed x = ad__indexed_of(op, has_each(op));
    void *rest = memcpy(ad_scratch(op), y->grad, ad__bytes(y)), *gsrc = ad_grad_into(op, 2);
    AD__BY_DTYPE(y->layout->dtype, ad__indexed_take_clear, &x, rest, gsrc);
    ad__add_gradient(op, 0, rest);
}

/* A constant of src's shape: 1 where an element of src was replaced by a later one. */
static ad_var *replaced(const ad_op *op) {
    const ad__layout *x = op->in[0]->layout, *src = op->in[2]->layout;
    ad_var *number = ad_reshape(ad_arange(x->graph, AD_F64, 0, (double)src->numel, 1), src->shape);
    ad_var *table[] = { ad_zeros(x->graph, AD_F64, x->shape), op->in[1], number };
    ad_var *last[] = { ad_apply(op->type, 3, table, ad__attrs_of(op)), op->in[1] };
    return ad_ne(ad_apply(has_each(op) ? &ad_op_gather : &ad_op_take_axis, 2, last, ad__attrs_of(op)), number);
}

static void put_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const ad__layout *src = op->in[2]->layout;
    ad_var *in[] = { g, op->in[1], ad_zeros(src->graph, src->dtype, src->shape) };
    dx[0] = ad_apply(op->type, 3, in, ad__attrs_of(op));
    if (!ad_vjp_wants(op, 2)) return;
    ad_var *taken = ad_apply(has_each(op) ? &ad_op_gather : &ad_op_take_axis, 2, in, ad__attrs_of(op));
    dx[2] = ad__zero_where(ad__in_dtype(replaced(op), src->dtype), taken);
}

AD_COLD static int put_emit(ad_emit *e, const ad_op *op) {
    const char *rows = AD__FOR_ROWS("y[at] = src[here]", AD__BAD_PUT);
    const char *elements = AD__FOR_ELEMENTS("y[at] = src[here]", AD__BAD_PUT);
    return ad__index_put_emit(e, op, has_each(op), has_each(op) ? elements : rows, NULL);
}

static void put_pattern(ad_pattern *p, const ad_op *op) { ad__index_pattern(p, op, has_each(op), true); }

#define PUT                                                                                                            \
    .special = AD__INDEX_SPECIAL "; of several elements for one place the last one stays, and has the gradient",       \
    .differs = "an element that a later one replaces has the slope 0; PyTorch gives it the slope of the place",        \
    .flags = AD_OP_MIXED, .arity = 3, .no_grad = AD_NO_GRAD(1), .attr_size = sizeof(ad__axis_attrs),                   \
    .attrs = ad__axis_list, .evaluate = { put_evaluate, put_evaluate }, .backward = { put_backward, put_backward },    \
    .vjp = put_vjp, .pattern = put_pattern, .emit = put_emit

/* ---- index_copy: replaces rows --------------------------------------------------------------------------------- */

static int index_copy_shape(ad_call *c) {
    ad_shape src;
    int rc = ad__index_inserted(c, &src);
    if (rc == AD_OK) rc = ad__index_reserve(c);
    c->scratch = (size_t)c->in[0]->layout->numel * ad_dtype_size(c->dtype);
    if (rc != AD_OK || ad_shape_equal(src, c->in[2]->layout->shape)) return rc;
    return ad_call_fail(c, AD_ESHAPE, "src must be %s, one row for each index", ad_shape_str(src).text);
}

static void index_copy_samples(ad_sampler *s) {
    const double once[] = { 2, 0, -2 }, *values[] = { NULL, once, NULL }, *more[] = { NULL, ad__index_numbers, NULL };
    const struct {
        int axis;
        ad_shape shapes[3];
        bool repeated;
    } cases[] = {
        { 0, { AD_SHAPE(3, 2), AD_SHAPE(2), AD_SHAPE(2, 2) }, false },
        { -1, { AD_SHAPE(2, 3), AD_SHAPE(3), AD_SHAPE(2, 3) }, false },
        { 1, { AD_SHAPE(2, 3, 2), AD_SHAPE(2), AD_SHAPE(2, 2, 2) }, false },
        { 0, { AD_SHAPE(3), AD_SCALAR, AD_SCALAR }, false },
        { 0, { AD_SHAPE(3, 2), AD_SHAPE(0), AD_SHAPE(0, 2) }, false },
        { 0, { AD_SHAPE(3, 0), AD_SHAPE(2), AD_SHAPE(2, 0) }, false },
        { 0, { AD_SHAPE(3, 2), AD_SHAPE(5), AD_SHAPE(5, 2) }, true },
        { 1, { AD_SHAPE(2, 3), AD_SHAPE(2, 2), AD_SHAPE(2, 2, 2) }, true },
    };
    for (int i = 0; i < AD__COUNT(cases); i++)
        ad_sample_values(s, &(ad__axis_attrs){ cases[i].axis, false }, 3, cases[i].shapes,
                         cases[i].repeated ? more : values, 0);
}

AD_OPTYPE(index_copy, .doc = "x with the rows of an axis at the given indices replaced by the rows of src",
          .formula = "x, but y[a, index[i..], b] = src[a, i.., b]",
          .gradient = "dx = g, 0 at the indices; dsrc[a, i.., b] = g[a, index[i..], b]", .shape = index_copy_shape,
          PUT);
ad_var *ad_index_copy(ad_var *x, int axis, ad_var *index, ad_var *src) {
    return ad_apply(&ad_op_index_copy, 3, (ad_var *[]){ x, index, src }, &(ad__axis_attrs){ axis, false });
}

/* ---- scatter: replaces elements ------------------------------------------------------------------------------- */

static int scatter_shape(ad_call *c) {
    int rc = ad__index_per_element(c);
    c->scratch = (size_t)c->in[0]->layout->numel * ad_dtype_size(c->dtype);
    return rc == AD_OK ? ad__index_reserve(c) : rc;
}

static void scatter_samples(ad_sampler *s) {
    const double once[] = { 2, 0, 1, 0, 1, 2, 1, -1, 0, -1, 0, -2 };
    const double *values[] = { NULL, once, NULL }, *more[] = { NULL, ad__index_numbers, NULL };
    const ad_shape square = AD_SHAPE(2, 3), tall = AD_SHAPE(3, 4);
    ad_sample_values(s, &(ad__axis_attrs){ -1, false }, 3, (ad_shape[]){ square, square, square }, values, 0);
    ad_sample_values(s, &(ad__axis_attrs){ 0, false }, 3, (ad_shape[]){ tall, AD_SHAPE(1, 4), AD_SHAPE(1, 4) }, values,
                     0);
    const ad__index_case *k = ad__index_cases;
    for (; k < ad__index_cases + AD__INDEX_CASES; k++)
        ad_sample_values(s, &(ad__axis_attrs){ k->axis, false }, 3, (ad_shape[]){ k->x, k->index, k->index }, more, 0);
}

AD_OPTYPE(scatter, .doc = "x with the element at each index along the axis replaced by the element of src",
          .formula = "x, but y[a, index[a, i, b], b] = src[a, i, b]",
          .gradient = "dx = g, 0 at the indices; dsrc[a, i, b] = g[a, index[a, i, b], b]", .shape = scatter_shape, PUT);
ad_var *ad_scatter(ad_var *x, int axis, ad_var *index, ad_var *src) {
    return ad__index_write(&ad_op_scatter, x, index, src, &(ad__axis_attrs){ axis, false });
}

/* ---- functions ------------------------------------------------------------------------------------------------ */

ad_var *ad_index_fill(ad_var *x, int axis, ad_var *index, double value) {
    ad_var *nil = ad__absent_result("index_fill", 2, (ad_var *[]){ x, index });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("index_fill", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    ad_shape along = { .ndim = c.shape.ndim - at, .dim = { c.shape.dim[at], 1, 1, 1, 1, 1 } };
    ad_var *none = ad_zeros(c.graph, c.dtype, AD_SHAPE(along.dim[0]));
    ad_var *mask = ad_index_copy(none, 0, index, ad_ones(c.graph, c.dtype, index->layout->shape));
    return ad_masked_fill(x, ad_reshape(mask, along), value);
}

ad_var *ad_put_flat(ad_var *x, ad_var *index, ad_var *src, bool accumulate) {
    ad_var *nil = ad__absent_result("put_flat", 3, (ad_var *[]){ x, index, src });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("put_flat", x);
    if (!ad_shape_equal(index->layout->shape, src->layout->shape)) {
        ad_call_fail(&c, AD_ESHAPE, "src must have the shape of index");
        return ad_nil(c.graph);
    }
    ad_var *flat = ad_reshape(x, AD_SHAPE(-1));
    flat = accumulate ? ad_index_add(flat, 0, index, src) : ad_index_copy(flat, 0, index, src);
    return ad_reshape(flat, c.shape);
}
