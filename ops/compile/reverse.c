/* reverse.c: appends the gradient to a lowered graph: the instructions and nests backwards, each with its slopes. */
#include <string.h>

#include "ops/compile/emit.h"

/* What the reverse pass knows of the program that it walks through. */
typedef struct {
    ad_emit *e;
    bool *needs;     /* by instruction: its result depends on the arguments */
    ad__place *grad; /* by instruction: the gradient of its result so far; AD__NOWHERE */
    AD__VEC(ad__place) cells; /* the same for the elements of buffers of cells, from their `grad` on */
} pass;

static bool needs_place(const pass *p, ad__place at) {
    int b = ad__buffer_of(at);
    return b == 0 ? p->needs[ad__offset_of(at)] : p->e->buffers.at[b].needs;
}

/* ---- who depends on the arguments -------------------------------------------------------------------------------- */

static bool insn_needs(const pass *p, const ad__insn *in) {
    const ad__form *f = &p->e->forms.at[in->form];
    for (int i = 0; i < in->n && i < AD__COUNT(f->slope); i++)
        if (f->slope[i] != AD__ZERO_SLOPE && needs_place(p, p->e->places.at[in->in + i])) return true;
    return false;
}

/* False if the slopes of a function are not given, and its operands depend on the arguments. */
static bool mark_code(pass *p, const ad__nest *n) {
    const ad__code *c = &p->e->codes.at[n->code - 1];
    bool needs = false;
    for (int i = 0; i < c->given.n; i++)
        needs |= (c->given.by_vars || c->given.slope[i]) && needs_place(p, c->given.in[i].place);
    p->e->buffers.at[ad__buffer_of(n->out.at)].needs |= needs;
    return !(needs && c->given.by_vars);
}

/* False if an Op without a form depends on the arguments. */
static bool mark_nest(pass *p, const ad__nest *n) {
    const ad__form *f = &p->e->forms.at[n->form];
    bool needs = false;
    if (n->kind == AD__CALL && n->code) return mark_code(p, n);
    if (n->kind == AD__CALL) {
        if (n->op->type->flags & AD_OP_CONSTANT) return true;
        for (int i = 0; i < n->n; i++) needs |= needs_place(p, p->e->places.at[n->in[0].at + i]);
        return !needs;
    }
    for (int i = 0; i < n->n && i < AD__COUNT(f->slope); i++)
        needs |= f->slope[i] != AD__ZERO_SLOPE && needs_place(p, n->in[i].at);
    p->e->buffers.at[ad__buffer_of(n->out.at)].needs |= needs;
    return true;
}

static bool mark_needs(pass *p) {
    ad_emit *e = p->e;
    for (int64_t b = 0; b < e->buffers.n; b++) e->buffers.at[b].needs = e->buffers.at[b].kind == AD__ARGUMENT;
    int64_t i = 0;
    for (int64_t k = 0; k <= e->nests.n; k++) {
        for (int64_t end = k < e->nests.n ? e->nests.at[k].at : e->insns.n; i < end; i++)
            p->needs[i] = e->insns.at[i].kind == AD__DEFINE && insn_needs(p, &e->insns.at[i]);
        if (k < e->nests.n && !mark_nest(p, &e->nests.at[k])) return false;
    }
    return true;
}

/* ---- adding to a gradient ---------------------------------------------------------------------------------------- */

static void zero_buffer(ad_emit *e, int b) {
    int zero = ad__form_make(e, "0", 0, e->buffers.at[b].dtype, "0", 1, "");
    ad__nest *n = ad__nest_add(e, AD__SET, zero, 1, &e->buffers.at[b].size);
    if (n) n->out = (ad__map){ .at = ad__place_of(b, 0), .stride = { 1 } };
}

/* The buffer of the gradient of buffer b, made if there is none; then *fresh is set and nothing is written to it. */
static int grad_buffer(ad_emit *e, int b, bool *fresh) {
    ad__buffer x = e->buffers.at[b];
    *fresh = x.grad == 0;
    if (x.grad) return x.grad;
    bool is_argument = x.kind == AD__ARGUMENT;
    int grad = ad__buffer_new(e, is_argument ? AD__OUTPUT : AD__WORK, x.dtype, x.size, is_argument ? 1 + x.index : 0);
    return e->buffers.at[b].grad = grad;
}

