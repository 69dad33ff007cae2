/* test_ops_linalg.c: products, einsum, permutations, diagonals, and the ops that use LAPACK. */
#include "autodiff/extend.h"
#include "tests/common.h"

#include "ops/kernels/linalg/gemm.h"
#include "ops/kernels/linalg/lapack.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

/* ---- helpers ---------------------------------------------------------------------------------------- */

enum { MAX_NUMEL = 4096 }; /* the largest array of these tests */

/* Random numbers between -1 and 1. */
static void fill(double *to, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++) to[i] = next_between(&seed, -1, 1);
}

static ad_var *random_param(ad_graph *g, ad_dtype t, ad_shape s, uint64_t seed) {
    double values[MAX_NUMEL];
    assert_true(ad_shape_numel(s) <= MAX_NUMEL);
    fill(values, ad_shape_numel(s), seed);
    return param_of(g, t, values, s);
}

static void assert_values(const ad_var *x, int n, const double *want, double tol) {
    assert_ok(ad_graph_of(x));
    assert_int_equal(ad_numel(x), n);
    for (int i = 0; i < n; i++) assert_close(ad_at(x, i), want[i], tol);
}

static void assert_grads(const ad_var *x, int n, const double *want, double tol) {
    for (int i = 0; i < n; i++) assert_close(ad_grad_at(x, i), want[i], tol);
}

/* Backward from the cotangent 1, 2, 3, .. for the elements of y. The PyTorch values below use it too. */
static void backward_weighted(ad_var *y) {
    ad_graph *g = ad_graph_of(y);
    ad_var *w = ad_arange(g, ad_dtype_of(y), 1, (double)ad_numel(y) + 1, 1);
    assert_int_equal(ad_backward_from(y, ad_reshape(w, ad_shape_of(y))), AD_OK);
}

#define NEED_LAPACK()                                                                                                  \
    if (!ad__has_lapack()) skip()

/* ---- products --------------------------------------------------------------------------------------- */

/* The BLAS and the tiled product against the plain loops. With beta 0, C starts as NaN: it must not be read. */
static void compare_gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, double beta) {
    double a[MAX_NUMEL], b[MAX_NUMEL], c[MAX_NUMEL], d[MAX_NUMEL], e[MAX_NUMEL];
    fill(a, n * k, 1), fill(b, k * m, 2), fill(c, n * m, 3);
    for (int64_t i = 0; i < n * m; i++) d[i] = e[i] = beta == 0 ? (double)NAN : c[i];
    ad__gemm_plain_f64(ta, tb, n, m, k, a, b, beta, c);
    ad__gemm_f64(ta, tb, n, m, k, a, b, beta, d);
    ad__gemm_tiles_f64(ta, tb, n, m, k, a, b, beta, e);
    for (int64_t i = 0; i < n * m; i++) assert_close(d[i], c[i], 1e-13), assert_close(e[i], c[i], 1e-13);
}

static void compare_gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, double beta) {
    double a[MAX_NUMEL], b[MAX_NUMEL], c[MAX_NUMEL];
    float fa[MAX_NUMEL], fb[MAX_NUMEL], fc[MAX_NUMEL], fd[MAX_NUMEL], fe[MAX_NUMEL];
    fill(a, n * k, 1), fill(b, k * m, 2), fill(c, n * m, 3);
    for (int64_t i = 0; i < n * k; i++) fa[i] = (float)a[i];
    for (int64_t i = 0; i < k * m; i++) fb[i] = (float)b[i];
    for (int64_t i = 0; i < n * m; i++) fc[i] = (float)c[i], fd[i] = fe[i] = beta == 0 ? NAN : fc[i];
    ad__gemm_plain_f32(ta, tb, n, m, k, fa, fb, (float)beta, fc);
    ad__gemm_f32(ta, tb, n, m, k, fa, fb, (float)beta, fd);
    ad__gemm_tiles_f32(ta, tb, n, m, k, fa, fb, (float)beta, fe);
    for (int64_t i = 0; i < n * m; i++) {
        assert_close((double)fd[i], (double)fc[i], 2e-5);
        assert_close((double)fe[i], (double)fc[i], 2e-5);
    }
}

/* Sizes around those of tiles, panels and the depth of a panel. Products with vectors have their own path. */
static void gemm_against_plain_loops(void **state) {
    (void)state;
    const int64_t sizes[][3] = { { 1, 1, 1 },   { 3, 4, 5 },    { 17, 18, 19 }, { 1, 40, 41 },  { 41, 1, 40 },
                                 { 40, 40, 1 }, { 1, 1, 1000 }, { 0, 3, 3 },    { 3, 3, 0 },    { 31, 33, 32 },
                                 { 4, 8, 2 },   { 5, 9, 256 },  { 8, 7, 257 },  { 6, 16, 250 }, { 9, 5, 400 } };
    for (int i = 0; i < COUNT(sizes); i++)
        for (int k = 0; k < 8; k++) {
            compare_gemm_f64(k & 1, k & 2, sizes[i][0], sizes[i][1], sizes[i][2], k & 4 ? 1 : 0);
            compare_gemm_f32(k & 1, k & 2, sizes[i][0], sizes[i][1], sizes[i][2], k & 4 ? -0.5 : 0);
        }
}

/* The index of the matrix of batch i in an operand with the leading axes own. */
static int64_t batch_place(const ad_shape *own, const ad_shape *batch, int64_t i) {
    int64_t index[AD_MAX_NDIM], place = 0;
    for (int a = batch->ndim - 1; a >= 0; a--) index[a] = i % batch->dim[a], i /= batch->dim[a];
    for (int a = 0; a < own->ndim; a++) {
        int64_t at = index[batch->ndim - own->ndim + a];
        place = place * own->dim[a] + (own->dim[a] == 1 ? 0 : at);
    }
    return place;
}

typedef struct {
    ad_shape a, b, batch_a, batch_b, batch; /* shapes of the operands and their leading axes */
    int64_t n, m, k;
} product;

/* Operands of ranks ra and rb with sides n, m, k. Bit j of ones sets leading axis j of a to 1, bit 4 + j that of b. */
static product product_of_ranks(int ra, int rb, int64_t n, int64_t m, int64_t k, unsigned ones) {
    const int64_t dims[] = { 2, 3, 1, 2 };
    product p = { .n = ra > 1 ? n : 1, .m = rb > 1 ? m : 1, .k = k };
    for (int i = 6 - ra; ra > 2 && i < 4; i++) p.batch_a.dim[p.batch_a.ndim++] = ones >> i & 1 ? 1 : dims[i];
    for (int i = 6 - rb; rb > 2 && i < 4; i++) p.batch_b.dim[p.batch_b.ndim++] = ones >> (4 + i) & 1 ? 1 : dims[i];
    p.batch.ndim = p.batch_a.ndim > p.batch_b.ndim ? p.batch_a.ndim : p.batch_b.ndim;
    for (int i = 1; i <= p.batch.ndim; i++) {
        int64_t da = i <= p.batch_a.ndim ? p.batch_a.dim[p.batch_a.ndim - i] : 1;
        int64_t db = i <= p.batch_b.ndim ? p.batch_b.dim[p.batch_b.ndim - i] : 1;
        p.batch.dim[p.batch.ndim - i] = da > db ? da : db;
    }
    p.a = p.batch_a, p.b = p.batch_b;
    if (ra > 1) p.a.dim[p.a.ndim++] = n;
    p.a.dim[p.a.ndim++] = k;
    p.b.dim[p.b.ndim++] = k;
    if (rb > 1) p.b.dim[p.b.ndim++] = m;
    return p;
}

/* Compares y, and the gradients from a random cotangent w, with plain sums. */
static void compare_product(const product *p) {
    ad_graph *g = ad_graph_new();
    ad_var *a = random_param(g, AD_F64, p->a, 4), *b = random_param(g, AD_F64, p->b, 5), *y = ad_matmul(a, b);
    assert_ok(g);
    ad_var *w = random_param(g, AD_F64, ad_shape_of(y), 6);
    double da[MAX_NUMEL] = { 0 }, db[MAX_NUMEL] = { 0 };
    int64_t batches = ad_shape_numel(p->batch), at = 0;
    for (int64_t q = 0; q < batches; q++) {
        int64_t pa = batch_place(&p->batch_a, &p->batch, q) * p->n * p->k;
        int64_t pb = batch_place(&p->batch_b, &p->batch, q) * p->k * p->m;
        for (int64_t i = 0; i < p->n; i++)
            for (int64_t j = 0; j < p->m; j++, at++) {
                double sum = 0;
                for (int64_t k = 0; k < p->k; k++) {
                    sum += ad_at(a, pa + i * p->k + k) * ad_at(b, pb + k * p->m + j);
                    da[pa + i * p->k + k] += ad_at(w, at) * ad_at(b, pb + k * p->m + j);
                    db[pb + k * p->m + j] += ad_at(w, at) * ad_at(a, pa + i * p->k + k);
                }
                assert_close(ad_at(y, at), sum, 1e-13);
            }
    }
    assert_int_equal(ad_numel(y), at);
    assert_int_equal(ad_backward_from(y, w), AD_OK);
    assert_grads(a, (int)ad_numel(a), da, 1e-13);
    assert_grads(b, (int)ad_numel(b), db, 1e-13);
    ad_graph_free(g);
}

static void matmul_of_all_ranks_against_plain_sums(void **state) {
    (void)state;
    const int64_t sides[][3] = { { 2, 3, 4 }, { 1, 3, 2 }, { 3, 1, 2 }, { 2, 2, 1 }, { 9, 8, 10 } };
    const unsigned ones[] = { 0, 0x0f, 0xf0, 0x21, 0x92 };
    for (int ra = 1; ra <= 6; ra++)
        for (int rb = 1; rb <= 6; rb++)
            for (int i = 0; i < COUNT(sides); i++) {
                product p = product_of_ranks(ra, rb, sides[i][0], sides[i][1], sides[i][2], ones[i]);
                compare_product(&p);
            }
}

static void dot_and_outer(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3));
    ad_var *b = ad_param(g, AD_F64, (double[]){ 4, -5, 6 }, AD_SHAPE(3));
    ad_var *c = ad_param(g, AD_F64, (double[]){ 2, -1 }, AD_SHAPE(2)), *d = ad_dot(a, b), *o = ad_outer(a, c);
    assert_shape(d, AD_SCALAR);
    assert_close(ad_item(d), 12, 0);
    assert_shape(o, AD_SHAPE(3, 2));
    assert_values(o, 6, (double[]){ 2, -1, 4, -2, 6, -3 }, 0);
    backward_weighted(o);
    assert_grads(a, 3, (double[]){ 0, 2, 4 }, 0);
    assert_grads(c, 2, (double[]){ 22, 28 }, 0);
    assert_int_equal(ad_backward(ad_dot(b, b)), AD_OK); /* one Var as both operands */
    assert_grads(b, 3, (double[]){ 8, -10, 12 }, 0);
    assert_close(ad_item(ad_dot(ad_zeros(g, AD_F32, AD_SHAPE(0)), ad_zeros(g, AD_F32, AD_SHAPE(0)))), 0, 0);
    assert_fails(g, ad_dot(a, o), AD_ESHAPE, "dot: [3] x [3,2]: takes two vectors");
    assert_fails(g, ad_outer(o, a), AD_ESHAPE, "outer: [3,2] x [3]");
    assert_fails(g, ad_dot(a, c), AD_ESHAPE, "inner sizes 3 and 2");
    ad_graph_free(g);
}

