/* gradient.c: gradients as Vars of the graph, by the ops' vjp rules; differentiable again. */
#include <string.h>

#include "autodiff/graph/node.h"
#include "autodiff/graph/plan.h"
#include "autodiff/pass/pass.h"

/* A table of cotangents, Var -> Var; its memory is the pool's, so that repeated passes take no more. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad__pool_take(&g->pool, size)
#define uthash_free(p, size) ad__pool_give(&g->pool, p, size)
#define uthash_nonfatal_oom(entry) ((entry)->var = NULL)
#include <uthash.h>

extern const ad_optype ad_op_add; /* the one op that the engine needs: cotangents are summed */

typedef struct {
    ad_var *var, *cotangent;
    UT_hash_handle hh;
} pair;

/* What one pass works with: all of it sized before the first rule runs. A vjp rule may itself start a pass;
   what is marked of the outer one is then put aside. */
typedef struct {
    ad_graph *g;
    ad__plan plan;
    int n;
    ad_var *const *xs;
    ad_var **arrived;      /* cotangents of Ops' results, by id - first; NULL where none came */
    uint32_t first, range; /* range 0: these ids lie too far apart, and the table has all */
    pair *pairs, *table;   /* cotangents of the other Vars */
    size_t n_pairs, used;
    ad_var **dx; /* for the op with the most operands */
    size_t n_dx;
    ad_var **aside; /* Vars on the path of an outer pass */
    size_t n_aside, aside_size;
} pass;

/* Where v's cotangent has its place by number; NULL where it is one for the table. */
static ad_var **numbered(const pass *p, const ad_var *v) {
    if (v->creator == NULL || v->creator->id - p->first >= p->range) return NULL;
    return &p->arrived[v->creator->id - p->first];
}

/* What has arrived at v; NULL where nothing has. */
static ad_var **find(const pass *p, ad_var *v) {
    ad_var **place = numbered(p, v);
    if (place != NULL) return *place ? place : NULL;
    pair *found;
    HASH_FIND_PTR(p->table, &v, found);
    return found ? &found->cotangent : NULL;
}

static int enter(pass *p, ad_var *v, ad_var *d) {
    ad_graph *g = p->g;
    ad_var **place = numbered(p, v);
    if (place != NULL) return *place = d, AD_OK;
    pair *at = &p->pairs[p->used++];
    at->var = v;
    at->cotangent = d;
    HASH_ADD_PTR(p->table, var, at);
    return at->var == NULL ? ad_no_memory(g, "a table of gradients", sizeof *at) : AD_OK;
}

/* Adds d to what has arrived at v. */
static int arrive(pass *p, ad_var *v, ad_var *d) {
    ad_var **at = find(p, v);
    if (at == NULL) return enter(p, v, d);
    *at = ad__apply2(&ad_op_add, *at, d, NULL);
    return p->g->code;
}

/* ---- which Vars lie between the xs and y ------------------------------------------------------ */

bool ad_vjp_wants(const ad_op *op, int i) {
    return (op->in[i]->flags & AD__ON_PATH) && !ad__takes_no_grad(op->type->no_grad, i);
}

static void mark_path(const pass *p) {
    for (int i = 0; i < p->n; i++) p->xs[i]->flags |= AD__ON_PATH;
    for (size_t k = 0; k < p->plan.n; k++) {
        const ad_op *op = p->plan.ops[k];
        if (op->type->flags & AD_OP_CONSTANT || ad__out(op)->flags & AD__CUT) continue;
        for (int i = 0; i < op->n_in; i++)
            if (ad_vjp_wants(op, i)) ad__out(op)->flags |= AD__ON_PATH;
    }
}

static void clear_path(const pass *p) {
    for (int i = 0; i < p->n; i++) p->xs[i]->flags &= (uint16_t)~AD__ON_PATH;
    for (size_t k = 0; k < p->plan.n; k++) ad__out(p->plan.ops[k])->flags &= (uint16_t)~AD__ON_PATH;
}

static void put_aside(pass *p, ad_var *v) {
    if (!(v->flags & AD__ON_PATH)) return;
    v->flags &= (uint16_t)~AD__ON_PATH;
    p->aside[p->n_aside++] = v;
}

