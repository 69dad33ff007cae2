/* look.c: reading the values, gradient and creator of a Var, and the operands of an Op. */
#include <math.h>
#include <string.h>

#include "autodiff/graph/flat.h"

bool ad_watch_reads(ad_graph *g, bool on) {
    if (g == NULL) return false;
    bool was_read = g->was_read;
    g->watched = on, g->was_read = false;
    return was_read;
}

/* The graph is written to only while it is watched: several threads may read values. */
static void note_read(const ad_var *x) {
    ad_graph *g = ad__owner(x);
    if (AD__UNLIKELY(g->watched)) g->was_read = true;
}

double ad_at(const ad_var *x, int64_t flat) {
    if (ad__absent(x) || flat < 0 || flat >= x->layout->numel) return NAN;
    note_read(x);
    return ad_read_element(x->layout->dtype, x->data, flat);
}

double ad_grad_at(const ad_var *x, int64_t flat) {
    if (ad__absent(x) || flat < 0 || flat >= x->layout->numel) return NAN;
    ad__flat_show_grads(ad__owner(x));
    return x->flags & AD__HAS_GRAD ? ad_read_element(x->layout->dtype, x->grad, flat) : 0;
}

double ad_item(const ad_var *x) { return ad_numel(x) == 1 ? ad_at(x, 0) : NAN; }
double ad_grad_item(const ad_var *x) { return ad_numel(x) == 1 ? ad_grad_at(x, 0) : NAN; }

const void *ad_data(const ad_var *x) {
    if (ad__absent(x)) return NULL;
    note_read(x);
    return ad__lasting_data(x);
}

/* x's gradient memory, zeroed first if it has no gradient. NULL if x has no such memory. */
static void *gradient_memory(const ad_var *x) {
    if (ad__absent(x) || x->grad == NULL) return NULL;
    ad__flat_show_grads(ad__owner(x));
    if (!(x->flags & AD__HAS_GRAD)) memset(x->grad, 0, ad__bytes(x));
    return ad__lasting_grad(x);
}

const void *ad_grad(const ad_var *x) { return gradient_memory(x); }

void *ad_grad_mut(ad_var *x) {
    if (ad__absent(x) || x->creator != NULL) return NULL;
    void *grad = gradient_memory(x);
    if (grad != NULL) x->flags |= AD__HAS_GRAD;
    return grad;
}

ad_shape ad_shape_of(const ad_var *x) { return x ? x->layout->shape : AD_SHAPE(0); }
ad_dtype ad_dtype_of(const ad_var *x) { return x ? x->layout->dtype : AD_F64; }
int64_t ad_numel(const ad_var *x) { return x ? x->layout->numel : 0; }
const ad_op *ad_creator(const ad_var *x) { return x ? x->creator : NULL; }
ad_graph *ad_graph_of(const ad_var *x) { return x ? ad__owner(x) : NULL; }

const char *ad_op_name(const ad_op *op) { return op ? op->type->name : ""; }
int ad_op_arity(const ad_op *op) { return op ? op->n_in : 0; }
ad_var *ad_op_operand(const ad_op *op, int i) { return op && i >= 0 && i < op->n_in ? op->in[i] : NULL; }
ad_var *ad_op_result(const ad_op *op) { return op ? ad__out(op) : NULL; }
