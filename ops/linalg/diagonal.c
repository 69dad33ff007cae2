/* diagonal.c: diagonals and triangles of matrices: diagonal, diag_embed, diag, trace, tril, triu. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/gemm.h"
#include "ops/kernels/shape/copy.h"
#include "ops/ops.h"

#include <string.h>

/* ---- helpers ------------------------------------------------------------------------------------------- */

/* offset 0 is the main diagonal; diagonals above it are positive, those below it negative. rows and columns are the
   sizes of diag_embed's result; -1 means those of the smallest square matrix. */
typedef struct {
    int64_t offset, rows, columns;
} diagonal_attrs;

static const diagonal_attrs *diagonal_of(const ad_op *op) { return ad__attrs_of(op); }

/* The number of elements of that diagonal of a [rows, columns] matrix; 0 if it is outside the matrix. */
static int64_t diagonal_length(int64_t rows, int64_t columns, int64_t offset) {
    if (offset >= columns || offset <= -rows) return 0;
    if (offset >= 0) columns -= offset;
    else rows += offset;
    return rows < columns ? rows : columns;
}

/* s with its last `dropped` sizes replaced by dims. */
static ad_shape replace_last(ad_shape s, int dropped, int n, const int64_t *dims) {
    s.ndim -= dropped;
    for (int i = 0; i < n; i++) s.dim[s.ndim++] = dims[i];
    return s;
}

/* Copies the diagonals of matrices [.., rows, columns] to an array [.., length]. */
static ad__copy_plan diagonal_plan(ad_shape matrices, ad_shape alone) {
    int64_t rows = matrices.dim[matrices.ndim - 2], columns = matrices.dim[matrices.ndim - 1];
    int64_t length = alone.dim[alone.ndim - 1];
    int64_t count = length ? ad_shape_numel(alone) / length : 0;
    return ad__copy_plan_of(2, (int64_t[]){ count, length }, (int64_t[]){ rows * columns, columns + 1 },
                            (int64_t[]){ length, 1 });
}

/* The index of the first element of the diagonal in a matrix; 0 if the diagonal lies outside of it, and so is empty. */
static int64_t diagonal_start(ad_shape matrices, int64_t offset) {
    int64_t rows = matrices.dim[matrices.ndim - 2], columns = matrices.dim[matrices.ndim - 1];
    if (offset <= -rows || offset >= columns) return 0;
    return offset >= 0 ? offset : -offset * columns;
}

/* The diagonal of the matrices as a view. */
static ad_emit_array diagonal_view(ad_emit_array x, int64_t offset) {
    int n = --x.shape.ndim;
    int64_t length = diagonal_length(x.shape.dim[n - 1], x.shape.dim[n], offset);
    x.place += offset < 0 ? -offset * x.stride[n - 1] : offset * x.stride[n];
    x.stride[n - 1] += x.stride[n];
    x.shape.dim[n - 1] = length;
    return x;
}

/* ---- diagonal: x [..,n,m] -> y [..,length] ---------------------------------------------------------------- */

static int diagonal_shape(ad_call *c) {
    const diagonal_attrs *a = c->attrs;
    int n = c->shape.ndim;
    if (n < 2) return ad_call_fail(c, AD_ESHAPE, "takes matrices, [..,n,m]; ad_diag_embed makes one from a diagonal");
    int64_t length = diagonal_length(c->shape.dim[n - 2], c->shape.dim[n - 1], a->offset);
    c->shape = replace_last(c->shape, 2, 1, &length);
    return AD_OK;
}

static int diagonal_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__copy_plan p = diagonal_plan(x->layout->shape, y->layout->shape);
    ad__copy(&p, y->layout->dtype, x->data, diagonal_start(x->layout->shape, diagonal_of(op)->offset), y->data, 0);
    return AD_OK;
}

static void diagonal_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    ad__copy_plan p = diagonal_plan(x->layout->shape, y->layout->shape), back = ad__copy_plan_back(&p);
    ad__copy_add(&back, y->layout->dtype, y->grad, 0, gx, diagonal_start(x->layout->shape, diagonal_of(op)->offset));
}

