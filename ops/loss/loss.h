/* loss.h: macros that define a loss of input and target from its formulas for one element, for both dtypes. The value
   and the reduction share one loop, and so do the gradient and the reduction.

   AD_LOSS(name, value, backward of x, backward of t, vjp of x, vjp of t, (fields of an ad__loss), fields of the
   descriptor...) defines the descriptor ad_op_NAME. In the formulas
       x, t    an element of input and target: T in value and backward, Vars in vjp
       w       an element of the third operand, broadcast to x's shape; 1 if absent (in vjp NULL)
       k       the parameter, if the loss has one: T, in vjp double
       g       the cotangent of the element's loss, divided by the divisor of the reduction
       T       float or double; write constants of it as (T)0.5
   The descriptor's fields are doc, special, attrs, shape and no_grad; the others follow from the formulas. */
#ifndef OPS_LOSS_LOSS_H
#define OPS_LOSS_LOSS_H

#include "ops/kernels/base/vector_math.h"

#include "autodiff/graph/node.h"
#include "ops/compile.h"
#include "ops/kernels/elementwise/loops.h"
#include "ops/loss/reduction.h"
#include "ops/ops.h"

typedef struct {
    double k;
    int reduction; /* an ad_reduction */
} ad__loss_attrs;

/* For the descriptor's attrs: for a loss without a parameter, and for one with a parameter of this name. */
extern const ad_attr ad__loss_list[];
#define AD__REDUCTION_ATTR { "reduction", AD_ATTR_INT, offsetof(ad__loss_attrs, reduction) }
#define AD__LOSS_LIST(parameter)                                                                                       \
    (const ad_attr[]) { AD__REDUCTION_ATTR, { parameter, AD_ATTR_DOUBLE, offsetof(ad__loss_attrs, k) }, { 0 } }

/* For the descriptor's shape. Input and target have the same shape. Variants: the parameter is > 0, or >= 0; a third
   operand broadcasts to the input; AD_BATCHMEAN is a reduction too. */
int ad__loss_shape(ad_call *c);
int ad__loss_shape_positive(ad_call *c);
int ad__loss_shape_not_negative(ad_call *c);
int ad__loss_shape_weighted(ad_call *c);
int ad__loss_shape_batchmean(ad_call *c);

/* What the functions of loss.c need to know about an op. */
typedef struct {
    ad__loop *const *value[2];     /* by dtype, for each level */
    ad__loop *const *slope[2][2];  /* by operand, x and t, and dtype */
    int (*check)(const ad_op *op); /* checks the operands' elements before evaluation; NULL: all are valid */
    /* samples */
    double x_range[2], t_range[2]; /* the ranges of the elements */
    struct {
        int n;
        const double *at;
    } parameters; /* values of k; {0} if the loss has none */
    struct {
        int n;
        const double (*at)[2];
    } points;                            /* special points, each an x and a t */
    void (*more_samples)(ad_sampler *s); /* further samples of this loss, or NULL */
} ad__loss;
#define AD__PARAMETERS(...) { AD__COUNT(((const double[]){ __VA_ARGS__ })), (const double[]){ __VA_ARGS__ } }
#define AD__POINTS(...) { AD__COUNT(((const double[][2]){ __VA_ARGS__ })), (const double[][2]){ __VA_ARGS__ } }

int ad__run_loss(const ad_op *op, const ad__loss *loss);
void ad__run_loss_back(const ad_op *op, const ad__loss *loss);
void ad__loss_samples(ad_sampler *s, const ad__loss *loss);
/* The loops of a loss with these formulas. If elements are checked, the loss of an input outside 0..1 is NaN. */
int ad__emit_loss(ad_emit *e, const ad_op *op, const char *value, const char *slope_x, const char *slope_t);
/* g divided by the divisor of the reduction. */
ad_var *ad__loss_cotangent(const ad_op *op, ad_var *g);
ad_var *ad__apply_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_var *w, double k, ad_reduction reduction);

/* The names of formulas; a formula may leave some unused. */
#define AD__LOSS_NAMES                                                                                                 \
    const T x = a, t = b, w = c, k = (T)*k_;                                                                           \
    (void)x, (void)t, (void)w, (void)k;

