/* avg_pool.c: average pooling of planes and signals, by a kernel or adaptive, and its transpose. */
#include "ops/base/samples.h"
#include "ops/net/pool.h"

#include <string.h>

#define AVG_FIELDS                                                                                                     \
    AD__POOL_WINDOW, AD__POOL_FIELD(ceil_mode, AD_ATTR_BOOL), AD__POOL_FIELD(count_include_pad, AD_ATTR_BOOL),         \
    AD__POOL_FIELD(output, AD_ATTR_SHAPE)
static const ad_attr avg_list[] = { AVG_FIELDS, { 0 } };
static const ad_attr unpool_list[] = { AVG_FIELDS, AD__POOL_FIELD(size, AD_ATTR_SHAPE), { 0 } };

/* ---- helpers: a linear map and its transpose -------------------------------------------------------------------- */

typedef struct {
    const ad_op *op;
    const ad_var *planes, *pooled; /* for their shapes */
    void *x, *y;
} map;

static void add_means_of(void *context, int worker, int64_t from, int64_t to) {
    const map *m = context;
    ad__pooling p = ad__pooling_of(ad__attrs_of(m->op), m->planes->layout->shape, m->pooled->layout->shape);
    (void)worker;
    AD__BY_DTYPE(m->planes->layout->dtype, ad__avg_pool_add, &p, to - from, ad__plane_at(m->planes, m->x, from),
                 ad__plane_at(m->pooled, m->y, from));
}

static void add_shares_of(void *context, int worker, int64_t from, int64_t to) {
    const map *m = context;
    ad__pooling p = ad__pooling_of(ad__attrs_of(m->op), m->planes->layout->shape, m->pooled->layout->shape);
    (void)worker;
    AD__BY_DTYPE(m->planes->layout->dtype, ad__avg_unpool_add, &p, to - from, ad__plane_at(m->pooled, m->y, from),
                 ad__plane_at(m->planes, m->x, from));
}

/* y += the mean of each window of the planes */
static void add_means(const ad_op *op, const ad_var *planes, const ad_var *pooled, const void *x, void *y) {
    ad__over_planes(op, planes, add_means_of, &(map){ op, planes, pooled, (void *)x, y });
}

/* x += the elements of y, each divided equally among the elements of its window */
static void add_shares(const ad_op *op, const ad_var *planes, const ad_var *pooled, const void *y, void *x) {
    ad__over_planes(op, planes, add_shares_of, &(map){ op, planes, pooled, x, (void *)y });
}

/* The number of elements of each window: those of the padding count if the op says so. */
static ad_emit_array emit_counts(ad_emit *e, const ad__pooling *p) {
    ad_emit_array counted, plane = ad__emit_plane(e, AD_F64, p, 0, 0, &counted);
    if (p->count_padding) counted = plane;
    for (int i = 0; i < 2 && p->count_padding; i++)
        counted = ad__emit_part(counted, i, 0, p->in[i] + 2 * p->padding[i], 1);
    ad__emit_fill(e, counted, 1);
    return ad__emit_reduce(e, AD_EMIT_SUM, AD_F64, ad__emit_pool_windows(p, plane), 3u << 2, "x", NULL);
}

/* ---- avg_pool2d, avg_pool1d and adaptive pools ------------------------------------------------------------------ */

static int avg_pool2d_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    memset(y->data, 0, ad__bytes(y));
    add_means(op, op->in[0], y, op->in[0]->data, y->data);
    return AD_OK;
}

static void avg_pool2d_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx != NULL) add_shares(op, op->in[0], y, y->grad, gx);
}

static void avg_pool2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad__pool_attrs a = *(const ad__pool_attrs *)ad__attrs_of(op);
    ad_shape s = op->in[0]->layout->shape;
    a.size = AD_SHAPE(s.dim[s.ndim - 2], s.dim[s.ndim - 1]);
    dx[0] = ad__apply1(&ad_op_avg_unpool2d, g, &a);
}

static ad__pool_attrs adaptive(int64_t h, int64_t w) { return (ad__pool_attrs){ .output = AD_SHAPE(h, w) }; }

