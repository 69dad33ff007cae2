/* memory.c: gives out the work memory of a program: buffers whose lives do not overlap share it. */
#include <stdlib.h>
#include <string.h>

#include "ops/compile/roll.h"

/* ---- lives ------------------------------------------------------------------------------------------------------- */

/* The steps that read or write a buffer. */
typedef struct {
    int64_t first, last; /* first is -1 if there is none */
    bool whole;          /* each access is a nest's that sets or reads one element at each index, set before read */
    int64_t row;         /* each access is a nest's that keeps to rows of so many elements; 0: others are, too */
} life;

typedef struct {
    ad_emit *e;
    ad__schedule *s;
    life *lives;
    int64_t step;
} living;

static life *touch(living *l, ad__place at) {
    life *x = &l->lives[ad__buffer_of(at)];
    if (x->first < 0) x->first = l->step, x->whole = true, x->row = -1;
    x->last = l->step;
    return x;
}

static void touch_otherwise(living *l, ad__place at) {
    life *x = touch(l, at);
    x->whole = false, x->row = 0;
}

/* A map keeps to rows if it reaches elements of the first row only at the first index of axis 0. */
static int64_t row_of(const ad__nest *n, const ad__map *m) {
    if (n->ndim == 0) return 0;
    int64_t to = ad__offset_of(m->at);
    for (int d = 1; d < n->ndim; d++) {
        if (m->stride[d] < 0) return 0;
        to += m->stride[d] * (n->dim[d] - 1);
    }
    return to < m->stride[0] ? m->stride[0] : 0;
}

static life *touch_map(living *l, const ad__nest *n, const ad__map *m) {
    life *x = touch(l, m->at);
    int64_t row = row_of(n, m);
    x->row = x->row < 0 || x->row == row ? row : 0;
    return x;
}

static void touch_run(living *l, const ad__segment *g) {
    for (int64_t i = g->start; i < g->start + g->n * g->period; i++) {
        const ad__insn *in = &l->e->insns.at[l->s->order.at[i]];
        const ad__home *h = &l->s->homes.at[g->homes + (i - g->start) % g->period];
        for (int o = 0; o < in->n; o++) {
            ad__place at = l->e->places.at[in->in + o];
            bool is_result = ad__buffer_of(at) == 0;
            if (is_result) at = ad__home_of(l->s, at);
            if (at != AD__NOWHERE) touch_otherwise(l, at);
        }
        if (in->kind != AD__DEFINE) touch_otherwise(l, in->out);
        if (h->at != AD__NOWHERE) touch_otherwise(l, h->at);
    }
}

static void touch_call(living *l, const ad__nest *n) {
    for (int i = 0; i < n->n; i++) touch_otherwise(l, l->e->places.at[n->in[0].at + i]);
    touch_otherwise(l, n->out.at);
}

/* A buffer that is read before the step sets it, or that a reduction writes, keeps its memory. */
static void touch_nest(living *l, const ad__nest *n) {
    for (int i = 0; i < n->n; i++) {
        bool fresh = l->lives[ad__buffer_of(n->in[i].at)].first != l->step;
        life *in = touch_map(l, n, &n->in[i]);
        in->whole &= !fresh;
    }
    bool fresh = l->lives[ad__buffer_of(n->out.at)].first != l->step;
    life *out = touch_map(l, n, &n->out);
    if (!ad__is_elementwise(n) || n->kind >= AD__LARGEST || (fresh && n->kind != AD__SET)) out->whole = false;
}

