/* concat.c: concat and stack, which join arrays along an axis, and split, chunk and split_sizes, which divide one. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/shape/copy.h"
#include "ops/ops.h"

/* ---- helpers: the operands' positions in the result --------------------------------------------------------- */

static int axis_in(const ad_op *op) {
    int axis = ((const ad__axis_attrs *)ad__attrs_of(op))->axis;
    return axis < 0 ? axis + ad__out(op)->layout->shape.ndim : axis;
}

/* Each operand consists of `outer` contiguous pieces. Each of the result's `outer` rows holds a piece per operand. */
typedef struct {
    int64_t outer, row;
    int64_t at; /* offset of the current operand's piece in the first row */
} seam;

static seam seam_of(const ad_op *op) {
    ad__around a = ad__around_axis(ad__out(op)->layout->shape, axis_in(op));
    return (seam){ a.outer, a.n * a.inner, 0 };
}

/* The copy from an operand to its position in the result. */
static ad__copy_plan piece_plan(const seam *m, const ad_var *x, int64_t *length) {
    *length = m->outer ? x->layout->numel / m->outer : 0;
    return ad__copy_plan_of(2, (int64_t[]){ m->outer, *length }, (int64_t[]){ *length, 1 }, (int64_t[]){ m->row, 1 });
}

static int join_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    seam m = seam_of(op);
    for (int i = 0; i < op->n_in; i++) {
        int64_t length;
        ad__copy_plan p = piece_plan(&m, op->in[i], &length);
        ad__copy(&p, y->layout->dtype, op->in[i]->data, 0, y->data, m.at);
        m.at += length;
    }
    return AD_OK;
}

static void join_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    seam m = seam_of(op);
    for (int i = 0; i < op->n_in; i++) {
        int64_t length;
        ad__copy_plan put = piece_plan(&m, op->in[i], &length), take = ad__copy_plan_back(&put);
        bool fresh;
        void *gx = ad_grad_claim(op, i, &fresh);
        if (gx != NULL) (fresh ? ad__copy : ad__copy_add)(&take, y->layout->dtype, y->grad, m.at, gx, 0);
        m.at += length;
    }
}

/* Each operand is copied to its part of the result. That of stack has an axis of size 1 there. */
AD_COLD static int join_emit(ad_emit *e, const ad_op *op) {
    const ad__layout *l = ad__out(op)->layout;
    int axis = axis_in(op);
    int64_t at = 0;
    if (l->numel == 0) return AD_EABSENT;
    ad_emit_array y = ad_emit_new(e, l->dtype, l->shape);
    for (int i = 0; i < op->n_in; i++) {
        ad_emit_array x = ad_emit_operand(e, op, i);
        if (op->type == &ad_op_stack) x = ad__emit_unsqueeze(x, axis);
        int64_t n = x.shape.dim[axis];
        if (n > 0) ad__emit_copy(e, x, ad__emit_part(y, axis, at, n, 1));
        at += n;
    }
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void join_samples(ad_sampler *s, ad_shape shape, int axes) {
    ad_shape shapes[5] = { shape, shape, shape, shape, shape };
    for (int axis = -axes; axis < axes; axis++) ad_sample(s, &(ad__axis_attrs){ .axis = axis }, 3, shapes, NULL, NULL);
    ad_sample(s, &(ad__axis_attrs){ .axis = 0 }, 1, shapes, NULL, NULL);
    ad_sample(s, &(ad__axis_attrs){ .axis = -1 }, 5, shapes, NULL, NULL);
}

/* ---- concat ---------------------------------------------------------------------------------------------------- */

static int concat_shape(ad_call *c) {
    int axis = ad_call_axis(c, ((const ad__axis_attrs *)c->attrs)->axis, c->shape.ndim);
    if (axis < 0) return axis;
    for (int i = 1; i < c->n; i++) {
        ad_shape s = c->in[i]->layout->shape;
        bool fits = s.ndim == c->shape.ndim;
        for (int k = 0; k < s.ndim && fits; k++) fits = k == axis || s.dim[k] == c->shape.dim[k];
        if (!fits)
            return ad_call_fail(c, AD_ESHAPE, "operand %d is %s: all sizes but that of axis %d must be equal", i,
                                ad_shape_str(s).text, axis);
        if (__builtin_add_overflow(c->shape.dim[axis], s.dim[axis], &c->shape.dim[axis]))
            return ad_call_fail(c, AD_ESHAPE, "the result would have too many elements");
    }
    return AD_OK;
}

static void concat_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    int axis = axis_in(op);
    int64_t at = 0;
    for (int i = 0; i < op->n_in; i++) {
        int64_t size = op->in[i]->layout->shape.dim[axis];
        if (ad_vjp_wants(op, i)) dx[i] = ad_slice(g, axis, at, at + size, 1);
        at += size;
    }
}

