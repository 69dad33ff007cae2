/* loader.c: minibatches of a data set, in order or shuffled, made on demand or ahead of time by a thread. */
#include "nn/data/loader.h"

#include <math.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/data/prefetch.h"
#include "nn/data/shuffle.h"
#include "nn/module.h"
#include "ops/ops.h"

/* An input or y of the data set, as plain memory: the thread of prefetch must not use the graph. */
typedef struct {
    ad_dtype dtype;
    ad_shape row;     /* the shape of a row */
    size_t size;      /* bytes of a row */
    char *data;       /* read only; not const because ad_input takes it */
    bool copied;      /* minibatches are copies, as their rows are shuffled or transformed */
    bool transformed;
    size_t offset;    /* of its rows in a minibatch made by prefetch */
} source;

struct nn_loader {
    const nn_loader *self; /* its own address, which memory of a closed scope loses when it is used again */
    ad_graph *graph;
    nn_loader_opts opts;
    source *inputs, *y;     /* [n_inputs], of which y comes next */
    int n_inputs;
    int64_t rows, n;        /* rows of the data set, and of an epoch */
    double *sums;           /* [rows]: sums of the weights that rows are drawn by, or NULL */
    ad_var *weights;        /* [rows]: these weights, where each row is drawn once at most; else NULL */
    int64_t at;             /* the next row; 0 at the start of an epoch */
    int64_t *order;         /* [n]: the rows in the order of this epoch; NULL: the order of the data set */
    ad_random_state before; /* the graph's random numbers at the start of the epoch */
    uint64_t key;           /* seed of the transforms' random numbers in this epoch */
    nn__prefetch *ahead;    /* NULL: minibatches are made on demand */
    int64_t begin;          /* the row where item 0 of ahead begins */
    int64_t first, end, parts; /* the part of each minibatch that is given: see nn__loader_split */
    int64_t last, last_rows;   /* where the last minibatch begins in the epoch, and its rows */
};

/* ---- counts ------------------------------------------------------------------------------------------ */

/* Rows in the minibatch that begins at row `at`. */
static int64_t rows_at(const nn_loader *l, int64_t at) {
    int64_t left = l->n - at;
    return left < l->opts.batch ? left : l->opts.batch;
}

static int64_t batches_from(const nn_loader *l, int64_t at) {
    int64_t left = l->n - at;
    return left / l->opts.batch + (!l->opts.drop_last && left % l->opts.batch > 0);
}

/* Whether l is a loader of an open scope; otherwise the error is the graph's, if that is known. */
static bool is_open(const nn_loader *l, const char *caller) {
    if (l == NULL) return false;
    bool known = l->self == l;
    if (known && ad_scope_is_open(l->graph, l)) return true;
    ad_fail(known ? l->graph : NULL, AD_EGRAPH, "%s: the loader was made in a scope that is closed", caller);
    return false;
}

int64_t nn_loader_batches(const nn_loader *l) { return is_open(l, "loader_batches") ? batches_from(l, 0) : 0; }

/* What of the n rows of a minibatch is given. */
typedef struct {
    int64_t from, n;
    bool stands_in; /* there is nothing of it, and the first row is given */
} share;

static share share_of(const nn_loader *l, int64_t n) {
    int64_t from = l->first * n / l->parts, to = l->end * n / l->parts;
    return from < to ? (share){ from, to - from, false } : (share){ 0, n < 1 ? n : 1, true };
}

/* ---- gathering and transforming rows, on either thread ----------------------------------------------- */

/* Rows at .. at+n of the epoch. Each row has 2^32 blocks of random numbers of its own, whichever minibatch it is in. */
static void make_rows(const nn_loader *l, const source *s, int64_t at, int64_t n, char *to) {
    for (int64_t i = at; i < at + n; i++, to += s->size) {
        const char *from = s->data + (size_t)(l->order ? l->order[i] : i) * s->size;
        ad_random_state r = { l->key, (uint64_t)i << 32 };
        if (s->transformed) l->opts.transform(s->dtype, s->row, from, to, &r, l->opts.transform_data);
        else memcpy(to, from, s->size);
    }
}

