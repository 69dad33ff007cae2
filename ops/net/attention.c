/* attention.c: scaled dot product attention (Vaswani et al. 2017), tile by tile, so that the scores of all pairs are
   never held (Dao et al. 2022); and what its dropout is made of. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/net/attention.h"
#include "ops/kernels/net/dropout.h"
#include "ops/kernels/linalg/gemm.h"
#include "ops/ops.h"

#include <math.h>

/* ---- random_key, keyed_dropout_mask: random numbers as a function of numbers that are drawn once ----------------- */

enum { KEY = 4 }; /* numbers of 16 random bits each, which f32 holds too */

static int random_key_shape(ad_call *c) { return c->shape = AD_SHAPE(KEY), AD_OK; }

static int random_key_evaluate(const ad_op *op) {
    uint32_t bits[KEY];
    ad_random_bits(ad__owner(ad__out(op)), KEY, bits);
    for (int i = 0; i < KEY; i++) ad__put(ad__out(op), i, bits[i] >> 16);
    return AD_OK;
}

static void random_key_samples(ad_sampler *s) {
    ad_shape shapes[3];
    AD__SHAPES(shapes, "() 2,3 0");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 1, &shapes[i], NULL, NULL);
}

AD_OPTYPE(random_key, .doc = "four random whole numbers in 0..65535, with the dtype of x; drawn anew by ad_eval",
          .formula = "y ~ U{0, .., 65535}", .arity = 1, .flags = AD_OP_CONSTANT | AD_OP_RANDOM,
          .no_grad = AD_NO_GRAD(0), .shape = random_key_shape,
          .evaluate = { random_key_evaluate, random_key_evaluate });
ad_var *ad_random_key(ad_var *x) { return ad__apply1(&ad_op_random_key, x, NULL); }

/* What is no number of a key counts as 0. */
static void key_of(const ad_var *x, uint32_t key[2]) {
    uint32_t half[KEY];
    for (int i = 0; i < KEY; i++) half[i] = ad__get(x, i) >= 0 && ad__get(x, i) < 0x1p16 ? (uint32_t)ad__get(x, i) : 0;
    for (int i = 0; i < 2; i++) key[i] = half[2 * i] | half[2 * i + 1] << 16;
}

static int check_key(const ad_call *c, int i) {
    if (ad_shape_equal(c->in[i]->layout->shape, AD_SHAPE(KEY))) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "a key has %d numbers, as ad_random_key gives them", KEY);
}

static int check_p(const ad_call *c, double p) {
    if (p >= 0 && p <= 1) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "p is %g, not a probability in 0..1", p);
}

typedef struct {
    ad_shape shape;
    double p;
} mask_attrs;
static const ad_attr mask_list[] = { { "shape", AD_ATTR_SHAPE, offsetof(mask_attrs, shape) },
                                     { "p", AD_ATTR_DOUBLE, offsetof(mask_attrs, p) },
                                     { 0 } };

static int keyed_dropout_mask_shape(ad_call *c) {
    const mask_attrs *a = c->attrs;
    int rc = check_key(c, 0);
    if (rc == AD_OK) rc = check_p(c, a->p);
    if (rc == AD_OK && a->shape.ndim < 1) rc = ad_call_fail(c, AD_ESHAPE, "a mask has one axis or more");
    c->shape = a->shape;
    return rc;
}

static int keyed_dropout_mask_evaluate(const ad_op *op) {
    enum { PART = 256 };
    const mask_attrs *a = ad__attrs_of(op);
    const ad_var *y = ad__out(op);
    int64_t n = a->shape.dim[a->shape.ndim - 1];
    uint32_t key[2], bits[PART];
    key_of(op->in[0], key);
    for (int64_t i = 0; i < y->layout->numel; i += ad__lesser(PART, n - i % n)) {
        int64_t count = ad__lesser(PART, n - i % n);
        void *to = (char *)y->data + (size_t)i * ad_dtype_size(y->layout->dtype);
        ad__keyed_bits(key, (uint64_t)(i / n), (uint64_t)(i % n / 4), count, bits);
        AD__BY_DTYPE(y->layout->dtype, ad__mask_of_bits, count, bits, a->p * 0x1p32, 1 / (1 - a->p), to);
    }
    return AD_OK;
}

