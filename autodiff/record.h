/* record.h: putting a node into a graph: the inlined part of applying an op; private to the library. */
#ifndef AUTODIFF_RECORD_H
#define AUTODIFF_RECORD_H

#include <string.h>

#include "autodiff/node.h"

#define AD__INLINE static inline __attribute__((always_inline))

/* size, a multiple of 8, from the arena of nodes; NULL and the graph's error when memory is short. */
AD__INLINE void *ad__node_take(ad_graph *g, size_t size) {
    char *p = g->nodes.top;
    if (AD__UNLIKELY(size > (size_t)(g->nodes.end - p))) return ad__node_more(g, size);
    AD__UNPOISON(p, size);
    g->nodes.top = p + size;
    return p;
}

/* AD__NEEDS if a result made from these operands wants a gradient, else 0. refused: the op's no_grad. */
AD__INLINE unsigned ad__result_needs(const ad_graph *g, unsigned refused, bool constant, int n, ad_var *const in[]) {
    unsigned needs = 0;
    for (int i = 0; i < n; i++)
        if (AD__LIKELY(refused == 0) || !(refused >> (i < 31 ? i : 31) & 1)) needs |= in[i]->flags;
    return constant || !g->grad_enabled ? 0 : needs & AD__NEEDS;
}

/* A node in memory: Var, Op, operands, attributes; then inside bytes for small values. NULL, and the
   graph's error, when memory is short. */
AD__INLINE ad_var *ad__node_new(ad_graph *g, const ad_optype *type, int n, ad_var *const in[], const void *attrs,
                                size_t attr_size, const ad__layout *layout, unsigned flags, size_t inside) {
    size_t head = sizeof(ad_var) + sizeof(ad_op) + (size_t)n * sizeof *in + ((attr_size + 7) & ~(size_t)7);
    ad_var *out = ad__node_take(g, head + inside);
    if (AD__UNLIKELY(out == NULL)) return NULL;
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
    if (attr_size) memcpy(ad__attrs(op), attrs, attr_size);
    return out;
}

AD__INLINE ad_var *ad__append(ad_graph *g, ad_var *out) {
    g->last = out->creator;
    g->n_ops++;
    return out;
}

/* The short way of an elementwise op: one element, operands of one layout (which settles graph, dtype
   and shape at once; nil's layout has no element), a plain graph. */
AD__INLINE bool ad__is_short(const ad__layout *l) { return l->numel == 1 && l->graph->plain; }

/* The node of a result on that way, for the caller to write its value and ad__append it; NULL when
   memory is short. What is fixed for an op is given as constants, so that an op's own function holds
   just what it needs: of scalar graphs, this is most of the cost. */
AD__INLINE ad_var *ad__new_one(const ad_optype *type, int n, ad_var *const in[], const void *attrs, size_t attr_size,
                               bool constant) {
    enum { ROOM = sizeof(double) };
    unsigned needs = 0;
    for (int i = 0; i < n && !constant; i++) needs |= in[i]->flags & AD__NEEDS;
    ad_var *out = ad__node_new(ad__graph(in[0]), type, n, in, attrs, attr_size, in[0]->layout,
                               needs ? AD__NEEDS | AD__KEEPS : 0, needs ? 2 * ROOM : ROOM);
    if (AD__UNLIKELY(out == NULL)) return NULL;
    char *inside = (char *)out + sizeof(ad_var) + sizeof(ad_op) + (size_t)n * sizeof *in + ((attr_size + 7) & ~(size_t)7);
    out->data = inside;
    out->grad = needs ? inside + ROOM : NULL;
    return out;
}

#endif
