/* pad.c: padding with a constant, or with an array's own elements: reflected, replicated or circular. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/shape/copy.h"
#include "ops/ops.h"

/* ---- a constant -------------------------------------------------------------------------------------------- */

/* The padding before and after each of the last before.ndim axes, in elements; negative padding removes elements. */
typedef struct {
    ad_shape before, after;
    double value;
} pad_attrs;

static const ad_attr pad_list[] = { { "before", AD_ATTR_SHAPE, offsetof(pad_attrs, before) },
                                    { "after", AD_ATTR_SHAPE, offsetof(pad_attrs, after) },
                                    { "value", AD_ATTR_DOUBLE, offsetof(pad_attrs, value) },
                                    { 0 } };

static int check_lists(const ad_call *c, const ad_shape *before, const ad_shape *after) {
    if (before->ndim >= 0 && before->ndim == after->ndim && before->ndim <= c->shape.ndim) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "padding before %d axes and after %d; name the same last axes, at most %d",
                        before->ndim, after->ndim, c->shape.ndim);
}

/* The padding in a list for axis i. */
static int64_t padding_of(const ad_shape *list, int ndim, int i) {
    int own = i - (ndim - list->ndim);
    return own < 0 ? 0 : list->dim[own];
}

static int pad_shape(ad_call *c) {
    const int64_t huge = INT64_MAX / 16; /* below it, no sum of sizes overflows */
    const pad_attrs *a = c->attrs;
    int rc = check_lists(c, &a->before, &a->after);
    for (int i = 0; i < c->shape.ndim && rc == AD_OK; i++) {
        int64_t before = padding_of(&a->before, c->shape.ndim, i), after = padding_of(&a->after, c->shape.ndim, i);
        int64_t size = c->shape.dim[i];
        bool low = before < -huge || after < -huge, high = !low && (before > huge || after > huge);
        if (low || (!high && size + before + after < 0))
            rc = ad_call_fail(c, AD_ESHAPE, "padding of %lld and %lld leaves no size for axis %d, of %lld",
                              (long long)before, (long long)after, i, (long long)size);
        else if (high)
            rc = ad_call_fail(c, AD_ESHAPE, "padding of %lld and %lld along axis %d makes too many elements",
                              (long long)before, (long long)after, i);
        else c->shape.dim[i] = size + before + after;
    }
    return rc;
}

/* The copy of the common part of x and y, and the offset of its first element in each. */
static ad__copy_plan overlap(const ad_op *op, int64_t *x_at, int64_t *y_at) {
    ad_shape x = op->in[0]->layout->shape, y = ad__out(op)->layout->shape, common = x;
    const pad_attrs *a = ad__attrs_of(op);
    int64_t from[AD_MAX_NDIM], to[AD_MAX_NDIM], before[AD_MAX_NDIM];
    ad__row_major(x, from);
    ad__row_major(y, to);
    for (int i = 0; i < x.ndim; i++) {
        int64_t after = padding_of(&a->after, x.ndim, i);
        before[i] = padding_of(&a->before, x.ndim, i);
        common.dim[i] += (before[i] < 0 ? before[i] : 0) + (after < 0 ? after : 0);
        if (common.dim[i] < 0) common.dim[i] = 0;
    }
    *x_at = *y_at = 0;
    for (int i = 0; i < x.ndim && ad_shape_numel(common) > 0; i++)
        *(before[i] < 0 ? x_at : y_at) += before[i] < 0 ? -before[i] * from[i] : before[i] * to[i];
    return ad__copy_plan_of(x.ndim, common.dim, from, to);
}

static void fill(const ad_var *y, double value) {
    const float rounded = (float)value;
    const ad__copy_plan repeated = { 1, { y->layout->numel }, { 0 }, { 1 } };
    ad_dtype t = y->layout->dtype;
    ad__copy(&repeated, t, t == AD_F32 ? (const void *)&rounded : &value, 0, y->data, 0);
}

static int pad_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t x_at, y_at;
    ad__copy_plan s = overlap(op, &x_at, &y_at);
    fill(y, ((const pad_attrs *)ad__attrs_of(op))->value);
    ad__copy(&s, y->layout->dtype, x->data, x_at, y->data, y_at);
    return AD_OK;
}

static void pad_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    int64_t x_at, y_at;
    ad__copy_plan s = overlap(op, &x_at, &y_at), back = ad__copy_plan_back(&s);
    ad__copy_add(&back, y->layout->dtype, y->grad, y_at, gx, x_at);
}