static void keyed_dropout_mask_samples(ad_sampler *s) {
    ad_shape shapes[5];
    AD__SHAPES(shapes, "1 3,5 2,2,9 0,4 300");
    const double ps[] = { 0, 0.3, 1 }, keys[][KEY] = { { 0, 0, 0, 0 }, { 65535, 1, 30000, 4711 } };
    for (int i = 0; i < AD__COUNT(shapes); i++) {
        const double *values[] = { keys[i % 2] };
        ad_sample_values(s, &(mask_attrs){ shapes[i], ps[i % 3] }, 1, &AD_SHAPE(KEY), values, 0);
    }
}

AD_OPTYPE(keyed_dropout_mask,
          .doc = "a dropout mask of any shape as a function of a key [4] of ad_random_key: 0 with probability p, "
                 "otherwise 1 / (1 - p)",
          .formula = "u < p ? 0 : 1 / (1 - p), where u is made of Philox's words with the key, the row and the column",
          .special = "all 0 for p = 1", .arity = 1, .flags = AD_OP_CONSTANT, .no_grad = AD_NO_GRAD(0),
          .attr_size = sizeof(mask_attrs), .attrs = mask_list, .shape = keyed_dropout_mask_shape,
          .evaluate = { keyed_dropout_mask_evaluate, keyed_dropout_mask_evaluate });
ad_var *ad_keyed_dropout_mask(ad_var *key, ad_shape shape, double p) {
    return ad__apply1(&ad_op_keyed_dropout_mask, key, &(mask_attrs){ shape, p });
}

/* ---- attention: q [..,tq,d], k [..,tk,d], v [..,tk,dv], an optional key, an optional mask -> y [..,tq,dv] -------- */

typedef struct {
    bool causal;
    int64_t offset;
    double scale, p;
} attention_attrs;
static const ad_attr attention_list[] = { { "causal", AD_ATTR_BOOL, offsetof(attention_attrs, causal) },
                                          { "offset", AD_ATTR_INT64, offsetof(attention_attrs, offset) },
                                          { "scale", AD_ATTR_DOUBLE, offsetof(attention_attrs, scale) },
                                          { 0 } },
                     dropout_list[] = { { "causal", AD_ATTR_BOOL, offsetof(attention_attrs, causal) },
                                        { "offset", AD_ATTR_INT64, offsetof(attention_attrs, offset) },
                                        { "scale", AD_ATTR_DOUBLE, offsetof(attention_attrs, scale) },
                                        { "p", AD_ATTR_DOUBLE, offsetof(attention_attrs, p) },
                                        { 0 } };

/* Operands by number. With dropout the key is operand 3 and the mask follows it. */
enum { Q, K, V, MASK, OPERANDS };
static int first_extra(const ad_optype *type) { return type == &ad_op_attention_dropout ? 4 : 3; }
static int mask_index(const ad_op *op) { return op->n_in > first_extra(op->type) ? first_extra(op->type) : -1; }
static int index_of(const ad_op *op, int operand) { return operand == MASK ? mask_index(op) : operand; }

static ad_shape leading(ad_shape s) {
    s.ndim = s.ndim > 2 ? s.ndim - 2 : 0;
    return s;
}
/* The size of an axis counted from the last, 1 or 2; 1 if the shape has not so many. */
static int64_t from_end(ad_shape s, int axis) { return s.ndim >= axis ? s.dim[s.ndim - axis] : 1; }

