/* order.c: the orders in which vertices are coloured. */
#include "ops/sparse/colour.h"

#include <stdlib.h>
#include <string.h>

void *ad__filled(ad_graph *g, int64_t n, size_t size, int byte) {
    void *at = ad_scope_closing(g, ((size_t)n + 1) * size, NULL);
    return at ? memset(at, byte, ((size_t)n + 1) * size) : NULL;
}

/* Vertices in lists by degree. */
typedef struct {
    const ad__near *near;
    int32_t n;
    int32_t *mark; /* by vertex: the one that it was last seen from */
    int32_t *list; /* neighbours of one vertex */
    int32_t *degree, *first, *next, *before; /* first: by degree; -1 ends a list */
    bool *placed;
} ranks;

/* The vertices that must differ from v, each once. */
static int32_t neighbours(const ranks *r, int32_t v) {
    const ad__sparsity *a = r->near->a, *through = r->near->through;
    int32_t n = 0;
    r->mark[v] = v;
    for (int64_t k = a->start[v]; k < a->start[v + 1]; k++) {
        int32_t row = a->column[k];
        if (through == NULL && row != v) r->list[n++] = row;
        for (int64_t i = through ? through->start[row] : 0; through && i < through->start[row + 1]; i++)
            if (r->mark[through->column[i]] != v) r->mark[r->list[n++] = through->column[i]] = v;
    }
    return n;
}

static void insert(ranks *r, int32_t v) {
    int32_t *first = &r->first[r->degree[v]];
    r->next[v] = *first, r->before[v] = -1;
    if (*first >= 0) r->before[*first] = v;
    *first = v;
}

static void take_out(ranks *r, int32_t v) {
    if (r->before[v] >= 0) r->next[r->before[v]] = r->next[v];
    else r->first[r->degree[v]] = r->next[v];
    if (r->next[v] >= 0) r->before[r->next[v]] = r->before[v];
}

static int begin(ranks *r, const ad__near *near) {
    ad_graph *g = near->g;
    int32_t n = near->a->rows;
    *r = (ranks){ .near = near, .n = n };
    r->mark = ad__filled(g, n, sizeof *r->mark, 0xff), r->list = ad__filled(g, n, sizeof *r->list, 0);
    r->degree = ad__filled(g, n, sizeof *r->degree, 0), r->first = ad__filled(g, n, sizeof *r->first, 0xff);
    r->next = ad__filled(g, n, sizeof *r->next, 0xff), r->before = ad__filled(g, n, sizeof *r->before, 0xff);
    r->placed = ad__filled(g, n, sizeof *r->placed, 0);
    bool all = r->mark && r->list && r->degree && r->first && r->next && r->before && r->placed;
    return all ? AD_OK : AD_ENOMEM;
}

/* By degree, largest first; equal ones as they are numbered. */
static void largest_first(ranks *r, int32_t *to) {
    for (int32_t v = r->n; v-- > 0;) insert(r, v);
    int32_t k = 0;
    for (int32_t d = r->n; d-- > 0;)
        for (int32_t v = r->first[d]; v >= 0; v = r->next[v]) to[k++] = v;
}

/* Takes the vertex of the smallest or largest degree again and again, and changes the degree of its neighbours. */
static void dynamic(ranks *r, bool smallest, int change, bool from_end, int32_t *to) {
    for (int32_t v = r->n; v-- > 0;) insert(r, v);
    int32_t d = smallest ? 0 : r->n - 1;
    for (int32_t k = 0; k < r->n; k++) {
        while (r->first[d] < 0) d += smallest ? 1 : -1;
        int32_t v = r->first[d];
        take_out(r, v);
        r->placed[v] = true;
        to[from_end ? r->n - 1 - k : k] = v;
        for (int32_t i = neighbours(r, v); i-- > 0;) {
            int32_t w = r->list[i];
            if (r->placed[w]) continue;
            take_out(r, w);
            r->degree[w] += change;
            insert(r, w);
            if (smallest ? r->degree[w] < d : r->degree[w] > d) d = r->degree[w];
        }
    }
}

int ad__order_make(const ad__near *near, ad_colour_order order, int32_t *to) {
    ranks r;
    if (order == AD_ORDER_NATURAL) {
        for (int32_t v = 0; v < near->a->rows; v++) to[v] = v;
        return AD_OK;
    }
    if (begin(&r, near)) return AD_ENOMEM;
    for (int32_t v = 0; v < r.n && order != AD_ORDER_INCIDENCE_DEGREE; v++) r.degree[v] = neighbours(&r, v);
    memset(r.mark, 0xff, (size_t)r.n * sizeof *r.mark);
    if (order == AD_ORDER_LARGEST_FIRST) largest_first(&r, to);
    else if (order == AD_ORDER_SMALLEST_LAST) dynamic(&r, true, -1, true, to);
    else if (order == AD_ORDER_INCIDENCE_DEGREE) dynamic(&r, false, 1, false, to);
    else dynamic(&r, false, -1, false, to);
    return AD_OK;
}

/* ---- long rows ------------------------------------------------------------------------------------------------- */

double ad__row_work(const ad__sparsity *a) {
    double sum = 0;
    for (int32_t i = 0; i < a->rows; i++)
        sum += (double)(a->start[i + 1] - a->start[i]) * (double)(a->start[i + 1] - a->start[i]);
    return sum;
}

static int descending(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x < y) - (x > y);
}

int ad__row_longest(ad_graph *g, const ad__sparsity *a, int32_t *longest, int32_t *fewest) {
    int32_t *length = ad__filled(g, a->rows, sizeof *length, 0);
    if (length == NULL) return AD_ENOMEM;
    for (int32_t i = 0; i < a->rows; i++) length[i] = (int32_t)(a->start[i + 1] - a->start[i]);
    qsort(length, (size_t)a->rows, sizeof *length, descending);
    *fewest = INT32_MAX;
    for (int32_t d = 0; d <= a->rows && d < *fewest; d++)
        if (d + length[d] < *fewest) *fewest = d + length[d], *longest = length[d];
    return AD_OK;
}