/* ---- einsum ----------------------------------------------------------------------------------------- */

/* A spec, the same spec with a letter for every axis and an explicit result, and the shapes of the operands. */
typedef struct {
    const char *spec, *plain;
    ad_shape a, b;
    bool one; /* a is the only operand */
} einsum_case;

static int64_t place_of(const char *term, size_t n, const ad_shape *s, const int64_t *index) {
    int64_t place = 0;
    for (size_t i = 0; i < n; i++) place = place * s->dim[i] + (s->dim[i] == 1 ? 0 : index[(int)term[i]]);
    return place;
}

/* Compares einsum with its definition: a sum over all values of all letters. */
static void compare_sums(const einsum_case *c) {
    ad_graph *g = ad_graph_new();
    ad_var *a = random_param(g, AD_F64, c->a, 7), *b = random_param(g, AD_F64, c->b, 8);
    ad_var *y = ad_einsum(c->spec, a, c->one ? NULL : b);
    print_message("%s\n", c->spec);
    assert_ok(g);
    const char *end_a = c->plain + strcspn(c->plain, ",-"), *at_b = end_a + (*end_a == ',');
    const char *at_y = strstr(c->plain, "->") + 2;
    size_t na = (size_t)(end_a - c->plain), nb = c->one ? 0 : strcspn(at_b, "-"), ny = strlen(at_y);
    int64_t size[128] = { 0 }, index[128] = { 0 };
    for (size_t i = 0; i < na; i++) size[(int)c->plain[i]] = c->a.dim[i];
    for (size_t i = 0; i < nb; i++)
        if (size[(int)at_b[i]] < 2) size[(int)at_b[i]] = c->b.dim[i];
    ad_shape sy = { .ndim = (int)ny };
    for (size_t i = 0; i < ny; i++) sy.dim[i] = size[(int)at_y[i]];
    assert_shape(y, sy);
    ad_var *w = random_param(g, AD_F64, sy, 9);
    double want[MAX_NUMEL] = { 0 }, da[MAX_NUMEL] = { 0 }, db[MAX_NUMEL] = { 0 };
    for (int l = 0; l < 128;) {
        int64_t pa = place_of(c->plain, na, &c->a, index), pb = place_of(at_b, nb, &c->b, index);
        int64_t py = place_of(at_y, ny, &sy, index);
        double vb = c->one ? 1 : ad_at(b, pb);
        want[py] += ad_at(a, pa) * vb;
        da[pa] += ad_at(w, py) * vb;
        db[pb] += ad_at(w, py) * ad_at(a, pa);
        for (l = 0; l < 128; l++) { /* advance the indices */
            if (size[l] == 0) continue;
            if (++index[l] < size[l]) break;
            index[l] = 0;
        }
    }
    assert_values(y, (int)ad_numel(y), want, 1e-13);
    if (ad_creator(y) != NULL) assert_int_equal(ad_backward_from(y, w), AD_OK);
    if (ad_creator(y) != NULL) assert_grads(a, (int)ad_numel(a), da, 1e-13);
    if (!c->one) assert_grads(b, (int)ad_numel(b), db, 1e-13);
    ad_graph_free(g);
}

static void einsum_against_its_definition(void **state) {
    (void)state;
    const einsum_case cases[] = {
        { "ij,jk->ik", "ij,jk->ik", AD_SHAPE(2, 3), AD_SHAPE(3, 4), false },
        { "ij,jk", "ij,jk->ik", AD_SHAPE(2, 3), AD_SHAPE(3, 4), false },
        { "ij,kj->ik", "ij,kj->ik", AD_SHAPE(2, 3), AD_SHAPE(4, 3), false },
        { "ji,jk->ki", "ji,jk->ki", AD_SHAPE(3, 2), AD_SHAPE(3, 4), false },
        { " i j , j k -> k i ", "ij,jk->ki", AD_SHAPE(2, 3), AD_SHAPE(3, 4), false },
        { "bA,aB", "bA,aB->ABab", AD_SHAPE(2, 3), AD_SHAPE(3, 2), false },
        { "i,j->ij", "i,j->ij", AD_SHAPE(3), AD_SHAPE(2), false },
        { "i,i", "i,i->", AD_SHAPE(5), AD_SHAPE(5), false },
        { "i,i->i", "i,i->i", AD_SHAPE(5), AD_SHAPE(5), false },
        { "ij,ij->", "ij,ij->", AD_SHAPE(2, 3), AD_SHAPE(2, 3), false },
        { "ij,ij->j", "ij,ij->j", AD_SHAPE(2, 3), AD_SHAPE(2, 3), false },
        { "bij,bjk->bik", "bij,bjk->bik", AD_SHAPE(2, 3, 4), AD_SHAPE(2, 4, 2), false },
        { "ibj,jkb->kbi", "ibj,jkb->kbi", AD_SHAPE(3, 2, 4), AD_SHAPE(4, 3, 2), false },
        { "bij,bjk->bik", "bij,bjk->bik", AD_SHAPE(1, 3, 4), AD_SHAPE(2, 4, 2), false },
        { "bij,bjk->ik", "bij,bjk->ik", AD_SHAPE(2, 3, 1), AD_SHAPE(1, 4, 2), false },
        { "ii,ij->j", "ii,ij->j", AD_SHAPE(3, 3), AD_SHAPE(3, 2), false },
        { "iji,kk->jk", "iji,kk->jk", AD_SHAPE(3, 2, 3), AD_SHAPE(2, 2), false },
        { "ii,jj", "ii,jj->", AD_SHAPE(3, 3), AD_SHAPE(2, 2), false },
        { "ab,cd->ac", "ab,cd->ac", AD_SHAPE(2, 3), AD_SHAPE(4, 2), false },
        { "ab,cd->dbca", "ab,cd->dbca", AD_SHAPE(2, 3), AD_SHAPE(4, 2), false },
        { "abcd,cdba->", "abcd,cdba->", AD_SHAPE(2, 3, 4, 2), AD_SHAPE(4, 2, 3, 2), false },
        { "abcdef,fa->bcdef", "abcdef,fa->bcdef", AD_SHAPE(2, 1, 2, 2, 1, 3), AD_SHAPE(3, 2), false },
        { "...ij,...jk->...ik", "xyij,yjk->xyik", AD_SHAPE(2, 3, 2, 2), AD_SHAPE(3, 2, 4), false },
        { "...ij,...jk", "xyij,yjk->xyik", AD_SHAPE(2, 1, 2, 2), AD_SHAPE(3, 2, 4), false },
        { "i...,...->...i", "ixy,y->xyi", AD_SHAPE(4, 2, 3), AD_SHAPE(3), false },
        { "...i,...i->", "xyi,yi->", AD_SHAPE(2, 3, 2), AD_SHAPE(3, 2), false },
        { "i...,i", "ixy,i->xy", AD_SHAPE(4, 2, 3), AD_SHAPE(4), false },
        { ",", ",->", AD_SCALAR, AD_SCALAR, false },
        { ",ij", ",ij->ij", AD_SCALAR, AD_SHAPE(2, 3), false },
        { "ijk,l->lj", "ijk,l->lj", AD_SHAPE(2, 3, 4), AD_SHAPE(2), false },
        { "ij->ji", "ij->ji", AD_SHAPE(2, 3), AD_SHAPE(1), true },
        { "ijkl->k", "ijkl->k", AD_SHAPE(2, 3, 4, 2), AD_SHAPE(1), true },
        { "ba", "ba->ab", AD_SHAPE(2, 3), AD_SHAPE(1), true },
        { "ii", "ii->", AD_SHAPE(3, 3), AD_SHAPE(1), true },
        { "ijij->ji", "ijij->ji", AD_SHAPE(2, 3, 2, 3), AD_SHAPE(1), true },
        { "iii->i", "iii->i", AD_SHAPE(3, 3, 3), AD_SHAPE(1), true },
        { "i...->...", "ixy->xy", AD_SHAPE(2, 3, 4), AD_SHAPE(1), true },
        { "ij->ij", "ij->ij", AD_SHAPE(2, 3), AD_SHAPE(1), true },
    };
    for (int i = 0; i < COUNT(cases); i++) compare_sums(&cases[i]);
}

static void einsum_of_empty_operands(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F32, NULL, AD_SHAPE(2, 0)), *b = ad_param(g, AD_F32, NULL, AD_SHAPE(0, 3));
    assert_values(ad_einsum("ij,jk->ik", a, b), 6, (double[6]){ 0 }, 0);
    assert_shape(ad_einsum("ij,jk->ijk", a, b), AD_SHAPE(2, 0, 3));
    assert_shape(ad_einsum("ij,jk->ijk", a, ad_ones(g, AD_F32, AD_SHAPE(1, 3))), AD_SHAPE(2, 0, 3)); /* 1 -> 0 */
    ad_graph_free(g);
}

/* One Var as both operands. */
static void einsum_of_one_var_twice(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double x[] = { 1, 2, 3, 4 };
    ad_var *a = ad_param(g, AD_F64, x, AD_SHAPE(2, 2)), *y = ad_einsum("ij,ij->", a, a);
    assert_close(ad_item(y), 30, 0);
    ad_backward(y);
    assert_grads(a, 4, (double[]){ 2, 4, 6, 8 }, 0);
    ad_zero_grad(a);
    ad_backward(ad_einsum("ij,ji->", a, a)); /* the gradient of tr(a a) is 2 a^T */
    assert_grads(a, 4, (double[]){ 2, 6, 4, 8 }, 0);
    ad_graph_free(g);
}

