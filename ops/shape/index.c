/* index.c: take_axis and gather, which read by index, index_add and scatter_add, which add by index, and one_hot. */
#include "ops/shape/index.h"

#include "autodiff/extend.h"
#include "ops/base/columns.h"
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers: a table, indices into one of its axes, and an array with one position per index --------------- */

int ad__index_axis(const ad_op *op) { return ((const ad__axis_attrs *)ad__attrs_of(op))->axis; }

/* gather and scatter_add have one index per element; the others have one per row along the axis. */
static bool has_each(const ad_op *op) { return op->type == &ad_op_gather || op->type == &ad_op_scatter_add; }

ad__indexed ad__indexed_of(const ad_op *op, bool each) {
    const ad__layout *index = op->in[1]->layout;
    ad__around table = ad__around_axis(op->in[0]->layout->shape, ad__index_axis(op));
    int64_t k = each ? ad__around_axis(index->shape, ad__index_axis(op)).n : index->numel;
    return (ad__indexed){ table.outer, table.n, k, table.inner, each, ad_saved(op), table.inner };
}
static ad__indexed indexed_of(const ad_op *op) { return ad__indexed_of(op, has_each(op)); }

int ad__index_reserve(ad_call *c) {
    c->saved = (size_t)c->in[1]->layout->numel * sizeof(int64_t) + 1;
    if (c->n < 3 || c->in[2]->layout->dtype == c->dtype) return AD_OK;
    return ad_call_fail(c, AD_EDTYPE, "x is %s and src is %s; convert one with ad_cast", ad_dtype_name(c->dtype),
                        ad_dtype_name(c->in[2]->layout->dtype));
}

/* The indices are saved for backward. For f32, sums are f64 if the array has at least as many elements as the table.
   A larger table is added to in f32, so that the cost does not depend on its size. */
static int reserve(ad_call *c, int64_t array_numel) {
    int64_t table = c->in[0]->layout->numel;
    if (c->dtype == AD_F32 && array_numel >= table) c->scratch = (size_t)table * sizeof(double);
    return ad__index_reserve(c);
}

static int bad_index(const ad_op *op, int64_t at, int64_t n) {
    const ad_var *index = op->in[1];
    const double i = ad_at(index, at), exact = 0x1p24;
    if (n == 0) return ad_op_fail(op, AD_EVALUE, "index %g at element %lld, but the axis is empty", i, (long long)at);
    if (index->layout->dtype == AD_F32 && fabs(i) >= exact && fabs(i) <= (double)n)
        return ad_op_fail(op, AD_EVALUE,
                          "index %.0f at element %lld: f32 does not hold every integer from 2^24 on; give the indices "
                          "as AD_F64",
                          i, (long long)at);
    return ad_op_fail(op, AD_EVALUE, "index %g at element %lld is not one of %lld..%lld", i, (long long)at,
                      (long long)-n, (long long)n - 1);
}

int ad__index_read(const ad_op *op, bool each) {
    const ad_var *index = op->in[1];
    int64_t n = index->layout->numel, below = ad__indexed_of(op, each).n;
    int64_t good = AD__BY_DTYPE(index->layout->dtype, ad__read_indices, n, index->data, below, ad_saved(op));
    return good == n ? AD_OK : bad_index(op, good, below);
}
static int read_numbers(const ad_op *op) { return ad__index_read(op, has_each(op)); }

/* ---- loops that threads share ------------------------------------------------------------------------------------ */

/* What is done to array and table, as the kernels of index.h say. */
typedef enum { TAKES, TAKES_ADD, PUTS_ADD, PUTS_SUM } way;
typedef struct {
    ad__indexed x;
    ad_dtype t;
    way way;
    char *array, *table;
} job;

static char *behind(char *array, int64_t elements, size_t size) { return array + (size_t)elements * size; }
/* The size of an element of the table, which has sums in f64. */
static size_t table_size(const job *j) { return j->way == PUTS_SUM ? sizeof(double) : ad_dtype_size(j->t); }

static void run(const job *j) {
    void *array = j->array, *table = j->table;
    if (j->way == TAKES) AD__BY_DTYPE(j->t, ad__indexed_take, &j->x, table, array);
    else if (j->way == TAKES_ADD) AD__BY_DTYPE(j->t, ad__indexed_take_add, &j->x, table, array);
    else if (j->way == PUTS_ADD) AD__BY_DTYPE(j->t, ad__indexed_put_add, &j->x, array, table);
    else AD__BY_DTYPE(j->t, ad__indexed_put_sum, &j->x, array, table);
}