/* Takes the marks of an outer pass off all Vars that this one looks at. */
static int path_aside(pass *p) {
    ad_graph *g = p->g;
    p->aside_size = (size_t)p->n + p->plan.n;
    for (size_t k = 0; k < p->plan.n; k++) p->aside_size += (size_t)p->plan.ops[k]->n_in;
    p->aside = ad__pool_take(&g->pool, (p->aside_size + 1) * sizeof *p->aside);
    if (p->aside == NULL) return ad_no_memory(g, "a pass of gradients", p->aside_size * sizeof *p->aside);
    for (int i = 0; i < p->n; i++) put_aside(p, p->xs[i]);
    for (size_t k = 0; k < p->plan.n; k++) {
        const ad_op *op = p->plan.ops[k];
        put_aside(p, ad__out(op));
        for (int i = 0; i < op->n_in; i++) put_aside(p, op->in[i]);
    }
    return AD_OK;
}

static void path_back(pass *p) {
    if (p->aside == NULL) return;
    for (size_t i = 0; i < p->n_aside; i++) p->aside[i]->flags |= AD__ON_PATH;
    ad__pool_give(&p->g->pool, p->aside, (p->aside_size + 1) * sizeof *p->aside);
}

/* Whether a gradient is to go on from op to its operands. */
static bool leads_on(const ad_op *op) {
    if (op->type->flags & AD_OP_CONSTANT || ad__out(op)->flags & AD__CUT) return false;
    for (int i = 0; i < op->n_in; i++)
        if (ad_vjp_wants(op, i)) return true;
    return false;
}

/* ---- the pass --------------------------------------------------------------------------------- */

/* Ids mostly lie close together; a table would cost more than all else that a pass does with an Op. */
static void number(pass *p) {
    if (p->plan.n == 0) return;
    uint32_t last = p->plan.ops[p->plan.n - 1]->id;
    p->first = p->plan.ops[0]->id;
    if ((last - p->first) / 8 <= p->plan.n) p->range = last - p->first + 1;
}

static int pass_open(pass *p, int m, ad_var *const ys[], uint32_t after) {
    ad_graph *g = p->g;
    if (ad__plan_make(&p->plan, m, ys, after)) return g->code;
    number(p);
    p->n_pairs = (p->range ? 0 : p->plan.n) + (size_t)p->n + 1;
    for (size_t k = 0; k < p->plan.n; k++)
        if ((size_t)p->plan.ops[k]->n_in > p->n_dx) p->n_dx = (size_t)p->plan.ops[k]->n_in;
    size_t bytes = p->n_pairs * sizeof *p->pairs, numbers = (p->range + (size_t)1) * sizeof *p->arrived;
    p->arrived = ad__pool_take(&g->pool, numbers);
    p->pairs = ad__pool_take(&g->pool, bytes);
    p->dx = ad__pool_take(&g->pool, (p->n_dx + 1) * sizeof *p->dx);
    if (!p->arrived || !p->pairs || !p->dx) return ad_no_memory(g, "a pass of gradients", bytes + numbers);
    memset(p->arrived, 0, numbers);
    return g->vjp_rules > 0 ? path_aside(p) : AD_OK;
}

static void pass_close(pass *p) {
    ad_graph *g = p->g;
    HASH_CLEAR(hh, p->table);
    if (p->arrived) ad__pool_give(&g->pool, p->arrived, (p->range + (size_t)1) * sizeof *p->arrived);
    if (p->pairs) ad__pool_give(&g->pool, p->pairs, p->n_pairs * sizeof *p->pairs);
    if (p->dx) ad__pool_give(&g->pool, p->dx, (p->n_dx + 1) * sizeof *p->dx);
    path_back(p);
    ad__plan_free(g, &p->plan);
}

static int check_rule(const ad_op *op, int i, const ad_var *d) {
    const ad_var *x = op->in[i];
    if (d == NULL || d->layout == x->layout) return AD_OK; /* NULL: the rule says zero */
    if (d->layout->dtype == x->layout->dtype && ad_shape_equal(d->layout->shape, x->layout->shape)) return AD_OK;
    char xs[96], ds[96];
    ad_shape_text(x->layout->shape, xs, sizeof xs);
    ad_shape_text(d->layout->shape, ds, sizeof ds);
    return ad_fail(ad__owner(x), AD_ESHAPE, "gradient: the vjp of %s gave %s %s for operand %d, which is %s %s",
                   op->type->name, ad_dtype_name(d->layout->dtype), ds, i, ad_dtype_name(x->layout->dtype), xs);
}

static int apply_rule(pass *p, const ad_op *op, ad_var *cotangent) {
    ad_graph *g = p->g;
    if (op->type->vjp == NULL)
        return ad_fail(g, AD_EGRAD, "gradient: op %s has no vjp rule, so its gradient cannot be had as a Var",
                       op->type->name);
    memset(p->dx, 0, (size_t)op->n_in * sizeof *p->dx);
    g->vjp_rules++;
    op->type->vjp(op, cotangent, p->dx);
    g->vjp_rules--;
    for (int i = 0; i < op->n_in && g->code == AD_OK; i++)
        if (ad_vjp_wants(op, i) && p->dx[i] != NULL && check_rule(op, i, p->dx[i]) == AD_OK)
            arrive(p, op->in[i], p->dx[i]);
    return g->code;
}