/* An nn__make_fn. */
static void make_ahead(const void *loader, int64_t item, void *to) {
    const nn_loader *l = loader;
    int64_t at = l->begin + item * l->opts.batch;
    share s = share_of(l, rows_at(l, at));
    for (const source *from = l->inputs; from <= l->y; from++)
        if (from->copied) make_rows(l, from, at + s.from, s.n, (char *)to + from->offset);
}

/* ---- making a loader --------------------------------------------------------------------------------- */

static int64_t rows_of(const ad_var *x) {
    ad_shape s = ad_shape_of(x);
    return s.ndim > 0 ? s.dim[0] : -1;
}

static int check(ad_graph *g, nn_dataset d, nn_loader_opts o) {
    if (ad_is_nil(d.x) || ad_is_nil(d.y)) return ad_fail(g, AD_EVALUE, "loader: x or y of the data set is nil");
    int64_t x = rows_of(d.x), y = rows_of(d.y);
    if (x < 0 || y < 0)
        return ad_fail(g, AD_ESHAPE, "loader: x or y of the data set is a scalar; both need one row per sample");
    if (x != y)
        return ad_fail(g, AD_ESHAPE, "loader: x has %lld rows and y has %lld; both need one row per sample",
                       (long long)x, (long long)y);
    if (o.batch < 1) return ad_fail(g, AD_EVALUE, "loader: batch %lld: it must be at least 1", (long long)o.batch);
    if (o.prefetch < 0)
        return ad_fail(g, AD_EVALUE, "loader: prefetch %lld: it must be at least 0", (long long)o.prefetch);
    if (o.draws < 0 || o.draws > INT64_MAX / 16)
        return ad_fail(g, AD_EVALUE, "loader: draws %lld: it must be in 0 .. 2^59", (long long)o.draws);
    if ((o.draws > 0 || o.draw_once) && o.draw_weights == NULL)
        return ad_fail(g, AD_EVALUE, "loader: draws and draw_once have a meaning with draw_weights only");
    if (o.draw_once && x > (int64_t)1 << 24) /* ad_multinomial has no more classes */
        return ad_fail(g, AD_EVALUE, "loader: draw_once from %lld rows: 2^24 at most", (long long)x);
    if (o.draw_weights != NULL && o.in_order)
        return ad_fail(g, AD_EVALUE, "loader: rows are drawn by draw_weights, or they are in_order");
    return AD_OK;
}

/* possible: the rows of a weight above 0. */
static void begin_draws_once(nn_loader *l, int64_t possible) {
    ad_graph *g = l->graph;
    const ad_var *w = l->opts.draw_weights;
    if (l->n > possible)
        ad_fail(g, AD_EVALUE, "loader: %lld draws of %lld rows with a draw_weight above 0; with draw_once they are no "
                "more than these", (long long)l->n, (long long)possible);
    else l->weights = ad_tensor(g, ad_dtype_of(w), ad_data(w), ad_shape_of(w));
}

/* Reads the weights that rows are drawn by. */
static int begin_draws(nn_loader *l) {
    ad_graph *g = l->graph;
    const ad_var *w = l->opts.draw_weights;
    if (ad_is_nil(w)) return ad_fail(g, AD_EVALUE, "loader: draw_weights are nil");
    if (!ad_shape_equal(ad_shape_of(w), AD_SHAPE(l->rows)))
        return ad_fail(g, AD_ESHAPE, "loader: draw_weights are %s; they must be [%lld], one for each row",
                       ad_shape_str(ad_shape_of(w)).text, (long long)l->rows);
    l->sums = ad_scope_array(g, (size_t)l->rows * sizeof *l->sums);
    double sum = 0;
    int64_t possible = 0;
    for (int64_t i = 0; i < l->rows && l->sums != NULL; i++) {
        double x = ad_at(w, i);
        if (!(x >= 0 && x < INFINITY))
            return ad_fail(g, AD_EVALUE, "loader: draw_weights of row %lld is %g; it must be 0 or more and finite",
                           (long long)i, x);
        l->sums[i] = sum += x;
        possible += x > 0;
    }
    if (ad_ok(g) && !(sum > 0 && sum < INFINITY))
        return ad_fail(g, AD_EVALUE, "loader: the sum of draw_weights is %g; it must be above 0 and finite", sum);
    if (ad_ok(g) && l->opts.draw_once) begin_draws_once(l, possible);
    return ad_error_code(g);
}