static void run_outer(void *context, int worker, int64_t from, int64_t to) {
    job j = *(const job *)context;
    (void)worker;
    j.x.outer = to - from;
    if (j.x.each) j.x.at += from * j.x.k * j.x.inner;
    j.array = behind(j.array, from * j.x.k * j.x.inner, ad_dtype_size(j.t));
    j.table = behind(j.table, from * j.x.n * j.x.inner, table_size(&j));
    run(&j);
}

static void run_rows(void *context, int worker, int64_t from, int64_t to) {
    job j = *(const job *)context;
    (void)worker;
    j.x.k = to - from, j.x.at += from * (j.x.each ? j.x.inner : 1);
    j.array = behind(j.array, from * j.x.inner, ad_dtype_size(j.t));
    run(&j);
}

static void run_columns(void *context, int worker, int64_t from, int64_t to) {
    job j = *(const job *)context;
    (void)worker;
    j.x.width = to - from;
    j.array = behind(j.array, from, ad_dtype_size(j.t)), j.table = behind(j.table, from, table_size(&j));
    run(&j);
}

/* Rows that are put may go to one place, so threads share the columns of the table. */
static void share(const ad_op *op, way w, void *array, void *table) {
    enum { COST = 2, LINE = 32 };
    job j = { indexed_of(op), ad__out(op)->layout->dtype, w, array, table };
    bool reads = w == TAKES || w == TAKES_ADD;
    if (j.x.k * j.x.inner == 0) return;
    if (j.x.outer > 1) ad_parallel(ad__op_team(op), j.x.outer, 0, COST * j.x.k * j.x.inner, run_outer, &j);
    else if (reads) ad_parallel(ad__op_team(op), j.x.k, 0, COST * j.x.inner, run_rows, &j);
    else if (!j.x.each) ad__by_columns(op, j.x.inner, LINE, COST * j.x.k, run_columns, &j);
    else run(&j);
}

static void put(const ad_op *op, const void *array, int64_t array_numel, void *table) {
    ad_dtype t = ad__out(op)->layout->dtype;
    int64_t n = op->in[0]->layout->numel;
    if (n == 0) return;
    if (t == AD_F64 || array_numel < n) {
        share(op, PUTS_ADD, (void *)array, table);
        return;
    }
    double *sums = memset(ad_scratch(op), 0, (size_t)n * sizeof *sums);
    share(op, PUTS_SUM, (void *)array, sums);
    ad__to_f32_add(n, sums, table);
}

/* ---- forms in C: an index that evaluate refuses gives NaN -------------------------------------------------------- */

#define TAKE "y[here] = x[at]", "else y[here] = (T)(0.0 / 0.0);\n"
#define TAKE_SLOPE "d[at] += g[here]", ""
#define PUT_ADD "y[at] += src[here]", AD__BAD_PUT
#define PUT_ADD_SLOPE "d[here] += g[at]", ""

static ad_emit_code code_of(ad_emit *e, const ad_op *op, bool each) {
    ad__indexed i = ad__indexed_of(op, each);
    ad_emit_code c = { .sizes = "outer n k inner", .n_sizes = 4, .size = { i.outer, i.n, i.k, i.inner } };
    for (; c.n < op->n_in; c.n++) c.in[c.n] = ad_emit_operand(e, op, c.n);
    return c;
}

static bool is_empty(const ad_op *op) {
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i]->layout->numel == 0) return true;
    return false;
}

AD_COLD static int take_emit(ad_emit *e, const ad_op *op) {
    bool each = has_each(op);
    const ad__layout *y = ad__out(op)->layout;
    if (is_empty(op)) return AD_EABSENT;
    ad_emit_code c = code_of(e, op, each);
    c.names = "x index";
    c.text = each ? AD__FOR_ELEMENTS(TAKE) : AD__FOR_ROWS(TAKE);
    c.slope[0] = each ? AD__FOR_ELEMENTS(TAKE_SLOPE) : AD__FOR_ROWS(TAKE_SLOPE);
    ad_emit_result(e, op, ad_emit_call(e, y->dtype, y->shape, &c));
    return AD_OK;
}

