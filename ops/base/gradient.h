/* gradient.h: functions that the derivative rules of ops share; private to the library. */
#ifndef OPS_BASE_GRADIENT_H
#define OPS_BASE_GRADIENT_H

#include "autodiff/graph/node.h"

/* ---- backward rules ------------------------------------------------------------------------------ */

/* Adds g to the gradient of operand i, if that takes one. g has the size and dtype of the operand. */
void ad__add_gradient(const ad_op *op, int i, const void *g);
/* Adds sums, one f64 number for each element of operand i, to the gradient of operand i, if that takes one. */
void ad__add_sums(const ad_op *op, int i, const double *sums);
/* The gradient of operand i, for a matrix product that writes all of it. Sets beta of the product: 0 if there is no
   gradient yet, which is then overwritten, else 1. NULL if the operand takes no gradient. */
void *ad__product_grad(const ad_op *op, int i, double *beta);

/* ---- vjp rules ------------------------------------------------------------------------------------- */

/* A constant scalar in the graph of x, with its dtype. */
ad_var *ad__constant(const ad_var *x, double value);
/* g where condition is 0, and 0 elsewhere. A product with 0 and 1 would turn an infinite g into NaN. */
ad_var *ad__zero_where(ad_var *condition, ad_var *g);
/* g sign(x), and 0 where x is 0. */
ad_var *ad__times_sign(ad_var *g, ad_var *x);
/* x in dtype t; x itself if it has that dtype. A rule in f64 overflows where kernels that accumulate in f64 do. */
ad_var *ad__in_dtype(ad_var *x, ad_dtype t);
/* The vjp rule of an op that other ops can express. build computes the result of the op from in, which are views of its
   operands. This function differentiates that expression. */
typedef ad_var *ad__expression_fn(const ad_op *op, ad_var *const in[]);
void ad__vjp_of_expression(const ad_op *op, ad_var *cotangent, ad_var *dx[], ad__expression_fn *build);

#endif
