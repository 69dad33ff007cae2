/* fuse.c: joins nests that run over the same indices, so that one loop does their work. */
#include <stdlib.h>
#include <string.h>

#include "ops/compile/source.h"

/* ---- axes -------------------------------------------------------------------------------------------------------- */

static void drop_axis(ad__nest *n, int d) {
    for (int k = d; k + 1 < n->ndim; k++) {
        n->dim[k] = n->dim[k + 1];
        for (int i = 0; i <= n->n; i++) ad__map_at(n, i)->stride[k] = ad__map_at(n, i)->stride[k + 1];
    }
    n->ndim--;
}

static void swap_axes(ad__nest *n, int a, int b) {
    int64_t dim = n->dim[a];
    n->dim[a] = n->dim[b], n->dim[b] = dim;
    for (int i = 0; i <= n->n; i++) {
        int64_t *s = ad__map_at(n, i)->stride, t = s[a];
        s[a] = s[b], s[b] = t;
    }
}

/* Whether each map goes from the end of axis d + 1 to the next index of axis d as from one index of d + 1 to the
   next. */
static bool is_one_axis(ad__nest *n, int d) {
    for (int i = 0; i <= n->n; i++) {
        const ad__map *m = ad__map_at(n, i);
        if (m->stride[d] != m->stride[d + 1] * n->dim[d + 1]) return false;
    }
    return true;
}

void ad__merge_axes(int k, ad__nest *n, int from) {
    for (int d = n[0].ndim - 1; d-- > from;) {
        bool one = true;
        for (int i = 0; i < k && one; i++) one = is_one_axis(&n[i], d);
        for (int i = 0; i < k && one; i++) n[i].dim[d + 1] *= n[i].dim[d], drop_axis(&n[i], d);
    }
}

void ad__split_axis(ad__nest *n, const ad__nest *like) {
    for (int i = 0; i <= n->n; i++) {
        ad__map *m = ad__map_at(n, i);
        int64_t stride = m->stride[0];
        for (int d = like->ndim; d-- > 0;) m->stride[d] = stride, stride *= like->dim[d];
    }
    n->ndim = like->ndim;
    memcpy(n->dim, like->dim, sizeof n->dim);
}

/* Whether an operand changes along an axis that is reduced. */
static bool is_reduced(const ad__nest *n, const ad__map *m) {
    for (int d = 0; d < n->ndim; d++)
        if (ad__reduces(n, d) && m->stride[d] != 0) return true;
    return false;
}

/* Whether the last axis should be one that is kept, along which a sum is added row by row. */
static bool adds_rows(const ad__nest *n) {
    for (int d = 0; d < n->ndim; d++)
        for (int i = 0; i < n->n && n->out.stride[d] == 1; i++)
            if (ad__is_memory(n->in[i].at) && n->in[i].stride[d] == 1 && is_reduced(n, &n->in[i])) return true;
    return false;
}

/* Moves the last axis that is kept behind the reduced ones. */
static void move_last_kept(ad__nest *n) {
    int kept = n->ndim - 1;
    while (kept > 0 && ad__reduces(n, kept)) kept--;
    for (int d = kept; d + 1 < n->ndim; d++) swap_axes(n, d, d + 1);
}

/* The reduced axes come last. For a sum of rows they come before the last axis that is kept. */
static void order_axes(ad__nest *n) {
    bool reduces = false, rows = adds_rows(n);
    for (int d = 0; d < n->ndim; d++) reduces |= ad__reduces(n, d);
    if (!reduces) return;
    for (int pass = 1; pass < n->ndim; pass++)
        for (int d = 0; d + 1 < n->ndim; d++)
            if (ad__reduces(n, d) && !ad__reduces(n, d + 1)) swap_axes(n, d, d + 1);
    if (rows) move_last_kept(n);
}

static bool is_empty(const ad__nest *n) {
    for (int d = 0; d < n->ndim; d++)
        if (n->dim[d] == 0) return true;
    return false;
}

/* A form that nests over the same elements share: no axes of size 1, and as few as possible. */
static void normalise(ad__nest *n) {
    if (n->kind >= AD__CALL) return;
    if (is_empty(n)) {
        n->kind = AD__NOTHING;
        return;
    }
    for (int d = n->ndim; d-- > 0;)
        if (n->dim[d] == 1) drop_axis(n, d);
    ad__merge_axes(1, n, 0);
    order_axes(n);
}

void ad__normalise(ad_emit *e) {
    for (int64_t k = 0; k < e->nests.n; k++) normalise(&e->nests.at[k]);
}