static void add_to_cell(pass *p, ad__place *grad, ad__place d, ad_dtype t) {
    ad_emit *e = p->e;
    if (*grad == AD__NOWHERE) *grad = d;
    else {
        int sum = ad__form_make(e, "a + b", 0, t, "a + b", 5, "a b");
        *grad = ad__insn_add(e, AD__DEFINE, sum, 2, (ad__place[]){ *grad, d }, AD__NOWHERE);
    }
}

static void add_to_element(pass *p, ad__place at, ad__place d) {
    ad_emit *e = p->e;
    bool fresh;
    int b = ad__buffer_of(at), grad = grad_buffer(e, b, &fresh);
    bool single = e->buffers.at[b].size == 1;
    if (fresh && !single) zero_buffer(e, grad);
    ad__insn_add(e, fresh && single ? AD__STORE : AD__ADD, ad__copy_form(e, e->buffers.at[b].dtype), 1, &d,
                 ad__place_of(grad, ad__offset_of(at)));
}

/* Adds the number d to the gradient of a place. */
static void add_number(pass *p, ad__place at, ad__place d) {
    ad_emit *e = p->e;
    int b = ad__buffer_of(at);
    int64_t i = ad__offset_of(at);
    if (e->code != AD_OK) return;
    if (b == 0) add_to_cell(p, &p->grad[i], d, e->forms.at[e->insns.at[i].form].dtype);
    else if (e->buffers.at[b].cells) add_to_cell(p, &p->cells.at[e->buffers.at[b].grad + i], d, e->buffers.at[b].dtype);
    else add_to_element(p, at, d);
}

/* ---- instructions ------------------------------------------------------------------------------------------------ */

static ad_dtype dtype_of(const ad_emit *e, ad__place at) {
    int b = ad__buffer_of(at);
    return b ? e->buffers.at[b].dtype : e->forms.at[e->insns.at[ad__offset_of(at)].form].dtype;
}

static bool is_name(const ad__form *f, int i, const char *s) {
    return f->name[i].length == (int)strlen(s) && memcmp(f->name[i].at, s, (size_t)f->name[i].length) == 0;
}

/* The operand of a value's formula that has the name i of a slope's formula; -1 for y, -2 for g. */
static int operand_named(const ad__form *value, const ad__form *slope, int i) {
    for (int k = 0; k < value->n; k++)
        if (value->name[k].length == slope->name[i].length &&
            memcmp(value->name[k].at, slope->name[i].at, (size_t)slope->name[i].length) == 0)
            return k;
    return is_name(slope, i, "y") ? -1 : -2;
}

static ad__place slope_of_insn(pass *p, int64_t i, int form, ad__place g) {
    ad_emit *e = p->e;
    ad__place in[AD__NAMES];
    const ad__form *value = &e->forms.at[e->insns.at[i].form], *slope = &e->forms.at[form];
    for (int k = 0; k < slope->n; k++) {
        int operand = operand_named(value, slope, k);
        in[k] = operand == -1 ? ad__place_of(0, i) : operand == -2 ? g : e->places.at[e->insns.at[i].in + operand];
    }
    return ad__insn_add(e, AD__DEFINE, form, slope->n, in, AD__NOWHERE);
}

static void reverse_insn(pass *p, int64_t i) {
    ad_emit *e = p->e;
    ad__place g = p->grad[i];
    if (!p->needs[i] || g == AD__NOWHERE) return;
    for (int k = 0; k < e->insns.at[i].n && k < 3; k++) {
        const ad__form *f = &e->forms.at[e->insns.at[i].form];
        ad__place at = e->places.at[e->insns.at[i].in + k], d = g;
        int slope = f->slope[k];
        if (slope == AD__ZERO_SLOPE || !needs_place(p, at)) continue;
        if (slope != AD__UNIT_SLOPE) d = slope_of_insn(p, i, slope, g);
        else if (dtype_of(e, at) != f->dtype)
            d = ad__insn_add(e, AD__DEFINE, ad__copy_form(e, dtype_of(e, at)), 1, &g, AD__NOWHERE);
        add_number(p, at, d);
    }
}

/* ---- nests ------------------------------------------------------------------------------------------------------- */

