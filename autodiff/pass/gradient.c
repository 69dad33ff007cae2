/* gradient.c: gradients as Vars of the graph, built by the ops' vjp rules and differentiable again. */
#include <string.h>

#include "autodiff/graph/anomaly.h"
#include "autodiff/graph/node.h"
#include "autodiff/graph/plan.h"
#include "autodiff/pass/pass.h"

/* uthash takes its memory from the pool, so that repeated passes call no allocator. */
#define uthash_malloc(size) ad__pool_take(&g->pool, size)
#define uthash_free(p, size) ad__pool_give(&g->pool, p, size)
#define uthash_nonfatal_oom(entry) ((entry)->var = NULL)
#include "autodiff/pass/parts.h"

extern const ad_optype ad_op_add; /* the only op that the engine uses: it sums cotangents */

/* An entry of the table of cotangents. */
typedef struct {
    ad_var *var, *cotangent;
    UT_hash_handle hh;
} entry;

/* One pass. All memory but that of parts is allocated before the first rule runs. A vjp rule may start a pass of its
   own, which saves the AD__ON_PATH flags of this one. */
typedef struct {
    ad_graph *g;
    ad__plan plan;
    int n;
    ad_var *const *xs;
    ad_var **by_id;         /* cotangents of Ops' results, at id - first; NULL if there is none yet */
    uint32_t first, range;  /* the ids that by_id covers; range 0 if they are too sparse for an array */
    entry *entries, *table; /* cotangents of all other Vars, as a hash table */
    size_t n_entries, used;
    ad_var **dx; /* results of one vjp rule, for the op with the most operands */
    size_t n_dx;
    ad__parts parts;
    ad_var **outer_path; /* Vars that are on the path of an outer pass */
    size_t n_outer, outer_capacity;
} pass;

/* v's slot in by_id; NULL if its cotangent belongs in the table. */
static ad_var **slot_by_id(const pass *p, const ad_var *v) {
    if (v->creator == NULL || v->creator->id - p->first >= p->range) return NULL;
    return &p->by_id[v->creator->id - p->first];
}

/* The place of v's cotangent; NULL if v has none yet. */
static ad_var **find_cotangent(const pass *p, ad_var *v) {
    ad_var **slot = slot_by_id(p, v);
    if (slot != NULL) return *slot ? slot : NULL;
    entry *found;
    HASH_FIND_PTR(p->table, &v, found);
    return found ? &found->cotangent : NULL;
}

static int set_cotangent(pass *p, ad_var *v, ad_var *d) {
    ad_graph *g = p->g;
    ad_var **slot = slot_by_id(p, v);
    if (slot != NULL) return *slot = d, AD_OK;
    entry *e = &p->entries[p->used++];
    e->var = v;
    e->cotangent = d;
    HASH_ADD_PTR(p->table, var, e);
    return e->var == NULL ? ad_no_memory(g, "a gradient table", sizeof *e) : AD_OK;
}

/* Adds d to v's cotangent. */
static int add_cotangent(pass *p, ad_var *v, ad_var *d) {
    ad_var **at = find_cotangent(p, v);
    if (at == NULL) return set_cotangent(p, v, d);
    *at = ad__apply2(&ad_op_add, *at, d, NULL);
    return p->g->code;
}

/* ---- the path: Vars that depend on an x and that y depends on ------------------------------ */

AD__INLINE bool wants(const ad_op *op, int i) {
    return (op->in[i]->flags & AD__ON_PATH) && !ad__takes_no_grad(op->type->no_grad, i);
}

bool ad_vjp_wants(const ad_op *op, int i) {
    if (op == NULL || i < 0 || i >= op->n_in) return false;
    return wants(op, i);
}

