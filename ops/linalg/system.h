/* system.h: what the ops through LAPACK share: square matrices, systems of equations, their samples. */
#ifndef OPS_LINALG_SYSTEM_H
#define OPS_LINALG_SYSTEM_H

#include "ops/kernels/linalg/lapack.h"
#include "ops/kernels/linalg/square.h"
#include "ops/linalg/batch.h"

/* For shape rules: operand 0 is a batch of square matrices that LAPACK can take, and there is a LAPACK. */
int ad__square_shape(ad_call *c);
/* The side and the number of a Var's square matrices [..,n,n]. */
static inline int64_t ad__matrix_side(const ad_var *x) { return x->layout->shape.dim[x->layout->shape.ndim - 1]; }
int64_t ad__matrix_count(const ad_var *x);

/* A walk over an op's batches, one at a time: the parts of the arrays that belong to the present batch.

       ad__batch b = ad__batch_values(op, NULL);
       while (ad__batch_next(&b)) b.y = ... b.a ...                                                     */
typedef struct {
    const ad_op *op;
    const ad__batches *batches; /* of two operands; NULL: each matrix of operand 0 is a batch */
    ad_dtype t;
    int64_t side, size;      /* of a; how many elements y has, and b */
    size_t a_bytes, y_bytes; /* of these */
    int64_t count, i;        /* of batches; the present one */
    int64_t ia;              /* which of operand 0's matrices it takes */
    void *a, *b;             /* of operand 0, [side,side]; of operand 1, where there is one */
    void *y, *g;             /* of the result; of the gradient that arrived at it, in backward */
    void *ga, *gb;           /* in backward, gradients to add to; NULL: none is wanted */
    char *grad[2];           /* of the whole operands */
} ad__batch;
ad__batch ad__batch_values(const ad_op *op, const ad__batches *batches);
/* For backward; it has no batches where there is nothing to add. */
ad__batch ad__batch_gradients(const ad_op *op, const ad__batches *batches);
bool ad__batch_next(ad__batch *b); /* the first, and then the next; false after the last */

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
/* Samples of an op of such matrices alone: small ones and one of the largest side, batches, empty ones. */
void ad__square_samples(ad_sampler *s, int64_t largest, double shift);

#endif