/* The leading axes that q, k and v broadcast to. */
static int batches_of(ad_var *const in[], ad_shape *all) {
    *all = leading(in[Q]->layout->shape);
    return ad__broadcast(*all, leading(in[K]->layout->shape), all) ||
                   ad__broadcast(*all, leading(in[V]->layout->shape), all)
               ? -1
               : 0;
}

static ad_shape matrices(ad_shape batches, int64_t n, int64_t m) {
    ad_shape s = batches;
    s.dim[s.ndim++] = n;
    s.dim[s.ndim++] = m;
    for (int i = s.ndim; i < AD_MAX_NDIM; i++) s.dim[i] = 0;
    return s;
}

static double scale_of(double scale, int64_t d) { return ad_option(scale, 1 / sqrt((double)d)); }

static void sizes_of(ad_var *const in[], const attention_attrs *o, const ad_var *mask, ad__attention_sizes *a) {
    ad_shape q = in[Q]->layout->shape, v = in[V]->layout->shape;
    *a = (ad__attention_sizes){ .tq = from_end(q, 2),
                                .tk = from_end(v, 2),
                                .d = from_end(q, 1),
                                .dv = from_end(v, 1),
                                .causal = o->causal,
                                .dropout = o->p };
    a->scale = scale_of(o->scale, a->d);
    a->offset = o->offset < -a->tq ? -a->tq : ad__lesser(o->offset, a->tk);
    if (mask == NULL) return;
    ad_shape m = mask->layout->shape;
    a->mask_column = from_end(m, 1) > 1;
    a->mask_row = from_end(m, 2) > 1 ? from_end(m, 1) : 0;
}

static int check_mask(const ad_call *c, ad_shape batches, const ad__attention_sizes *a) {
    ad_shape scores = matrices(batches, a->tq, a->tk), all;
    ad_shape mask = c->in[c->n - 1]->layout->shape;
    if (ad__broadcast(mask, scores, &all) == 0 && ad_shape_equal(all, scores)) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "the mask %s does not broadcast to the scores %s", ad_shape_str(mask).text,
                        ad_shape_str(scores).text);
}

static int check_operands(const ad_call *c, ad_shape *batches) {
    int most = first_extra(c->type) + 1;
    if (c->n < most - 1 || c->n > most) return ad_call_fail(c, AD_EVALUE, "takes %d or %d operands", most - 1, most);
    ad_shape q = c->shape, k = c->in[K]->layout->shape, v = c->in[V]->layout->shape;
    if (q.ndim < 2 || k.ndim < 2 || v.ndim < 2 || from_end(q, 1) != from_end(k, 1) || from_end(k, 2) != from_end(v, 2))
        return ad_call_fail(c, AD_ESHAPE, "takes q [..,tq,d], k [..,tk,d] and v [..,tk,dv]");
    if (batches_of(c->in, batches))
        return ad_call_fail(c, AD_ESHAPE, "the leading axes of q, k and v do not broadcast");
    return most == 5 ? check_key(c, 3) : AD_OK;
}

static int attention_shape(ad_call *c) {
    const attention_attrs *o = c->attrs;
    ad_shape batches;
    int rc = check_operands(c, &batches);
    if (rc == AD_OK) rc = check_p(c, o->p);
    if (rc != AD_OK) return rc;
    bool has_mask = c->n > first_extra(c->type);
    ad__attention_sizes a;
    sizes_of(c->in, o, has_mask ? c->in[c->n - 1] : NULL, &a);
    if (!isfinite(o->scale)) return ad_call_fail(c, AD_EVALUE, "the scale is %g, not a finite number", o->scale);
    if (a.tq > AD__GEMM_MAX || a.tk > AD__GEMM_MAX || a.d > AD__GEMM_MAX || a.dv > AD__GEMM_MAX)
        return ad_call_fail(c, AD_ESHAPE, "a side is longer than %d", AD__GEMM_MAX);
    if (has_mask) rc = check_mask(c, batches, &a);
    c->shape = matrices(batches, a.tq, a.dv);
    c->scratch = ad__attention_work(&a, c->dtype);
    int64_t numel = ad_shape_numel(c->shape);
    c->saved = numel > 0 ? 1 + (size_t)(numel / a.dv / a.tq) * ad__attention_kept(&a, c->dtype) : 0; /* not NULL */
    return rc;
}

