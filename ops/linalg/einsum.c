/* einsum.c: Einstein sums, computed with permutations, sums and a matrix product for each two operands. */
#include "autodiff/graph/node.h"
#include "ops/base/attrs.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- the spec: a label for each axis ------------------------------------------------------------------- */

enum { LABELS = 128, MOST = 2 * AD_MAX_NDIM, MOST_OPERANDS = 16, DOTS = '.' };

/* A label is a letter, or a digit for an axis under "...". The last such axis is LAST_DOTTED, the one before it a digit
   less. So these axes are aligned from the right, and sort before the letters. */
enum { LAST_DOTTED = '9' };

typedef struct {
    int n;
    char at[MOST];
} labels;

typedef struct {
    ad_graph *g;
    const char *spec;
    int n; /* operands */
    ad_var *x[MOST_OPERANDS];
    labels in[MOST_OPERANDS], out;
    int dotted;           /* the largest number of axes that an operand has under "..." */
    int64_t size[LABELS]; /* of each label; -1 for labels not in use */
} einsum;

static int fail(const einsum *e, const char *format, ...) AD_PRINTF(2, 3);
static int fail(const einsum *e, const char *format, ...) {
    char where[400];
    size_t at = (size_t)snprintf(where, sizeof where, "einsum(\"%.80s\"): ", e->spec);
    for (int i = 0; i < e->n && i < 2; i++) {
        if (i) at += (size_t)snprintf(where + at, sizeof where - at, " x ");
        at += (size_t)ad_shape_text(e->x[i]->layout->shape, where + at, sizeof where - at);
    }
    snprintf(where + at, sizeof where - at, e->n > 2 ? " x ..: " : ": ");
    va_list args;
    va_start(args, format);
    ad_vfail(e->g, AD_ESHAPE, where, format, args);
    va_end(args);
    return AD_ESHAPE;
}

