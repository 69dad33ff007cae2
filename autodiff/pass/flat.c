/* flat.c: makes the flat program of a plan and evaluates with it: values as packed instructions. */
#include "autodiff/pass/flat.h"

/* ---- instructions ------------------------------------------------------------------------------------ */

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
    ad__instr *items; /* one for each Op */
} maker;

/* What a program needs, at most. */
typedef struct {
    size_t leaves, slots, parameters;
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
    p->pure &= bytes == sizeof(double);
    p->leaves[p->n_leaves] = (ad__flat_leaf){ .var = x, .bytes = bytes };
    p->aside[p->n_leaves].data = x->data;
    if (bytes) x->data = &p->slots[p->n_leaves];
    x->flags &= (uint16_t)~AD__REACHED;
    p->n_leaves++;
}

static void add_op(maker *m, size_t number) {
    ad__flat *p = m->p;
    ad_op *op = p->ops[number];
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i]->creator == NULL && op->in[i]->flags & AD__REACHED) add_leaf(p, op->in[i]);
    if (ad__flat_may_hold(op)) ad__flat_move(ad__out(op), &p->slots[m->n_slots++]);
    ad__instr instr = { .run = evaluate_op, .op = op };
    bool runs = ad__flat_runs(p, op);
    p->pure &= runs && ad__out(op)->layout->dtype == AD_F64;
    if (runs) {
        instr = ad__flat_instr(p, op, (uint32_t)((char *)m->parameters - (char *)p));
        memcpy(m->parameters, ad__attrs_of(op), op->type->attr_size);
        m->parameters += op->type->attr_size / sizeof(double);
        instr.run = ad__flat_code_of(op)->value[ad__out(op)->layout->dtype];
        instr.rows = (uint32_t)number + 1;
    }
    m->items[number] = instr;
}

/* Takes memory for a program: slots, parameters, leaves. NULL if it is short, or too much for 32 bits. */
static ad__flat *take(ad_graph *g, const ad__plan *plan, const needs *n) {
    size_t slots = sizeof(ad__flat) + (n->leaves + n->slots) * sizeof(ad__slot);
    size_t held = slots + n->parameters * sizeof(double);
    size_t size = held + n->leaves * (sizeof(ad__flat_leaf) + sizeof(ad__flat_aside));
    ad__flat *p = size > UINT32_MAX || plan->n >= UINT32_MAX ? NULL : ad__pool_take(&g->pool, size);
    if (p == NULL) return NULL;
    *p = (ad__flat){ .graph = g, .root = plan->root, .ops = plan->ops, .n_ops = plan->n, .size = size };
    p->random = plan->random;
    p->made = g->clock;
    p->pure = true;
    p->leaves = (ad__flat_leaf *)(void *)((char *)p + held);
    p->aside = (ad__flat_aside *)(void *)(p->leaves + n->leaves);
    return p;
}

static void unmark_leaves(const ad__plan *plan) {
    for (size_t k = 0; k < plan->n; k++)
        for (int i = 0; i < plan->ops[k]->n_in; i++)
            if (plan->ops[k]->in[i]->creator == NULL) plan->ops[k]->in[i]->flags &= (uint16_t)~AD__REACHED;
}

/* Makes p with its values from the plan, given memory for as many instructions as it has Ops. */
static bool fill(ad__flat *p, const needs *n, ad__instr *items) {
    maker m = { .p = p, .n_slots = n->leaves, .items = items };
    m.parameters = (double *)(void *)&p->slots[n->leaves + n->slots];
    for (size_t k = 0; k < p->n_ops; k++) add_op(&m, k);
    p->parameters_end = (uint32_t)((char *)m.parameters - (char *)p);
    ad__flat_unbind(p);
    p->values = ad__flat_pack(p, items, p->n_ops, false, &p->values_size);
    return p->values != NULL;
}

static bool make(ad_graph *g) {
    ad__plan *plan = &g->plan;
    if (!is_worthwhile(plan)) return false;
    needs n = count(plan);
    size_t size = plan->n * sizeof(ad__instr);
    ad__instr *items = ad__memory_take(&g->memory, AD__ALIGN, size);
    g->flat = items == NULL ? NULL : take(g, plan, &n);
    if (g->flat == NULL) unmark_leaves(plan);
    else if (!fill(g->flat, &n, items)) ad__flat_drop(g);
    ad__memory_give(&g->memory, items, size);
    return g->flat != NULL;
}

bool ad__flat_ready(ad_graph *g) {
    ad__plan *plan = &g->plan;
    if (g->flat != NULL && g->flat->doomed) ad__flat_drop(g);
    if (g->flat != NULL) return g->flat->ops == plan->ops && !g->flat->doomed;
    enum { SOON = 2, LATE = 1024 };
    if (plan->patience == 0) plan->patience = SOON;
    if (++plan->runs < plan->patience || g->no_flat || g->rule != NULL) return false;
    plan->runs = 0;
    if (plan->patience < LATE) plan->patience *= 2;
    return make(g);
}

/* ---- evaluating -------------------------------------------------------------------------------------------- */

static inline bool has_changed(const ad__flat *p, const ad__flat_leaf *l) { return ad__stamp(l->var) > p->evaluated; }

/* Copies the leaves' values to their slots. Returns whether some have changed; *differ: not those that had changed
   before the results got the stamp that is pending. */
static bool read_leaves(ad__flat *p, bool *differ) {
    bool any = false, just_fed = p->fed == p->graph->clock - 1; /* nothing has changed since */
    if (just_fed && p->all_fed) return *differ = !p->all_changed, true;
    for (size_t i = 0; i < p->n_leaves; i++) {
        const ad__flat_leaf *l = &p->leaves[i];
        bool fed = just_fed && l->fed, changed = fed || has_changed(p, l);
        any |= changed;
        *differ |= changed != l->changed;
        if (l->bytes != 0 && !fed) ad__flat_copy(l->bytes, l->var->data, &p->slots[i].value);
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

/* Notes which leaves have changed since the last evaluation. */
static void note_changed(ad__flat *p) {
    p->all_changed = true;
    for (size_t i = 0; i < p->n_leaves; i++) p->all_changed &= p->leaves[i].changed = has_changed(p, &p->leaves[i]);
}

int ad__flat_evaluate(ad__flat *p) {
    bool differ = false, any = read_leaves(p, &differ);
    if (any && differ && p->pending) ad__flat_settle_stamps(p);
    uint64_t before = p->pending;
    if (any && differ) note_changed(p);
    if (any) p->pending = p->graph->clock;
    int rc = ad__flat_run(p, p->values);
    note_stamps(p, rc == AD_OK ? p->n_ops : place_of(p, p->at), before);
    if (p->doomed) ad__flat_drop(p->graph);
    return rc;
}