/* The graph of the data tells that none was given to the loader. */
static void refuse_no_graph(nn_dataset d) {
    ad_graph *g = ad_graph_of(d.x) ? ad_graph_of(d.x) : ad_graph_of(d.y);
    if (ad_ok(g)) ad_fail(g, AD_EVALUE, "loader: the graph is NULL");
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

/* A prefetched minibatch is its rows of all sources that are copied. */
static void begin_prefetch(nn_loader *l) {
    int64_t all = nn_loader_batches(l), most = l->opts.prefetch < all ? l->opts.prefetch : all;
    size_t size = 0;
    for (source *s = l->inputs; s <= l->y; s++) {
        s->offset = size;
        if (s->copied) size += ((size_t)rows_at(l, 0) * s->size + AD_ALIGNMENT - 1) / AD_ALIGNMENT * AD_ALIGNMENT;
    }
    l->ahead = nn__prefetch_new(l->graph, most, size, make_ahead, l);
}

static int begin_sources(nn_loader *l, nn_dataset data) {
    int n = l->n_inputs = nn_input_count(data.x);
    l->inputs = ad_scope_alloc(l->graph, (size_t)(n + 1) * sizeof *l->inputs);
    if (l->inputs == NULL) return AD_ENOMEM;
    bool shuffled = !l->opts.in_order;
    for (int i = 0; i < n; i++)
        l->inputs[i] = source_of(nn_input_at(data.x, i), shuffled, i == 0 && l->opts.transform != NULL);
    l->y = l->inputs + n;
    *l->y = source_of(data.y, shuffled, false);
    return AD_OK;
}

nn_loader *nn_loader_new(ad_graph *g, nn_dataset data, nn_loader_opts o) {
    o.batch = ad_option_int(o.batch, 0);
    o.prefetch = ad_option_int(o.prefetch, 0);
    if (g == NULL) return refuse_no_graph(data), NULL;
    if (!ad_ok(g) || check(g, data, o) != AD_OK) return NULL;
    nn_loader *l = ad_scope_alloc(g, sizeof *l);
    if (l == NULL) return NULL;
    *l = (nn_loader){ .self = l, .graph = g, .opts = o, .rows = rows_of(data.x), .end = 1, .parts = 1 };
    l->n = o.draws > 0 ? o.draws : l->rows;
    if (o.draw_weights != NULL && begin_draws(l) != AD_OK) return NULL;
    if (begin_sources(l, data) != AD_OK) return NULL;
    if (!o.in_order && (l->order = ad_scope_array(g, (size_t)l->n * sizeof *l->order)) == NULL) return NULL;
    if (o.prefetch > 0 && l->inputs->copied) begin_prefetch(l);
    return ad_ok(g) ? l : NULL;
}

void nn_loader_close(nn_loader *l) {
    if (l != NULL && l->self == l && ad_scope_is_open(l->graph, l)) nn__prefetch_close(l->ahead);
}

/* ---- epochs ------------------------------------------------------------------------------------------ */

/* Sets the order; rows are 0 after an error. */
static void draw_once(const nn_loader *l) {
    ad_mark m = ad_begin(l->graph);
    ad_var *rows = ad_multinomial(l->weights, l->n, false);
    for (int64_t i = 0; i < l->n; i++) l->order[i] = ad_ok(l->graph) ? (int64_t)ad_at(rows, i) : 0;
    ad_end(l->graph, m);
}

/* Starts an epoch and skips its rows before `at`. */
static void begin_epoch(nn_loader *l, int64_t at) {
    nn__prefetch_pause(l->ahead); /* its thread reads order, key and begin */
    l->before = ad_random_get(l->graph);
    if (l->weights != NULL) draw_once(l);
    else if (l->sums != NULL) nn__draw(l->graph, l->n, l->rows, l->sums, l->order);
    else if (l->order != NULL) nn__shuffle(l->graph, l->n, l->order);
    if (l->inputs->transformed) l->key = nn__random_word(l->graph);
    l->at = l->begin = at;
    nn__prefetch_start(l->ahead, batches_from(l, at));
}

/* n rows from `at` on: in the data set's own memory, or a copy; made: the prefetched minibatch, or NULL. */
static ad_var *rows(const nn_loader *l, const source *s, int64_t at, int64_t n, const char *made) {
    ad_shape shape = { .ndim = s->row.ndim + 1, .dim = { n } };
    memcpy(shape.dim + 1, s->row.dim, (size_t)s->row.ndim * sizeof *shape.dim);
    if (!s->copied) return ad_input(l->graph, s->dtype, s->data + (size_t)at * s->size, shape);
    char *to = ad_scope_array(l->graph, (size_t)n * s->size);
    if (to == NULL) return ad_nil(l->graph);
    if (made != NULL) memcpy(to, made + s->offset, (size_t)n * s->size);
    else make_rows(l, s, at, n, to);
    return ad_input(l->graph, s->dtype, to, shape);
}

/* The same of all inputs. */
static ad_var *inputs(const nn_loader *l, int64_t at, int64_t n, const char *made) {
    ad_var *each[NN_MOST_INPUTS];
    for (int i = 0; i < l->n_inputs; i++) each[i] = rows(l, &l->inputs[i], at, n, made);
    return nn_inputs(l->n_inputs, each);
}

/* The rows of the next minibatch; 0 at the end of the epoch. */
static int64_t rows_left(const nn_loader *l) {
    int64_t n = rows_at(l, l->at);
    return n < l->opts.batch && l->opts.drop_last ? 0 : n;
}

bool nn_loader_next(nn_loader *l, ad_var **x, ad_var **y) {
    ad_graph *g = l != NULL && l->self == l ? l->graph : NULL;
    if (x != NULL) *x = ad_nil(g);
    if (y != NULL) *y = ad_nil(g);
    if (!is_open(l, "loader_next") || !ad_ok(g)) return false;
    if (x == NULL || y == NULL) return ad_fail(g, AD_EVALUE, "loader_next: x or y is NULL"), false;
    int64_t n = rows_left(l);
    if (n == 0) {
        l->at = 0;
        return false;
    }
    if (l->at == 0) begin_epoch(l, 0);
    const char *made = nn__prefetch_get(l->ahead, (l->at - l->begin) / l->opts.batch);
    share part = share_of(l, n);
    int64_t at = l->at + part.from;
    ad_var *xs = inputs(l, at, part.n, made), *ys = rows(l, l->y, at, part.n, made);
    if (!ad_ok(g)) return false;
    *x = xs;
    *y = ys;
    l->last = l->at, l->last_rows = n;
    l->at += n;
    return true;
}

/* ---- checkpoints ------------------------------------------------------------------------------------- */

bool nn__loader_has_more(const nn_loader *l) { return rows_left(l) > 0; }

ad_var *nn__loader_pick(const nn_loader *l, const ad_var *w, int64_t n) {
    ad_var *to = ad_zeros(l->graph, ad_dtype_of(w), AD_SHAPE(n));
    void *values = ad_ok(l->graph) ? ad_data_mut(to) : NULL;
    for (int64_t i = 0, at = l->last + share_of(l, l->last_rows).from; i < n && values != NULL; i++, at++)
        ad_write_element(ad_dtype_of(w), values, i, ad_at(w, l->order ? l->order[at] : at));
    return to;
}

double nn__loader_weight(const nn_loader *l, const ad_var *w) {
    if (w == NULL) return (double)l->last_rows;
    double sum = 0;
    for (int64_t at = l->last; at < l->last + l->last_rows; at++) sum += ad_at(w, l->order ? l->order[at] : at);
    return sum;
}

void nn__loader_split(nn_loader *l, int64_t first, int64_t end, int64_t parts) {
    l->first = first, l->end = end, l->parts = parts;
}

bool nn__loader_stands_in(const nn_loader *l) { return share_of(l, l->last_rows).stands_in; }

nn__loader_place nn__loader_where(const nn_loader *l) { return (nn__loader_place){ l->at, l->before }; }

int nn__loader_go(nn_loader *l, nn__loader_place p) {
    if (p.at < 0 || p.at > l->n)
        return ad_fail(l->graph, AD_EVALUE, "loader: cannot continue at row %lld: an epoch has %lld",
                       (long long)p.at, (long long)l->n);
    ad_random_state now = ad_random_get(l->graph);
    ad_random_set(l->graph, p.before);
    if (p.at > 0) begin_epoch(l, p.at);
    ad_random_set(l->graph, now);
    l->at = p.at;
    return AD_OK;
}
