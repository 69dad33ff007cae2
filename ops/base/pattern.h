/* pattern.h: pattern functions that several ops share: see "patterns" in autodiff/op.h; private to the library. */
#ifndef OPS_BASE_PATTERN_H
#define OPS_BASE_PATTERN_H

#include "autodiff/graph/node.h"

/* Element by element; operands broadcast. */
void ad__pattern_elements(ad_pattern *p, const ad_op *op);
/* The result and operand i are `count` equal blocks, and each depends on all of its counterpart. */
void ad__pattern_blocks(ad_pattern *p, const ad_op *op, int i, int64_t count);
/* For batches of matrices: each matrix of the result depends on the one of each operand in its place; or on all, if the
   leading axes differ. */
void ad__pattern_matrices(ad_pattern *p, const ad_op *op);
/* Along an axis, element k depends on the elements of operand 0 up to k. The attributes start with the axis. */
void ad__pattern_running(ad_pattern *p, const ad_op *op);

#endif
