/* loader.c: minibatches of a dataset, in order or shuffled, made when they are asked for or ahead of that. */
#include <string.h>

#include "autodiff/graph/node.h"
#include "nn/data/loader.h"
#include "nn/data/prefetch.h"

/* x or y of the data set, as plain memory. */
typedef struct {
    ad_dtype dtype;
    ad_shape row; /* the shape of a row */
    size_t size;  /* bytes of a row */
    char *data;   /* ad_input reads it and never writes */
    bool copied;  /* the rows of a minibatch do not lie together, or are transformed */
    bool transformed;
    size_t offset; /* of its rows in a minibatch that is made ahead */
} source;

struct nn_loader {
    ad_graph *graph;
    nn_loader_opts opts;
    source x, y;
    int64_t n;           /* rows */
    int64_t at;          /* the next row; 0 at the beginning of an epoch */
    int64_t *order;      /* [n], which row comes when; NULL: as they lie */
    ad_random_state before;   /* the graph's random numbers at the beginning of the epoch */
    uint64_t key;        /* of the transforms' random numbers in this epoch */
    nn__prefetch *ahead; /* NULL: no minibatch is made ahead */
    int64_t begin;       /* the row of the first one that is in this epoch */
};

/* ---- how many ------------------------------------------------------------------------------------------- */

/* Rows in the minibatch that begins with row at. */
static int64_t rows_at(const nn_loader *l, int64_t at) {
    int64_t left = l->n - at;
    return left < l->opts.batch ? left : l->opts.batch;
}

static int64_t batches_from(const nn_loader *l, int64_t at) {
    int64_t left = l->n - at;
    return left / l->opts.batch + (!l->opts.drop_last && left % l->opts.batch > 0);
}

int64_t nn_loader_batches(const nn_loader *l) { return l ? batches_from(l, 0) : 0; }

/* ---- what is in them: of the loader's and the data set's memory alone ---------------------------------------- */

/* Rows at .. at+n. Every sample has 2^32 blocks of random numbers, whichever minibatch it is in. */
static void make_rows(const nn_loader *l, const source *s, int64_t at, int64_t n, char *to) {
    for (int64_t i = at; i < at + n; i++, to += s->size) {
        const char *from = s->data + (size_t)(l->order ? l->order[i] : i) * s->size;
        nn_random r = { l->key, (uint64_t)i << 32 };
        if (s->transformed) l->opts.transform(s->dtype, s->row, from, to, &r, l->opts.transform_data);
        else memcpy(to, from, s->size);
    }
}

/* On a thread of its own, which must not touch the graph. */
static void make_ahead(const void *loader, int64_t item, void *to) {
    const nn_loader *l = loader;
    int64_t at = l->begin + item * l->opts.batch, n = rows_at(l, at);
    if (l->x.copied) make_rows(l, &l->x, at, n, (char *)to + l->x.offset);
    if (l->y.copied) make_rows(l, &l->y, at, n, (char *)to + l->y.offset);
}

/* ---- making a loader ------------------------------------------------------------------------------------------ */

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
    if (o.prefetch < 0)
        return ad_fail(g, AD_EVALUE, "loader: prefetch %lld: it must be at least 0", (long long)o.prefetch);
    return AD_OK;
}

static source source_of(const ad_var *x, bool shuffled, bool transformed) {
    ad_shape s = ad_shape_of(x), row = { .ndim = s.ndim - 1 };
    memcpy(row.dim, s.dim + 1, (size_t)row.ndim * sizeof *row.dim);
    return (source){ .dtype = ad_dtype_of(x),
                     .row = row,
                     .size = (size_t)ad_shape_numel(row) * ad_dtype_size(ad_dtype_of(x)),
                     .data = (char *)ad_data(x),
                     .copied = shuffled || transformed,
                     .transformed = transformed };
}

