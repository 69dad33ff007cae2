/* flat.c: makes the flat program of a plan and evaluates with it: values as packed instructions. */
#include "autodiff/pass/flat.h"

/* ---- instructions ------------------------------------------------------------------------------------ */

static const ad__instr *stop(const ad__instr *at, ad__flat *p) {
    (void)p;
    return at + 1;
}

static const ad__instr *end(const ad__instr *at, ad__flat *p) {
    (void)at, (void)p;
    return NULL;
}

size_t ad__flat_code_size(size_t n_ops) {
    return (n_ops + n_ops / (AD__INSTRS_PER_STOP - 1) + 2) * sizeof(ad__instr);
}

ad__instr *ad__flat_add(ad__instr *code, ad__instr *at, ad__instr i) {
    if ((at - code) % AD__INSTRS_PER_STOP == AD__INSTRS_PER_STOP - 1) *at++ = (ad__instr){ .run = stop };
    *at = i;
    return at + 1;
}

void ad__flat_end(ad__instr *at) { *at = (ad__instr){ .run = end }; }

static uint32_t slot_of(const ad__flat *p, const ad_var *x) {
    return (uint32_t)((const char *)x->data - (const char *)p);
}

ad__instr ad__flat_instr(const ad__flat *p, const ad_op *op, uint32_t parameters) {
    ad__instr i = { .y = slot_of(p, ad__out(op)) };
    for (int k = 0; k < 3; k++) i.in[k] = k < op->n_in ? slot_of(p, op->in[k]) : parameters;
    return i;
}

/* Programs may begin within one another: an Op's function may evaluate. */
int ad__flat_run(ad__flat *p, const ad__instr *code) {
    bool outer = p->running;
    p->running = true;
    p->code = AD_OK;
    for (const ad__instr *at = code; at != NULL;) at = at->run(at, p);
    p->running = outer;
    return p->code;
}

/* An Op that is run by its descriptor. */
static const ad__instr *evaluate_op(const ad__instr *at, ad__flat *p) {
    const ad_var *out = ad__out(at->op);
    uint64_t stamp = ad__stamp(out);
    int code = ad__evaluate_op(at->op);
    p->stamped |= ad__stamp(out) != stamp;
    if (code == AD_OK) return at + 1;
    p->code = code;
    p->at = at->op;
    return NULL;
}

/* ---- leaves --------------------------------------------------------------------------------------------- */

void ad__flat_bind(ad__flat *p) {
    for (size_t i = 0; i < p->n_leaves; i++) {
        p->aside[i].data = p->leaves[i].var->data;
        if (p->leaves[i].bytes) p->leaves[i].var->data = &p->slots[i];
    }
}

void ad__flat_unbind(ad__flat *p) {
    for (size_t i = 0; i < p->n_leaves; i++) p->leaves[i].var->data = p->aside[i].data;
}

/* ---- making a program ------------------------------------------------------------------------------------- */

enum { FEWEST = 4, SHARE = 8 }; /* a program has so many instructions, and one of so many of the plan's Ops is one */

static bool may_run(const ad_op *op) { return op->type->flat != NULL && ad__out(op)->layout->numel == 1; }

bool ad__flat_runs(const ad__flat *p, const ad_op *op) {
    if (!may_run(op) || !ad__flat_holds(p, ad__out(op))) return false;
    for (int i = 0; i < op->n_in; i++)
        if (!ad__flat_holds(p, op->in[i])) return false;
    return true;
}

typedef struct {
    ad__flat *p;
    size_t n_slots;
    double *parameters;
    ad__instr *at;
} maker;

/* What a program needs, at most. */
typedef struct {
    size_t leaves, slots, parameters, instrs;
} needs;

static bool is_worthwhile(const ad__plan *plan) {
    size_t n = 0;
    for (size_t k = 0; k < plan->n; k++) n += may_run(plan->ops[k]);
    return n >= FEWEST && n >= plan->n / SHARE;
}

/* Marks the leaves with AD__REACHED. */
static needs count(const ad__plan *plan) {
    needs n = { 0 };
    for (size_t k = 0; k < plan->n; k++) {
        const ad_op *op = plan->ops[k];
        n.slots += ad__flat_may_hold(op);
        if (may_run(op)) n.parameters += op->type->attr_size / sizeof(double);
        for (int i = 0; i < op->n_in; i++) {
            ad_var *x = op->in[i];
            if (x->creator != NULL || x->flags & AD__REACHED) continue;
            x->flags |= AD__REACHED;
            n.leaves++;
        }
    }
    return n;
}

static void add_leaf(ad__flat *p, ad_var *x) {
    const ad__layout *l = x->layout;
    uint8_t bytes = l->numel == 1 ? (uint8_t)l->bytes : 0;
    p->leaves[p->n_leaves] = (ad__flat_leaf){ .var = x, .bytes = bytes };
    p->aside[p->n_leaves].data = x->data;
    if (bytes) x->data = &p->slots[p->n_leaves];
    x->flags &= (uint16_t)~AD__REACHED;
    p->n_leaves++;
}

