/* packed.h: results of decompositions: the parts of one matrix's result lie one after the other along the last axis. */
#ifndef OPS_LINALG_PACKED_H
#define OPS_LINALG_PACKED_H

#include "ops/linalg/system.h"

/* Sides of a matrix [n,m]; k is the smaller of them. */
typedef struct {
    int64_t n, m, k;
} ad__sides;
ad__sides ad__sides_of(const ad_var *x);

/* The shape [.., size] for matrices of the shape s. */
ad_shape ad__packed_shape(ad_shape s, int64_t size);
/* The part of packed [.., size] that begins at element `from`, as [.., rows, columns], or as [.., columns] if rows is
   AD__VECTOR. */
enum { AD__VECTOR = -1 };
ad_var *ad__packed_part(ad_var *packed, int64_t from, int64_t rows, int64_t columns);

/* m - m^T of square matrices; 0 on the diagonal, whatever m has there. */
ad_var *ad__antisymmetric(ad_var *m);

/* For shape rules: the sides must not be longer than a decomposition may have. */
int ad__decomposition_shape(ad_call *c, ad__sides *sides);
/* Sets the errors of a decomposition of matrix i. */
int ad__not_finite(const ad_op *op, int64_t i);
int ad__not_converged(const ad_op *op, int64_t i);

/* The smallest ratio of singular values of x to the largest that does not count as 0: the rcond of a call, or its
   default. */
double ad__rcond(double given, const ad_var *x);
int ad__check_rcond(const ad_call *c, double rcond); /* for shape rules */

/* For functions with several results, which are in parts: sets them to nil and returns the code of an error that makes
   the call impossible; 0 if there is none. */
int ad__parts_begin(ad_var *x, const char *caller, int n, ad_var *parts[]);
/* What such a function returns: 0, or the code of the graph's error, which makes all parts nil. */
int ad__parts_end(ad_var *x, int n, ad_var *parts[]);

#endif
