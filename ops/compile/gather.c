/* gather.c: several nests that add to an array at shifted places, as the gradient of a stencil does, become one loop.

   The nest that sets the array and those that add to it are cut at each end of their ranges. Most indices lie in one
   part, over which all of them run; the few others are taken one by one. What the nests add is computed from arrays
   that were there before: a cheap formula that computed it in another loop is put into theirs. So no array is written
   that is read in the same loop at another place. */
#include <stdlib.h>
#include <string.h>

#include "ops/compile/roll.h"

enum {
    MOST_WRITERS = 12, /* nests that set or add to one array */
    LEAST_SIZE = 24,   /* elements of an array */
    MOST_SINGLE = 12,  /* elements outside the common part */
    MOST_FORMS = 256,  /* pairs of formulas that are put together */
    MOST_PUT = 16      /* formulas that are put into one */
};

/* A formula in another one. */
typedef struct {
    int outer, i, inner, whole;
} composed;

typedef struct {
    ad_emit *e;
    ad__access *to;      /* by buffer */
    int64_t *prev_write; /* by nest: the one before that writes the same buffer; -1 if there is none */
    int64_t *place;      /* by nest: where it is in `nests` */
    AD__VEC(composed) forms;
    AD__VEC(ad__nest) nests; /* those that are there in the end */
    bool changed;
} gathering;

/* What sets or adds to one array, in order. */
typedef struct {
    int n;
    int64_t number[MOST_WRITERS];
    ad__nest nest[MOST_WRITERS];
    int64_t from[MOST_WRITERS], to[MOST_WRITERS]; /* the elements of each */
    int64_t size, big_from, big_to;               /* of the array; the common part */
} writers;

/* ---- which arrays ------------------------------------------------------------------------------------------------ */

static const ad__buffer *buffer_of(const gathering *c, const ad__map *m) {
    return &c->e->buffers.at[ad__buffer_of(m->at)];
}

/* Whether a map goes from each element to the next. */
static bool is_run(const ad__nest *n, const ad__map *m) { return n->ndim == 0 || (n->ndim == 1 && m->stride[0] == 1); }

/* Whether what the operands of nest k are now is what they are later. */
static bool operands_last(const gathering *c, const ad__nest *n, int64_t k) {
    for (int i = 0; i < n->n; i++) {
        int b = ad__buffer_of(n->in[i].at);
        if (b == 0 || !ad__is_memory(n->in[i].at)) continue;
        if (c->to[b].stored || c->to[b].last_write >= k) return false;
    }
    return true;
}

/* Collects the nests that write the array which nest `last` adds to. The first of them sets all of it. */
static bool collect(gathering *c, int64_t last, writers *w) {
    const ad__nest *n = &c->e->nests.at[last];
    w->size = buffer_of(c, &n->out)->size, w->n = 0;
    int64_t first = last;
    while (c->prev_write[first] >= 0 && w->n < MOST_WRITERS) first = c->prev_write[first], w->n++;
    if (c->prev_write[first] >= 0 || ++w->n > MOST_WRITERS) return false;
    int64_t k = last;
    for (int i = w->n; i-- > 0; k = c->prev_write[k]) {
        n = &c->e->nests.at[k];
        if (n->kind != (i ? AD__ADD_TO : AD__SET) || !is_run(n, &n->out) || !operands_last(c, n, k)) return false;
        w->number[i] = k, w->nest[i] = *n;
        w->from[i] = ad__offset_of(n->out.at), w->to[i] = w->from[i] + ad__indices(n);
    }
    return w->from[0] == 0 && w->to[0] == w->size;
}

/* The part that all nests over many indices share. False if the others are many, or all nests run over the same. */
static bool find_part(writers *w) {
    int64_t least = w->size, most = 0;
    w->big_from = 0, w->big_to = w->size;
    for (int i = 1; i < w->n; i++) {
        int64_t n = w->to[i] - w->from[i];
        if (n <= MOST_SINGLE) continue;
        if (w->from[i] > w->big_from) w->big_from = w->from[i];
        if (w->to[i] < w->big_to) w->big_to = w->to[i];
        least = w->from[i] < least ? w->from[i] : least, most = w->from[i] > most ? w->from[i] : most;
    }
    for (int i = 1; i < w->n; i++)
        if (w->to[i] - w->from[i] <= MOST_SINGLE && w->from[i] < w->big_to && w->to[i] > w->big_from) return false;
    return least < most && w->size - (w->big_to - w->big_from) <= MOST_SINGLE;
}