static void pad_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const pad_attrs *a = ad__attrs_of(op);
    pad_attrs back = { a->before, a->after, 0 };
    for (int i = 0; i < a->before.ndim; i++) back.before.dim[i] *= -1, back.after.dim[i] *= -1;
    dx[0] = ad__apply1(&ad_op_pad, g, &back);
}

AD_COLD static int pad_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), from = x, to;
    const pad_attrs *a = ad__attrs_of(op);
    if (op->in[0]->layout->numel == 0 || ad__out(op)->layout->numel == 0) return AD_EABSENT;
    ad_emit_array y = to = ad_emit_new(e, x.dtype, ad__out(op)->layout->shape);
    int64_t common = 1;
    for (int i = 0; i < x.shape.ndim; i++) {
        int64_t b = padding_of(&a->before, x.shape.ndim, i), size = x.shape.dim[i];
        int64_t first = b < 0 ? -b : 0, last = ad__lesser(size, y.shape.dim[i] - b);
        int64_t n = last > first ? last - first : 0;
        from = ad__emit_part(from, i, first, n, 1), to = ad__emit_part(to, i, first + b, n, 1);
        common *= n;
    }
    ad__emit_fill(e, y, a->value);
    if (common > 0) ad__emit_copy(e, from, to);
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void pad_samples(ad_sampler *s) {
    const ad_shape x = AD_SHAPE(2, 3);
    const pad_attrs cases[] = {
        { AD_SHAPE(1, 2), AD_SHAPE(0, 1), 0.5 }, { AD_SHAPE(0, 0), AD_SHAPE(0, 0), 1 },
            { AD_SHAPE(2), AD_SHAPE(3), -1 },
        { AD_SHAPE(-1, 1), AD_SHAPE(0, -2), 2 }, { AD_SHAPE(-1, 0), AD_SHAPE(-1, 0), 0 }, { AD_SCALAR, AD_SCALAR, 0 },
        { AD_SHAPE(3, -5), AD_SHAPE(-4, 9), 7 },
    };
    for (int i = 0; i < AD__COUNT(cases); i++) ad_sample(s, &cases[i], 1, &x, NULL, NULL);
    ad__sample_text(s, &cases[0], 1, "0,3", NULL, NULL);
    ad__sample_text(s, &cases[0], 1, "2,1,3", NULL, NULL);
    ad__sample_text(s, &cases[5], 1, "()", NULL, NULL);
}

AD_OPTYPE(pad, .doc = "a constant before and after the elements of the last axes",
          .formula = "x, surrounded by value", .gradient = "g at the elements of x",
          .special = "negative padding removes elements, as in PyTorch",
          .arity = 1, .attr_size = sizeof(pad_attrs), .attrs = pad_list, .shape = pad_shape,
          .evaluate = { pad_evaluate, pad_evaluate }, .backward = { pad_backward, pad_backward }, .vjp = pad_vjp,
          .emit = pad_emit);
ad_var *ad_pad(ad_var *x, ad_shape before, ad_shape after, double value) {
    return ad__apply1(&ad_op_pad, x, &(pad_attrs){ before, after, value });
}

/* ---- reflect, replicate, circular: by slices and concat -------------------------------------------------------- */

/* The k elements to put before and after an axis of size n, and the largest k. */
typedef struct {
    const char *name;
    ad_var *(*before)(ad_var *x, int axis, int64_t n, int64_t k);
    ad_var *(*after)(ad_var *x, int axis, int64_t n, int64_t k);
    int64_t (*most)(int64_t n);
    bool crops_first; /* negative padding removes elements before the others are repeated; otherwise afterwards */
} pad_mode;

static ad_var *mirrored_before(ad_var *x, int axis, int64_t n, int64_t k) {
    (void)n;
    return ad_slice(x, axis, k, 0, -1);
}
static ad_var *mirrored_after(ad_var *x, int axis, int64_t n, int64_t k) {
    return ad_slice(x, axis, n - 2, k < n - 1 ? n - 2 - k : INT64_MIN, -1);
}
static int64_t all_but_one(int64_t n) { return n > 0 ? n - 1 : 0; }

static ad_var *one_repeated(ad_var *x, int axis, int64_t at, int64_t k) {
    ad_shape to = x->layout->shape;
    to.dim[axis] = k;
    return ad_expand(ad_slice(x, axis, at, at + 1, 1), to);
}
static ad_var *first_repeated(ad_var *x, int axis, int64_t n, int64_t k) {
    return (void)n, one_repeated(x, axis, 0, k);
}
static ad_var *last_repeated(ad_var *x, int axis, int64_t n, int64_t k) { return one_repeated(x, axis, n - 1, k); }
static int64_t any_number(int64_t n) { return n > 0 ? INT64_MAX : 0; }