#define AD__LOSS_VALUE(f, F, VALUE)                                                                                    \
    AD__INLINED F f##_of(const double *k_, F a, F b, F c) {                                                            \
        typedef F T;                                                                                                   \
        AD__LOSS_NAMES                                                                                                 \
        return (T)(VALUE);                                                                                             \
    }                                                                                                                  \
    AD__NARROW_VALUE_LOOPS(f, F, 3, f##_of)

#define AD__LOSS_SLOPE(f, F, SLOPE)                                                                                    \
    AD__INLINED F f##_of(const double *k_, F a, F b, F c, F y, F g) {                                                  \
        typedef F T;                                                                                                   \
        AD__LOSS_NAMES                                                                                                 \
        (void)y, (void)g;                                                                                              \
        return (T)(SLOPE);                                                                                             \
    }                                                                                                                  \
    AD__NARROW_SLOPE_LOOPS(f, F, 3, f##_of)

/* Removes the parentheses around a list of fields. */
#define AD__OPEN(...) __VA_ARGS__

#define AD_LOSS(name, VALUE, BACK_X, BACK_T, VJP_X, VJP_T, LOSS, ...)                                                  \
    AD__LOSS_VALUE(name##_value_f32, f32, VALUE)                                                                     \
    AD__LOSS_VALUE(name##_value_f64, f64, VALUE)                                                                    \
    AD__LOSS_SLOPE(name##_slope_x_f32, f32, BACK_X)                                                                  \
    AD__LOSS_SLOPE(name##_slope_x_f64, f64, BACK_X)                                                                 \
    AD__LOSS_SLOPE(name##_slope_t_f32, f32, BACK_T)                                                                  \
    AD__LOSS_SLOPE(name##_slope_t_f64, f64, BACK_T)                                                                 \
    static const ad__loss name##_loss = {                                                                              \
        .value = { name##_value_f32, name##_value_f64 },                                                               \
        .slope = { { name##_slope_x_f32, name##_slope_x_f64 }, { name##_slope_t_f32, name##_slope_t_f64 } },           \
        AD__OPEN LOSS                                                                                                  \
    };                                                                                                                 \
    static int name##_evaluate(const ad_op *op) { return ad__run_loss(op, &name##_loss); }                             \
    static void name##_backward(const ad_op *op) { ad__run_loss_back(op, &name##_loss); }                              \
    static void name##_samples(ad_sampler *s) { ad__loss_samples(s, &name##_loss); }                                   \
    AD_COLD static int name##_emit(ad_emit *e, const ad_op *op) {                                                      \
        const char *checked = "x >= 0 && x <= 1 ? (" #VALUE ") : NAN";                                                 \
        return ad__emit_loss(e, op, name##_loss.check ? checked : #VALUE, #BACK_X, #BACK_T);                           \
    }                                                                                                                  \
    static void name##_vjp(const ad_op *op, ad_var *cotangent, ad_var *dx[]) {                                         \
        ad_var *x = op->in[0], *t = op->in[1], *g = ad__loss_cotangent(op, cotangent);                                 \
        ad_var *w = op->n_in > 2 ? op->in[2] : NULL;                                                                   \
        double k = ((const ad__loss_attrs *)ad__attrs_of(op))->k;                                                      \
        (void)x, (void)t, (void)w, (void)k;                                                                            \
        if (ad_vjp_wants(op, 0)) dx[0] = (VJP_X);                                                                     \
        if (ad_vjp_wants(op, 1)) dx[1] = (VJP_T);                                                                     \
    }                                                                                                                  \
    AD_OPTYPE(name, .formula = #VALUE, .gradient = #BACK_X "; " #BACK_T, .arity = -1,                                  \
              .attr_size = sizeof(ad__loss_attrs), .values = ad__reduction_values,                                     \
              .evaluate = { name##_evaluate, name##_evaluate },                                                        \
              .backward = { name##_backward, name##_backward }, .vjp = name##_vjp, .emit = name##_emit,                \
              __VA_ARGS__);

#endif
