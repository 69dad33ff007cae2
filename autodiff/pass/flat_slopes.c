/* flat_slopes.c: the backward pass of a flat program: slopes as packed instructions. */
#include "autodiff/pass/flat.h"

/* ---- Ops that are differentiated by their descriptors ------------------------------------------------------ */

static void store_grad(ad_var *x, const ad__slot *slot) {
    ad__flat_copy(ad__bytes(x), &slot->grad, x->grad);
    x->flags |= AD__HAS_GRAD;
}

static void load_grad(const ad_var *x, ad__slot *slot) {
    if (x->flags & AD__HAS_GRAD) ad__flat_copy(ad__bytes(x), x->grad, &slot->grad);
}

/* Flags and gradients are as if no Op had been an instruction. */
static void before_op(ad__flat *p, const ad__flat_share *s) {
    if (s->leaf && s->had) store_grad(s->var, &p->slots[s->leaf - 1]);
    if (s->leaf) return;
    s->var->flags |= AD__REACHED | AD__HAS_GRAD;
    if (!s->had) s->var->flags &= (uint16_t)~AD__HAS_GRAD;
}

/* Returns false if the Op has added nothing to the gradient of a result, which is rare: the instructions after it were
   made for the other case. */
static bool after_op(ad__flat *p, const ad__flat_share *s) {
    if (s->leaf) return load_grad(s->var, &p->slots[s->leaf - 1]), true;
    s->var->flags &= (uint16_t)~AD__REACHED;
    return (s->var->flags & AD__HAS_GRAD) != 0;
}

static const ad__instr *differentiate_op(const ad__instr *at, ad__flat *p) {
    const ad__flat_share *s = p->shares + at->first;
    bool all = true;
    ad__out(at->op)->flags &= (uint16_t)~AD__REACHED;
    for (uint32_t i = 0; i < at->n; i++) before_op(p, &s[i]);
    p->code = ad__differentiate_op(p->graph, at->op, AD_OK);
    for (uint32_t i = 0; i < at->n; i++) all &= after_op(p, &s[i]);
    if (p->code == AD_OK && all) return at + 1;
    p->at = at->op;
    return NULL;
}

/* ---- making the code ------------------------------------------------------------------------------------------ */

typedef struct {
    ad__flat *p;
    ad__instr *items;
    size_t n_items;
    uint32_t n_shares, parameters; /* parameters: after those of the Op */
} maker;

/* Leaf i has slot i. */
static size_t number_of(const ad__flat *p, const ad_var *leaf) {
    return (size_t)((const ad__slot *)leaf->data - p->slots);
}

/* True if an Op met before adds to the gradient of x, which has a slot; for a leaf, if an instruction does. A result is
   marked with AD__REACHED until its Op is met. */
static bool has_slope(const ad__flat *p, const ad_var *x) {
    return x->creator ? (x->flags & AD__REACHED) != 0 : p->leaves[number_of(p, x)].wanted;
}

/* A leaf's slot starts with the gradient that it has, or with -0, which changes nothing if it is added to. */
static ad__instr slopes_of(maker *m, const ad_op *op) {
    ad__instr i = ad__flat_instr(m->p, op, m->parameters);
    i.run = ad__flat_code_of(op)->slopes[ad__out(op)->layout->dtype];
    for (int k = 0; k < op->n_in; k++) {
        if (!ad__wants(op, k)) continue;
        ad_var *x = op->in[k];
        i.how[k] = x->creator == NULL || has_slope(m->p, x) ? AD__NEXT_SLOPE : AD__FIRST_SLOPE;
        if (x->creator != NULL) x->flags |= AD__REACHED;
        else m->p->leaves[number_of(m->p, x)].wanted = true;
    }
    return i;
}

static ad__instr other(maker *m, const ad_op *op) {
    ad__flat *p = m->p;
    ad__instr i = { .run = differentiate_op, .op = op, .first = m->n_shares };
    for (int k = 0; k < op->n_in; k++) {
        ad_var *x = op->in[k];
        if (!ad__wants(op, k) || !ad__flat_holds(p, x)) continue;
        uint32_t leaf = x->creator ? 0 : (uint32_t)number_of(p, x) + 1;
        p->shares[m->n_shares++] = (ad__flat_share){ x, leaf, has_slope(p, x) };
    }
    i.n = m->n_shares - i.first;
    for (int k = 0; k < op->n_in; k++)
        if (ad__wants(op, k) && op->in[k]->creator != NULL) op->in[k]->flags |= AD__REACHED;
    return i;
}

static void add_op(maker *m, size_t number) {
    ad__flat *p = m->p;
    const ad_op *op = p->ops[number];
    ad_var *out = ad__out(op);
    bool runs = ad__flat_runs(p, op);
    if (runs) m->parameters -= (uint32_t)(op->type->attr_size / sizeof(double) * sizeof(double));
    if (!(out->flags & AD__REACHED)) return;
    out->flags &= (uint16_t)~AD__REACHED;
    if (ad__flat_holds(p, out)) p->reached[p->n_reached++] = out;
    ad__instr i = runs ? slopes_of(m, op) : other(m, op);
    i.rows = runs ? (uint32_t)number + 1 : 0;
    m->items[m->n_items++] = i;
}