/* ---- maps -------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

bool ad__is_elementwise(const ad__nest *n) {
    int64_t axis[AD__DIMS][2], reach = 0;
    int k = 0;
    for (int d = 0; d < n->ndim; d++)
        if (n->dim[d] > 1) axis[k][0] = llabs(n->out.stride[d]), axis[k++][1] = n->dim[d];
    qsort(axis, (size_t)k, sizeof *axis, by_size);
    for (int i = 0; i < k; i++) {
        if (axis[i][0] <= reach) return false;
        reach += axis[i][0] * (axis[i][1] - 1);
    }
    return true;
}

bool ad__same_place(const ad__nest *n, const ad__map *a, const ad__map *b) {
    if (a->at != b->at) return false;
    for (int d = 0; d < n->ndim; d++)
        if (n->dim[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return true;
}

static void range_of(const ad__nest *n, const ad__map *m, int64_t *from, int64_t *to) {
    *from = *to = ad__offset_of(m->at);
    for (int d = 0; d < n->ndim; d++) {
        int64_t reach = m->stride[d] * (n->dim[d] - 1);
        *(reach < 0 ? from : to) += reach;
    }
}

bool ad__overlap(const ad__nest *a, const ad__map *ma, const ad__nest *b, const ad__map *mb) {
    int64_t from_a, to_a, from_b, to_b;
    if (ad__buffer_of(ma->at) != ad__buffer_of(mb->at)) return false;
    range_of(a, ma, &from_a, &to_a), range_of(b, mb, &from_b, &to_b);
    return from_a <= to_b && from_b <= to_a;
}

/* ---- which nests can share a loop -------------------------------------------------------------------------------- */

typedef enum { APART, TOGETHER, IN_ORDER } relation; /* unrelated; related, element by element; related otherwise */

static relation of_maps(const ad__nest *a, const ad__map *ma, const ad__nest *b, const ad__map *mb, bool same_axes) {
    if (!ad__overlap(a, ma, b, mb)) return APART;
    return same_axes && ad__same_place(a, ma, mb) ? TOGETHER : IN_ORDER;
}

static relation worst(relation a, relation b) { return a > b ? a : b; }

/* How b, which comes later, depends on a. */
static relation relate(const ad__nest *a, const ad__nest *b, bool same_axes) {
    relation write = of_maps(a, &a->out, b, &b->out, same_axes);
    for (int i = 0; i < b->n; i++) write = worst(write, of_maps(a, &a->out, b, &b->in[i], same_axes));
    if (write == TOGETHER && !ad__is_elementwise(a)) write = IN_ORDER;
    relation read = of_maps(a, &a->out, b, &b->out, same_axes);
    for (int i = 0; i < a->n; i++) read = worst(read, of_maps(a, &a->in[i], b, &b->out, same_axes));
    if (read == TOGETHER && !ad__is_elementwise(b)) read = IN_ORDER;
    return worst(write, read);
}

bool ad__depends(const ad__nest *a, const ad__nest *b) { return relate(a, b, false) != APART; }

int64_t ad__indices(const ad__nest *n) {
    int64_t k = 1;
    for (int d = 0; d < n->ndim; d++) k *= n->dim[d];
    return k;
}

bool ad__same_axes(const ad__nest *a, const ad__nest *b) {
    return a->ndim == b->ndim && memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim) == 0;
}

/* Reduced axes are the last ones, or do not include the last one: then a loop in the order of the axes can reduce. */
static bool reduces_in_order(const ad__nest *n) {
    if (n->ndim == 0 || !ad__reduces(n, n->ndim - 1)) return true;
    int d = n->ndim;
    while (d > 0 && ad__reduces(n, d - 1)) d--;
    while (d > 0 && !ad__reduces(n, d - 1)) d--;
    return d == 0;
}

/* ---- repetitions ------------------------------------------------------------------------------------------------- */

enum {
    MANY = 200,     /* nests, from which on groups do not reach over a repetition: then repetitions have one code */
    CANDIDATES = 8, /* periods that are tried at a nest */
    SHORTEST = 4, LONGEST = 512, /* period */
    FEWEST = 3      /* repetitions */
};

/* Nests with one key differ in the places that they read and write only. */
static uint64_t key_of(const ad_emit *e, const ad__nest *n) {
    uint64_t h = ad__mix(ad__mix((uint64_t)n->kind + 1, (uint64_t)n->form), (uint64_t)n->ndim);
    for (int d = 0; d < n->ndim; d++) h = ad__mix(h, (uint64_t)n->dim[d]);
    for (int i = 0; i < n->n && n->kind != AD__CALL; i++)
        h = ad__mix(h, (uint64_t)e->buffers.at[ad__buffer_of(n->in[i].at)].kind);
    return ad__mix(h, (uint64_t)e->buffers.at[ad__buffer_of(n->out.at)].kind);
}

