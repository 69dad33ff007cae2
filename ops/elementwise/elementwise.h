/* elementwise.h: macros that define an elementwise op from formulas, written once for both dtypes.

       AD_UNARY(sin, "sine, x in radians", -3, 3,
                sin(x),
                g * cos(x),
                ad_mul(g, ad_cos(x)), 0.0, 100.0)
       ad_var *ad_sin(ad_var *x) { return AD_HOT_1(sin, x); }

   This is the whole op. AD_UNARY defines the descriptor ad_op_sin; the line after it defines the public function. The
   three formulas are the value y, the gradient of x in numbers, and the same gradient in Vars. They may use
       x, y    the operand and the result: elements of type T in the first two formulas, Vars in the third
       g       the cotangent of y, of the same kind
       T       float or double; write constants in the first two formulas as (T)0.5
   The two numbers before the formulas are the range of the op's samples. The numbers after them are further samples.

   AD_UNARY expands to the following, for F = f32 and f64:
       sin_value_F, sin_slope_a_F      the first two formulas as functions of one element, inlined
       sin_value_of_one_F, sin_slope_a_of_one_F    the same, which the compiler inlines where they are short
       sin_values_F, sin_slopes_a_F    the loops that apply these to arrays (kernels/elementwise/loops.inc), one for
                                       each level (kernels/base/level.h)
       sin_value_step_F, sin_slope_step_F  the instructions of flat programs (autodiff/graph/flat.h)
       sin_evaluate_F, sin_backward_F  the descriptor's functions: one element is computed directly (one_element.inc);
                                       the driver (elementwise.c) broadcasts arrays and shares chunks among threads.
                                       Only in a file that defines AD__HOT, which is basic.c; the other files' ops share
                                       functions that find the formulas in sin_code
       sin_vjp, sin_samples            the descriptor's third formula and test cases

   The forms of an op:
       AD_UNARY       operand x
       AD_UNARY_K     operand x and a parameter, a C double. Its name is used in the formulas and is followed by a value
                      for the samples. It has type T in the first two formulas. check is a shape rule that rejects wrong
                      parameters, or NULL.
       AD_UNARY_K2    the same with two parameters
       AD_UNARY_K3    the same with three
       AD_BINARY      operands a and b; a gradient of each in numbers, then of each in Vars, where NULL is zero
       AD_TERNARY     operands a, b and c; bit i of no_grad: operand i takes no gradient. Define NAME_samples before it.
       AD_PREDICATE   operand x; the result is 0 or 1 and has no gradient
       AD_COMPARISON  operands a and b; the result is 0 or 1 and has no gradient
       AD_COMPARISON_K3  the same with three parameters
   The formulas need not handle broadcasting. The body of the public function is AD_CALL_1(name, x),
   AD_CALL_2(name, a, b) or AD_CALL_K(name, x, parameters...); for three operands it is ad_apply. Ops that graphs of
   single numbers are made of have AD_HOT in place of AD_CALL. To stop in a formula, set a breakpoint at its function,
   such as sin_slope_a_f64. docs/design.md, "How an elementwise op's formulas become
   loops", describes the alternatives that were tried. */
#ifndef OPS_ELEMENTWISE_ELEMENTWISE_H
#define OPS_ELEMENTWISE_ELEMENTWISE_H

#include "ops/kernels/base/vector_math.h"

#include "autodiff/graph/flat.h"
#include "autodiff/graph/record.h"
#include "ops/compile.h"
#include "ops/kernels/elementwise/loops.h"
#include "ops/ops.h"

/* ---- arrays: elementwise.c --------------------------------------------------------------------------------------- */

/* What an op has of one formula in one dtype. */
typedef struct {
    ad__any_fn *of_one;     /* an ad__value_fn or an ad__slope_fn */
    ad__loop *const *loops; /* by level */
} ad__formula;

/* Run a formula over an Op's arrays. There is a slope by each operand, which need not take a gradient. */
int ad__run_values(const ad_op *op, const ad__formula *value);
void ad__run_slopes(const ad_op *op, const ad__formula slopes[]);