static void mark_path(const pass *p) {
    for (int i = 0; i < p->n; i++) p->xs[i]->flags |= AD__ON_PATH;
    for (size_t k = 0; k < p->plan.n; k++) {
        const ad_op *op = p->plan.ops[k];
        if (op->type->flags & AD_OP_CONSTANT || ad__out(op)->flags & AD__CUT) continue;
        for (int i = 0; i < op->n_in; i++)
            if (wants(op, i)) ad__out(op)->flags |= AD__ON_PATH;
    }
}

static void clear_path(const pass *p) {
    for (int i = 0; i < p->n; i++) p->xs[i]->flags &= (uint16_t)~AD__ON_PATH;
    for (size_t k = 0; k < p->plan.n; k++) ad__out(p->plan.ops[k])->flags &= (uint16_t)~AD__ON_PATH;
}

static void save_flag(pass *p, ad_var *v) {
    if (!(v->flags & AD__ON_PATH)) return;
    v->flags &= (uint16_t)~AD__ON_PATH;
    p->outer_path[p->n_outer++] = v;
}

/* Saves and clears the AD__ON_PATH flags of an outer pass on all Vars that this pass looks at. */
static int save_outer_path(pass *p) {
    ad_graph *g = p->g;
    p->outer_capacity = (size_t)p->n + p->plan.n;
    for (size_t k = 0; k < p->plan.n; k++) p->outer_capacity += (size_t)p->plan.ops[k]->n_in;
    p->outer_path = ad__pool_take(&g->pool, (p->outer_capacity + 1) * sizeof *p->outer_path);
    if (p->outer_path == NULL) return ad_no_memory(g, "a gradient pass", p->outer_capacity * sizeof *p->outer_path);
    for (int i = 0; i < p->n; i++) save_flag(p, p->xs[i]);
    for (size_t k = 0; k < p->plan.n; k++) {
        const ad_op *op = p->plan.ops[k];
        save_flag(p, ad__out(op));
        for (int i = 0; i < op->n_in; i++) save_flag(p, op->in[i]);
    }
    return AD_OK;
}

static void restore_outer_path(pass *p) {
    if (p->outer_path == NULL) return;
    for (size_t i = 0; i < p->n_outer; i++) p->outer_path[i]->flags |= AD__ON_PATH;
    ad__pool_give(&p->g->pool, p->outer_path, (p->outer_capacity + 1) * sizeof *p->outer_path);
}

/* True if op must pass a cotangent on to an operand. */
static bool passes_on(const ad_op *op) {
    if (op->type->flags & AD_OP_CONSTANT || ad__out(op)->flags & AD__CUT) return false;
    for (int i = 0; i < op->n_in; i++)
        if (wants(op, i)) return true;
    return false;
}

/* ---- the pass --------------------------------------------------------------------------------- */

/* Ids are usually dense, so an array indexed by id serves. Hashing would cost more than all other work of a pass on an
   Op. */
static void choose_id_range(pass *p) {
    if (p->plan.n == 0) return;
    uint32_t last = p->plan.ops[p->plan.n - 1]->id;
    p->first = p->plan.ops[0]->id;
    if ((last - p->first) / 8 <= p->plan.n) p->range = last - p->first + 1;
}

static int pass_open(pass *p, int m, ad_var *const ys[], uint32_t after) {
    ad_graph *g = p->g;
    if (ad__plan_make(&p->plan, m, ys, after)) return g->code;
    choose_id_range(p);
    p->n_entries = (p->range ? 0 : p->plan.n) + (size_t)p->n + 1;
    for (size_t k = 0; k < p->plan.n; k++)
        if ((size_t)p->plan.ops[k]->n_in > p->n_dx) p->n_dx = (size_t)p->plan.ops[k]->n_in;
    size_t entry_bytes = p->n_entries * sizeof *p->entries, id_bytes = (p->range + (size_t)1) * sizeof *p->by_id;
    p->by_id = ad__pool_take(&g->pool, id_bytes);
    p->entries = ad__pool_take(&g->pool, entry_bytes);
    p->dx = ad__pool_take(&g->pool, (p->n_dx + 1) * sizeof *p->dx);
    if (!p->by_id || !p->entries || !p->dx) return ad_no_memory(g, "a gradient pass", entry_bytes + id_bytes);
    memset(p->by_id, 0, id_bytes);
    return g->vjp_rules > 0 ? save_outer_path(p) : AD_OK;
}

