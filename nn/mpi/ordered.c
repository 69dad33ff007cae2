/* ordered.c: the sum of the gradients of blocks 0, 1, 2 .. as a binary tree: blocks 2 k and 2 k + 1 are added, then the
   pairs, and so on, where there are two of them. A rank adds up what of its own blocks are whole branches. Then each
   rank gets a part of all branches, adds these up, and gives the result to the others: twice the gradient's bytes, as
   in a ring, if each rank has one branch. */
#include "nn/mpi/ordered.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"

enum { TAG_RESULT = 30000 };

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

/* y += x */
static void add_f32(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}
static void add_f64(int64_t n, const double *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}
static void add(ad_dtype t, int64_t n, const void *x, void *y) {
    if (t == AD_F32) add_f32(n, x, y);
    else add_f64(n, x, y);
}

static bool are_siblings(const nn__branch *left, const nn__branch *right) {
    int64_t size = (int64_t)1 << left->level;
    return left->level == right->level && left->first + size == right->first && left->first % (2 * size) == 0;
}

/* The branches that blocks first .. end-1 add up to: fewest and from the left. */
static int branches_of(int64_t first, int64_t end, nn__branch to[]) {
    int n = 0;
    while (first < end) {
        int level = 0;
        while (first % ((int64_t)2 << level) == 0 && first + ((int64_t)2 << level) <= end) level++;
        to[n++] = (nn__branch){ .first = first, .level = level };
        first += (int64_t)1 << level;
    }
    return n;
}

static int of_rank(const nn__ordered *d, int rank, nn__branch to[]) {
    return branches_of(rank * d->blocks / d->comm->size, (rank + 1) * d->blocks / d->comm->size, to);
}

/* ---- this rank's blocks ------------------------------------------------------------------------------------------ */

void nn__ordered_open(nn__ordered *d, nn__comm *c, int64_t blocks) {
    *d = (nn__ordered){ .comm = c, .blocks = blocks };
}

static void drop(nn__ordered *d) {
    for (int i = 0; i < d->spare; i++) free(d->buffers[i]);
    d->spare = 0;
}

static void clear(nn__ordered *d) {
    while (d->branches > 0) d->buffers[d->spare++] = d->branch[--d->branches].elements;
}

void nn__ordered_close(nn__ordered *d) {
    if (d->comm->lost) return;
    clear(d);
    drop(d);
}

static char *take(nn__ordered *d, ad_graph *g) {
    if (d->spare > 0) return d->buffers[--d->spare];
    char *buffer = aligned_alloc(64, (d->bytes + 127) / 64 * 64);
    if (buffer == NULL) ad_no_memory(g, "the gradients of a block", d->bytes);
    return buffer;
}

int nn__ordered_begin(ad_graph *g, int n, ad_var *const xs[], double scale, void *ordered) {
    nn__ordered *d = ordered;
    (void)g, (void)scale;
    clear(d);
    d->n = n, d->xs = xs, d->count[AD_F32] = d->count[AD_F64] = 0;
    for (int i = 0; i < n; i++) d->count[ad_dtype_of(xs[i])] += ad_numel(xs[i]);
    size_t bytes = (size_t)d->count[AD_F64] * sizeof(double) + ((size_t)d->count[AD_F32] * sizeof(float) + 7) / 8 * 8;
    if (bytes != d->bytes) drop(d);
    d->bytes = bytes;
    return AD_OK;
}

/* Where the elements of a dtype are in a buffer. */
static char *elements_of(const nn__ordered *d, char *buffer, ad_dtype t) {
    return buffer + (t == AD_F64 ? ((size_t)d->count[AD_F32] * sizeof(float) + 7) / 8 * 8 : 0);
}

static void copy_scaled(ad_dtype t, int64_t n, double k, const void *from, void *to) {
    const float *f = from;
    const double *r = from;
    if (t == AD_F32)
        for (int64_t i = 0; i < n; i++) ((float *)to)[i] = (float)k * f[i];
    else
        for (int64_t i = 0; i < n; i++) ((double *)to)[i] = k * r[i];
}

static void pack(const nn__ordered *d, double scale, char *to) {
    int64_t at[2] = { 0, 0 };
    for (int i = 0; i < d->n; i++) {
        ad_var *x = d->xs[i];
        ad_dtype t = ad_dtype_of(x);
        char *place = elements_of(d, to, t) + (size_t)at[t] * ad_dtype_size(t);
        if (scale == 0 || !ad_has_grad(x)) memset(place, 0, ad_bytes_of(x));
        else copy_scaled(t, ad_numel(x), scale, ad_grad(x), place);
        at[t] += ad_numel(x);
    }
}