static void bad_einsum_specs_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *b = ad_zeros(g, AD_F64, AD_SHAPE(3, 4));
    const struct {
        const char *spec;
        const char *says;
    } cases[] = {
        { "ij;jk->ik", "einsum(\"ij;jk->ik\"): [2,3] x [3,4]: ';' is neither a letter nor part of \"...\"" },
        { "ijk,jk->ik", "[2,3] x [3,4]: operand 0 has 2 dimensions and 3 letters" },
        { "ij,j->i", "operand 1 has 2 dimensions and 1 letters" },
        { "ij...,...jkl", "operand 1 has 2 dimensions and 3 letters" },
        { "ij,ik->jk", "i has two sizes, 2 and 3" },
        { "ii,jk->ij", "i has two sizes, 2 and 3" },
        { "i...,j...", "an axis under ... has two sizes, 3 and 4" },
        { "ij,jk->iz", "the result's letter z is in no operand" },
        { "ij,jk->ii", "the letter i stands twice in the result" },
        { "ij,jk-ik", "'-' without '>'" },
        { "ij,jk->ik->", "'-' after the result's letters" },
        { "ij,jk->ik,", "',' after the result's letters" },
        { "i..j,jk", "'.' is neither a letter" },
        { "...i...,jk", "\"...\" stands twice in one term" },
        { "ij", "the spec has fewer than the 2 operands given" },
        { "ij,jk,kl", "the spec has more than the 2 operands given" },
        { "abcdefghijklm,jk", "a term of more than 12 letters" },
        { "", "operand 0 has 2 dimensions and 0 letters" },
    };
    for (int i = 0; i < COUNT(cases); i++) assert_fails(g, ad_einsum(cases[i].spec, a, b), AD_ESHAPE, cases[i].says);
    assert_fails(g, ad_einsum("ij,jk->ik", a, NULL), AD_ESHAPE, "the spec has more than the 1 operands given");
    assert_fails(g, ad_einsum(NULL, a, b), AD_EVALUE, "einsum: the spec is NULL");
    assert_fails(g, ad_einsum("ij,jk->ik", a, ad_zeros(g, AD_F32, AD_SHAPE(3, 4))), AD_EDTYPE, "f32");
    ad_var *c = ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 1, 1));
    assert_fails(g, ad_einsum("abcde,fghij", c, c), AD_ESHAPE, "the result has 10 dimensions; at most 6 are possible");
    ad_var *nil = ad_matmul(a, a);
    ad_clear_error(g);
    assert_fails(g, ad_einsum("ij,jk->ik", nil, b), AD_EVALUE, "einsum");
    assert_true(ad_is_nil(ad_einsum("i", NULL, NULL)));
    assert_shape(ad_einsum("ij,jk->ik", a, b), AD_SHAPE(2, 4)); /* the graph still works */
    ad_graph_free(g);
}

/* The largest number of elements of what y was made from. Every Op has one or two operands. */
static int64_t largest_part(const ad_var *y) {
    const ad_var *waiting[64] = { y };
    int64_t most = 0;
    for (int n = 1; n > 0;) {
        const ad_var *x = waiting[--n];
        const ad_op *op = ad_creator(x);
        most = ad_numel(x) > most ? ad_numel(x) : most;
        for (int i = 0; op != NULL && i < ad_op_arity(op); i++) {
            assert_true(n < 64);
            waiting[n++] = ad_op_operand(op, i);
        }
    }
    return most;
}

/* The order of products keeps intermediate arrays small, wherever the operands stand. */
static void einsum_takes_a_cheap_order(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *tall = ad_ones(g, AD_F32, AD_SHAPE(300, 2)), *wide = ad_ones(g, AD_F32, AD_SHAPE(2, 300));
    ad_var *v = ad_ones(g, AD_F32, AD_SHAPE(300)), *chain[] = { tall, wide, tall, wide, v, v };
    assert_true(largest_part(ad_einsum_n("ij,jk,kl->il", 3, chain)) <= 600);
    assert_true(largest_part(ad_einsum_n("ij,jk,kl,lm->jm", 4, chain)) <= 600);
    assert_true(largest_part(ad_einsum_n("ij,jk,kl,lm,m->i", 5, chain)) <= 600);
    assert_true(largest_part(ad_einsum_n("ij,jk,kl,lm,m,k->i", 6, chain)) <= 600);
    assert_true(largest_part(ad_multi_dot(3, (ad_var *[]){ tall, wide, v })) <= 600);
    assert_true(largest_part(ad_multi_dot(4, (ad_var *[]){ wide, tall, wide, v })) <= 600);
    assert_true(largest_part(ad_multi_dot(5, (ad_var *[]){ v, tall, wide, tall, wide })) <= 600);
    ad_var *y = ad_einsum_n("kl,i,ij,jk->l", 4, (ad_var *[]){ tall, v, tall, wide });
    assert_true(largest_part(y) <= 600);
    assert_close(ad_at(y, 1), 300.0 * 2 * 300, 0);
    ad_var *many[17] = { tall };
    for (int i = 1; i < 17; i++) many[i] = tall;
    ad_var *five = ad_ones(g, AD_F32, AD_SHAPE(1, 1, 1, 1, 1));
    ad_var *all[] = { five, five, five };
    assert_fails(g, ad_einsum_n("ij", 17, many), AD_EVALUE, "einsum: 17 operands; takes 1 to 16");
    assert_fails(g, ad_einsum_n("ij,jk", 3, chain), AD_ESHAPE, "[300,2] x [2,300] x ..: the spec has fewer than the 3");
    assert_close(ad_item(ad_einsum_n("abcde,fghij,klmno->abfgkl", 3, all)), 1, 0);
    ad_graph_free(g);
}

/* torch.einsum("bi,bij->j", x, y) with cotangent 1, 2. */
static void einsum_as_in_torch(void **state) {
    (void)state;
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        double numbers[17]; /* -5 .. 11 */
        for (int i = 0; i < 17; i++) numbers[i] = i - 5;
        ad_var *x = param_of(g, t, numbers + 6, AD_SHAPE(2, 3)), *y = param_of(g, t, numbers, AD_SHAPE(2, 3, 2));
        ad_var *e = ad_einsum("bi,bij->j", x, y);
        assert_values(e, 2, (double[]){ 35, 56 }, 0);
        backward_weighted(e);
        assert_grads(x, 6, (double[]){ -13, -7, -1, 5, 11, 17 }, 0);
        assert_grads(y, 12, (double[]){ 1, 2, 2, 4, 3, 6, 4, 8, 5, 10, 6, 12 }, 0);
        ad_graph_free(g);
    }
}

/* ---- permute, diagonals, triangles ------------------------------------------------------------------ */

static void permute_against_plain_indexing(void **state) {
    (void)state;
    const struct {
        ad_shape x, axes;
    } cases[] = {
        { AD_SHAPE(3, 4, 5), AD_SHAPE(2, 0, 1) },          { AD_SHAPE(33, 17), AD_SHAPE(1, 0) },
        { AD_SHAPE(3, 20, 21), AD_SHAPE(2, 1, 0) },        { AD_SHAPE(2, 3, 4, 5, 2), AD_SHAPE(4, 1, 3, 0, 2) },
        { AD_SHAPE(2, 3, 2, 3, 2, 3), AD_SHAPE(5, 4, 3, 2, 1, 0) },
        { AD_SHAPE(2, 3, 2, 3, 2, 3), AD_SHAPE(1, 0, 3, 2, 4, 5) },
    };
    for (int i = 0; i < 2 * COUNT(cases); i++) {
        ad_shape s = cases[i / 2].x, axes = cases[i / 2].axes;
        ad_graph *g = ad_graph_new();
        ad_var *x = random_param(g, i % 2 ? AD_F32 : AD_F64, s, 10), *y = ad_permute(x, axes);
        backward_weighted(y);
        backward_weighted(y);
        int64_t step[AD_MAX_NDIM], at = 1;
        for (int a = s.ndim - 1; a >= 0; a--) step[a] = at, at *= s.dim[a];
        ad_shape sy = ad_shape_of(y);
        for (int64_t k = 0; k < ad_numel(y); k++) {
            int64_t rest = k, from = 0;
            for (int a = s.ndim - 1; a >= 0; a--) {
                assert_int_equal(sy.dim[a], s.dim[axes.dim[a]]);
                from += rest % sy.dim[a] * step[axes.dim[a]];
                rest /= sy.dim[a];
            }
            assert_close(ad_at(y, k), ad_at(x, from), 0);
            assert_close(ad_grad_at(x, from), 2 * (double)(k + 1), 0);
        }
        ad_graph_free(g);
    }
}

static void bad_axes_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3));
    assert_fails(g, ad_permute(x, AD_SHAPE(0, 1, 2)), AD_ESHAPE, "permute: [2,3]: 3 axes given for 2 dimensions");
    assert_fails(g, ad_permute(x, AD_SHAPE(0)), AD_ESHAPE, "1 axes given for 2 dimensions");
    assert_fails(g, ad_permute(x, AD_SHAPE(0, 2)), AD_ESHAPE, "permute: [2,3]: axis 2 is not in -2..1");
    assert_fails(g, ad_permute(x, AD_SHAPE(0, INT64_MIN)), AD_ESHAPE, "is not in -2..1");
    assert_fails(g, ad_permute(x, AD_SHAPE(1, -1)), AD_ESHAPE, "axis 1 is named twice");
    assert_fails(g, ad_permute(x, (ad_shape){ .ndim = -3 }), AD_ESHAPE, "-3 axes given");
    ad_graph_free(g);
}

static void diagonals_as_in_numpy(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_reshape(ad_arange(g, AD_F64, 0, 6, 1), AD_SHAPE(2, 3)), *v = ad_arange(g, AD_F64, 1, 3, 1);
    assert_values(ad_diag(x, 0), 2, (double[]){ 0, 4 }, 0);
    assert_values(ad_diag(x, 1), 2, (double[]){ 1, 5 }, 0);
    assert_values(ad_diag(x, -1), 1, (double[]){ 3 }, 0);
    const int64_t beyond[] = { 3, -2, 1000, INT64_MAX, INT64_MIN };
    for (int i = 0; i < COUNT(beyond); i++) assert_shape(ad_diagonal(x, beyond[i]), AD_SHAPE(0));
    assert_values(ad_diag(v, 1), 9, (double[]){ 0, 1, 0, 0, 0, 2, 0, 0, 0 }, 0);
    assert_values(ad_diag(v, -1), 9, (double[]){ 0, 0, 0, 1, 0, 0, 0, 2, 0 }, 0);
    assert_values(ad_trace(x), 1, (double[]){ 4 }, 0);
    assert_shape(ad_trace(ad_zeros(g, AD_F64, AD_SHAPE(4, 2, 3, 3))), AD_SHAPE(4, 2));
    assert_shape(ad_diag(ad_zeros(g, AD_F64, AD_SHAPE(0)), 2), AD_SHAPE(2, 2));
    ad_var *batch = ad_zeros(g, AD_F64, AD_SHAPE(2, 2, 2));
    assert_fails(g, ad_diag(batch, 0), AD_ESHAPE, "diag: [2,2,2]: takes a vector or a matrix");
    assert_fails(g, ad_diagonal(v, 0), AD_ESHAPE, "diagonal: [2]: takes matrices");
    assert_fails(g, ad_trace(v), AD_ESHAPE, "[2]: takes matrices");
    assert_fails(g, ad_diag_embed(ad_scalar(g, AD_F64, 1), 0), AD_ESHAPE, "diag_embed: []: takes diagonals");
    assert_fails(g, ad_diag_embed(v, INT64_MAX), AD_ESHAPE, "more than 2147483647 rows");
    assert_fails(g, ad_diag_embed(v, INT64_MIN), AD_ESHAPE, "more than 2147483647 rows");
    assert_fails(g, ad_diag_embed(ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 1, 1, 1)), 0), AD_ESHAPE, "at most 5");
    ad_graph_free(g);
}

