/* slice.c: slice, by Python's rules, slice_scatter, narrow and select. */
#include "autodiff/extend.h"
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/shape/copy.h"
#include "ops/compile.h"
#include "ops/ops.h"

#include <string.h>

/* ---- helpers: a box of elements in a larger array -------------------------------------------------------- */

/* For each axis[i], the elements start[i], start[i] + step[i], ... before stop[i]; all elements of the other axes. The
   lists have length n. */
typedef struct {
    int n, axis[AD_MAX_NDIM];
    ad_shape start, stop, step;
} slice_attrs;

static const ad_attr slice_list[] = { { "axes", AD_ATTR_AXES, offsetof(slice_attrs, n) },
                                      { "start", AD_ATTR_SHAPE, offsetof(slice_attrs, start) },
                                      { "stop", AD_ATTR_SHAPE, offsetof(slice_attrs, stop) },
                                      { "step", AD_ATTR_SHAPE, offsetof(slice_attrs, step) },
                                      { 0 } };

/* A slice's shape, the copy that reads it, and the offset of its first element in the array. */
typedef struct {
    ad_shape shape;
    ad__copy_plan read; /* array -> contiguous slice */
    int64_t at;
} box;

/* Python's rule: a negative bound counts from the end, then the bound is clamped to the axis. */
static int64_t bound(int64_t i, int64_t size, int64_t step) {
    if (i < 0) i += size;
    int64_t first = step < 0 ? -1 : 0, last = step < 0 ? size - 1 : size;
    return i < first ? first : i > last ? last : i;
}

static int64_t count(int64_t start, int64_t stop, int64_t step) {
    if (step == 1) return stop > start ? stop - start : 0;
    if (step > 0) return stop > start ? (stop - start - 1) / step + 1 : 0;
    return stop < start ? (stop - start + 1) / step + 1 : 0;
}

/* Makes *s, the array's shape, that of the slice. If stride is not NULL, makes it the slice's strides in the array and
   returns the offset of its first element. */
static int64_t narrow(const slice_attrs *a, ad_shape *s, int64_t stride[]) {
    int64_t at = 0;
    if (stride != NULL) ad__row_major(*s, stride);
    for (int i = 0; i < a->n; i++) {
        int axis = a->axis[i] < 0 ? a->axis[i] + s->ndim : a->axis[i];
        int64_t size = s->dim[axis], step = a->step.dim[i], start = bound(a->start.dim[i], size, step);
        int64_t taken = s->dim[axis] = count(start, bound(a->stop.dim[i], size, step), step);
        if (stride == NULL) continue;
        at += start * stride[axis];
        if (taken > 1) stride[axis] *= step; /* no overflow: |step| < size here */
    }
    return at;
}

static box box_of(const slice_attrs *a, ad_shape s) {
    box b = { .shape = s };
    int64_t from[AD_MAX_NDIM], to[AD_MAX_NDIM], at = narrow(a, &b.shape, from);
    b.at = ad__numel_of(&b.shape) == 0 ? 0 : at;
    ad__row_major(b.shape, to);
    b.read = ad__copy_plan_of(s.ndim, b.shape.dim, from, to);
    return b;
}

static int check_slices(const ad_call *c) {
    const slice_attrs *a = c->attrs;
    if (a->n < 0) return ad_call_fail(c, AD_EVALUE, "the list of slices is NULL or has a negative length");
    int mask = ad__call_axes(c, a->n, a->axis);
    for (int i = 0; i < a->n && mask >= 0; i++)
        if (a->step.dim[i] == 0) return ad_call_fail(c, AD_EVALUE, "the step along axis %d must not be 0", a->axis[i]);
    return mask < 0 ? mask : AD_OK;
}

static slice_attrs one_slice(int axis, int64_t start, int64_t stop, int64_t step) {
    return (slice_attrs){ 1, { axis }, { 1, { start } }, { 1, { stop } }, { 1, { step } } };
}

static slice_attrs slices_of(int n, const ad_range *ranges) {
    slice_attrs a = { .n = ranges == NULL && n > 0 ? -1 : n };
    if (n < 0 || n > AD_MAX_NDIM) return a; /* check_slices reports the error */
    a.start.ndim = a.stop.ndim = a.step.ndim = a.n < 0 ? 0 : n;
    for (int i = 0; i < a.n; i++) {
        a.axis[i] = ranges[i].axis;
        a.start.dim[i] = ranges[i].start;
        a.stop.dim[i] = ranges[i].stop;
        a.step.dim[i] = ranges[i].step ? ranges[i].step : 1;
    }
    return a;
}

/* ---- slice -------------------------------------------------------------------------------------------------- */