static void concat_samples(ad_sampler *s) {
    join_samples(s, AD_SHAPE(2, 3), 2);
    ad_shape uneven[] = { AD_SHAPE(2, 1, 3), AD_SHAPE(2, 4, 3), AD_SHAPE(2, 0, 3), AD_SHAPE(2, 2, 3) };
    ad_sample(s, &(ad__axis_attrs){ .axis = 1 }, 4, uneven, NULL, NULL);
    ad__sample_text(s, &(ad__axis_attrs){ .axis = 0 }, 2, "1 4", NULL, NULL);
    ad__sample_text(s, &(ad__axis_attrs){ .axis = 0 }, 2, "2,0 3,0", NULL, NULL);
}

AD_OPTYPE(concat, .doc = "joins arrays along an existing axis", .formula = "[x0, x1, ...]",
          .gradient = "dxi = its part of g", .arity = -1, .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list,
          .shape = concat_shape, .evaluate = { join_evaluate, join_evaluate },
          .backward = { join_backward, join_backward }, .vjp = concat_vjp, .emit = join_emit);
ad_var *ad_concat(int n, ad_var *const xs[], int axis) {
    return ad_apply(&ad_op_concat, n, xs, &(ad__axis_attrs){ .axis = axis });
}

/* ---- stack ------------------------------------------------------------------------------------------------------- */

static int stack_shape(ad_call *c) {
    ad_shape s = c->shape;
    if (s.ndim == AD_MAX_NDIM) return ad_call_fail(c, AD_ESHAPE, "the result has more than %d dimensions", AD_MAX_NDIM);
    int axis = ad_call_axis(c, ((const ad__axis_attrs *)c->attrs)->axis, s.ndim + 1);
    if (axis < 0) return axis;
    for (int i = 1; i < c->n; i++) {
        if (ad_shape_equal(c->in[i]->layout->shape, s)) continue;
        return ad_call_fail(c, AD_ESHAPE, "operand %d is %s: all shapes must be equal", i,
                            ad_shape_str(c->in[i]->layout->shape).text);
    }
    for (int k = c->shape.ndim++; k > axis; k--) c->shape.dim[k] = c->shape.dim[k - 1];
    c->shape.dim[axis] = c->n;
    return AD_OK;
}

static void stack_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    for (int i = 0; i < op->n_in; i++)
        if (ad_vjp_wants(op, i)) dx[i] = ad_select(g, axis_in(op), i);
}

static void stack_samples(ad_sampler *s) {
    join_samples(s, AD_SHAPE(2, 3), 3);
    join_samples(s, AD_SCALAR, 1);
    join_samples(s, AD_SHAPE(0), 2);
}

AD_OPTYPE(stack, .doc = "joins arrays of the same shape along a new axis", .formula = "y[.., i, ..] = xi",
          .gradient = "dxi = g[.., i, ..]", .arity = -1, .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list,
          .shape = stack_shape, .evaluate = { join_evaluate, join_evaluate },
          .backward = { join_backward, join_backward }, .vjp = stack_vjp, .emit = join_emit);