static void triangles_as_in_numpy(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3, 4, 5, 6 }, AD_SHAPE(2, 3));
    const struct {
        int64_t k;
        double lower[6], upper[6];
    } cases[] = {
        { 0, { 1, 0, 0, 4, 5, 0 }, { 1, 2, 3, 0, 5, 6 } },   { 1, { 1, 2, 0, 4, 5, 6 }, { 0, 2, 3, 0, 0, 6 } },
        { -1, { 0, 0, 0, 4, 0, 0 }, { 1, 2, 3, 4, 5, 6 } },  { 2, { 1, 2, 3, 4, 5, 6 }, { 0, 0, 3, 0, 0, 0 } },
        { -2, { 0 }, { 1, 2, 3, 4, 5, 6 } },                 { 3, { 1, 2, 3, 4, 5, 6 }, { 0 } },
        { INT64_MIN, { 0 }, { 1, 2, 3, 4, 5, 6 } },          { INT64_MAX, { 1, 2, 3, 4, 5, 6 }, { 0 } },
    };
    for (int i = 0; i < COUNT(cases); i++) {
        assert_values(ad_tril(x, cases[i].k), 6, cases[i].lower, 0);
        assert_values(ad_triu(x, cases[i].k), 6, cases[i].upper, 0);
    }
    ad_set(x, (double[]){ 1, NAN, INFINITY, 4, 5, -INFINITY }); /* NaN and infinities outside the triangle give 0 */
    assert_values(ad_tril(x, 0), 6, (double[]){ 1, 0, 0, 4, 5, 0 }, 0);
    assert_fails(g, ad_tril(ad_zeros(g, AD_F64, AD_SHAPE(3)), 0), AD_ESHAPE, "tril: [3]: takes matrices");
    ad_graph_free(g);
}

/* ---- LAPACK: values and gradients of PyTorch 1.13 --------------------------------------------------- */

static const double general[] = { 2, -1, .5, .25, 3, 1, -1.5, .75, -4 }, right_side[] = { 1, 2, -1, .5, 3, 0 };
static const double definite[] = { 4, 1, -.5, 1, 3, .25, -.5, .25, 2 };

static void solve_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = param_of(g, t, general, AD_SHAPE(3, 3)), *b = param_of(g, t, right_side, AD_SHAPE(3, 2));
        ad_var *x = ad_solve(a, b);
        backward_weighted(x);
        assert_values(x, 6, (double[]){ 0.7337931034482759, 1.2055172413793103, -0.04965517241379308,
                                        0.20413793103448274, -1.0344827586206897, -0.41379310344827586 },
                      tolerance(t));
        assert_grads(a, 9, (double[]){ 0.33082140309155766, -0.014504637336504152, -0.43091557669441144,
                                       -2.7506758620689657, -0.27100689655172416, 1.8206896551724139,
                                       2.0792009512485135, 0.1745731272294887, -1.512485136741974 }, tolerance(t));
        assert_grads(b, 6, (double[]){ -0.40551724137931033, -0.027586206896551724, 1.12, 1.6, -1.0206896551724138,
                                       -1.103448275862069 }, tolerance(t));
        ad_graph_free(g);
    }
}

static void solve_triangular_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, general, AD_SHAPE(3, 3)), *b = ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2));
    ad_var *x = ad_solve_triangular(a, b, (ad_triangular_opts){ .upper = true });
    backward_weighted(x);
    assert_values(x, 6, (double[]){ 0.6458333333333334, 1.0833333333333333, -0.08333333333333333, 0.16666666666666666,
                                    -0.75, 0 }, 1e-14);
    assert_grads(a, 9, (double[]){ -1.40625, -0.125, 0.375, 0, -0.18055555555555552, 0.875, 0, 0, -0.671875 }, 1e-14);
    assert_grads(b, 6, (double[]){ .5, 1, 1.1666666666666665, 1.6666666666666665, -0.8958333333333334,
                                   -0.9583333333333334 }, 1e-14);
    ad_graph_free(g);
}

static void inverse_and_det_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, general, AD_SHAPE(3, 3)), *y = ad_inverse(a), *d;
    backward_weighted(y);
    assert_values(y, 9, (double[]){ 0.5627586206896552, 0.16, 0.1103448275862069, 0.022068965517241378, 0.32,
                                    0.08275862068965517, -0.20689655172413793, 0, -0.27586206896551724 }, 1e-14);
    assert_grads(a, 9, (double[]){ 0.5203101070154578, 0.15519809750297262, -0.17636147443519615, -1.3824, -0.8448,
                                   0.96, 1.2725422116527942, 0.6730273483947682, -0.7648038049940546 }, 1e-14);
    ad_zero_grad(a);
    ad_backward(d = ad_det(a));
    assert_close(ad_item(d), -22.65625, 1e-14);
    assert_grads(a, 9, (double[]){ -12.75, -.5, 4.6875, -3.625, -7.25, 0, -2.5, -1.875, 6.25 }, 1e-14);
    ad_graph_free(g);
}

static void cholesky_and_logdet_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, definite, AD_SHAPE(3, 3)), *l = ad_cholesky(a), *d;
    backward_weighted(l);
    assert_values(l, 9, (double[]){ 2, 0, 0, .5, 1.6583123951777, 0, -.25, 0.22613350843332272, 1.3734495390671027 },
                  1e-14);
    assert_grads(a, 9, (double[]){ 0.22458499599255458, 0.9357731321786068, 1.6682262322976502, 0.9357731321786069,
                                   1.2395604546881225, 1.9653059668051, 1.66822623229765, 1.9653059668050998,
                                   3.276421791991401 }, 1e-14);
    ad_zero_grad(a);
    ad_backward(d = ad_logdet(a));
    assert_close(ad_item(d), 3.0325462466767075, 1e-14);
    assert_grads(a, 9, (double[]){ 0.286144578313253, -0.10240963855421686, 0.08433734939759036, -0.10240963855421688,
                                   0.37349397590361444, -0.07228915662650602, 0.08433734939759036, -0.07228915662650601,
                                   0.5301204819277108 }, 1e-14);
    ad_graph_free(g);
}

/* ---- special points --------------------------------------------------------------------------------- */

static void determinants_at_special_points(void **state) {
    (void)state;
    NEED_LAPACK();
    const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        int64_t n;
        double x[9], y, dx[9];
    } points[] = {
        { "logdet of a negative determinant", ad_logdet, 2, { 0, 1, 1, 0 }, NAN, { 0, 0, 0, 0 } },
        { "logdet of 0", ad_logdet, 2, { 1, 2, 2, 4 }, -INFINITY, { NAN, NAN, NAN, NAN } },
        { "logdet of rows exchanged", ad_logdet, 2, { 0, 2, -3, 0 }, 1.791759469228055, { 0, 1. / 2, -1. / 3, 0 } },
        { "logdet of a NaN", ad_logdet, 2, { NAN, 1, 0, 1 }, NAN, { NAN, NAN, NAN, NAN } },
        { "logdet of a NaN, rows exchanged", ad_logdet, 2, { 0, 1, 1, NAN }, NAN, { NAN, NAN, NAN, NAN } },
        { "logdet of an infinite one", ad_logdet, 1, { INFINITY }, INFINITY, { 0 } },
        { "logdet of nothing", ad_logdet, 0, { 0 }, 0, { 0 } },
        { "logdet of huge numbers", ad_logdet, 2, { 1e200, 0, 0, 1e200 }, 921.0340371976183, { 1e-200, 0, 0, 1e-200 } },
        { "det of nothing", ad_det, 0, { 0 }, 1, { 0 } },
        { "det of 0", ad_det, 1, { 0 }, 0, { 1 } },
        /* the gradient is the cofactors; PyTorch returns 0 */
        { "det of rank 1", ad_det, 2, { 1, 2, 2, 4 }, 0, { 4, -2, -2, 1 } },
        { "det of rank 1 with a zero row", ad_det, 2, { 0, 1, 0, 0 }, 0, { 0, 0, -1, 0 } },
        { "det of rank 1, turned", ad_det, 2, { 2, 1, 4, 2 }, 0, { 2, -4, -1, 2 } },
        { "det of rank 1, mirrored", ad_det, 2, { 1, 2, -2, -4 }, 0, { -4, 2, -2, 1 } },
        { "det of one element", ad_det, 2, { 0, 0, 0, 3 }, 0, { 3, 0, 0, 0 } },
        { "det of rank 2, its rows exchanged", ad_det, 3, { 2, 4, 6, 1, 2, 3, 0, 1, 0 }, 0, { -3, 0, 1, 6, 0, -2, 0, 0, 0 } },
        { "det of rank 2, its columns exchanged", ad_det, 3, { 2, 1, 3, 4, 2, 6, 1, 0, 0 }, 0, { 0, 6, -2, 0, -3, 1, 0, 0, 0 } },
        { "det of rank 2", ad_det, 3, { 1, 2, 3, 2, 4, 6, 0, 1, 0 }, 0, { -6, 0, 2, 3, 0, -1, 0, 0, 0 } },
        { "det of rank 1 of 3", ad_det, 3, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 0, { 0 } },
        { "det of zeros", ad_det, 3, { 0 }, 0, { 0 } },
        { "det that underflows", ad_det, 2, { 1e-200, 0, 0, 1e-200 }, 0, { 1e-200, 0, 0, 1e-200 } },
        { "det of a NaN", ad_det, 2, { NAN, 1, 0, 1 }, NAN, { NAN, NAN, NAN, NAN } },
        { "det of a NaN in a singular matrix", ad_det, 2, { 0, NAN, 0, 0 }, NAN, { NAN, NAN, NAN, NAN } },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, points[i].x, AD_SHAPE(points[i].n, points[i].n)), *y = points[i].f(x);
        assert_ok(g);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_close_in(points[i].name, ad_item(y), points[i].y, 1e-14);
        for (int64_t k = 0; k < ad_numel(x); k++)
            assert_close_in(points[i].name, ad_grad_at(x, k), points[i].dx[k], 2e-14);
        ad_graph_free(g);
    }
}

