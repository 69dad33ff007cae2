/* roll.c: leaves out what no output needs, and finds loops among the instructions. */
#include "ops/compile/roll.h"

#include <stdlib.h>
#include <string.h>

enum {
    CANDIDATES = 8,       /* periods that are tried at a place */
    LONGEST = 512,        /* period */
    FEWEST = 3,           /* repetitions */
    LEAST = 12,           /* instructions in a loop, of all repetitions */
    STRAIGHT = 256,       /* instructions in a function without a loop */
    KEYS = 4              /* instructions in a row that must be alike where a repetition begins */
};

/* ---- what outputs need, in order --------------------------------------------------------------------------------- */

typedef struct {
    bool *insns, *buffers;
} live;

static void mark(live *l, ad__place at) {
    int b = ad__buffer_of(at);
    if (b == 0) l->insns[ad__offset_of(at)] = true;
    else l->buffers[b] = true;
}

static bool is_live(const ad_emit *e, const live *l, ad__place out) {
    int b = ad__buffer_of(out);
    return e->buffers.at[b].kind == AD__OUTPUT || e->buffers.at[b].kind == AD__ARGUMENT || l->buffers[b];
}

static void mark_insn(const ad_emit *e, live *l, int64_t i) {
    const ad__insn *in = &e->insns.at[i];
    if (in->kind != AD__DEFINE) l->insns[i] = is_live(e, l, in->out);
    if (!l->insns[i]) return;
    for (int k = 0; k < in->n; k++) mark(l, e->places.at[in->in + k]);
}

static void mark_nest(const ad_emit *e, live *l, ad__nest *n) {
    if (!n->keep && !is_live(e, l, n->out.at)) {
        n->kind = AD__NOTHING, n->n = 0;
        return;
    }
    for (int k = 0; k < n->n; k++) mark(l, n->kind == AD__CALL ? e->places.at[n->in[0].at + k] : n->in[k].at);
}

static int mark_live(ad_emit *e, live *l) {
    l->insns = ad_scope_closing(e->g, (size_t)e->insns.n + 1, NULL);
    l->buffers = ad_scope_closing(e->g, (size_t)e->buffers.n, NULL);
    if (l->insns == NULL || l->buffers == NULL) return AD_ENOMEM;
    memset(l->insns, 0, (size_t)e->insns.n + 1);
    memset(l->buffers, 0, (size_t)e->buffers.n);
    int64_t i = e->insns.n;
    for (int64_t k = e->nests.n; k >= 0; k--) {
        for (int64_t from = k > 0 ? e->nests.at[k - 1].at : 0; i > from;) mark_insn(e, l, --i);
        if (k > 0) mark_nest(e, l, &e->nests.at[k - 1]);
    }
    return AD_OK;
}

/* A store of a result to an output comes right after the instruction, so that both fall into one loop. */
typedef struct {
    ad_emit *e;
    ad__schedule *s;
    int64_t *first, *next; /* by instruction: the first store of its result; by store: another one */
} storing;

static bool is_early(const ad_emit *e, const ad__insn *in) {
    return in->kind == AD__STORE && ad__buffer_of(e->places.at[in->in]) == 0 &&
           e->buffers.at[ad__buffer_of(in->out)].kind == AD__OUTPUT;
}

static int collect_stores(storing *c, const live *l) {
    ad_emit *e = c->e;
    size_t bytes = ((size_t)e->insns.n + 1) * sizeof(int64_t);
    c->first = ad_scope_closing(e->g, bytes, NULL), c->next = ad_scope_closing(e->g, bytes, NULL);
    if (c->first == NULL || c->next == NULL) return AD_ENOMEM;
    memset(c->first, 0xff, bytes);
    for (int64_t i = e->insns.n; i-- > 0;) {
        if (!l->insns[i] || !is_early(e, &e->insns.at[i])) continue;
        int64_t of = ad__offset_of(e->places.at[e->insns.at[i].in]);
        c->next[i] = c->first[of], c->first[of] = i;
    }
    return AD_OK;
}

static bool append(storing *c, int64_t i) {
    c->s->position[i] = c->s->order.n;
    return AD__PUSH(c->e->g, &c->s->order, i);
}

static bool append_insns(storing *c, const live *l, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
        if (!l->insns[i] || c->s->position[i] >= 0 || is_early(c->e, &c->e->insns.at[i])) continue;
        if (!append(c, i)) return false;
        for (int64_t k = c->first[i]; k >= 0; k = c->next[k])
            if (!append(c, k)) return false;
    }
    return true;
}

enum { FEW_CONSTANTS = 64 };

