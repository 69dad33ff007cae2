/* acyclic.c: acyclic colourings, in which neighbours differ and the edges between any two colours make up trees: an
   element at a leaf is alone in its place of a product, and others follow when it is subtracted (Gebremedhin, Tarafdar,
   Manne and Pothen, New acyclic and star coloring algorithms, SIAM J. Sci. Comput. 29, 2007, algorithm 3.1). */
#include "ops/sparse/colour.h"

#include <string.h>

typedef struct {
    const ad__sparsity *a;
    const int64_t *edge; /* by element */
    int64_t n_edges;
    int32_t *colour;
    int32_t *forbidden; /* by colour: the vertex that must not have it */
    int32_t *seen_by;   /* by colour: the vertex that has seen it last, and where it did first: an element of a */
    int64_t *seen_at;
    int64_t *parent;   /* by edge: trees of one pair of colours, as disjoint sets */
    int32_t *tree_by;  /* by tree: the vertex that has reached it last, and through which neighbour */
    int32_t *tree_through;
    int32_t count, most; /* colours; how long a row may be */
} forest;

static int64_t root_of(forest *f, int64_t e) {
    while (f->parent[e] != e) e = f->parent[e] = f->parent[f->parent[e]];
    return e;
}

static void unite(forest *f, int64_t a, int64_t b) {
    a = root_of(f, a), b = root_of(f, b);
    if (a != b) f->parent[a > b ? a : b] = a < b ? a : b;
}

static bool has_colour(const forest *f, int32_t v, int64_t k) {
    return f->a->column[k] != v && f->colour[f->a->column[k]] >= 0;
}

/* A tree that v reaches through two of its neighbours must not get v's colour. */
static void forbid_cycles(forest *f, int32_t v, int32_t w) {
    for (int64_t i = f->a->start[w]; i < f->a->start[w + 1]; i++) {
        int32_t x = f->a->column[i];
        if (x == v || !has_colour(f, w, i) || f->forbidden[f->colour[x]] == v) continue;
        int64_t tree = root_of(f, f->edge[i]);
        if (f->tree_by[tree] != v) f->tree_by[tree] = v, f->tree_through[tree] = w;
        else if (f->tree_through[tree] != w) f->forbidden[f->colour[x]] = v;
    }
}

/* The edge that is element k of row v joins the trees of its two colours that it touches. */
static void place_edge(forest *f, int32_t v, int64_t k) {
    int32_t w = f->a->column[k], c = f->colour[w];
    if (f->seen_by[c] != v) f->seen_by[c] = v, f->seen_at[c] = k;
    else unite(f, f->edge[k], f->edge[f->seen_at[c]]);
    for (int64_t i = f->a->start[w]; i < f->a->start[w + 1]; i++)
        if (f->a->column[i] != v && has_colour(f, w, i) && f->colour[f->a->column[i]] == f->colour[v])
            unite(f, f->edge[k], f->edge[i]);
}

static bool is_long(const forest *f, int32_t v) { return f->a->start[v + 1] - f->a->start[v] > f->most; }

/* A long row has a colour of its own, and is the root of trees of two levels. */
static void colour_long_rows(forest *f) {
    for (int32_t v = 0; v < f->a->rows; v++)
        if (is_long(f, v)) f->colour[v] = f->count++;
    for (int32_t v = 0; v < f->a->rows; v++)
        for (int64_t k = f->a->start[v]; k < f->a->start[v + 1] && is_long(f, v); k++) {
            int32_t c = f->colour[f->a->column[k]];
            if (f->a->column[k] == v) continue;
            if (f->seen_by[c] != v) f->seen_by[c] = v, f->seen_at[c] = k;
            else unite(f, f->edge[k], f->edge[f->seen_at[c]]);
        }
}

static int begin(forest *f, ad_graph *g, const ad__sparsity *a) {
    int64_t n = a->rows;
    int32_t fewest;
    *f = (forest){ .a = a, .most = INT32_MAX };
    if (ad__row_work(a) > AD__MOST_WORK && ad__row_longest(g, a, &f->most, &fewest)) return AD_ENOMEM;
    if ((f->edge = ad__number_edges(g, a, &f->n_edges)) == NULL) return AD_ENOMEM;
    f->colour = ad__filled(g, n, sizeof *f->colour, 0xff), f->forbidden = ad__filled(g, n, sizeof *f->forbidden, 0xff);
    f->seen_by = ad__filled(g, n, sizeof *f->seen_by, 0xff), f->seen_at = ad__filled(g, n, sizeof *f->seen_at, 0);
    f->parent = ad__filled(g, f->n_edges, sizeof *f->parent, 0);
    f->tree_by = ad__filled(g, f->n_edges, sizeof *f->tree_by, 0xff);
    f->tree_through = ad__filled(g, f->n_edges, sizeof *f->tree_through, 0xff);
    if (!f->colour || !f->forbidden || !f->seen_by || !f->seen_at || !f->parent || !f->tree_by || !f->tree_through)
        return AD_ENOMEM;
    for (int64_t e = 0; e < f->n_edges; e++) f->parent[e] = e;
    return AD_OK;
}

static void make(forest *f, const int32_t *order) {
    const ad__sparsity *a = f->a;
    for (int32_t i = 0; i < a->rows; i++) {
        int32_t v = order[i], c = 0;
        if (is_long(f, v)) continue;
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++)
            if (has_colour(f, v, k)) f->forbidden[f->colour[a->column[k]]] = v;
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++)
            if (has_colour(f, v, k)) forbid_cycles(f, v, a->column[k]);
        while (f->forbidden[c] == v) c++;
        f->colour[v] = c;
        if (c >= f->count) f->count = c + 1;
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++)
            if (has_colour(f, v, k)) place_edge(f, v, k);
    }
    colour_long_rows(f);
}

