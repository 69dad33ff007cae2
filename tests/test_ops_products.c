/* test_ops_products.c: products of matrices and vectors, and einsum. */
#include "ops/kernels/linalg/gemm.h"
#include "tests/linalg.h"

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

/* Multiplications of numbers in the products that y was made from. */
static int64_t multiplications(const ad_var *y) {
    const ad_op *op = ad_creator(y);
    if (op == NULL) return 0;
    if (strcmp(ad_op_name(op), "reshape") == 0) return multiplications(ad_op_operand(op, 0));
    assert_string_equal(ad_op_name(op), "matmul");
    ad_var *a = ad_op_operand(op, 0), *b = ad_op_operand(op, 1);
    return multiplications(a) + multiplications(b) + ad_numel(a) * ad_shape_of(b).dim[1];
}

/* Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, section "Matrix-chain multiplication": 15,125. */
static void chains_take_the_cheapest_order(void **state) {
    (void)state;
    const int64_t size[] = { 30, 35, 15, 5, 10, 20, 25 };
    ad_graph *g = ad_graph_new();
    ad_var *chain[6];
    for (int i = 0; i < 6; i++) chain[i] = ad_ones(g, AD_F64, AD_SHAPE(size[i], size[i + 1]));
    ad_var *y = ad_multi_dot(6, chain);
    assert_shape(y, AD_SHAPE(30, 25));
    assert_true(ad_at(y, 7) == 35.0 * 15 * 5 * 10 * 20);
    assert_int_equal(multiplications(y), 15125);
    ad_graph_free(g);
}

/* beta 1 takes the array as it is, 0 leaves it out, with its NaNs, as in PyTorch. */
static void sums_of_a_product_and_an_array(void **state) {
    (void)state;
    typedef ad_var *sum_fn(ad_var *, ad_var *, ad_var *, double, double);
    sum_fn *const sums[] = { ad_addmm, ad_addbmm, ad_addr };
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_full(g, AD_F64, 2, AD_SHAPE(1, 1)), *v = ad_full(g, AD_F64, 2, AD_SHAPE(1));
    ad_var *batch = ad_full(g, AD_F64, 2, AD_SHAPE(1, 1, 1)), *operands[] = { a, batch, v };
    ad_var *five = ad_full(g, AD_F64, 5, AD_SHAPE(1, 1)), *nan = ad_full(g, AD_F64, NAN, AD_SHAPE(1, 1));
    for (int i = 0; i < COUNT(sums); i++) {
        ad_var *x = operands[i];
        assert_true(ad_item(sums[i](five, x, x, 1, 1)) == 9);
        assert_true(ad_item(sums[i](five, x, x, 3, 10)) == 55);
        assert_true(ad_item(sums[i](five, x, x, -1, 1)) == -1);
        assert_true(ad_item(sums[i](nan, x, x, 0, 1)) == 4);
        assert_true(isnan(ad_item(sums[i](nan, x, x, 1, 1))));
    }
    assert_ok(g);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_of_products),
        cmocka_unit_test(gemm_against_plain_loops),
        cmocka_unit_test(matmul_of_all_ranks_against_plain_sums),
        cmocka_unit_test(dot_and_outer),
        cmocka_unit_test(einsum_against_its_definition),
        cmocka_unit_test(einsum_of_empty_operands),
        cmocka_unit_test(einsum_of_one_var_twice),
        cmocka_unit_test(bad_einsum_specs_are_reported),
        cmocka_unit_test(einsum_takes_a_cheap_order),
        cmocka_unit_test(chains_take_the_cheapest_order),
        cmocka_unit_test(sums_of_a_product_and_an_array),
        cmocka_unit_test(einsum_as_in_torch),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
