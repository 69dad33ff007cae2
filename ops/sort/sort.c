/* sort.c: argsort, and sort and topk, which gather by it. */
#include "ops/sort/sort.h"

#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/sort/order.h"
#include "ops/ops.h"

#include <math.h>

typedef struct {
    int axis;
    bool descending;
} order_attrs;
static const ad_attr order_list[] = { { "axis", AD_ATTR_INT, offsetof(order_attrs, axis) },
                                      { "descending", AD_ATTR_BOOL, offsetof(order_attrs, descending) },
                                      { 0 } };

int ad__order_axis(const ad_call *c, int axis) {
    const int64_t longest = (int64_t)1 << 24;
    int at = ad_call_axis(c, axis, c->shape.ndim);
    if (at < 0 || c->dtype != AD_F32 || c->shape.dim[at] <= longest || c->in[0]->layout->numel == 0) return at;
    return ad_call_fail(c, AD_ESHAPE, "f32 holds no index above %lld; cast x to AD_F64", (long long)longest);
}

/* ---- argsort: the rows are divided into parts, each with memory of its own ----------------------------------- */

enum { MOST_PARTS = 8 }; /* more would take more memory; this number does not depend on the threads */

typedef struct {
    const ad_op *op;
    ad__around around;
    int64_t rows, parts;
    size_t bytes; /* of each part's memory */
} sort_job;

static sort_job job_of(const ad_op *op, ad_shape s, int axis, ad_dtype t) {
    sort_job j = { .op = op, .around = ad__around_axis(s, axis) };
    if (ad_shape_numel(s) == 0) return j;
    j.rows = j.around.outer * j.around.inner;
    j.parts = j.rows < MOST_PARTS ? j.rows : MOST_PARTS;
    j.bytes = (AD__BY_DTYPE(t, ad__order_bytes, j.around.n) + 63) / 64 * 64;
    return j;
}

static int argsort_shape(ad_call *c) {
    int axis = ad__order_axis(c, ((const order_attrs *)c->attrs)->axis);
    if (axis < 0) return axis;
    sort_job j = job_of(NULL, c->shape, axis, c->dtype);
    c->scratch = (size_t)j.parts * j.bytes;
    return AD_OK;
}

/* Rows part, part + parts, .. of the array [outer, n, inner], where a row is [o, :, i]. */
static void sort_part(const sort_job *j, int64_t part) {
    const ad_var *x = j->op->in[0], *y = ad__out(j->op);
    ad_dtype t = y->layout->dtype;
    int64_t n = j->around.n, inner = j->around.inner;
    char *work = (char *)ad_scratch(j->op) + (size_t)part * j->bytes;
    for (int64_t row = part; row < j->rows; row += j->parts) {
        size_t at = (size_t)(row / inner * n * inner + row % inner) * ad_dtype_size(t);
        AD__BY_DTYPE(t, ad__row_order, n, inner, ((const order_attrs *)ad__attrs_of(j->op))->descending,
                     (void *)((char *)x->data + at), work, (void *)((char *)y->data + at));
    }
}
static void sort_parts(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    for (int64_t part = from; part < to; part++) sort_part(context, part);
}

static int argsort_evaluate(const ad_op *op) {
    const ad__layout *x = op->in[0]->layout;
    sort_job j = job_of(op, x->shape, ((const order_attrs *)ad__attrs_of(op))->axis, x->dtype);
    const int64_t passes = 8; /* sorting an element costs this many additions, or more */
    if (j.parts > 0) ad_parallel(ad__op_team(op), j.parts, 1, j.rows / j.parts * j.around.n * passes, sort_parts, &j);
    return AD_OK;
}

/* Merges runs that double in length, which keeps equal elements in order; the indices are in y. */
static const char merge_sort[] = AD__ROWS(
    "for (long i = 0; i < n; i++) y[at + i * inner] = (T)i;\nfor (long half = 1; half < n; half *= 2)\n"
    "for (long lo = 0; lo + half < n; lo += 2 * half) {\n"
    "const long mid = lo + half, hi = mid + half < n ? mid + half : n;\nlong i = lo, j = mid;\n"
    "for (long k = lo; k < hi; k++) {\nconst T p = i < mid ? x[at + (long)y[at + i * inner] * inner] : 0;\n"
    "const T q = j < hi ? x[at + (long)y[at + j * inner] * inner] : 0;\n"
    "const int second = flag ? q > p || (q != q && p == p) : q < p || (p != p && q == q);\n"
    "if (i < mid && (j >= hi || !second)) w[k] = y[at + i++ * inner];\nelse w[k] = y[at + j++ * inner];\n}\n"
    "for (long k = lo; k < hi; k++) y[at + k * inner] = w[k];\n}\n");

