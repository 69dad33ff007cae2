/* anomaly.h: finding the op whose value or gradient is the first that is not finite; private to the library. */
#ifndef AUTODIFF_GRAPH_ANOMALY_H
#define AUTODIFF_GRAPH_ANOMALY_H

#include "autodiff/graph/node.h"

/* These are called while g->anomalies is set. Those that return int return 0, or AD_EVALUE with the graph's error. */

/* After op has been evaluated for the first time, and again. */
int ad__check_value(const ad_op *op);
int ad__check_value_again(const ad_op *op);
/* After the evaluation of y, of which no Op was blamed: an Op of a derivative's own may be the reason. */
int ad__check_result(const ad_var *y);

/* Before and after op's backward. The mask says which operands' gradients are to be finite afterwards; bit 63 stands
   for all operands from 63 on. It is 0 if what the gradients are computed from is not finite. */
uint64_t ad__finite_before(const ad_op *op);
int ad__check_slopes(const ad_op *op, uint64_t mask);
/* After op's vjp rule gave dx for the cotangent. */
int ad__check_vjp(const ad_op *op, const ad_var *cotangent, ad_var *const dx[]);

/* Notes the Ops that a gradient pass recorded after the first n: their values may be infinite where ad_where leaves
   them out, so they are not blamed. 0, or AD_ENOMEM with the graph's error. */
int ad__note_derived(ad_graph *g, uint32_t n);

#endif