/* ---- the loop over heads ---------------------------------------------------------------------------------------- */

typedef struct {
    const ad_op *op;
    ad_dtype t;
    ad__attention_sizes a;
    ad_shape batches;
    int64_t count, blocks; /* heads, and blocks of queries in each */
    char *grad[OPERANDS];
    bool fresh[OPERANDS]; /* the gradient is not initialised */
} job;

static const ad_var *operand(const ad_op *op, int i) { return index_of(op, i) < 0 ? NULL : op->in[index_of(op, i)]; }

static void job_of(const ad_op *op, job *j) {
    *j = (job){ .op = op, .t = ad__out(op)->layout->dtype };
    sizes_of(op->in, ad__attrs_of(op), operand(op, MASK), &j->a);
    batches_of(op->in, &j->batches);
    j->count = ad__out(op)->layout->numel > 0 ? ad_shape_numel(j->batches) : 0;
    j->blocks = (j->a.tq + AD__ATTENTION_ROWS - 1) / AD__ATTENTION_ROWS;
    if (op->type == &ad_op_attention_dropout) key_of(op->in[3], j->a.key);
}

/* The bytes before the matrix that operand x has in a head: its own leading axes may be shorter than all. */
static size_t place_of(const ad_var *x, ad_shape all, int64_t head) {
    ad_shape own = leading(x->layout->shape);
    int64_t index = 0, step = 1;
    for (int i = 1; i <= all.ndim && i <= own.ndim; i++) {
        int64_t n = own.dim[own.ndim - i];
        if (n > 1) index += head % n * step;
        step *= n;
        head /= all.dim[all.ndim - i];
    }
    int64_t elements = from_end(x->layout->shape, 1) * from_end(x->layout->shape, 2);
    return (size_t)(index * elements) * ad_dtype_size(x->layout->dtype);
}

static ad__attention_head head_of(const job *j, int64_t head, int worker) {
    const ad_var *y = ad__out(j->op);
    size_t size = ad_dtype_size(j->t), row = (size_t)(head * j->a.tq), at = row * (size_t)j->a.dv * size;
    const char *data[OPERANDS] = { 0 };
    char *grad[OPERANDS] = { 0 };
    for (int i = 0; i < OPERANDS; i++) {
        if (operand(j->op, i) == NULL) continue;
        size_t place = place_of(operand(j->op, i), j->batches, head);
        data[i] = (const char *)operand(j->op, i)->data + place;
        grad[i] = j->grad[i] ? j->grad[i] + place : NULL;
    }
    return (ad__attention_head){ .q = data[Q],
                                 .k = data[K],
                                 .v = data[V],
                                 .mask = data[MASK],
                                 .y = (char *)y->data + at,
                                 .kept = (char *)ad_saved(j->op) + (size_t)head * ad__attention_kept(&j->a, j->t),
                                 .row = (int64_t)row,
                                 .gy = y->grad ? (char *)y->grad + at : NULL,
                                 .gq = grad[Q],
                                 .gk = grad[K],
                                 .gv = grad[V],
                                 .gmask = grad[MASK],
                                 .new_q = j->fresh[Q],
                                 .new_k = j->fresh[K],
                                 .new_v = j->fresh[V],
                                 .work = ad__scratch_of(j->op, worker) };
}

/* Whether some block of queries does not look at all keys, if all numbers of these arrays are finite. 0 times infinity
   is NaN, and so is the result where a hidden key has an infinite value. */