AD_COLD int ad__index_put_emit(ad_emit *e, const ad_op *op, bool each, const char *text, const char *slope) {
    const ad__layout *l = ad__out(op)->layout;
    if (is_empty(op)) return AD_EABSENT;
    ad_emit_code c = code_of(e, op, each);
    ad_emit_array y = ad_emit_new(e, l->dtype, l->shape);
    ad__emit_copy(e, c.in[0], y);
    c.names = "index src", c.n = 2, c.in[0] = c.in[1], c.in[1] = c.in[2], c.into = &y;
    c.text = text, c.slope[1] = slope, c.by_vars = slope == NULL;
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

AD_COLD static int put_emit(ad_emit *e, const ad_op *op) {
    if (has_each(op))
        return ad__index_put_emit(e, op, true, AD__FOR_ELEMENTS(PUT_ADD), AD__FOR_ELEMENTS(PUT_ADD_SLOPE));
    return ad__index_put_emit(e, op, false, AD__FOR_ROWS(PUT_ADD), AD__FOR_ROWS(PUT_ADD_SLOPE));
}

/* ---- table -> array: take_axis, gather ---------------------------------------------------------------------- */

static int take_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    int rc = read_numbers(op);
    if (rc != AD_OK) return rc;
    if (y->layout->numel > 0) share(op, TAKES, y->data, op->in[0]->data);
    return AD_OK;
}

static void take_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx != NULL) put(op, y->grad, y->layout->numel, gx);
}

/* The gradient by the inverse op, applied to a table of zeros. */
static ad_var *put_into_zeros(const ad_optype *converse, const ad_op *op, ad_var *g) {
    const ad__layout *x = op->in[0]->layout;
    ad_var *in[] = { ad_zeros(x->graph, x->dtype, x->shape), op->in[1], g };
    return ad_apply(converse, 3, in, ad__attrs_of(op));
}

/* ---- table, array -> table: index_add, scatter_add ------------------------------------------------------------ */

static int put_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    int rc = read_numbers(op);
    if (rc != AD_OK) return rc;
    if (y->layout->numel > 0) memcpy(y->data, op->in[0]->data, ad__bytes(y));
    put(op, op->in[2]->data, op->in[2]->layout->numel, y->data);
    return AD_OK;
}

static void put_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad__add_gradient(op, 0, y->grad);
    void *gsrc = ad_grad_into(op, 2);
    if (gsrc != NULL) share(op, TAKES_ADD, gsrc, y->grad);
}

/* ---- patterns ------------------------------------------------------------------------------------------------- */

/* Element k of the array is taken from, or goes to, place `at` of the table. */
static void add_pair(ad_pattern *p, const ad_op *op, int64_t at, int64_t k) {
    if (op->n_in == 2) ad_pattern_add(p, k, 1, 0, at, 1);
    else ad_pattern_add(p, at, 1, 2, k, 1);
}

/* Element (o, j, i) of the array and the places that its index, or any index, can name. */
static void add_places(ad_pattern *p, const ad_op *op, const ad__indexed *x, bool known) {
    for (int64_t o = 0; o < x->outer; o++)
        for (int64_t j = 0; j < x->k; j++)
            for (int64_t i = 0; i < x->inner; i++) {
                int64_t k = (o * x->k + j) * x->inner + i, at = known ? x->at[x->each ? k : j] : 0;
                for (int64_t n = known ? at : 0; n < (known ? at + 1 : x->n); n++)
                    add_pair(p, op, (o * x->n + n) * x->inner + i, k);
            }
}

/* The places that an element of src replaces. NULL if they are not known, or memory is short. */
static const bool *replaced_places(const ad_op *op, const ad__indexed *x) {
    bool *hit = ad_scope_zalloc(ad__owner(ad__out(op)), (size_t)op->in[0]->layout->numel + 1);
    for (int64_t o = 0; o < x->outer && hit; o++)
        for (int64_t j = 0; j < x->k; j++)
            for (int64_t i = 0; i < x->inner; i++)
                hit[(o * x->n + x->at[x->each ? (o * x->k + j) * x->inner + i : j]) * x->inner + i] = true;
    return hit;
}

void ad__index_pattern(ad_pattern *p, const ad_op *op, bool each, bool replaces) {
    const ad__indexed x = ad__indexed_of(op, each);
    bool known = ad_pattern_reads(p, 1);
    const bool *gone = known && replaces ? replaced_places(op, &x) : NULL;
    for (int64_t k = 0; op->n_in == 3 && k < op->in[0]->layout->numel; k++)
        if (gone == NULL || !gone[k]) ad_pattern_add(p, k, 1, 0, k, 1);
    add_places(p, op, &x, known);
}

static void index_pattern(ad_pattern *p, const ad_op *op) { ad__index_pattern(p, op, has_each(op), false); }

