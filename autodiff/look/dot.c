/* dot.c: the graph that a Var depends on as Graphviz text: Vars are boxes, Ops are ellipses. */
#include "autodiff/graph/node.h"
#include "autodiff/graph/plan.h"

enum { SHOWN = 4 }; /* elements of a value or gradient that are written */

static void write_numbers(FILE *to, const char *name, const ad_var *x, double (*at)(const ad_var *, int64_t)) {
    fprintf(to, "\\n%s", name);
    for (int64_t i = 0; i < x->layout->numel && i < SHOWN; i++) fprintf(to, " %.4g", at(x, i));
    if (x->layout->numel > SHOWN) fputs(" ...", to);
}

/* Writes text inside a quoted label: quotes and backslashes are escaped. */
static void write_escaped(FILE *to, const char *text) {
    for (; *text; text++) fprintf(to, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
}

static void write_var(FILE *to, const ad_var *x) {
    const char *kind = x->creator ? "" : ad__needs(x) ? "param " : "constant ", *name = ad_name_of(x);
    fprintf(to, "  v%p [shape=box%s, label=\"", (const void *)x, x->creator ? "" : ", style=filled");
    if (name != NULL) write_escaped(to, name), fputs("\\n", to);
    fprintf(to, "%s%s %s", kind, ad_dtype_name(x->layout->dtype),
            x->layout->shape.ndim ? ad_shape_str(x->layout->shape).text : "");
    write_numbers(to, "value", x, ad_at);
    if (ad_has_grad(x)) write_numbers(to, "grad", x, ad_grad_at);
    fputs("\"];\n", to);
}

/* An Op, and its edges from the operands and to the result. */
static void write_op(FILE *to, const ad_op *op) {
    fprintf(to, "  o%p [shape=ellipse, label=\"%s", (const void *)op, op->type->name);
    char text[200];
    for (int i = 0; ad_op_attr_text(op, i, text, sizeof text) > 0; i++) fprintf(to, "\\n%s", text);
    fputs("\"];\n", to);
    for (int i = 0; i < op->n_in; i++)
        fprintf(to, "  v%p -> o%p;\n", (const void *)op->in[i], (const void *)op);
    fprintf(to, "  o%p -> v%p [label=creator, dir=back];\n", (const void *)op, (const void *)ad__out(op));
}

/* Writes a leaf the first time it is met. The plan lists Ops only, so AD__REACHED marks the leaves that are written. */
static void write_leaf(FILE *to, ad_var *x) {
    if (x->creator != NULL || x->flags & AD__REACHED) return;
    x->flags |= AD__REACHED;
    write_var(to, x);
}

int ad_dump_dot(const ad_var *y, FILE *to) {
    if (ad__absent(y)) return ad_refuse_nil(y, "dump_dot");
    ad_graph *g = ad__owner(y);
    if (to == NULL) return ad_fail(g, AD_EVALUE, "dump_dot: the file is NULL");
    const ad__plan *p = y->creator ? ad__plan_for(ad__out(y->creator)) : NULL;
    if (y->creator != NULL && p == NULL) return g->code;
    fputs("digraph autodiff {\n  rankdir=LR;\n  node [fontname=monospace, fontsize=10];\n", to);
    if (p == NULL) write_var(to, y);
    size_t n = p ? p->n : 0;
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < p->ops[k]->n_in; i++) write_leaf(to, p->ops[k]->in[i]);
        write_var(to, ad__out(p->ops[k]));
        write_op(to, p->ops[k]);
    }
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < p->ops[k]->n_in; i++)
            if (p->ops[k]->in[i]->creator == NULL) p->ops[k]->in[i]->flags &= (uint16_t)~AD__REACHED;
    fputs("}\n", to);
    return ferror(to) ? ad_fail(g, AD_EIO, "dump_dot: the file cannot be written") : AD_OK;
}