/* Each matrix of a batch has its own result. */
static void batch_with_special_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double values[] = { 2, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 0 };
    ad_var *x = param_of(g, AD_F32, values, AD_SHAPE(3, 2, 2)), *y = ad_det(x);
    assert_values(y, 3, (double[]){ 2, 0, -1 }, 0);
    backward_weighted(y);
    assert_grads(x, 12, (double[]){ 1, 0, 0, 2, 2, -2, -2, 2, 0, -3, -3, 0 }, 1e-6);
    assert_values(ad_logdet(x), 3, (double[]){ 0.6931471805599453, -INFINITY, NAN }, 1e-7);
    ad_graph_free(g);
}

/* ---- derivatives of determinants of any rank -------------------------------------------------------- */

enum { SIDE = 6 };

/* The determinant without these rows and columns, by Laplace's expansion along the first row that is left. */
static long double minor_of(int n, const double *a, unsigned rows, unsigned columns) {
    int i = 0;
    while (i < n && (rows >> i & 1)) i++;
    if (i == n) return 1;
    long double sum = 0, sign = 1;
    for (int j = 0; j < n; j++) {
        if (columns >> j & 1) continue;
        sum += sign * (long double)a[i * n + j] * minor_of(n, a, rows | 1u << i, columns | 1u << j);
        sign = -sign;
    }
    return sum;
}

static long double cofactor_at(int n, const double *a, int i, int j) {
    return ((i + j) % 2 ? -1 : 1) * minor_of(n, a, 1u << i, 1u << j);
}

/* d2 det a / da[i,j] da[k,l] */
static double second_at(int n, const double *a, int i, int j, int k, int l) {
    if (i == k || j == l) return 0;
    int sign = (i + j + k + l) % 2 ? -1 : 1;
    if ((i < k) != (j < l)) sign = -sign;
    return (double)(sign * minor_of(n, a, 1u << i | 1u << k, 1u << j | 1u << l));
}

/* A matrix [n,n] of that rank: the sum of outer products of vectors, whose elements are multiples of 1/step. */
static void of_rank(int n, int rank, double step, uint64_t seed, double *to) {
    double u[SIDE * SIDE], v[SIDE * SIDE];
    fill(u, n * rank, seed), fill(v, n * rank, seed + 1);
    for (int i = 0; i < n * n; i++) to[i] = 0;
    for (int i = 0; i < n * n; i++)
        for (int k = 0; k < rank; k++) to[i] += round(step * u[k * n + i / n]) / step * v[k * n + i % n];
}

static void compare_derivatives(ad_graph *g, int n, const double *a, double tol) {
    ad_mark m = ad_begin(g);
    ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(n, n)), *y = ad_det(x), *dx, *h = ad_hessian(y, x);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    for (int p = 0; p < n * n; p++) {
        double want = (double)cofactor_at(n, a, p / n, p % n);
        assert_close(ad_grad_at(x, p), want, tol);
        assert_close(ad_at(dx, p), want, tol);
        for (int q = 0; q < n * n; q++)
            assert_close(ad_at(h, p * n * n + q), second_at(n, a, p / n, p % n, q / n, q % n), tol);
    }
    ad_zero_grad(dx); /* backward through the gradient */
    assert_int_equal(ad_backward(ad_sum(ad_square(dx))), AD_OK);
    for (int p = 0; p < n * n; p++) {
        double want = 0;
        for (int q = 0; q < n * n; q++) want += 2 * ad_at(dx, q) * ad_at(h, q * n * n + p);
        assert_close(ad_grad_at(x, p), want, tol);
    }
    ad_end(g, m);
}

/* Steps of 2 make matrices whose factors have pivots of exactly 0, others leave a rounding error. */
static void det_of_every_rank_against_minors(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double u[] = { .1, .7, .6, -.3, -1.3, .2 };
    double a[SIDE * SIDE];
    for (int i = 0; i < 9; i++) a[i] = u[i / 3 * 2] * u[i % 3 * 2] + u[i / 3 * 2 + 1] * u[i % 3 * 2 + 1];
    compare_derivatives(g, 3, a, 2e-15);
    ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(3, 3)), *h = ad_hessian(ad_det(x), x);
    assert_close(ad_at(h, 4), 1.73, 1e-14);
    assert_close(ad_at(h, 5), 0.84, 1e-14);
    for (int n = 1; n <= SIDE; n++)
        for (int rank = 0; rank <= n; rank++)
            for (int step = 2; step <= 32; step += 15) {
                of_rank(n, rank, step, (uint64_t)(100 * n + 10 * rank + step), a);
                compare_derivatives(g, n, a, 1e-13);
            }
    assert_ok(g);
    ad_graph_free(g);
}

/* Rows and columns of singular matrices times powers of 2: cofactors are as accurate as without these. */
static void cofactors_of_graded_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const int powers[] = { 100, 0, -100, 50, 0, 3 };
    for (int n = 1; n <= SIDE; n++)
        for (int rank = n > 2 ? n - 2 : 0; rank < n; rank++)
            for (int turn = 0; turn < SIDE; turn++) {
                double a[SIDE * SIDE];
                of_rank(n, rank, 2, (uint64_t)(100 * n + 10 * rank), a);
                for (int i = 0; i < n * n; i++)
                    a[i] = ldexp(a[i], powers[(i / n + turn) % SIDE] + powers[(i % n + 2 * turn) % SIDE]);
                ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(n, n)), *y = ad_cofactor(x);
                assert_int_equal(ad_backward(ad_det(x)), AD_OK);
                int all = 0;
                for (int i = 0; i < n; i++) all += powers[(i + turn) % SIDE] + powers[(i + 2 * turn) % SIDE];
                for (int i = 0; i < n * n; i++) {
                    int left = all - powers[(i / n + turn) % SIDE] - powers[(i % n + 2 * turn) % SIDE];
                    double want = ldexp((double)cofactor_at(n, a, i / n, i % n), -left);
                    assert_close(ldexp(ad_at(y, i), -left), want, 1e-13);
                    assert_close(ldexp(ad_grad_at(x, i), -left), want, 1e-13);
                }
            }
    assert_ok(g);
    ad_graph_free(g);
}

/* The third derivatives of a determinant of side 3 are signs of permutations, whatever the matrix is; those of side 2 are
   0, and so are the fourth ones. In f32 too, and in a batch. */
static void det_to_higher_orders(void **state) {
    (void)state;
    NEED_LAPACK();
    for (int t = 0; t < 2; t++) {
        ad_graph *g = ad_graph_new();
        const double values[18] = { 1, 2, 3, 2, 4, 6, 0, 1, 0 };
        ad_var *x = param_of(g, t ? AD_F64 : AD_F32, values, AD_SHAPE(2, 3, 3)), *y = ad_sum(ad_det(x)), *d;
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        ad_var *corners = ad_select(ad_reshape(d, AD_SHAPE(2, 9)), 1, 0); /* cofactors [0,0] */
        assert_int_equal(ad_gradient(ad_sum(corners), 1, &x, &d), AD_OK);
        ad_var *middle = ad_select(ad_reshape(d, AD_SHAPE(18)), 0, 13); /* by [1,1] of the second matrix */
        assert_int_equal(ad_gradient(middle, 1, &x, &d), AD_OK);
        for (int i = 0; i < 18; i++) assert_close(ad_at(d, i), i == 17, 1e-6);
        assert_int_equal(ad_gradient(ad_sum(ad_square(d)), 1, &x, &d), AD_OK);
        for (int i = 0; i < 18; i++) assert_close(ad_at(d, i), 0, 0);
        ad_graph_free(g);
    }
}

/* The range of a double does not limit what the determinant is made from. */
static void det_of_badly_scaled_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double d[] = { 1e200, 1e-200, 1e200, 1e-200 };
    ad_var *x = ad_param(g, AD_F64, d, AD_SHAPE(4)), *y = ad_det(ad_diag(x, 0)), *dx;
    assert_close(ad_item(y), 1, 1e-15);
    ad_backward(y);
    ad_gradient(y, 1, &x, &dx);
    assert_grads(x, 4, (double[]){ 1e-200, 1e200, 1e-200, 1e200 }, 1e186);
    for (int i = 0; i < 4; i++) {
        assert_close(ad_grad_at(x, i) * d[i], 1, 1e-14);
        assert_close(ad_at(dx, i) * d[i], 1, 1e-14);
    }
    ad_var *single = param_of(g, AD_F32, (double[]){ 1e20, 0, 0, 1e20 }, AD_SHAPE(2, 2));
    ad_backward(ad_det(single));
    assert_close(ad_grad_at(single, 3) / 1e20, 1, 1e-6);
    ad_var *infinite = ad_param(g, AD_F64, (double[]){ INFINITY, 1, 1, 1 }, AD_SHAPE(2, 2));
    ad_backward(ad_det(infinite)), ad_gradient(ad_det(infinite), 1, &infinite, &dx);
    for (int i = 0; i < 4; i++) assert_close(ad_grad_at(infinite, i), ad_at(dx, i), 0);
    ad_graph_free(g);
}

/* A matrix without a logarithm does not spoil the others of its batch, in either rule. */
static void logdet_of_a_batch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double values[] = { 2, 0, 0, 1, 1, 2, 2, 4, 0, 1, 1, 0 };
    ad_var *x = ad_param(g, AD_F64, values, AD_SHAPE(3, 2, 2)), *y = ad_logdet(x), *dx;
    assert_values(y, 3, (double[]){ 0.6931471805599453, -INFINITY, NAN }, 1e-15);
    backward_weighted(y);
    assert_grads(x, 12, (double[]){ 0.5, 0, 0, 1, NAN, NAN, NAN, NAN, 0, 0, 0, 0 }, 1e-15);
    assert_int_equal(ad_vjp(y, ad_arange(g, AD_F64, 1, 4, 1), 1, &x, &dx), AD_OK);
    for (int i = 0; i < 12; i++) assert_close(ad_at(dx, i), ad_grad_at(x, i), 1e-15);
    assert_int_equal(ad_gradient(ad_select(ad_reshape(dx, AD_SHAPE(12)), 0, 0), 1, &x, &dx), AD_OK);
    assert_close(ad_at(dx, 0), -0.25, 1e-15); /* -1 / 2^2 */
    for (int i = 8; i < 12; i++) assert_close(ad_at(dx, i), 0, 0);
    ad_graph_free(g);
}