static bool may_skip(const job *j) { return j->a.causal && j->a.offset + AD__ATTENTION_ROWS < j->a.tk; }
static bool is_finite(const ad_var *x, const void *array) {
    return AD__BY_DTYPE(x->layout->dtype, ad__attention_is_finite, x->layout->numel, array);
}

static void blocks_chunk(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    for (int64_t i = from; i < to; i++) {
        ad__attention_head h = head_of(j, i / j->blocks, worker);
        int64_t row = i % j->blocks * AD__ATTENTION_ROWS;
        AD__BY_DTYPE(j->t, ad__attend, &j->a, &h, row, ad__lesser(row + AD__ATTENTION_ROWS, j->a.tq));
    }
}

/* The cost of so many rows of one head, in additions. */
static int64_t cost_of(const job *j, int64_t rows) {
    double cost = (double)rows * (double)j->a.tk * (double)(j->a.d + j->a.dv + 16) / 8;
    return cost < 1e15 ? 1 + (int64_t)cost : (int64_t)1e15;
}

static int attention_evaluate(const ad_op *op) {
    job j;
    job_of(op, &j);
    if (j.count == 0) return AD_OK;
    j.a.skips = may_skip(&j) && is_finite(op->in[V], op->in[V]->data);
    int64_t cost = cost_of(&j, ad__lesser(AD__ATTENTION_ROWS, j.a.tq));
    ad_parallel(ad__op_team(op), j.count * j.blocks, 0, cost, blocks_chunk, &j);
    return AD_OK;
}

static void heads_chunk(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    for (int64_t i = from; i < to; i++) {
        ad__attention_head h = head_of(j, i, worker);
        AD__BY_DTYPE(j->t, ad__attend_back, &j->a, &h);
    }
}

static bool is_repeated(const ad_op *op, int i) {
    for (int j = 0; j < op->n_in; j++)
        if (j != i && op->in[j] == op->in[i]) return true;
    return false;
}

/* The gradient of operand i. Returns whether each head has a part of its own. What several heads or operands share is
   added to, and so is the gradient of the mask. */
static bool take_gradient(job *j, int i) {
    const ad_op *op = j->op;
    if (operand(op, i) == NULL || !ad_wants_grad(op, index_of(op, i))) return true;
    bool own = ad_shape_numel(leading(operand(op, i)->layout->shape)) == j->count;
    if (own && i != MASK && !is_repeated(op, i)) j->grad[i] = ad_grad_claim(op, index_of(op, i), &j->fresh[i]);
    else j->grad[i] = ad_grad_into(op, index_of(op, i));
    return own;
}

/* Threads share the heads if each of these writes gradients of its own. */
static void attention_backward(const ad_op *op) {
    job j;
    job_of(op, &j);
    if (j.count == 0) return;
    bool own = true;
    for (int i = 0; i < OPERANDS; i++) own = take_gradient(&j, i) && own;
    j.a.skips = may_skip(&j) && is_finite(ad__out(op), ad__out(op)->grad);
    for (int i = Q; i <= V && j.a.skips; i++) j.a.skips = is_finite(op->in[i], op->in[i]->data);
    ad_parallel(ad__op_team(op), j.count, own ? 0 : j.count, 3 * cost_of(&j, j.a.tq), heads_chunk, &j);
}

/* ---- the same in Vars ------------------------------------------------------------------------------------------- */

typedef struct {
    double scale;
    ad_var *qs, *weights; /* q times the scale; softmax of the scores */
    ad_var *hidden;       /* NULL, or [tq,tk]: 1 where causal hides a key */
    ad_var *mask;         /* of dropout, or NULL */
} in_vars;

/* The weights of a query that sees no key are 0. */
static ad_var *softmax_of(ad_var *s) {
    ad_var *blind = ad_eq(ad_max_axis(s, -1, true), ad__constant(s, -INFINITY));
    return ad__zero_where(blind, ad_softmax(ad__zero_where(blind, s), -1));
}

