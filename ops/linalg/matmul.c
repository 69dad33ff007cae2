/* matmul.c: matrix products: matmul, which is batched and broadcasts, dot, outer, and affine, x W^T + b. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/sum.h"
#include "ops/kernels/linalg/gemm.h"
#include "ops/linalg/batch.h"
#include "ops/ops.h"

#include <string.h>

/* ---- matmul: a [..,n,k], b [..,k,m] -> y [..,n,m] ------------------------------------------------------- */

/* A vector a counts as a row [1,k], a vector b as a column [k,1]. The result does not have their axis of size 1. */
typedef struct {
    int64_t n, m, k;
    ad__batches batch;
    int64_t count; /* products: one if all batches are computed as one product, otherwise the batches */
} product;

static void product_of(ad_shape a, ad_shape b, product *p) {
    p->n = a.ndim > 1 ? a.dim[a.ndim - 2] : 1;
    p->m = b.ndim > 1 ? b.dim[b.ndim - 1] : 1;
    p->k = a.dim[a.ndim - 1];
    ad__batches_of(a, b, &p->batch);
    p->count = p->batch.count;
    /* Many matrices times one matrix are one product of all their rows. */
    if (p->batch.fit && ad_shape_numel(p->batch.b) == 1 && a.ndim > 1 && ad_shape_numel(p->batch.a) == p->count) {
        p->n *= p->count;
        p->count = 1;
    }
}

static int64_t inner_of(ad_shape b) { return b.ndim > 1 ? b.dim[b.ndim - 2] : b.dim[0]; }

static int matmul_shape(ad_call *c) {
    ad_shape a = c->in[0]->layout->shape, b = c->in[1]->layout->shape;
    if (a.ndim == 0 || b.ndim == 0)
        return ad_call_fail(c, AD_ESHAPE, "takes matrices or vectors; multiply a scalar with ad_mul");
    if (a.dim[a.ndim - 1] != inner_of(b))
        return ad_call_fail(c, AD_ESHAPE, "inner sizes %lld and %lld differ; transpose one?",
                            (long long)a.dim[a.ndim - 1], (long long)inner_of(b));
    product p;
    product_of(a, b, &p);
    int rc = ad__check_batches(c, &p.batch);
    if (rc == AD_OK) rc = ad__check_sides(c, AD__GEMM_MAX, p.n, p.m, p.k);
    if (rc != AD_OK) return rc;
    ad_shape y = p.batch.all;
    if (a.ndim > 1) y.dim[y.ndim++] = a.dim[a.ndim - 2];
    if (b.ndim > 1) y.dim[y.ndim++] = p.m;
    for (int i = y.ndim; i < AD_MAX_NDIM; i++) y.dim[i] = 0;
    c->shape = y;
    return AD_OK;
}

/* The products of an op, for y = a b or for a gradient. */
typedef struct job job;
struct job {
    product p;
    ad_dtype t;
    ad_team *team;
    const ad_var *a, *b, *y;
    char *ga, *gb; /* gradients of a and b, or NULL */
    double beta;
    void (*one)(const job *j, int64_t i); /* computes product i */
};

static job job_of(const ad_op *op) {
    const ad_var *y = ad__out(op);
    job j = { .t = y->layout->dtype, .team = ad__op_team(op), .a = op->in[0], .b = op->in[1], .y = y };
    product_of(j.a->layout->shape, j.b->layout->shape, &j.p);
    return j;
}

/* The matrices of batch i in arrays of the shapes of a, b and y. */
static void *a_at(const job *j, const void *a, int64_t i) {
    return ad__matrix(a, ad__matrix_index(j->p.batch.a, j->p.batch.all, i), j->p.n * j->p.k, j->t);
}
static void *b_at(const job *j, const void *b, int64_t i) {
    return ad__matrix(b, ad__matrix_index(j->p.batch.b, j->p.batch.all, i), j->p.k * j->p.m, j->t);
}
static void *y_at(const job *j, const void *y, int64_t i) { return ad__matrix(y, i, j->p.n * j->p.m, j->t); }

static void multiply(const job *j, int64_t i) {
    const product *p = &j->p;
    ad__gemm(j->team, j->t, false, false, p->n, p->m, p->k, a_at(j, j->a->data, i), b_at(j, j->b->data, i), 0,
             y_at(j, j->y->data, i));
}

/* da += g b^T */
static void multiply_back_a(const job *j, int64_t i) {
    const product *p = &j->p;
    ad__gemm(j->team, j->t, false, true, p->n, p->k, p->m, y_at(j, j->y->grad, i), b_at(j, j->b->data, i), j->beta,
             a_at(j, j->ga, i));
}

