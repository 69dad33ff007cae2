/* elementwise.c: running an elementwise op's loops over arrays, with broadcasting; and its samples. */
#include "ops/elementwise/elementwise.h"
#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/vector.h"

#include <assert.h>
#include <string.h>

/* Elements worked on at once where an operand repeats, or a gradient is the first to arrive: few enough
   to stay in the first-level cache. */
enum { CHUNK = 1024 };

/* What slopes are added to: zeros, chunk after chunk the same, where nothing arrived yet, else the gradient
   itself. Zeros beside the gradient, not in it: it may lie where the result's gradient is still to be read. */
typedef struct {
    double zeros[CHUNK];
    bool fresh;
} base;

static void base_open(base *b, bool fresh, int64_t n, size_t size) {
    b->fresh = fresh;
    if (fresh) memset(b->zeros, 0, (size_t)ad__min(n, CHUNK) * size);
}

/* ---- one operand ----------------------------------------------------------------------------------- */

typedef struct {
    const ad_op *op;
    ad__unary_value *const *value;
    ad__unary_slope *const *slope;
    size_t size;
    char *to; /* the gradient */
    base base;
} unary;

static void value_slab(void *context, int worker, int64_t from, int64_t to) {
    const unary *u = context;
    size_t at = (size_t)from * u->size;
    (void)worker;
    AD__RUN(u->value, to - from, u->size, ad__attrs_of(u->op), (char *)u->op->in[0]->data + at,
            (char *)ad__out(u->op)->data + at);
}

static void slope_slab(void *context, int worker, int64_t from, int64_t to) {
    const unary *u = context;
    const ad_var *x = u->op->in[0], *out = ad__out(u->op);
    (void)worker;
    for (int64_t i = from; i < to; i += CHUNK) {
        size_t at = (size_t)i * u->size;
        AD__RUN(u->slope, ad__min(CHUNK, to - i), u->size, ad__attrs_of(u->op), (char *)x->data + at, (char *)out->data + at,
                 (char *)out->grad + at, u->base.fresh ? (const char *)u->base.zeros : u->to + at, u->to + at);
    }
}

int ad__run_unary(const ad_op *op, ad__unary_value *const value[]) {
    const ad__layout *l = ad__out(op)->layout;
    unary u;
    u.op = op, u.value = value, u.size = ad_dtype_size(l->dtype);
    ad_parallel(ad__op_team(op), l->numel, 0, 1, value_slab, &u);
    return AD_OK;
}

void ad__run_unary_back(const ad_op *op, ad__unary_slope *const slope[]) {
    const ad__layout *l = ad__out(op)->layout;
    unary u;
    bool fresh;
    u.op = op, u.slope = slope, u.size = ad_dtype_size(l->dtype), u.to = ad_grad_claim(op, 0, &fresh);
    base_open(&u.base, fresh, l->numel, u.size);
    ad_parallel(ad__op_team(op), l->numel, 0, 1, slope_slab, &u);
}

/* ---- two operands or three: how each lies in the result ---------------------------------------------- */

typedef struct {
    const ad_op *op;
    const ad_var *out;
    ad__broadcast_map spread[AD__NARY];
    size_t size;
    bool whole; /* every operand has the result's elements in their order */
    ad__nary_value *const *value;
    ad__nary_slope *const *slope;
    base base;
    char *to;              /* an operand's gradient */
    const ad__broadcast_map *sum; /* or how it is summed over its repetitions, */
    double *sums;          /* into these; row elements of the result at a time */
    int64_t row;
} nary;

static void nary_of(const ad_op *op, nary *p) {
    p->op = op, p->out = ad__out(op), p->size = ad_dtype_size(p->out->layout->dtype), p->whole = true;
    for (int i = 0; i < op->n_in; i++) {
        const ad__layout *l = op->in[i]->layout;
        p->spread[i].ndim = 0; /* whole */
        if (l == p->out->layout || ad_shape_equal(l->shape, p->out->layout->shape)) continue;
        p->spread[i] = ad__broadcast_map_of(l->shape, p->out->layout->shape);
        p->whole = p->whole && ad__broadcast_is_whole(&p->spread[i]);
    }
}