/* ---- take_axis: whole rows of an axis; index [..] replaces the axis -------------------------------------------- */

int ad__index_inserted(const ad_call *c, ad_shape *to) {
    ad_shape x = c->in[0]->layout->shape, index = c->in[1]->layout->shape;
    int axis = ad_call_axis(c, ((const ad__axis_attrs *)c->attrs)->axis, x.ndim);
    if (axis < 0) return axis;
    if (x.ndim - 1 + index.ndim > AD_MAX_NDIM)
        return ad_call_fail(c, AD_ESHAPE, "the result would have %d dimensions, more than %d", x.ndim - 1 + index.ndim,
                            AD_MAX_NDIM);
    *to = (ad_shape){ .ndim = x.ndim - 1 + index.ndim };
    for (int i = 0; i < to->ndim; i++)
        to->dim[i] = i < axis ? x.dim[i] : i < axis + index.ndim ? index.dim[i - axis] : x.dim[i - index.ndim + 1];
    return AD_OK;
}

static int take_axis_shape(ad_call *c) {
    int rc = ad__index_inserted(c, &c->shape);
    return rc == AD_OK ? reserve(c, ad_shape_numel(c->shape)) : rc;
}

static void take_axis_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = put_into_zeros(&ad_op_index_add, op, g);
}

/* Adds the cotangents of all Ops that read along this axis to y, at all their indices. pair: memory for 2n Vars. */
static ad_var *join_along(const ad_optype *put, int axis, int n, const ad_op *const ops[], ad_var *const gs[],
                          ad_var **pair, ad_var *y) {
    int found = 0, ndim = y->layout->shape.ndim;
    ad_var **index = pair, **src = pair + n;
    for (int i = 0; i < n; i++) {
        if ((ad__index_axis(ops[i]) + ndim) % ndim != axis) continue;
        index[found] = ad_cast(ops[i]->in[1], AD_F64), src[found] = gs[i];
        if (!has_each(ops[i])) { /* the rows in a list */
            ad_shape rows = y->layout->shape;
            rows.dim[axis] = index[found]->layout->numel;
            index[found] = ad_reshape(index[found], AD_SHAPE(rows.dim[axis])), src[found] = ad_reshape(gs[i], rows);
        }
        found++;
    }
    if (found == 0) return y;
    ad_var *in[] = { y, ad_concat(found, index, put == &ad_op_scatter_add ? axis : 0), ad_concat(found, src, axis) };
    return ad_apply(put, 3, in, &(ad__axis_attrs){ .axis = axis });
}

static ad_var *join(const ad_optype *put, int n, const ad_op *const ops[], ad_var *const gs[]) {
    const ad__layout *x = ops[0]->in[0]->layout;
    ad_var **pair = ad_buffer_take(x->graph, 2 * (size_t)n * sizeof *pair);
    if (pair == NULL) return ad_nil(x->graph);
    ad_var *y = ad_zeros(x->graph, x->dtype, x->shape);
    for (int axis = 0; axis < x->shape.ndim; axis++) y = join_along(put, axis, n, ops, gs, pair, y);
    ad_buffer_give(x->graph, pair, 2 * (size_t)n * sizeof *pair);
    return y;
}

static ad_var *take_axis_join(int n, const ad_op *const ops[], ad_var *const gs[]) {
    return join(&ad_op_index_add, n, ops, gs);
}

/* Indices repeated, out of order, single, empty and two-dimensional; along every axis. */
const double ad__index_numbers[] = { 2, 0, 1, 1, 2, 1, 0, 2, 2, 0, 1, 0, 0, 1, 2, 1, 2, 0, 0, 2, 1, 1, 0, 2 };
/* Counted from the end. */
static const double from_end[] = { -1, 0, -3, -2, -3, 1 };

static void take_axis_samples(ad_sampler *s) {
    ad_shape index[6];
    AD__SHAPES(index, "4 1 () 0 2,3 9");
    const double *values[] = { NULL, ad__index_numbers };
    ad_shape tables[3];
    AD__SHAPES(tables, "3,5,4 3,3,2 4,2,3");
    for (int axis = -3; axis < 3; axis++)
        for (int i = 0; i < AD__COUNT(index); i++)
            ad_sample_values(s, &(ad__axis_attrs){ .axis = axis }, 2, (ad_shape[]){ tables[(axis + 3) % 3], index[i] },
                             values, 0);
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 0 }, 2, (ad_shape[]){ AD_SHAPE(3), AD_SHAPE(24) }, values, 0);
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 0 }, 2, (ad_shape[]){ AD_SHAPE(3, 0), AD_SHAPE(2) }, values, 0);
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 0 }, 2, (ad_shape[]){ AD_SHAPE(0, 2), AD_SHAPE(0) }, values, 0);
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 1 }, 2, (ad_shape[]){ AD_SHAPE(2, 3), AD_SHAPE(6) },
                     (const double *[]){ NULL, from_end }, 0);
}