static int find_lives(living *l) {
    l->lives = ad_scope_closing(l->e->g, (size_t)l->e->buffers.n * sizeof *l->lives, NULL);
    if (l->lives == NULL) return AD_ENOMEM;
    for (int64_t b = 0; b < l->e->buffers.n; b++) l->lives[b] = (life){ .first = -1 };
    for (l->step = 0; l->step < l->s->steps.n; l->step++) {
        const ad__step *step = &l->s->steps.at[l->step];
        if (step->segment >= 0) touch_run(l, &l->s->segments.at[step->segment]);
        for (int64_t k = 0; step->segment < 0 && k < step->n; k++) {
            const ad__nest *n = &l->e->nests.at[l->s->members.at[step->first + k]];
            if (n->kind == AD__CALL) touch_call(l, n);
            else touch_nest(l, n);
        }
    }
    return AD_OK;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

typedef struct {
    int64_t from, to; /* bytes */
} gap;

/* Free places of one size, the newest last. */
typedef struct {
    int64_t bytes;
    AD__VEC(int64_t) places;
} bin;

typedef struct {
    living *l;
    int64_t *by_first, *by_last; /* buffers, in the order of their lives' ends */
    int64_t n;
    AD__VEC(gap) gaps; /* free memory below `end`; of a program for a file */
    AD__VEC(bin) bins; /* of another one */
    int64_t end;
} placing;

/* Arrays in this process begin at multiples of 64. In a file, all numbers have one size. */
static int64_t bytes_of(const placing *p, int64_t b) {
    const ad__buffer *x = &p->l->e->buffers.at[b];
    int64_t bytes = x->size * (x->dtype == AD_F32 ? 4 : 8);
    return p->l->e->portable ? bytes : (bytes + 63) / 64 * 64;
}

/* A program for a file takes the smallest gap that the buffer fits into. */
static int64_t take(placing *p, int64_t bytes) {
    int64_t best = -1, from = p->end;
    for (int64_t i = 0; i < p->gaps.n; i++) {
        const gap *g = &p->gaps.at[i];
        if (g->to - g->from >= bytes && (best < 0 || g->to - g->from < p->gaps.at[best].to - p->gaps.at[best].from))
            best = i;
    }
    if (best < 0) {
        p->end += bytes;
        return from;
    }
    gap *g = &p->gaps.at[best];
    from = g->from, g->from += bytes;
    if (g->from == g->to) *g = p->gaps.at[--p->gaps.n];
    return from;
}

/* Neighbouring gaps become one. */
static bool give(placing *p, int64_t from, int64_t to) {
    for (int64_t i = 0; i < p->gaps.n;) {
        gap g = p->gaps.at[i];
        if (g.to != from && g.from != to) {
            i++;
            continue;
        }
        from = g.from < from ? g.from : from, to = g.to > to ? g.to : to;
        p->gaps.at[i] = p->gaps.at[--p->gaps.n];
        i = 0;
    }
    return from == to || AD__PUSH(p->l->e->g, &p->gaps, (gap){ from, to });
}

/* Whether a buffer gets memory by its life. */
static bool is_placed(const living *l, int64_t b) {
    const ad__buffer *x = &l->e->buffers.at[b];
    return x->kind == AD__WORK && l->lives[b].first >= 0 && !l->s->local[b] && (x->size > 1 || l->e->portable);
}

/* Sorts the buffers in memory by the beginning or the end of their lives: they are counted by step. */
static int64_t *sorted(const placing *p, bool by_last) {
    const living *l = p->l;
    int64_t *start = ad_scope_closing(l->e->g, ((size_t)l->s->steps.n + 2) * sizeof *start, NULL);
    int64_t *order = ad_scope_closing(l->e->g, ((size_t)l->e->buffers.n + 1) * sizeof *order, NULL);
    if (start == NULL || order == NULL) return NULL;
    memset(start, 0, ((size_t)l->s->steps.n + 2) * sizeof *start);
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t b = 0; b < l->e->buffers.n; b++) {
            const life *x = &l->lives[b];
            if (!is_placed(l, b)) continue;
            int64_t at = by_last ? x->last : x->first;
            if (pass == 0) start[at + 1]++;
            else order[start[at]++] = b;
        }
        for (int64_t i = 0; pass == 0 && i < l->s->steps.n; i++) start[i + 1] += start[i];
    }
    return order;
}

/* A program in this process takes the newest free place of the same size. That needs more memory, but repetitions then
   use places at equal distances, and their calls become a loop. */
static bin *bin_of(placing *p, int64_t bytes) {
    for (int64_t i = 0; i < p->bins.n; i++)
        if (p->bins.at[i].bytes == bytes) return &p->bins.at[i];
    return AD__PUSH(p->l->e->g, &p->bins, (bin){ .bytes = bytes }) ? &p->bins.at[p->bins.n - 1] : NULL;
}

static int64_t take_same(placing *p, int64_t bytes) {
    bin *b = bin_of(p, bytes);
    if (b == NULL) return -1;
    if (b->places.n > 0) return b->places.at[--b->places.n];
    p->end += bytes;
    return p->end - bytes;
}