static ad_var *from_the_end(ad_var *x, int axis, int64_t n, int64_t k) { return ad_slice(x, axis, n - k, n, 1); }
static ad_var *from_the_start(ad_var *x, int axis, int64_t n, int64_t k) { return (void)n, ad_slice(x, axis, 0, k, 1); }
static int64_t all(int64_t n) { return n; }

static ad_var *pad_axis(const pad_mode *m, ad_var *x, int axis, int64_t before, int64_t after) {
    ad_var *parts[3];
    int count = 0;
    int64_t n = x->layout->shape.dim[axis];
    if (before > 0) parts[count++] = m->before(x, axis, n, before);
    parts[count++] = x;
    if (after > 0) parts[count++] = m->after(x, axis, n, after);
    return count == 1 ? x : ad_concat(count, parts, axis);
}

/* Whether this padding is possible along an axis; sets the graph's error if not. */
static bool can_pad(const ad_call *c, const pad_mode *m, const ad_var *x, int axis, int64_t before, int64_t after) {
    ad_shape to = x->layout->shape;
    int64_t most = m->most(to.dim[axis]), n = to.dim[axis];
    long long b = before, a = after;
    if (b > most || a > most)
        return ad_call_fail(c, AD_ESHAPE, "padding of %lld and %lld along axis %d is not in 0..%lld", b, a, axis,
                            (long long)most), false;
    to.dim[axis] = b > INT64_MAX / 2 - n || a > INT64_MAX / 2 ? INT64_MAX : n + b + a;
    if (ad__shape_valid(to)) return true;
    ad_call_fail(c, AD_ESHAPE, "padding of %lld and %lld along axis %d makes too many elements", b, a, axis);
    return false;
}

/* Sets *cut_before and *cut_after to the negative padding. False, with the graph's error, if it removes more elements
   than there are. */
static bool can_crop(const ad_call *c, const ad_shape *before, const ad_shape *after, ad_shape *cut_before,
                     ad_shape *cut_after) {
    *cut_before = *cut_after = (ad_shape){ .ndim = before->ndim };
    for (int i = 0; i < before->ndim; i++) {
        int axis = c->shape.ndim - before->ndim + i;
        int64_t n = c->shape.dim[axis], b = before->dim[i] < 0 ? before->dim[i] : 0, a = after->dim[i];
        a = a < 0 ? a : 0;
        if (b < -n || a < -n || n + b + a < 0)
            return ad_call_fail(c, AD_ESHAPE, "padding of %lld and %lld leaves no size for axis %d", (long long)b,
                                (long long)a, axis), false;
        cut_before->dim[i] = b, cut_after->dim[i] = a;
    }
    return true;
}

static ad_var *pad_by(const pad_mode *m, ad_var *x, const ad_shape *before, const ad_shape *after) {
    if (ad__absent(x)) return ad__nil_result(x, m->name);
    const ad_call c = AD__CALL_AS(m->name, x);
    if (!ad_ok(c.graph) || check_lists(&c, before, after)) return ad_nil(c.graph);
    ad_shape cut_before, cut_after;
    if (!can_crop(&c, before, after, &cut_before, &cut_after)) return ad_nil(c.graph);
    const ad_shape none = { .ndim = before->ndim };
    bool crops = !ad_shape_equal(cut_before, none) || !ad_shape_equal(cut_after, none);
    ad_var *y = crops && m->crops_first ? ad_pad(x, cut_before, cut_after, 0) : x;
    for (int i = 0; i < c.shape.ndim && !ad__absent(y); i++) {
        int64_t b = padding_of(before, c.shape.ndim, i), a = padding_of(after, c.shape.ndim, i);
        if (b < 0) b = 0;
        if (a < 0) a = 0;
        y = can_pad(&c, m, y, i, b, a) ? pad_axis(m, y, i, b, a) : ad_nil(c.graph);
    }
    return crops && !m->crops_first ? ad_pad(y, cut_before, cut_after, 0) : y;
}

ad_var *ad_pad_reflect(ad_var *x, ad_shape before, ad_shape after) {
    static const pad_mode reflect = { "pad_reflect", mirrored_before, mirrored_after, all_but_one, false };
    return pad_by(&reflect, x, &before, &after);
}
ad_var *ad_pad_replicate(ad_var *x, ad_shape before, ad_shape after) {
    return pad_by(&(pad_mode){ "pad_replicate", first_repeated, last_repeated, any_number, false }, x, &before, &after);
}
ad_var *ad_pad_circular(ad_var *x, ad_shape before, ad_shape after) {
    return pad_by(&(pad_mode){ "pad_circular", from_the_end, from_the_start, all, true }, x, &before, &after);
}