static int slice_shape(ad_call *c) {
    int rc = check_slices(c);
    if (rc == AD_OK) (void)narrow(c->attrs, &c->shape, NULL);
    return rc;
}

static int slice_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    box b = box_of(ad__attrs_of(op), x->layout->shape);
    ad__copy(&b.read, y->layout->dtype, x->data, b.at, y->data, 0);
    return AD_OK;
}

static void slice_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    box b = box_of(ad__attrs_of(op), x->layout->shape);
    ad__copy_plan write = ad__copy_plan_back(&b.read);
    ad__copy_add(&write, y->layout->dtype, y->grad, 0, gx, b.at);
}

static void slice_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const ad__layout *x = op->in[0]->layout;
    dx[0] = ad__apply2(&ad_op_slice_scatter, ad_zeros(x->graph, x->dtype, x->shape), g, ad__attrs_of(op));
}

/* Writes the place in the array of each element of the slice. */
static double *put_places(const box *b, double *to) {
    const ad__copy_plan *p = &b->read;
    int64_t index[AD_MAX_NDIM] = { 0 }, n = ad_shape_numel(b->shape), at = b->at;
    for (int64_t i = 0; i < n; i++) {
        *to++ = (double)at;
        for (int a = p->ndim - 1; a >= 0; a--) {
            at += p->from[a];
            if (++index[a] < p->dim[a]) break;
            at -= p->from[a] * p->dim[a], index[a] = 0;
        }
    }
    return to;
}

/* The places in x of the elements of all slices, one slice after the other. */
static ad_var *places_of(int n, const ad_op *const ops[], int64_t total) {
    const ad__layout *x = ops[0]->in[0]->layout;
    ad_var *places = ad_zeros(x->graph, AD_F64, AD_SHAPE(total));
    double *to = ad__absent(places) ? NULL : places->data;
    for (int i = 0; i < n && to != NULL; i++) {
        box b = box_of(ad__attrs_of(ops[i]), x->shape);
        to = put_places(&b, to);
    }
    return places;
}

/* Adding by index costs several times what copying a slice costs, so that it pays for slices that are small. */
enum { INDEXED_COST = 8 };

static ad_var *slice_join(int n, const ad_op *const ops[], ad_var *const gs[]) {
    const ad__layout *x = ops[0]->in[0]->layout;
    int64_t total = 0;
    for (int i = 0; i < n; i++) total += gs[i]->layout->numel;
    if (total == 0 || x->numel / INDEXED_COST < total / n) return NULL;
    ad_var **flat = ad_buffer_take(x->graph, (size_t)n * sizeof *flat);
    if (flat == NULL) return ad_nil(x->graph);
    for (int i = 0; i < n; i++) flat[i] = ad_reshape(gs[i], AD_SHAPE(gs[i]->layout->numel));
    ad_var *sum = ad_index_add(ad_zeros(x->graph, x->dtype, AD_SHAPE(x->numel)), 0, places_of(n, ops, total),
                               ad_concat(n, flat, 0));
    ad_buffer_give(x->graph, flat, (size_t)n * sizeof *flat);
    return ad_reshape(sum, x->shape);
}

/* Bounds inside the axis, negative bounds, bounds beyond both ends, steps of both signs, empty slices. */
static const ad_range sampled[] = {
    { 0, 1, 4, 1 }, { 0, -3, -1, 1 }, { 0, 0, 5, 2 }, { 0, 1, INT64_MAX, 3 }, { 0, INT64_MIN, INT64_MAX, 1 },
    { 0, INT64_MAX, INT64_MIN, -1 }, { 0, 3, 0, -2 }, { 0, -1, -9, -3 }, { 0, 2, 3, INT64_MAX },
    { 0, 4, 1, INT64_MIN }, { 0, 3, 3, 1 }, { 0, 1, 3, -1 }, { -1, 2, 99, 1 },
};

static void slice_samples(ad_sampler *s) {
    slice_attrs a;
    for (int i = 0; i < AD__COUNT(sampled); i++) {
        a = slices_of(1, &sampled[i]);
        ad__sample_text(s, &a, 1, "5", NULL, NULL);
    }
    for (int axis = 0; axis < 3; axis++) {
        a = one_slice(axis, 2, 0, -1);
        ad__sample_text(s, &a, 1, "3,2,4", NULL, NULL);
    }
    a = slices_of(3, (ad_range[]){ { 2, 0, 4, 3 }, { 0, -1, INT64_MIN, -1 }, { -2, 1, 2, 1 } });
    ad__sample_text(s, &a, 1, "3,2,4", NULL, NULL);
    a = slices_of(2, (ad_range[]){ { 0, 0, 2, 1 }, { 1, 5, 9, 1 } });
    ad__sample_text(s, &a, 1, "2,3", NULL, NULL);
    a = slices_of(0, NULL);
    ad__sample_text(s, &a, 1, "()", NULL, NULL);
    a = one_slice(1, 0, 2, 1);
    ad__sample_text(s, &a, 1, "0,3", NULL, NULL);
}