AD_COLD static int avg_pool2d_emit(ad_emit *e, const ad_op *op) {
    const ad_shape s = op->in[0]->layout->shape;
    ad__pooling p = ad__pooling_of(ad__attrs_of(op), s, ad__out(op)->layout->shape);
    ad_emit_array x = ad_emit_operand(e, op, 0), inside, plane;
    if (op->in[0]->layout->numel == 0 || !ad__pool_is_even(&p)) return AD_EABSENT;
    const ad_shape flat = AD_SHAPE(ad__plane_count(s), p.in[0], p.in[1]);
    plane = ad__emit_plane(e, x.dtype, &p, flat.dim[0], 0, &inside);
    ad__emit_copy(e, ad__emit_reshape(e, x, flat), inside);
    x = ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, ad__emit_pool_windows(&p, plane), 3u << 3, "x", "g");
    ad_emit_result(e, op, ad__emit_map2(e, x.dtype, x.shape, x, emit_counts(e, &p), "a / b", "g / b", NULL));
    return AD_OK;
}

static void avg_pool2d_samples(ad_sampler *s) {
    ad__pool_samples(s);
    const int64_t sizes[][2] = { { 1, 1 }, { 2, 3 }, { 5, 7 }, { 7, 4 } };
    for (int i = 0; i < AD__COUNT(sizes); i++) {
        ad__pool_attrs a = adaptive(sizes[i][0], sizes[i][1]);
        ad__sample_text(s, &a, 1, "2,5,7", NULL, NULL);
    }
}

AD_OPTYPE(avg_pool2d,
          .doc =
              "the mean of each window over the last two axes. A mean counts the padding as zeros, unless "
              "exclude_padding is set. An adaptive pool divides the axes into a given number of windows",
          .formula = "y[..,i,j] = mean over p,q of x[.., i stride - padding + p, ..]", .gradient = "avg_unpool2d(g)",
          .arity = 1, .attr_size = sizeof(ad__pool_attrs), .attrs = avg_list, .shape = ad__pool_shape,
          .evaluate = { avg_pool2d_evaluate, avg_pool2d_evaluate },
          .backward = { avg_pool2d_backward, avg_pool2d_backward }, .vjp = avg_pool2d_vjp, .emit = avg_pool2d_emit);

ad_var *ad_avg_pool2d(ad_var *x, ad_pool_opts opts) {
    ad__pool_attrs a = ad__pool_attrs_of(opts);
    if (!ad__absent(x) && (opts.dilation[0] > 1 || opts.dilation[1] > 1)) {
        ad_fail(ad__owner(x), AD_EVALUE, "avg_pool2d: average pooling has no dilation; it must be 0 or 1");
        return ad_nil(ad__owner(x));
    }
    return ad__apply1(&ad_op_avg_pool2d, x, &a);
}
ad_var *ad_adaptive_avg_pool2d(ad_var *x, int64_t h, int64_t w) {
    ad__pool_attrs a = adaptive(h, w);
    return ad__apply1(&ad_op_avg_pool2d, x, &a);
}

ad_var *ad_avg_pool1d(ad_var *x, ad_pool_opts opts) { return ad__pool_signal(x, opts, ad_avg_pool2d, "avg_pool1d"); }
ad_var *ad_adaptive_avg_pool1d(ad_var *x, int64_t l) {
    if (!ad__is_signal(x, "adaptive_avg_pool1d")) return ad_nil(x ? ad__owner(x) : NULL);
    return ad_squeeze_axis(ad_adaptive_avg_pool2d(ad_unsqueeze(x, -2), 1, l), -2);
}

/* ---- avg_unpool2d ----------------------------------------------------------------------------------------------- */

static int avg_unpool2d_shape(ad_call *c) {
    const ad__pool_attrs *a = c->attrs;
    ad_shape pooled;
    int rc = ad__pool_check_planes(c);
    if (rc != AD_OK) return rc;
    ad_shape planes = c->shape;
    for (int i = 0; i < 2; i++) planes.dim[planes.ndim - 2 + i] = a->size.dim[i];
    if (!ad__shape_valid(planes))
        return ad_call_fail(c, AD_ESHAPE, "%lld x %lld is not a valid size of planes", (long long)a->size.dim[0],
                            (long long)a->size.dim[1]);
    rc = ad__pooled_shape(c, planes, &pooled);
    if (rc == AD_OK && !ad_shape_equal(pooled, c->shape))
        return ad_call_fail(c, AD_ESHAPE, "planes of %lld x %lld are not pooled to this shape",
                            (long long)a->size.dim[0], (long long)a->size.dim[1]);
    c->shape = planes;
    return rc;
}