/* Takes memory for the shares and the list of results. */
static bool take(ad__flat *p) {
    size_t shares = 0;
    for (size_t k = 0; k < p->n_ops; k++)
        if (!ad__flat_runs(p, p->ops[k])) shares += (size_t)p->ops[k]->n_in;
    p->shares_size = shares * sizeof *p->shares + p->n_ops * sizeof *p->reached;
    p->shares = shares > UINT32_MAX ? NULL : ad__pool_take(&p->graph->pool, p->shares_size);
    if (p->shares == NULL) return false;
    p->reached = (ad_var **)(void *)(p->shares + shares);
    return true;
}

static void fill(ad__flat *p, ad__instr *items) {
    maker m = { .p = p, .items = items, .parameters = p->parameters_end };
    ad__out(p->root)->flags |= AD__REACHED;
    for (size_t k = p->n_ops; k-- > 0;) add_op(&m, k);
    p->all_wanted = true;
    for (size_t i = 0; i < p->n_leaves; i++) p->all_wanted &= p->leaves[i].wanted;
    p->slopes = ad__flat_pack(p, items, m.n_items, true, &p->slopes_size);
}

static void make(ad__flat *p) {
    ad__memory *memory = &p->graph->memory;
    size_t size = p->n_ops * sizeof(ad__instr);
    ad__instr *items = ad__memory_take(memory, AD__ALIGN, size);
    ad__flat_bind(p);
    if (items != NULL && take(p)) fill(p, items);
    ad__flat_unbind(p);
    ad__memory_give(memory, items, size);
}

bool ad__flat_differentiates(ad_graph *g, const ad_var *y) {
    ad__flat *p = g->flat;
    if (p->doomed || p->running || p->ops != g->plan.ops || p->root != y->creator || y->creator == NULL) return false;
    if (g->plan.root != p->root || g->plan.evaluated != g->clock || g->rule != NULL) return false;
    if (p->slopes == NULL && !p->no_slopes) make(p);
    p->no_slopes = p->slopes == NULL;
    return !p->no_slopes;
}

/* ---- running it -------------------------------------------------------------------------------------------------- */

/* Sets the flags that the pass leaves. They stay, as a program's passes always leave the same ones. */
static void mark(ad__flat *p) {
    size_t n = 0;
    for (size_t k = 0; k < p->n_reached; k++) p->reached[k]->flags |= AD__HAS_GRAD;
    for (size_t k = 0; k < p->n_ops; k++) n += (ad__out(p->ops[k])->flags & AD__HAS_GRAD) != 0;
    p->marked = true;
    p->alone = n == p->n_reached && p->graph->branch == NULL;
}

static void load_leaves(ad__flat *p) {
    for (size_t i = 0; i < p->n_leaves; i++) {
        const ad__flat_leaf *l = &p->leaves[i];
        if (!l->wanted) continue;
        if (l->var->flags & AD__HAS_GRAD) load_grad(l->var, &p->slots[i]);
        else ad_write_element(l->var->layout->dtype, &p->slots[i].grad, 0, -0.0);
    }
}

static void store_leaves(const ad__flat *p) {
    for (size_t i = 0; i < p->n_leaves; i++)
        if (p->leaves[i].wanted) store_grad(p->leaves[i].var, &p->slots[i]);
}

/* Gives the operands of an Op that was differentiated the flags that they would have without instructions. */
static void replay(const ad__flat *p, const ad_op *op) {
    bool runs = ad__flat_runs(p, op);
    for (int i = 0; i < op->n_in; i++) {
        ad_var *x = op->in[i];
        if (!ad__wants(op, i)) continue;
        if (x->creator != NULL) x->flags |= runs ? AD__REACHED | AD__HAS_GRAD : AD__REACHED;
        else if (runs) store_grad(x, &p->slots[number_of(p, x)]);
    }
}

static bool take_mark(const ad_op *op) {
    bool reached = (ad__out(op)->flags & AD__REACHED) != 0;
    ad__out(op)->flags &= (uint16_t)~AD__REACHED;
    return reached;
}

/* Goes on without instructions after the Op at p->at, whose function has added nothing to an operand's gradient, or
   because of an error. */
static int go_on(ad__flat *p) {
    int rc = p->code;
    size_t k = p->n_ops;
    ad__out(p->root)->flags |= AD__REACHED;
    p->marked = false;
    ad__flat_bind(p);
    for (; k > 0 && p->ops[k - 1]->id >= p->at->id; k--)
        if (take_mark(p->ops[k - 1])) replay(p, p->ops[k - 1]);
    ad__flat_unbind(p);
    for (; k > 0; k--)
        if (take_mark(p->ops[k - 1])) rc = ad__differentiate_op(p->graph, p->ops[k - 1], rc);
    return rc;
}

int ad__flat_differentiate(ad__flat *p) {
    p->zeroed = false;
    if (!p->marked) mark(p);
    load_leaves(p);
    p->at = NULL;
    int rc = ad__flat_run(p, p->slopes);
    if (p->at != NULL) rc = go_on(p);
    else store_leaves(p);
    if (p->doomed) ad__flat_drop(p->graph);
    return rc;
}
