/* homes.c: where the results of instructions are kept for others, and where the operands of loops are found. */
#include "ops/compile/roll.h"

#include <string.h>

/* ---- homes ------------------------------------------------------------------------------------------------------- */

static ad__segment *segment_at(const ad__schedule *s, int64_t position) {
    return &s->segments.at[s->segment_of[position]];
}

ad__place ad__home_of(const ad__schedule *s, ad__place at) {
    if (ad__buffer_of(at) != 0) return at;
    int64_t position = s->position[ad__offset_of(at)];
    const ad__segment *g = segment_at(s, position);
    const ad__home *h = &s->homes.at[g->homes + (position - g->start) % g->period];
    return h->at + (h->last_only || h->at < 0 ? 0 : (position - g->start) / g->period);
}

/* Someone outside reads the result. */
static void need_home(ad__schedule *s, ad__place at) {
    if (ad__buffer_of(at) != 0) return;
    int64_t position = s->position[ad__offset_of(at)];
    const ad__segment *g = segment_at(s, position);
    ad__home *h = &s->homes.at[g->homes + (position - g->start) % g->period];
    bool last = g->n > 1 && (position - g->start) / g->period == g->n - 1;
    h->last_only = h->at == AD__NOWHERE ? last : h->last_only && last;
    h->at = 0; /* in need */
}

static void need_homes_of_loop(const ad_emit *e, ad__schedule *s, const ad__segment *g) {
    for (int64_t k = 0; k < g->n; k++) {
        const ad__ref *f = &s->refs.at[g->refs];
        for (int64_t i = g->start + k * g->period; i < g->start + (k + 1) * g->period; i++) {
            const ad__insn *in = &e->insns.at[s->order.at[i]];
            for (int o = 0; o < in->n; o++) {
                bool inside = f[o].kind == AD__LOCAL || (f[o].kind == AD__CARRIED && k > 0);
                if (!inside) need_home(s, e->places.at[in->in + o]);
            }
            f += in->n + 1;
        }
    }
}

static void need_homes(const ad_emit *e, ad__schedule *s, const ad__segment *g) {
    if (g->nest >= 0) {
        const ad__nest *n = &e->nests.at[g->nest];
        for (int k = 0; k < n->n; k++) need_home(s, n->kind == AD__CALL ? e->places.at[n->in[0].at + k] : n->in[k].at);
        return;
    }
    if (g->n > 1) {
        need_homes_of_loop(e, s, g);
        return;
    }
    for (int64_t i = g->start; i < g->start + g->period; i++) {
        const ad__insn *in = &e->insns.at[s->order.at[i]];
        for (int o = 0; o < in->n; o++) {
            ad__place at = e->places.at[in->in + o];
            if (ad__buffer_of(at) == 0 && s->position[ad__offset_of(at)] < g->start) need_home(s, at);
        }
    }
}

enum { FEW_HOMES = 16 }; /* buffers of its own for a loop */

static int count_homes(const ad__schedule *s, const ad__segment *g) {
    int n = 0;
    for (int64_t i = 0; i < g->period; i++) n += s->homes.at[g->homes + i].at != AD__NOWHERE;
    return n;
}

/* A buffer for each result of a loop; one for all results, of each dtype, of another run or of a loop that has many, as
   a function takes a limited number of pointers. */
static void make_homes(ad_emit *e, ad__schedule *s, const ad__segment *g) {
    int shared[2] = { 0, 0 };
    bool own = g->n > 1 && count_homes(s, g) <= FEW_HOMES;
    for (int64_t i = 0; i < g->period; i++) {
        ad__home *h = &s->homes.at[g->homes + i];
        ad_dtype t = e->forms.at[e->insns.at[s->order.at[g->start + i]].form].dtype;
        int64_t size = h->last_only ? 1 : g->n;
        if (h->at == AD__NOWHERE) continue;
        if (own) h->at = ad__place_of(ad__buffer_new(e, AD__WORK, t, size, 0), 0);
        else {
            if (shared[t] == 0) shared[t] = ad__buffer_new(e, AD__WORK, t, 0, 0);
            h->at = ad__place_of(shared[t], e->buffers.at[shared[t]].size);
            e->buffers.at[shared[t]].size += size;
        }
    }
}

/* Nests read numbers where these have their homes. */
static void find_nest_operands(ad_emit *e, const ad__schedule *s) {
    for (int64_t k = 0; k < e->nests.n; k++) {
        ad__nest *n = &e->nests.at[k];
        for (int i = 0; i < n->n; i++) {
            ad__place *at = n->kind == AD__CALL ? &e->places.at[n->in[0].at + i] : &n->in[i].at;
            *at = ad__home_of(s, *at);
        }
    }
}

