/* system.h: shape rules, loops over batches, LU factors and samples for the ops that use LAPACK. */
#ifndef OPS_LINALG_SYSTEM_H
#define OPS_LINALG_SYSTEM_H

#include "ops/kernels/linalg/lapack.h"
#include "ops/kernels/linalg/square.h"
#include "ops/linalg/batch.h"

/* For shape rules: checks that this build has LAPACK, and that operand 0 holds square matrices of a possible size. */
int ad__square_shape(ad_call *c);
/* The same for matrices of any sides. */
int ad__matrix_shape(ad_call *c);
/* The number of rows, of columns and of the matrices of a Var [..,n,m]. */
static inline int64_t ad__matrix_rows(const ad_var *x) { return x->layout->shape.dim[x->layout->shape.ndim - 2]; }
static inline int64_t ad__matrix_side(const ad_var *x) { return x->layout->shape.dim[x->layout->shape.ndim - 1]; }
int64_t ad__matrix_count(const ad_var *x);

/* An iterator over the batches of an op. Its pointers are to the parts of the arrays that belong to the current batch.

       ad__batch b = ad__batch_values(op, NULL);
       while (ad__batch_next(&b)) b.y = ... b.a ... */
typedef struct {
    const ad_op *op;
    const ad__batches *batches; /* of two operands; NULL: each matrix of operand 0 is a batch */
    ad_dtype t;
    int64_t rows, side;      /* of a; side is its number of columns */
    int64_t size;            /* the number of elements of y */
    size_t a_bytes, b_bytes, y_bytes;
    int64_t count, i;        /* the number of batches; the current one */
    int64_t ia;              /* the index of a in operand 0 */
    void *a, *b;             /* in operand 0, [rows,side]; in operand 1, if there is one */
    void *y, *g;             /* in the result; in its gradient, for backward */
    void *ga, *gb;           /* in the gradients of the operands, for backward; NULL for an operand that needs none */
    char *grad[2];           /* the gradients of the whole operands */
} ad__batch;
ad__batch ad__batch_values(const ad_op *op, const ad__batches *batches);
/* For backward. It has no batches if there is nothing to add. */
ad__batch ad__batch_gradients(const ad_op *op, const ad__batches *batches);
bool ad__batch_next(ad__batch *b); /* goes to the first or next batch; false after the last */

/* LU factors of all matrices of operand 0, which are kept in saved. */
size_t ad__factors_size(const ad_call *c); /* bytes of saved that they need */
void *ad__factors(const ad_op *op, int64_t k); /* of matrix k */
int *ad__pivots(const ad_op *op, int64_t k);
/* Computes the factors. If required is true, a singular matrix is an error. */
int ad__factorise(const ad_op *op, bool required);
int ad__singular(const ad_op *op, int64_t k, int64_t pivot); /* sets that error */

/* The inverse as the derivatives of logdet need it: 0 where the determinant is negative, NaN for a singular matrix. */
ad_var *ad__inverse_for_logdet(ad_var *x);
/* The inverse; NaN for a singular matrix. */
ad_var *ad__inverse_or_nan(ad_var *x);

/* Makes sample matrices [.., n,n] that are far from singular: small numbers, with shift added to the diagonal. */
void ad__sample_matrices(int64_t n, int64_t count, double shift, double *to);
enum { AD__SAMPLE_MATRICES = 512 }; /* the largest number of their elements */
/* Samples for an op of one operand: small matrices, one of the largest side, batches, and empty matrices. */
void ad__square_samples(ad_sampler *s, const void *attrs, int64_t largest, double shift);

#endif