static in_vars in_vars_of(const ad_op *op) {
    const attention_attrs *o = ad__attrs_of(op);
    ad_var *q = op->in[Q], *mask = (ad_var *)operand(op, MASK);
    ad__attention_sizes a;
    sizes_of(op->in, o, mask, &a);
    in_vars r = { .scale = a.scale, .qs = ad_muls(q, a.scale) };
    ad_var *s = ad_matmul(r.qs, ad_transpose(op->in[K]));
    if (mask != NULL) s = ad_add(s, mask);
    if (o->causal) {
        r.hidden = ad_triu(ad_ones(ad__owner(q), q->layout->dtype, AD_SHAPE(a.tq, a.tk)), a.offset + 1);
        s = ad_where(r.hidden, ad__constant(s, -INFINITY), s);
    }
    r.weights = softmax_of(s);
    if (o->causal) r.weights = ad__zero_where(r.hidden, r.weights); /* where a row is NaN too */
    ad_shape batches;
    batches_of(op->in, &batches);
    if (op->type == &ad_op_attention_dropout)
        r.mask = ad_keyed_dropout_mask(op->in[3], matrices(batches, a.tq, a.tk), o->p);
    return r;
}

static ad_var *thinned(const in_vars *r, ad_var *x) { return r->mask ? ad_mul(x, r->mask) : x; }
static void give(const ad_op *op, int operand_, ad_var *d, ad_var *dx[]) {
    int i = index_of(op, operand_);
    dx[i] = ad_sum_to(d, op->in[i]->layout->shape);
}
static bool is_wanted(const ad_op *op, int operand_) {
    return index_of(op, operand_) >= 0 && ad_vjp_wants(op, index_of(op, operand_));
}

static void attention_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    if (ad__out(op)->layout->numel == 0 || from_end(op->in[K]->layout->shape, 2) == 0) return;
    in_vars r = in_vars_of(op);
    /* the weights have the leading axes of q and k only, those of v may be more */
    ad_var *gp = thinned(&r, ad_matmul(g, ad_transpose(op->in[V])));
    ad_var *gs = ad_mul(r.weights, ad_sub(gp, ad_sum_axis(ad_mul(gp, r.weights), -1, true)));
    if (r.hidden != NULL) gs = ad__zero_where(r.hidden, gs);
    if (is_wanted(op, V)) give(op, V, ad_matmul(ad_transpose(thinned(&r, r.weights)), g), dx);
    if (is_wanted(op, Q)) give(op, Q, ad_muls(ad_matmul(gs, op->in[K]), r.scale), dx);
    if (is_wanted(op, K)) give(op, K, ad_matmul(ad_transpose(gs), r.qs), dx);
    if (is_wanted(op, MASK)) give(op, MASK, gs, dx);
}

/* ---- the same as loops, for programs: the scores of all pairs are held ------------------------------------------- */

/* a [..,n,k] b^T -> [..,n,m], for b [..,m,k] */
static ad_emit_array emit_product(ad_emit *e, ad_shape batches, ad_emit_array a, ad_emit_array b) {
    ad_shape s = matrices(batches, from_end(a.shape, 2), from_end(b.shape, 2));
    s.dim[s.ndim++] = from_end(a.shape, 1);
    ad_emit_array y = ad__emit_reduce2(e, a.dtype, s, 1u << (s.ndim - 1), ad__emit_unsqueeze(a, a.shape.ndim - 1),
                                       ad__emit_unsqueeze(b, b.shape.ndim - 2), "a * b", "g * b", "g * a");
    y.shape.ndim--;
    return y;
}

/* x, and another number where causal hides a key from a query. */
static ad_emit_array emit_visible(ad_emit *e, ad_emit_array x, int64_t offset, double other) {
    int n = x.shape.ndim;
    return ad_emit_run(e, &(ad_emit_loop){
        .dtype = x.dtype, .shape = x.shape, .names = "x i j o k", .value = "j > i + o ? k : x",
        .slope = { "j > i + o ? 0 : g" }, .n = 3,
        .in = { x, ad_emit_index(e, x.dtype, x.shape, n - 2), ad_emit_index(e, x.dtype, x.shape, n - 1) },
        .n_parameters = 2, .parameter = { (double)offset, other } });
}

