/* elementwise.c: the driver that runs elementwise ops over arrays, with broadcasting; and their samples. */
#include "ops/elementwise/elementwise.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/vector.h"

#include <assert.h>
#include <string.h>

/* Shared by the threads that run an Op's loops. */
typedef struct {
    const ad_op *op;
    const ad__formula *formula; /* the value, or the slope by one operand */
    size_t size;            /* of an element, in bytes */
    bool whole;             /* every operand has the result's elements, in the same order */
    ad__broadcast_map map[AD__OPERANDS];
    /* for the slopes by one operand: */
    char *to;                     /* its gradient, if the operand does not repeat */
    bool fresh;                   /* the gradient has no contribution yet */
    const ad__broadcast_map *sum; /* if the operand repeats: how its gradient sums over the repetitions */
    double *sums;                 /* the f64 sums of a repeated operand */
    int64_t row;                  /* elements of the result per index of its first axis */
    double zeros[AD__CHUNK];          /* the base of the first slopes; read as floats in f32 */
} job;

static inline void job_begin(job *j, const ad_op *op) {
    const ad__layout *out = ad__out(op)->layout;
    j->op = op, j->size = out->dtype == AD_F32 ? sizeof(float) : sizeof(double), j->whole = true;
    for (int i = 0; i < op->n_in; i++) {
        const ad__layout *l = op->in[i]->layout;
        j->map[i].ndim = 0; /* whole */
        if (l == out || ad_shape_equal(l->shape, out->shape)) continue;
        j->map[i] = ad__broadcast_map_of(l->shape, out->shape);
        j->whole = j->whole && ad__broadcast_is_whole(&j->map[i]);
    }
}

/* in[i] = elements from .. from+n of operand i after broadcasting, in place if contiguous, else copied to buffer. */
static void repeated_operands(const job *j, int64_t from, int64_t n, double buffer[][AD__CHUNK], const void *in[]) {
    for (int i = 0; i < j->op->n_in; i++) {
        const void *x = j->op->in[i]->data;
        if (ad__broadcast_is_whole(&j->map[i])) in[i] = (const char *)x + (size_t)from * j->size;
        else if (j->size == sizeof(float))
            in[i] = ad__broadcast_read_f32(&j->map[i], from, n, x, (float *)(void *)buffer[i]);
        else in[i] = ad__broadcast_read_f64(&j->map[i], from, n, x, buffer[i]);
    }
}

static inline void whole_operands(const job *j, int64_t from, const void *in[]) {
    for (int i = 0; i < j->op->n_in; i++) in[i] = (const char *)j->op->in[i]->data + (size_t)from * j->size;
}

/* What all loops of a job read. */
static inline void arrays_begin(const job *j, ad__arrays *p) {
    memset(p, 0, offsetof(ad__arrays, of_one));
    p->k = ad__attrs_of(j->op), p->of_one = j->formula->of_one, p->n = j->op->n_in;
}