AD_OPTYPE(take_axis, .doc = "the rows of an axis at the given indices, in index's shape; NumPy's take with an axis",
          .formula = "y[a, i.., b] = x[a, index[i..], b]", .gradient = "dx[a, index[i..], b] += g[a, i.., b]",
          .special = AD__INDEX_SPECIAL, .flags = AD_OP_MIXED, .arity = 2, .no_grad = AD_NO_GRAD(1),
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list,
          .shape = take_axis_shape, .evaluate = { take_evaluate, take_evaluate },
          .backward = { take_backward, take_backward }, .vjp = take_axis_vjp,
          .join = take_axis_join, .pattern = index_pattern, .emit = take_emit);
ad_var *ad_take_axis(ad_var *x, int axis, ad_var *index) {
    return ad__apply2(&ad_op_take_axis, x, index, &(ad__axis_attrs){ .axis = axis });
}

/* take of PyTorch: elements of the flattened array. */
ad_var *ad_take(ad_var *x, ad_var *index) { return ad_take_axis(ad_reshape(x, AD_SHAPE(-1)), 0, index); }

/* index_select of PyTorch, which accepts a scalar as a list of one index. */
ad_var *ad_index_select(ad_var *x, int axis, ad_var *index) {
    if (ad__absent(x) || ad__absent(index)) return ad__nil_beside(2, (ad_var *[]){ x, index }, "index_select");
    const ad_call c = AD__CALL_AS("index_select", x);
    int ndim = index->layout->shape.ndim;
    if (ndim <= 1) return ad_take_axis(x, axis, ndim == 1 ? index : ad_reshape(index, AD_SHAPE(1)));
    ad_call_fail(&c, AD_ESHAPE, "index has %d dimensions, not 1; use ad_take_axis", ndim);
    return ad_nil(c.graph);
}

/* weight [n,d], indices [..] -> [..,d] */
ad_var *ad_embedding(ad_var *weight, ad_var *indices) {
    if (ad__absent(weight)) return ad__nil_beside(2, (ad_var *[]){ weight, indices }, "embedding");
    const ad_call c = AD__CALL_AS("embedding", weight);
    if (c.shape.ndim == 2) return ad_take_axis(weight, 0, indices);
    ad_call_fail(&c, AD_ESHAPE, "the weight must be [n,d], with one row per index");
    return ad_nil(c.graph);
}

/* Rows at the padding index are read from a constant. */
ad_var *ad_embedding_with(ad_var *weight, ad_var *indices, int64_t padding_idx) {
    ad_var *y = ad_embedding(weight, indices);
    if (ad__absent(y)) return y;
    const ad_call c = AD__CALL_AS("embedding_with", weight);
    int64_t n = c.shape.dim[0], at = padding_idx < 0 ? padding_idx + n : padding_idx;
    if (at < 0 || at >= n) {
        ad_call_fail(&c, AD_EVALUE, "padding_idx %lld is not one of %lld..%lld", (long long)padding_idx, (long long)-n,
                     (long long)n - 1);
        return ad_nil(c.graph);
    }
    ad_var *i = ad_unsqueeze(ad_detach(indices), -1);
    ad_var *pad = ad_logical_or(ad_eq(i, ad__constant(indices, (double)at)),
                                ad_eq(i, ad__constant(indices, (double)(at - n))));
    return ad_where(ad_cast(pad, c.dtype), ad_detach(y), y);
}

/* ---- index_add: adds rows to the rows at the given indices ---------------------------------------------------- */

static int index_add_shape(ad_call *c) {
    ad_shape src;
    int rc = ad__index_inserted(c, &src);
    if (rc == AD_OK) rc = reserve(c, c->in[2]->layout->numel);
    if (rc != AD_OK || ad_shape_equal(src, c->in[2]->layout->shape)) return rc;
    return ad_call_fail(c, AD_ESHAPE, "src must be %s, one row for each index", ad_shape_str(src).text);
}

static void index_add_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = g;
    if (ad_vjp_wants(op, 2)) dx[2] = ad_take_axis(g, ad__index_axis(op), op->in[1]);
}