/* db += a^T g */
static void multiply_back_b(const job *j, int64_t i) {
    const product *p = &j->p;
    ad__gemm(j->team, j->t, true, false, p->k, p->m, p->n, a_at(j, j->a->data, i), y_at(j, j->y->grad, i), j->beta,
             b_at(j, j->gb, i));
}

static void batches_chunk(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    const job *j = context;
    for (int64_t i = from; i < to; i++) j->one(j, i);
}

/* Threads share the products if each of these writes a matrix of its own. A chunk of products takes about 50 us. */
static void over_batches(job *j, ad_shape written) {
    if (j->p.count > 1 && j->y->layout->numel == 0) return; /* there may be very many empty matrices */
    double each = (double)j->p.n * (double)j->p.m * (double)j->p.k + 1024; /* the overhead of a call */
    int64_t chunk = each > 0x1p21 ? 1 : (int64_t)(0x1p21 / each), work = 1 + (int64_t)(each / 8);
    bool own = ad_shape_numel(written) == j->p.count;
    if (j->p.count > 0) ad_parallel(j->team, j->p.count, own ? chunk : j->p.count, work, batches_chunk, j);
}

static int matmul_evaluate(const ad_op *op) {
    job j = job_of(op);
    j.one = multiply;
    over_batches(&j, j.p.batch.all);
    return AD_OK;
}

/* The gradient of operand i, and beta for products that are added to it. One product may overwrite all of a new
   gradient. Several products write only a part each, so a new gradient is set to 0 first. */
static char *product_grad(const ad_op *op, int i, int64_t count, double *beta) {
    *beta = 1;
    return count == 1 ? ad__product_grad(op, i, beta) : ad_grad_into(op, i);
}

static void matmul_backward(const ad_op *op) {
    job j = job_of(op);
    j.one = multiply_back_a;
    j.ga = product_grad(op, 0, j.p.count, &j.beta);
    if (j.ga != NULL) over_batches(&j, j.p.batch.a);
    j.one = multiply_back_b;
    j.gb = product_grad(op, 1, j.p.count, &j.beta);
    if (j.gb != NULL) over_batches(&j, j.p.batch.b);
}

static ad_shape as_matrix(ad_shape s, bool column) {
    if (s.ndim > 1) return s;
    return column ? AD_SHAPE(s.dim[0], 1) : AD_SHAPE(1, s.dim[0]);
}

static void matmul_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *a = op->in[0], *b = op->in[1];
    ad_shape sa = as_matrix(a->layout->shape, false), sb = as_matrix(b->layout->shape, true), sg;
    ad__broadcast(ad__leading(sa), ad__leading(sb), &sg);
    sg.dim[sg.ndim++] = sa.dim[sa.ndim - 2];
    sg.dim[sg.ndim++] = sb.dim[sb.ndim - 1];
    ad_var *gm = ad_reshape(g, sg), *am = ad_reshape(a, sa), *bm = ad_reshape(b, sb);
    if (ad_vjp_wants(op, 0))
        dx[0] = ad_reshape(ad_sum_to(ad_matmul(gm, ad_transpose(bm)), sa), a->layout->shape);
    if (ad_vjp_wants(op, 1))
        dx[1] = ad_reshape(ad_sum_to(ad_matmul(ad_transpose(am), gm), sb), b->layout->shape);
}

/* The loop [batch.., i, j, k] over a [batch.., i, 1, k] and b [batch.., 1, j, k]. */
AD_COLD static int matmul_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array a = ad_emit_operand(e, op, 0), b = ad_emit_operand(e, op, 1);
    product p;
    product_of(a.shape, b.shape, &p);
    ad_shape s = p.batch.all;
    if (a.shape.ndim == 1) a = ad__emit_unsqueeze(a, 0);
    if (b.shape.ndim == 1) b = ad__emit_unsqueeze(b, 1);
    if (s.ndim + 3 > AD_MAX_NDIM || op->in[0]->layout->numel == 0 || op->in[1]->layout->numel == 0) return AD_EABSENT;
    s.dim[s.ndim++] = a.shape.dim[a.shape.ndim - 2];
    s.dim[s.ndim++] = b.shape.dim[b.shape.ndim - 1];
    s.dim[s.ndim++] = a.shape.dim[a.shape.ndim - 1];
    a = ad__emit_unsqueeze(a, a.shape.ndim - 1);
    b = ad__emit_unsqueeze(ad__emit_swap(b, b.shape.ndim - 2, b.shape.ndim - 1), b.shape.ndim - 2);
    ad_emit_result(e, op, ad__emit_reduce2(e, a.dtype, s, 1u << (s.ndim - 1), a, b, "a * b", "g * b", "g * a"));
    return AD_OK;
}