static int find(const labels *l, char label) {
    for (int i = 0; i < l->n; i++)
        if (l->at[i] == label) return i;
    return -1;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Reads one term, up to ',', '-' or the end. "..." becomes one label, DOTS. Spaces are ignored. */
static int read_term(const einsum *e, const char **at, labels *to) {
    for (; **at && **at != ',' && **at != '-'; ++*at) {
        bool dots = strncmp(*at, "...", 3) == 0;
        if (**at == ' ') continue;
        if (!dots && !is_letter(**at)) return fail(e, "'%c' is neither a letter nor part of \"...\"", **at);
        if (dots && find(to, DOTS) >= 0) return fail(e, "\"...\" stands twice in one term");
        if (to->n == MOST) return fail(e, "a term of more than %d letters", MOST);
        to->at[to->n++] = dots ? DOTS : **at;
        if (dots) *at += 2;
    }
    return AD_OK;
}

/* l with DOTS replaced by the labels of n axes. */
static labels expand_dots(const labels *l, int n) {
    labels to = { 0 };
    for (int i = 0; i < l->n; i++)
        if (l->at[i] != DOTS) to.at[to.n++] = l->at[i];
        else
            for (int k = n; k > 0; k--) to.at[to.n++] = (char)(LAST_DOTTED + 1 - k);
    return to;
}

static int read_operand(einsum *e, const char **at, int i) {
    labels l = { 0 };
    int rc = read_term(e, at, &l), ndim = e->x[i]->layout->shape.ndim;
    if (rc != AD_OK) return rc;
    bool dots = find(&l, DOTS) >= 0;
    int dotted = ndim - (l.n - dots);
    if (dotted < 0 || (dotted > 0 && !dots))
        return fail(e, "operand %d has %d dimensions and %d letters", i, ndim, l.n - dots);
    if (dotted > e->dotted) e->dotted = dotted;
    e->in[i] = expand_dots(&l, dotted);
    return AD_OK;
}

/* Without "->" the result has the axes under "...", then the letters that occur once, in alphabetical order. */
static void imply_output(einsum *e) {
    for (int c = 0; c < LABELS; c++) {
        int count = 0;
        for (int i = 0; i < e->n; i++)
            for (int k = 0; k < e->in[i].n; k++) count += e->in[i].at[k] == c;
        if (count == 1 || (count > 0 && !is_letter((char)c))) e->out.at[e->out.n++] = (char)c;
    }
}

static bool in_an_operand(const einsum *e, char label) {
    for (int i = 0; i < e->n; i++)
        if (find(&e->in[i], label) >= 0) return true;
    return false;
}

static int read_output(einsum *e, const char *at) {
    labels l = { 0 };
    int rc = read_term(e, &at, &l);
    if (rc == AD_OK && *at) return fail(e, "'%c' after the result's letters", *at);
    for (int i = 0; i < l.n && rc == AD_OK; i++) {
        if (l.at[i] == DOTS) continue;
        if (!in_an_operand(e, l.at[i])) rc = fail(e, "the result's letter %c is in no operand", l.at[i]);
        else if (find(&l, l.at[i]) < i) rc = fail(e, "the letter %c stands twice in the result", l.at[i]);
    }
    if (rc == AD_OK && l.n + e->dotted > MOST) rc = fail(e, "a term of more than %d letters", MOST);
    if (rc == AD_OK) e->out = expand_dots(&l, e->dotted);
    return rc;
}

static int read_spec(einsum *e) {
    const char *at = e->spec;
    int n = 0, rc = read_operand(e, &at, n++);
    while (rc == AD_OK && *at == ',' && n < e->n) at++, rc = read_operand(e, &at, n++);
    if (rc != AD_OK) return rc;
    if (n != e->n || *at == ',')
        return fail(e, "the spec has %s than the %d operands given", n < e->n ? "fewer" : "more", e->n);
    if (*at == '\0') imply_output(e);
    else if (at[1] != '>') return fail(e, "'-' without '>'");
    else if ((rc = read_output(e, at + 2)) != AD_OK) return rc;
    if (e->out.n > AD_MAX_NDIM)
        return fail(e, "the result has %d dimensions; at most %d are possible", e->out.n, AD_MAX_NDIM);
    return AD_OK;
}

/* Finds the size of each label. Axes with the same label must have the same size. Axes of size 1 broadcast, but not
   within an operand. */
static int find_sizes(einsum *e) {
    memset(e->size, -1, sizeof e->size);
    for (int i = 0; i < e->n; i++)
        for (int k = 0; k < e->in[i].n; k++) {
            char c = e->in[i].at[k];
            const int64_t *dim = e->x[i]->layout->shape.dim;
            int64_t *size = &e->size[(int)c], own = dim[k], first = dim[find(&e->in[i], c)];
            int64_t other = own != first ? first : *size;
            if (own != first || (own != other && own != 1 && other > -1 && other != 1))
                return fail(e, "%s has two sizes, %lld and %lld", is_letter(c) ? (char[]){ c, 0 } : "an axis under ...",
                            (long long)other, (long long)own);
            if (*size == -1 || *size == 1) *size = own;
        }
    return AD_OK;
}

/* ---- one operand: diagonals and sums of its own labels ------------------------------------------------------ */

/* Removes label i. */
static void remove_at(labels *l, int i) {
    memmove(l->at + i, l->at + i + 1, (size_t)(l->n - i - 1));
    l->n--;
}

/* x, whose axes have the labels l, with its axes in the given order. */
static ad_var *arrange(ad_var *x, const labels *l, const labels *order) {
    ad_shape axes = { .ndim = l->n };
    bool same = true;
    for (int i = 0; i < l->n; i++) {
        axes.dim[i] = find(l, order->at[i]);
        same = same && axes.dim[i] == i;
    }
    return same ? x : ad_permute(x, axes);
}

static ad_var *reshaped(ad_var *x, ad_shape s) { return ad_shape_equal(ad_shape_of(x), s) ? x : ad_reshape(x, s); }

static ad_shape shape_of(const einsum *e, const labels *l) {
    ad_shape s = { .ndim = l->n };
    for (int i = 0; i < l->n; i++) s.dim[i] = e->size[(int)l->at[i]];
    return s;
}

/* Removes axes of size 1 that broadcast: the product broadcasts an operand along labels that it does not have. */
static void drop_broadcast(einsum *e, int i) {
    ad_shape s = e->x[i]->layout->shape;
    labels *l = &e->in[i];
    for (int k = l->n - 1; k >= 0; k--)
        if (s.dim[k] != e->size[(int)l->at[k]]) remove_at(l, k);
    e->x[i] = l->n == s.ndim ? e->x[i] : ad_reshape(e->x[i], shape_of(e, l));
}

/* Replaces two axes with the same label, as in "iji", by their diagonal, which becomes the last axis. */
static void take_diagonals(einsum *e, int i) {
    labels *l = &e->in[i];
    for (int second = 1; second < l->n; second++) {
        int first = find(l, l->at[second]);
        if (first == second) continue;
        ad_shape axes = { 0 };
        for (int k = 0; k < l->n; k++)
            if (k != first && k != second) axes.dim[axes.ndim++] = k;
        axes.dim[axes.ndim++] = first, axes.dim[axes.ndim++] = second;
        e->x[i] = ad_diagonal(ad_permute(e->x[i], axes), 0);
        l->at[l->n] = l->at[first];
        l->n++;
        remove_at(l, second), remove_at(l, first);
        second = 0;
    }
}

/* Sums over labels that neither the other operand nor the result has. */
static void sum_own(einsum *e, int i) {
    labels *l = &e->in[i];
    int axes[AD_MAX_NDIM], n = 0;
    for (int k = 0; k < l->n; k++)
        if (find(&e->out, l->at[k]) < 0 && find(&e->in[1 - i], l->at[k]) < 0) axes[n++] = k;
    for (int k = n - 1; k >= 0; k--) remove_at(l, axes[k]);
    if (n > 0) e->x[i] = ad_sum_axes(e->x[i], n, axes, false);
}

/* ---- two operands ------------------------------------------------------------------------------------------- */

/* The roles of labels: batch are in both operands and the result, left and right are in the result and in one operand,
   inner are in both operands and summed. */
typedef struct {
    labels batch, left, right, inner;
} roles;

static roles roles_of(const einsum *e) {
    roles r = { 0 };
    for (int i = 0; i < e->out.n; i++) {
        char c = e->out.at[i];
        labels *to = find(&e->in[0], c) < 0 ? &r.right : find(&e->in[1], c) < 0 ? &r.left : &r.batch;
        to->at[to->n++] = c;
    }
    for (int i = 0; i < e->in[0].n; i++)
        if (find(&e->out, e->in[0].at[i]) < 0) r.inner.at[r.inner.n++] = e->in[0].at[i];
    return r;
}

static labels join(const labels *a, const labels *b, const labels *c) {
    labels l = *a;
    memcpy(l.at + l.n, b->at, (size_t)b->n);
    l.n += b->n;
    memcpy(l.at + l.n, c->at, (size_t)c->n);
    l.n += c->n;
    return l;
}

static bool equal(const labels *a, const labels *b) { return a->n == b->n && memcmp(a->at, b->at, (size_t)a->n) == 0; }

static int64_t count(const einsum *e, const labels *l) { return ad_shape_numel(shape_of(e, l)); }

/* a [batch,left,inner] and b [batch,inner,right] -> [batch,left,right], with one axis for each role. */
static ad_var *multiply(const einsum *e, const roles *r) {
    int64_t batch = count(e, &r->batch), n = count(e, &r->left), m = count(e, &r->right), k = count(e, &r->inner);
    labels as = join(&r->batch, &r->left, &r->inner), bs = join(&r->batch, &r->inner, &r->right);
    labels transposed = join(&r->batch, &r->right, &r->inner);
    ad_var *a = arrange(e->x[0], &e->in[0], &as);
    /* affine computes a b^T without a transposed copy of b */
    if (r->batch.n == 0 && r->inner.n > 0 && equal(&e->in[1], &transposed))
        return ad_affine(reshaped(a, AD_SHAPE(n, k)), reshaped(e->x[1], AD_SHAPE(m, k)), NULL);
    ad_var *b = arrange(e->x[1], &e->in[1], &bs);
    if (r->inner.n == 0) return ad_mul(reshaped(a, AD_SHAPE(batch, n, 1)), reshaped(b, AD_SHAPE(batch, 1, m)));
    if (r->batch.n == 0) return ad_matmul(reshaped(a, AD_SHAPE(n, k)), reshaped(b, AD_SHAPE(k, m)));
    return ad_matmul(reshaped(a, AD_SHAPE(batch, n, k)), reshaped(b, AD_SHAPE(batch, k, m)));
}

/* Exchanges the operands if the first label of the result that only one of them has belongs to the second. */
static void order_operands(einsum *e) {
    for (int i = 0; i < e->out.n; i++) {
        bool first = find(&e->in[0], e->out.at[i]) >= 0, second = find(&e->in[1], e->out.at[i]) >= 0;
        if (first && !second) return;
        if (first) continue;
        ad_var *x = e->x[0];
        labels l = e->in[0];
        e->x[0] = e->x[1], e->in[0] = e->in[1];
        e->x[1] = x, e->in[1] = l;
        return;
    }
}

static ad_var *contract(einsum *e) {
    order_operands(e);
    roles r = roles_of(e);
    labels l = join(&r.batch, &r.left, &r.right);
    return arrange(reshaped(multiply(e, &r), shape_of(e, &l)), &l, &e->out);
}

/* ---- more operands: the order of the products ---------------------------------------------------------------- */

/* The labels of each operand and of the result as sets: bit 0..25 a..z, 26..51 A..Z, 52.. the axes under "...". */
typedef struct {
    int n;
    uint64_t in[MOST_OPERANDS], out;
    const int64_t *size;
} terms;

static int bit_of(char label) {
    return label >= 'a' ? label - 'a' : label >= 'A' ? 26 + label - 'A' : 52 + LAST_DOTTED - label;
}

static uint64_t set_of(const labels *l) {
    uint64_t set = 0;
    for (int i = 0; i < l->n; i++) set |= (uint64_t)1 << bit_of(l->at[i]);
    return set;
}

/* The product of the sizes of the labels. */
static double volume(const terms *t, uint64_t set) {
    double n = 1;
    for (int c = 0; c < LABELS; c++)
        if ((is_letter((char)c) || (c > LAST_DOTTED - AD_MAX_NDIM && c <= LAST_DOTTED)) && set >> bit_of((char)c) & 1)
            n *= (double)t->size[c];
    return n;
}

/* The labels of the product of operands i and j: those that the result or another operand has. */
static uint64_t kept_labels(const terms *t, int i, int j) {
    uint64_t wanted = t->out;
    for (int k = 0; k < t->n; k++) wanted |= k == i || k == j ? 0 : t->in[k];
    return (t->in[i] | t->in[j]) & wanted;
}

static int count_labels(uint64_t set) {
    int n = 0;
    for (; set != 0; set &= set - 1) n++;
    return n;
}

/* The terms after operands i < j are replaced by their product, which takes the place of i. */
static terms merged(const terms *t, int i, int j) {
    terms m = *t;
    m.in[i] = kept_labels(t, i, j);
    for (int k = j; k < t->n - 1; k++) m.in[k] = t->in[k + 1];
    m.n--;
    return m;
}

/* The pair i < j to multiply first, and the multiplications of all products in the best order that begins with it. Four
   or fewer operands are tried in every order (so the recursion is three deep). Of more, the pair is taken whose product
   is smallest compared with its operands. No product may have more than AD_MAX_NDIM axes: *i is then -1. */
static double best_pair(const terms *t, int *i, int *j) {
    double best = INFINITY;
    *i = *j = -1;
    for (int a = 0; a < t->n; a++)
        for (int b = a + 1; b < t->n; b++) {
            uint64_t kept = kept_labels(t, a, b);
            if (count_labels(kept) > AD_MAX_NDIM) continue;
            double cost = volume(t, kept) - volume(t, t->in[a]) - volume(t, t->in[b]);
            if (t->n <= 4) cost = volume(t, t->in[a] | t->in[b]);
            if (t->n <= 4 && t->n > 2) {
                terms rest = merged(t, a, b);
                int next[2];
                cost += best_pair(&rest, &next[0], &next[1]);
            }
            if (!(cost < best)) continue;
            best = cost, *i = a, *j = b;
        }
    return best;
}

/* The labels of a and then b that are in the set, each once. */
static labels ordered(const labels *a, const labels *b, uint64_t set) {
    labels to = { 0 };
    for (int k = 0; k < a->n + b->n; k++) {
        char c = k < a->n ? a->at[k] : b->at[k - a->n];
        if (set >> bit_of(c) & 1 && find(&to, c) < 0) to.at[to.n++] = c;
    }
    return to;
}

static ad_var *multiply_pair(einsum *e) {
    for (int i = 0; i < e->n; i++) take_diagonals(e, i), sum_own(e, i);
    return e->n == 2 ? contract(e) : arrange(e->x[0], &e->in[0], &e->out);
}

/* Replaces two operands by their product until two are left. */
static int multiply_many(einsum *e) {
    while (e->n > 2) {
        terms t = { .n = e->n, .out = set_of(&e->out), .size = e->size };
        int i, j;
        for (int k = 0; k < e->n; k++) t.in[k] = set_of(&e->in[k]);
        best_pair(&t, &i, &j);
        if (i < 0) return fail(e, "each order of products has one with more than %d dimensions", AD_MAX_NDIM);
        einsum pair = *e;
        pair.n = 2, pair.x[0] = e->x[i], pair.x[1] = e->x[j], pair.in[0] = e->in[i], pair.in[1] = e->in[j];
        pair.out = ordered(&e->in[i], &e->in[j], kept_labels(&t, i, j));
        e->x[i] = multiply_pair(&pair), e->in[i] = pair.out;
        for (int k = j; k < e->n - 1; k++) e->x[k] = e->x[k + 1], e->in[k] = e->in[k + 1];
        e->n--;
        if (!ad_ok(e->g)) return ad_error_code(e->g);
    }
    return AD_OK;
}

static ad_var *sum_of(einsum *e) {
    for (int i = 0; i < e->n; i++)
        if (ad__absent(e->x[i])) return ad__nil_beside(e->n, e->x, "einsum");
    if (e->spec == NULL) ad_fail(e->g, AD_EVALUE, "einsum: the spec is NULL");
    else if (ad_ok(e->g) && read_spec(e) == AD_OK) find_sizes(e);
    if (!ad_ok(e->g)) return ad_nil(e->g);
    for (int i = 0; i < e->n; i++) drop_broadcast(e, i);
    return multiply_many(e) == AD_OK ? multiply_pair(e) : ad_nil(e->g);
}

ad_var *ad_einsum(const char *spec, ad_var *a, ad_var *b) {
    einsum e = { .g = ad_graph_of(a), .spec = spec, .n = b ? 2 : 1, .x = { a, b } };
    return sum_of(&e);
}

ad_var *ad_einsum_n(const char *spec, int n, ad_var *const xs[]) {
    einsum e = { .spec = spec, .n = n };
    if (n < 1 || xs == NULL) return ad_nil(NULL);
    for (int i = 0; i < n && e.g == NULL; i++) e.g = ad_graph_of(xs[i]);
    if (n > MOST_OPERANDS) {
        ad_fail(e.g, AD_EVALUE, "einsum: %d operands; takes 1 to %d", n, MOST_OPERANDS);
        return ad_nil(e.g);
    }
    for (int i = 0; i < n; i++) e.x[i] = xs[i];
    return sum_of(&e);
}