/* The other triangle is not read and may hold any values. */
static void solve_triangular_reads_one_triangle(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, (double[]){ 2, NAN, 3, 4 }, AD_SHAPE(2, 2));
    ad_var *b = ad_param(g, AD_F64, (double[]){ 2, 11 }, AD_SHAPE(2));
    ad_var *x = ad_solve_triangular(a, b, (ad_triangular_opts){ 0 });
    assert_values(x, 2, (double[]){ 1, 2 }, 0);
    backward_weighted(x);
    assert_grads(b, 2, (double[]){ -0.25, 0.5 }, 0);
    assert_grads(a, 4, (double[]){ 0.25, 0, -0.5, -1 }, 0);
    ad_var *zero = ad_param(g, AD_F64, (double[]){ 0, 0, 3, NAN }, AD_SHAPE(2, 2));
    const ad_triangular_opts unit = { .unitriangular = true }, plain = { 0 };
    assert_values(ad_solve_triangular(zero, b, unit), 2, (double[]){ 2, 5 }, 0);
    assert_fails(g, ad_solve_triangular(zero, b, plain), AD_EVALUE,
                 "solve_triangular: [2,2] x [2]: matrix 0 is singular: element 1 of its diagonal is 0");
    ad_graph_free(g);
}

/* ---- failures --------------------------------------------------------------------------------------- */

static void singular_matrices_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 0, 0, 1, 1, 2, 2, 4 }, AD_SHAPE(2, 2, 2));
    ad_var *b = ad_ones(g, AD_F64, AD_SHAPE(2, 1)), *minus = ad_neg(x);
    assert_fails(g, ad_inverse(x), AD_EVALUE, "inverse: [2,2,2]: matrix 1 is singular: pivot 2 of its LU factors is 0");
    assert_fails(g, ad_solve(x, b), AD_EVALUE,
                 "solve: [2,2,2] x [2,1]: matrix 1 is singular: pivot 2 of its LU factors is 0");
    assert_fails(g, ad_cholesky(minus), AD_EVALUE, "matrix 0 is not positive definite: its leading minor of order 1");
    assert_fails(g, ad_cholesky(x), AD_EVALUE,
                 "cholesky: [2,2,2]: matrix 1 is not positive definite: its leading minor of order 2 is not positive");
    assert_true(isnan(ad_item(ad_inverse(ad_full(g, AD_F64, NAN, AD_SHAPE(1, 1)))))); /* as in PyTorch */
    ad_graph_free(g);
}

/* The factors of a have small pivots, while those of its transpose have a pivot of 0. The gradient needs those of a. */
/* Rows of any length change places: the solution of [0 2; 4 0] x = b is b's rows the other way round, divided. */
static void solve_exchanges_long_rows(void **state) {
    (void)state;
    NEED_LAPACK();
    enum { MOST = 130 };
    for (int m = 1; m <= MOST; m++)
        for (int t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new();
            double b[2 * MOST];
            for (int i = 0; i < 2 * m; i++) b[i] = i + 1;
            ad_var *a = param_of(g, (ad_dtype)t, (double[]){ 0, 2, 4, 0 }, AD_SHAPE(2, 2));
            ad_var *x = ad_solve(a, param_of(g, (ad_dtype)t, b, AD_SHAPE(2, m)));
            assert_ok(g);
            for (int i = 0; i < m; i++) {
                assert_close(ad_at(x, i), b[m + i] / 4, 0);
                assert_close(ad_at(x, m + i), b[i] / 2, 0);
            }
            ad_graph_free(g);
        }
}

static void solve_of_a_nearly_singular_matrix(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double nearly[] = { 0.5, 0.6, 0.8, -0.2, 0.2, -0.2, 0.94, 1.26, 1.54 };
    ad_var *a = ad_param(g, AD_F64, nearly, AD_SHAPE(3, 3)), *b = ad_ones(g, AD_F64, AD_SHAPE(3));
    for (int k = 0; k < 2; k++, a = ad_transpose(a)) {
        ad_var *y = ad_sum(ad_solve(a, b)), *d;
        bool singular = !ad_ok(g);
        ad_clear_error(g);
        if (singular) continue;
        ad_backward(y);
        assert_int_equal(ad_gradient(y, 1, &a, &d), AD_OK);
        for (int i = 0; i < 9; i++) assert_close(ad_at(d, i) / ad_grad_at(a, i), 1, 1e-15);
    }
    ad_graph_free(g);
}

/* A matrix becomes indefinite before one ad_eval and positive definite before the next. */
static void eval_fails_and_recovers(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 2, 0, 0, 2 }, AD_SHAPE(2, 2)), *y = ad_sum(ad_cholesky(x));
    ad_set(x, (double[]){ 2, 0, 0, -1 });
    assert_int_equal(ad_eval(y), AD_EVALUE);
    ad_clear_error(g);
    assert_int_equal(ad_backward(y), AD_ESTALE);
    ad_clear_error(g);
    ad_set(x, (double[]){ 4, 0, 0, 9 });
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close(ad_item(y), 5, 0);
    assert_close(ad_grad_at(x, 0), 0.25, 1e-15); /* d sqrt(x) */
    assert_close(ad_grad_at(x, 3), 1. / 6, 1e-15);
    ad_graph_free(g);
}

static void bad_shapes_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_eye(g, AD_F64, 3), *v = ad_zeros(g, AD_F64, AD_SHAPE(2));
    ad_var *r = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *two = ad_zeros(g, AD_F64, AD_SHAPE(2, 3, 3));
    ad_var *(*const square[])(ad_var *) = { ad_inverse, ad_cholesky, ad_logdet, ad_det, ad_cofactor };
    for (int i = 0; i < COUNT(square); i++) {
        assert_fails(g, square[i](r), AD_ESHAPE, ": [2,3]: takes square matrices");
        assert_fails(g, square[i](v), AD_ESHAPE, ": [2]: takes square matrices");
        assert_fails(g, square[i](ad_scalar(g, AD_F64, 1)), AD_ESHAPE, ": []: takes square matrices");
    }
    const ad_triangular_opts right = { .right = true };
    assert_fails(g, ad_solve(r, a), AD_ESHAPE, "solve: [2,3] x [3,3]: takes square matrices");
    assert_fails(g, ad_solve(v, ad_scalar(g, AD_F64, 1)), AD_ESHAPE, "takes square matrices");
    assert_fails(g, ad_solve(a, r), AD_ESHAPE, "solve: [3,3] x [2,3]: a is of side 3 and b has 2 rows");
    assert_fails(g, ad_solve(a, v), AD_ESHAPE, "a is of side 3 and b has 2 rows");
    assert_fails(g, ad_solve(a, ad_scalar(g, AD_F64, 1)), AD_ESHAPE, "b must be [..,n,m] or [n]");
    assert_fails(g, ad_solve_triangular(a, ad_transpose(r), right), AD_ESHAPE, "a is of side 3 and b has 2 columns");
    assert_fails(g, ad_solve_triangular(a, v, right), AD_ESHAPE, "b must be [..,n,m]");
    assert_fails(g, ad_solve(two, ad_zeros(g, AD_F64, AD_SHAPE(4, 3, 1))), AD_ESHAPE, "leading axes do not broadcast");
    assert_fails(g, ad_solve(a, ad_zeros(g, AD_F32, AD_SHAPE(3))), AD_EDTYPE, "solve");
    ad_graph_free(g);
}

/* Sides that exceed the int of LAPACK. The arrays are empty, so they take no memory. */
static void sides_too_long_for_lapack_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    if (!BITS_64) skip(); /* no array is that long */
    ad_graph *g = ad_graph_new();
    ad_var *huge = ad_zeros(g, AD_F64, AD_SHAPE(0, 40000000, 40000000));
    assert_fails(g, ad_inverse(huge), AD_ESHAPE, "a side is longer than 33554431");
    ad_var *wide = ad_zeros(g, AD_F64, AD_SHAPE(0, 2, 5000000000)), *two = ad_zeros(g, AD_F64, AD_SHAPE(0, 2, 2));
    assert_fails(g, ad_solve(two, wide), AD_ESHAPE, "a side is longer than 33554431");
    ad_graph_free(g);
}

/* Without LAPACK the functions exist and report that LAPACK is missing. */
static void ops_without_lapack_are_reported(void **state) {
    (void)state;
    if (ad__has_lapack()) skip();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_eye(g, AD_F64, 2);
    ad_var *(*const square[])(ad_var *) = { ad_inverse, ad_cholesky, ad_logdet, ad_det, ad_cofactor };
    for (int i = 0; i < COUNT(square); i++)
        assert_fails(g, square[i](a), AD_EABSENT, ": [2,2]: this build has no LAPACK");
    assert_fails(g, ad_solve(a, a), AD_EABSENT, "solve: [2,2] x [2,2]: this build has no LAPACK; install an OpenBLAS with threads");
    assert_fails(g, ad_solve_triangular(a, a, (ad_triangular_opts){ 0 }), AD_EABSENT, "this build has no LAPACK");
    ad_graph_free(g);
}

/* ---- identities: aliasing, large and ill-conditioned matrices --------------------------------------- */

static void one_var_as_both_operands(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, definite, AD_SHAPE(3, 3)), *x = ad_solve(a, a);
    backward_weighted(x);
    const double eye[] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, none[9] = { 0 };
    assert_values(x, 9, eye, 1e-15);
    assert_grads(a, 9, none, 1e-14); /* the result is the identity for every a */
    ad_zero_grad(a);
    x = ad_solve_triangular(a, ad_tril(a, 0), (ad_triangular_opts){ 0 });
    backward_weighted(x);
    assert_values(x, 9, eye, 1e-15);
    assert_grads(a, 9, (double[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 1e-14);
    ad_graph_free(g);
}

/* n is larger than a block of LAPACK. With a = m m^T + n, 2 sum log diagonal(cholesky(a)) = logdet(a). Both have the
   gradient a^-1. */
static void large_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    enum { N = 150 };
    int64_t n = test_quick() ? 20 : N;
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        double tol = t == AD_F32 ? 2e-5 : 1e-13;
        ad_var *m = ad_rand(g, t, AD_SHAPE(n, n)), *shift = ad_muls(ad_eye(g, t, n), (double)n);
        ad_var *made = ad_add(ad_matmul(m, ad_transpose(m)), shift);
        ad_var *a = ad_param(g, t, ad_data(made), AD_SHAPE(n, n)), *y = ad_inverse(a), *l = ad_cholesky(a);
        ad_var *eye = ad_matmul(a, y), *again = ad_matmul(l, ad_transpose(l));
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_at(eye, i), i % (n + 1) == 0, 10 * tol);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_at(again, i), ad_at(a, i), tol);
        ad_var *d = ad_logdet(a), *e = ad_muls(ad_sum(ad_log(ad_diagonal(l, 0))), 2);
        assert_close(ad_item(d), ad_item(e), tol);
        ad_backward(d);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_grad_at(a, i), ad_at(y, i), tol);
        ad_zero_grad(a);
        ad_backward(e);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_grad_at(a, i), ad_at(y, i), tol);
        ad_var *x = ad_solve(a, m), *z = ad_matmul(y, m);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_at(x, i), ad_at(z, i), tol);
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* The inverse of the 5x5 Hilbert matrix has integer elements (Choi 1983). Its condition number is 4.8e5. */
static void ill_conditioned_inverse(void **state) {
    (void)state;
    NEED_LAPACK();
    const double want[] = { 25,    -300,   1050,    -1400,  630,    -300,  4800,   -18900, 26880,
                            -12600, 1050,  -18900, 79380,   -117600, 56700, -1400, 26880,  -117600,
                            179200, -88200, 630,   -12600, 56700,   -88200, 44100 };
    ad_graph *g = ad_graph_new();
    double h[25];
    for (int i = 0; i < 25; i++) h[i] = 1. / (i / 5 + i % 5 + 1);
    ad_var *a = ad_param(g, AD_F64, h, AD_SHAPE(5, 5));
    assert_values(ad_inverse(a), 25, want, 1e-10);
    assert_close(ad_item(ad_det(a)), 3.7492951324251e-12, 1e-22); /* 1 / 266716800000 */
    ad_graph_free(g);
}

