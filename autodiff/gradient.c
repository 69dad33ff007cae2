/* gradient.c: gradients as Vars of the graph, by the ops' vjp rules; differentiable again. */
#include <string.h>

#include "autodiff/node.h"

/* The cotangents' table, Var -> Var; its memory is the pool's, so that repeated passes take no more. */
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

/* What one pass works with: all of it sized before the first rule runs. */
typedef struct {
    ad_graph *g;
    pair *pairs, *table;
    size_t n_pairs, used;
    ad_var **dx; /* for the op with the most operands */
    size_t n_dx;
} pass;

static pair *find(const pass *p, ad_var *v) {
    pair *found;
    HASH_FIND_PTR(p->table, &v, found);
    return found;
}

/* Adds d to what has arrived at v. */
static int arrive(pass *p, ad_var *v, ad_var *d) {
    ad_graph *g = p->g;
    pair *at = find(p, v);
    if (at != NULL) {
        at->cotangent = ad__apply2(&ad_op_add, at->cotangent, d, NULL);
        return g->code;
    }
    at = &p->pairs[p->used++];
    at->var = v;
    at->cotangent = d;
    HASH_ADD_PTR(p->table, var, at);
    return at->var == NULL ? ad__no_memory(g, "a table of gradients", sizeof *at) : AD_OK;
}

/* ---- which Vars lie between the xs and y ------------------------------------------------------ */

static bool takes(const ad_op *op, int i) {
    return (op->in[i]->flags & AD__ON_PATH) && !(op->type->no_grad >> (i < 31 ? i : 31) & 1);
}

static void mark_path(const ad__plan *plan, int n, ad_var *const xs[]) {
    for (int i = 0; i < n; i++) xs[i]->flags |= AD__ON_PATH;
    for (size_t k = 0; k < plan->n; k++) {
        const ad_op *op = plan->ops[k];
        if (op->type->flags & AD_OP_CONSTANT || ad__out(op)->flags & AD__CUT) continue;
        for (int i = 0; i < op->n_in; i++)
            if (takes(op, i)) ad__out(op)->flags |= AD__ON_PATH;
    }
}

static void clear_path(const ad__plan *plan, int n, ad_var *const xs[]) {
    for (int i = 0; i < n; i++) xs[i]->flags &= (uint16_t)~AD__ON_PATH;
    for (size_t k = 0; k < plan->n; k++) ad__out(plan->ops[k])->flags &= (uint16_t)~AD__ON_PATH;
}

/* Whether a gradient is to go on from op to its operands. */
static bool leads_on(const ad_op *op) {
    if (op->type->flags & AD_OP_CONSTANT || ad__out(op)->flags & AD__CUT) return false;
    for (int i = 0; i < op->n_in; i++)
        if (takes(op, i)) return true;
    return false;
}

/* ---- the pass --------------------------------------------------------------------------------- */

static int pass_open(pass *p, ad_graph *g, const ad__plan *plan, int n) {
    *p = (pass){ .g = g, .n_pairs = plan->n + (size_t)n + 1 };
    for (size_t k = 0; k < plan->n; k++)
        if ((size_t)plan->ops[k]->n_in > p->n_dx) p->n_dx = (size_t)plan->ops[k]->n_in;
    size_t bytes = p->n_pairs * sizeof *p->pairs;
    p->pairs = ad__pool_take(&g->pool, bytes);
    p->dx = ad__pool_take(&g->pool, (p->n_dx + 1) * sizeof *p->dx);
    return p->pairs && p->dx ? AD_OK : ad__no_memory(g, "a pass of gradients", bytes);
}

static void pass_close(pass *p) {
    ad_graph *g = p->g;
    HASH_CLEAR(hh, p->table);
    if (p->pairs) ad__pool_give(&g->pool, p->pairs, p->n_pairs * sizeof *p->pairs);
    if (p->dx) ad__pool_give(&g->pool, p->dx, (p->n_dx + 1) * sizeof *p->dx);
}

static int check_rule(const ad_op *op, int i, const ad_var *d) {
    const ad_var *x = op->in[i];
    if (d == NULL) return AD_OK; /* the rule says: zero */
    if (d->layout->dtype == x->layout->dtype && ad_shape_equal(d->layout->shape, x->layout->shape)) return AD_OK;
    char xs[96], ds[96];
    ad_shape_text(x->layout->shape, xs, sizeof xs);
    ad_shape_text(d->layout->shape, ds, sizeof ds);
    return ad_fail(ad__graph(x), AD_ESHAPE, "gradient: the vjp of %s gave %s %s for operand %d, which is %s %s",
                   op->type->name, ad_dtype_name(d->layout->dtype), ds, i, ad_dtype_name(x->layout->dtype), xs);
}

