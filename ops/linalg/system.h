/* system.h: what the ops through LAPACK share: square matrices, systems of equations, their samples. */
#ifndef OPS_LINALG_SYSTEM_H
#define OPS_LINALG_SYSTEM_H

#include "ops/linalg/batch.h"
#include "ops/kernels/linalg/lapack.h"
#include "ops/kernels/linalg/square.h"
#include "ops/kernels/base/vector.h"

/* For shape rules: operand 0 is a batch of square matrices that LAPACK can take, and there is a LAPACK. */
int ad__square_shape(ad_call *c);
/* The side and the number of a Var's square matrices [..,n,n]. */
int64_t ad__matrix_side(const ad_var *x);
int64_t ad__matrix_count(const ad_var *x);

/* LU factors of every matrix of operand 0, kept in saved: how many bytes to ask for, the factors and pivots of
   matrix k, and making them. Where required, a singular matrix is the graph's error. */
size_t ad__factors_size(const ad_call *c);
void *ad__factors(const ad_op *op, int64_t k);
int *ad__pivots(const ad_op *op, int64_t k);
int ad__factorise(const ad_op *op, bool required);
int ad__singular(const ad_op *op, int64_t k, int64_t pivot); /* that error */

/* Sample matrices [.., n,n] that are far from singular: small numbers with shift added on the diagonal. */
void ad__sample_matrices(int64_t n, int64_t count, double shift, double *to);
enum { AD__SAMPLE_MATRICES = 512 }; /* their elements, at most */

/* What stays the same in one dtype or the other. */
static inline void ad__negate(ad_dtype t, int64_t n, void *x) {
    if (t == AD_F32) ad__negate_f32(n, x);
    else ad__negate_f64(n, x);
}
static inline void ad__array_add(ad_dtype t, int64_t n, const void *x, void *y) {
    if (t == AD_F32) ad__array_add_f32(n, x, y);
    else ad__array_add_f64(n, x, y);
}

#endif
