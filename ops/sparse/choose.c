/* choose.c: the colouring that takes the fewest products, among those that the options allow. */
#include "ops/sparse/plan.h"

typedef int colour_fn(ad_graph *g, const ad__sparsity *a, const ad__sparsity *other, const int32_t *order,
                      ad__colours *to);

static int star(ad_graph *g, const ad__sparsity *a, const ad__sparsity *other, const int32_t *order,
                ad__colours *to) {
    return (void)other, ad__colour_star(g, a, order, to);
}
static int acyclic(ad_graph *g, const ad__sparsity *a, const ad__sparsity *other, const int32_t *order,
                   ad__colours *to) {
    return (void)other, ad__colour_acyclic(g, a, order, to);
}

/* A way to colour: the function and its matrices, what must differ, and the fewest colours that there can be. */
typedef struct {
    colour_fn *colour;
    const ad__sparsity *a, *other;
    ad__near near;
    int32_t fewest;
} way;

static int32_t count_of(const ad__colours *c) { return c->n_columns + c->n_rows; }

static int32_t longest_row(const ad__sparsity *a) {
    int64_t most = 0;
    for (int32_t i = 0; i < a->rows; i++)
        if (a->start[i + 1] - a->start[i] > most) most = a->start[i + 1] - a->start[i];
    return (int32_t)most;
}

/* Colours in the given order; AD_ORDER_AUTO: in up to three orders. *best holds the best colouring so far; its
   product is NULL if there is none. */
static int try_orders(ad_graph *g, const way *w, ad_colour_order order, ad__colours *best) {
    bool every = order == AD_ORDER_AUTO;
    int32_t *at = ad__filled(g, w->near.a->rows, sizeof *at, 0);
    if (at == NULL) return AD_ENOMEM;
    for (int o = every ? AD_ORDER_NATURAL : order; o <= (every ? AD_ORDER_SMALLEST_LAST : (int)order); o++) {
        ad__colours c;
        if (ad__order_make(&w->near, (ad_colour_order)o, at) || w->colour(g, w->a, w->other, at, &c)) return AD_ENOMEM;
        if (best->product == NULL || count_of(&c) < count_of(best)) *best = c;
        if (count_of(best) <= w->fewest) break;
    }
    return AD_OK;
}

/* What was found for the transposed matrix t, for a. */
static int turn(ad_graph *g, const ad__sparsity *a, const ad__sparsity *t, ad__colours *c) {
    int32_t *row = c->row, n = c->n_rows, *next = ad__filled(g, a->rows, sizeof *next, 0);
    int32_t *product = ad__filled(g, ad__sparsity_count(a), sizeof *product, 0);
    int32_t *at = ad__filled(g, ad__sparsity_count(a), sizeof *at, 0);
    if (next == NULL || product == NULL || at == NULL) return AD_ENOMEM;
    for (int32_t j = 0; j < t->rows; j++)
        for (int64_t k = t->start[j]; k < t->start[j + 1]; k++) {
            int64_t to = a->start[t->column[k]] + next[t->column[k]]++;
            product[to] = (c->product[k] + n) % (n + c->n_columns), at[to] = c->at[k];
        }
    c->row = c->column, c->column = row, c->n_rows = c->n_columns, c->n_columns = n;
    c->product = product, c->at = at;
    return AD_OK;
}

/* Long rows by products of their own, or long columns. */
static int split(ad_graph *g, const ad__sparsity *a, const ad__sparsity *t, ad__colours *best) {
    int32_t longest[2], fewest[2];
    if (ad__row_longest(g, a, &longest[0], &fewest[0])) return AD_ENOMEM;
    if (ad__row_longest(g, t, &longest[1], &fewest[1])) return AD_ENOMEM;
    for (int i = 0; i < 2; i++) {
        int by_columns = fewest[0] <= fewest[1] ? i : !i;
        ad__colours c;
        if (best->product && fewest[by_columns] >= count_of(best)) continue;
        if (ad__colour_split(g, by_columns ? t : a, longest[by_columns], &c)) return AD_ENOMEM;
        if (by_columns && turn(g, a, t, &c)) return AD_ENOMEM;
        if (best->product == NULL || count_of(&c) < count_of(best)) *best = c;
    }
    return AD_OK;
}

/* Both ways to use products of both kinds. The second would take too long where rows or columns are very long. */
static int colour_both(ad_graph *g, const ad__sparsity *a, const ad__sparsity *t, ad_colour_order order,
                       ad__colours *best) {
    ad__sparsity both;
    if (split(g, a, t, best)) return AD_ENOMEM;
    if (ad__row_work(a) + ad__row_work(t) > AD__MOST_WORK) return AD_OK;
    int rc = ad__sparsity_bipartite(g, a, &both);
    if (rc != AD_OK) return rc;
    return try_orders(g, &(way){ ad__colour_both, a, &both, { g, &both, NULL }, 2 }, order, best);
}

static int colour_jacobian(ad_graph *g, const ad__sparsity *a, ad_sparse_opts o, ad__colours *best) {
    ad__sparsity t;
    if (ad__sparsity_transpose(g, a, &t)) return AD_ENOMEM;
    way columns = { ad__colour_columns, a, &t, { g, &t, a }, longest_row(a) };
    way rows = { ad__colour_rows, a, &t, { g, a, &t }, longest_row(&t) };
    if (o.colouring == AD_COLOUR_COLUMNS) return try_orders(g, &columns, o.order, best);
    if (o.colouring == AD_COLOUR_ROWS) return try_orders(g, &rows, o.order, best);
    if (o.colouring == AD_COLOUR_BOTH) return colour_both(g, a, &t, o.order, best);
    /* Products of both kinds pay where a few rows or columns are longer than most. They come first, as colouring the
       columns takes long if a row is long. */
    double mean = (double)ad__sparsity_count(a) / (a->rows < a->columns ? a->rows + 1 : a->columns + 1);
    const way *first = columns.fewest <= rows.fewest ? &columns : &rows, *second = first == &rows ? &columns : &rows;
    if (first->fewest > 3 * mean && colour_both(g, a, &t, o.order, best)) return AD_ENOMEM;
    for (int i = 0; i < 2; i++, first = second)
        if ((best->product == NULL || first->fewest < count_of(best)) && try_orders(g, first, o.order, best))
            return AD_ENOMEM;
    return AD_OK;
}

int ad__plan_colours(const ad_sparse_plan *p, const ad__sparsity *a, ad__colours *to) {
    ad_graph *g = p->g;
    *to = (ad__colours){ 0 };
    if (!p->symmetric) return colour_jacobian(g, a, p->opts, to);
    way w = { p->opts.colouring == AD_COLOUR_ACYCLIC ? acyclic : star, a, NULL, { g, a, NULL }, 3 };
    if (longest_row(a) < 3) w.fewest = longest_row(a);
    return try_orders(g, &w, p->opts.order, to);
}