/* A BLAS may lose a NaN: OpenBLAS 0.3.21 does in f32, 0.3.29 in f64 too. */
static void a_nan_is_in_all_that_a_matrix_gives(void **state) {
    (void)state;
    NEED_LAPACK();
    enum { N = 4 };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int at = 0; at < N * N; at++) {
            ad_graph *g = ad_graph_new();
            double a[N * N], b[N] = { 1, 0, 0, 2 };
            for (int i = 0; i < N * N; i++) a[i] = i == at ? NAN : i % 5 == 0 ? 3 : sin(i);
            ad_var *x = param_of(g, (ad_dtype)t, a, AD_SHAPE(N, N)), *y = param_of(g, (ad_dtype)t, b, AD_SHAPE(N));
            ad_var *inverse = ad_inverse(x), *solution = ad_solve(x, y), *l = ad_cholesky(x), *lu[2], *wide[2];
            ad_lu_factor(x, lu);
            ad_lu_factor(ad_slice(x, 0, at / N, at / N + 1, 1), wide);
            assert_ok(g);
            for (int i = 0; i < N * N; i++) {
                assert_true(isnan(ad_at(inverse, i)) && isnan(ad_at(lu[0], i)));
                assert_true(i % N > i / N ? ad_at(l, i) == 0 : isnan(ad_at(l, i)));
            }
            for (int i = 0; i < N; i++) {
                assert_true(isnan(ad_at(solution, i)) && isnan(ad_at(wide[0], i)));
                assert_true(ad_at(lu[1], i) == i);
            }
            assert_true(isnan(ad_item(ad_det(x))) && isnan(ad_item(ad_logdet(x))));
            ad_graph_free(g);
        }
}

static void large_and_small_magnitudes(void **state) {
    (void)state;
    NEED_LAPACK();
    const double scales[] = { 1e-150, 1, 1e150 };
    for (int i = 0; i < COUNT(scales); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = ad_muls(ad_param(g, AD_F64, general, AD_SHAPE(3, 3)), scales[i]);
        ad_var *b = ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2));
        ad_var *x = ad_muls(ad_solve(a, b), scales[i]), *y = ad_muls(ad_inverse(a), scales[i]);
        assert_close(ad_at(x, 0), 0.7337931034482759, 1e-14);
        assert_close(ad_at(y, 0), 0.5627586206896552, 1e-14);
        assert_close(ad_item(ad_logdet(ad_neg(a))), log(22.65625) + 3 * log(scales[i]), 1e-14);
        ad_graph_free(g);
    }
}

/* ---- second derivatives, memory --------------------------------------------------------------------- */

static ad_var *positive(ad_var *x) {
    return ad_add(ad_matmul(x, ad_transpose(x)), ad_eye(ad_graph_of(x), AD_F64, 3));
}
static ad_var *of_solve(ad_var *x, ad_var *b) { return ad_solve(x, b); }
static ad_var *of_triangle(ad_var *x, ad_var *b) {
    return ad_solve_triangular(x, b, (ad_triangular_opts){ .upper = true, .transpose = true });
}
static ad_var *of_inverse(ad_var *x, ad_var *b) { return ad_matmul(ad_inverse(x), b); }
static ad_var *of_cholesky(ad_var *x, ad_var *b) { return ad_matmul(ad_cholesky(positive(x)), b); }
static ad_var *of_logdet(ad_var *x, ad_var *b) { return ad_mul(ad_logdet(positive(x)), b); }
static ad_var *of_det(ad_var *x, ad_var *b) { return ad_mul(ad_det(x), b); }
static ad_var *of_einsum(ad_var *x, ad_var *b) { return ad_einsum("ii,jk->ki", ad_square(x), ad_mul(b, b)); }
static ad_var *of_diagonals(ad_var *x, ad_var *b) {
    return ad_mul(ad_diag(ad_square(ad_diag(x, 1)), 1), ad_sum(b));
}

typedef ad_var *pair_fn(ad_var *, ad_var *);

/* Sum of squares of the gradients of sum f^2. Its gradient needs second derivatives of f. */
static ad_var *second_order(int n, ad_var *const xs[], void *user) {
    pair_fn *const *f = user;
    ad_var *dxs[2];
    if (ad_gradient(ad_sum(ad_square((*f)(xs[0], xs[1]))), n, xs, dxs)) return dxs[0];
    return ad_add(ad_sum(ad_square(dxs[0])), ad_sum(ad_square(dxs[1])));
}

static void second_derivatives(void **state) {
    (void)state;
    pair_fn *const fs[] = { of_einsum,  of_diagonals, of_solve,  of_triangle,
                            of_inverse, of_cholesky,  of_logdet, of_det };
    for (int i = 0; i < (ad__has_lapack() ? COUNT(fs) : 2); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[] = { ad_param(g, AD_F64, general, AD_SHAPE(3, 3)),
                         ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2)) };
        ad_check_report report;
        pair_fn *f = fs[i];
        if (ad_gradcheck(second_order, &f, 2, xs, NULL, &report)) fail_msg("function %d: %s", i, report.message);
        assert_true(report.compared == 15);
        ad_graph_free(g);
    }
}

static void repeated_eval_and_backward_allocate_nothing(void **state) {
    (void)state;
    NEED_LAPACK();
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    ad_var *a = ad_param(g, AD_F64, definite, AD_SHAPE(3, 3)), *b = ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2));
    ad_var *x = ad_einsum("ij,jk->ki", ad_permute(ad_inverse(ad_cholesky(a)), AD_SHAPE(1, 0)), ad_solve(a, b));
    ad_var *y = ad_mul(ad_sum(x), ad_mul(ad_logdet(a), ad_det(a)));
    int64_t calls = 0;
    for (int i = 0; i < 10; i++) {
        if (i == 1) calls = memory.calls; /* the first evaluation allocates its plan */
        ad_data_mut(a);
        assert_int_equal(ad_eval(y), AD_OK);
        assert_int_equal(ad_backward(y), AD_OK);
    }
    assert_int_equal(memory.calls, calls);
    ad_graph_free(g);
    assert_all_released(&memory);
}

/* One allocation after the other fails. The graph reports each failure and releases all memory. */
static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    int64_t failures = 0;
    for (int64_t fail_at = 0; failures == 0 || fail_at < failures; fail_at++) {
        test_memory memory = { .fail_at = fail_at, .fail_on = true };
        ad_graph *g = test_graph(&memory);
        if (g != NULL) {
            ad_var *a = ad_rand(g, AD_F64, AD_SHAPE(40, 40, 40)), *eye = ad_eye(g, AD_F64, 40);
            ad_var *b = ad_param(g, AD_F64, NULL, AD_SHAPE(1, 40));
            ad_var *y = ad_permute(ad_einsum("iij,jk->kj", a, b), AD_SHAPE(1, 0));
            if (ad__has_lapack()) y = ad_add(y, ad_solve(eye, ad_diag(ad_einsum("ij->j", b, NULL), 0)));
            ad_backward(ad_sum(y));
            assert_true(ad_ok(g) == (memory.failures == 0));
            if (ad_ok(g)) failures = fail_at; /* all allocations have been made to fail */
        }
        ad_graph_free(g);
        assert_all_released(&memory);
    }
    assert_true(failures > 5);
}

/* ---- decompositions ----------------------------------------------------------------------------------- */

/* The factors multiply to the matrix: eigh, svd and qr of batches, in both dtypes. */
static void decompositions_multiply_to_the_matrix(void **state) {
    (void)state;
    NEED_LAPACK();
    const ad_shape shapes[] = { AD_SHAPE(2, 3, 3), AD_SHAPE(2, 5, 3), AD_SHAPE(3, 5), AD_SHAPE(40, 40) };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int i = 0; i < COUNT(shapes); i++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = random_param(g, t, shapes[i], 20), *p[3], *back;
            assert_int_equal(ad_svd(x, p), AD_OK);
            back = ad_matmul(ad_mul(p[0], ad_unsqueeze(p[1], -2)), p[2]);
            for (int64_t k = 0; k < ad_numel(x); k++) assert_close(ad_at(back, k), ad_at(x, k), tolerance(t));
            assert_int_equal(ad_qr(x, p), AD_OK);
            back = ad_matmul(p[0], p[1]);
            for (int64_t k = 0; k < ad_numel(x); k++) assert_close(ad_at(back, k), ad_at(x, k), tolerance(t));
            assert_int_equal(ad_lu(x, p), AD_OK);
            back = ad_matmul(p[0], ad_matmul(p[1], p[2]));
            for (int64_t k = 0; k < ad_numel(x); k++) assert_close(ad_at(back, k), ad_at(x, k), tolerance(t));
            if (i != 1 && i != 2) {
                ad_var *both = ad_add(x, ad_transpose(x));
                assert_int_equal(ad_eigh(both, p), AD_OK);
                back = ad_matmul(ad_mul(p[1], ad_unsqueeze(p[0], -2)), ad_transpose(p[1]));
                for (int64_t k = 0; k < ad_numel(x); k++)
                    assert_close(ad_at(back, k), ad_at(both, k), 10 * tolerance(t));
            }
            assert_ok(g);
            ad_graph_free(g);
        }
}

