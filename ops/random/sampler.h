/* sampler.h: what ops that draw from distributions share; private to the folder. */
#ifndef OPS_RANDOM_SAMPLER_H
#define OPS_RANDOM_SAMPLER_H

#include "autodiff/graph/node.h"

/* Random numbers for one element: any number of them, from a block of the generator that no other element has. So an
   element's number does not depend on the others, nor on the threads. Both dtypes draw the same. */
typedef struct {
    ad_random_state at;
    uint32_t lane;
    int left; /* numbers left of the lane before */
    double kept;
} ad__stream;

double ad__stream_uniform(ad__stream *s); /* in (0, 1), an odd multiple of 2^-53 */
double ad__stream_normal(ad__stream *s);
double ad__stream_exponential(ad__stream *s); /* above 0 */

/* Evaluates op, whose operand 0 has a parameter for each element of the result. */
typedef double ad__draw_one(ad__stream *s, double parameter);
int ad__draw_each(const ad_op *op, ad__draw_one *draw);

/* 0, or the error that names the first element of operand 0 that is below least, above most or NaN. wants says what an
   element must be. */
int ad__check_elements(const ad_op *op, double least, double most, const char *wants);

/* For functions that are made of other ops: true if all elements of x are above least, or equal to it unless strict.
   Otherwise sets the error. What ad_eval computes later is not checked. */
bool ad__is_above(ad_var *x, double least, bool strict, const char *caller, const char *name);

/* The shape rule of an op whose result has the shape of its operand. */
int ad__same_shape(ad_call *c);

/* A constant of the shape that a and b broadcast to. */
ad_var *ad__broadcast_pair(ad_var *a, ad_var *b);

#endif