static void index_add_samples(ad_sampler *s) {
    const double *values[] = { NULL, ad__index_numbers, NULL };
    ad_shape cases[6][3];
    AD__SHAPES(cases, "3,2 5 5,2; 3,4 2 2,4; 3 () (); 3 24 24; 3,2 0 0,2; 3,2 2,2 2,2,2");
    for (int i = 0; i < AD__COUNT(cases); i++)
        ad_sample_values(s, &(ad__axis_attrs){ .axis = 0 }, 3, cases[i], values, 0);
    ad_shape inner[3];
    AD__SHAPES(inner, "2,3,2 4 2,4,2");
    ad_sample_values(s, &(ad__axis_attrs){ .axis = -2 }, 3, inner, values, 0);
    ad_shape last[3];
    AD__SHAPES(last, "2,3 4 2,4");
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 1 }, 3, last, values, 0);
    ad_shape negative[3];
    AD__SHAPES(negative, "2,3 6 2,6");
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 1 }, 3, negative, (const double *[]){ NULL, from_end, NULL }, 0);
}

AD_OPTYPE(index_add, .doc = "x with the rows of src added to the rows of the axis at the given indices",
          .formula = "x, and y[a, index[i..], b] += src[a, i.., b]",
          .gradient = "dx = g; dsrc[a, i.., b] = g[a, index[i..], b]",
          .special = AD__INDEX_SPECIAL, .flags = AD_OP_MIXED, .arity = 3, .no_grad = AD_NO_GRAD(1),
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list,
          .shape = index_add_shape, .evaluate = { put_evaluate, put_evaluate },
          .backward = { put_backward, put_backward }, .vjp = index_add_vjp,
          .pattern = index_pattern, .emit = put_emit);
ad_var *ad_index_add(ad_var *x, int axis, ad_var *index, ad_var *src) {
    return ad_apply(&ad_op_index_add, 3, (ad_var *[]){ x, index, src }, &(ad__axis_attrs){ .axis = axis });
}

/* ---- gather: one element of an axis for each element of index ------------------------------------------------- */

int ad__index_per_element(ad_call *c) {
    ad_shape x = c->in[0]->layout->shape, index = c->in[1]->layout->shape;
    int axis = ad_call_axis(c, ((const ad__axis_attrs *)c->attrs)->axis, x.ndim);
    if (axis < 0) return axis;
    bool fits = index.ndim == x.ndim;
    for (int i = 0; i < x.ndim && fits; i++) fits = i == axis || index.dim[i] == x.dim[i];
    if (!fits)
        return ad_call_fail(c, AD_ESHAPE, "index must have x's dimensions and be no larger except along axis %d", axis);
    if (c->n < 3 || ad_shape_equal(index, c->in[2]->layout->shape)) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "src must have the shape of index");
}

static int gather_shape(ad_call *c) {
    int rc = ad__index_per_element(c);
    if (rc != AD_OK) return rc;
    c->shape = c->in[1]->layout->shape;
    return reserve(c, c->in[1]->layout->numel);
}

static void gather_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = put_into_zeros(&ad_op_scatter_add, op, g);
}

static ad_var *gather_join(int n, const ad_op *const ops[], ad_var *const gs[]) {
    return join(&ad_op_scatter_add, n, ops, gs);
}

const ad__index_case ad__index_cases[] = {
    { 0, { 1, { 3 } }, { 1, { 6 } } },             { -1, { 2, { 2, 3 } }, { 2, { 2, 4 } } },
    { 0, { 2, { 3, 4 } }, { 2, { 2, 4 } } },       { 1, { 3, { 2, 3, 2 } }, { 3, { 2, 6, 2 } } },
    { 1, { 2, { 2, 3 } }, { 2, { 2, 0 } } },       { 0, { 2, { 3, 0 } }, { 2, { 2, 0 } } },
    { -3, { 3, { 3, 2, 2 } }, { 3, { 1, 2, 2 } } }, { 0, { 2, { 3, 1 } }, { 2, { 24, 1 } } },
};

static void gather_samples(ad_sampler *s) {
    const double *values[] = { NULL, ad__index_numbers };
    const ad__index_case *k = ad__index_cases;
    for (; k < ad__index_cases + AD__INDEX_CASES; k++)
        ad_sample_values(s, &(ad__axis_attrs){ .axis = k->axis }, 2, (ad_shape[]){ k->x, k->index }, values, 0);
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 0 }, 2, (ad_shape[]){ AD_SHAPE(3), AD_SHAPE(6) },
                     (const double *[]){ NULL, from_end }, 0);
}