static void add_op(maker *m, ad_op *op) {
    ad__flat *p = m->p;
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i]->creator == NULL && op->in[i]->flags & AD__REACHED) add_leaf(p, op->in[i]);
    if (ad__flat_may_hold(op)) ad__flat_move(ad__out(op), &p->slots[m->n_slots++]);
    ad__instr instr = { .op = op };
    if (ad__flat_runs(p, op)) {
        instr = ad__flat_instr(p, op, (uint32_t)((char *)m->parameters - (char *)p));
        memcpy(m->parameters, ad__attrs_of(op), op->type->attr_size);
        m->parameters += op->type->attr_size / sizeof(double);
        instr.run = ad__flat_code_of(op)->value[ad__out(op)->layout->dtype];
    } else {
        instr.run = evaluate_op;
    }
    m->at = ad__flat_add(p->values, m->at, instr);
}

/* Takes memory for a program: slots, parameters, code, leaves. NULL if it is short, or too much for 32 bits. */
static ad__flat *take(ad_graph *g, const ad__plan *plan, const needs *n) {
    size_t slots = sizeof(ad__flat) + (n->leaves + n->slots) * sizeof(ad__slot);
    size_t held = slots + n->parameters * sizeof(double), code = ad__flat_code_size(plan->n);
    size_t size = held + code + n->leaves * (sizeof(ad__flat_leaf) + sizeof(ad__flat_aside));
    ad__flat *p = size > UINT32_MAX ? NULL : ad__pool_take(&g->pool, size);
    if (p == NULL) return NULL;
    *p = (ad__flat){ .graph = g, .root = plan->root, .ops = plan->ops, .n_ops = plan->n, .size = size };
    p->random = plan->random;
    p->values = (ad__instr *)(void *)((char *)p + held);
    p->leaves = (ad__flat_leaf *)(void *)((char *)p + held + code);
    p->aside = (ad__flat_aside *)(void *)(p->leaves + n->leaves);
    return p;
}

static void unmark_leaves(const ad__plan *plan) {
    for (size_t k = 0; k < plan->n; k++)
        for (int i = 0; i < plan->ops[k]->n_in; i++)
            if (plan->ops[k]->in[i]->creator == NULL) plan->ops[k]->in[i]->flags &= (uint16_t)~AD__REACHED;
}

static bool make(ad_graph *g) {
    const ad__plan *plan = &g->plan;
    if (!is_worthwhile(plan)) return false;
    needs n = count(plan);
    ad__flat *p = take(g, plan, &n);
    if (p == NULL) return unmark_leaves(plan), false;
    maker m = { .p = p, .n_slots = n.leaves, .at = p->values };
    m.parameters = (double *)(void *)&p->slots[n.leaves + n.slots];
    for (size_t k = 0; k < plan->n; k++) add_op(&m, plan->ops[k]);
    ad__flat_end(m.at);
    ad__flat_unbind(p);
    g->flat = p;
    return true;
}

bool ad__flat_ready(ad_graph *g) {
    ad__plan *plan = &g->plan;
    if (g->flat != NULL && g->flat->doomed) ad__flat_drop(g);
    if (g->flat != NULL) return g->flat->ops == plan->ops && !g->flat->doomed;
    if (plan->patience == 0) plan->patience = 2;
    if (++plan->runs < plan->patience || g->no_flat || g->rule != NULL) return false;
    plan->runs = 0;
    plan->patience *= 2;
    return make(g);
}

/* ---- evaluating -------------------------------------------------------------------------------------------- */

static inline bool has_changed(const ad__flat *p, const ad__flat_leaf *l) { return ad__stamp(l->var) > p->evaluated; }

/* Copies the leaves' values to their slots. Returns whether some have changed; *differ: not those that had changed
   before the results got the stamp that is pending. */
static bool read_leaves(ad__flat *p, bool *differ) {
    bool any = false;
    for (size_t i = 0; i < p->n_leaves; i++) {
        const ad__flat_leaf *l = &p->leaves[i];
        bool changed = has_changed(p, l);
        any |= changed;
        *differ |= changed != l->changed;
        if (l->bytes != 0) ad__flat_copy(l->bytes, l->var->data, &p->slots[i].value);
    }
    return any;
}

static size_t place_of(const ad__flat *p, const ad_op *op) {
    size_t k = 0;
    while (p->ops[k] != op) k++;
    return k;
}

/* The first n Ops were evaluated, now. Their results' stamps stay pending if the stamps of the next evaluation can be
   told without them. */
static void note_stamps(ad__flat *p, size_t n, uint64_t before) {
    uint64_t now = p->graph->clock;
    bool plain = p->evaluated && !p->random && !p->stamped && n == p->n_ops;
    if (!plain && before) {
        p->pending = before;
        ad__flat_settle_stamps(p);
    }
    if (!plain) ad__flat_stamp(p, n, now);
    p->pending = plain ? p->pending : 0;
    p->evaluated = n == p->n_ops ? now : 0;
    p->stamped = false;
}

int ad__flat_evaluate(ad__flat *p) {
    bool differ = false, any = read_leaves(p, &differ);
    if (any && differ && p->pending) ad__flat_settle_stamps(p);
    uint64_t before = p->pending;
    for (size_t i = 0; any && differ && i < p->n_leaves; i++) p->leaves[i].changed = has_changed(p, &p->leaves[i]);
    if (any) p->pending = p->graph->clock;
    int rc = ad__flat_run(p, p->values);
    note_stamps(p, rc == AD_OK ? p->n_ops : place_of(p, p->at), before);
    if (p->doomed) ad__flat_drop(p->graph);
    return rc;
}
