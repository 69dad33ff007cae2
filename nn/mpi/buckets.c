/* buckets.c: gradients added up over ranks by non-blocking operations, which begin while backward runs. */
#include "nn/mpi/buckets.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"

/* ---- which leaf is in which bucket ------------------------------------------------------------------------------- */

static bool fits(const nn__buckets *b, const nn__bucket *k, const ad_var *x) {
    size_t bytes = (size_t)k->n * ad_dtype_size(k->dtype);
    return k->dtype == ad_dtype_of(x) && bytes + ad_bytes_of(x) <= b->most;
}

/* Backward completes the last leaves first, so buckets begin there. */
static void fill_buckets(nn__buckets *b, ad_var *const xs[]) {
    b->n_buckets = 0;
    for (int i = b->n - 1; i >= 0; i--) {
        nn__bucket *k = b->n_buckets > 0 ? &b->buckets[b->n_buckets - 1] : NULL;
        if (k == NULL || !fits(b, k, xs[i])) {
            k = &b->buckets[b->n_buckets++];
            *k = (nn__bucket){ .dtype = ad_dtype_of(xs[i]) };
        }
        b->items[i] = (nn__item){ .x = xs[i], .bucket = b->n_buckets - 1, .at = k->n };
        k->n += ad_numel(xs[i]);
        k->items++;
    }
}

static size_t place_buckets(nn__buckets *b) {
    size_t bytes = 0;
    for (int i = 0; i < b->n_buckets; i++) {
        nn__bucket *k = &b->buckets[i];
        k->offset = bytes;
        if (k->items > 1) bytes += ((size_t)k->n * ad_dtype_size(k->dtype) + 63) / 64 * 64;
    }
    return bytes;
}

static void sort_by_address(nn__buckets *b) {
    for (int i = 0; i < b->n; i++) {
        int k = i;
        for (; k > 0 && b->items[b->by_address[k - 1]].x > b->items[i].x; k--) b->by_address[k] = b->by_address[k - 1];
        b->by_address[k] = i;
    }
}

static nn__item *find(nn__buckets *b, const ad_var *x) {
    int from = 0, to = b->n;
    while (from < to) {
        int middle = from + (to - from) / 2;
        if (b->items[b->by_address[middle]].x < x) from = middle + 1;
        else to = middle;
    }
    return from < b->n && b->items[b->by_address[from]].x == x ? &b->items[b->by_address[from]] : NULL;
}

static bool is_laid_out(const nn__buckets *b, int n, ad_var *const xs[]) {
    bool same = n == b->n && b->items != NULL;
    for (int i = 0; i < n && same; i++) same = b->items[i].x == xs[i];
    return same;
}

static void drop(nn__buckets *b) {
    free(b->items), free(b->by_address), free(b->buckets), free(b->requests), free(b->memory);
    b->items = NULL, b->by_address = NULL, b->buckets = NULL, b->requests = NULL, b->memory = NULL;
    b->n = b->n_buckets = 0;
}

