/* nests.c: what the results of loops depend on.

   For each operand, the axes of the loop are of four kinds: kept (the operand and the result move along them), reduced
   (only the operand does), repeated (only the result does), and those that neither moves along. So the sets of an
   operand are joined once over the reduced axes and then spread: a matrix product of n x k and k x m takes
   n k + k m + n m steps. */
#include "ops/sparse/pattern.h"

typedef struct {
    int64_t n, in, out; /* size, and strides */
} axis;

typedef struct {
    int n;
    axis at[AD__DIMS];
} axes;

typedef struct {
    axes kept, reduced, repeated;
} kinds;

static kinds kinds_of(const ad__nest *n, const ad__map *in) {
    kinds k = { 0 };
    for (int d = 0; d < n->ndim; d++) {
        int64_t from = in->stride[d], to = n->out.stride[d];
        if (n->dim[d] == 1 || (from == 0 && to == 0)) continue;
        axes *a = from == 0 ? &k.repeated : to == 0 ? &k.reduced : &k.kept;
        a->at[a->n++] = (axis){ n->dim[d], from, to };
    }
    return k;
}

/* Steps through all indices of some axes. Zeroed, it stands at the first. */
typedef struct {
    int64_t index[AD__DIMS], in, out;
} counter;

static bool step(const axes *a, counter *c) {
    for (int d = a->n; d-- > 0;) {
        const axis *x = &a->at[d];
        c->in += x->in, c->out += x->out;
        if (++c->index[d] < x->n) return true;
        c->in -= x->n * x->in, c->out -= x->n * x->out, c->index[d] = 0;
    }
    return false;
}

static ad__subset join(ad_pattern *p, const axes *reduced, const ad__subset *from) {
    counter c = { 0 };
    if (reduced->n == 0) return *from;
    ad__union_begin(&p->sets);
    do ad__union_add(&p->sets, from[c.in]);
    while (step(reduced, &c));
    return ad__union_end(&p->sets);
}

static void spread(ad_pattern *p, const axes *repeated, ad__subset s, ad__subset *to) {
    counter c = { 0 };
    do to[c.out] = ad__union_of(&p->sets, to[c.out], s);
    while (step(repeated, &c));
}

static void add_operand(ad_pattern *p, const ad__nest *n, const ad__map *in, const ad__subset *from, ad__subset *to) {
    kinds k = kinds_of(n, in);
    counter c = { 0 };
    do {
        ad__subset s = join(p, &k.reduced, from + c.in);
        if (s != 0) spread(p, &k.repeated, s, to + c.out);
    } while (p->sets.code == AD_OK && step(&k.kept, &c));
}

/* The sets at a place; NULL if nothing there depends on x. */
static const ad__subset *sets_at(const ad_pattern *p, ad__place at) {
    int b = ad__buffer_of(at);
    const ad__subset *array = b == 0 ? p->results : p->arrays[b];
    return array ? array + ad__offset_of(at) : NULL;
}

static bool has_slope(const ad_pattern *p, const ad__nest *n, int i) {
    const ad__form *f = &p->e->forms.at[n->form];
    return i < AD__COUNT(f->slope) && f->slope[i] != AD__ZERO_SLOPE;
}

/* What was in the places that a loop writes is gone, unless the loop reads it. */
static void clear(ad_pattern *p, const ad__nest *n, ad__subset *to) {
    int b = ad__buffer_of(n->out.at);
    for (int i = 0; i < n->n; i++)
        if (ad__buffer_of(n->in[i].at) == b) return;
    kinds k = kinds_of(n, &(ad__map){ .at = 0 });
    counter c = { 0 };
    do to[c.out] = 0;
    while (step(&k.repeated, &c));
    (void)p;
}

