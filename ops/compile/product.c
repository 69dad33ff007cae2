/* product.c: finds products of matrices among the nests, and writes them as calls of a BLAS. */
#include <string.h>

#include "ops/compile/source.h"

/* Smaller products are loops of their own: a call costs more than it gains. */
enum { LEAST_PRODUCT = 4096 };

/* C [n,m] = A [n,k] B [k,m] + beta C; A, or B, may be stored the other way round. */
typedef struct {
    int row, column, inner; /* axes of the nest; -1: of size 1 */
    int64_t n, m, k;
    const ad__map *a, *b;
    bool ta, tb;
} product;

static int64_t size_of(const ad__nest *n, int axis) { return axis < 0 ? 1 : n->dim[axis]; }
static int64_t stride_of(const ad__map *m, int axis) { return axis < 0 ? 0 : m->stride[axis]; }

/* Whether axis `outer` and axis `inner` of a map are a matrix of rows without gaps. */
static bool is_matrix(const ad__nest *n, const ad__map *m, int outer, int inner) {
    bool one_row = size_of(n, outer) == 1, one_column = size_of(n, inner) == 1;
    return (one_column || stride_of(m, inner) == 1) && (one_row || stride_of(m, outer) == size_of(n, inner));
}

/* "a * b", by the names of the two operands that the nest has. */
static bool multiplies(const ad__form *f) {
    const char *p = f->text, *end = p + f->length;
    for (int i = 0; i < 2; i++) {
        if (end - p < f->name[i].length || memcmp(p, f->name[i].at, (size_t)f->name[i].length) != 0) return false;
        p += f->name[i].length;
        if (i == 0 && (end - p < 3 || memcmp(p, " * ", 3) != 0)) return false;
        if (i == 0) p += 3;
    }
    return p == end;
}

/* The axes by what moves along them; the last of each kind is taken. */
static bool find_axes(const ad__nest *n, product *p) {
    p->row = p->column = p->inner = -1;
    for (int d = 0; d < n->ndim; d++) {
        bool c = n->out.stride[d] != 0, a = p->a->stride[d] != 0, b = p->b->stride[d] != 0;
        if (c && a && !b) p->row = d;
        else if (c && b && !a) p->column = d;
        else if (a && b && !c) p->inner = d;
        else if (!(a && b && c)) return false;
    }
    return p->inner >= 0;
}

/* An axis of one of the kinds that is not taken would make C a sum of products. */
static bool has_other_sums(const ad__nest *n, const product *p) {
    for (int d = 0; d < n->ndim; d++)
        if (ad__reduces(n, d) && d != p->inner) return true;
    return false;
}

static bool find_product(const ad_emit *e, const ad__nest *n, product *p) {
    const ad__form *f = &e->forms.at[n->form];
    if ((n->kind != AD__SUM && n->kind != AD__ADD_TO) || n->n != 2 || !multiplies(f)) return false;
    for (int i = 0; i <= 2; i++) {
        const ad__map *m = i < 2 ? &n->in[i] : &n->out;
        if (!ad__is_memory(m->at) || e->buffers.at[ad__buffer_of(m->at)].dtype != f->dtype) return false;
    }
    for (int i = 0; i < 2; i++) {
        p->a = &n->in[i], p->b = &n->in[1 - i];
        if (!find_axes(n, p) || has_other_sums(n, p) || !is_matrix(n, &n->out, p->row, p->column)) continue;
        p->ta = !is_matrix(n, p->a, p->row, p->inner), p->tb = !is_matrix(n, p->b, p->inner, p->column);
        if (p->ta && !is_matrix(n, p->a, p->inner, p->row)) continue;
        if (p->tb && !is_matrix(n, p->b, p->column, p->inner)) continue;
        p->n = size_of(n, p->row), p->m = size_of(n, p->column), p->k = size_of(n, p->inner);
        return p->n * p->m * p->k >= LEAST_PRODUCT && p->n <= 0x7fffffff && p->m <= 0x7fffffff && p->k <= 0x7fffffff;
    }
    return false;
}

/* The address of a matrix, as the other axes move. */
static void write_matrix(ad__writer *w, const ad__nest *n, const product *p, const ad__map *m) {
    w->address(w, &w->calls, m->at);
    for (int d = 0; d < n->ndim; d++)
        if (d != p->row && d != p->column && d != p->inner && m->stride[d] != 0)
            ad__text_put(&w->calls, " + %lld * i%d", (long long)m->stride[d], d);
}

static void write_blas(ad__writer *w, const ad__nest *n, const product *p, ad_dtype t) {
    ad__text *c = &w->calls;
    bool adds = n->kind == AD__ADD_TO;
    if (w->portable)
        ad__text_put(c, "cblas_%cgemm(CblasRowMajor, %s, %s, %lld, %lld, %lld, 1, ", t == AD_F32 ? 's' : 'd',
                     p->ta ? "CblasTrans" : "CblasNoTrans", p->tb ? "CblasTrans" : "CblasNoTrans", (long long)p->n,
                     (long long)p->m, (long long)p->k);
    else
        ad__text_put(c, "host->gemm[%d](%d, %d, %lld, %lld, %lld, ", t, p->ta, p->tb, (long long)p->n, (long long)p->m,
                     (long long)p->k);
    write_matrix(w, n, p, p->a);
    if (w->portable) ad__text_put(c, ", %lld", (long long)(p->ta ? p->n : p->k));
    ad__text_put(c, ", ");
    write_matrix(w, n, p, p->b);
    if (w->portable) ad__text_put(c, ", %lld", (long long)(p->tb ? p->k : p->m));
    ad__text_put(c, ", %d, ", adds);
    write_matrix(w, n, p, &n->out);
    if (w->portable) ad__text_put(c, ", %lld", (long long)p->m);
    ad__text_put(c, ");\n");
}

bool ad__is_product(const ad_emit *e, const ad__nest *n) {
    product p;
    return find_product(e, n, &p);
}

void ad__write_product(ad__writer *w, const ad__nest *n) {
    product p;
    find_product(w->e, n, &p);
    for (int d = 0; d < n->ndim; d++) {
        if (d == p.row || d == p.column || d == p.inner) continue;
        ad__text_put(&w->calls, "for (long i%d = 0; i%d < %lld; i%d++)\n", d, d, (long long)n->dim[d], d);
    }
    write_blas(w, n, &p, w->e->forms.at[n->form].dtype);
}