static ad_var *embed(ad_var *x, int64_t offset, int64_t rows, int64_t columns);

static void diagonal_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape;
    dx[0] = embed(g, diagonal_of(op)->offset, s.dim[s.ndim - 2], s.dim[s.ndim - 1]);
}

AD_COLD static int diagonal_emit(ad_emit *e, const ad_op *op) {
    if (ad__out(op)->layout->numel == 0) return AD_EABSENT;
    ad_emit_result(e, op, diagonal_view(ad_emit_operand(e, op, 0), diagonal_of(op)->offset));
    return AD_OK;
}

static void diagonal_samples(ad_sampler *s) {
    ad_shape shapes[8];
    AD__SHAPES(shapes, "3,3 2,4 4,2 2,3,4 1,1 0,3 3,0 2,1,3,2");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int64_t k = -4; k <= 4; k += i < 3 ? 1 : 2)
            ad_sample(s, &(diagonal_attrs){ k, -1, -1 }, 1, &shapes[i], NULL, NULL);
}

static const ad_attr diagonal_list[] = { { "offset", AD_ATTR_INT64, offsetof(diagonal_attrs, offset) }, { 0 } };

AD_OPTYPE(diagonal,
          .differs = "an offset beyond the matrix gives no elements, as NumPy has it; PyTorch refuses it",
          .doc = "one diagonal of each matrix [..,n,m]; it is empty if offset is beyond the matrix",
          .formula = "y[.., i] = x[.., i, i + offset]", .gradient = "diag_embed(g)", .arity = 1,
          .attr_size = sizeof(diagonal_attrs), .attrs = diagonal_list, .shape = diagonal_shape,
          .evaluate = { diagonal_evaluate, diagonal_evaluate }, .backward = { diagonal_backward, diagonal_backward },
          .vjp = diagonal_vjp, .emit = diagonal_emit);
ad_var *ad_diagonal(ad_var *x, int64_t offset) {
    return ad__apply1(&ad_op_diagonal, x, &(diagonal_attrs){ offset, -1, -1 });
}

/* ---- diag_embed: x [..,length] -> y [..,n,m] ---------------------------------------------------------------- */

static int diag_embed_shape(ad_call *c) {
    diagonal_attrs a = *(const diagonal_attrs *)c->attrs;
    int n = c->shape.ndim;
    if (n < 1 || n >= AD_MAX_NDIM)
        return ad_call_fail(c, AD_ESHAPE, "takes diagonals, [..,n], of at most %d dimensions", AD_MAX_NDIM - 1);
    int64_t length = c->shape.dim[n - 1], most = AD__GEMM_MAX;
    if (a.offset > most || a.offset < -most || length > most)
        return ad_call_fail(c, AD_ESHAPE, "the matrix would have more than %lld rows", (long long)most);
    int64_t side = length + (a.offset < 0 ? -a.offset : a.offset);
    int64_t dims[] = { a.rows < 0 ? side : a.rows, a.columns < 0 ? side : a.columns };
    if (diagonal_length(dims[0], dims[1], a.offset) != length)
        return ad_call_fail(c, AD_ESHAPE, "diagonal %lld of a matrix [%lld,%lld] is of another length",
                            (long long)a.offset, (long long)dims[0], (long long)dims[1]);
    c->shape = replace_last(c->shape, 1, 2, dims);
    return AD_OK;
}

static int diag_embed_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    memset(y->data, 0, ad__bytes(y));
    ad__copy_plan p = diagonal_plan(y->layout->shape, x->layout->shape), back = ad__copy_plan_back(&p);
    ad__copy(&back, y->layout->dtype, x->data, 0, y->data, diagonal_start(y->layout->shape, diagonal_of(op)->offset));
    return AD_OK;
}

