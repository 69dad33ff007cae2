/* max_pool.c: max pooling of planes and signals, and the indices of the maxima. */
#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/net/pool.h"

#include <math.h>

static const ad_attr max_list[] = { AD__POOL_WINDOW, AD__POOL_FIELD(dilation, AD_ATTR_SHAPE),
                                    AD__POOL_FIELD(ceil_mode, AD_ATTR_BOOL), { 0 } };

/* ---- max_pool2d, max_pool1d ------------------------------------------------------------------------------------- */

static int max_pool2d_shape(ad_call *c) {
    int rc = ad__pool_shape(c);
    if (rc == AD_OK && ad__shape_valid(c->shape)) c->saved = (size_t)ad_shape_numel(c->shape) * sizeof(int32_t) + 1;
    return rc;
}

static void pool_planes(void *context, int worker, int64_t from, int64_t to) {
    const ad_op *op = context;
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__pooling p = ad__pooling_of(ad__attrs_of(op), x->layout->shape, y->layout->shape);
    int64_t places = ad__plane_size(y->layout->shape);
    (void)worker;
    AD__BY_DTYPE(y->layout->dtype, ad__max_pool, &p, to - from, ad__plane_at(x, x->data, from),
                 ad__plane_at(y, y->data, from), (int32_t *)ad_saved(op) + from * places);
}

static int max_pool2d_evaluate(const ad_op *op) {
    ad__over_planes(op, op->in[0], pool_planes, (void *)op);
    return AD_OK;
}

typedef struct {
    const ad_op *op;
    void *gx;
    bool fresh;
} slopes;

static void pool_planes_back(void *context, int worker, int64_t from, int64_t to) {
    const slopes *s = context;
    const ad_var *x = s->op->in[0], *y = ad__out(s->op);
    int64_t size = ad__plane_size(x->layout->shape), places = ad__plane_size(y->layout->shape);
    (void)worker;
    AD__BY_DTYPE(y->layout->dtype, ad__max_pool_back, to - from, size, places,
                 (const int32_t *)ad_saved(s->op) + from * places, ad__plane_at(y, y->grad, from), s->fresh,
                 ad__plane_at(x, s->gx, from));
}

static void max_pool2d_backward(const ad_op *op) {
    slopes s = { .op = op };
    s.gx = ad_grad_claim(op, 0, &s.fresh);
    if (s.gx != NULL) ad__over_planes(op, op->in[0], pool_planes_back, &s);
}

static void max_pool2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape, pooled = ad__out(op)->layout->shape;
    ad_shape flat = AD_SHAPE(ad__plane_count(s), ad__plane_size(pooled));
    ad_var *index = ad_reshape(ad__apply1(&ad_op_max_pool2d_index, op->in[0], ad__attrs_of(op)), flat);
    ad_var *zeros = ad_zeros(ad__owner(g), g->layout->dtype, AD_SHAPE(ad__plane_count(s), ad__plane_size(s)));
    dx[0] = ad_reshape(ad_scatter_add(zeros, 1, index, ad_reshape(g, flat)), s);
}

/* The largest element of each window has the index `at` in its plane: the first of equal ones, but the last NaN. */
typedef struct {
    ad_emit_array x, index, at;
} maxima;

static maxima emit_maxima(ad_emit *e, const ad_op *op) {
    const ad_shape s = op->in[0]->layout->shape;
    ad__pooling p = ad__pooling_of(ad__attrs_of(op), s, ad__out(op)->layout->shape);
    ad_emit_array x = ad_emit_operand(e, op, 0), inside, at;
    const ad_shape flat = AD_SHAPE(ad__plane_count(s), p.in[0], p.in[1]);
    const unsigned window = 3u << 3;
    maxima m = { .x = ad__emit_plane(e, x.dtype, &p, flat.dim[0], -INFINITY, &inside) };
    ad__emit_copy(e, ad__emit_reshape(e, x, flat), inside);
    m.index = ad__emit_plane(e, AD_F64, &p, 0, INFINITY, &inside);
    at = ad_emit_index(e, AD_F64, inside.shape, 1);
    at.stride[0] = p.in[1];
    ad__emit_copy(e, at, inside);
    m.x = ad__emit_pool_windows(&p, m.x), m.index = ad__emit_pool_windows(&p, m.index);
    at = ad__emit_reduce(e, AD_EMIT_MAX, x.dtype, m.x, window, "x", NULL);
    at = ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_MIN, .dtype = AD_F64, .shape = m.x.shape, .reduced = window,
                                         .names = "x m i",
                                         .value = "i == INFINITY ? i : x != x ? -1 - i : x == m ? i : INFINITY",
                                         .n = 3, .in = { m.x, at, m.index } });
    m.at = ad__emit_map(e, AD_F64, at, "x < 0 ? -1 - x : x", NULL);
    return m;
}