/* in[i] = elements from .. from+n of operand i as the result sees them. */
static void elements(const nary *p, int64_t from, int64_t n, double buffer[][CHUNK], const void *in[]) {
    for (int i = 0; i < p->op->n_in; i++) {
        const void *x = p->op->in[i]->data;
        if (ad__broadcast_is_whole(&p->spread[i])) in[i] = (const char *)x + (size_t)from * p->size;
        else if (p->out->layout->dtype == AD_F32)
            in[i] = ad__broadcast_read_f32(&p->spread[i], from, n, x, (float *)(void *)buffer[i]);
        else in[i] = ad__broadcast_read_f64(&p->spread[i], from, n, x, buffer[i]);
    }
}

static void values_slab(void *context, int worker, int64_t from, int64_t to) {
    const nary *p = context;
    const void *in[AD__NARY];
    double buffer[AD__NARY][CHUNK];
    (void)worker;
    for (int64_t i = from, step = p->whole ? to - from : CHUNK; i < to; i += step) {
        int64_t count = ad__min(step, to - i);
        elements(p, i, count, buffer, in);
        AD__RUN(p->value, count, p->size, in, (char *)p->out->data + (size_t)i * p->size);
    }
}

int ad__run_nary(const ad_op *op, ad__nary_value *const value[]) {
    nary p;
    nary_of(op, &p);
    p.value = value;
    ad_parallel(ad__op_team(op), p.out->layout->numel, 0, 1, values_slab, &p);
    return AD_OK;
}

/* ---- two operands or three, backward --------------------------------------------------------------------- */

/* to = what it is added to, plus the slope of elements from .. from+n. */
static void slope_chunk(const nary *p, int64_t from, int64_t n, const void *added_to, void *to) {
    double buffer[AD__NARY][CHUNK];
    const void *in[AD__NARY];
    size_t at = (size_t)from * p->size;
    elements(p, from, n, buffer, in);
    AD__RUN(p->slope, n, p->size, in, (char *)p->out->data + at, (char *)p->out->grad + at, added_to, to);
}

static void whole_slab(void *context, int worker, int64_t from, int64_t to) {
    const nary *p = context;
    (void)worker;
    for (int64_t i = from; i < to; i += CHUNK) {
        char *at = p->to + (size_t)i * p->size;
        slope_chunk(p, i, ad__min(CHUNK, to - i), p->base.fresh ? (const char *)p->base.zeros : at, at);
    }
}

/* An operand that is not repeated takes its gradient where it lies. */
static void back_whole(nary *p, int i) {
    int64_t n = p->out->layout->numel;
    bool fresh;
    p->to = ad_grad_claim(p->op, i, &fresh);
    base_open(&p->base, fresh, n, p->size);
    ad_parallel(ad__op_team(p->op), n, 0, 1, whole_slab, p);
}

static void repeated_rows(void *context, int worker, int64_t from, int64_t to) {
    const nary *p = context;
    double chunk[CHUNK];
    (void)worker;
    for (int64_t i = from * p->row, end = to * p->row; i < end; i += CHUNK) {
        int64_t count = ad__min(CHUNK, end - i);
        slope_chunk(p, i, count, p->base.zeros, chunk);
        if (p->size == sizeof(float)) ad__broadcast_sum_f32(p->sum, i, count, (const float *)(const void *)chunk, p->sums);
        else ad__broadcast_sum_f64(p->sum, i, count, chunk, p->sums);
    }
}

/* One that is repeated takes the sum over its repetitions, kept in f64 until it is whole. Several threads sum
   where the first axis is not one of those that repeat it. */
static void back_repeated(nary *p, int i) {
    ad_var *x = p->op->in[i];
    int64_t n = p->out->layout->numel, numel = x->layout->numel;
    p->sum = &p->spread[i], p->sums = ad__owner(x)->scratch;
    int64_t rows = n > 0 && p->sum->ndim > 0 && p->sum->stride[0] != 0 ? p->sum->dim[0] : 1;
    p->row = n / rows;
    base_open(&p->base, true, n, p->size);
    memset(p->sums, 0, (size_t)numel * sizeof *p->sums);
    ad_parallel(ad__op_team(p->op), rows, 0, p->row, repeated_rows, p);
    void *gx = ad_grad_into(p->op, i);
    if (x->layout->dtype == AD_F32) ad__to_f32_add(numel, p->sums, gx);
    else ad__array_add_f64(numel, p->sums, gx);
}