static void pass_close(pass *p) {
    ad_graph *g = p->g;
    HASH_CLEAR(hh, p->table);
    if (p->by_id) ad__pool_give(&g->pool, p->by_id, (p->range + (size_t)1) * sizeof *p->by_id);
    if (p->entries) ad__pool_give(&g->pool, p->entries, p->n_entries * sizeof *p->entries);
    if (p->dx) ad__pool_give(&g->pool, p->dx, (p->n_dx + 1) * sizeof *p->dx);
    if (p->parts.g != NULL) ad__parts_close(&p->parts);
    restore_outer_path(p);
    ad__plan_free(g, &p->plan);
}

/* True if d is a Var of x's graph, dtype and shape. */
AD__INLINE bool is_like(const ad_var *x, const ad_var *d) {
    const ad__layout *a = x->layout, *b = d->layout;
    if (a == b) return true;
    return a->graph == b->graph && a->dtype == b->dtype && ad__equal_shapes(&a->shape, &b->shape) && !ad__absent(d);
}

/* Reports that the vjp rule of op gave d for operand i. */
AD_COLD static int fail_rule(const ad_op *op, int i, const ad_var *d) {
    const ad_var *x = op->in[i];
    if (ad__absent(d))
        return ad_fail(ad__owner(x), AD_EVALUE, "gradient: the vjp of %s gave nil for operand %d; leave NULL for zero",
                       op->type->name, i);
    if (ad__owner(d) != ad__owner(x))
        return ad_fail(ad__owner(x), AD_EGRAPH, "gradient: the vjp of %s gave a Var of another graph for operand %d",
                       op->type->name, i);
    return ad_fail(ad__owner(x), AD_ESHAPE, "gradient: the vjp of %s gave %s %s for operand %d, which is %s %s",
                   op->type->name, ad_dtype_name(d->layout->dtype), ad_shape_str(d->layout->shape).text, i,
                   ad_dtype_name(x->layout->dtype), ad_shape_str(x->layout->shape).text);
}

static int add_result(pass *p, const ad_op *op, int i, ad_var *d) {
    if (d == NULL) return AD_OK; /* the rule says zero */
    return AD__LIKELY(is_like(op->in[i], d)) ? add_cotangent(p, op->in[i], d) : fail_rule(op, i, d);
}

AD__INLINE int apply_rule(pass *p, const ad_op *op, ad_var *cotangent) {
    ad_graph *g = p->g;
    if (op->type->vjp == NULL)
        return ad_fail(g, AD_EGRAD, "gradient: op %s has no vjp rule, so its gradient cannot be built as a Var",
                       op->type->name);
    memset(p->dx, 0, (size_t)op->n_in * sizeof *p->dx);
    g->vjp_rules++;
    op->type->vjp(op, cotangent, p->dx);
    g->vjp_rules--;
    if (AD__UNLIKELY(g->anomalies)) ad__check_vjp(op, cotangent, p->dx);
    for (int i = 0; i < op->n_in && g->code == AD_OK; i++)
        if (wants(op, i)) add_result(p, op, i, p->dx[i]);
    return g->code;
}

/* The same for a part; not inlined, as it is rare. */
AD_COLD static int apply_to_part(pass *p, const ad_op *op, ad_var *cotangent) { return apply_rule(p, op, cotangent); }

enum { FEW_PARTS = 4 }; /* fewer are not joined */

