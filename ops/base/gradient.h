/* gradient.h: what the derivative rules of ops share; private to the library. */
#ifndef OPS_BASE_GRADIENT_H
#define OPS_BASE_GRADIENT_H

#include "autodiff/graph/node.h"

/* ---- backward rules ------------------------------------------------------------------------------ */

/* Adds g, as many elements as operand i has and of its dtype, to the gradient of operand i, if it takes one. */
void ad__add_gradient(const ad_op *op, int i, const void *g);
/* Adds sums, kept in f64 for each of its elements, to the gradient of operand i, if it takes one. */
void ad__add_sums(const ad_op *op, int i, const double *sums);
/* Operand i's gradient for a matrix product that covers all of it, and the product's beta: 0 where no gradient has
   arrived yet, else 1. NULL if the operand takes none. */
void *ad__product_grad(const ad_op *op, int i, double *beta);

/* ---- vjp rules ------------------------------------------------------------------------------------- */

/* A constant with x's graph and dtype. */
ad_var *ad__constant(const ad_var *x, double value);
/* The whole vjp rule of an op that other ops can express: build makes the op's result from in, which stand for its
   operands, and is differentiated. */
typedef ad_var *ad__expression_fn(const ad_op *op, ad_var *const in[]);
void ad__vjp_of_expression(const ad_op *op, ad_var *cotangent, ad_var *dx[], ad__expression_fn *build);

#endif
