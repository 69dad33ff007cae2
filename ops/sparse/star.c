/* star.c: star colourings, in which neighbours differ and the edges between any two colours make up stars, so that each
   element is alone in its place of a product (Gebremedhin, Tarafdar, Manne and Pothen, New acyclic and star coloring
   algorithms, SIAM J. Sci. Comput. 29, 2007, algorithm 4.1). */
#include "ops/sparse/colour.h"

#include <string.h>

typedef struct {
    const ad__sparsity *a;
    const int64_t *edge; /* by element */
    int32_t *colour;
    int32_t *forbidden; /* by colour: the vertex that must not have it */
    int32_t *seen_by;   /* by colour: the vertex that has seen it last, and where it did first: an element of a */
    int64_t *seen_at;
    int32_t *treated; /* by vertex: whose neighbours two steps away were forbidden */
    int64_t *star;    /* by edge */
    int32_t *hub;     /* by star: its middle; -1 while it is one edge */
    int64_t n_stars;
    int32_t count, most; /* colours; how long a row may be */
} stars;

int64_t *ad__number_edges(ad_graph *g, const ad__sparsity *a, int64_t *n_edges) {
    int64_t *edge = ad__filled(g, ad__sparsity_count(a), sizeof *edge, 0xff), n = 0;
    int64_t *next = ad__filled(g, a->rows, sizeof *next, 0);
    if (edge == NULL || next == NULL) return NULL;
    for (int32_t i = 0; i < a->rows; i++) {
        int64_t k = a->start[i];
        for (; k < a->start[i + 1] && a->column[k] < i; k++) edge[k] = edge[next[a->column[k]]++] = n++;
        next[i] = k < a->start[i + 1] && a->column[k] == i ? k + 1 : k;
    }
    *n_edges = n;
    return edge;
}

static void forbid_beyond(stars *s, int32_t v, int32_t w) {
    for (int64_t k = s->a->start[w]; k < s->a->start[w + 1]; k++)
        if (s->colour[s->a->column[k]] >= 0) s->forbidden[s->colour[s->a->column[k]]] = v;
    s->treated[w] = v;
}

/* Element k of row v is a neighbour w with a colour. */
static void forbid_through(stars *s, int32_t v, int64_t k) {
    int32_t w = s->a->column[k], c = s->colour[w];
    s->forbidden[c] = v;
    if (s->seen_by[c] == v) {
        int32_t q = s->a->column[s->seen_at[c]];
        if (s->treated[q] != v) forbid_beyond(s, v, q);
        forbid_beyond(s, v, w);
        return;
    }
    s->seen_by[c] = v, s->seen_at[c] = k;
    for (int64_t i = s->a->start[w]; i < s->a->start[w + 1]; i++) {
        int32_t x = s->a->column[i];
        if (x != w && s->colour[x] >= 0 && s->hub[s->star[s->edge[i]]] == x) s->forbidden[s->colour[x]] = v;
    }
}

/* The element of row w that is a neighbour of v's colour besides v; -1 if there is none. */
static int64_t alike_beyond(const stars *s, int32_t v, int32_t w) {
    for (int64_t i = s->a->start[w]; i < s->a->start[w + 1]; i++)
        if (s->a->column[i] != v && s->a->column[i] != w && s->colour[s->a->column[i]] == s->colour[v]) return i;
    return -1;
}

/* Puts the edge that is element k of row v into a star. */
static void place_edge(stars *s, int32_t v, int64_t k) {
    int32_t w = s->a->column[k], c = s->colour[w];
    int64_t *star = &s->star[s->edge[k]], other = alike_beyond(s, v, w), first = s->seen_at[c];
    if (other >= 0) *star = s->star[s->edge[other]], s->hub[*star] = w;
    else if (s->seen_by[c] == v && first != k) *star = s->star[s->edge[first]], s->hub[*star] = v;
    else *star = s->n_stars++;
}

static bool has_colour(const stars *s, int32_t v, int64_t k) {
    return s->a->column[k] != v && s->colour[s->a->column[k]] >= 0;
}

static bool is_long(const stars *s, int32_t v) { return s->a->start[v + 1] - s->a->start[v] > s->most; }

/* A long row has a colour of its own, and is the middle of all of its edges. */
static void colour_long_rows(stars *s) {
    for (int32_t v = 0; v < s->a->rows; v++) {
        if (!is_long(s, v)) continue;
        s->colour[v] = s->count++;
        for (int64_t k = s->a->start[v]; k < s->a->start[v + 1]; k++) {
            int32_t w = s->a->column[k];
            if (w == v || (w < v && is_long(s, w))) continue;
            s->hub[s->n_stars] = v, s->star[s->edge[k]] = s->n_stars++;
        }
    }
}

