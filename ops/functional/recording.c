/* recording.c: what a user's function recorded: a print to compare with a later call, and the Vars from outside that it
   uses.

   The print is a hash of the Ops in their order: descriptors, attributes that are listed, shapes, and operands. An
   operand is one of the xs, a result of one of these Ops, a constant that the function made (its elements count, unless
   they were drawn or are the caller's memory), or a Var from outside (its address counts). */
#include "ops/functional/recording.h"

#include <string.h>

ad__recording ad__recording_begin(ad_graph *g, int n, ad_var *const xs[]) {
    return (ad__recording){ .g = g, .n = n, .xs = xs, .start = ad__arena_here(&g->nodes), .before = g->n_ops };
}

void ad__recording_free(ad__recording *r) {
    if (r->captured != NULL) ad__pool_give(&r->g->pool, r->captured, (size_t)r->capacity * sizeof *r->captured);
    r->captured = NULL;
}

/* ---- the hash ------------------------------------------------------------------------------------------- */

static void mix(ad__recording *r, uint64_t word) {
    uint64_t h = (r->print ^ word) * 0x9e3779b97f4a7c15u;
    r->print = h ^ h >> 29;
}

static void mix_bytes(ad__recording *r, const void *bytes, size_t n) {
    const char *p = bytes;
    for (; n >= sizeof(uint64_t); p += sizeof(uint64_t), n -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        mix(r, word);
    }
    uint64_t rest = 0;
    memcpy(&rest, p, n);
    mix(r, rest + n);
}

static void mix_layout(ad__recording *r, const ad__layout *l) {
    mix(r, (uint64_t)l->dtype + 2 * (uint64_t)l->shape.ndim);
    mix_bytes(r, l->shape.dim, (size_t)l->shape.ndim * sizeof *l->shape.dim);
}

/* The attributes as text, since their struct may have padding. */
static void mix_attributes(ad__recording *r, const ad_op *op) {
    for (const ad_attr *a = op->type->attrs; a != NULL && a->name != NULL; a++) {
        const char *at = (const char *)ad__attrs_of(op) + a->offset;
        char text[160];
        if (a->kind == AD_ATTR_DOUBLE) mix_bytes(r, at, sizeof(double));
        else mix_bytes(r, text, (size_t)ad_attr_text(a, ad__attrs_of(op), text, sizeof text));
    }
}

/* ---- operands ------------------------------------------------------------------------------------------- */

enum { GIVEN, MADE, DRAWN, CONSTANT, OUTSIDE }; /* kinds of operands */

static bool is_drawn(const ad_var *v) {
    return v->flags & AD__DRAWN || (v->creator != NULL && ad__is_draw(v->creator));
}

static int kind_of(const ad__recording *r, const ad_var *v) {
    bool inside = v->creator ? v->creator->id > r->before : !ad__arena_before(&r->g->nodes, r->start, v);
    if (!inside) return OUTSIDE;
    return is_drawn(v) ? DRAWN : v->creator ? MADE : CONSTANT;
}

/* The index of v among the xs, or -1. */
static int given(const ad__recording *r, const ad_var *v) {
    for (int i = 0; i < r->n; i++)
        if (r->xs[i] == v) return i;
    return -1;
}

static int capture(ad__recording *r, ad_var *v) {
    for (int i = 0; i < r->n_captured; i++)
        if (r->captured[i] == v) return AD_OK;
    if (r->n_captured == r->capacity) {
        int more = r->capacity ? 2 * r->capacity : 16;
        size_t bytes = (size_t)more * sizeof *r->captured;
        ad_var **list = ad__pool_resize(&r->g->pool, r->captured, (size_t)r->capacity * sizeof *list, bytes);
        if (list == NULL) return ad_no_memory(r->g, "a checkpoint", bytes);
        r->captured = list;
        r->capacity = more;
    }
    r->captured[r->n_captured++] = v;
    return AD_OK;
}

/* numbers: of the Ops since `before`, not counting those that stand for leaves. */
static int mix_operand(ad__recording *r, ad_var *v, const uint32_t *numbers, bool collect) {
    int i = given(r, v), kind = i >= 0 ? GIVEN : kind_of(r, v);
    mix(r, (uint64_t)kind);
    if (kind == GIVEN) mix(r, (uint64_t)i);
    if (kind == MADE) mix(r, numbers[v->creator->id - r->before - 1]);
    if (kind == DRAWN || kind == CONSTANT) mix_layout(r, v->layout);
    if (kind == CONSTANT && !(v->flags & AD__BORROWED)) mix_bytes(r, v->data, ad__bytes(v));
    if (kind == OUTSIDE) mix(r, (uintptr_t)v);
    return kind == OUTSIDE && collect ? capture(r, v) : AD_OK;
}

static int mix_op(ad__recording *r, const ad_op *op, const uint32_t *numbers, bool collect) {
    int rc = AD_OK;
    mix(r, (uintptr_t)op->type);
    mix_layout(r, ad__out(op)->layout);
    mix_attributes(r, op);
    for (int i = 0; i < op->n_in && rc == AD_OK; i++) rc = mix_operand(r, op->in[i], numbers, collect);
    return rc;
}

/* Numbers the Ops in order of creation. */
static void number_ops(const ad__recording *r, uint32_t count, uint32_t *numbers) {
    for (const ad_op *op = r->g->last; op != NULL && op->id > r->before; op = op->prev)
        numbers[op->id - r->before - 1] = !ad__is_draw(op);
    for (uint32_t i = 0, sum = 0; i < count; i++) sum += numbers[i], numbers[i] = sum;
}

int ad__recording_end(ad__recording *r, ad_var *y, bool collect) {
    uint32_t count = r->g->n_ops - r->before;
    size_t bytes = (count + (size_t)1) * sizeof(uint32_t);
    uint32_t *numbers = ad_buffer_take(r->g, bytes);
    if (numbers == NULL) return AD_ENOMEM;
    number_ops(r, count, numbers);
    int rc = mix_operand(r, y, numbers, collect);
    for (const ad_op *op = r->g->last; op != NULL && op->id > r->before && rc == AD_OK; op = op->prev)
        if (!ad__is_draw(op)) rc = mix_op(r, op, numbers, collect);
    ad_buffer_give(r->g, numbers, bytes);
    return rc;
}