/* Adds the cotangent of v that the first n parts of the pass give. */
static int add_parts(pass *p, ad_var *v, int n) {
    ad_graph *g = p->g;
    ad_var *d = NULL;
    if (n >= FEW_PARTS) {
        g->vjp_rules++;
        d = p->parts.ops[0]->type->join(n, p->parts.ops, p->parts.gs);
        g->vjp_rules--;
    }
    if (g->code != AD_OK) return g->code;
    if (d != NULL) return is_like(v, d) ? add_cotangent(p, v, d) : fail_rule(p->parts.ops[0], 0, d);
    for (int i = 0; i < n && g->code == AD_OK; i++) apply_to_part(p, p->parts.ops[i], p->parts.gs[i]);
    return g->code;
}

/* Adds the cotangents of all parts that Ops read of v. */
static inline int finish_parts(pass *p, ad_var *v) {
    if (AD__LIKELY(p->parts.table == NULL)) return AD_OK;
    for (int n; (n = ad__parts_take(&p->parts, v)) != 0;)
        if (n < 0 || add_parts(p, v, n)) return p->g->code;
    return AD_OK;
}

/* Keeps the cotangent of Op number k, whose type has a join. The first one takes memory for all that may follow. */
static int keep_part(pass *p, size_t k, ad_var *cotangent) {
    const ad_op *op = p->plan.ops[k];
    if (p->g->anomalies) return apply_to_part(p, op, cotangent); /* each Op is looked at by itself */
    if (p->parts.items == NULL) {
        size_t n = 0;
        for (size_t i = 0; i <= k; i++) n += p->plan.ops[i]->type->join != NULL;
        if (ad__parts_open(&p->parts, p->g, n)) return p->g->code;
    }
    return ad__parts_add(&p->parts, op, cotangent);
}

/* Runs the vjp rules of the Ops on the path, newest first. */
static int run_rules(pass *p, int m, ad_var *const ys[], ad_var *const cotangents[]) {
    int rc = AD_OK;
    for (int j = 0; j < m && rc == AD_OK; j++)
        if (ys[j]->flags & AD__ON_PATH) rc = add_cotangent(p, ys[j], cotangents[j]);
    for (size_t k = p->plan.n; k-- > 0 && rc == AD_OK;) {
        const ad_op *op = p->plan.ops[k];
        if (!passes_on(op) || (rc = finish_parts(p, ad__out(op))) != AD_OK) continue;
        ad_var **at = find_cotangent(p, ad__out(op));
        if (at == NULL) continue;
        rc = AD__UNLIKELY(op->type->join != NULL) ? keep_part(p, k, *at) : apply_rule(p, op, *at);
    }
    for (ad_var *v; rc == AD_OK && (v = ad__parts_left(&p->parts)) != NULL;) rc = finish_parts(p, v);
    return rc;
}

/* Writes the cotangent of each x to dxs, and zeros for an x without one. If strict is not NULL, such an x is an error
   that strict names. */
static int collect(const pass *p, ad_var *dxs[], const char *strict) {
    ad_graph *g = p->g;
    for (int i = 0; i < p->n; i++) {
        ad_var **at = g->code == AD_OK ? find_cotangent(p, p->xs[i]) : NULL;
        if (at == NULL && strict)
            return ad_fail(g, AD_EGRAD, "%s: y does not depend on xs[%d], or only through ad_detach or constant ops",
                           strict, i);
        dxs[i] = at ? *at : ad_zeros(g, p->xs[i]->layout->dtype, p->xs[i]->layout->shape);
    }
    return g->code;
}

/* A path to an x begins at the Op that made it or later. So what is older than all xs need not be walked over, which
   keeps the derivatives within a long loop from taking quadratic time. A leaf has no place in the order. */
static uint32_t oldest_of(int n, ad_var *const xs[], uint32_t after) {
    uint32_t oldest = n > 0 ? UINT32_MAX : 0;
    for (int i = 0; i < n; i++) {
        uint32_t id = xs[i]->creator ? xs[i]->creator->id : 0;
        if (id < oldest) oldest = id;
    }
    return oldest > after ? oldest : after;
}