static bool is_constant(const storing *c, int64_t i) {
    const ad__insn *in = &c->e->insns.at[i];
    for (int k = 0; k < in->n; k++) {
        ad__place at = c->e->places.at[in->in + k];
        int b = ad__buffer_of(at);
        if (b != 0 ? b != AD__NUMBER_BUFFER : c->s->position[ad__offset_of(at)] < 0) return false;
    }
    return in->kind == AD__DEFINE;
}

/* A few instructions on constants alone, such as the first slopes, come first: so they are not between nests that could
   share a loop. */
static bool append_constants(storing *c, const live *l) {
    for (int64_t i = 0; i < c->e->insns.n && c->e->nests.n > 0 && c->s->order.n < FEW_CONSTANTS; i++)
        if (l->insns[i] && is_constant(c, i) && !append_insns(c, l, i, i + 1)) return false;
    return true;
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

typedef struct {
    ad_emit *e;
    ad__schedule *s;
    uint64_t *key; /* by place in order */
    int64_t *next, first; /* of the places from `first` on: see next_of */
    AD__VEC(ad__ref) refs, best;
} rolling;

static const ad__insn *insn_at(const rolling *r, int64_t at) { return &r->e->insns.at[r->s->order.at[at]]; }

/* Instructions that are alike have one key; see are_alike. */
static uint64_t key_of(const ad_emit *e, const ad__insn *in) {
    uint64_t h = ad__mix(ad__mix((uint64_t)in->form + 1, in->kind), in->n);
    for (int k = 0; k < in->n; k++) h = ad__mix(h, (uint64_t)ad__buffer_of(e->places.at[in->in + k]));
    return ad__mix(h, (uint64_t)ad__buffer_of(in->out));
}

int64_t *ad__next_alike(ad_graph *g, int64_t n, const uint64_t *key) {
    int64_t slots = 64;
    while (slots < 2 * n) slots *= 2;
    int64_t *next = ad_scope_closing(g, ((size_t)n + 1) * sizeof *next, NULL);
    int64_t *last = ad_buffer_take(g, (size_t)slots * sizeof *last); /* by hash: where it was met last, backwards */
    if (next == NULL || last == NULL) {
        if (last != NULL) ad_buffer_give(g, last, (size_t)slots * sizeof *last);
        return NULL;
    }
    memset(last, 0xff, (size_t)slots * sizeof *last);
    for (int64_t i = n; i-- > 0;) {
        int64_t *slot = &last[key[i] >> 20 & (uint64_t)(slots - 1)];
        next[i] = *slot;
        *slot = i;
    }
    ad_buffer_give(g, last, (size_t)slots * sizeof *last);
    return next;
}

/* The keys of some instructions in a row are one key of a place. */
static int find_next(rolling *r, int64_t from, int64_t to) {
    uint64_t *key = ad_buffer_take(r->e->g, (size_t)(to - from) * sizeof *key);
    if (key == NULL) return AD_ENOMEM;
    for (int64_t i = from; i < to; i++) {
        key[i - from] = 0;
        for (int k = 0; k < KEYS; k++) key[i - from] = ad__mix(key[i - from], i + k < to ? r->key[i + k] : 0);
    }
    r->next = ad__next_alike(r->e->g, to - from, key), r->first = from;
    ad_buffer_give(r->e->g, key, (size_t)(to - from) * sizeof *key);
    return r->next ? AD_OK : AD_ENOMEM;
}

/* The next place that begins with the same keys; -1 if there is none. */
static int64_t next_of(const rolling *r, int64_t at) {
    int64_t next = r->next[at - r->first];
    return next < 0 ? -1 : next + r->first;
}

/* A number that stands for a place: the place in order of the instruction, or the offset in its buffer. */
static int64_t number_of(const rolling *r, ad__place at) {
    return ad__buffer_of(at) ? ad__offset_of(at) : r->s->position[ad__offset_of(at)];
}

/* What the operand is in the second repetition says how it goes on. d0, d1: its numbers in the first two. */
static bool begin_ref(ad__ref *f, bool is_result, int64_t d0, int64_t d1, int64_t start, int64_t period) {
    *f = (ad__ref){ .kind = AD__AFFINE, .first = d0, .stride = d1 - d0 };
    if (!is_result || d1 < start) return !is_result || d0 < start;
    if (d1 >= start + period) {
        f->kind = AD__LOCAL, f->q = (int32_t)(d1 - start - period);
        return d0 == start + f->q;
    }
    f->kind = AD__CARRIED, f->q = (int32_t)(d1 - start);
    return d0 < start;
}

/* Whether number d in repetition k fits; an operand that does not may get a table. */
static bool goes_on(ad__ref *f, bool is_result, int64_t d, int64_t k, int64_t start, int64_t period, bool tables) {
    switch (f->kind) {
    case AD__LOCAL: return d == start + k * period + f->q;
    case AD__CARRIED: return d == start + (k - 1) * period + f->q;
    case AD__AFFINE:
        if (is_result && d >= start) return false;
        if (d == f->first + k * f->stride) return true;
        if (tables) f->kind = AD__TABLE;
        return tables;
    default: return !is_result || d < start;
    }
}

/* Whether two instructions differ in offsets only. */
static bool are_alike(const rolling *r, const ad__insn *a, const ad__insn *b) {
    const ad__place *of_a = r->e->places.at + a->in, *of_b = r->e->places.at + b->in;
    if (a->form != b->form || a->kind != b->kind || a->n != b->n) return false;
    for (int o = 0; o < a->n; o++)
        if (ad__buffer_of(of_a[o]) != ad__buffer_of(of_b[o])) return false;
    return ad__buffer_of(a->out) == ad__buffer_of(b->out);
}

/* Whether repetition k of the body fits to those before. */
static bool repeats(rolling *r, int64_t start, int64_t period, int64_t k, bool tables) {
    ad__ref *f = r->refs.at;
    for (int64_t i = start; i < start + period; i++) {
        const ad__insn *a = insn_at(r, i), *b = insn_at(r, i + k * period);
        if (!are_alike(r, a, b)) return false;
        for (int o = 0; o <= a->n; o++, f++) {
            if (o == a->n && a->kind == AD__DEFINE) continue;
            ad__place at = o < a->n ? r->e->places.at[a->in + o] : a->out;
            int64_t d = number_of(r, o < a->n ? r->e->places.at[b->in + o] : b->out);
            bool is_result = ad__buffer_of(at) == 0;
            if (k == 1 ? !begin_ref(f, is_result, number_of(r, at), d, start, period)
                       : !goes_on(f, is_result, d, k, start, period, tables))
                return false;
        }
    }
    return true;
}

static bool same_keys(const rolling *r, int64_t a, int64_t b, int64_t n) {
    return memcmp(r->key + a, r->key + b, (size_t)n * sizeof *r->key) == 0;
}

static int64_t count_refs(const rolling *r, int64_t start, int64_t period) {
    int64_t n = 0;
    for (int64_t i = start; i < start + period; i++) n += insn_at(r, i)->n + 1;
    return n;
}

/* The number of repetitions of a period from start on; r->refs says how their operands go on. */
static int64_t repetitions(rolling *r, int64_t start, int64_t period, int64_t to, bool tables) {
    if (start + 2 * period > to || !same_keys(r, start, start + period, period)) return 1;
    int64_t n = count_refs(r, start, period), k = 1;
    r->refs.n = 0;
    if (!AD__RESERVE(r->e->g, &r->refs, n)) return 1;
    r->refs.n = n;
    while (start + (k + 1) * period <= to && same_keys(r, start, start + k * period, period) &&
           repeats(r, start, period, k, tables))
        k++;
    return k;
}

/* Whether the keys let a period cover more than the best one does: where that ends, they must go on. */
static bool may_cover_more(const rolling *r, int64_t start, int64_t period, int64_t to, const ad__segment *best) {
    int64_t covered = best->n * best->period, end = start + covered, least = (covered / period + 1) * period;
    if (covered < period) return true;
    return start + least <= to && same_keys(r, end - period, end, start + least - end);
}

/* Tries a period; keeps it if it covers more than *best, many times more if it needs tables. */
static void try_period(rolling *r, int64_t start, int64_t period, int64_t to, ad__segment *best) {
    for (int tables = 0; tables < 2; tables++) {
        int64_t least = best->n * best->period;
        if (tables && 4 * least >= to - start) return; /* with tables it cannot cover more than that */
        int64_t n = repetitions(r, start, period, to, tables), covers = n * period;
        if (n < FEWEST || covers < LEAST || covers <= (tables ? 4 * least : least)) continue;
        *best = (ad__segment){ .nest = -1, .start = start, .period = period, .n = n };
        n = r->refs.n, r->best.n = 0;
        if (!AD__RESERVE(r->e->g, &r->best, n)) return;
        memcpy(r->best.at, r->refs.at, (size_t)n * sizeof *r->refs.at), r->best.n = n;
    }
}

static ad__segment loop_at(rolling *r, int64_t start, int64_t to) {
    ad__segment best = { .nest = -1, .start = start };
    int64_t at = next_of(r, start);
    for (int i = 0; i < CANDIDATES && at >= 0 && at - start <= LONGEST; i++, at = next_of(r, at))
        if (may_cover_more(r, start, at - start, to, &best)) try_period(r, start, at - start, to, &best);
    return best;
}

static bool keep_loop(rolling *r, ad__segment best) {
    ad__schedule *s = r->s;
    best.refs = s->refs.n;
    if (!AD__RESERVE(r->e->g, &s->refs, r->best.n) || !AD__PUSH(r->e->g, &s->segments, best)) return false;
    memcpy(s->refs.at + s->refs.n, r->best.at, (size_t)r->best.n * sizeof *r->best.at);
    s->refs.n += r->best.n;
    return true;
}

static bool keep_straight(rolling *r, int64_t from, int64_t to) {
    for (; from < to; from += STRAIGHT) {
        int64_t n = to - from < STRAIGHT ? to - from : STRAIGHT;
        if (!AD__PUSH(r->e->g, &r->s->segments, (ad__segment){ .nest = -1, .start = from, .period = n, .n = 1 }))
            return false;
    }
    return true;
}

/* Cuts the instructions from .. to of the order into loops and runs between them. */
static int roll(rolling *r, int64_t from, int64_t to) {
    if (from == to) return AD_OK;
    for (int64_t i = from; i < to; i++) r->key[i] = key_of(r->e, insn_at(r, i));
    if (find_next(r, from, to)) return AD_ENOMEM;
    int64_t straight = from;
    for (int64_t i = from; i < to;) {
        ad__segment best = loop_at(r, i, to);
        if (best.n == 0) {
            i++;
            continue;
        }
        if (!keep_straight(r, straight, i) || !keep_loop(r, best)) return AD_ENOMEM;
        straight = i = best.start + best.n * best.period;
    }
    return keep_straight(r, straight, to) ? AD_OK : AD_ENOMEM;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

enum { FEW_NUMBERS = 64 };

typedef struct {
    double value;
    int64_t number;
} numbered;

static int by_value(const void *a, const void *b) {
    const numbered *x = a, *y = b;
    return memcmp(&x->value, &y->value, sizeof x->value);
}

/* A number that occurs often is part of the code. The others are data, such as measurements: were they in the source,
   no two parts of it would be alike. */
static int find_literals(ad_emit *e, ad__schedule *s) {
    int64_t n = e->numbers.n, distinct = 0;
    numbered *order = ad_scope_closing(e->g, ((size_t)n + 1) * sizeof *order, NULL);
    s->literal = ad_scope_closing(e->g, (size_t)n + 1, NULL);
    if (order == NULL || s->literal == NULL) return AD_ENOMEM;
    for (int64_t i = 0; i < n; i++) order[i] = (numbered){ e->numbers.at[i], i };
    qsort(order, (size_t)n, sizeof *order, by_value);
    for (int64_t i = 0, end; i < n; i = end, distinct++) {
        for (end = i + 1; end < n && by_value(&order[end], &order[i]) == 0;) end++;
        for (int64_t k = i; k < end; k++) s->literal[order[k].number] = (end - i) * FEW_NUMBERS >= n;
    }
    if (distinct <= FEW_NUMBERS) memset(s->literal, true, (size_t)n);
    return AD_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int order_and_roll(ad_emit *e, ad__schedule *s, const live *l) {
    storing c = { .e = e, .s = s };
    rolling r = { .e = e, .s = s };
    size_t n = (size_t)e->insns.n + 1;
    r.key = ad_scope_closing(e->g, n * sizeof *r.key, NULL);
    s->position = ad_scope_closing(e->g, n * sizeof *s->position, NULL);
    if (r.key == NULL || s->position == NULL || collect_stores(&c, l)) return AD_ENOMEM;
    memset(s->position, 0xff, n * sizeof *s->position);
    int64_t i = 0;
    if (!append_constants(&c, l) || roll(&r, 0, s->order.n)) return AD_ENOMEM;
    for (int64_t k = 0; k <= e->nests.n; k++) {
        int64_t to = k < e->nests.n ? e->nests.at[k].at : e->insns.n, from = s->order.n;
        if (!append_insns(&c, l, i, to) || roll(&r, from, s->order.n)) return AD_ENOMEM;
        i = to;
        if (k < e->nests.n && !AD__PUSH(e->g, &s->segments, (ad__segment){ .nest = k })) return AD_ENOMEM;
    }
    return AD_OK;
}

int ad__schedule_make(ad_emit *e, ad__schedule *s) {
    live l;
    if (find_literals(e, s) || mark_live(e, &l)) return e->code = AD_ENOMEM;
    bool changed = false;
    ad__normalise(e);
    if (ad__redirect(e) || ad__join_sums(e, &changed)) return e->code = AD_ENOMEM;
    if (changed && mark_live(e, &l)) return e->code = AD_ENOMEM;
    if (order_and_roll(e, s, &l) || ad__find_homes(e, s)) return e->code = AD_ENOMEM;
    if (ad__fuse(e, s) || ad__place_work(e, s)) return e->code = AD_ENOMEM;
    return ad__find_operands(e, s);
}