/* The slice as a view of x. */
static ad_emit_array slice_of(const slice_attrs *a, ad_emit_array x) {
    for (int i = 0; i < a->n; i++) {
        int axis = a->axis[i] < 0 ? a->axis[i] + x.shape.ndim : a->axis[i];
        int64_t size = x.shape.dim[axis], step = a->step.dim[i], start = bound(a->start.dim[i], size, step);
        x = ad__emit_part(x, axis, start, count(start, bound(a->stop.dim[i], size, step), step), step);
    }
    return x;
}

AD_COLD static int slice_emit(ad_emit *e, const ad_op *op) {
    if (ad__out(op)->layout->numel == 0) return AD_EABSENT;
    ad_emit_result(e, op, slice_of(ad__attrs_of(op), ad_emit_operand(e, op, 0)));
    return AD_OK;
}

AD_OPTYPE(slice, .doc = "elements start, start + step, ... before stop along one axis or several",
          .formula = "x[start:stop:step]", .gradient = "g in the slice, 0 elsewhere",
          .special = "bounds follow Python: negative ones count from the end, and all are clamped to the axis. "
                     "Negative steps are as in NumPy; PyTorch has none",
          .arity = 1, .attr_size = sizeof(slice_attrs), .attrs = slice_list, .shape = slice_shape,
          .evaluate = { slice_evaluate, slice_evaluate }, .backward = { slice_backward, slice_backward },
          .vjp = slice_vjp, .join = slice_join, .emit = slice_emit);

ad_var *ad_slice(ad_var *x, int axis, int64_t start, int64_t stop, int64_t step) {
    slice_attrs a = one_slice(axis, start, stop, step);
    return ad__apply1(&ad_op_slice, x, &a);
}

ad_var *ad_slice_axes(ad_var *x, int n, const ad_range *ranges) {
    slice_attrs a = slices_of(n, ranges);
    return ad__apply1(&ad_op_slice, x, &a);
}

/* narrow of PyTorch: `length` elements from start on. */
ad_var *ad_narrow(ad_var *x, int axis, int64_t start, int64_t length) {
    if (ad__absent(x)) return ad__nil_result(x, "narrow");
    const ad_call c = AD__CALL_AS("narrow", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    int64_t size = c.shape.dim[at], from = start < 0 ? start + size : start;
    if (from >= 0 && from <= size && length >= 0 && length <= size - from)
        return ad_slice(x, at, from, from + length, 1);
    ad_call_fail(&c, AD_EVALUE, "%lld elements from %lld on are outside axis %d of size %lld", (long long)length,
                 (long long)start, axis, (long long)size);
    return ad_nil(c.graph);
}

/* select of PyTorch: the elements at one index of an axis; the axis is removed. */
ad_var *ad_select(ad_var *x, int axis, int64_t index) {
    if (ad__absent(x)) return ad__nil_result(x, "select");
    const ad_call c = AD__CALL_AS("select", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    int64_t size = c.shape.dim[at], from = index < 0 ? index + size : index;
    if (from >= 0 && from < size)
        return ad_reshape(ad_slice(x, at, from, from + 1, 1), ad__reduced_shape(c.shape, 1u << at, false));
    ad_call_fail(&c, AD_EVALUE, "index %lld is not in %lld..%lld of axis %d", (long long)index, (long long)-size,
                 (long long)size - 1, axis);
    return ad_nil(c.graph);
}

/* ---- slice_scatter: x with a slice replaced by src ------------------------------------------------------------- */

static int slice_scatter_shape(ad_call *c) {
    int rc = check_slices(c);
    if (rc != AD_OK) return rc;
    ad_shape part = c->shape;
    (void)narrow(c->attrs, &part, NULL);
    c->scratch = ad_dtype_size(c->dtype) * (size_t)c->in[0]->layout->numel;
    if (ad_shape_equal(part, c->in[1]->layout->shape)) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "the slice is %s, and src must have its shape", ad_shape_str(part).text);
}

static int slice_scatter_evaluate(const ad_op *op) {
    const ad_var *src = op->in[1], *y = ad__out(op);
    box b = box_of(ad__attrs_of(op), y->layout->shape);
    ad__copy_plan write = ad__copy_plan_back(&b.read);
    if (y->layout->numel == 0) return AD_OK;
    memcpy(y->data, op->in[0]->data, ad__bytes(y));
    ad__copy(&write, y->layout->dtype, src->data, 0, y->data, b.at);
    return AD_OK;
}

/* The gradient of x is g, with zeros in the slice. */
static void slice_scatter_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    box b = box_of(ad__attrs_of(op), y->layout->shape);
    if (y->layout->numel == 0) return;
    if (ad_wants_grad(op, 0)) {
        const double zero = 0;
        ad__copy_plan clear = ad__copy_plan_back(&b.read);
        for (int i = 0; i < clear.ndim; i++) clear.from[i] = 0;
        void *rest = memcpy(ad_scratch(op), y->grad, ad__bytes(y));
        ad__copy(&clear, t, &zero, 0, rest, b.at);
        ad__add_gradient(op, 0, rest);
    }
    void *gsrc = ad_grad_into(op, 1);
    if (gsrc != NULL) ad__copy_add(&b.read, t, y->grad, b.at, gsrc, 0);
}

