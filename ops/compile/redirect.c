/* redirect.c: finds out who reads and writes buffers; what is only copied into another array is computed there. */
#include <string.h>

#include "ops/compile/roll.h"

/* ---- who reads and writes a buffer ------------------------------------------------------------------------------- */

static void touch_otherwise(ad__access *to, ad__place at) {
    if (at != AD__NOWHERE) to[ad__buffer_of(at)].otherwise = true;
}

static void touch_nest(const ad_emit *e, ad__access *to, int64_t k) {
    const ad__nest *n = &e->nests.at[k];
    for (int i = 0; i < n->n; i++) {
        ad__access *a = &to[ad__buffer_of(n->in[i].at)];
        if (a->reads++ == 0) a->first_read = k;
    }
    ad__access *a = &to[ad__buffer_of(n->out.at)];
    a->writes++, a->last_write = k;
}

ad__access *ad__find_accesses(const ad_emit *e) {
    ad__access *to = ad_scope_closing(e->g, ((size_t)e->buffers.n + 1) * sizeof *to, NULL);
    if (to == NULL) return NULL;
    for (int64_t b = 0; b < e->buffers.n; b++) to[b] = (ad__access){ .first_read = -1, .last_write = -1 };
    for (int64_t i = 0; i < e->insns.n; i++) {
        const ad__insn *in = &e->insns.at[i];
        for (int o = 0; o < in->n; o++) touch_otherwise(to, e->places.at[in->in + o]);
        if (in->kind != AD__DEFINE) touch_otherwise(to, in->out), to[ad__buffer_of(in->out)].stored = true;
    }
    for (int64_t k = 0; k < e->nests.n; k++) {
        const ad__nest *n = &e->nests.at[k];
        if (n->kind < AD__CALL) touch_nest(e, to, k);
        if (n->kind != AD__CALL) continue;
        for (int i = 0; i < n->n; i++) touch_otherwise(to, e->places.at[n->in[0].at + i]);
        touch_otherwise(to, n->out.at), to[ad__buffer_of(n->out.at)].stored = true;
    }
    return to;
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

enum { NEAR = 64 }; /* nests between an array and its copy, at most */

static bool is_copy(const ad_emit *e, const ad__nest *n) {
    const ad__form *f = &e->forms.at[n->form];
    if (n->kind != AD__SET || n->n != 1 || f->n != 1 || !(f->used & 1) || f->length != f->name[0].length) return false;
    const ad__buffer *from = &e->buffers.at[ad__buffer_of(n->in[0].at)];
    const ad__buffer *to = &e->buffers.at[ad__buffer_of(n->out.at)];
    return from->kind == AD__WORK && to->kind == AD__WORK && from->dtype == f->dtype && to->dtype == f->dtype;
}

/* The nest over the axes of `like`, which has as many indices. */
static bool with_axes(ad__nest *n, const ad__nest *like) {
    if (ad__same_axes(n, like)) return true;
    if (n->ndim != 1 || ad__indices(n) != ad__indices(like)) return false;
    ad__split_axis(n, like);
    return true;
}

/* Whether a nest from number `from` to the one before c reads or writes what c writes. */
static bool meets(const ad_emit *e, int64_t from, int64_t c) {
    const ad__nest *copy = &e->nests.at[c];
    for (int64_t k = from; k < c; k++) {
        ad__nest *n = &e->nests.at[k];
        for (int i = 0; i <= n->n && n->kind < AD__CALL; i++)
            if (ad__overlap(n, ad__map_at(n, i), copy, &copy->out)) return true;
    }
    return false;
}

/* Lets the nest that computes what nest c copies write where c does. */
static void redirect(ad_emit *e, ad__access *to, int64_t c) {
    ad__nest copy = e->nests.at[c];
    if (!is_copy(e, &copy)) return;
    const ad__access *from = &to[ad__buffer_of(copy.in[0].at)];
    ad__access *at = &to[ad__buffer_of(copy.out.at)];
    int64_t p = from->last_write;
    if (from->otherwise || at->otherwise || from->writes != 1 || from->reads != 1 || p < 0 || c - p > NEAR) return;
    ad__nest n = e->nests.at[p];
    if (p > c || n.kind != AD__SET || !ad__is_elementwise(&n) || !ad__is_elementwise(&copy)) return;
    if (!with_axes(&n, &copy) && !with_axes(&copy, &n)) return;
    if (!ad__same_place(&n, &n.out, &copy.in[0]) || meets(e, p, c)) return;
    n.out = copy.out;
    e->nests.at[p] = n;
    e->nests.at[c].kind = AD__NOTHING, e->nests.at[c].n = 0;
    if (at->last_write == c) at->last_write = p;
}

int ad__redirect(ad_emit *e) {
    ad__access *to = ad__find_accesses(e);
    if (to == NULL) return AD_ENOMEM;
    for (int64_t c = 0; c < e->nests.n; c++) redirect(e, to, c);
    return AD_OK;
}