/* Whether the elements that a map meets are all of a buffer's, each once for each index along the axes of stride 0. */
static bool is_whole(const ad_emit *e, const ad__nest *n, const ad__map *m) {
    bool used[AD__DIMS] = { false };
    int64_t size = 1;
    if (ad__offset_of(m->at) != 0) return false;
    for (bool found = true; found;) {
        found = false;
        for (int d = 0; d < n->ndim; d++) {
            if (used[d] || n->dim[d] < 2 || m->stride[d] != size) continue;
            used[d] = found = true;
            size *= n->dim[d];
        }
    }
    for (int d = 0; d < n->ndim; d++)
        if (!used[d] && n->dim[d] > 1 && m->stride[d] != 0) return false;
    return size == e->buffers.at[ad__buffer_of(m->at)].size;
}

static bool repeats(const ad__nest *n, const ad__map *m) {
    for (int d = 0; d < n->ndim; d++)
        if (n->dim[d] > 1 && m->stride[d] == 0) return true;
    return false;
}

/* Where the gradient of a nest's result is; AD__NOWHERE if there is none. */
static ad__place gradient_of(const pass *p, const ad__nest *n) {
    const ad__buffer *x = &p->e->buffers.at[ad__buffer_of(n->out.at)];
    if (x->cells) return p->cells.at[x->grad];
    return x->grad ? ad__place_of(x->grad, ad__offset_of(n->out.at)) : AD__NOWHERE;
}

/* Appends the nest that adds the slope by operand k to `to`, in the way that `kind` says. */
static void slope_nest(pass *p, int64_t at, int k, ad__nest_kind kind, ad__map to) {
    ad_emit *e = p->e;
    ad__nest n = e->nests.at[at];
    int slope = e->forms.at[n.form].slope[k], unit = slope == AD__UNIT_SLOPE;
    ad__map g = n.out;
    g.at = gradient_of(p, &n);
    int form = unit ? ad__copy_form(e, dtype_of(e, to.at)) : slope;
    ad__nest *s = ad__nest_add(e, kind, form, n.ndim, n.dim);
    if (s == NULL) return;
    const ad__form *value = &e->forms.at[n.form], *f = &e->forms.at[form];
    s->out = to, s->n = f->n;
    for (int i = 0; i < f->n; i++) {
        int operand = unit ? -2 : operand_named(value, f, i);
        s->in[i] = operand == -1 ? n.out : operand == -2 ? g : n.in[operand];
    }
}

static void reverse_operand(pass *p, int64_t at, int k) {
    ad_emit *e = p->e;
    ad__nest n = e->nests.at[at];
    ad__map to = n.in[k];
    int b = ad__buffer_of(to.at);
    if (b == 0 || e->buffers.at[b].cells) {
        ad__place sum = ad__place_of(ad__buffer_new(e, AD__WORK, dtype_of(e, to.at), 1, 0), 0);
        slope_nest(p, at, k, AD__SUM, (ad__map){ .at = sum });
        add_number(p, to.at, sum);
        return;
    }
    bool fresh;
    int grad = grad_buffer(e, b, &fresh);
    ad__nest_kind kind = AD__ADD_TO;
    if (fresh && is_whole(e, &n, &to)) kind = repeats(&n, &to) ? AD__SUM : AD__SET;
    else if (fresh) zero_buffer(e, grad);
    to.at = ad__place_of(grad, ad__offset_of(to.at));
    slope_nest(p, at, k, kind, to);
}

/* The gradient of what was overwritten is 0. */
static void clear_overwritten(pass *p, const ad__nest *n) {
    ad_emit *e = p->e;
    const ad__buffer *x = &e->buffers.at[ad__buffer_of(n->out.at)];
    if (x->cells) {
        p->cells.at[x->grad] = AD__NOWHERE;
        return;
    }
    int zero = ad__form_make(e, "0", 0, x->dtype, "0", 1, "");
    ad__map out = n->out;
    out.at = gradient_of(p, n);
    ad__nest *z = ad__nest_add(e, AD__SET, zero, n->ndim, n->dim);
    if (z) z->out = out;
}