static int make(stars *s, ad_graph *g, const ad__sparsity *a, const int32_t *order) {
    int64_t n_edges, n = a->rows;
    int32_t fewest;
    *s = (stars){ .a = a, .most = INT32_MAX, .edge = ad__number_edges(g, a, &n_edges) };
    if (s->edge == NULL) return AD_ENOMEM;
    if (ad__row_work(a) > AD__MOST_WORK && ad__row_longest(g, a, &s->most, &fewest)) return AD_ENOMEM;
    s->colour = ad__filled(g, n, sizeof *s->colour, 0xff), s->forbidden = ad__filled(g, n, sizeof *s->forbidden, 0xff);
    s->seen_by = ad__filled(g, n, sizeof *s->seen_by, 0xff), s->seen_at = ad__filled(g, n, sizeof *s->seen_at, 0);
    s->treated = ad__filled(g, n, sizeof *s->treated, 0xff), s->star = ad__filled(g, n_edges, sizeof *s->star, 0);
    s->hub = ad__filled(g, n_edges, sizeof *s->hub, 0xff);
    if (!s->colour || !s->forbidden || !s->seen_by || !s->seen_at || !s->treated || !s->star || !s->hub)
        return AD_ENOMEM;
    for (int32_t i = 0; i < n; i++) {
        int32_t v = order[i], c = 0;
        if (is_long(s, v)) continue;
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++)
            if (has_colour(s, v, k)) forbid_through(s, v, k);
        while (s->forbidden[c] == v) c++;
        s->colour[v] = c;
        if (c >= s->count) s->count = c + 1;
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++)
            if (has_colour(s, v, k)) place_edge(s, v, k);
    }
    colour_long_rows(s);
    return AD_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Colours that products are computed of, by side: vertices from `split` on are on side 1. */
typedef struct {
    const stars *s;
    int32_t split;
    int32_t *number[2]; /* by side and colour: -1 if nothing is read from the product */
} used;

static int32_t *number_of(const used *u, int32_t v) { return &u->number[v >= u->split][u->s->colour[v]]; }

/* Gives edges that are stars of their own a middle, if possible one whose product is needed anyway. */
static void choose(used *u) {
    const ad__sparsity *a = u->s->a;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t v = 0; v < a->rows; v++)
            for (int64_t k = a->start[v]; k < a->start[v + 1] && a->column[k] <= v; k++) {
                int32_t w = a->column[k];
                int32_t *hub = w == v ? NULL : &u->s->hub[u->s->star[u->s->edge[k]]];
                if (hub && pass == 1 && *hub < 0) *hub = *number_of(u, v) == 0 && *number_of(u, w) < 0 ? v : w;
                int32_t at = hub ? *hub : v;
                if (at >= 0) *number_of(u, at) = 0;
            }
}

static int32_t renumber(int32_t *number, int32_t n) {
    int32_t count = 0;
    for (int32_t c = 0; c < n; c++)
        if (number[c] >= 0) number[c] = count++;
    return count;
}

static int choose_products(ad_graph *g, stars *s, int32_t split, used *u, ad__colours *to) {
    *u = (used){ .s = s, .split = split };
    for (int side = 0; side < 2; side++)
        if ((u->number[side] = ad__filled(g, s->count, sizeof(int32_t), 0xff)) == NULL) return AD_ENOMEM;
    choose(u);
    to->n_columns = renumber(u->number[0], s->count);
    to->n_rows = renumber(u->number[1], s->count);
    return AD_OK;
}

static int reads_of_columns(ad_graph *g, const used *u, const ad__sparsity *a, ad__colours *to) {
    int64_t n = ad__sparsity_count(a);
    to->column = ad__filled(g, a->rows, sizeof *to->column, 0xff);
    to->product = ad__filled(g, n, sizeof *to->product, 0), to->at = ad__filled(g, n, sizeof *to->at, 0);
    if (!to->column || !to->product || !to->at) return AD_ENOMEM;
    for (int32_t v = 0; v < a->rows; v++) {
        to->column[v] = *number_of(u, v);
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++) {
            int32_t w = a->column[k], hub = w == v ? v : u->s->hub[u->s->star[u->s->edge[k]]];
            to->product[k] = *number_of(u, hub);
            to->at[k] = hub == v ? w : v;
        }
    }
    return AD_OK;
}

int ad__colour_star(ad_graph *g, const ad__sparsity *a, const int32_t *order, ad__colours *to) {
    stars s;
    used u;
    *to = (ad__colours){ 0 };
    if (make(&s, g, a, order) || choose_products(g, &s, a->rows, &u, to)) return AD_ENOMEM;
    return reads_of_columns(g, &u, a, to);
}

/* Vertices are the columns of a, then its rows. The edges of row i of a stand in row columns + i of `both`. */
int ad__colour_both(ad_graph *g, const ad__sparsity *a, const ad__sparsity *both, const int32_t *order,
                    ad__colours *to) {
    stars s;
    used u;
    int32_t n = a->columns;
    *to = (ad__colours){ 0 };
    if (make(&s, g, both, order) || choose_products(g, &s, n, &u, to)) return AD_ENOMEM;
    to->column = ad__filled(g, n, sizeof *to->column, 0), to->row = ad__filled(g, a->rows, sizeof *to->row, 0);
    to->product = ad__filled(g, ad__sparsity_count(a), sizeof *to->product, 0);
    to->at = ad__filled(g, ad__sparsity_count(a), sizeof *to->at, 0);
    if (!to->column || !to->row || !to->product || !to->at) return AD_ENOMEM;
    for (int32_t j = 0; j < n; j++) to->column[j] = *number_of(&u, j);
    for (int32_t i = 0; i < a->rows; i++) {
        to->row[i] = *number_of(&u, n + i);
        for (int64_t k = a->start[i], e = both->start[n + i]; k < a->start[i + 1]; k++, e++) {
            int32_t hub = s.hub[s.star[s.edge[e]]];
            to->product[k] = hub < n ? to->column[hub] : to->n_columns + to->row[i];
            to->at[k] = hub < n ? i : a->column[k];
        }
    }
    return AD_OK;
}
