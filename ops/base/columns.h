/* columns.h: loops over columns, which an op's threads share. */
#ifndef OPS_BASE_COLUMNS_H
#define OPS_BASE_COLUMNS_H

#include "autodiff/graph/node.h"

/* Runs a loop over n columns, rows or channels, each of so much work. A thread takes a multiple of `unit` at once: two
   threads that write to one line of the cache wait for each other. One thread takes all, so the result of a column must
   not depend on the others. */
static inline void ad__by_columns(const ad_op *op, int64_t n, int64_t unit, int64_t work, ad_loop_fn *body,
                                  void *context) {
    ad_team *team = ad__op_team(op);
    int64_t chunk = team == NULL ? n : (n / (2 * ad__team_size(team)) + unit) / unit * unit;
    if (n > 0) ad_parallel(team, n, chunk, work, body, context);
}

#endif