static void reverse_code(pass *p, const ad__nest *n) {
    ad_emit *e = p->e;
    ad__place g = gradient_of(p, n);
    if (g == AD__NOWHERE) return;
    for (int k = 0; k < e->codes.at[n->code - 1].given.n && e->code == AD_OK; k++) {
        ad__place to = e->codes.at[n->code - 1].given.in[k].place;
        int b = ad__buffer_of(to), grad;
        bool fresh = true, number = b == 0 || e->buffers.at[b].cells;
        if (e->codes.at[n->code - 1].given.slope[k] == NULL || !needs_place(p, to)) continue;
        grad = number ? ad__buffer_new(e, AD__WORK, dtype_of(e, to), 1, 0) : grad_buffer(e, b, &fresh);
        if (fresh) zero_buffer(e, grad);
        ad__slope_call(e, n->code, k, g, ad__place_of(grad, number ? 0 : ad__offset_of(to)));
        if (number) add_number(p, to, ad__place_of(grad, 0));
    }
}

static void reverse_nest(pass *p, int64_t at) {
    ad_emit *e = p->e;
    ad__nest n = e->nests.at[at];
    if (n.code) reverse_code(p, &n);
    if (n.kind == AD__CALL || gradient_of(p, &n) == AD__NOWHERE) return;
    for (int k = 0; k < n.n && k < 3 && e->code == AD_OK; k++)
        if (e->forms.at[n.form].slope[k] != AD__ZERO_SLOPE && needs_place(p, n.in[k].at)) reverse_operand(p, at, k);
    if (n.overwrites) clear_overwritten(p, &n);
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

static int begin(pass *p) {
    ad_emit *e = p->e;
    size_t n = (size_t)e->insns.n + 1;
    p->needs = ad_scope_closing(e->g, n * sizeof *p->needs, NULL);
    p->grad = ad_scope_closing(e->g, n * sizeof *p->grad, NULL);
    if (p->needs == NULL || p->grad == NULL) return e->code = AD_ENOMEM;
    for (size_t i = 0; i < n; i++) p->grad[i] = AD__NOWHERE;
    for (int64_t b = 0; b < e->buffers.n; b++) {
        ad__buffer *x = &e->buffers.at[b];
        x->cells |= x->kind == AD__WORK && x->size == 1;
        if (!x->cells) continue;
        if (!AD__RESERVE(e->g, &p->cells, x->size)) return e->code = AD_ENOMEM;
        x->grad = (int)p->cells.n;
        for (int64_t i = 0; i < x->size; i++) p->cells.at[p->cells.n++] = AD__NOWHERE;
    }
    return AD_OK;
}

/* The gradients of consecutive xs of one element, stored one after the other. */
static void store_cells(pass *p, const ad__buffer *x) {
    ad_emit *e = p->e;
    int copy = ad__copy_form(e, x->dtype), to = ad__buffer_new(e, AD__OUTPUT, x->dtype, x->size, 1 + x->index);
    ad__place none = AD__NOWHERE;
    for (int64_t i = 0; i < x->size && e->code == AD_OK; i++) {
        ad__place g = p->cells.at[x->grad + i];
        if (g == AD__NOWHERE) g = none = none == AD__NOWHERE ? ad__number(e, 0) : none;
        ad__insn_add(e, AD__STORE, copy, 1, &g, ad__place_of(to, i));
    }
}

static void store_gradients(pass *p) {
    ad_emit *e = p->e;
    for (int64_t b = 0, n = e->buffers.n; b < n && e->code == AD_OK; b++) {
        ad__buffer x = e->buffers.at[b];
        if (x.kind != AD__ARGUMENT) continue;
        e->n_outputs++;
        if (x.cells) store_cells(p, &x);
        else if (x.grad == 0) zero_buffer(e, ad__buffer_new(e, AD__OUTPUT, x.dtype, x.size, 1 + x.index));
    }
}

int ad__reverse(ad_emit *e, ad_emit_array y) {
    pass p = { .e = e };
    if (begin(&p) != AD_OK) return e->code;
    if (!mark_needs(&p)) return AD_EABSENT;
    int64_t i = e->insns.n;
    int64_t k = e->nests.n;
    add_number(&p, y.place, ad__number(e, 1));
    for (; k >= 0 && e->code == AD_OK; k--) {
        for (int64_t from = k > 0 ? e->nests.at[k - 1].at : 0; i > from && e->code == AD_OK;) reverse_insn(&p, --i);
        if (k > 0 && e->code == AD_OK) reverse_nest(&p, k - 1);
    }
    store_gradients(&p);
    return e->code;
}