/* Threads share the elements of the result; one chunk is too small to share. */
static inline void share(job *j, ad_loop_fn *loop) {
    int64_t n = ad__out(j->op)->layout->numel;
    if (n <= AD__CHUNK) loop(j, 0, 0, n);
    else ad_parallel(ad__op_team(j->op), n, 0, 1, loop, j);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void values_of_whole(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    ad__arrays p;
    arrays_begin(j, &p);
    (void)worker;
    whole_operands(j, from, p.in);
    p.y = (char *)ad__out(j->op)->data + (size_t)from * j->size;
    ad__run_loops(j->formula->loops, to - from, j->size, &p);
}

static void values_of_repeated(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    double buffer[AD__OPERANDS][AD__CHUNK];
    (void)worker;
    for (int64_t i = from; i < to; i += AD__CHUNK) {
        int64_t n = ad__lesser(AD__CHUNK, to - i);
        ad__arrays p;
        arrays_begin(j, &p);
        repeated_operands(j, i, n, buffer, p.in);
        p.y = (char *)ad__out(j->op)->data + (size_t)i * j->size;
        ad__run_loops(j->formula->loops, n, j->size, &p);
    }
}

int ad__run_values(const ad_op *op, const ad__formula *value) {
    job j;
    job_begin(&j, op);
    j.formula = value;
    share(&j, j.whole ? values_of_whole : values_of_repeated);
    return AD_OK;
}

/* ---- slopes ------------------------------------------------------------------------------------------------------ */

/* to = base + the slopes of elements from .. from+n. */
static void slopes(const job *j, int64_t from, int64_t n, const void *base, void *to) {
    const ad_var *out = ad__out(j->op);
    size_t at = (size_t)from * j->size;
    double buffer[AD__OPERANDS][AD__CHUNK];
    ad__arrays p;
    arrays_begin(j, &p);
    if (j->whole) whole_operands(j, from, p.in);
    else repeated_operands(j, from, n, buffer, p.in);
    p.y = (char *)out->data + at, p.g = (const char *)out->grad + at;
    p.base = base, p.to = to;
    ad__run_loops(j->formula->loops, n, j->size, &p);
}

static void slopes_whole(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    (void)worker;
    for (int64_t i = from; i < to; i += AD__CHUNK) {
        char *at = j->to + (size_t)i * j->size;
        slopes(j, i, ad__lesser(AD__CHUNK, to - i), j->fresh ? (const char *)j->zeros : at, at);
    }
}

/* For an operand that does not repeat, slopes go directly into its gradient. The first slopes are added to j->zeros
   and not to a zeroed gradient: its memory may be that of the result's gradient, which is still to be read. */
static void add_whole(job *j, int i) {
    int64_t n = ad__out(j->op)->layout->numel;
    j->to = ad_grad_claim(j->op, i, &j->fresh);
    if (j->fresh) memset(j->zeros, 0, (size_t)ad__lesser(n, AD__CHUNK) * j->size);
    share(j, slopes_whole);
}

static void slopes_repeated(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    double chunk[AD__CHUNK];
    (void)worker;
    for (int64_t i = from * j->row, end = to * j->row; i < end; i += AD__CHUNK) {
        int64_t n = ad__lesser(AD__CHUNK, end - i);
        slopes(j, i, n, j->zeros, chunk);
        if (j->size == sizeof(float)) ad__broadcast_sum_f32(j->sum, i, n, (const float *)(const void *)chunk, j->sums);
        else ad__broadcast_sum_f64(j->sum, i, n, chunk, j->sums);
    }
}

/* For an operand that repeats, slopes are summed in f64 over the repetitions. Several threads do so if the operand does
   not repeat along the first axis. */
static void add_repeated(job *j, int i) {
    ad_var *x = j->op->in[i];
    int64_t n = ad__out(j->op)->layout->numel, numel = x->layout->numel;
    j->sum = &j->map[i], j->sums = ad__owner(x)->scratch;
    int64_t rows = n > 0 && j->sum->ndim > 0 && j->sum->stride[0] != 0 ? j->sum->dim[0] : 1;
    j->row = n / rows;
    memset(j->zeros, 0, (size_t)ad__lesser(n, AD__CHUNK) * j->size);
    memset(j->sums, 0, (size_t)numel * sizeof *j->sums);
    ad_parallel(ad__op_team(j->op), rows, 0, j->row, slopes_repeated, j);
    void *gx = ad_grad_into(j->op, i);
    if (x->layout->dtype == AD_F32) ad__to_f32_add(numel, j->sums, gx);
    else ad__array_add_f64(numel, j->sums, gx);
}

void ad__run_slopes(const ad_op *op, const ad__formula slopes[]) {
    int in_place = -1; /* the operand whose gradient shares the memory of the result's; it must come last */
    job j;
    job_begin(&j, op);
    for (int i = 0; i < op->n_in; i++) {
        if (!ad__wants(op, i)) continue;
        j.formula = &slopes[i];
        if (op->in[i]->grad == ad__out(op)->grad) in_place = i;
        else if (ad__broadcast_is_whole(&j.map[i])) add_whole(&j, i);
        else add_repeated(&j, i);
    }
    if (in_place < 0) return;
    j.formula = &slopes[in_place];
    add_whole(&j, in_place);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

/* The formulas of an Op in its dtype: the value, then the slopes. */
static inline const ad__formula *formulas_of(const ad_op *op) {
    return ((const ad__elementwise_code *)op->type->flat)->formulas[ad__out(op)->layout->dtype];
}

#define KERNELS "ops/elementwise/shared.inc"
#include "ops/kernels/base/each_dtype.h"

/* The fast path of ops whose public function does not contain it. k_size is a constant where this is inlined. */
AD__INLINE ad_var *fast_call(const ad_optype *type, int n, ad_var *const in[], const double *k, size_t k_size) {
    ad_var *y = ad__new_scalar(type, n, in, k, k_size, (type->flags & AD_OP_CONSTANT) != 0);
    (void)type->evaluate[y->layout->dtype](y->creator); /* cannot fail for one element */
    return ad__append(ad__owner(y), y);
}

ad_var *ad__call_1(const ad_optype *type, ad_var *x, const double *k) {
    if (AD__UNLIKELY(x == NULL || !ad__is_fast(type, x->layout, 1, type->attr_size))) return ad__apply1(type, x, k);
    return k == NULL ? fast_call(type, 1, &x, NULL, 0) : fast_call(type, 1, &x, k, type->attr_size);
}

ad_var *ad__call_2(const ad_optype *type, ad_var *a, ad_var *b) {
    if (AD__UNLIKELY(a == NULL || b == NULL || a->layout != b->layout || !ad__is_fast(type, a->layout, 2, 0)))
        return ad__apply2(type, a, b, NULL);
    return fast_call(type, 2, (ad_var *[]){ a, b }, NULL, 0);
}

ad_var *ad__rule_for(const ad_op *op, int i, ad_var *rule) {
    return rule ? ad_sum_to(rule, op->in[i]->layout->shape) : NULL;
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

/* All combinations of edge values for n operands, listed along one axis: broadcasting would sum their gradients. */
static void edge_samples(ad_sampler *s, int n, const double *k, int n_edges, const double *edges) {
    enum { MOST = 512 };
    double values[AD__OPERANDS][MOST];
    int total = 1;
    for (int i = 0; i < n; i++) total *= n_edges;
    assert(n <= AD__OPERANDS && total <= MOST);
    for (int e = 0; e < total; e++)
        for (int i = 0, rest = e; i < n; i++, rest /= n_edges) values[n - 1 - i][e] = edges[rest % n_edges];
    const ad_shape shape = AD_SHAPE(total), shapes[AD__OPERANDS] = { shape, shape, shape };
    ad_sample_values(s, k, n, shapes, (const double *[]){ values[0], values[1], values[2] }, AD_SAMPLE_KINK);
}

void ad__elementwise_samples(ad_sampler *s, int n, const double *k, double lo, double hi, int n_edges,
                             const double *edges) {
    ad_shape one[7][1];
    AD__SHAPES(one, "(); 1; 0; 5; 2,3; 2,0,3; 67");
    ad_shape two[13][2];
    AD__SHAPES(two, "() (); 1 (); 5 5; 0 1; 2,3 3; 3 2,3; 2,3 (); () 2,3; 2,1 1,3; 4,1,2 3,1; 2,3,4 2,1,4; "
                    "3,1 3,67; 1,0 3,1");
    ad_shape three[8][3];
    AD__SHAPES(three, "() () (); 5 5 5; 2,3 3 (); () 2,1 1,3; 2,1,1 3,1 4; 3 1 2,3; 0 1 (); 67 3,1 3,67");
    const double los[] = { lo, lo, lo }, his[] = { hi, hi, hi };
    const ad_shape *shapes = n == 1 ? one[0] : n == 2 ? two[0] : three[0];
    int count = n == 1 ? AD__COUNT(one) : n == 2 ? AD__COUNT(two) : AD__COUNT(three);
    for (int i = 0; i < count; i++) ad_sample(s, k, n, shapes + i * n, los, his);
    edge_samples(s, n, k, n_edges, edges);
}