static int avg_unpool2d_evaluate(const ad_op *op) {
    const ad_var *x = ad__out(op);
    memset(x->data, 0, ad__bytes(x));
    add_shares(op, x, op->in[0], op->in[0]->data, x->data);
    return AD_OK;
}

static void avg_unpool2d_backward(const ad_op *op) {
    const ad_var *x = ad__out(op);
    void *gy = ad_grad_into(op, 0);
    if (gy != NULL) add_means(op, x, op->in[0], x->grad, gy);
}

static void avg_unpool2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad__apply1(&ad_op_avg_pool2d, g, ad__attrs_of(op));
}

AD_COLD static int avg_unpool2d_emit(ad_emit *e, const ad_op *op) {
    const ad_shape s = op->in[0]->layout->shape;
    ad__pooling p = ad__pooling_of(ad__attrs_of(op), ad__out(op)->layout->shape, s);
    ad_emit_array y = ad_emit_operand(e, op, 0), inside, to;
    if (op->in[0]->layout->numel == 0 || !ad__pool_is_even(&p)) return AD_EABSENT;
    y = ad__emit_reshape(e, y, AD_SHAPE(ad__plane_count(s), p.out[0], p.out[1], 1, 1));
    y = ad__emit_map2(e, y.dtype, y.shape, y, emit_counts(e, &p), "a / b", "g / b", NULL);
    to = ad__emit_pool_windows(&p, ad__emit_plane(e, y.dtype, &p, y.shape.dim[0], 0, &inside));
    ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_ADD, .dtype = y.dtype, .shape = to.shape, .names = "x",
                                    .value = "x", .slope = { "g" }, .n = 1, .in = { y }, .into = &to });
    ad_emit_result(e, op, ad_emit_contiguous(e, inside));
    return AD_OK;
}

static void avg_unpool2d_samples(ad_sampler *s) {
    for (int i = 0; i < AD__POOL_CASES; i++) {
        ad__pool_attrs a = ad__pool_attrs_of(ad__pool_cases[i].o);
        ad_shape x, y;
        ad__read_shapes(1, &x, ad__pool_cases[i].x);
        y = x;
        a.size = AD_SHAPE(x.dim[x.ndim - 2], x.dim[x.ndim - 1]);
        for (int k = 0; k < 2; k++)
            y.dim[y.ndim - 2 + k] =
                ad__pooling_places(a.size.dim[k], a.kernel.dim[k], a.stride.dim[k], a.padding.dim[k], 1, a.ceil_mode);
        ad_sample(s, &a, 1, &y, NULL, NULL);
    }
    ad__pool_attrs a = adaptive(2, 3);
    a.size = AD_SHAPE(5, 7);
    ad__sample_text(s, &a, 1, "2,2,3", NULL, NULL);
}

AD_OPTYPE(
    avg_unpool2d,
    .doc = "the transpose of avg_pool2d as a linear map, to planes h x w: divides each element equally among the "
           "elements of its window",
    .formula = "y[..,k,m] = sum of x[..,i,j] / (elements of window i,j) over the windows i,j that contain k,m",
    .gradient = "avg_pool2d(g)", .arity = 1, .attr_size = sizeof(ad__pool_attrs), .attrs = unpool_list,
    .shape = avg_unpool2d_shape, .evaluate = { avg_unpool2d_evaluate, avg_unpool2d_evaluate },
    .backward = { avg_unpool2d_backward, avg_unpool2d_backward }, .vjp = avg_unpool2d_vjp, .emit = avg_unpool2d_emit);
ad_var *ad_avg_unpool2d(ad_var *x, int64_t h, int64_t w, ad_pool_opts opts) {
    ad__pool_attrs a = ad__pool_attrs_of(opts);
    a.size = AD_SHAPE(h, w);
    return ad__apply1(&ad_op_avg_unpool2d, x, &a);
}