/* What the shared functions of a descriptor need, which stands behind what flat programs need. formulas: by dtype, the
   value and the slopes. */
typedef struct {
    ad__flat_code flat;
    const ad__formula *formulas[2];
} ad__elementwise_code;
/* Applies an elementwise op of one or two operands; a single element takes a fast path. k: its parameters, or NULL. */
ad_var *ad__call_1(const ad_optype *type, ad_var *x, const double *k);
ad_var *ad__call_2(const ad_optype *type, ad_var *a, ad_var *b);
/* Sums rule, the gradient of operand i in the result's shape, to the operand's own shape. NULL stays NULL. */
ad_var *ad__rule_for(const ad_op *op, int i, ad_var *rule);
/* Samples of an op of n operands: several shapes with values in lo .. hi, then the edges. k: parameters, or NULL. */
void ad__elementwise_samples(ad_sampler *s, int n, const double *k, double lo, double hi, int n_edges,
                             const double *edges);

/* basic.c: g k p and g a / b, in an order in which only the result may overflow. */
ad_var *ad__product(ad_var *g, ad_var *k, ad_var *p);
ad_var *ad__ratio(ad_var *g, ad_var *a, ad_var *b);

/* ---- one element ------------------------------------------------------------------------------------------------- */

#define KERNELS "ops/elementwise/one_element.inc"
#include "ops/kernels/base/each_dtype.h"

/* elementwise.c: evaluate and backward of the descriptors with an ad__elementwise_code. */
int ad__evaluate_shared_f32(const ad_op *op);
int ad__evaluate_shared_f64(const ad_op *op);
void ad__backward_shared_f32(const ad_op *op);
void ad__backward_shared_f64(const ad_op *op);

/* True if an Op whose operands all have this layout can take the fast path, on which nothing can fail. */
AD__INLINE bool ad__is_fast(const ad_optype *type, const ad__layout *l, int n, size_t k_size) {
    return type->shape == NULL && type->no_grad == 0 && ad__fast_path(l, n, k_size);
}

/* Records that Op and computes its result, of one element. k: the op's parameters, or NULL. */
AD__INLINE ad_var *ad__fast_call(const ad_optype *type, ad__value_fn_f32 *of_f32, ad__value_fn_f64 *of_f64,
                                 int n, ad_var *const in[], const double *k, size_t k_size) {
    ad_var *y = ad__new_scalar(type, n, in, k, k_size, (type->flags & AD_OP_CONSTANT) != 0);
    if (y->layout->dtype == AD_F64) ad__value_into_f64(y->data, of_f64, n, in, k);
    else ad__value_into_f32(y->data, of_f32, n, in, k);
    return ad__append(ad__owner(y), y);
}

/* The body of ad_NAME: for one operand, for one operand and parameters, for two operands. */
#define AD_CALL_1(name, x) ad__call_1(&ad_op_##name, x, NULL)
#define AD_CALL_K(name, x, ...) ad__call_1(&ad_op_##name, x, (const double[]){ __VA_ARGS__ })
#define AD_CALL_2(name, a, b) ad__call_2(&ad_op_##name, a, b)

/* The same with the fast path inlined, for the ops that graphs of single numbers are made of. The function takes 300
   bytes more. The first test is in the macro and not in a function, so that a breakpoint at the
   public function stops at a line of its own. */