/* What the rules record can be differentiated again, even where the program's own ops cannot: the second pass of a
   Hessian-vector product goes through it. */
static int gradients(int m, ad_var *const ys[], ad_var *const cotangents[], int n, ad_var *const xs[], ad_var *dxs[],
                     uint32_t after, const char *strict) {
    pass p = { .g = ad__owner(ys[0]), .n = n, .xs = xs };
    bool enabled = ad_enable_grad(p.g, true);
    uint32_t n_ops = p.g->n_ops;
    int rc = pass_open(&p, m, ys, oldest_of(n, xs, after));
    if (rc == AD_OK) {
        mark_path(&p);
        rc = run_rules(&p, m, ys, cotangents);
        clear_path(&p);
    }
    if (rc == AD_OK) rc = collect(&p, dxs, strict);
    if (rc == AD_OK) rc = ad__note_derived(p.g, n_ops);
    for (int i = 0; i < n && rc != AD_OK; i++) dxs[i] = &p.g->nil;
    pass_close(&p);
    ad_enable_grad(p.g, enabled);
    return rc;
}

int ad__vjp_of(int m, ad_var *const ys[], ad_var *const cotangents[], int n, ad_var *const xs[], ad_var *dxs[],
               uint32_t after) {
    return gradients(m, ys, cotangents, n, xs, dxs, after, NULL);
}

/* ---- checks of arguments ---------------------------------------------------------------------- */

int ad__check_arguments(ad_var *y, int n, ad_var *const xs[], const char *caller) {
    if (ad__absent(y)) return ad__refuse_beside(y, n, xs, caller);
    ad_graph *g = ad__owner(y);
    if (g->code != AD_OK) return g->code;
    if (n < 0 || (n > 0 && xs == NULL))
        return ad_fail(g, AD_EVALUE, "%s: n is %d; give 0 or more, and xs that is not NULL", caller, n);
    for (int i = 0; i < n; i++) {
        if (ad__absent(xs[i])) return ad_fail(g, AD_EVALUE, "%s: xs[%d] is nil", caller, i);
        if (ad__owner(xs[i]) != g) return ad_fail(g, AD_EGRAPH, "%s: y and xs[%d] belong to two graphs", caller, i);
        if (ad__check_open(xs[i], caller)) return g->code;
    }
    return ad__check_open(y, caller) ? g->code : ad__check_fresh(y, caller);
}

/* Sets all results to nil, for calls that fail before they compute any. */
static int check_results(ad_var *y, int n, ad_var *dxs[], const char *caller) {
    for (int i = 0; i < n && dxs != NULL; i++) dxs[i] = ad_nil(y ? ad__owner(y) : NULL);
    if (n > 0 && dxs == NULL && !ad__absent(y))
        return ad_fail(ad__owner(y), AD_EVALUE, "%s: the array for the results is NULL", caller);
    return AD_OK;
}

static int check_scalar(ad_var *y, const char *caller, const char *instead) {
    if (y->layout->numel == 1) return AD_OK;
    return ad_fail(ad__owner(y), AD_ESHAPE, "%s: y is %s, not one element; reduce it, or use %s", caller,
                   ad_shape_str(y->layout->shape).text, instead);
}

/* There must be one vector for each x, of its shape and dtype. */
static int check_vectors(ad_var *y, int n, ad_var *const xs[], ad_var *const vs[], const char *caller) {
    if (n > 0 && vs == NULL) return ad_fail(ad__owner(y), AD_EVALUE, "%s: the vectors are NULL", caller);
    for (int i = 0; i < n; i++) {
        char x[24], v[24];
        snprintf(x, sizeof x, "xs[%d]", i);
        snprintf(v, sizeof v, "vector %d", i);
        if (ad__check_alike(xs[i], x, vs[i], v, caller)) return ad__owner(y)->code;
    }
    return AD_OK;
}