static void diag_embed_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    ad__copy_plan p = diagonal_plan(y->layout->shape, x->layout->shape);
    ad__copy_add(&p, y->layout->dtype, y->grad, diagonal_start(y->layout->shape, diagonal_of(op)->offset), gx, 0);
}

static void diag_embed_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_diagonal(g, diagonal_of(op)->offset);
}

AD_COLD static int diag_embed_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array y = ad_emit_new(e, x.dtype, ad__out(op)->layout->shape);
    ad__emit_fill(e, y, 0);
    ad__emit_copy(e, x, diagonal_view(y, diagonal_of(op)->offset));
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void diag_embed_samples(ad_sampler *s) {
    ad_shape shapes[5];
    AD__SHAPES(shapes, "3 1 0 2,3 2,1,2");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int64_t k = -2; k <= 2; k++) ad_sample(s, &(diagonal_attrs){ k, -1, -1 }, 1, &shapes[i], NULL, NULL);
    ad_sample(s, &(diagonal_attrs){ 1, 3, 6 }, 1, &shapes[0], NULL, NULL);
    ad_sample(s, &(diagonal_attrs){ -1, 6, 3 }, 1, &shapes[0], NULL, NULL);
}

static const ad_attr diag_embed_list[] = { { "offset", AD_ATTR_INT64, offsetof(diagonal_attrs, offset) },
                                           { "rows", AD_ATTR_INT64, offsetof(diagonal_attrs, rows) },
                                           { "columns", AD_ATTR_INT64, offsetof(diagonal_attrs, columns) },
                                           { 0 } };

AD_OPTYPE(diag_embed, .doc = "the smallest square matrices [..,n,n] with the diagonal x, and zeros elsewhere",
          .formula = "y[.., i, i + offset] = x[.., i]", .gradient = "diagonal(g)", .arity = 1,
          .attr_size = sizeof(diagonal_attrs), .attrs = diag_embed_list, .shape = diag_embed_shape,
          .evaluate = { diag_embed_evaluate, diag_embed_evaluate },
          .backward = { diag_embed_backward, diag_embed_backward }, .vjp = diag_embed_vjp, .emit = diag_embed_emit);

static ad_var *embed(ad_var *x, int64_t offset, int64_t rows, int64_t columns) {
    return ad__apply1(&ad_op_diag_embed, x, &(diagonal_attrs){ offset, rows, columns });
}
ad_var *ad_diag_embed(ad_var *x, int64_t offset) { return embed(x, offset, -1, -1); }

/* ---- diag and trace, by the ops above --------------------------------------------------------------------------- */

ad_var *ad_diag(ad_var *x, int64_t offset) {
    if (ad__absent(x) || x->layout->shape.ndim == 1) return ad_diag_embed(x, offset);
    if (x->layout->shape.ndim == 2) return ad_diagonal(x, offset);
    const ad_call c = AD__CALL_AS("diag", x);
    ad_call_fail(&c, AD_ESHAPE, "takes a vector or a matrix; ad_diagonal and ad_diag_embed take batches");
    return ad_nil(c.graph);
}

ad_var *ad_trace(ad_var *x) { return ad_sum_axis(ad_diagonal(x, 0), -1, false); }

/* ---- tril and triu -------------------------------------------------------------------------------------- */

static const ad_attr triangle_list[] = { { "diagonal", AD_ATTR_INT64, 0 }, { 0 } };

static int triangle_shape(ad_call *c) {
    if (c->shape.ndim < 2) return ad_call_fail(c, AD_ESHAPE, "takes matrices, [..,n,m]");
    return AD_OK;
}

static int64_t clamp(int64_t lo, int64_t x, int64_t hi) { return x < lo ? lo : x > hi ? hi : x; }

/* Row i keeps the columns *from..*to-1: those up to i + k for tril, those from i + k on for triu. */
static void columns_kept(const ad_op *op, int64_t i, int64_t *from, int64_t *to) {
    ad_shape s = op->in[0]->layout->shape;
    int64_t rows = s.dim[s.ndim - 2], columns = s.dim[s.ndim - 1];
    int64_t at = i % rows + clamp(-rows, *(const int64_t *)ad__attrs_of(op), columns);
    bool lower = op->type == &ad_op_tril;
    *from = lower ? 0 : clamp(0, at, columns);
    *to = lower ? clamp(0, at + 1, columns) : columns;
}

