/* record.h: adding a node to a graph: the inlined part of applying an op; private to the library. */
#ifndef AUTODIFF_GRAPH_RECORD_H
#define AUTODIFF_GRAPH_RECORD_H

#include <string.h>

#include "autodiff/graph/memory.h"

/* AD__NEEDS if a result made from these operands requires a gradient, else 0. no_grad is the op's. */
AD__INLINE unsigned ad__result_needs(const ad_graph *g, unsigned no_grad, bool constant, int n, ad_var *const in[]) {
    unsigned needs = 0;
    for (int i = 0; i < n; i++)
        if (AD__LIKELY(no_grad == 0) || !ad__takes_no_grad(no_grad, i)) needs |= in[i]->flags;
    return constant || !g->grad_enabled ? 0 : needs & AD__NEEDS;
}

/* Bytes of a node without its values: Var, Op, operands, attributes. */
AD__INLINE size_t ad__node_head(int n, size_t attr_size) {
    return sizeof(ad_var) + sizeof(ad_op) + (size_t)n * sizeof(ad_var *) + ((attr_size + 7) & ~(size_t)7);
}

/* Initialises a node in memory of the arena. The caller sets data and grad and calls ad__append. */
AD__INLINE ad_var *ad__node_write(ad_graph *g, void *to, const ad_optype *type, int n, ad_var *const in[],
                                  const void *attrs, size_t attr_size, const ad__layout *layout, unsigned flags) {
    ad_var *out = to;
    ad_op *op = (ad_op *)(void *)(out + 1);
    out->layout = layout;
    out->creator = op;
    ad__set_stamp(out, g->clock);
    out->flags = (uint16_t)flags;
    op->type = type;
    op->prev = g->last;
    op->id = g->n_ops + 1;
    op->n_in = n;
    for (int i = 0; i < n; i++) op->in[i] = in[i];
    if (attr_size) memcpy(ad__attrs_of(op), attrs, attr_size);
    return out;
}

/* Makes the node the newest of the graph. */
AD__INLINE ad_var *ad__append(ad_graph *g, ad_var *out) {
    g->last = out->creator;
    g->n_ops++;
    return out;
}

/* ---- the fast path: elementwise ops of one element, which are most of the cost of scalar graphs ------------------ */

enum { AD__SCALAR_BYTES = sizeof(double) }; /* bytes for a value or a gradient, whatever its dtype */

/* True if an op on operands that share layout l can be recorded without further checks. One layout means one graph,
   dtype and shape, and numel 1 excludes nil. Nothing can fail if the graph's fast_path is set and the node fits into
   the current block, so an op's function contains no calls and saves no registers. is_one_layout in apply.c is the test
   for arrays: their memory must be allocated, which may fail. */
AD__INLINE bool ad__fast_path(const ad__layout *l, int n, size_t attr_size) {
    const ad_graph *g = l->graph;
    return l->numel == 1 && g->fast_path &&
           ad__node_head(n, attr_size) + 2 * AD__SCALAR_BYTES <= (size_t)(g->nodes.end - g->nodes.top);
}

/* The node of a result on the fast path. The caller writes its value and calls ad__append. This is record() of apply.c
   for the case that nothing can fail. n, attr_size and constant are compile-time constants in each op, so the compiler
   removes what the op does not need. */
AD__INLINE ad_var *ad__new_scalar(const ad_optype *type, int n, ad_var *const in[], const void *attrs, size_t attr_size,
                                  bool constant) {
    ad_graph *g = ad__owner(in[0]);
    unsigned needs = 0;
    for (int i = 0; i < n && !constant; i++) needs |= in[i]->flags & AD__NEEDS;
    char *p = g->nodes.top, *value = p + ad__node_head(n, attr_size);
    g->nodes.top = value + (needs ? 2 : 1) * AD__SCALAR_BYTES;
    AD__UNPOISON(p, g->nodes.top - p);
    ad_var *out = ad__node_write(g, p, type, n, in, attrs, attr_size, in[0]->layout,
                                 needs ? AD__NEEDS | AD__KEEPS : 0);
    out->data = value;
    out->grad = needs ? value + AD__SCALAR_BYTES : NULL;
    return out;
}

#endif