AD_COLD static int argsort_emit(ad_emit *e, const ad_op *op) {
    const order_attrs *a = ad__attrs_of(op);
    const ad__layout *l = ad__out(op)->layout;
    if (l->numel == 0) return AD_EABSENT;
    ad_emit_code c = ad__code_of_rows(e, op, a->axis, a->descending);
    c.text = merge_sort, c.scratch = c.size[1];
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

static void argsort_samples(ad_sampler *s) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "1 7 3,4 3,2,5 0,3 3,0");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int axis = -1; axis < shapes[i].ndim - 1; axis++)
            ad_sample(s, &(order_attrs){ axis, (axis + i) % 2 }, 1, &shapes[i], NULL, NULL);
    ad__sample_text(s, &(order_attrs){ 0, false }, 1, "300", NULL, NULL);
    const double edges[] = { 1, NAN, 0, -INFINITY, -0.0, INFINITY, 1, NAN, -1, 0, 1e-300, -1e300 },
                 *values[] = { edges };
    for (int k = 0; k < 4; k++) {
        order_attrs a = { k / 2, k % 2 };
        ad_sample_values(s, &a, 1, k / 2 ? &AD_SHAPE(2, 6) : &AD_SHAPE(12), values, AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
    }
}

AD_OPTYPE(argsort, .doc = "the indices that sort x along an axis; equal elements keep their order",
          .formula = "y[i] = index of the element of x in place i",
          .special = "0 and -0 are equal; NaNs are equal and larger than infinity: last, or first if descending",
          .arity = 1, .flags = AD_OP_CONSTANT, .attr_size = sizeof(order_attrs), .attrs = order_list,
          .shape = argsort_shape, .evaluate = { argsort_evaluate, argsort_evaluate }, .emit = argsort_emit);
ad_var *ad_argsort(ad_var *x, int axis, bool descending) {
    return ad__apply1(&ad_op_argsort, x, &(order_attrs){ axis, descending });
}

/* ---- functions ----------------------------------------------------------------------------------------------- */

ad_var *ad_sort(ad_var *x, int axis, bool descending) {
    if (ad__absent(x)) return ad__nil_result(x, "sort");
    const ad_call c = AD__CALL_AS("sort", x);
    int at = ad__order_axis(&c, axis);
    return at < 0 ? ad_nil(c.graph) : ad_gather(x, at, ad_argsort(x, at, descending));
}

int ad__parts_code(ad_graph *g, ad_var *parts[2]) {
    for (int i = 0; i < 2 && !ad_ok(g); i++) parts[i] = ad_nil(g);
    return ad_ok(g) ? AD_OK : ad_error_code(g);
}

int ad_topk(ad_var *x, int axis, int64_t k, bool smallest, ad_var *parts[2]) {
    for (int i = 0; i < 2 && parts != NULL; i++) parts[i] = ad_nil(ad_graph_of(x));
    if (ad__absent(x)) return ad_refuse_nil(x, "topk");
    const ad_call c = AD__CALL_AS("topk", x);
    int at = ad__order_axis(&c, axis);
    if (at < 0) return at;
    if (parts == NULL) return ad_call_fail(&c, AD_EVALUE, "parts must not be NULL");
    int64_t n = c.shape.dim[at];
    if (k < 0 || k > n)
        return ad_call_fail(&c, AD_EVALUE, "k is %lld, not one of 0..%lld, the size of axis %d", (long long)k,
                            (long long)n, axis);
    parts[1] = ad_narrow(ad_argsort(x, at, !smallest), at, 0, k);
    parts[0] = ad_gather(x, at, parts[1]);
    return ad__parts_code(c.graph, parts);
}