void ad__run_nary_back(const ad_op *op, ad__nary_slope *const *const slopes[]) {
    nary p;
    int in_place = -1; /* the operand whose gradient lies where the result's does: it comes last */
    nary_of(op, &p);
    for (int i = 0; i < op->n_in; i++) {
        if (!ad__wants(op, i)) continue;
        p.slope = slopes[i];
        if (op->in[i]->grad == p.out->grad) in_place = i;
        else if (ad__broadcast_is_whole(&p.spread[i])) back_whole(&p, i);
        else back_repeated(&p, i);
    }
    if (in_place < 0) return;
    p.slope = slopes[in_place];
    back_whole(&p, in_place);
}

/* ---- samples --------------------------------------------------------------------------------------------- */

void ad__unary_samples(ad_sampler *s, const double *k, double lo, double hi, int n_edges, const double *edges) {
    const ad_shape shapes[] = { AD_SCALAR, AD_SHAPE(1), AD_SHAPE(0), AD_SHAPE(5), AD_SHAPE(2, 3), AD_SHAPE(2, 0, 3),
                                AD_SHAPE(67) };
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, k, 1, &shapes[i], &lo, &hi);
    ad_shape shape = AD_SHAPE(n_edges);
    ad_sample_values(s, k, 1, &shape, &edges, AD_SAMPLE_KINK);
}

/* Each edge value with each, of n operands: side by side, as broadcasting would add their gradients up. */
static void edge_samples(ad_sampler *s, int n, int n_edges, const double *edges) {
    enum { MOST = 512 };
    double values[AD__NARY][MOST];
    int total = 1;
    for (int i = 0; i < n; i++) total *= n_edges;
    assert(n <= AD__NARY && total <= MOST);
    for (int k = 0; k < total; k++)
        for (int i = 0, rest = k; i < n; i++, rest /= n_edges) values[n - 1 - i][k] = edges[rest % n_edges];
    const ad_shape shape = AD_SHAPE(total), shapes[AD__NARY] = { shape, shape, shape };
    ad_sample_values(s, NULL, n, shapes, (const double *[]){ values[0], values[1], values[2] }, AD_SAMPLE_KINK);
}

void ad__binary_samples(ad_sampler *s, double lo, double hi, int n_edges, const double *edges) {
    const ad_shape shapes[][2] = {
        { AD_SCALAR, AD_SCALAR },          { AD_SHAPE(1), AD_SCALAR },           { AD_SHAPE(5), AD_SHAPE(5) },
        { AD_SHAPE(0), AD_SHAPE(1) },      { AD_SHAPE(2, 3), AD_SHAPE(3) },      { AD_SHAPE(3), AD_SHAPE(2, 3) },
        { AD_SHAPE(2, 3), AD_SCALAR },     { AD_SCALAR, AD_SHAPE(2, 3) },        { AD_SHAPE(2, 1), AD_SHAPE(1, 3) },
        { AD_SHAPE(4, 1, 2), AD_SHAPE(3, 1) }, { AD_SHAPE(2, 3, 4), AD_SHAPE(2, 1, 4) }, { AD_SHAPE(3, 1), AD_SHAPE(3, 67) },
        { AD_SHAPE(1, 0), AD_SHAPE(3, 1) },
    };
    double los[] = { lo, lo }, his[] = { hi, hi };
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 2, shapes[i], los, his);
    edge_samples(s, 2, n_edges, edges);
}

void ad__ternary_samples(ad_sampler *s, double lo, double hi, int n_edges, const double *edges) {
    const ad_shape shapes[][3] = {
        { AD_SCALAR, AD_SCALAR, AD_SCALAR },
        { AD_SHAPE(5), AD_SHAPE(5), AD_SHAPE(5) },
        { AD_SHAPE(2, 3), AD_SHAPE(3), AD_SCALAR },
        { AD_SCALAR, AD_SHAPE(2, 1), AD_SHAPE(1, 3) },
        { AD_SHAPE(2, 1, 1), AD_SHAPE(3, 1), AD_SHAPE(4) },
        { AD_SHAPE(3), AD_SHAPE(1), AD_SHAPE(2, 3) },
        { AD_SHAPE(0), AD_SHAPE(1), AD_SCALAR },
        { AD_SHAPE(67), AD_SHAPE(3, 1), AD_SHAPE(3, 67) },
    };
    double los[] = { lo, lo, lo }, his[] = { hi, hi, hi };
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 3, shapes[i], los, his);
    edge_samples(s, 3, n_edges, edges);
}
