/* elementwise.h: an elementwise op from its formulas, written once for both dtypes.

   AD_UNARY(name, doc, lo, hi, value, backward, vjp, edges...) defines the descriptor ad_op_NAME and
   the function ad_NAME. In the formulas
       x, y    an element of the operand and of the result: T in value and backward, Vars in vjp
       g       the gradient that arrives at y
       T       float or double; write constants of it as (T)0.5
   lo .. hi is where the samples' operands lie, edges are the special points to try as well.
   AD_UNARY_K has one C double parameter, and AD_UNARY_K2 two: each its name and a value to sample. In
   value and backward they are of type T, in vjp double. AD_UNARY_KS and AD_UNARY_K2S check them.
   AD_BINARY has operands a and b (AD_BINARY_OP is the op without its function), and AD_TERNARY a, b
   and c, with a rule for each; broadcasting is no concern of the formulas. AD_PREDICATE and AD_COMPARISON
   have results 0 or 1 and no gradient.
   A vjp of NULL says zero. */
#ifndef OPS_ELEMENTWISE_ELEMENTWISE_H
#define OPS_ELEMENTWISE_ELEMENTWISE_H

#include "ops/kernels/base/vector_math.h"

#include "autodiff/graph/record.h"
#include "ops/kernels/base/level.h"
#include "ops/ops.h"

/* Loops over count contiguous elements, beginning at from; k points at the op's parameters, if it has any. A
   slope's result is base and the slope added; to may be base, or g. */
typedef void ad__unary_value(int64_t from, int64_t count, const double *k, const void *x, void *y);
typedef void ad__unary_slope(int64_t from, int64_t count, const double *k, const void *x, const void *y, const void *g,
                             const void *base, void *to);
typedef void ad__nary_value(int64_t from, int64_t count, const void *const in[], void *y);
typedef void ad__nary_slope(int64_t from, int64_t count, const void *const in[], const void *y, const void *g,
                            const void *base, void *to);
enum { AD__NARY = 3 }; /* the most operands of an elementwise op */

/* elementwise.c: running such loops, given for each level, over an Op's arrays, with broadcasting. */
int ad__run_unary(const ad_op *op, ad__unary_value *const value[]);
void ad__run_unary_back(const ad_op *op, ad__unary_slope *const slope[]);
int ad__run_nary(const ad_op *op, ad__nary_value *const value[]);
void ad__run_nary_back(const ad_op *op, ad__nary_slope *const *const slopes[]); /* one for each operand */

/* Samples of every elementwise op: shapes with values in lo .. hi, then the edges. */
void ad__unary_samples(ad_sampler *s, const double *k, double lo, double hi, int n_edges, const double *edges);
void ad__binary_samples(ad_sampler *s, double lo, double hi, int n_edges, const double *edges);
void ad__ternary_samples(ad_sampler *s, double lo, double hi, int n_edges, const double *edges);

/* The bodies of ad_NAME for one and two operands: the short way where it can be taken. */
#define AD__FINISH_ONE(f32_value, f64_value)                                                                           \
    if (out_->layout->dtype == AD_F64) *(double *)out_->data = f64_value;                                              \
    else *(float *)out_->data = f32_value;                                                                             \
    return ad__append(ad__owner(out_), out_);