AD_OPTYPE(gather, .doc = "the elements of x at the given indices along an axis, one index per element",
          .formula = "y[a, i, b] = x[a, index[a, i, b], b]", .gradient = "dx[a, index[a, i, b], b] += g[a, i, b]",
          .special = AD__INDEX_SPECIAL, .flags = AD_OP_MIXED, .arity = 2, .no_grad = AD_NO_GRAD(1),
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list,
          .shape = gather_shape, .evaluate = { take_evaluate, take_evaluate },
          .backward = { take_backward, take_backward }, .vjp = gather_vjp,
          .join = gather_join, .pattern = index_pattern, .emit = take_emit);

/* In PyTorch, index may be smaller than x along the other axes and then refers to the leading part of x. These are the
   ranges of that part. If index does not fit, there are none and the op reports the error. */
static int common_ranges(ad_shape x, ad_shape index, int axis, ad_range ranges[AD_MAX_NDIM]) {
    int n = 0;
    for (int i = 0; i < x.ndim && index.ndim == x.ndim; i++)
        if (i != (axis < 0 ? axis + x.ndim : axis) && index.dim[i] < x.dim[i])
            ranges[n++] = (ad_range){ i, 0, index.dim[i], 1 };
    return n;
}

ad_var *ad_gather(ad_var *x, int axis, ad_var *index) {
    if (ad__absent(x) || ad__absent(index)) return ad__nil_beside(2, (ad_var *[]){ x, index }, "gather");
    ad_range ranges[AD_MAX_NDIM];
    int n = common_ranges(x->layout->shape, index->layout->shape, axis, ranges);
    return ad__apply2(&ad_op_gather, n ? ad_slice_axes(x, n, ranges) : x, index, &(ad__axis_attrs){ .axis = axis });
}

/* take_along_axis of NumPy, take_along_dim of PyTorch: x and index broadcast along the other axes. */
ad_var *ad_take_along(ad_var *x, int axis, ad_var *index) {
    if (ad__absent(x) || ad__absent(index)) return ad__nil_beside(2, (ad_var *[]){ x, index }, "take_along");
    const ad_call c = AD__CALL_AS("take_along", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    ad_shape xs = c.shape, is = index->layout->shape, whole;
    bool fits = is.ndim == xs.ndim;
    if (fits) xs.dim[at] = is.dim[at] = 1;
    if (!fits || ad__broadcast(xs, is, &whole)) {
        ad_call_fail(&c, AD_ESHAPE, "index must have as many dimensions and broadcast with x except along axis %d", at);
        return ad_nil(c.graph);
    }
    xs = is = whole;
    xs.dim[at] = c.shape.dim[at], is.dim[at] = index->layout->shape.dim[at];
    return ad_gather(ad_expand(x, xs), axis, ad_expand(index, is));
}

/* ---- scatter_add: adds elements to those at the given indices ------------------------------------------------- */

static int scatter_add_shape(ad_call *c) {
    int rc = ad__index_per_element(c);
    return rc == AD_OK ? reserve(c, c->in[2]->layout->numel) : rc;
}

static void scatter_add_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = g;
    if (ad_vjp_wants(op, 2)) dx[2] = ad_gather(g, ad__index_axis(op), op->in[1]);
}

static void scatter_add_samples(ad_sampler *s) {
    const double *values[] = { NULL, ad__index_numbers, NULL };
    const ad__index_case *k = ad__index_cases;
    for (; k < ad__index_cases + AD__INDEX_CASES; k++)
        ad_sample_values(s, &(ad__axis_attrs){ .axis = k->axis }, 3, (ad_shape[]){ k->x, k->index, k->index }, values,
                         0);
    ad_sample_values(s, &(ad__axis_attrs){ .axis = 0 }, 3, (ad_shape[]){ AD_SHAPE(3), AD_SHAPE(6), AD_SHAPE(6) },
                     (const double *[]){ NULL, from_end, NULL }, 0);
}

AD_OPTYPE(scatter_add, .doc = "x with each element of src added to the element at its index along the axis",
          .formula = "x, and y[a, index[a, i, b], b] += src[a, i, b]",
          .gradient = "dx = g; dsrc[a, i, b] = g[a, index[a, i, b], b]",
          .special = AD__INDEX_SPECIAL, .flags = AD_OP_MIXED, .arity = 3, .no_grad = AD_NO_GRAD(1),
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list,
          .shape = scatter_add_shape, .evaluate = { put_evaluate, put_evaluate },
          .backward = { put_backward, put_backward }, .vjp = scatter_add_vjp,
          .pattern = index_pattern, .emit = put_emit);