static int triangle_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    size_t size = ad_dtype_size(y->layout->dtype);
    int64_t columns = y->layout->shape.dim[y->layout->shape.ndim - 1], from, to;
    memset(y->data, 0, ad__bytes(y));
    for (int64_t i = 0; i * columns < y->layout->numel; i++) {
        columns_kept(op, i, &from, &to);
        size_t at = (size_t)(i * columns + from) * size;
        memcpy((char *)y->data + at, (const char *)x->data + at, (size_t)(to - from) * size);
    }
    return AD_OK;
}

static void triangle_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    char *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    size_t size = ad_dtype_size(y->layout->dtype);
    int64_t columns = y->layout->shape.dim[y->layout->shape.ndim - 1], from, to;
    for (int64_t i = 0; i * columns < y->layout->numel; i++) {
        columns_kept(op, i, &from, &to);
        size_t at = (size_t)(i * columns + from) * size;
        const void *g = (const char *)y->grad + at;
        void *row = gx + at;
        AD__BY_DTYPE(y->layout->dtype, ad__array_add, to - from, g, row);
    }
}

static void triangle_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad__apply1(op->type, g, ad__attrs_of(op));
}

AD_COLD static int triangle_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    int n = x.shape.ndim;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    double k = (double)clamp(-x.shape.dim[n - 2], *(const int64_t *)ad__attrs_of(op), x.shape.dim[n - 1]);
    bool lower = op->type == &ad_op_tril;
    ad_emit_array i = ad_emit_index(e, x.dtype, x.shape, n - 2), j = ad_emit_index(e, x.dtype, x.shape, n - 1);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "x i j k",
                                                          .value = lower ? "j <= i + k ? x : 0" : "j >= i + k ? x : 0",
                                                          .slope = { lower ? "j <= i + k ? g : 0"
                                                                           : "j >= i + k ? g : 0" },
                                                          .n = 3, .in = { x, i, j }, .n_parameters = 1,
                                                          .parameter = { k } }));
    return AD_OK;
}

static void triangle_samples(ad_sampler *s) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "3,3 2,4 4,2 2,2,3 1,1 0,2");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int64_t k = -3; k <= 3; k++) ad_sample(s, &k, 1, &shapes[i], NULL, NULL);
}
static void tril_samples(ad_sampler *s) { triangle_samples(s); }
static void triu_samples(ad_sampler *s) { triangle_samples(s); }

AD_OPTYPE(tril, .doc = "the lower triangle of each matrix [..,n,m], up to diagonal k; zero above it",
          .formula = "x[.., i, j] where j <= i + k, else 0", .gradient = "tril(g)", .arity = 1,
          .attr_size = sizeof(int64_t), .attrs = triangle_list, .shape = triangle_shape,
          .evaluate = { triangle_evaluate, triangle_evaluate }, .backward = { triangle_backward, triangle_backward },
          .vjp = triangle_vjp, .emit = triangle_emit);
AD_OPTYPE(triu, .doc = "the upper triangle of each matrix [..,n,m], from diagonal k on; zero below it",
          .formula = "x[.., i, j] where j >= i + k, else 0", .gradient = "triu(g)", .arity = 1,
          .attr_size = sizeof(int64_t), .attrs = triangle_list, .shape = triangle_shape,
          .evaluate = { triangle_evaluate, triangle_evaluate }, .backward = { triangle_backward, triangle_backward },
          .vjp = triangle_vjp, .emit = triangle_emit);
ad_var *ad_tril(ad_var *x, int64_t k) { return ad__apply1(&ad_op_tril, x, &k); }
ad_var *ad_triu(ad_var *x, int64_t k) { return ad__apply1(&ad_op_triu, x, &k); }