static int run(pass *p, int m, ad_var *const ys[], ad_var *const cotangents[]) {
    int rc = AD_OK;
    for (int j = 0; j < m && rc == AD_OK; j++)
        if (ys[j]->flags & AD__ON_PATH) rc = arrive(p, ys[j], cotangents[j]);
    for (size_t k = p->plan.n; k-- > 0 && rc == AD_OK;) {
        const ad_op *op = p->plan.ops[k];
        ad_var **at = leads_on(op) ? find(p, ad__out(op)) : NULL;
        if (at != NULL) rc = apply_rule(p, op, *at);
    }
    return rc;
}

/* What arrived at each x; zeros where nothing did, which the strict form refuses. */
static int collect(const pass *p, ad_var *dxs[], const char *strict) {
    ad_graph *g = p->g;
    for (int i = 0; i < p->n; i++) {
        ad_var **at = g->code == AD_OK ? find(p, p->xs[i]) : NULL;
        if (at == NULL && strict)
            return ad_fail(g, AD_EGRAD, "%s: y does not depend on xs[%d], or only through ad_detach or constant ops",
                           strict, i);
        dxs[i] = at ? *at : ad_zeros(g, p->xs[i]->layout->dtype, p->xs[i]->layout->shape);
    }
    return g->code;
}

static int gradients(int m, ad_var *const ys[], ad_var *const cotangents[], int n, ad_var *const xs[], ad_var *dxs[],
                     uint32_t after, const char *strict) {
    pass p = { .g = ad__owner(ys[0]), .n = n, .xs = xs };
    int rc = pass_open(&p, m, ys, after);
    if (rc == AD_OK) {
        mark_path(&p);
        rc = run(&p, m, ys, cotangents);
        clear_path(&p);
    }
    if (rc == AD_OK) rc = collect(&p, dxs, strict);
    pass_close(&p);
    return rc;
}

int ad__vjp_of(int m, ad_var *const ys[], ad_var *const cotangents[], int n, ad_var *const xs[], ad_var *dxs[],
               uint32_t after) {
    return gradients(m, ys, cotangents, n, xs, dxs, after, NULL);
}

/* ---- what the callers gave ---------------------------------------------------------------------- */

int ad__check_arguments(ad_var *y, int n, ad_var *const xs[], const char *caller) {
    if (ad__absent(y)) return ad_refuse_nil(y, caller);
    ad_graph *g = ad__owner(y);
    if (g->code != AD_OK) return g->code;
    if (n < 0 || (n > 0 && xs == NULL)) return ad_fail(g, AD_EVALUE, "%s: %d Vars, but xs is NULL", caller, n);
    for (int i = 0; i < n; i++) {
        if (ad__absent(xs[i])) return ad_fail(g, AD_EVALUE, "%s: xs[%d] is nil", caller, i);
        if (ad__owner(xs[i]) != g) return ad_fail(g, AD_EGRAPH, "%s: y and xs[%d] belong to two graphs", caller, i);
        if (ad__check_open(xs[i], caller)) return g->code;
    }
    return ad__check_open(y, caller) ? g->code : ad__check_fresh(y, caller);
}

/* Until they are known, the results are nil. */
static int check_results(ad_var *y, int n, ad_var *dxs[], const char *caller) {
    for (int i = 0; i < n && dxs != NULL; i++) dxs[i] = ad_nil(y ? ad__owner(y) : NULL);
    if (n > 0 && dxs == NULL && !ad__absent(y))
        return ad_fail(ad__owner(y), AD_EVALUE, "%s: there is no place for the results: NULL", caller);
    return AD_OK;
}

static int check_scalar(ad_var *y, const char *caller, const char *instead) {
    if (y->layout->numel == 1) return AD_OK;
    char ys[96];
    ad_shape_text(y->layout->shape, ys, sizeof ys);
    return ad_fail(ad__owner(y), AD_ESHAPE, "%s: y is %s, not one element; reduce it, or use %s", caller, ys, instead);
}

/* One vector for each x, of its shape and dtype. */
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

/* ---- the functional forms ----------------------------------------------------------------------- */

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

/* u = J^T c is linear in c, so its own vjp at t is J t. Only Ops made by the first pass depend on c, so the second
   looks at no others. */
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