static int apply_rule(pass *p, const ad_op *op, ad_var *cotangent) {
    ad_graph *g = p->g;
    if (op->type->vjp == NULL)
        return ad_fail(g, AD_EGRAD, "gradient: op %s has no vjp rule, so its gradient cannot be had as a Var",
                       op->type->name);
    memset(p->dx, 0, (size_t)op->n_in * sizeof *p->dx);
    g->in_vjp = true;
    op->type->vjp(op, cotangent, p->dx);
    g->in_vjp = false;
    for (int i = 0; i < op->n_in && g->code == AD_OK; i++)
        if (takes(op, i) && p->dx[i] != NULL && check_rule(op, i, p->dx[i]) == AD_OK)
            arrive(p, op->in[i], p->dx[i]);
    return g->code;
}

static int run(pass *p, const ad__plan *plan, ad_var *y, ad_var *cotangent) {
    int rc = y->flags & AD__ON_PATH ? arrive(p, y, cotangent) : AD_OK;
    for (size_t k = plan->n; k-- > 0 && rc == AD_OK;) {
        const ad_op *op = plan->ops[k];
        pair *at = leads_on(op) ? find(p, ad__out(op)) : NULL;
        if (at != NULL) rc = apply_rule(p, op, at->cotangent);
    }
    return rc;
}

static int collect(const pass *p, int n, ad_var *const xs[], ad_var *dxs[]) {
    for (int i = 0; i < n; i++) {
        pair *at = p->g->code == AD_OK ? find(p, xs[i]) : NULL;
        dxs[i] = at ? at->cotangent : ad_zeros(p->g, xs[i]->layout->dtype, xs[i]->layout->shape);
    }
    return p->g->code;
}

static int check_arguments(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[], const char *caller) {
    for (int i = 0; i < n && dxs != NULL; i++) dxs[i] = ad__nil(y ? ad__graph(y) : NULL);
    if (ad__is_nil(y)) return ad__refuse_nil(y, caller);
    ad_graph *g = ad__graph(y);
    if (g->code != AD_OK) return g->code;
    if (n < 0 || (n > 0 && (xs == NULL || dxs == NULL)))
        return ad_fail(g, AD_EVALUE, "%s: %d Vars, but xs or dxs is NULL", caller, n);
    for (int i = 0; i < n; i++) {
        if (ad__is_nil(xs[i])) return ad_fail(g, AD_EVALUE, "%s: xs[%d] is nil", caller, i);
        if (ad__graph(xs[i]) != g) return ad_fail(g, AD_EGRAPH, "%s: y and xs[%d] belong to two graphs", caller, i);
    }
    return ad__check_fresh(y, caller);
}

static int gradients(ad_var *y, ad_var *cotangent, int n, ad_var *const xs[], ad_var *dxs[]) {
    ad_graph *g = ad__graph(y);
    const ad__plan *plan = ad__plan_for(y);
    if (plan == NULL) return g->code;
    pass p;
    int rc = pass_open(&p, g, plan, n);
    if (rc == AD_OK) {
        mark_path(plan, n, xs);
        rc = run(&p, plan, y, cotangent);
        clear_path(plan, n, xs);
    }
    if (rc == AD_OK) rc = collect(&p, n, xs, dxs);
    pass_close(&p);
    return rc;
}

int ad_vjp(ad_var *y, ad_var *cotangent, int n, ad_var *const xs[], ad_var *dxs[]) {
    int rc = check_arguments(y, n, xs, dxs, "vjp");
    if (rc == AD_OK) rc = ad__check_cotangent(y, cotangent, "vjp", "cotangent");
    if (rc != AD_OK) return rc;
    return gradients(y, cotangent, n, xs, dxs);
}

int ad_gradient(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]) {
    int rc = check_arguments(y, n, xs, dxs, "gradient");
    if (rc != AD_OK) return rc;
    if (y->layout->numel != 1) {
        char ys[96];
        ad_shape_text(y->layout->shape, ys, sizeof ys);
        return ad_fail(ad__graph(y), AD_ESHAPE, "gradient: y is %s, not one element; reduce it, or use ad_vjp", ys);
    }
    ad_var *one = ad_ones(ad__graph(y), y->layout->dtype, y->layout->shape);
    return ad__is_nil(one) ? ad__graph(y)->code : gradients(y, one, n, xs, dxs);
}
