/* check_op.h: what the parts of ad_check_op share; private to the library. */
#ifndef AUTODIFF_CHECK_CHECK_OP_H
#define AUTODIFF_CHECK_CHECK_OP_H

#include "autodiff/check/compare.h"
#include "autodiff/check/sample.h"

/* The check of one op. */
typedef struct {
    ad_graph *g;
    const ad_optype *type;
    ad_check_report *report;
    int cases;
    ad_random_state random; /* each evaluation starts from this state */
} ad__op_check;

/* The op applied to values in one dtype: operands, result and cotangent. */
typedef struct {
    ad__op_check *check;
    const void *attrs;
    int n;
    unsigned flags;
    bool all_params; /* operands that get no gradient are parameters too, and their derivatives must be 0 */
    ad_var *in[AD__SAMPLE_OPERANDS], *y, *weights;
    double *grad[AD__SAMPLE_OPERANDS]; /* the operands' gradients by backward */
} ad__trial;

/* Applies the op to leaves with these values and makes weights, the cotangent: different numbers of both signs. */
int ad__trial_build(ad__trial *t, ad_dtype dtype, const ad_shape *shapes, const double *const *values);
/* True if operand i requires a gradient and the op has one for it. */
bool ad__trial_takes_gradient(const ad__trial *t, int i);

/* Compares backward with vjp where operands and cotangents are special numbers: zeros, denormal, tiny, huge, infinite,
   NaN. Also compares f32 with f64. */
int ad__check_special_points(ad__op_check *s, const ad_sample_case *c);
/* Compares second derivatives, by gradients of gradients, with differences of first ones, and the Hessian with its
   transpose. For a trial in f64 at a smooth point. */
int ad__check_second(ad__trial *t);

#endif