/* A minibatch is its rows of x, and its rows of y if these are copied. */
static void look_ahead(nn_loader *l) {
    size_t rows = (size_t)rows_at(l, 0), y = l->y.copied ? rows * l->y.size : 0;
    int64_t all = nn_loader_batches(l), most = l->opts.prefetch < all ? l->opts.prefetch : all;
    l->y.offset = (rows * l->x.size + AD__ALIGN - 1) / AD__ALIGN * AD__ALIGN;
    l->ahead = nn__prefetch_new(l->graph, most, l->y.offset + y, make_ahead, l);
}

nn_loader *nn_loader_new(ad_graph *g, nn_dataset data, nn_loader_opts o) {
    if (!ad_ok(g) || check(g, data, o)) return NULL;
    nn_loader *l = ad_scope_alloc(g, sizeof *l);
    if (l == NULL) return NULL;
    *l = (nn_loader){ .graph = g, .opts = o, .n = rows_of(data.x) };
    l->x = source_of(data.x, o.shuffle, o.transform != NULL);
    l->y = source_of(data.y, o.shuffle, false);
    if (o.shuffle && (l->order = ad_scope_array(g, (size_t)l->n * sizeof *l->order)) == NULL) return NULL;
    if (o.prefetch > 0 && l->x.copied) look_ahead(l);
    return ad_ok(g) ? l : NULL;
}

void nn_loader_close(nn_loader *l) {
    if (l != NULL) nn__prefetch_close(l->ahead);
}

/* ---- epochs ------------------------------------------------------------------------------------------------------ */

static uint64_t draw(nn_loader *l) {
    uint32_t bits[2];
    ad_random_bits(l->graph, 2, bits);
    return (uint64_t)bits[0] << 32 | bits[1];
}

/* Fisher and Yates, from the rows as they lie, so that an epoch's order depends on the random numbers
   alone. The remainder of 64 random bits favours no row by more than n / 2^64. */
static void shuffle(nn_loader *l) {
    for (int64_t i = 0; i < l->n; i++) l->order[i] = i;
    for (int64_t i = l->n - 1; i > 0; i--) {
        int64_t j = (int64_t)(draw(l) % (uint64_t)(i + 1)), t = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = t;
    }
}

/* From row at on. */
static void begin_epoch(nn_loader *l, int64_t at) {
    nn__prefetch_pause(l->ahead); /* order, key and begin are what it goes by */
    l->before = l->graph->random;
    if (l->order != NULL) shuffle(l);
    if (l->x.transformed) l->key = draw(l);
    l->at = l->begin = at;
    nn__prefetch_start(l->ahead, batches_from(l, at));
}

/* The next n rows: the data set's own memory where they lie together, else a copy; of `made`, if that is there. */
static ad_var *rows(const nn_loader *l, const source *s, int64_t n, const char *made) {
    ad_shape shape = { .ndim = s->row.ndim + 1, .dim = { n } };
    memcpy(shape.dim + 1, s->row.dim, (size_t)s->row.ndim * sizeof *shape.dim);
    if (!s->copied) return ad_input(l->graph, s->dtype, s->data + (size_t)l->at * s->size, shape);
    char *to = ad_scope_array(l->graph, (size_t)n * s->size);
    if (to != NULL && made != NULL) memcpy(to, made + s->offset, (size_t)n * s->size);
    else if (to != NULL) make_rows(l, s, l->at, n, to);
    return ad_input(l->graph, s->dtype, to, shape);
}

bool nn_loader_next(nn_loader *l, ad_var **x, ad_var **y) {
    *x = *y = ad_nil(l ? l->graph : NULL);
    if (l == NULL || !ad_ok(l->graph)) return false;
    int64_t n = rows_at(l, l->at);
    if (n == 0 || (n < l->opts.batch && l->opts.drop_last)) {
        l->at = 0;
        return false;
    }
    if (l->at == 0) begin_epoch(l, 0);
    const char *made = nn__prefetch_get(l->ahead, (l->at - l->begin) / l->opts.batch);
    ad_var *bx = rows(l, &l->x, n, made), *by = rows(l, &l->y, n, made);
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
    ad_random_state now = l->graph->random;
    l->graph->random = p.before;
    if (p.at > 0) begin_epoch(l, p.at);
    l->graph->random = now;
    l->at = p.at;
    return AD_OK;
}