/* torch.linalg of the matrices above */
static void decompositions_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *s = ad_param(g, AD_F64, (double[]){ 2, 0, 0, 3 }, AD_SHAPE(2, 2)), *p[3];
    assert_int_equal(ad_slogdet(ad_neg(s), p), AD_OK);
    assert_values(p[0], 1, (double[]){ 1 }, 0);
    assert_values(p[1], 1, (double[]){ 1.791759469228055 }, 1e-15);
    assert_values(ad_svdvals(s), 2, (double[]){ 3, 2 }, 1e-15);
    assert_values(ad_eigvalsh(s), 2, (double[]){ 2, 3 }, 1e-15);
    assert_values(ad_matrix_exp(ad_zeros(g, AD_F64, AD_SHAPE(2, 2))), 4, (double[]){ 1, 0, 0, 1 }, 0);
    ad_var *a = ad_param(g, AD_F64, (double[]){ 1, 0, 1, 1, 1, 2 }, AD_SHAPE(3, 2));
    ad_var *x = ad_lstsq(a, ad_param(g, AD_F64, (double[]){ 1, 2, 2 }, AD_SHAPE(3)), 0); /* a line through 3 points */
    assert_values(x, 2, (double[]){ 7. / 6, 0.5 }, 1e-14);
    assert_values(ad_matrix_power(s, 5), 4, (double[]){ 32, 0, 0, 243 }, 0);
    assert_values(ad_matrix_power(s, 0), 4, (double[]){ 1, 0, 0, 1 }, 0);
    assert_values(ad_matrix_power(s, -2), 4, (double[]){ 0.25, 0, 0, 1. / 9 }, 1e-15);
    assert_values(ad_matrix_rank(a, 0), 1, (double[]){ 2 }, 0);
    assert_values(ad_matrix_rank(s, 0.7), 1, (double[]){ 1 }, 0);
    assert_values(ad_matrix_rank(ad_zeros(g, AD_F64, AD_SHAPE(2, 2, 0)), 0), 2, (double[]){ 0, 0 }, 0);
    assert_int_equal(ad_lu_factor(ad_flip(a, 0), p), AD_OK); /* rows 1 2, 1 1, 1 0 */
    assert_values(p[0], 6, (double[]){ 1, 2, 1, -2, 1, 0.5 }, 1e-15);
    assert_values(p[1], 3, (double[]){ 0, 2, 1 }, 0);
    assert_false(ad_requires_grad(p[1]));
    assert_values(ad_pinv(s, 0), 4, (double[]){ 0.5, 0, 0, 1. / 3 }, 1e-15);
    assert_ok(g);
    ad_graph_free(g);
}

/* The eigenvalues of the identity have a gradient, its vectors have none. */
static void gradients_of_equal_eigenvalues(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_eye(g, AD_F64, 2)), *p[2];
    assert_int_equal(ad_eigh(x, p), AD_OK);
    assert_int_equal(ad_backward(ad_sum(p[0])), AD_OK);
    assert_grads(x, 4, (double[]){ 1, 0, 0, 1 }, 1e-15);
    backward_weighted(p[1]);
    assert_false(isfinite(ad_grad_at(x, 1)));
    ad_graph_free(g);
}

static void bad_decompositions_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *v = ad_zeros(g, AD_F64, AD_SHAPE(3)), *wide = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *p[3];
    ad_var *nan = ad_full(g, AD_F64, NAN, AD_SHAPE(2, 2));
    assert_fails(g, ad_eigvalsh(wide), AD_ESHAPE, "takes square matrices");
    assert_fails(g, ad_svdvals(v), AD_ESHAPE, "takes matrices, [..,n,m]");
    assert_fails(g, ad_svdvals(nan), AD_EVALUE, "matrix 0 has elements that are infinite or NaN");
    assert_fails(g, ad_eigvalsh(nan), AD_EVALUE, "matrix 0 has elements that are infinite or NaN");
    assert_fails(g, ad_pinv(wide, -1), AD_EVALUE, "rcond -1 is not a finite number >= 0");
    assert_fails(g, ad_lstsq(wide, ad_zeros(g, AD_F64, AD_SHAPE(3, 1)), 0), AD_ESHAPE, "b must have 2 rows");
    assert_fails(g, ad_matrix_power(wide, 2), AD_ESHAPE, "matrix_power: [2,3]: takes square matrices");
    assert_fails(g, ad_matrix_exp(wide), AD_ESHAPE, "takes square matrices");
    assert_int_equal(ad_eigh(wide, p), AD_ESHAPE);
    assert_fails(g, p[0], AD_ESHAPE, "takes square matrices");
    assert_int_equal(ad_svd(nan, p), AD_EVALUE);
    assert_fails(g, p[2], AD_EVALUE, "infinite or NaN");
    assert_int_equal(ad_qr(wide, NULL), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "qr: parts must not be NULL");
    assert_int_equal(ad_lu(v, p), AD_ESHAPE);
    assert_fails(g, p[2], AD_ESHAPE, "lu_packed: [3]: takes matrices");
    assert_int_equal(ad_lu_unpack(wide, v, p), AD_ESHAPE);
    assert_fails(g, p[0], AD_ESHAPE, "lu_unpack: [2,3]: and order [3]: takes lu [..,n,m] and order [..,n]");
    assert_fails(g, ad_lu_solve(wide, v, wide), AD_ESHAPE, "lu_solve: [2,3]: with order [3] and b [2,3]");
    assert_fails(g, ad_householder_product(wide, v), AD_ESHAPE, "householder_product: [2,3]: and tau [3]");
    assert_fails(g, ad_ormqr(ad_transpose(wide), v, wide, true, false), AD_ESHAPE, "ormqr: [3,2]: and tau [3]");
    ad_var *zeros = ad_param(g, AD_F64, NULL, AD_SHAPE(2, 2));
    assert_int_equal(ad_lu(zeros, p), AD_OK);
    assert_int_equal(ad_backward(ad_sum(p[1])), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "matrix 0 has no gradient: element 0 of u's diagonal is 0");
    assert_int_equal(ad_qr(zeros, p), AD_OK);
    assert_int_equal(ad_backward(ad_sum(p[0])), AD_EVALUE);
    assert_contains(ad_error(g), "matrix 0 has no gradient: element 0 of r's diagonal is 0");
    ad_graph_free(g);
}

/* x w^T + b beside a product and a sum, for products in one piece, in chunks, and by tiles of each kind. */
static void bias_of_products(void **state) {
    (void)state;
    const int64_t sizes[][3] = { { 3, 5, 4 }, { 40, 48, 16 }, { 13, 100, 200 }, { 300, 256, 160 }, { 64, 700, 200 } };
    for (int i = 0; i < 2 * (int)(sizeof sizes / sizeof *sizes); i++) {
        ad_graph *g = ad_graph_new();
        const int64_t *s = sizes[i / 2];
        ad_dtype t = i % 2 ? AD_F64 : AD_F32;
        ad_var *x = ad_randn(g, t, AD_SHAPE(s[0], s[2])), *w = ad_randn(g, t, AD_SHAPE(s[1], s[2]));
        ad_var *b = ad_randn(g, t, AD_SHAPE(s[1]));
        ad_var *y = ad_affine(x, w, b), *want = ad_add(ad_matmul(x, ad_transpose(w)), b);
        assert_true(ad_item(ad_max(ad_abs(ad_sub(y, want)))) < (t == AD_F32 ? 2e-4 : 1e-12));
        assert_true(ad_ok(g));
        ad_graph_free(g);
    }
}

/* LAPACK may loop for ever over a matrix with an infinity, wherever it is. */
static void matrices_with_infinities_are_refused(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    for (int k = 0; k < 4; k++)
        for (int t = AD_F32; t <= AD_F64; t++)
            for (int nan = 0; nan < 2; nan++) {
                ad_var *x = ad_eye(g, (ad_dtype)t, 2), *parts[3];
                ad_write_element((ad_dtype)t, ad_data_mut(x), k, nan ? NAN : -INFINITY);
                assert_fails(g, ad_svdvals(x), AD_EVALUE, "svdvals");
                assert_fails(g, ad_pinv(x, 0), AD_EVALUE, "pinv");
                assert_int_equal(ad_svd(x, parts), AD_EVALUE), ad_clear_error(g);
                /* eigh reads the lower triangle */
                if (k != 1) assert_int_equal(ad_eigh(x, parts), AD_EVALUE), ad_clear_error(g);
            }
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decompositions_multiply_to_the_matrix),
        cmocka_unit_test(decompositions_as_in_torch),
        cmocka_unit_test(gradients_of_equal_eigenvalues),
        cmocka_unit_test(bad_decompositions_are_reported),
        cmocka_unit_test(bias_of_products),
        cmocka_unit_test(gemm_against_plain_loops),
        cmocka_unit_test(matmul_of_all_ranks_against_plain_sums),
        cmocka_unit_test(dot_and_outer),
        cmocka_unit_test(einsum_against_its_definition),
        cmocka_unit_test(einsum_of_empty_operands),
        cmocka_unit_test(einsum_of_one_var_twice),
        cmocka_unit_test(bad_einsum_specs_are_reported),
        cmocka_unit_test(einsum_takes_a_cheap_order),
        cmocka_unit_test(einsum_as_in_torch),
        cmocka_unit_test(permute_against_plain_indexing),
        cmocka_unit_test(bad_axes_are_reported),
        cmocka_unit_test(diagonals_as_in_numpy),
        cmocka_unit_test(triangles_as_in_numpy),
        cmocka_unit_test(solve_as_in_torch),
        cmocka_unit_test(solve_triangular_as_in_torch),
        cmocka_unit_test(inverse_and_det_as_in_torch),
        cmocka_unit_test(cholesky_and_logdet_as_in_torch),
        cmocka_unit_test(determinants_at_special_points),
        cmocka_unit_test(batch_with_special_matrices),
        cmocka_unit_test(det_of_every_rank_against_minors),
        cmocka_unit_test(cofactors_of_graded_matrices),
        cmocka_unit_test(det_to_higher_orders),
        cmocka_unit_test(det_of_badly_scaled_matrices),
        cmocka_unit_test(logdet_of_a_batch),
        cmocka_unit_test(solve_triangular_reads_one_triangle),
        cmocka_unit_test(singular_matrices_are_reported),
        cmocka_unit_test(solve_exchanges_long_rows),
        cmocka_unit_test(solve_of_a_nearly_singular_matrix),
        cmocka_unit_test(eval_fails_and_recovers),
        cmocka_unit_test(bad_shapes_are_reported),
        cmocka_unit_test(sides_too_long_for_lapack_are_reported),
        cmocka_unit_test(ops_without_lapack_are_reported),
        cmocka_unit_test(one_var_as_both_operands),
        cmocka_unit_test(large_matrices),
        cmocka_unit_test(ill_conditioned_inverse),
        cmocka_unit_test(a_nan_is_in_all_that_a_matrix_gives),
        cmocka_unit_test(large_and_small_magnitudes),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(repeated_eval_and_backward_allocate_nothing),
        cmocka_unit_test(every_failing_allocation_is_reported),
        cmocka_unit_test(matrices_with_infinities_are_refused),
    };
    return cmocka_run_group_tests_name("linear algebra", tests, NULL, NULL);
}