static void unpack(const nn__ordered *d, char *from) {
    int64_t at[2] = { 0, 0 };
    for (int i = 0; i < d->n; i++) {
        ad_var *x = d->xs[i];
        ad_dtype t = ad_dtype_of(x);
        memcpy(ad_grad_mut(x), elements_of(d, from, t) + (size_t)at[t] * ad_dtype_size(t), ad_bytes_of(x));
        at[t] += ad_numel(x);
    }
}

int nn__ordered_add(ad_graph *g, int64_t block, double scale, void *ordered) {
    nn__ordered *d = ordered;
    if (!ad_ok(g) || d->comm->ended) return ad_error_code(g);
    char *buffer = take(d, g);
    if (buffer == NULL) return AD_ENOMEM;
    pack(d, scale, buffer);
    d->branch[d->branches++] = (nn__branch){ block, 0, buffer };
    while (d->branches > 1 && are_siblings(&d->branch[d->branches - 2], &d->branch[d->branches - 1])) {
        nn__branch *left = &d->branch[d->branches - 2], *right = left + 1;
        for (int t = AD_F32; t <= AD_F64; t++)
            add((ad_dtype)t, d->count[t], elements_of(d, right->elements, (ad_dtype)t),
                elements_of(d, left->elements, (ad_dtype)t));
        d->buffers[d->spare++] = right->elements;
        left->level++;
        d->branches--;
    }
    return AD_OK;
}

/* ---- the exchange ------------------------------------------------------------------------------------------------ */

/* The part of the elements of one dtype that a rank adds up. */
typedef struct {
    ad_dtype t;
    int64_t from, n;
} span;

static span span_of(const nn__ordered *d, int t, int rank) {
    int64_t n = d->count[t], from = rank * n / d->comm->size, to = (rank + 1) * n / d->comm->size;
    return (span){ (ad_dtype)t, from, to - from };
}

static char *at_span(const nn__ordered *d, char *buffer, span s) {
    return elements_of(d, buffer, s.t) + (size_t)s.from * ad_dtype_size(s.t);
}

/* An exchange under way: the branches of all ranks in their order, with this rank's span of each. */
typedef struct {
    nn__ordered *d;
    ad_graph *g;
    int rc, n, n_all;
    MPI_Request *requests;
    nn__branch *all;
    char *received; /* the branches of other ranks: this rank's spans of both dtypes */
} exchange;

static void check(exchange *e, int rc) {
    if (rc != MPI_SUCCESS && e->rc == AD_OK) e->rc = nn__comm_fail(e->d->comm, e->g, rc, "exchanging gradients");
}

static void send(exchange *e, char *buffer, span s, int to, int tag) {
    if (s.n == 0 || e->rc != AD_OK) return;
    e->d->comm->figures.bytes += (double)s.n * (double)ad_dtype_size(s.t);
    e->d->comm->figures.messages++;
    check(e, MPI_Isend(buffer, (int)s.n, nn__mpi_type(s.t), to, tag, e->d->comm->bulk, &e->requests[e->n++]));
}

static void receive(exchange *e, char *buffer, span s, int from, int tag) {
    if (s.n == 0 || e->rc != AD_OK) return;
    check(e, MPI_Irecv(buffer, (int)s.n, nn__mpi_type(s.t), from, tag, e->d->comm->bulk, &e->requests[e->n++]));
}

static int wait(exchange *e) {
    if (e->rc == AD_OK) e->rc = nn__comm_wait(e->d->comm, e->g, e->n, e->requests);
    e->n = 0;
    return e->rc;
}

static size_t span_bytes(const nn__ordered *d) {
    size_t bytes = 0;
    for (int t = AD_F32; t <= AD_F64; t++)
        bytes += ((size_t)span_of(d, t, d->comm->rank).n * ad_dtype_size((ad_dtype)t) + 7) / 8 * 8;
    return bytes;
}

/* Where this rank's span of a branch is: in the branch if it is its own, else among what was received. */
static char *place_of(const exchange *e, const nn__branch *b, int t, bool own) {
    const nn__ordered *d = e->d;
    if (own) return at_span(d, b->elements, span_of(d, t, d->comm->rank));
    size_t f32 = ((size_t)span_of(d, AD_F32, d->comm->rank).n * sizeof(float) + 7) / 8 * 8;
    return b->elements + (t == AD_F64 ? f32 : 0);
}