/* softmax along the last axis; 0 for a query that sees no key. */
static ad_emit_array emit_weights(ad_emit *e, ad_emit_array x) {
    const unsigned row = 1u << (x.shape.ndim - 1);
    ad_emit_array largest = ad__emit_reduce(e, AD_EMIT_MAX, x.dtype, x, row, "x", NULL);
    ad_emit_array powers = ad__emit_map2(e, x.dtype, x.shape, x, largest, "b == -INFINITY ? 0 : exp(a - b)",
                                         "b == -INFINITY ? 0 : g * y", NULL);
    ad_emit_array sum = ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, powers, row, "x", "g");
    return ad__emit_map2(e, x.dtype, x.shape, powers, sum, "b == 0 ? 0 : a / b", "b == 0 ? 0 : g / b",
                         "b == 0 ? 0 : -(g * y / b)");
}

AD_COLD static int attention_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array q = ad_emit_operand(e, op, Q), k = ad_emit_operand(e, op, K), v = ad_emit_operand(e, op, V), s;
    ad__attention_sizes a;
    ad_shape batches;
    const ad_var *mask = operand(op, MASK);
    sizes_of(op->in, ad__attrs_of(op), mask, &a);
    if (batches_of(op->in, &batches) || batches.ndim + 3 > AD_MAX_NDIM) return AD_EABSENT;
    if (ad__out(op)->layout->numel * a.tk * a.d == 0) return AD_EABSENT;
    s = emit_product(e, batches, ad__emit_scale(e, q, a.scale), k);
    if (mask) s = ad__emit_map2(e, s.dtype, s.shape, s, ad_emit_operand(e, op, mask_index(op)), "a + b", "g", "g");
    if (a.causal) s = emit_visible(e, s, a.offset, -INFINITY);
    s = emit_weights(e, s);
    if (a.causal) s = emit_visible(e, s, a.offset, 0); /* where a row is NaN too */
    v = ad__emit_swap(v, v.shape.ndim - 2, v.shape.ndim - 1);
    ad_emit_result(e, op, emit_product(e, batches, s, v));
    return AD_OK;
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

typedef struct {
    int n;              /* how many of q, k, v and mask */
    const char *shapes; /* theirs */
    attention_attrs attrs;
} sample;
static const sample cases[] = {
    { 3, "3,2 4,2 4,3", { .p = 0.3 } },
    { 4, "1,1 1,1 1,1 ()", { .scale = 0.7 } },
    { 3, "2,3,2 2,3,2 2,3,2", { .causal = true, .p = 0.6 } },
    { 4, "2,1,2,3 3,5,3 5,2 2,1,1,5", { .scale = -1.5, .p = 0.5 } },
    { 4, "2,17 5,17 2,5,1 2,1", { .causal = true, .offset = 2 } },
    { 4, "3,2 3,2 3,2 3,3", { .causal = true, .offset = -1, .p = 0.2 } },
    { 3, "3,2 0,2 0,2", { .p = 0.5 } },
    { 4, "0,2 3,2 3,2 3", { .causal = true } },
    { 3, "0,2,2 3,2 3,2", { .p = 1 } },
};

static void attention_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(cases); i++) {
        attention_attrs a = cases[i].attrs;
        a.p = 0;
        ad__sample_text(s, &a, cases[i].n, cases[i].shapes, NULL, NULL);
    }
    const double mask[] = { 0, -INFINITY, 0, -INFINITY, -INFINITY, -INFINITY }, *values[] = { NULL, NULL, NULL, mask };
    ad_shape shapes[4];
    AD__SHAPES(shapes, "2,2 3,2 3,2 2,3");
    ad_sample_values(s, &(attention_attrs){ false, 0, 0, 0 }, 4, shapes, values, AD_SAMPLE_KINK);
}