#define AD__CALL_1(name, attrs_, attr_size_, constant_)                                                                \
    if (AD__LIKELY(x != NULL && ad_op_##name.shape == NULL && ad__fast_path(x->layout, 1, attr_size_))) {               \
        ad_var *out_ = ad__new_scalar(&ad_op_##name, 1, &x, attrs_, attr_size_, constant_);                               \
        AD__FINISH_ONE(name##_value_f32(attrs_, *(const float *)x->data),                                              \
                       name##_value_f64(attrs_, *(const double *)x->data))                                             \
    }                                                                                                                  \
    return ad__apply1(&ad_op_##name, x, attrs_);

#define AD__CALL_2(name, constant_)                                                                                    \
    if (AD__LIKELY(a != NULL && b != NULL && a->layout == b->layout && ad__fast_path(a->layout, 2, 0))) {               \
        ad_var *const in_[] = { a, b };                                                                                \
        ad_var *out_ = ad__new_scalar(&ad_op_##name, 2, in_, NULL, 0, constant_);                                         \
        AD__FINISH_ONE(AD__VALUE_2(name, f32, float), AD__VALUE_2(name, f64, double))                                  \
    }                                                                                                                  \
    return ad__apply2(&ad_op_##name, a, b, NULL);
#define AD__VALUE_2(name, SFX, T_)                                                                                     \
    name##_value_##SFX(*(const T_ *)a->data, *(const T_ *)b->data, *(const T_ *)b->data)

/* Adds d into operand i's gradient of one element. */
#define AD__ADD_ONE(op, i, T_, d)                                                                                      \
    do {                                                                                                               \
        ad_var *v_ = (op)->in[i];                                                                                      \
        T_ d_ = (d), *at_ = v_->grad;                                                                                  \
        *at_ = v_->flags & AD__HAS_GRAD ? *at_ + d_ : d_;                                                              \
        v_->flags |= AD__HAS_GRAD;                                                                                     \
    } while (0)

#define AD__UNUSED __attribute__((unused))

/* One dtype's scalar formulas, loops, and the Op's two functions. */
#define AD__UNARY_VALUE_T(name, T_, SFX, K_, k1, k2, VALUE)                                                            \
    static inline T_ name##_value_##SFX(const double *k_, T_ x) {                                                      \
        typedef T_ T AD__UNUSED;                                                                                       \
        K_(T_, k1, k2)                                                                                                 \
        return (T_)(VALUE);                                                                                            \
    }                                                                                                                  \
    AD__LOOP(ad__unary_value, name##_values_##SFX, T_, (const double *k_, const void *vx, void *vy),                   \
        const T_ *xs = AD__FROM(T_, vx);                                                                               \
        T_ *ys = (T_ *)vy + from;                                                                                      \
        AD__IN_STEP                                                                                                    \
        for (int64_t i = 0; i < count; i++) ys[i] = name##_value_##SFX(k_, xs[i]);)                                    \
    static int name##_evaluate_##SFX(const ad_op *op) {                                                                \
        const ad_var *out = ad__out(op);                                                                               \
        if (out->layout->numel != 1) return ad__run_unary(op, name##_values_##SFX);                                    \
        *(T_ *)out->data = name##_value_##SFX(ad__attrs_of(op), *(const T_ *)op->in[0]->data);                            \
        return AD_OK;                                                                                                  \
    }

#define AD__UNARY_T(name, T_, SFX, K_, k1, k2, VALUE, BACKWARD)                                                        \
    AD__UNARY_VALUE_T(name, T_, SFX, K_, k1, k2, VALUE)                                                                \
    static inline T_ name##_slope_##SFX(const double *k_, T_ x, T_ y, T_ g) {                                          \
        typedef T_ T AD__UNUSED;                                                                                       \
        K_(T_, k1, k2)                                                                                                 \
        (void)x, (void)y, (void)g;                                                                                     \
        return (T_)(BACKWARD);                                                                                         \
    }                                                                                                                  \
    AD__LOOP(ad__unary_slope, name##_slopes_##SFX, T_,                                                                 \
             (const double *k_, const void *vx, const void *vy, const void *vg, const void *vbase, void *vto),         \
        const T_ *xs = AD__FROM(T_, vx), *ys = AD__FROM(T_, vy), *gs = AD__FROM(T_, vg), *base = AD__FROM(T_, vbase);  \
        T_ *to = (T_ *)vto + from;                                                                                     \
        AD__IN_STEP                                                                                                    \
        for (int64_t i = 0; i < count; i++) to[i] = base[i] + name##_slope_##SFX(k_, xs[i], ys[i], gs[i]);)            \
    static void name##_backward_##SFX(const ad_op *op) {                                                               \
        const ad_var *out = ad__out(op);                                                                               \
        if (out->layout->numel != 1) ad__run_unary_back(op, name##_slopes_##SFX);                                      \
        else                                                                                                           \
            AD__ADD_ONE(op, 0, T_,                                                                                     \
                        name##_slope_##SFX(ad__attrs_of(op), *(const T_ *)op->in[0]->data, *(const T_ *)out->data,        \
                                           *(const T_ *)out->grad));                                                   \
    }

#define AD__NO_K(T_, k1, k2) (void)k_;
#define AD__ONE_K(T_, k1, k2)                                                                                          \
    const T_ k1 AD__UNUSED = (T_)k_[0];
#define AD__TWO_K(T_, k1, k2)                                                                                          \
    const T_ k1 AD__UNUSED = (T_)k_[0], k2 AD__UNUSED = (T_)k_[1];

#define AD__UNARY(name, K_, k1, k2, sample_k, lo, hi, VALUE, BACKWARD, VJP, ...)                                       \
    AD__UNARY_T(name, float, f32, K_, k1, k2, VALUE, BACKWARD)                                                         \
    AD__UNARY_T(name, double, f64, K_, k1, k2, VALUE, BACKWARD)                                                        \
    static void name##_vjp(const ad_op *op, ad_var *g AD__UNUSED, ad_var *dx[]) {                                      \
        ad_var *x AD__UNUSED = op->in[0], *y AD__UNUSED = ad__out(op);                                                 \
        const double *k_ = ad__attrs_of(op);                                                                              \
        K_(double, k1, k2)                                                                                             \
        dx[0] = (VJP);                                                                                                 \
    }                                                                                                                  \
    static void name##_samples(ad_sampler *s) {                                                                        \
        static const double edges[] = { __VA_ARGS__ };                                                                 \
        ad__unary_samples(s, sample_k, lo, hi, AD__COUNT(edges), edges);                                               \
    }

#define AD__UNARY_FIELDS(name, doc_, VALUE, BACKWARD)                                                                  \
    .doc = doc_, .formula = VALUE, .gradient = BACKWARD, .arity = 1,                                                   \
    .evaluate = { name##_evaluate_f32, name##_evaluate_f64 }, .backward = { name##_backward_f32, name##_backward_f64 },\
    .flags = AD_OP_IN_PLACE, .vjp = name##_vjp

/* A formula is written down as text by the outermost macro, before anything in it is expanded. */
#define AD_UNARY(name, doc_, lo, hi, VALUE, BACKWARD, VJP, ...)                                                        \
    AD__UNARY(name, AD__NO_K, k1, k2, NULL, lo, hi, VALUE, BACKWARD, VJP, __VA_ARGS__)                                 \
    AD_OPTYPE(name, AD__UNARY_FIELDS(name, doc_, #VALUE, #BACKWARD));                                                  \
    ad_var *ad_##name(ad_var *x) { AD__CALL_1(name, NULL, 0, false) }

#define AD__UNARY_1K(name, doc_, shape_, k1, sample1, lo, hi, VALUE, BACKWARD, value_text, back_text, VJP, ...)        \
    AD__UNARY(name, AD__ONE_K, k1, k2, (&(const double){ sample1 }), lo, hi, VALUE, BACKWARD, VJP, __VA_ARGS__)        \
    static const ad_attr name##_attrs[] = { { #k1, AD_ATTR_DOUBLE, 0 }, { 0 } };                                       \
    AD_OPTYPE(name, AD__UNARY_FIELDS(name, doc_, value_text, back_text), .shape = shape_,                              \
              .attr_size = sizeof(double), .attrs = name##_attrs);                                                     \
    ad_var *ad_##name(ad_var *x, double k1) { AD__CALL_1(name, &k1, sizeof(double), false) }

#define AD__UNARY_2K(name, doc_, shape_, k1, sample1, k2, sample2, lo, hi, VALUE, BACKWARD, value_text, back_text,     \
                     VJP, ...)                                                                                         \
    AD__UNARY(name, AD__TWO_K, k1, k2, ((const double[]){ sample1, sample2 }), lo, hi, VALUE, BACKWARD, VJP,           \
              __VA_ARGS__)                                                                                             \
    static const ad_attr name##_attrs[] = {                                                                            \
        { #k1, AD_ATTR_DOUBLE, 0 }, { #k2, AD_ATTR_DOUBLE, sizeof(double) }, { 0 }                                     \
    };                                                                                                                 \
    AD_OPTYPE(name, AD__UNARY_FIELDS(name, doc_, value_text, back_text), .shape = shape_,                              \
              .attr_size = 2 * sizeof(double), .attrs = name##_attrs);                                                 \
    ad_var *ad_##name(ad_var *x, double k1, double k2) {                                                               \
        const double attrs_[] = { k1, k2 };                                                                            \
        AD__CALL_1(name, attrs_, sizeof attrs_, false)                                                                 \
    }

#define AD_UNARY_K(name, doc_, k1, sample1, lo, hi, VALUE, BACKWARD, VJP, ...)                                         \
    AD__UNARY_1K(name, doc_, NULL, k1, sample1, lo, hi, VALUE, BACKWARD, #VALUE, #BACKWARD, VJP, __VA_ARGS__)
#define AD_UNARY_K2(name, doc_, k1, sample1, k2, sample2, lo, hi, VALUE, BACKWARD, VJP, ...)                           \
    AD__UNARY_2K(name, doc_, NULL, k1, sample1, k2, sample2, lo, hi, VALUE, BACKWARD, #VALUE, #BACKWARD, VJP,          \
                 __VA_ARGS__)
/* With a shape rule, which is where parameters are checked. */
#define AD_UNARY_KS(name, doc_, shape_, k1, sample1, lo, hi, VALUE, BACKWARD, VJP, ...)                                \
    AD__UNARY_1K(name, doc_, shape_, k1, sample1, lo, hi, VALUE, BACKWARD, #VALUE, #BACKWARD, VJP, __VA_ARGS__)
#define AD_UNARY_K2S(name, doc_, shape_, k1, sample1, k2, sample2, lo, hi, VALUE, BACKWARD, VJP, ...)                  \
    AD__UNARY_2K(name, doc_, shape_, k1, sample1, k2, sample2, lo, hi, VALUE, BACKWARD, #VALUE, #BACKWARD, VJP,        \
                 __VA_ARGS__)

/* Two operands or three: c is b once more where there are two. */
#define AD__NARY_VALUE_T(name, N, T_, SFX, VALUE)                                                                      \
    static inline T_ name##_value_##SFX(T_ a, T_ b, T_ c) {                                                            \
        typedef T_ T AD__UNUSED;                                                                                       \
        (void)c;                                                                                                       \
        return (T_)(VALUE);                                                                                            \
    }                                                                                                                  \
    AD__LOOP(ad__nary_value, name##_values_##SFX, T_, (const void *const in[], void *vy),                              \
        const T_ *as = AD__FROM(T_, in[0]), *bs = AD__FROM(T_, in[1]), *cs = AD__FROM(T_, in[N - 1]);                  \
        T_ *ys = (T_ *)vy + from;                                                                                      \
        AD__IN_STEP                                                                                                    \
        for (int64_t i = 0; i < count; i++) ys[i] = name##_value_##SFX(as[i], bs[i], cs[i]);)                          \
    static int name##_evaluate_##SFX(const ad_op *op) {                                                                \
        const ad_var *out = ad__out(op);                                                                               \
        if (out->layout->numel != 1) return ad__run_nary(op, name##_values_##SFX);                                     \
        *(T_ *)out->data = name##_value_##SFX(*(const T_ *)op->in[0]->data, *(const T_ *)op->in[1]->data,              \
                                              *(const T_ *)op->in[N - 1]->data);                                       \
        return AD_OK;                                                                                                  \
    }

#define AD__NARY_SLOPE_T(name, which, N, T_, SFX, BACKWARD)                                                            \
    static inline T_ name##_slope_##which##_##SFX(T_ a, T_ b, T_ c, T_ y, T_ g) {                                      \
        typedef T_ T AD__UNUSED;                                                                                       \
        (void)a, (void)b, (void)c, (void)y, (void)g;                                                                   \
        return (T_)(BACKWARD);                                                                                         \
    }                                                                                                                  \
    AD__LOOP(ad__nary_slope, name##_slopes_##which##_##SFX, T_,                                                        \
             (const void *const in[], const void *vy, const void *vg, const void *vbase, void *vto),                   \
        const T_ *as = AD__FROM(T_, in[0]), *bs = AD__FROM(T_, in[1]), *cs = AD__FROM(T_, in[N - 1]);                  \
        const T_ *ys = AD__FROM(T_, vy), *gs = AD__FROM(T_, vg), *base = AD__FROM(T_, vbase);                          \
        T_ *to = (T_ *)vto + from;                                                                                     \
        AD__IN_STEP                                                                                                    \
        for (int64_t i = 0; i < count; i++)                                                                            \
            to[i] = base[i] + name##_slope_##which##_##SFX(as[i], bs[i], cs[i], ys[i], gs[i]);)

#define AD__ADD_SLOPE(name, i, which, N, T_, SFX)                                                                      \
    if (ad__wants(op, i))                                                                                              \
        AD__ADD_ONE(op, i, T_,                                                                                         \
                    name##_slope_##which##_##SFX(*(const T_ *)op->in[0]->data, *(const T_ *)op->in[1]->data,           \
                                                 *(const T_ *)op->in[N - 1]->data, *(const T_ *)out->data,             \
                                                 *(const T_ *)out->grad));

#define AD__BINARY_T(name, T_, SFX, VALUE, BACK_A, BACK_B)                                                             \
    AD__NARY_VALUE_T(name, 2, T_, SFX, VALUE)                                                                          \
    AD__NARY_SLOPE_T(name, a, 2, T_, SFX, BACK_A)                                                                      \
    AD__NARY_SLOPE_T(name, b, 2, T_, SFX, BACK_B)                                                                      \
    static void name##_backward_##SFX(const ad_op *op) {                                                               \
        static ad__nary_slope *const *const slopes[] = { name##_slopes_a_##SFX, name##_slopes_b_##SFX };               \
        const ad_var *out = ad__out(op);                                                                               \
        if (out->layout->numel != 1) {                                                                                 \
            ad__run_nary_back(op, slopes);                                                                             \
            return;                                                                                                    \
        }                                                                                                              \
        AD__ADD_SLOPE(name, 0, a, 2, T_, SFX)                                                                          \
        AD__ADD_SLOPE(name, 1, b, 2, T_, SFX)                                                                          \
    }

#define AD__TERNARY_T(name, T_, SFX, VALUE, BACK_A, BACK_B, BACK_C)                                                    \
    AD__NARY_VALUE_T(name, 3, T_, SFX, VALUE)                                                                          \
    AD__NARY_SLOPE_T(name, a, 3, T_, SFX, BACK_A)                                                                      \
    AD__NARY_SLOPE_T(name, b, 3, T_, SFX, BACK_B)                                                                      \
    AD__NARY_SLOPE_T(name, c, 3, T_, SFX, BACK_C)                                                                      \
    static void name##_backward_##SFX(const ad_op *op) {                                                               \
        static ad__nary_slope *const *const slopes[] = { name##_slopes_a_##SFX, name##_slopes_b_##SFX,                 \
                                                  name##_slopes_c_##SFX };                                             \
        const ad_var *out = ad__out(op);                                                                               \
        if (out->layout->numel != 1) {                                                                                 \
            ad__run_nary_back(op, slopes);                                                                             \
            return;                                                                                                    \
        }                                                                                                              \
        AD__ADD_SLOPE(name, 0, a, 3, T_, SFX)                                                                          \
        AD__ADD_SLOPE(name, 1, b, 3, T_, SFX)                                                                          \
        AD__ADD_SLOPE(name, 2, c, 3, T_, SFX)                                                                          \
    }

/* The rules give Vars of the result's shape; what was repeated is summed back to its own. */
#define AD__OPERAND_RULE(i, operand, VJP)                                                                              \
    if (ad_vjp_wants(op, i)) {                                                                                        \
        ad_var *rule_ = (VJP);                                                                                         \
        dx[i] = rule_ ? ad_sum_to(rule_, (operand)->layout->shape) : NULL;                                             \
    }

#define AD__BINARY(name, doc_, lo, hi, VALUE, BACK_A, BACK_B, value_text, back_text, VJP_A, VJP_B, ...)                \
    AD__BINARY_T(name, float, f32, VALUE, BACK_A, BACK_B)                                                              \
    AD__BINARY_T(name, double, f64, VALUE, BACK_A, BACK_B)                                                             \
    static void name##_vjp(const ad_op *op, ad_var *g AD__UNUSED, ad_var *dx[]) {                                      \
        ad_var *a AD__UNUSED = op->in[0], *b AD__UNUSED = op->in[1], *y AD__UNUSED = ad__out(op);                      \
        AD__OPERAND_RULE(0, a, VJP_A)                                                                                  \
        AD__OPERAND_RULE(1, b, VJP_B)                                                                                  \
    }                                                                                                                  \
    static void name##_samples(ad_sampler *s) {                                                                        \
        static const double edges[] = { __VA_ARGS__ };                                                                 \
        ad__binary_samples(s, lo, hi, AD__COUNT(edges), edges);                                                        \
    }                                                                                                                  \
    AD_OPTYPE(name, .doc = doc_, .formula = value_text, .gradient = back_text, .arity = 2,                             \
              .evaluate = { name##_evaluate_f32, name##_evaluate_f64 },                                                \
              .flags = AD_OP_IN_PLACE, .backward = { name##_backward_f32, name##_backward_f64 }, .vjp = name##_vjp)

#define AD_BINARY_OP(name, doc_, lo, hi, VALUE, BACK_A, BACK_B, VJP_A, VJP_B, ...)                                     \
    AD__BINARY(name, doc_, lo, hi, VALUE, BACK_A, BACK_B, #VALUE, #BACK_A "; " #BACK_B, VJP_A, VJP_B, __VA_ARGS__)

#define AD_BINARY(name, doc_, lo, hi, VALUE, BACK_A, BACK_B, VJP_A, VJP_B, ...)                                        \
    AD__BINARY(name, doc_, lo, hi, VALUE, BACK_A, BACK_B, #VALUE, #BACK_A "; " #BACK_B, VJP_A, VJP_B, __VA_ARGS__);    \
    ad_var *ad_##name(ad_var *a, ad_var *b) { AD__CALL_2(name, false) }

/* no_grad_: bit i says that operand i never gets a gradient. The op's samples stand before it. */
#define AD_TERNARY(name, doc_, no_grad_, VALUE, BACK_A, BACK_B, BACK_C, VJP_A, VJP_B, VJP_C)                           \
    AD__TERNARY_T(name, float, f32, VALUE, BACK_A, BACK_B, BACK_C)                                                     \
    AD__TERNARY_T(name, double, f64, VALUE, BACK_A, BACK_B, BACK_C)                                                    \
    static void name##_vjp(const ad_op *op, ad_var *g AD__UNUSED, ad_var *dx[]) {                                      \
        ad_var *a AD__UNUSED = op->in[0], *b AD__UNUSED = op->in[1], *c AD__UNUSED = op->in[2];                        \
        AD__OPERAND_RULE(0, a, VJP_A)                                                                                  \
        AD__OPERAND_RULE(1, b, VJP_B)                                                                                  \
        AD__OPERAND_RULE(2, c, VJP_C)                                                                                  \
    }                                                                                                                  \
    AD_OPTYPE(name, .doc = doc_, .formula = #VALUE, .gradient = #BACK_A "; " #BACK_B "; " #BACK_C, .arity = 3,         \
              .flags = AD_OP_IN_PLACE, .no_grad = no_grad_, .evaluate = { name##_evaluate_f32, name##_evaluate_f64 },  \
              .backward = { name##_backward_f32, name##_backward_f64 }, .vjp = name##_vjp);                            \
    ad_var *ad_##name(ad_var *a, ad_var *b, ad_var *c) {                                                               \
        return ad_apply(&ad_op_##name, 3, (ad_var *[]){ a, b, c }, NULL);                                              \
    }

/* Results 0 or 1, and no gradient. */
#define AD_PREDICATE(name, doc_, VALUE)                                                                                \
    AD__UNARY_VALUE_T(name, float, f32, AD__NO_K, k1, k2, VALUE)                                                       \
    AD__UNARY_VALUE_T(name, double, f64, AD__NO_K, k1, k2, VALUE)                                                      \
    static void name##_samples(ad_sampler *s) {                                                                        \
        static const double edges[] = { 0, -0.0, 1, -3, NAN, INFINITY, -INFINITY };                                    \
        ad__unary_samples(s, NULL, -2, 2, AD__COUNT(edges), edges);                                                    \
    }                                                                                                                  \
    AD_OPTYPE(name, .doc = doc_, .formula = #VALUE, .arity = 1, .flags = AD_OP_CONSTANT,                               \
              .evaluate = { name##_evaluate_f32, name##_evaluate_f64 });                                               \
    ad_var *ad_##name(ad_var *x) { AD__CALL_1(name, NULL, 0, true) }

#define AD_COMPARISON(name, doc_, VALUE)                                                                               \
    AD__NARY_VALUE_T(name, 2, float, f32, VALUE)                                                                       \
    AD__NARY_VALUE_T(name, 2, double, f64, VALUE)                                                                      \
    static void name##_samples(ad_sampler *s) {                                                                        \
        static const double edges[] = { 0, 1, NAN, INFINITY };                                                         \
        ad__binary_samples(s, -2, 2, AD__COUNT(edges), edges);                                                         \
    }                                                                                                                  \
    AD_OPTYPE(name, .doc = doc_, .formula = #VALUE, .arity = 2, .flags = AD_OP_CONSTANT,                               \
              .evaluate = { name##_evaluate_f32, name##_evaluate_f64 });                                               \
    ad_var *ad_##name(ad_var *a, ad_var *b) { AD__CALL_2(name, true) }

#endif