static void exchange_branches(exchange *e) {
    nn__ordered *d = e->d;
    nn__branch of[NN__BRANCHES];
    size_t each = span_bytes(d);
    char *next = e->received;
    for (int r = 0; r < d->comm->size; r++) {
        int n = of_rank(d, r, of);
        for (int k = 0; k < n; k++) {
            bool own = r == d->comm->rank;
            nn__branch *b = &e->all[e->n_all++];
            *b = own ? d->branch[k] : (nn__branch){ of[k].first, of[k].level, next };
            next += own ? 0 : each;
            for (int t = AD_F32; t <= AD_F64 && !own; t++)
                receive(e, place_of(e, b, t, false), span_of(d, t, d->comm->rank), r, 2 * k + t);
        }
        for (int k = 0; k < d->branches && r != d->comm->rank; k++)
            for (int t = AD_F32; t <= AD_F64; t++) {
                span s = span_of(d, t, r);
                send(e, at_span(d, d->branch[k].elements, s), s, r, 2 * k + t);
            }
    }
}

static bool is_own(const exchange *e, const nn__branch *b) {
    const nn__ordered *d = e->d;
    return b->first >= d->comm->rank * d->blocks / d->comm->size &&
           b->first < (d->comm->rank + 1) * d->blocks / d->comm->size;
}

static void add_spans(const exchange *e, const nn__branch *right, const nn__branch *left) {
    for (int t = AD_F32; t <= AD_F64; t++)
        add((ad_dtype)t, span_of(e->d, t, e->d->comm->rank).n, place_of(e, right, t, is_own(e, right)),
            place_of(e, left, t, is_own(e, left)));
}

/* Adds up all branches; the sum is in the first one. The last ones may have no sibling: they are added from the
   right. */
static void add_branches(exchange *e) {
    nn__branch stack[NN__BRANCHES];
    int n = 0;
    for (int i = 0; i < e->n_all; i++) {
        stack[n++] = e->all[i];
        for (; n > 1 && are_siblings(&stack[n - 2], &stack[n - 1]); n--) {
            add_spans(e, &stack[n - 1], &stack[n - 2]);
            stack[n - 2].level++;
        }
    }
    for (; n > 1; n--) add_spans(e, &stack[n - 1], &stack[n - 2]);
}

/* Gives this rank's span of the sum to all, and gets theirs, in result. */
static void exchange_sums(exchange *e, char *result) {
    nn__ordered *d = e->d;
    int own = d->comm->rank;
    for (int t = AD_F32; t <= AD_F64; t++) {
        span s = span_of(d, t, own);
        char *mine = at_span(d, result, s);
        if (s.n > 0) memcpy(mine, place_of(e, &e->all[0], t, is_own(e, &e->all[0])), (size_t)s.n * ad_dtype_size(s.t));
        for (int r = 0; r < d->comm->size; r++) {
            if (r == own) continue;
            span of = span_of(d, t, r);
            receive(e, at_span(d, result, of), of, r, TAG_RESULT + t);
            send(e, mine, s, r, TAG_RESULT + t);
        }
    }
}

static int branches_of_others(const nn__ordered *d) {
    nn__branch of[NN__BRANCHES];
    int n = 0;
    for (int r = 0; r < d->comm->size; r++) n += r == d->comm->rank ? 0 : of_rank(d, r, of);
    return n;
}

static int run_exchange(nn__ordered *d, ad_graph *g, char *result) {
    int others = branches_of_others(d), size = d->comm->size;
    exchange e = { .d = d, .g = g };
    e.requests = malloc(((size_t)(size * (d->branches + 2) + others) * 2 + 1) * sizeof *e.requests);
    e.all = malloc((size_t)(others + d->branches + 1) * sizeof *e.all);
    e.received = malloc((size_t)others * span_bytes(d) + 1);
    if (e.requests && e.all && e.received) {
        exchange_branches(&e);
        if (wait(&e) == AD_OK) {
            add_branches(&e);
            exchange_sums(&e, result);
            wait(&e);
        }
    } else e.rc = ad_no_memory(g, "the gradients of other ranks", (size_t)others * span_bytes(d));
    if (!d->comm->lost) free(e.requests), free(e.all), free(e.received);
    return e.rc;
}

int nn__ordered_finish(ad_graph *g, int64_t n, double *values, void *ordered) {
    nn__ordered *d = ordered;
    int64_t largest = (d->count[0] > d->count[1] ? d->count[0] : d->count[1]) / d->comm->size + 1;
    if (ad_ok(g) && largest > INT_MAX) ad_fail(g, AD_EVALUE, "mpi: more than 2^31 parameters of a rank");
    char *result = ad_ok(g) ? take(d, g) : NULL;
    int rc = nn__comm_sum(g, n, values, d->comm);
    double start = MPI_Wtime();
    if (rc == AD_OK) rc = run_exchange(d, g, result);
    if (rc == AD_OK) unpack(d, result);
    if (result != NULL && !d->comm->lost) d->buffers[d->spare++] = result;
    d->comm->figures.waited += MPI_Wtime() - start;
    d->comm->figures.steps++;
    return rc;
}