void ad__pattern_nest(ad_pattern *p, const ad__nest *n) {
    int b = ad__buffer_of(n->out.at);
    for (int d = 0; d < n->ndim; d++)
        if (n->dim[d] == 0) return;
    if (n->kind != AD__ADD_TO && p->arrays[b]) clear(p, n, p->arrays[b] + ad__offset_of(n->out.at));
    for (int i = 0; i < n->n && p->sets.code == AD_OK; i++) {
        const ad__subset *from = has_slope(p, n, i) ? sets_at(p, n->in[i].at) : NULL;
        ad__subset *to = from ? ad__pattern_array(p, b) : NULL;
        if (to) add_operand(p, n, &n->in[i], from, to + ad__offset_of(n->out.at));
    }
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static ad__place place_of(const ad_pattern *p, const ad__nest *n, int i) { return p->e->places.at[n->in[0].at + i]; }

/* The sets of operand i of a call; NULL if it does not depend on x, or takes no gradient. */
static const ad__subset *operand(const ad_pattern *p, const ad__nest *n, int i) {
    return ad__takes_no_grad(n->op->type->no_grad, i) ? NULL : sets_at(p, place_of(p, n, i));
}

static ad__subset *result(ad_pattern *p, const ad__nest *n) {
    ad__subset *array = ad__pattern_array(p, ad__buffer_of(n->out.at));
    return array ? array + ad__offset_of(n->out.at) : NULL;
}

/* Each element of the result depends on all elements of all operands. */
static void add_all(ad_pattern *p, const ad__nest *n) {
    ad__union_begin(&p->sets);
    for (int i = 0; i < n->op->n_in; i++) {
        const ad__subset *from = operand(p, n, i);
        for (int64_t k = 0; from && k < n->op->in[i]->layout->numel; k++) ad__union_add(&p->sets, from[k]);
    }
    ad__subset all = ad__union_end(&p->sets), *to = all ? result(p, n) : NULL;
    for (int64_t k = 0; to && k < ad__out(n->op)->layout->numel; k++) to[k] = all;
}

/* Where an array of shape s, which broadcasts to the result, is read from; the result itself is in row-major order. */
static ad__map map_of(ad_shape s, ad_shape to, ad__place at) {
    ad__map m = { .at = at };
    int64_t stride = 1;
    for (int d = to.ndim, i = s.ndim; d-- > 0 && i-- > 0;) {
        m.stride[d] = s.dim[i] == 1 ? 0 : stride;
        stride *= s.dim[i];
    }
    return m;
}

/* Element by element: ops without a shape rule. */
static void add_elements(ad_pattern *p, const ad__nest *n) {
    ad_shape s = ad__out(n->op)->layout->shape;
    ad__nest loop = { .kind = AD__SET, .ndim = s.ndim, .out = map_of(s, s, n->out.at) };
    for (int d = 0; d < s.ndim; d++) loop.dim[d] = s.dim[d];
    for (int i = 0; i < n->op->n_in; i++) {
        const ad__subset *from = operand(p, n, i);
        ad__map in = map_of(n->op->in[i]->layout->shape, s, 0);
        ad__subset *to = from && ad__out(n->op)->layout->numel ? result(p, n) : NULL;
        if (to) add_operand(p, &loop, &in, from, to);
    }
}

void ad__pattern_call(ad_pattern *p, const ad__nest *n) {
    bool any = false;
    if (n->op->type->flags & AD_OP_CONSTANT) return;
    for (int i = 0; i < n->op->n_in; i++) any |= operand(p, n, i) != NULL;
    p->op = n->op, p->nest = n;
    if (any && n->op->type->pattern) n->op->type->pattern(p, n->op);
    else if (any && (n->op->type->shape == NULL || n->op->type->emit == ad_emit_elementwise)) add_elements(p, n);
    else if (any) add_all(p, n);
    p->op = NULL;
}

static bool is_part(int64_t from, int64_t n, const ad_var *x) {
    return from >= 0 && n >= 0 && from <= x->layout->numel && n <= x->layout->numel - from;
}

void ad_pattern_add(ad_pattern *p, int64_t y, int64_t ny, int i, int64_t x, int64_t nx) {
    if (p == NULL || p->op == NULL || p->sets.code != AD_OK) return;
    bool fits = i >= 0 && i < p->op->n_in && is_part(y, ny, ad__out(p->op)) && is_part(x, nx, p->op->in[i]);
    if (!fits) {
        p->sets.code = ad_op_fail(p->op, AD_EVALUE, "pattern: elements %lld.. by %lld.. of operand %d are out of range",
                                  (long long)y, (long long)x, i);
        return;
    }
    const ad__subset *from = operand(p, p->nest, i);
    ad__subset *to = from ? result(p, p->nest) : NULL;
    if (to == NULL) return;
    ad__union_begin(&p->sets);
    for (int64_t k = 0; k < nx; k++) ad__union_add(&p->sets, from[x + k]);
    ad__subset s = ad__union_end(&p->sets);
    for (int64_t k = 0; k < ny; k++) to[y + k] = ad__union_of(&p->sets, to[y + k], s);
}

void ad_pattern_follow(ad_pattern *p, int64_t y, int64_t earlier) {
    if (p == NULL || p->op == NULL || p->sets.code != AD_OK) return;
    if (!is_part(y, 1, ad__out(p->op)) || !is_part(earlier, 1, ad__out(p->op))) {
        p->sets.code = ad_op_fail(p->op, AD_EVALUE, "pattern: element %lld after %lld is out of range", (long long)y,
                                  (long long)earlier);
        return;
    }
    ad__subset *to = result(p, p->nest);
    if (to) to[y] = ad__union_of(&p->sets, to[y], to[earlier]);
}

bool ad_pattern_reads(ad_pattern *p, int i) {
    const ad_var *v = p ? ad_op_operand(p->op, i) : NULL;
    if (v == NULL || v == p->x || (v->creator && p->moves[v->creator->id - p->e->first_id])) return false;
    ad__pattern_source *s = ad_scope_alloc(p->e->g, sizeof *s);
    if (s == NULL) return p->sets.code = AD_ENOMEM, false;
    *s = (ad__pattern_source){ p->sources, v };
    p->sources = s;
    return true;
}
