/* view.c: the graph that a Var depends on as a list of nodes, for the page to draw. */
#include "demos/web/page.h"
#include "autodiff/op.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_NODES = 600 };

typedef struct {
    ad_var *var;     /* a Var, or */
    const ad_op *op; /* an Op */
} node;

/* Nodes in the order of making: operands before an Op, and the Op before its result. */
typedef struct {
    int n, edges;
    node node[MOST_NODES];
    int edge[4 * MOST_NODES][2]; /* from and to */
    char text[512];
} view;

PAGE view *view_new(void) { return calloc(1, sizeof(view)); }

static int find(const view *v, const void *what) {
    for (int i = 0; i < v->n; i++)
        if (v->node[i].var == what || (const void *)v->node[i].op == what) return i;
    return -1;
}

/* Lists what y depends on: a stack of Vars whose operands are listed first. False where there are too many. */
static bool list(view *v, ad_var *y) {
    ad_var *stack[MOST_NODES];
    int depth = 0;
    stack[depth++] = y;
    while (depth > 0) {
        ad_var *x = stack[depth - 1];
        const ad_op *op = ad_creator(x);
        int before = depth;
        for (int i = ad_op_arity(op) - 1; i >= 0 && find(v, x) < 0; i--)
            if (find(v, ad_op_operand(op, i)) < 0 && depth < MOST_NODES) stack[depth++] = ad_op_operand(op, i);
        if (depth > before) continue;
        depth--;
        if (find(v, x) >= 0) continue;
        if (v->n + 2 > MOST_NODES) return false;
        if (op != NULL) v->node[v->n++] = (node){ NULL, op };
        v->node[v->n++] = (node){ x, NULL };
    }
    return true;
}

static void add_edge(view *v, int from, int to) {
    if (v->edges >= 4 * MOST_NODES) return;
    v->edge[v->edges][0] = from, v->edge[v->edges][1] = to;
    v->edges++;
}

/* The number of nodes; 0 if there are too many. */
PAGE int view_make(view *v, ad_var *y) {
    v->n = v->edges = 0;
    if (ad_is_nil(y) || !list(v, y)) return v->n = 0;
    for (int k = 0; k < v->n; k++) {
        const ad_op *op = v->node[k].op;
        for (int i = 0; i < ad_op_arity(op); i++) add_edge(v, find(v, ad_op_operand(op, i)), k);
        if (op != NULL) add_edge(v, k, find(v, ad_op_result(op)));
    }
    return v->n;
}

PAGE int view_edge_count(const view *v) { return v->edges; }
PAGE const int *view_edges(const view *v) { return v->edge[0]; }

/* 0: an Op, 1: a Var that an Op made, 2: a leaf with a gradient, 3: a constant */
PAGE int view_kind(const view *v, int i) {
    const ad_var *x = v->node[i].var;
    return x == NULL ? 0 : ad_creator(x) != NULL ? 1 : ad_requires_grad(x) ? 2 : 3;
}

/* The name of an Op, or of a Var that has one. */
PAGE const char *view_name(const view *v, int i) {
    if (v->node[i].op != NULL) return ad_op_name(v->node[i].op);
    const char *name = ad_name_of(v->node[i].var);
    return name ? name : "";
}

/* The attributes of an Op, one a line, or the dtype and shape of a Var. */
PAGE const char *view_text(view *v, int i) {
    const ad_var *x = v->node[i].var;
    size_t used = 0, size = sizeof v->text;
    v->text[0] = '\0';
    if (x != NULL) {
        snprintf(v->text, size, "%s %s", ad_dtype_name(ad_dtype_of(x)), ad_shape_str(ad_shape_of(x)).text);
        return v->text;
    }
    for (int k = 0; used < size; k++) {
        char line[120];
        if (ad_op_attr_text(v->node[i].op, k, line, sizeof line) == 0) break;
        used += (size_t)snprintf(v->text + used, size - used, "%s%s", used ? "\n" : "", line);
    }
    return v->text;
}

PAGE int view_numel(const view *v, int i) { return (int)ad_numel(v->node[i].var); }
PAGE int view_columns(const view *v, int i) {
    ad_shape s = ad_shape_of(v->node[i].var);
    return s.ndim ? (int)s.dim[s.ndim - 1] : 1;
}
PAGE double view_value(const view *v, int i, int k) { return ad_at(v->node[i].var, k); }
PAGE double view_grad(const view *v, int i, int k) { return ad_grad_at(v->node[i].var, k); }
PAGE int view_has_grad(const view *v, int i) { return ad_has_grad(v->node[i].var); }