int ad__find_homes(ad_emit *e, ad__schedule *s) {
    s->segment_of = ad_scope_closing(e->g, ((size_t)s->order.n + 1) * sizeof *s->segment_of, NULL);
    if (s->segment_of == NULL) return AD_ENOMEM;
    for (int64_t k = 0; k < s->segments.n; k++) {
        ad__segment *g = &s->segments.at[k];
        g->homes = s->homes.n;
        if (g->nest >= 0) continue;
        for (int64_t i = 0; i < g->n * g->period; i++) s->segment_of[g->start + i] = (int32_t)k;
        for (int64_t i = 0; i < g->period; i++)
            if (!AD__PUSH(e->g, &s->homes, (ad__home){ .at = AD__NOWHERE })) return AD_ENOMEM;
    }
    for (int64_t k = 0; k < s->segments.n; k++) need_homes(e, s, &s->segments.at[k]);
    for (int64_t k = 0; k < s->segments.n && e->code == AD_OK; k++)
        if (s->segments.at[k].nest < 0) make_homes(e, s, &s->segments.at[k]);
    if (e->code == AD_OK) find_nest_operands(e, s);
    return e->code;
}

/* ---- references of loops to memory ------------------------------------------------------------------------------- */

/* The place of an operand in repetition k. */
static ad__place place_in(const ad_emit *e, const ad__schedule *s, int64_t insn, int o, int64_t skip, int64_t k) {
    const ad__insn *in = &e->insns.at[s->order.at[insn + k * skip]];
    return ad__home_of(s, o < in->n ? e->places.at[in->in + o] : in->out);
}

/* Parameters that are equal in all repetitions are one number. */
static bool is_one_number(const ad_emit *e, const ad__schedule *s, const ad__segment *g, int64_t insn, int o) {
    if (ad__buffer_of(place_in(e, s, insn, o, g->period, 0)) != AD__NUMBER_BUFFER) return false;
    const double *first = &e->numbers.at[ad__offset_of(place_in(e, s, insn, o, g->period, 0))];
    for (int64_t k = 1; k < g->n; k++) {
        const double *x = &e->numbers.at[ad__offset_of(place_in(e, s, insn, o, g->period, k))];
        if (memcmp(x, first, sizeof *x) != 0) return false;
    }
    return true;
}

static bool is_affine(const ad_emit *e, const ad__schedule *s, const ad__segment *g, int64_t insn, int o, ad__ref *f) {
    f->first = place_in(e, s, insn, o, g->period, 0);
    f->stride = 0;
    if (is_one_number(e, s, g, insn, o)) return true;
    f->stride = place_in(e, s, insn, o, g->period, 1) - f->first;
    for (int64_t k = 1; k < g->n; k++)
        if (place_in(e, s, insn, o, g->period, k) != f->first + k * f->stride) return false;
    return ad__buffer_of(f->first) == ad__buffer_of(f->first + f->stride * (g->n - 1));
}

/* Writes the offsets of all repetitions to a table: in the buffer, or in the work memory if the places are in several
   buffers. */
static bool make_table(ad_emit *e, ad__schedule *s, const ad__segment *g, int64_t insn, int o, ad__ref *f) {
    int b = ad__buffer_of(place_in(e, s, insn, o, g->period, 0));
    for (int64_t k = 1; k < g->n; k++) f->absolute |= ad__buffer_of(place_in(e, s, insn, o, g->period, k)) != b;
    f->kind = AD__TABLE, f->table = s->tables.n, f->first = ad__place_of(b, 0);
    int64_t size = e->buffers.at[b].dtype == AD_F32 ? 4 : 8;
    for (int64_t k = 0; k < g->n; k++) {
        ad__place at = place_in(e, s, insn, o, g->period, k);
        int64_t offset = ad__offset_of(at);
        if (f->absolute) offset += e->buffers.at[ad__buffer_of(at)].index / size;
        if (!AD__PUSH(e->g, &s->tables, (int32_t)offset)) return false;
    }
    return true;
}

static bool resolve_loop(ad_emit *e, ad__schedule *s, const ad__segment *g) {
    ad__ref *f = &s->refs.at[g->refs];
    for (int64_t i = g->start; i < g->start + g->period; i++) {
        const ad__insn *in = &e->insns.at[s->order.at[i]];
        for (int o = 0; o <= in->n; o++, f++) {
            if (o == in->n && in->kind == AD__DEFINE) continue; /* its result has no reference */
            if (f->kind == AD__LOCAL) continue;
            if (f->kind == AD__CARRIED) f->first = place_in(e, s, i, o, g->period, 0);
            else {
                f->kind = AD__AFFINE;
                if (!is_affine(e, s, g, i, o, f) && !make_table(e, s, g, i, o, f)) return false;
            }
        }
    }
    return true;
}

int ad__find_operands(ad_emit *e, ad__schedule *s) {
    for (int64_t k = 0; k < s->segments.n; k++)
        if (s->segments.at[k].nest < 0 && s->segments.at[k].n > 1 && !resolve_loop(e, s, &s->segments.at[k]))
            return e->code = AD_ENOMEM;
    return AD_OK;
}