AD_COLD static int max_pool2d_emit(ad_emit *e, const ad_op *op) {
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    maxima m = emit_maxima(e, op);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_MAX, .dtype = m.x.dtype, .shape = m.x.shape,
                                                          .reduced = 3u << 3, .names = "x i a", .value = "x",
                                                          .slope = { "i == a ? g : 0" }, .n = 3,
                                                          .in = { m.x, m.index, m.at } }));
    return AD_OK;
}

AD_COLD static int max_pool2d_index_emit(ad_emit *e, const ad_op *op) {
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    maxima m = emit_maxima(e, op);
    ad_emit_result(e, op, ad__emit_map(e, m.x.dtype, m.at, "x", NULL));
    return AD_OK;
}

static void max_samples(ad_sampler *s) {
    ad_pool_opts o = { .kernel = { 3, 2 }, .stride = { 1, 2 }, .padding = { 1, 0 }, .dilation = { 2, 3 } };
    ad__pool_attrs dilated = ad__pool_attrs_of(o);
    ad__pool_samples(s);
    ad__sample_text(s, &dilated, 1, "2,6,7", NULL, NULL);
    const double ties[] = { 1, 1, -2, 3, 1, 1, 3, 3, NAN, 0, -INFINITY, -INFINITY, 0, 2, -INFINITY, -INFINITY };
    const double *values[] = { ties };
    ad__pool_attrs a = ad__pool_attrs_of((ad_pool_opts){ .kernel = { 2, 2 } });
    ad_sample_values(s, &a, 1, &AD_SHAPE(1, 4, 4), values, AD_SAMPLE_KINK);
}
static void max_pool2d_samples(ad_sampler *s) { max_samples(s); }

AD_OPTYPE(max_pool2d,
          .doc =
              "the maximum of each window over the last two axes. x is padded with -inf",
          .formula = "y[..,i,j] = max over p,q of x[.., i stride - padding + p dilation, ..]",
          .gradient = "g at the index of the maximum",
          .special = "the first of equal elements gets the gradient; y is NaN if the window has a NaN", .arity = 1,
          .attr_size = sizeof(ad__pool_attrs), .attrs = max_list, .shape = max_pool2d_shape,
          .evaluate = { max_pool2d_evaluate, max_pool2d_evaluate },
          .backward = { max_pool2d_backward, max_pool2d_backward }, .vjp = max_pool2d_vjp, .emit = max_pool2d_emit);
ad_var *ad_max_pool2d(ad_var *x, ad_pool_opts opts) {
    ad__pool_attrs a = ad__pool_attrs_of(opts);
    return ad__apply1(&ad_op_max_pool2d, x, &a);
}
ad_var *ad_max_pool1d(ad_var *x, ad_pool_opts opts) { return ad__pool_signal(x, opts, ad_max_pool2d, "max_pool1d"); }

/* ---- max_pool2d_index: the indices of the maxima in their planes ------------------------------------------------ */

static int max_pool2d_index_shape(ad_call *c) {
    int64_t most = c->dtype == AD_F32 ? (int64_t)1 << 24 : INT32_MAX;
    int rc = ad__pool_check_planes(c);
    if (rc == AD_OK && ad__plane_size(c->shape) > most)
        return ad_call_fail(c, AD_ESHAPE, "a plane has more elements than %s can count exactly, %lld",
                            ad_dtype_name(c->dtype), (long long)most);
    if (rc == AD_OK) rc = ad__pool_shape(c);
    if (rc == AD_OK && ad__shape_valid(c->shape)) c->scratch = (size_t)ad__plane_size(c->shape) * sizeof(int32_t);
    return rc;
}

static int max_pool2d_index_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0];
    ad_var *y = ad__out(op);
    ad__pooling p = ad__pooling_of(ad__attrs_of(op), x->layout->shape, y->layout->shape);
    int64_t planes = ad__plane_count(x->layout->shape), places = ad__plane_size(y->layout->shape);
    size_t bytes = (size_t)ad__plane_size(x->layout->shape) * ad_dtype_size(y->layout->dtype);
    int32_t *index = ad_scratch(op);
    for (int64_t c = 0; c < planes; c++) {
        const void *plane = (const char *)x->data + (size_t)c * bytes;
        AD__BY_DTYPE(y->layout->dtype, ad__max_pool, &p, 1, plane, NULL, index);
        for (int64_t i = 0; i < places; i++) ad__put(y, c * places + i, index[i]);
    }
    return AD_OK;
}
static void max_pool2d_index_samples(ad_sampler *s) { max_samples(s); }

AD_OPTYPE(max_pool2d_index, .doc = "the index of each element of max_pool2d in its flattened plane h x w",
          .formula = "argmax of each window", .arity = 1, .flags = AD_OP_CONSTANT, .attr_size = sizeof(ad__pool_attrs),
          .attrs = max_list, .shape = max_pool2d_index_shape,
          .evaluate = { max_pool2d_index_evaluate, max_pool2d_index_evaluate }, .emit = max_pool2d_index_emit);
ad_var *ad_max_pool2d_index(ad_var *x, ad_pool_opts opts) {
    ad__pool_attrs a = ad__pool_attrs_of(opts);
    return ad__apply1(&ad_op_max_pool2d_index, x, &a);
}