ad_var *ad__index_write(const ad_optype *type, ad_var *x, ad_var *index, ad_var *src, const void *attrs) {
    if (ad__absent(x) || ad__absent(index) || ad__absent(src))
        return ad__nil_beside(3, (ad_var *[]){ x, index, src }, type->name);
    ad_range of_x[AD_MAX_NDIM], of_src[AD_MAX_NDIM];
    int n = common_ranges(x->layout->shape, index->layout->shape, ((const ad__axis_attrs *)attrs)->axis, of_x);
    int n_src = common_ranges(src->layout->shape, index->layout->shape, AD_MAX_NDIM, of_src);
    if (n_src > 0) src = ad_slice_axes(src, n_src, of_src);
    if (n == 0) return ad_apply(type, 3, (ad_var *[]){ x, index, src }, attrs);
    ad_var *part = ad_apply(type, 3, (ad_var *[]){ ad_slice_axes(x, n, of_x), index, src }, attrs);
    return ad_slice_scatter_axes(x, part, n, of_x);
}

ad_var *ad_scatter_add(ad_var *x, int axis, ad_var *index, ad_var *src) {
    return ad__index_write(&ad_op_scatter_add, x, index, src, &(ad__axis_attrs){ .axis = axis });
}

/* ---- one_hot: class numbers [..] -> [..,n] ------------------------------------------------------------------- */

static const ad_attr one_hot_list[] = { { "n", AD_ATTR_INT64, 0 }, { 0 } };

static int one_hot_shape(ad_call *c) {
    int64_t n = *(const int64_t *)c->attrs;
    if (n < 1) return ad_call_fail(c, AD_ESHAPE, "%lld classes; at least one is needed", (long long)n);
    if (c->shape.ndim == AD_MAX_NDIM)
        return ad_call_fail(c, AD_ESHAPE, "the result has more than %d dimensions", AD_MAX_NDIM);
    c->shape.dim[c->shape.ndim++] = n;
    return AD_OK;
}

static int one_hot_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    int64_t n = *(const int64_t *)ad__attrs_of(op);
    memset(y->data, 0, ad__bytes(y));
    for (int64_t i = 0; i < op->in[0]->layout->numel; i++) {
        double class = ad_read_element(op->in[0]->layout->dtype, op->in[0]->data, i);
        if (!(class >= 0 && class < ad__exact_below(op->in[0], n) && class == floor(class)))
            return ad_op_fail(op, AD_EVALUE, "element %lld is %g, not an integer in 0..%lld", (long long)i, class,
                              (long long)n - 1);
        ad__put(y, i * n + (int64_t)class, 1);
    }
    return AD_OK;
}

/* What evaluate refuses gives NaN. */
AD_COLD static int one_hot_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    ad_shape s = ad__out(op)->layout->shape;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array j = ad_emit_index(e, x.dtype, s, s.ndim - 1);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = s, .names = "x j n",
                                                          .value = "j == x ? 1 : x >= 0 && x < n && x == floor(x) "
                                                                   "? 0 : NAN",
                                                          .n = 2, .in = { ad__emit_unsqueeze(x, s.ndim - 1), j },
                                                          .n_parameters = 1,
                                                          .parameter = { (double)s.dim[s.ndim - 1] } }));
    return AD_OK;
}

static void one_hot_samples(ad_sampler *s) {
    const double classes[] = { 2, 0, 1, 2 }, *values[] = { classes };
    ad_shape shapes[4];
    AD__SHAPES(shapes, "() 4 2,2 0");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample_values(s, &(int64_t){ 3 }, 1, &shapes[i], values, 0);
}

AD_OPTYPE(one_hot, .doc = "for each class number a row of n, 1 at that index and 0 elsewhere",
          .formula = "y[i, x[i]] = 1", .arity = 1, .flags = AD_OP_CONSTANT, .no_grad = AD_NO_GRAD(0),
          .attr_size = sizeof(int64_t), .attrs = one_hot_list, .shape = one_hot_shape,
          .evaluate = { one_hot_evaluate, one_hot_evaluate }, .emit = one_hot_emit);
ad_var *ad_one_hot(ad_var *classes, int64_t n) { return ad__apply1(&ad_op_one_hot, classes, &n); }