static int lay_out(nn__buckets *b, ad_graph *g, int n, ad_var *const xs[]) {
    size_t room = (size_t)n + 1;
    drop(b);
    b->items = malloc(room * sizeof *b->items);
    b->by_address = malloc(room * sizeof *b->by_address);
    b->buckets = malloc(room * sizeof *b->buckets);
    b->requests = malloc(room * sizeof(MPI_Request));
    if (!b->items || !b->by_address || !b->buckets || !b->requests) return ad_no_memory(g, "a list of gradients", room);
    b->n = n;
    fill_buckets(b, xs);
    sort_by_address(b);
    size_t bytes = place_buckets(b);
    b->memory = aligned_alloc(64, bytes + 64);
    if (b->memory == NULL) b->n_buckets = 0;
    return b->memory != NULL ? AD_OK : ad_no_memory(g, "buckets of gradients", bytes);
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

/* Operations that may still be under way keep their memory. */
void nn__buckets_close(nn__buckets *b) {
    if (!b->comm->lost) drop(b);
}

int nn__buckets_begin(ad_graph *g, int n, ad_var *const xs[], double scale, void *buckets) {
    nn__buckets *b = buckets;
    b->g = g, b->scale = scale, b->begun = 0;
    if (!is_laid_out(b, n, xs) && lay_out(b, g, n, xs) != AD_OK) return AD_ENOMEM;
    for (int i = 0; i < n; i++) b->items[i].filled = false;
    for (int i = 0; i < b->n_buckets; i++) {
        b->buckets[i].waiting = b->buckets[i].items;
        b->buckets[i].elements = b->memory + b->buckets[i].offset;
        b->requests[i] = MPI_REQUEST_NULL;
    }
    return AD_OK;
}

static void scale_f32(int64_t n, float k, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = k * x[i];
}
static void scale_f64(int64_t n, double k, const double *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = k * x[i];
}

/* to = scale times the gradient of x, which may be to itself. */
static void fill(const nn__buckets *b, ad_var *x, void *to) {
    bool none = b->scale == 0 || !ad_has_grad(x);
    const void *from = none ? NULL : ad_grad(x);
    int64_t n = ad_numel(x);
    if (none) memset(to, 0, ad_bytes_of(x));
    else if (b->scale == 1 && from != to) memcpy(to, from, ad_bytes_of(x));
    else if (b->scale != 1 && ad_dtype_of(x) == AD_F32) scale_f32(n, (float)b->scale, from, to);
    else if (b->scale != 1) scale_f64(n, b->scale, from, to);
}

static void fill_item(nn__buckets *b, nn__item *i) {
    nn__bucket *k = &b->buckets[i->bucket];
    if (i->filled) return;
    if (k->items == 1) k->elements = (void *)ad_grad(i->x); /* which is no gradient if none has come */
    fill(b, i->x, (char *)k->elements + (size_t)i->at * ad_dtype_size(k->dtype));
    i->filled = true;
    k->waiting--;
}

/* Of b bytes over n ranks, a ring sends 2 b (n - 1) / n from each. */
static void count_bytes(nn__comm *c, double bytes) {
    c->figures.bytes += 2 * bytes * (c->size - 1) / c->size;
    c->figures.messages++;
}

static int begin_next(nn__buckets *b) {
    nn__bucket *k = &b->buckets[b->begun];
    int rc = k->n > INT_MAX ? MPI_ERR_COUNT
                            : MPI_Iallreduce(MPI_IN_PLACE, k->elements, (int)k->n, nn__mpi_type(k->dtype), MPI_SUM,
                                             b->comm->bulk, &b->requests[b->begun]);
    if (rc != MPI_SUCCESS) return nn__comm_fail(b->comm, b->g, rc, "adding up gradients");
    count_bytes(b->comm, (double)k->n * (double)ad_dtype_size(k->dtype));
    b->begun++;
    return AD_OK;
}

/* Begins with the buckets that are complete, in their order, which is the same on all ranks. MPI goes on with those
   that are under way. */
static void begin_complete(nn__buckets *b) {
    int done;
    while (b->begun < b->n_buckets && b->buckets[b->begun].waiting == 0)
        if (begin_next(b) != AD_OK) return;
    if (b->begun > 0) MPI_Testall(b->begun, b->requests, &done, MPI_STATUSES_IGNORE);
}

void nn__buckets_ready(ad_var *x, void *buckets) {
    nn__buckets *b = buckets;
    nn__item *i = find(b, x);
    if (i == NULL || !b->overlap || b->comm->ended) return;
    fill_item(b, i);
    begin_complete(b);
}

/* ---- the end of a step ------------------------------------------------------------------------------------------- */

static int64_t begun(void *buckets) { return ((nn__buckets *)buckets)->begun; }

/* After an error of some rank: what others have begun is begun here too, with whatever is there, and ends. */
static void end_all(ad_graph *g, int64_t to_begin, void *buckets) {
    nn__buckets *b = buckets;
    for (int i = 0; i < b->n_buckets; i++)
        if (b->buckets[i].items == 1 && b->begun <= i)
            for (int k = 0; k < b->n; k++)
                if (b->items[k].bucket == i) b->buckets[i].elements = (void *)ad_grad(b->items[k].x);
    while (b->begun < to_begin && b->begun < b->n_buckets && begin_next(b) == AD_OK) {}
    nn__comm_wait(b->comm, g, b->begun, b->requests);
}

void nn__buckets_open(nn__buckets *b, nn__comm *c, nn_mpi_opts o) {
    *b = (nn__buckets){ .comm = c, .overlap = !o.no_overlap, .most = (size_t)ad_option_int(o.bucket, 262144) };
    c->begun = begun, c->end = end_all, c->bulk_data = b;
}

static void put_back(nn__buckets *b) {
    for (int i = 0; i < b->n; i++) {
        const nn__item *it = &b->items[i];
        const nn__bucket *k = &b->buckets[it->bucket];
        const char *from = (const char *)k->elements + (size_t)it->at * ad_dtype_size(k->dtype);
        void *to = ad_grad_mut(it->x);
        if (to != from) memcpy(to, from, ad_bytes_of(it->x));
    }
}

int nn__buckets_finish(ad_graph *g, int64_t n, double *values, void *buckets) {
    nn__buckets *b = buckets;
    nn__comm *c = b->comm;
    if (ad_ok(g) && !c->ended) {
        for (int i = b->n - 1; i >= 0; i--) fill_item(b, &b->items[i]);
        begin_complete(b);
    }
    int rc = nn__comm_sum(g, n, values, c);
    double start = MPI_Wtime();
    if (rc == AD_OK) rc = nn__comm_wait(c, g, b->n_buckets, b->requests);
    c->figures.waited += MPI_Wtime() - start;
    c->figures.steps++;
    if (rc == AD_OK) put_back(b);
    b->begun = 0;
    return rc;
}