#define AD_HOT_1(name, x)                                                                                              \
    (AD__LIKELY((x) != NULL && ad__is_fast(&ad_op_##name, (x)->layout, 1, 0))                                          \
         ? ad__fast_call(&ad_op_##name, name##_value_f32, name##_value_f64, 1, (ad_var *[]){ x }, NULL, 0)             \
         : ad__apply1(&ad_op_##name, x, NULL))
#define AD_HOT_K(name, x, ...)                                                                                         \
    (AD__LIKELY((x) != NULL && ad__is_fast(&ad_op_##name, (x)->layout, 1, sizeof((double[]){ __VA_ARGS__ })))          \
         ? ad__fast_call(&ad_op_##name, name##_value_f32, name##_value_f64, 1, (ad_var *[]){ x },                      \
                         (double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }))                                 \
         : ad__apply1(&ad_op_##name, x, (double[]){ __VA_ARGS__ }))
#define AD_HOT_2(name, a, b)                                                                                           \
    (AD__LIKELY((a) != NULL && (b) != NULL && (a)->layout == (b)->layout &&                                            \
                ad__is_fast(&ad_op_##name, (a)->layout, 2, 0))                                                         \
         ? ad__fast_call(&ad_op_##name, name##_value_f32, name##_value_f64, 2, (ad_var *[]){ a, b }, NULL, 0)          \
         : ad__apply2(&ad_op_##name, a, b, NULL))

/* Which loops the ops of a file have. AD__HOT: for each level. AD__ONE_BY_ONE: none, as nothing would be gained. Other
   files have no loop for single elements, which is shared and calls the formula by its pointer, and none for the slopes
   in AVX-512, which gain little by it; AD__NARROW: nor for the values; AD__WIDE_SLOPES: all in f32, none in f64. */
#if defined(AD__HOT)
#define AD__VALUE_LOOPS_f32 AD__VALUE_LOOPS
#define AD__VALUE_LOOPS_f64 AD__VALUE_LOOPS
#define AD__SLOPE_LOOPS_f32 AD__SLOPE_LOOPS
#define AD__SLOPE_LOOPS_f64 AD__SLOPE_LOOPS
#elif defined(AD__ONE_BY_ONE)
#define AD__VALUE_LOOPS_f32 AD__NO_VALUE_LOOPS
#define AD__VALUE_LOOPS_f64 AD__NO_VALUE_LOOPS
#define AD__SLOPE_LOOPS_f32 AD__NO_SLOPE_LOOPS
#define AD__SLOPE_LOOPS_f64 AD__NO_SLOPE_LOOPS
#elif defined(AD__NARROW)
#define AD__VALUE_LOOPS_f32 AD__NARROW_VECTOR_VALUE_LOOPS
#define AD__VALUE_LOOPS_f64 AD__NARROW_VECTOR_VALUE_LOOPS
#define AD__SLOPE_LOOPS_f32 AD__NARROW_VECTOR_SLOPE_LOOPS
#define AD__SLOPE_LOOPS_f64 AD__NARROW_VECTOR_SLOPE_LOOPS
#elif defined(AD__WIDE_SLOPES)
#define AD__VALUE_LOOPS_f32 AD__VECTOR_VALUE_LOOPS
#define AD__VALUE_LOOPS_f64 AD__NARROW_VECTOR_VALUE_LOOPS
#define AD__SLOPE_LOOPS_f32 AD__VECTOR_SLOPE_LOOPS
#define AD__SLOPE_LOOPS_f64 AD__NARROW_VECTOR_SLOPE_LOOPS
#else
#define AD__VALUE_LOOPS_f32 AD__VECTOR_VALUE_LOOPS
#define AD__VALUE_LOOPS_f64 AD__VECTOR_VALUE_LOOPS
#define AD__SLOPE_LOOPS_f32 AD__NARROW_VECTOR_SLOPE_LOOPS
#define AD__SLOPE_LOOPS_f64 AD__NARROW_VECTOR_SLOPE_LOOPS
#endif

/* ---- what a dtype needs ------------------------------------------------------------------------------------------ */

#define AD__UNUSED __attribute__((unused)) /* a formula may leave some names unused */
/* An instruction of flat programs. They are jumped to all the time; aligned, they are 6 % faster. */
#ifdef AD__HOT
#define AD__STEP static __attribute__((aligned(32))) const ad__instr *
#else
#define AD__STEP static const ad__instr *
#endif

/* F: f32 or f64; n: the number of operands, called a, b and c in formulas; NAMES: declarations of further names. */
#define AD__VALUE(name, F, n, NAMES, VALUE) AD__VALUE_BY(AD__VALUE_LOOPS_##F, name, F, n, NAMES, VALUE)
/* of comparisons and predicates */
#define AD__TRUTH(name, F, n, NAMES, VALUE) AD__VALUE_BY(AD__NARROW_VECTOR_VALUE_LOOPS, name, F, n, NAMES, VALUE)
#define AD__VALUE_BY(LOOPS, name, F, n, NAMES, VALUE)                                                                  \
    AD__INLINED F name##_value_##F(const double *k_ AD__UNUSED, F a AD__UNUSED, F b AD__UNUSED, F c AD__UNUSED) {    \
        typedef F T;                                                                                                   \
        NAMES                                                                                                          \
        return (T)(VALUE);                                                                                             \
    }                                                                                                                  \
    LOOPS(name##_values_##F, F, n, name##_value_##F)                                                                   \
    static F name##_value_of_one_##F(const double *k, F a, F b, F c) { return name##_value_##F(k, a, b, c); }          \
    AD__EVALUATE(name, F, n)                                                                                           \
    AD__STEP name##_value_step_##F(const ad__instr *at, ad__flat *flat) {                                              \
        return ad__value_step_##F(at, flat, n, name##_value_of_one_##F);                                               \
    }                                                                                                                  \
    static const ad__flat_rows *const name##_rows; /* NULL, unless AD_ROWS follows */

/* BY: the operand: a, b or c */
#define AD__SLOPE(name, F, n, BY, NAMES, SLOPE)                                                                        \
    AD__INLINED F name##_slope_##BY##_##F(const double *k_ AD__UNUSED, F a AD__UNUSED, F b AD__UNUSED,               \
                                            F c AD__UNUSED, F y AD__UNUSED, F g AD__UNUSED) {                          \
        typedef F T;                                                                                                   \
        NAMES                                                                                                          \
        return (T)(SLOPE);                                                                                             \
    }                                                                                                                  \
    AD__SLOPE_LOOPS_##F(name##_slopes_##BY##_##F, F, n, name##_slope_##BY##_##F)                                       \
    static F name##_slope_##BY##_of_one_##F(const double *k, F a, F b, F c, F y, F g) {                                \
        return name##_slope_##BY##_##F(k, a, b, c, y, g);                                                              \
    }

/* The two formulas as the driver takes them. */
#define AD__VALUE_OF(name, F) { (ad__any_fn *)name##_value_of_one_##F, name##_values_##F }
#define AD__SLOPE_OF(name, F, BY) { (ad__any_fn *)name##_slope_##BY##_of_one_##F, name##_slopes_##BY##_##F }
#define AD__SLOPES_1(name, F, A, B, C) AD__SLOPE_OF(name, F, A)
#define AD__SLOPES_2(name, F, A, B, C) AD__SLOPES_1(name, F, A, B, C), AD__SLOPE_OF(name, F, B)
#define AD__SLOPES_3(name, F, A, B, C) AD__SLOPES_2(name, F, A, B, C), AD__SLOPE_OF(name, F, C)

/* The descriptor's functions of ops that graphs of single numbers are made of. A, B, C: the op's operands; the last one
   is repeated in place of absent ones. */
#ifdef AD__HOT
#define AD__EVALUATE(name, F, n)                                                                                       \
    static int name##_evaluate_##F(const ad_op *op) {                                                                  \
        static const ad__formula value = AD__VALUE_OF(name, F);                                                        \
        return ad__evaluate_by_##F(op, n, name##_value_of_one_##F, &value);                                            \
    }
#define AD__BACKWARD_OF(name, F, n, A, B, C)                                                                           \
    static void name##_backward_##F(const ad_op *op) {                                                                 \
        static const ad__formula slopes[] = { AD__SLOPES_##n(name, F, A, B, C) };                                      \
        ad__backward_by_##F(op, n, name##_slope_##A##_of_one_##F, name##_slope_##B##_of_one_##F,                       \
                            name##_slope_##C##_of_one_##F, slopes);                                                    \
    }
#define AD__EVALUATES(name) .evaluate = { name##_evaluate_f32, name##_evaluate_f64 }
#define AD__DIFFERENTIATES(name) .backward = { name##_backward_f32, name##_backward_f64 }
#define AD__CODE_OF(name, OF_F32, OF_F64, ...)                                                                         \
    &(const ad__flat_code){ { name##_value_step_f32, name##_value_step_f64 }, __VA_ARGS__, &name##_rows }
#else
#define AD__EVALUATE(name, F, n)
#define AD__BACKWARD_OF(name, F, n, A, B, C)                                                                           \
    static const ad__formula name##_formulas_##F[] = { AD__VALUE_OF(name, F), AD__SLOPES_##n(name, F, A, B, C) };
#define AD__EVALUATES(name) .evaluate = { ad__evaluate_shared_f32, ad__evaluate_shared_f64 }
#define AD__DIFFERENTIATES(name) .backward = { ad__backward_shared_f32, ad__backward_shared_f64 }
#define AD__CODE_OF(name, OF_F32, OF_F64, ...)                                                                         \
    &(const ad__elementwise_code){                                                                                     \
        { { name##_value_step_f32, name##_value_step_f64 }, __VA_ARGS__, &name##_rows }, { OF_F32, OF_F64 }            \
    }
#endif

#define AD__BACKWARD(name, F, n, A, B, C)                                                                              \
    AD__BACKWARD_OF(name, F, n, A, B, C)                                                                               \
    AD__STEP name##_slope_step_##F(const ad__instr *at, ad__flat *flat) {                                              \
        return ad__slope_step_##F(at, flat, n, name##_slope_##A##_of_one_##F, name##_slope_##B##_of_one_##F,           \
                                  name##_slope_##C##_of_one_##F);                                                      \
    }

/* Instructions with rows, for ops of up to two operands that take less time than finding the next instruction. */
#define AD__ROWS(name, n, by_b, ...)                                                                               \
    AD__STEP name##_value_rows(const ad__instr *at, ad__flat *flat) {                                                  \
        return ad__value_rows_f64(at, flat, n, name##_value_f64);                                                      \
    }                                                                                                                  \
    AD__STEP name##_slope_rows_a(const ad__instr *at, ad__flat *flat) {                                                \
        return ad__slope_rows_f64(at, flat, n, 0, name##_slope_a_f64);                                                 \
    }                                                                                                                  \
    __VA_ARGS__                                                                                                        \
    static const ad__flat_rows *const name##_rows = &(const ad__flat_rows){                                            \
        name##_value_rows, { name##_slope_rows_a, by_b }                                                               \
    };
#define AD_ROWS_1(name) AD__ROWS(name, 1, NULL, )
#define AD_ROWS_2(name)                                                                                                \
    AD__ROWS(name, 2, name##_slope_rows_b, AD__STEP name##_slope_rows_b(const ad__instr *at, ad__flat *flat) {       \
        return ad__slope_rows_f64(at, flat, 2, 1, name##_slope_b_f64);                                                 \
    })

/* NAMES of a unary op: its operand, and its parameter k_[i]. */
#define AD__X const T x AD__UNUSED = a;
#define AD__K(name, i) const T name AD__UNUSED = (T)k_[i];

/* After an op's doc: where its numbers differ from PyTorch's on purpose. */
#define AD_DIFFERS(text) , .differs = text

/* ---- what an op needs -------------------------------------------------------------------------------------------- */

#define AD__SAMPLES(name, n, k, lo, hi, ...)                                                                           \
    static void name##_samples(ad_sampler *s) {                                                                        \
        static const double edges[] = { __VA_ARGS__ };                                                                 \
        ad__elementwise_samples(s, n, k, lo, hi, AD__COUNT(edges), edges);                                             \
    }

#define AD__UNARY_RULE(name, NAMES, RULE)                                                                              \
    static void name##_vjp(const ad_op *op, ad_var *g AD__UNUSED, ad_var *dx[]) {                                      \
        typedef double T;                                                                                              \
        const T *k_ AD__UNUSED = ad__attrs_of(op);                                                                     \
        ad_var *x AD__UNUSED = op->in[0], *y AD__UNUSED = ad__out(op);                                                 \
        NAMES                                                                                                          \
        dx[0] = (RULE);                                                                                                \
    }

/* The descriptor's fields, with and without a gradient. */
#define AD__FIELDS(name, n, value_text, slope_text)                                                                    \
    .formula = value_text, .gradient = slope_text, .arity = n, .flags = AD_OP_IN_PLACE, .vjp = name##_vjp,             \
    .emit = ad_emit_elementwise, AD__EVALUATES(name), AD__DIFFERENTIATES(name),                                        \
    .flat = AD__CODE_OF(name, name##_formulas_f32, name##_formulas_f64,                                                \
                        { name##_slope_step_f32, name##_slope_step_f64 })
#define AD__CONSTANT_FIELDS(name, n, value_text)                                                                       \
    .formula = value_text, .arity = n, .flags = AD_OP_CONSTANT, .emit = ad_emit_elementwise, AD__EVALUATES(name),      \
    .flat = AD__CODE_OF(name, &(const ad__formula)AD__VALUE_OF(name, f32),                                             \
                        &(const ad__formula)AD__VALUE_OF(name, f64), { 0 })

/* The formulas become strings here, since a nested macro would receive them expanded. */
#define AD_UNARY(name, doc_, lo, hi, VALUE, SLOPE, RULE, ...)                                                          \
    AD__VALUE(name, f32, 1, AD__X, VALUE)                                                                              \
    AD__VALUE(name, f64, 1, AD__X, VALUE)                                                                              \
    AD__SLOPE(name, f32, 1, a, AD__X, SLOPE)                                                                           \
    AD__SLOPE(name, f64, 1, a, AD__X, SLOPE)                                                                           \
    AD__BACKWARD(name, f32, 1, a, a, a)                                                                                \
    AD__BACKWARD(name, f64, 1, a, a, a)                                                                                \
    AD__UNARY_RULE(name, , RULE)                                                                                       \
    AD__SAMPLES(name, 1, NULL, lo, hi, __VA_ARGS__)                                                                    \
    AD_OPTYPE(name, .doc = doc_, AD__FIELDS(name, 1, #VALUE, #SLOPE));

#define AD_UNARY_K(name, doc_, check, k1, sample1, lo, hi, VALUE, SLOPE, RULE, ...)                                    \
    AD__VALUE(name, f32, 1, AD__X AD__K(k1, 0), VALUE)                                                                 \
    AD__VALUE(name, f64, 1, AD__X AD__K(k1, 0), VALUE)                                                                 \
    AD__SLOPE(name, f32, 1, a, AD__X AD__K(k1, 0), SLOPE)                                                              \
    AD__SLOPE(name, f64, 1, a, AD__X AD__K(k1, 0), SLOPE)                                                              \
    AD__BACKWARD(name, f32, 1, a, a, a)                                                                                \
    AD__BACKWARD(name, f64, 1, a, a, a)                                                                                \
    AD__UNARY_RULE(name, AD__K(k1, 0), RULE)                                                                           \
    AD__SAMPLES(name, 1, (const double[]){ sample1 }, lo, hi, __VA_ARGS__)                                             \
    static const ad_attr name##_attrs[] = { { #k1, AD_ATTR_DOUBLE, 0 }, { 0 } };                                       \
    AD_OPTYPE(name, .doc = doc_, AD__FIELDS(name, 1, #VALUE, #SLOPE), .shape = check, .attrs = name##_attrs,           \
              .attr_size = sizeof(double));

#define AD_UNARY_K2(name, doc_, check, k1, sample1, k2, sample2, lo, hi, VALUE, SLOPE, RULE, ...)                      \
    AD__VALUE(name, f32, 1, AD__X AD__K(k1, 0) AD__K(k2, 1), VALUE)                                                    \
    AD__VALUE(name, f64, 1, AD__X AD__K(k1, 0) AD__K(k2, 1), VALUE)                                                    \
    AD__SLOPE(name, f32, 1, a, AD__X AD__K(k1, 0) AD__K(k2, 1), SLOPE)                                                 \
    AD__SLOPE(name, f64, 1, a, AD__X AD__K(k1, 0) AD__K(k2, 1), SLOPE)                                                 \
    AD__BACKWARD(name, f32, 1, a, a, a)                                                                                \
    AD__BACKWARD(name, f64, 1, a, a, a)                                                                                \
    AD__UNARY_RULE(name, AD__K(k1, 0) AD__K(k2, 1), RULE)                                                              \
    AD__SAMPLES(name, 1, ((const double[]){ sample1, sample2 }), lo, hi, __VA_ARGS__)                                  \
    static const ad_attr name##_attrs[] = {                                                                            \
        { #k1, AD_ATTR_DOUBLE, 0 }, { #k2, AD_ATTR_DOUBLE, sizeof(double) }, { 0 }                                     \
    };                                                                                                                 \
    AD_OPTYPE(name, .doc = doc_, AD__FIELDS(name, 1, #VALUE, #SLOPE), .shape = check, .attrs = name##_attrs,           \
              .attr_size = 2 * sizeof(double));

#define AD__ATTRS_K3(name, k1, k2, k3)                                                                                 \
    static const ad_attr name##_attrs[] = { { #k1, AD_ATTR_DOUBLE, 0 },                                                \
                                            { #k2, AD_ATTR_DOUBLE, sizeof(double) },                                   \
                                            { #k3, AD_ATTR_DOUBLE, 2 * sizeof(double) },                               \
                                            { 0 } };

#define AD_UNARY_K3(name, doc_, check, k1, sample1, k2, sample2, k3, sample3, lo, hi, VALUE, SLOPE, RULE, ...)         \
    AD__VALUE(name, f32, 1, AD__X AD__K(k1, 0) AD__K(k2, 1) AD__K(k3, 2), VALUE)                                       \
    AD__VALUE(name, f64, 1, AD__X AD__K(k1, 0) AD__K(k2, 1) AD__K(k3, 2), VALUE)                                       \
    AD__SLOPE(name, f32, 1, a, AD__X AD__K(k1, 0) AD__K(k2, 1) AD__K(k3, 2), SLOPE)                                    \
    AD__SLOPE(name, f64, 1, a, AD__X AD__K(k1, 0) AD__K(k2, 1) AD__K(k3, 2), SLOPE)                                    \
    AD__BACKWARD(name, f32, 1, a, a, a)                                                                                \
    AD__BACKWARD(name, f64, 1, a, a, a)                                                                                \
    AD__UNARY_RULE(name, AD__K(k1, 0) AD__K(k2, 1) AD__K(k3, 2), RULE)                                                 \
    AD__SAMPLES(name, 1, ((const double[]){ sample1, sample2, sample3 }), lo, hi, __VA_ARGS__)                         \
    AD__ATTRS_K3(name, k1, k2, k3)                                                                                     \
    AD_OPTYPE(name, .doc = doc_, AD__FIELDS(name, 1, #VALUE, #SLOPE), .shape = check, .attrs = name##_attrs,           \
              .attr_size = 3 * sizeof(double));

/* Evaluates a rule only if its operand takes a gradient. */
#define AD__RULE(i, RULE)                                                                                              \
    if (ad_vjp_wants(op, i)) dx[i] = ad__rule_for(op, i, RULE);

#define AD_BINARY(name, doc_, lo, hi, VALUE, SLOPE_A, SLOPE_B, RULE_A, RULE_B, ...)                                    \
    AD__VALUE(name, f32, 2, , VALUE)                                                                                   \
    AD__VALUE(name, f64, 2, , VALUE)                                                                                   \
    AD__SLOPE(name, f32, 2, a, , SLOPE_A)                                                                              \
    AD__SLOPE(name, f64, 2, a, , SLOPE_A)                                                                              \
    AD__SLOPE(name, f32, 2, b, , SLOPE_B)                                                                              \
    AD__SLOPE(name, f64, 2, b, , SLOPE_B)                                                                              \
    AD__BACKWARD(name, f32, 2, a, b, b)                                                                                \
    AD__BACKWARD(name, f64, 2, a, b, b)                                                                                \
    static void name##_vjp(const ad_op *op, ad_var *g AD__UNUSED, ad_var *dx[]) {                                      \
        ad_var *a AD__UNUSED = op->in[0], *b AD__UNUSED = op->in[1], *y AD__UNUSED = ad__out(op);                      \
        AD__RULE(0, RULE_A)                                                                                            \
        AD__RULE(1, RULE_B)                                                                                            \
    }                                                                                                                  \
    AD__SAMPLES(name, 2, NULL, lo, hi, __VA_ARGS__)                                                                    \
    AD_OPTYPE(name, .doc = doc_, AD__FIELDS(name, 2, #VALUE, #SLOPE_A "; " #SLOPE_B));

#define AD_TERNARY(name, doc_, no_grad_, VALUE, SLOPE_A, SLOPE_B, SLOPE_C, RULE_A, RULE_B, RULE_C)                     \
    AD__VALUE(name, f32, 3, , VALUE)                                                                                   \
    AD__VALUE(name, f64, 3, , VALUE)                                                                                   \
    AD__SLOPE(name, f32, 3, a, , SLOPE_A)                                                                              \
    AD__SLOPE(name, f64, 3, a, , SLOPE_A)                                                                              \
    AD__SLOPE(name, f32, 3, b, , SLOPE_B)                                                                              \
    AD__SLOPE(name, f64, 3, b, , SLOPE_B)                                                                              \
    AD__SLOPE(name, f32, 3, c, , SLOPE_C)                                                                              \
    AD__SLOPE(name, f64, 3, c, , SLOPE_C)                                                                              \
    AD__BACKWARD(name, f32, 3, a, b, c)                                                                                \
    AD__BACKWARD(name, f64, 3, a, b, c)                                                                                \
    static void name##_vjp(const ad_op *op, ad_var *g AD__UNUSED, ad_var *dx[]) {                                      \
        ad_var *a AD__UNUSED = op->in[0], *b AD__UNUSED = op->in[1], *c AD__UNUSED = op->in[2];                        \
        ad_var *y AD__UNUSED = ad__out(op);                                                                            \
        AD__RULE(0, RULE_A)                                                                                            \
        AD__RULE(1, RULE_B)                                                                                            \
        AD__RULE(2, RULE_C)                                                                                            \
    }                                                                                                                  \
    AD_OPTYPE(name, .doc = doc_, AD__FIELDS(name, 3, #VALUE, #SLOPE_A "; " #SLOPE_B "; " #SLOPE_C),                    \
              .no_grad = no_grad_);

#define AD_PREDICATE(name, doc_, VALUE)                                                                                \
    AD__TRUTH(name, f32, 1, AD__X, VALUE)                                                                              \
    AD__TRUTH(name, f64, 1, AD__X, VALUE)                                                                              \
    AD__SAMPLES(name, 1, NULL, -2, 2, 0, -0.0, 1, -3, NAN, INFINITY, -INFINITY)                                        \
    AD_OPTYPE(name, .doc = doc_, AD__CONSTANT_FIELDS(name, 1, #VALUE));

#define AD_COMPARISON(name, doc_, VALUE)                                                                               \
    AD__TRUTH(name, f32, 2, , VALUE)                                                                                   \
    AD__TRUTH(name, f64, 2, , VALUE)                                                                                   \
    AD__SAMPLES(name, 2, NULL, -2, 2, 0, 1, NAN, INFINITY)                                                             \
    AD_OPTYPE(name, .doc = doc_, AD__CONSTANT_FIELDS(name, 2, #VALUE));

#define AD_COMPARISON_K3(name, doc_, k1, sample1, k2, sample2, k3, sample3, VALUE)                                     \
    AD__TRUTH(name, f32, 2, AD__K(k1, 0) AD__K(k2, 1) AD__K(k3, 2), VALUE)                                             \
    AD__TRUTH(name, f64, 2, AD__K(k1, 0) AD__K(k2, 1) AD__K(k3, 2), VALUE)                                             \
    AD__SAMPLES(name, 2, ((const double[]){ sample1, sample2, sample3 }), -2, 2, 0, 1, NAN, INFINITY)                  \
    AD__ATTRS_K3(name, k1, k2, k3)                                                                                     \
    AD_OPTYPE(name, .doc = doc_, AD__CONSTANT_FIELDS(name, 2, #VALUE), .attrs = name##_attrs,                          \
              .attr_size = 3 * sizeof(double));

#endif