static void matmul_samples(ad_sampler *s) {
    ad_shape shapes[15][2];
    AD__SHAPES(shapes, "2,3 3,4; 1,1 1,1; 3 3; 3 3,2; 2,3 3; 2,0 0,3; 0,2 2,3; 5,2,3 3,2; 2,3 4,3,2; "
                       "2,1,2,3 3,3,2; 4,2,3 4,3,1; 3 2,3,2; 2,4,3 3; 9,17 17,6; 1,2,2 1,3,2,2");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 2, shapes[i], NULL, NULL);
}

AD_OPTYPE(matmul, .doc = "matrix product of a [..,n,k] and b [..,k,m]; leading axes broadcast, vectors are as in NumPy",
          .formula = "a b", .gradient = "g b^T; a^T g", .arity = 2, .shape = matmul_shape,
          .evaluate = { matmul_evaluate, matmul_evaluate }, .backward = { matmul_backward, matmul_backward },
          .vjp = matmul_vjp, .emit = matmul_emit);
ad_var *ad_matmul(ad_var *a, ad_var *b) { return ad__apply2(&ad_op_matmul, a, b, NULL); }

/* ---- dot and outer: products of two vectors ------------------------------------------------------------- */

/* Sets the error and returns true unless a and b are two vectors. */
static bool refuse_vectors(const char *caller, ad_var *a, ad_var *b) {
    if (ad__absent(a) || ad__absent(b))
        return ad__refuse_beside(ad__absent(a) ? a : b, 2, (ad_var *[]){ a, b }, caller) != AD_OK;
    if (a->layout->shape.ndim == 1 && b->layout->shape.ndim == 1) return false;
    ad_fail(ad__owner(a), AD_ESHAPE, "%s: %s x %s: takes two vectors; ad_matmul and ad_mul take other shapes", caller,
            ad_shape_str(a->layout->shape).text, ad_shape_str(b->layout->shape).text);
    return true;
}

ad_var *ad_dot(ad_var *a, ad_var *b) {
    if (refuse_vectors("dot", a, b)) return ad_nil(a ? ad__owner(a) : NULL);
    return ad_matmul(a, b);
}

ad_var *ad_outer(ad_var *a, ad_var *b) {
    if (refuse_vectors("outer", a, b)) return ad_nil(a ? ad__owner(a) : NULL);
    return ad_matmul(ad_reshape(a, AD_SHAPE(ad_numel(a), 1)), ad_reshape(b, AD_SHAPE(1, ad_numel(b))));
}

/* ---- affine: x [..,in], w [out,in], optional b [out] -> y [..,out] ----------------------------------------- */

/* The product of all sizes but the last, which takes less than a division; 0 for arrays without elements. */
static int64_t rows_of(const ad_var *y) {
    const ad_shape *s = &y->layout->shape;
    int64_t rows = y->layout->numel > 0;
    for (int i = 0; i < s->ndim - 1; i++) rows *= s->dim[i];
    return rows;
}

static int affine_shape(ad_call *c) {
    if (c->n < 2 || c->n > 3) return ad_call_fail(c, AD_EVALUE, "takes x, w and an optional b");
    const ad_shape *x = &c->in[0]->layout->shape, *w = &c->in[1]->layout->shape, *b = &c->in[c->n - 1]->layout->shape;
    if (x->ndim == 0 || w->ndim != 2) return ad_call_fail(c, AD_ESHAPE, "takes x [..,in], w [out,in] and b [out]");
    if (x->dim[x->ndim - 1] != w->dim[1])
        return ad_call_fail(c, AD_ESHAPE, "x has %lld inputs and w takes %lld", (long long)x->dim[x->ndim - 1],
                            (long long)w->dim[1]);
    if (c->n > 2 && (b->ndim != 1 || b->dim[0] != w->dim[0]))
        return ad_call_fail(c, AD_ESHAPE, "b must be [%lld], one for each output", (long long)w->dim[0]);
    c->shape.dim[x->ndim - 1] = w->dim[0];
    return ad__check_sides(c, AD__GEMM_MAX, w->dim[0], w->dim[1], rows_of(c->in[0]));
}

