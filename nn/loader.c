/* loader.c: minibatches of a dataset, in order or shuffled. */
#include <string.h>

#include "autodiff/node.h"
#include "nn/loader.h"

struct nn_loader {
    ad_graph *graph;
    nn_dataset data;
    nn_loader_opts opts;
    int64_t n;         /* rows */
    int64_t at;        /* the next row; 0 at the beginning of an epoch */
    int64_t *order;    /* [n], which row comes when; NULL: as they lie */
    ad__random before; /* the graph's random numbers at the beginning of the epoch */
    uint64_t key;      /* of the transforms' random numbers in this epoch */
};

static int64_t rows_of(const ad_var *x) {
    ad_shape s = ad_shape_of(x);
    return s.ndim > 0 ? s.dim[0] : -1;
}

static int check(ad_graph *g, nn_dataset d, nn_loader_opts o) {
    if (ad_is_nil(d.x) || ad_is_nil(d.y)) return ad_fail(g, AD_EVALUE, "loader: x or y of the dataset is nil");
    int64_t x = rows_of(d.x), y = rows_of(d.y);
    if (x < 0 || y < 0)
        return ad_fail(g, AD_ESHAPE, "loader: x or y of the dataset is a scalar; both have a row for each sample");
    if (x != y)
        return ad_fail(g, AD_ESHAPE, "loader: x has %lld rows and y %lld; both have one for each sample", (long long)x,
                       (long long)y);
    if (o.batch < 1) return ad_fail(g, AD_EVALUE, "loader: batch %lld: it must be at least 1", (long long)o.batch);
    return AD_OK;
}

nn_loader *nn_loader_new(ad_graph *g, nn_dataset data, nn_loader_opts o) {
    if (!ad_ok(g) || check(g, data, o)) return NULL;
    nn_loader *l = ad__node_alloc(g, sizeof *l);
    if (l == NULL) return NULL;
    *l = (nn_loader){ .graph = g, .data = data, .opts = o, .n = rows_of(data.x) };
    if (o.shuffle && (l->order = ad__array_alloc(g, (size_t)l->n * sizeof *l->order)) == NULL) return NULL;
    return l;
}

int64_t nn_loader_batches(const nn_loader *l) {
    if (l == NULL) return 0;
    return l->n / l->opts.batch + (!l->opts.drop_last && l->n % l->opts.batch > 0);
}

/* Fisher and Yates, from the rows as they lie, so that an epoch's order depends on the random numbers
   alone. The remainder of 64 random bits favours no row by more than n / 2^64. */
static void shuffle(nn_loader *l) {
    for (int64_t i = 0; i < l->n; i++) l->order[i] = i;
    for (int64_t i = l->n - 1; i > 0; i--) {
        uint32_t bits[2];
        ad_random_bits(l->graph, 2, bits);
        int64_t j = (int64_t)(((uint64_t)bits[0] << 32 | bits[1]) % (uint64_t)(i + 1)), t = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = t;
    }
}

static void begin_epoch(nn_loader *l) {
    l->before = l->graph->random;
    if (l->order != NULL) shuffle(l);
    uint32_t bits[2];
    if (l->opts.transform == NULL) return;
    ad_random_bits(l->graph, 2, bits);
    l->key = (uint64_t)bits[0] << 32 | bits[1];
}

/* Row i of a minibatch. Every sample has 2^32 blocks of random numbers, whichever minibatch it is in. */
static void make_row(const nn_loader *l, ad_dtype t, ad_shape s, size_t size, const char *from, char *to, int64_t i,
                     bool transformed) {
    int64_t at = l->order ? l->order[l->at + i] : l->at + i;
    nn_random r = { l->key, (uint64_t)(l->at + i) << 32 };
    from += (size_t)at * size;
    to += (size_t)i * size;
    if (transformed) l->opts.transform(t, s, from, to, &r, l->opts.transform_data);
    else memcpy(to, from, size);
}

/* Rows at .. at+n of x in the loader's order: x's own memory where they lie together, else a copy. */
static ad_var *rows(const nn_loader *l, const ad_var *x, int64_t n, bool transformed) {
    ad_dtype t = ad_dtype_of(x);
    ad_shape s = ad_shape_of(x), row = { .ndim = s.ndim - 1 };
    memcpy(row.dim, s.dim + 1, (size_t)row.ndim * sizeof *row.dim);
    s.dim[0] = n;
    char *from = (char *)ad_data(x); /* ad_input reads it and never writes */
    size_t size = (size_t)ad_shape_numel(row) * ad_dtype_size(t);
    if (l->order == NULL && !transformed) return ad_input(l->graph, t, from + (size_t)l->at * size, s);
    char *to = ad__array_alloc(l->graph, (size_t)n * size);
    for (int64_t i = 0; i < n && to != NULL; i++) make_row(l, t, row, size, from, to, i, transformed);
    return ad_input(l->graph, t, to, s);
}

bool nn_loader_next(nn_loader *l, ad_var **x, ad_var **y) {
    *x = *y = ad__nil(l ? l->graph : NULL);
    if (l == NULL || !ad_ok(l->graph)) return false;
    int64_t left = l->n - l->at, n = left < l->opts.batch ? left : l->opts.batch;
    if (n == 0 || (n < l->opts.batch && l->opts.drop_last)) {
        l->at = 0;
        return false;
    }
    if (l->at == 0) begin_epoch(l);
    ad_var *bx = rows(l, l->data.x, n, l->opts.transform != NULL), *by = rows(l, l->data.y, n, false);
    if (!ad_ok(l->graph)) return false;
    *x = bx;
    *y = by;
    l->at += n;
    return true;
}

nn__loader_place nn__loader_where(const nn_loader *l) { return (nn__loader_place){ l->at, l->before }; }

int nn__loader_go(nn_loader *l, nn__loader_place p) {
    if (p.at < 0 || p.at > l->n)
        return ad_fail(l->graph, AD_EVALUE, "loader: row %lld of %lld to go on from", (long long)p.at, (long long)l->n);
    ad__random now = l->graph->random;
    l->graph->random = p.before;
    if (p.at > 0) begin_epoch(l);
    l->graph->random = now;
    l->at = p.at;
    return AD_OK;
}