/* ---- reading: leaf by leaf --------------------------------------------------------------------------------------- */

/* A vertex in a tree, for each element off the diagonal: how many edges of the tree it has left is kept at the first of
   its elements that belong to the tree. */
typedef struct {
    forest *f;
    int64_t *head;  /* by element: the first of its row in the same tree */
    int64_t *next;  /* by element: the next of its row in the same tree; -1 */
    int32_t *left;  /* by head: edges of the tree that are not found yet */
    int64_t *twin;  /* by element: the one across the diagonal */
    bool *found;    /* by edge */
    int64_t *queue; /* heads that are leaves */
    int64_t n_queue;
} leaves;

static void link_rows(leaves *l, int64_t *first, int64_t *last, int32_t *seen) {
    const ad__sparsity *a = l->f->a;
    for (int32_t v = 0; v < a->rows; v++)
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++) {
            if (a->column[k] == v) continue;
            int64_t tree = root_of(l->f, l->f->edge[k]);
            if (seen[tree] != v) seen[tree] = v, first[tree] = k;
            else l->next[last[tree]] = k;
            last[tree] = k, l->head[k] = first[tree], l->left[first[tree]]++;
        }
}

static void link_twins(leaves *l, int64_t *at) {
    const ad__sparsity *a = l->f->a;
    for (int32_t v = 0; v < a->rows; v++)
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++) {
            int64_t e = l->f->edge[k];
            if (e < 0) continue;
            if (at[e] < 0) at[e] = k;
            else l->twin[k] = at[e], l->twin[at[e]] = k;
        }
}

static int begin_leaves(leaves *l, ad_graph *g, forest *f) {
    int64_t n = ad__sparsity_count(f->a), edges = f->n_edges;
    *l = (leaves){ .f = f };
    l->head = ad__filled(g, n, sizeof *l->head, 0xff), l->next = ad__filled(g, n, sizeof *l->next, 0xff);
    l->left = ad__filled(g, n, sizeof *l->left, 0), l->twin = ad__filled(g, n, sizeof *l->twin, 0xff);
    l->found = ad__filled(g, edges, sizeof *l->found, 0), l->queue = ad__filled(g, n, sizeof *l->queue, 0);
    int64_t *first = ad__filled(g, edges, sizeof *first, 0), *last = ad__filled(g, edges, sizeof *last, 0);
    int32_t *seen = ad__filled(g, edges, sizeof *seen, 0xff);
    int64_t *at = ad__filled(g, edges, sizeof *at, 0xff);
    if (!l->head || !l->next || !l->left || !l->twin || !l->found || !l->queue || !first || !last || !seen || !at)
        return AD_ENOMEM;
    link_rows(l, first, last, seen);
    link_twins(l, at);
    for (int64_t k = 0; k < n; k++)
        if (l->head[k] == k && l->left[k] == 1) l->queue[l->n_queue++] = k;
    return AD_OK;
}

static int32_t row_of_twin(const leaves *l, int64_t k) { return l->f->a->column[k]; }
static int32_t row_of(const leaves *l, int64_t k) { return l->f->a->column[l->twin[k]]; }

/* The elements below the diagonal stand for both. */
static int64_t below(const leaves *l, int64_t k) { return row_of_twin(l, k) < row_of(l, k) ? k : l->twin[k]; }

/* The one edge that a leaf has left: what its row of the product has there, less the edges found before. */
static void find_edge(leaves *l, int64_t leaf, ad__colours *to) {
    int64_t edge = -1, *start = to->start + to->n_order, n = *start;
    for (int64_t k = leaf; k >= 0; k = l->next[k]) {
        if (l->found[l->f->edge[k]]) to->minus[n++] = below(l, k);
        else edge = k;
    }
    if (edge < 0) return; /* found from its other end */
    int64_t k = below(l, edge);
    to->order[to->n_order++] = k, start[1] = n;
    to->product[k] = l->f->colour[row_of_twin(l, edge)], to->at[k] = row_of(l, edge);
    l->found[l->f->edge[edge]] = true;
    int64_t other = l->head[l->twin[edge]];
    l->left[leaf]--;
    if (--l->left[other] == 1) l->queue[l->n_queue++] = other;
}

static int make_reads(ad_graph *g, forest *f, ad__colours *to) {
    const ad__sparsity *a = f->a;
    int64_t n = ad__sparsity_count(a);
    leaves l;
    to->column = f->colour, to->n_columns = f->count;
    to->product = ad__filled(g, n, sizeof *to->product, 0xff), to->at = ad__filled(g, n, sizeof *to->at, 0);
    to->order = ad__filled(g, f->n_edges, sizeof *to->order, 0);
    to->start = ad__filled(g, f->n_edges + 1, sizeof *to->start, 0);
    to->minus = ad__filled(g, n, sizeof *to->minus, 0);
    if (!to->product || !to->at || !to->order || !to->start || !to->minus) return AD_ENOMEM;
    for (int32_t v = 0; v < a->rows; v++)
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++)
            if (a->column[k] == v) to->product[k] = f->colour[v], to->at[k] = v;
    if (begin_leaves(&l, g, f)) return AD_ENOMEM;
    for (int64_t i = 0; i < l.n_queue; i++) find_edge(&l, l.queue[i], to);
    return AD_OK;
}

int ad__colour_acyclic(ad_graph *g, const ad__sparsity *a, const int32_t *order, ad__colours *to) {
    forest f;
    *to = (ad__colours){ 0 };
    if (begin(&f, g, a)) return AD_ENOMEM;
    make(&f, order);
    return make_reads(g, &f, to);
}