static bool give_same(placing *p, int64_t from, int64_t bytes) {
    bin *b = bin_of(p, bytes);
    return b != NULL && AD__PUSH(p->l->e->g, &b->places, from);
}

static bool place(placing *p, int64_t b) {
    ad__buffer *x = &p->l->e->buffers.at[b];
    int64_t bytes = bytes_of(p, b);
    x->index = p->l->e->portable ? take(p, bytes) : take_same(p, bytes);
    return x->index >= 0;
}

static bool free_place(placing *p, int64_t b) {
    int64_t from = p->l->e->buffers.at[b].index, bytes = bytes_of(p, b);
    return p->l->e->portable ? give(p, from, from + bytes) : give_same(p, from, bytes);
}

static int place_all(placing *p) {
    int64_t given = 0;
    p->by_first = sorted(p, false), p->by_last = sorted(p, true);
    if (p->by_first == NULL || p->by_last == NULL) return AD_ENOMEM;
    for (int64_t i = 0; i < p->n; i++) {
        int64_t b = p->by_first[i];
        for (; p->l->lives[p->by_last[given]].last < p->l->lives[b].first; given++)
            if (!free_place(p, p->by_last[given])) return AD_ENOMEM;
        if (!place(p, b)) return AD_ENOMEM;
    }
    p->l->s->work = p->end;
    return AD_OK;
}

/* Numbers on their own come after the arrays and share nothing, in the order of the steps. So those of repetitions lie
   at equal distances, and the calls of repetitions become a loop. */
static void place_numbers(const living *l) {
    l->s->work = (l->s->work + 7) / 8 * 8;
    for (int64_t b = 0; b < l->e->buffers.n; b++) {
        ad__buffer *x = &l->e->buffers.at[b];
        if (x->kind != AD__WORK || l->lives[b].first < 0 || l->s->local[b] || x->size != 1 || l->e->portable) continue;
        x->index = l->s->work, l->s->work += 8;
    }
}

static bool is_local(const living *l, int64_t b) {
    const life *x = &l->lives[b];
    return l->e->buffers.at[b].kind == AD__WORK && x->first >= 0 && x->whole && x->first == x->last;
}

/* The first, or the last, of the steps that run in one loop with a step. */
static int64_t joined(const living *l, int64_t step, bool last) {
    const ad__step *steps = l->s->steps.at;
    while (last && step + 1 < l->s->steps.n && steps[step + 1].joined) step++;
    while (!last && steps[step].joined) step--;
    return step;
}

/* Steps of one function use different memory: its pointers are restrict. */
static void extend_life(const living *l, life *x) {
    x->first -= l->s->steps.at[x->first].after;
    x->last += x->last + 1 < l->s->steps.n && l->s->steps.at[x->last + 1].after;
}

/* Steps that run in one loop run at one time. A buffer that only they use, by rows, becomes one row. */
static void join_lives(const living *l) {
    for (int64_t b = 0; b < l->e->buffers.n; b++) {
        life *x = &l->lives[b];
        l->s->local[b] = is_local(l, b), l->s->row[b] = false;
        if (x->first < 0) continue;
        x->first = joined(l, x->first, false);
        bool one_loop = joined(l, x->last, false) == x->first;
        x->last = joined(l, x->last, true);
        l->s->row[b] = one_loop && x->first < x->last && l->e->buffers.at[b].kind == AD__WORK && x->row > 0;
        if (l->s->row[b] && !l->s->local[b]) l->e->buffers.at[b].size = x->row;
        extend_life(l, x);
    }
}

int ad__place_work(ad_emit *e, ad__schedule *s) {
    living l = { .e = e, .s = s };
    placing p = { .l = &l };
    s->local = ad_scope_closing(e->g, (size_t)e->buffers.n * sizeof *s->local, NULL);
    s->row = ad_scope_closing(e->g, (size_t)e->buffers.n * sizeof *s->row, NULL);
    if (s->local == NULL || s->row == NULL || find_lives(&l)) return AD_ENOMEM;
    join_lives(&l);
    for (int64_t b = 0; b < e->buffers.n; b++) p.n += is_placed(&l, b);
    if (place_all(&p)) return AD_ENOMEM;
    place_numbers(&l);
    return AD_OK;
}