/* ---- the public functions ----------------------------------------------------------------------- */

int ad_vjp(ad_var *y, ad_var *cotangent, int n, ad_var *const xs[], ad_var *dxs[]) {
    int rc = check_results(y, n, dxs, "vjp");
    if (rc == AD_OK) rc = ad__check_arguments(y, n, xs, "vjp");
    if (rc == AD_OK) rc = ad__check_alike(y, "y", cotangent, "cotangent", "vjp");
    return rc == AD_OK ? ad__vjp_of(1, &y, &cotangent, n, xs, dxs, 0) : rc;
}

static int gradient_of(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[], const char *caller, const char *strict) {
    int rc = check_results(y, n, dxs, caller);
    if (rc == AD_OK) rc = ad__check_arguments(y, n, xs, caller);
    if (rc == AD_OK) rc = check_scalar(y, caller, "ad_vjp");
    if (rc != AD_OK) return rc;
    ad_var *one = ad_ones(ad__owner(y), y->layout->dtype, y->layout->shape);
    return ad__absent(one) ? ad__owner(y)->code : gradients(1, &y, &one, n, xs, dxs, 0, strict);
}

int ad_gradient(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]) {
    return gradient_of(y, n, xs, dxs, "gradient", NULL);
}

int ad_gradient_strict(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]) {
    return gradient_of(y, n, xs, dxs, "gradient_strict", "gradient_strict");
}

/* u = J^T c is linear in c, so the vjp of u with cotangent t is J t. Only Ops made by the first pass depend on c, so
   the second pass needs no others. */
static int jvp_through(ad_var *y, int n, ad_var *const xs[], ad_var *const tangents[], ad_var *us[], ad_var **dy) {
    ad_graph *g = ad__owner(y);
    uint32_t before = g->n_ops;
    ad_var *c = ad_zeros(g, y->layout->dtype, y->layout->shape);
    if (ad__absent(c)) return g->code;
    int rc = ad__vjp_of(1, &y, &c, n, xs, us, 0);
    return rc == AD_OK ? ad__vjp_of(n, us, tangents, 1, &c, dy, before) : rc;
}

ad_var *ad_jvp(ad_var *y, int n, ad_var *const xs[], ad_var *const tangents[]) {
    ad_graph *g = y ? ad__owner(y) : NULL;
    ad_var *dy = NULL;
    if (ad__check_arguments(y, n, xs, "jvp") || check_vectors(y, n, xs, tangents, "jvp")) return ad_nil(g);
    if (n == 0) return ad_zeros(g, y->layout->dtype, y->layout->shape);
    ad_var **us = ad_buffer_take(g, (size_t)n * sizeof *us);
    int rc = us ? jvp_through(y, n, xs, tangents, us, &dy) : AD_ENOMEM;
    ad_buffer_give(g, us, (size_t)n * sizeof *us);
    return rc == AD_OK ? dy : ad_nil(g);
}

int ad_hvp(ad_var *y, int n, ad_var *const xs[], ad_var *const vs[], ad_var *hvs[]) {
    int rc = check_results(y, n, hvs, "hvp");
    if (rc == AD_OK) rc = ad__check_arguments(y, n, xs, "hvp");
    if (rc == AD_OK) rc = check_scalar(y, "hvp", "ad_jvp of its ad_vjp");
    if (rc == AD_OK) rc = check_vectors(y, n, xs, vs, "hvp");
    if (rc != AD_OK || n == 0) return rc;
    ad_graph *g = ad__owner(y);
    ad_var **ds = ad_buffer_take(g, (size_t)n * sizeof *ds);
    if (ds == NULL) return AD_ENOMEM;
    rc = ad_gradient(y, n, xs, ds);
    if (rc == AD_OK) rc = ad__vjp_of(n, ds, vs, n, xs, hvs, 0);
    ad_buffer_give(g, ds, (size_t)n * sizeof *ds);
    return rc;
}
