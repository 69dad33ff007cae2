/* recurrent.c: rnn, lstm and gru over all time steps of a sequence, and their backward passes. */
#include "ops/kernels/base/vector_math.h" /* before every other header: see there */

#include "ops/kernels/net/recurrent.h"

#include "ops/kernels/base/sum.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/gemm.h"

#include <string.h>

int64_t ad__recurrent_gates(ad__recurrent_kind kind) { return kind == AD__LSTM ? 4 : kind == AD__GRU ? 3 : 1; }

/* The size for backward: the gates' gradients [k] and the states before [m] of all time steps; the gradients of h and c
   [m] and the buffer for rows [k] of one step. Forward needs less. */
size_t ad__recurrent_scratch(const ad__recurrent *r, ad_dtype t) {
    int64_t m = r->hidden, k = ad__recurrent_gates(r->kind) * m;
    return (size_t)(r->time * r->n * (k + m) + r->n * (2 * m + k)) * ad_dtype_size(t);
}

/* The index in time of a step of the computation. */
static int64_t time_of(const ad__recurrent *r, int64_t step) { return r->reverse ? r->time - 1 - step : step; }

/* The work of one sample in one step, for ad_parallel. exp and tanh cost several times as much as an addition. */
static int64_t work_of(int64_t gates) { return 4 * gates; }

#define KERNELS "ops/kernels/net/recurrent.inc"
#include "ops/kernels/base/each_dtype.h"