static int affine_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *b = op->n_in > 2 ? op->in[2] : NULL, *y = ad__out(op);
    int64_t rows = rows_of(y), out = w->layout->shape.dim[0], in = w->layout->shape.dim[1];
    ad__gemm_row(ad__op_team(op), y->layout->dtype, false, true, rows, out, in, x->data, w->data, b ? b->data : NULL,
                 y->data);
    return AD_OK;
}

static void bias_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    double beta = 0;
    void *gb = ad__product_grad(op, 2, &beta);
    if (gb == NULL) return;
    int64_t rows = rows_of(y), out = op->in[2]->layout->numel;
    AD__BY_DTYPE(y->layout->dtype, ad__column_sums, rows, out, y->grad, beta == 0, gb);
}

/* dx += g w, dw += g^T x, db += g summed over rows */
static void affine_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    int64_t rows = rows_of(y), out = w->layout->shape.dim[0], in = w->layout->shape.dim[1];
    ad_dtype t = y->layout->dtype;
    ad_team *team = ad__op_team(op);
    double beta;
    void *gx = ad__product_grad(op, 0, &beta);
    if (gx != NULL) ad__gemm(team, t, false, false, rows, in, out, y->grad, w->data, beta, gx);
    void *gw = ad__product_grad(op, 1, &beta);
    if (gw != NULL) ad__gemm(team, t, true, false, out, in, rows, y->grad, x->data, beta, gw);
    if (op->n_in > 2) bias_backward(op);
}

static void affine_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *w = op->in[1];
    ad_shape sw = w->layout->shape;
    int64_t rows = rows_of(ad__out(op));
    ad_var *gm = ad_reshape(g, AD_SHAPE(rows, sw.dim[0]));
    if (ad_vjp_wants(op, 0)) dx[0] = ad_reshape(ad_matmul(gm, w), x->layout->shape);
    if (ad_vjp_wants(op, 1)) dx[1] = ad_matmul(ad_transpose(gm), ad_reshape(x, AD_SHAPE(rows, sw.dim[1])));
    if (op->n_in > 2 && ad_vjp_wants(op, 2)) dx[2] = ad_sum_axis(gm, 0, false);
}

/* The loop [rows, out, in] over x [rows, 1, in] and w [out, in]. With a bias, the products are added to it. */
AD_COLD static int affine_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), w = ad_emit_operand(e, op, 1);
    int64_t rows = rows_of(ad__out(op)), out = w.shape.dim[0], in = w.shape.dim[1];
    if (rows * out * in == 0) return AD_EABSENT;
    if (x.shape.ndim != 2) x = ad__emit_reshape(e, x, AD_SHAPE(rows, in));
    ad_emit_loop l = { .kind = AD_EMIT_SUM, .dtype = x.dtype, .shape = AD_SHAPE(rows, out, in), .reduced = 1u << 2,
                       .names = "a b", .value = "a * b", .slope = { "g * b", "g * a" }, .n = 2,
                       .in = { ad__emit_unsqueeze(x, 1), w } };
    ad_emit_array y = { .dtype = x.dtype };
    if (op->n_in > 2) {
        y = ad_emit_new(e, x.dtype, AD_SHAPE(rows, out, 1));
        ad__emit_copy(e, ad__emit_unsqueeze(ad_emit_operand(e, op, 2), 1), y);
        l.kind = AD_EMIT_ADD, l.into = &y;
    }
    ad_emit_result(e, op, ad_emit_run(e, &l));
    return AD_OK;
}

static void affine_samples(ad_sampler *s) {
    ad_shape shapes[6][3];
    AD__SHAPES(shapes, "2,3 4,3 4; 3 2,3 2; 2,5,3 1,3 1; 0,3 2,3 2; 9,17 6,17 6; 1,1 1,1 1");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int n = 2; n <= 3; n++) ad_sample(s, NULL, n, shapes[i], NULL, NULL);
}

AD_OPTYPE(affine, .doc = "linear layer: x [..,in], w [out,in], optional b [out]", .formula = "x w^T + b",
          .gradient = "g w; g^T x; g summed over rows", .arity = -1, .shape = affine_shape,
          .evaluate = { affine_evaluate, affine_evaluate }, .backward = { affine_backward, affine_backward },
          .vjp = affine_vjp, .emit = affine_emit);
ad_var *ad_affine(ad_var *x, ad_var *w, ad_var *b) {
    return ad_apply(&ad_op_affine, b ? 3 : 2, (ad_var *[]){ x, w, b }, NULL);
}