typedef struct {
    int64_t n, *nest; /* those that do something */
    uint64_t *key;
    int64_t *next;    /* see ad__next_alike */
} sequence;

static int make_sequence(const ad_emit *e, sequence *q) {
    size_t n = (size_t)e->nests.n + 1;
    q->nest = ad_scope_closing(e->g, n * sizeof *q->nest, NULL);
    q->key = ad_scope_closing(e->g, n * sizeof *q->key, NULL);
    if (q->nest == NULL || q->key == NULL) return AD_ENOMEM;
    for (int64_t k = 0; k < e->nests.n; k++)
        if (e->nests.at[k].kind != AD__NOTHING) q->key[q->n] = key_of(e, &e->nests.at[k]), q->nest[q->n++] = k;
    q->next = ad__next_alike(e->g, q->n, q->key);
    return q->next ? AD_OK : AD_ENOMEM;
}

/* The nests from `start` on that repeat with a period. */
static int64_t covered(const sequence *q, int64_t start, int64_t period) {
    int64_t i = start + period;
    while (i < q->n && q->key[i] == q->key[i - period]) i++;
    return (i - start) / period * period;
}

/* Marks the nests at which a repetition begins, or the last one has ended. */
static int mark_repetitions(const ad_emit *e, bool *begins) {
    sequence q = { 0 };
    if (make_sequence(e, &q)) return AD_ENOMEM;
    for (int64_t i = 0; q.n > MANY && i < q.n;) {
        int64_t best = 0, most = 0, at = q.next[i];
        for (int c = 0; c < CANDIDATES && at >= 0 && at - i <= LONGEST; c++, at = q.next[at]) {
            int64_t covers = covered(&q, i, at - i);
            if (covers >= FEWEST * (at - i) && covers > most) best = at - i, most = covers;
        }
        for (int64_t k = i; best >= SHORTEST && k <= i + most && k < q.n; k += best) begins[q.nest[k]] = true;
        i += best ? most : 1;
    }
    return AD_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

enum { OPEN = 6 }; /* groups that a nest may still join */

/* Nests of one loop; or, with segment >= 0, instructions. */
typedef struct {
    int64_t nest[AD__MEMBERS];
    int n;
    bool closed;
    int64_t segment;
} group;

typedef struct {
    ad_emit *e;
    ad__schedule *s;
    group open[OPEN]; /* in the order in which they run */
    int n;
    bool *begins;     /* by nest: a repetition begins */
} fusing;

static ad__nest *member(const fusing *f, const group *g, int i) { return &f->e->nests.at[g->nest[i]]; }

/* Gives the group and the nest the same axes, if they have as many indices. */
static bool share_axes(const fusing *f, const group *g, ad__nest *n) {
    ad__nest *first = member(f, g, 0);
    if (ad__same_axes(first, n)) return true;
    if (ad__indices(first) != ad__indices(n)) return false;
    if (n->ndim == 1 && first->ndim > 1) ad__split_axis(n, first);
    else if (first->ndim == 1 && n->ndim > 1) {
        for (int i = g->n - 1; i >= 0; i--) ad__split_axis(member(f, g, i), n);
    }
    return ad__same_axes(first, n);
}

static bool joins(const fusing *f, const group *g, const ad__nest *n, bool axes) {
    if (!axes || g->closed || g->n == AD__MEMBERS || !reduces_in_order(n)) return false;
    for (int i = 0; i < g->n; i++)
        if (relate(member(f, g, i), n, true) == IN_ORDER || !reduces_in_order(member(f, g, i))) return false;
    return true;
}

/* Whether a nest reads or writes a buffer, or writes it if `writes`. */
static bool uses(const ad__nest *n, ad__place at, bool writes) {
    if (at == AD__NOWHERE || !ad__is_memory(at)) return false;
    int b = ad__buffer_of(at);
    for (int i = 0; i < n->n && !writes; i++)
        if (ad__buffer_of(n->in[i].at) == b) return true;
    return ad__buffer_of(n->out.at) == b;
}

static bool depends_on_run(const fusing *f, int64_t segment, const ad__nest *n) {
    const ad__segment *g = &f->s->segments.at[segment];
    for (int64_t i = g->start; i < g->start + g->n * g->period; i++) {
        const ad__insn *in = &f->e->insns.at[f->s->order.at[i]];
        const ad__home *h = &f->s->homes.at[g->homes + (i - g->start) % g->period];
        for (int o = 0; o < in->n; o++)
            if (uses(n, ad__home_of(f->s, f->e->places.at[in->in + o]), true)) return true;
        if (uses(n, h->at, false) || (in->kind != AD__DEFINE && uses(n, in->out, false))) return true;
    }
    return false;
}

static bool depends(const fusing *f, const group *g, const ad__nest *n) {
    if (g->segment >= 0) return depends_on_run(f, g->segment, n);
    for (int i = 0; i < g->n; i++)
        if (ad__depends(member(f, g, i), n)) return true;
    return false;
}

/* Whether open group i is instructions that must wait for nests of another one. */
static bool waits(const fusing *f, int i) {
    for (int k = 0; k < i && f->open[i].segment >= 0; k++)
        for (int m = 0; m < f->open[k].n; m++)
            if (depends(f, &f->open[i], member(f, &f->open[k], m))) return true;
    return false;
}

static bool end_group(fusing *f) {
    group *g = &f->open[0];
    ad__step step = { .segment = g->segment, .first = f->s->members.n, .n = g->n,
                      .begins = g->segment < 0 && f->begins[g->nest[0]] };
    for (int i = 0; i < g->n; i++)
        if (!AD__PUSH(f->e->g, &f->s->members, g->nest[i])) return false;
    memmove(f->open, f->open + 1, (size_t)--f->n * sizeof *f->open);
    return AD__PUSH(f->e->g, &f->s->steps, step);
}

static bool end_groups(fusing *f) {
    while (f->n > 0)
        if (!end_group(f)) return false;
    return true;
}

/* The nest joins the newest group that it can, of those that it need not wait for. A group of its own comes before
   instructions that it need not wait for. */
static bool add_nest(fusing *f, int64_t k) {
    ad__nest *n = &f->e->nests.at[k];
    bool alone = ad__is_product(f->e, n); /* a BLAS computes it */
    if (f->begins[k] && !end_groups(f)) return false;
    for (int i = f->n; i-- > 0 && !alone;) {
        group *g = &f->open[i];
        if (g->segment < 0 && joins(f, g, n, !g->closed && share_axes(f, g, n))) {
            g->nest[g->n++] = k;
            return true;
        }
        if (depends(f, g, n)) break;
    }
    if (f->n == OPEN && !end_group(f)) return false;
    int at = f->n++;
    for (; at > 0 && waits(f, at - 1) && !depends(f, &f->open[at - 1], n); at--) f->open[at] = f->open[at - 1];
    f->open[at] = (group){ .nest = { k }, .n = 1, .closed = alone, .segment = -1 };
    return true;
}

enum { SHORT = 64 }; /* instructions that nests may be moved before */

static bool add_run(fusing *f, int64_t k) {
    const ad__segment *g = &f->s->segments.at[k];
    if (g->n * g->period > SHORT && !end_groups(f)) return false;
    if (f->n == OPEN && !end_group(f)) return false;
    f->open[f->n++] = (group){ .closed = true, .segment = k };
    return g->n * g->period <= SHORT || end_groups(f);
}

/* A call of an Op stays where it is. */
static bool add_call(fusing *f, int64_t k) {
    if (!end_groups(f)) return false;
    f->open[f->n++] = (group){ .nest = { k }, .n = 1, .closed = true, .segment = -1 };
    return end_groups(f);
}

static bool add_segment(fusing *f, int64_t k) {
    int64_t nest = f->s->segments.at[k].nest;
    if (nest < 0) return add_run(f, k);
    switch (f->e->nests.at[nest].kind) {
    case AD__NOTHING: return true;
    case AD__CALL: return add_call(f, nest);
    default: return add_nest(f, nest);
    }
}

int ad__fuse(ad_emit *e, ad__schedule *s) {
    fusing *f = ad_scope_zalloc(e->g, sizeof *f);
    if (f == NULL) return AD_ENOMEM;
    f->e = e, f->s = s;
    f->begins = ad_scope_closing(e->g, (size_t)e->nests.n + 1, NULL);
    if (f->begins == NULL) return AD_ENOMEM;
    memset(f->begins, 0, (size_t)e->nests.n + 1);
    if (mark_repetitions(e, f->begins)) return AD_ENOMEM;
    for (int64_t k = 0; k < s->segments.n; k++)
        if (!add_segment(f, k)) return AD_ENOMEM;
    if (!end_groups(f)) return AD_ENOMEM;
    ad__join_rows(e, s);
    return AD_OK;
}
