/* trace.h: what results are computed of, found in two expressions at once; private to nn/onnx. */
#ifndef NN_ONNX_TRACE_H
#define NN_ONNX_TRACE_H

#include "autodiff/extend.h"
#include "autodiff/op.h"

/* A Var, and its counterpart in the second expression, which may be the same. */
typedef struct {
    ad_var *at[2];
} nn__pair;

typedef struct {
    nn__pair *at;
    int n, capacity;
} nn__pairs;

typedef struct {
    ad_graph *g;
    const char *caller;
    nn__pairs results; /* of Ops, each after its operands */
    nn__pairs leaves;  /* in the order in which they are met */
} nn__trace;

/* Finds all that n pairs of results depend on, as far as the known pairs, which stand for inputs. Returns 0, or the
   code of the graph's error: AD_EVALUE if the two expressions are not the same but for sizes and numbers. */
int nn__trace_of(nn__trace *t, int n, const nn__pair *ys, int n_known, const nn__pair *known);

#endif