ad_var *ad_stack(int n, ad_var *const xs[], int axis) {
    return ad_apply(&ad_op_stack, n, xs, &(ad__axis_attrs){ .axis = axis });
}

/* ---- split, chunk, split_sizes: by slices ------------------------------------------------------------------------ */

static int split_axis(const ad_call *c, int axis, int n, const void *parts) {
    if (n < 0 || parts == NULL) return ad_call_fail(c, AD_EVALUE, "parts must not be NULL and n must not be negative");
    return ad_call_axis(c, axis, c->shape.ndim);
}

/* Makes `wanted` parts of `each` elements; the last may be smaller. The rest of the n parts are nil. */
static int equal_parts(const ad_call *c, int axis, int64_t each, int64_t wanted, int n, ad_var *parts[]) {
    int64_t size = c->shape.dim[axis], at = 0;
    for (int i = 0; i < n; i++) parts[i] = ad_nil(c->graph);
    if (wanted > n)
        return ad_call_fail(c, AD_EVALUE, "%lld parts of %lld along axis %d exceed the capacity of %d",
                            (long long)wanted, (long long)each, axis, n);
    for (int i = 0; i < wanted; i++, at += each)
        parts[i] = ad_slice(c->in[0], axis, at, at + ad__lesser(each, size - at), 1);
    return ad_ok(c->graph) ? (int)wanted : ad_error_code(c->graph);
}

/* As in PyTorch, an axis of size 0 gives one part in split, and all n parts in chunk. */
int ad_split(ad_var *x, int axis, int64_t each, int n, ad_var *parts[]) {
    if (ad__absent(x)) return ad_refuse_nil(x, "split");
    const ad_call c = AD__CALL_AS("split", x);
    int at = split_axis(&c, axis, n, parts);
    if (at < 0) return at;
    if (each < 1) return ad_call_fail(&c, AD_EVALUE, "parts of %lld elements; at least 1 is needed", (long long)each);
    int64_t size = c.shape.dim[at];
    return equal_parts(&c, at, each, size == 0 ? 1 : (size - 1) / each + 1, n, parts);
}

int ad_chunk(ad_var *x, int axis, int n, ad_var *parts[]) {
    if (ad__absent(x)) return ad_refuse_nil(x, "chunk");
    const ad_call c = AD__CALL_AS("chunk", x);
    int at = split_axis(&c, axis, n, parts);
    if (at < 0) return at;
    if (n < 1) return ad_call_fail(&c, AD_EVALUE, "%d chunks; at least 1 is needed", n);
    int64_t size = c.shape.dim[at], each = (size + n - 1) / n;
    return equal_parts(&c, at, each, size == 0 ? n : (size - 1) / each + 1, n, parts);
}

int ad_split_sizes(ad_var *x, int axis, int n, const int64_t *sizes, ad_var *parts[]) {
    if (ad__absent(x)) return ad_refuse_nil(x, "split_sizes");
    const ad_call c = AD__CALL_AS("split_sizes", x);
    int at = split_axis(&c, axis, n, parts);
    if (at < 0) return at;
    if (sizes == NULL && n > 0) return ad_call_fail(&c, AD_EVALUE, "sizes must not be NULL");
    int64_t size = c.shape.dim[at], left = size;
    for (int i = 0; i < n && left >= 0; i++) left = sizes[i] < 0 ? -1 : left - sizes[i];
    if (left != 0)
        return ad_call_fail(&c, AD_EVALUE, "the sizes must be >= 0 and add up to %lld, the size of axis %d",
                            (long long)size, axis);
    for (int i = 0; i < n; left += sizes[i++]) parts[i] = ad_slice(x, at, left, left + sizes[i], 1);
    return ad_ok(c.graph) ? n : ad_error_code(c.graph);
}