/* The key stands before the mask. */
static void attention_dropout_samples(ad_sampler *s) {
    static const double key[KEY] = { 65535, 1, 30000, 4711 }, *values[] = { NULL, NULL, NULL, key, NULL };
    for (int i = 0; i < AD__COUNT(cases); i++) {
        ad_shape shapes[5];
        ad__read_shapes(cases[i].n, shapes, cases[i].shapes);
        shapes[4] = shapes[3], shapes[3] = AD_SHAPE(KEY);
        ad_sample_values(s, &cases[i].attrs, cases[i].n + 1, shapes, values, 0);
    }
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

#define ATTENTION                                                                                                      \
    .gradient = "with gs = p (gp - sum(p gp)), gp = g v^T: scale gs k; scale gs^T q; p^T g; gs", .arity = -1,          \
    .special =                                                                                                         \
        "the result for a query that sees no key is 0, and so is its gradient; the weight of a key that causal "       \
        "hides is 0 also where a score is NaN",                                                                        \
    .differs = "PyTorch 1.13 has NaN there", .attr_size = sizeof(attention_attrs), .shape = attention_shape,           \
    .evaluate = { attention_evaluate, attention_evaluate }, .backward = { attention_backward, attention_backward },    \
    .vjp = attention_vjp

AD_OPTYPE(attention,
          .doc =
              "scaled dot product attention of q [..,tq,d], k [..,tk,d] and v [..,tk,dv]; leading axes broadcast. The "
              "optional mask broadcasts to the scores [..,tq,tk] and is added to them. With causal, query i sees the "
              "keys up to offset + i only. Memory is linear in tq and tk",
          .formula = "y = p v, p = softmax(scale q k^T + mask)", .attrs = attention_list,
          .emit = attention_emit, ATTENTION);
AD_OPTYPE(attention_dropout,
          .doc = "attention whose weights p are multiplied by the dropout mask that the key gives, see "
                 "keyed_dropout_mask",
          .formula = "y = (p keyed_dropout_mask(key)) v, p = softmax(scale q k^T + mask)", .attrs = dropout_list,
          .no_grad = AD_NO_GRAD(3), ATTENTION);

/* A mask of 0 and 1 becomes one of -inf and 0. */
static ad_var *added_mask(ad_var *mask, const ad_attention_opts *o) {
    if (mask == NULL || !o->boolean_mask || ad__absent(mask)) return mask;
    const ad_call c = AD__CALL_AS("attention", mask);
    if (ad__check_no_gradient(&c, 0, "numbers of a boolean mask")) return ad_nil(c.graph);
    return ad_where(mask, ad__constant(mask, 0), ad__constant(mask, -INFINITY));
}

ad_var *ad_attention(ad_var *q, ad_var *k, ad_var *v, ad_var *mask, ad_attention_opts opts) {
    double p = ad_option(opts.dropout, 0);
    if (p != 0) return ad_attention_dropout(q, k, v, ad_random_key(q), mask, opts);
    attention_attrs a = { opts.causal, opts.offset, opts.scale, 0 };
    mask = added_mask(mask, &opts);
    return ad_apply(&ad_op_attention, mask ? 4 : 3, (ad_var *[]){ q, k, v, mask }, &a);
}

ad_var *ad_attention_dropout(ad_var *q, ad_var *k, ad_var *v, ad_var *key, ad_var *mask, ad_attention_opts opts) {
    attention_attrs a = { opts.causal, opts.offset, opts.scale, ad_option(opts.dropout, 0) };
    mask = added_mask(mask, &opts);
    return ad_apply(&ad_op_attention_dropout, mask ? 5 : 4, (ad_var *[]){ q, k, v, key, mask }, &a);
}