static void slice_scatter_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const ad__layout *src = op->in[1]->layout;
    if (ad_vjp_wants(op, 0))
        dx[0] = ad__apply2(&ad_op_slice_scatter, g, ad_zeros(src->graph, src->dtype, src->shape), ad__attrs_of(op));
    if (ad_vjp_wants(op, 1)) dx[1] = ad__apply1(&ad_op_slice, g, ad__attrs_of(op));
}

static void slice_scatter_samples(ad_sampler *s) {
    slice_attrs a;
    for (int i = 0; i < AD__COUNT(sampled); i++) {
        a = slices_of(1, &sampled[i]);
        ad_shape x = AD_SHAPE(5);
        ad_sample(s, &a, 2, (ad_shape[]){ x, box_of(&a, x).shape }, NULL, NULL);
    }
    a = slices_of(2, (ad_range[]){ { 2, 0, 4, 3 }, { 0, -1, INT64_MIN, -1 } });
    ad__sample_text(s, &a, 2, "3,2,4 3,2,2", NULL, NULL);
    a = one_slice(1, 0, 2, 1);
    ad__sample_text(s, &a, 2, "0,3 0,2", NULL, NULL);
}

/* Copies the part of x from index `from` to index `to` along an axis. */
static void emit_part(ad_emit *e, ad_emit_array x, ad_emit_array y, int axis, int64_t from, int64_t to) {
    if (from >= to) return;
    ad__emit_copy(e, ad__emit_part(x, axis, from, to - from, 1), ad__emit_part(y, axis, from, to - from, 1));
}

/* Without gaps in the slice, what lies before and behind it is copied, so that each element is set once. */
AD_COLD static int slice_scatter_emit(ad_emit *e, const ad_op *op) {
    const slice_attrs *a = ad__attrs_of(op);
    ad_emit_array x = ad_emit_operand(e, op, 0);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array y = ad_emit_new(e, x.dtype, x.shape), part = slice_of(a, y);
    if (a->n == 1 && a->step.dim[0] == 1 && op->in[1]->layout->numel > 0) {
        int axis = a->axis[0] < 0 ? a->axis[0] + x.shape.ndim : a->axis[0];
        int64_t start = bound(a->start.dim[0], x.shape.dim[axis], 1);
        emit_part(e, x, y, axis, 0, start);
        emit_part(e, x, y, axis, start + part.shape.dim[axis], x.shape.dim[axis]);
    } else ad__emit_copy(e, x, y);
    if (op->in[1]->layout->numel > 0) ad__emit_copy(e, ad_emit_operand(e, op, 1), part);
    ad_emit_result(e, op, y);
    return AD_OK;
}

AD_OPTYPE(slice_scatter, .doc = "x with the slice start:stop:step along one axis or several replaced by src",
          .formula = "y = x, y[start:stop:step] = src", .gradient = "dx = g, 0 in the slice; dsrc = g[start:stop:step]",
          .special = "bounds and steps are as in slice",
          .arity = 2, .attr_size = sizeof(slice_attrs), .attrs = slice_list,
          .shape = slice_scatter_shape, .evaluate = { slice_scatter_evaluate, slice_scatter_evaluate },
          .backward = { slice_scatter_backward, slice_scatter_backward }, .vjp = slice_scatter_vjp,
          .emit = slice_scatter_emit);

ad_var *ad_slice_scatter(ad_var *x, ad_var *src, int axis, int64_t start, int64_t stop, int64_t step) {
    slice_attrs a = one_slice(axis, start, stop, step);
    return ad__apply2(&ad_op_slice_scatter, x, src, &a);
}

ad_var *ad_slice_scatter_axes(ad_var *x, ad_var *src, int n, const ad_range *ranges) {
    slice_attrs a = slices_of(n, ranges);
    return ad__apply2(&ad_op_slice_scatter, x, src, &a);
}