/* ---- formulas of operands ---------------------------------------------------------------------------------------- */

static int arrays_of(const ad__nest *n) {
    int arrays = 0;
    for (int i = 0; i < n->n; i++) arrays += ad__is_memory(n->in[i].at) && n->in[i].stride[0] != 0;
    return arrays;
}

/* The nest that computes all of an operand, if its formula may be put in place of it; -1 if there is none. */
static int64_t source_of(const gathering *c, const ad__nest *n, const ad__map *m) {
    const ad__buffer *b = buffer_of(c, m);
    const ad__access *a = &c->to[ad__buffer_of(m->at)];
    if (b->kind != AD__WORK || a->otherwise || a->writes != 1 || b->dtype != c->e->forms.at[n->form].dtype) return -1;
    const ad__nest *s = &c->e->nests.at[a->last_write];
    const ad__form *f = &c->e->forms.at[s->form];
    bool whole = s->kind == AD__SET && s->ndim == 1 && s->out.stride[0] == 1 && s->dim[0] == b->size;
    if (!whole || f->calls > 0 || f->dtype != b->dtype || f->n != s->n) return -1;
    if (n->n - 1 + s->n > AD__OPERANDS_MOST) return -1;
    if (arrays_of(s) > (a->reads == 1 ? 2 : 1) || !operands_last(c, s, a->last_write)) return -1;
    return a->last_write;
}

static int compose(gathering *c, int outer, int i, int inner) {
    for (int64_t k = c->forms.n; k-- > 0;) {
        const composed *f = &c->forms.at[k];
        if (f->outer == outer && f->i == i && f->inner == inner) return f->whole;
    }
    if (c->forms.n == MOST_FORMS) return -1;
    int whole = ad__form_compose(c->e, outer, i, inner);
    return AD__PUSH(c->e->g, &c->forms, (composed){ outer, i, inner, whole }) ? whole : -1;
}

/* Where operand q of a nest over all elements is, at the elements that m meets. */
static ad__map through(const ad__map *m, const ad__map *q) {
    ad__map to = { .at = q->at };
    if (q->stride[0] != 0) to.at += ad__offset_of(m->at) * q->stride[0];
    to.stride[0] = m->stride[0] * q->stride[0];
    return to;
}

static bool is_copy(const gathering *c, const ad__nest *n) {
    const ad__form *f = &c->e->forms.at[n->form];
    return f->n == 1 && n->n == 1 && f->used == 1 && f->length == f->name[0].length;
}

/* Puts the formula of operand i into the nest's own. */
static bool put(gathering *c, ad__nest *n, int i) {
    int64_t k = ad__is_memory(n->in[i].at) && ad__buffer_of(n->in[i].at) ? source_of(c, n, &n->in[i]) : -1;
    if (k < 0) return false;
    ad__nest s = c->e->nests.at[k], was = *n;
    int whole = c->e->forms.at[n->form].n != n->n ? -1 : is_copy(c, &s) ? n->form : compose(c, n->form, i, s.form);
    if (whole < 0) return false;
    n->form = whole, n->n = was.n - 1 + s.n;
    for (int q = 0; q < s.n; q++) n->in[i + q] = through(&was.in[i], &s.in[q]);
    for (int q = i + 1; q < was.n; q++) n->in[q - 1 + s.n] = was.in[q];
    return true;
}

