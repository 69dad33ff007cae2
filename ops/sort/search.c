/* search.c: searchsorted, the places of values in sorted rows. */
#include "ops/base/samples.h"
#include "ops/compile.h"
#include "ops/kernels/sort/order.h"
#include "ops/ops.h"
#include "ops/sort/sort.h"

#include <math.h>

typedef struct {
    bool right;
} search_attrs;
static const ad_attr search_list[] = { { "right", AD_ATTR_BOOL, offsetof(search_attrs, right) }, { 0 } };

/* sorted [n] and values of any shape, or sorted [..,n] and values [..,m] */
static int searchsorted_shape(ad_call *c) {
    ad_shape sorted = c->in[0]->layout->shape, values = c->in[1]->layout->shape;
    int axis = ad__order_axis(c, -1);
    if (axis < 0) return axis;
    bool fits = axis == 0 || values.ndim == sorted.ndim;
    for (int i = 0; i < axis && fits; i++) fits = sorted.dim[i] == values.dim[i];
    if (!fits)
        return ad_call_fail(c, AD_ESHAPE, "sorted must be [n], or have values' sizes except along the last axis");
    c->shape = values;
    return AD_OK;
}

/* The number of values that are searched for in each row of sorted elements. */
static int64_t values_per_row(const ad_op *op) {
    ad_shape sorted = op->in[0]->layout->shape, values = op->in[1]->layout->shape;
    return sorted.ndim == 1 ? op->in[1]->layout->numel : values.dim[values.ndim - 1];
}

static void search_chunk(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    const ad_op *op = context;
    const ad_var *sorted = op->in[0], *values = op->in[1], *y = ad__out(op);
    ad_shape s = sorted->layout->shape;
    AD__BY_DTYPE(y->layout->dtype, ad__sorted_places, s.dim[s.ndim - 1],
                 ((const search_attrs *)ad__attrs_of(op))->right, sorted->data, values_per_row(op), from, to,
                 values->data, y->data);
}

static int searchsorted_evaluate(const ad_op *op) {
    const int64_t steps = 32; /* the cost of one search, in additions */
    ad_parallel(ad__op_team(op), ad__out(op)->layout->numel, 0, steps, search_chunk, (void *)op);
    return AD_OK;
}

AD_COLD static int searchsorted_emit(ad_emit *e, const ad_op *op) {
    const ad__layout *l = ad__out(op)->layout, *sorted = op->in[0]->layout;
    if (l->numel == 0 || sorted->numel == 0) return AD_EABSENT;
    ad_emit_code c = { .sizes = "n m total right", .n_sizes = 4, .names = "sorted v", .n = 2,
                       .size = { sorted->shape.dim[sorted->shape.ndim - 1], values_per_row(op), l->numel,
                                 ((const search_attrs *)ad__attrs_of(op))->right } };
    for (int i = 0; i < 2; i++) c.in[i] = ad_emit_operand(e, op, i);
    c.text = "{\nfor (long i = 0; i < total; i++) {\nlong lo = 0, hi = n;\nwhile (lo < hi) {\n"
             "const long mid = lo + (hi - lo) / 2, k = i / m * n + mid;\n"
             "if (right ? !(sorted[k] > v[i]) : !(sorted[k] >= v[i])) lo = mid + 1;\nelse hi = mid;\n}\n"
             "y[i] = (T)lo;\n}\n}";
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

static void searchsorted_samples(ad_sampler *s) {
    const double sorted[] = { -INFINITY, -1, 0, 2, 2, 2, 3, INFINITY, -2, 0.5, 1, 3, 4, 5, 6, NAN };
    const double values[] = { 2, -3, 0, 7, NAN, 3, -0.0, INFINITY, -INFINITY, 2.5, 5, 0.5 };
    const double *both[] = { sorted, values };
    ad_shape shapes[8][2];
    AD__SHAPES(shapes, "8 12; 2,8 2,5; 7 (); 8 3,4; 1 3; 0 3; 8 0; 2,2,4 2,2,3");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int right = 0; right < 2; right++) ad_sample_values(s, &(search_attrs){ right }, 2, shapes[i], both, 0);
}

AD_OPTYPE(searchsorted, .doc = "the places at which values keep the rows of the last axis sorted",
          .formula = "the number of sorted elements < values, or <= values if right",
          .special = "a NaN among values stands behind all elements", .arity = 2, .flags = AD_OP_CONSTANT,
          .attr_size = sizeof(search_attrs), .attrs = search_list, .shape = searchsorted_shape,
          .evaluate = { searchsorted_evaluate, searchsorted_evaluate }, .emit = searchsorted_emit);
ad_var *ad_searchsorted(ad_var *sorted, ad_var *values, bool right) {
    return ad__apply2(&ad_op_searchsorted, sorted, values, &(search_attrs){ right });
}