static void put_all(gathering *c, ad__nest *n) {
    int times = 0;
    for (int i = 0; i < n->n;) {
        if (times < MOST_PUT && put(c, n, i)) times++;
        else i++;
    }
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static bool is_zero(const gathering *c, const ad__nest *n) {
    const ad__form *f = &c->e->forms.at[n->form];
    return n->kind == AD__SET && f->length == 1 && f->text[0] == '0';
}

/* Appends what runs over the elements from .. to. The first addition to 0 sets. */
static bool append_part(gathering *c, const writers *w, int64_t from, int64_t to) {
    bool zero = false;
    for (int i = 0; i < w->n; i++) {
        ad__nest n = w->nest[i];
        if (w->from[i] >= to || w->to[i] <= from) continue;
        int64_t ahead = from - w->from[i];
        for (int q = 0; q <= n.n; q++) {
            ad__map *m = ad__map_at(&n, q);
            if (n.ndim) m->at += ahead * m->stride[0];
            if (to - from == 1) m->stride[0] = 0;
        }
        n.ndim = to - from > 1, n.dim[0] = to - from, n.at = c->e->nests.at[w->number[w->n - 1]].at;
        if (zero) n.kind = AD__SET;
        zero = is_zero(c, &w->nest[i]);
        bool again = false;
        for (int q = i + 1; zero && q < w->n; q++) again |= w->from[q] < to && w->to[q] > from;
        if (zero && again) continue;
        if (!AD__PUSH(c->e->g, &c->nests, n)) return false;
    }
    return true;
}

static void leave_out(ad__nest *n) { n->kind = AD__NOTHING, n->n = 0; }

/* Appends the nests that write one array, in parts; the nests before the last have been appended whole. */
static bool append_parts(gathering *c, writers *w) {
    for (int i = 0; i + 1 < w->n; i++) leave_out(&c->nests.at[c->place[w->number[i]]]);
    for (int i = 0; i < w->n; i++) put_all(c, &w->nest[i]);
    if (!append_part(c, w, w->big_from, w->big_to)) return false;
    for (int64_t k = 0; k < w->size; k++) {
        if (k == w->big_from) k = w->big_to;
        if (k < w->size && !append_part(c, w, k, k + 1)) return false;
    }
    return c->changed = true;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static bool find_writes(gathering *c) {
    const ad_emit *e = c->e;
    int64_t *last = ad_scope_closing(e->g, ((size_t)e->buffers.n + 1) * sizeof *last, NULL);
    c->prev_write = ad_scope_closing(e->g, ((size_t)e->nests.n + 1) * sizeof *last, NULL);
    if (last == NULL || c->prev_write == NULL) return false;
    memset(last, 0xff, ((size_t)e->buffers.n + 1) * sizeof *last);
    for (int64_t k = 0; k < e->nests.n; k++) {
        if (e->nests.at[k].kind >= AD__CALL) continue;
        int b = ad__buffer_of(e->nests.at[k].out.at);
        c->prev_write[k] = last[b], last[b] = k;
    }
    return true;
}

/* Whether nest k is the last of those that add to an array that nobody reads before. */
static bool ends_sum(const gathering *c, int64_t k) {
    const ad__nest *n = &c->e->nests.at[k];
    if (n->kind != AD__ADD_TO) return false;
    const ad__buffer *b = buffer_of(c, &n->out);
    const ad__access *a = &c->to[ad__buffer_of(n->out.at)];
    if ((b->kind != AD__WORK && b->kind != AD__OUTPUT) || b->size < LEAST_SIZE || a->otherwise) return false;
    return a->last_write == k && a->writes > 2 && (a->reads == 0 || a->first_read > k);
}

static bool append(gathering *c, int64_t k) {
    writers w;
    c->place[k] = c->nests.n;
    if (ends_sum(c, k) && collect(c, k, &w) && find_part(&w)) return append_parts(c, &w);
    return AD__PUSH(c->e->g, &c->nests, c->e->nests.at[k]);
}

int ad__join_sums(ad_emit *e, bool *changed) {
    gathering c = { .e = e, .to = ad__find_accesses(e) };
    c.place = ad_scope_closing(e->g, ((size_t)e->nests.n + 1) * sizeof *c.place, NULL);
    if (c.to == NULL || c.place == NULL || !find_writes(&c)) return AD_ENOMEM;
    for (int64_t k = 0; k < e->nests.n; k++)
        if (!append(&c, k)) return AD_ENOMEM;
    *changed = c.changed;
    if (!c.changed) return AD_OK;
    e->nests.at = c.nests.at, e->nests.n = c.nests.n, e->nests.capacity = c.nests.capacity;
    return e->code;
}
