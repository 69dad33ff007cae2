/* loss.h: a loss that compares input and target element by element, from its formulas, written once
   for both dtypes; value and reduction are one loop, and so is the gradient.

   AD_LOSS(name, doc, special, parameter, shape, check, no_grad, more, values, ranges, value, backward of
   x, backward of t, vjp of x, vjp of t, edges...) defines the descriptor ad_op_NAME. In the formulas
       x, t    an element of input and target: T in value and backward, Vars in vjp
       w       an element of the third operand, repeated to x's shape; 1 where there is none
       k       the parameter of that name (NULL: none): T, in vjp double
       g       the gradient that arrives at the element's loss, divided as the reduction says
       T       float or double; write constants of it as (T)0.5
   shape is the op's shape rule, check looks at the operands' elements before evaluation (or NULL).
   values are the k to sample, ranges where the samples' x and t lie: lo and hi of each; edges are
   special points: x, t, x, t, ...; more adds samples that only this loss has (or NULL). */
#ifndef OPS_LOSS_LOSS_H
#define OPS_LOSS_LOSS_H

#include "ops/kernels/base/vector_math.h"

#include "autodiff/graph/node.h"
#include "ops/kernels/base/level.h"
#include "ops/ops.h"

typedef struct {
    double k;
    int reduction; /* an ad_reduction */
} ad__loss_attrs;

/* Loops over count contiguous elements, beginning at from: value overwrites y, slope's result is base, which may
   be to, and the slope added. */
typedef void ad__loss_value(int64_t from, int64_t count, double k, const void *x, const void *t, const void *w,
                            void *y);
typedef void ad__loss_slope(int64_t from, int64_t count, double k, const void *x, const void *t, const void *w,
                            const void *g, const void *base, void *to);

/* loss.c: running such loops, given for each level, over an Op's arrays, with the reduction. */
int ad__run_loss(const ad_op *op, ad__loss_value *const value[]);
void ad__run_loss_back(const ad_op *op, ad__loss_slope *const slope_x[], ad__loss_slope *const slope_t[]);
/* What arrives at an element: g divided by what the reduction divides by; as C double and as Var. */
double ad__loss_divisor(const ad_op *op);
ad_var *ad__loss_cotangent(const ad_op *op, ad_var *g);

/* Input and target of one shape; a third operand that broadcasts to it. And with k > 0, or k >= 0. */
int ad__loss_shape(ad_call *c);
int ad__loss_shape_positive(ad_call *c);
int ad__loss_shape_not_negative(ad_call *c);

void ad__loss_samples(ad_sampler *s, int n_values, const double *values, const double *ranges, int n_edges,
                      const double *edges);
ad_var *ad__apply_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_var *w, double k, ad_reduction reduction);

#define AD__LIST(...) { __VA_ARGS__ }

/* For formulas: of a NaN the second is taken. Unlike fmax it leaves loops vectorised. */
#define larger(a, b) ((a) > (b) ? (a) : (b))

#define AD__LOSS_SLOPE_T(name, which, T_, SFX, BACKWARD)                                                               \
    AD__LOOP(ad__loss_slope, name##_slope_##which##_##SFX, T_,                                                         \
             (double k_, const void *vx, const void *vt, const void *vw, const void *vg, const void *vbase, void *vto),\
        typedef T_ T __attribute__((unused));                                                                          \
        const T_ *xs = AD__FROM(T_, vx), *ts = AD__FROM(T_, vt), *ws = AD__FROM(T_, vw), *gs = AD__FROM(T_, vg);       \
        const T_ *base = AD__FROM(T_, vbase), k = (T_)k_;                                                              \
        T_ *to = (T_ *)vto + from;                                                                                     \
        (void)k;                                                                                                       \
        AD__IN_STEP                                                                                                    \
        for (int64_t i = 0; i < count; i++) {                                                                          \
            T_ x = xs[i], t = ts[i], w = ws[i], g = gs[i];                                                             \
            (void)x, (void)t, (void)w, (void)g;                                                                        \
            to[i] = base[i] + (T_)(BACKWARD);                                                                          \
        })

#define AD__LOSS_T(name, T_, SFX, CHECK, VALUE, BACK_X, BACK_T)                                                        \
    AD__LOOP(ad__loss_value, name##_values_##SFX, T_,                                                                  \
             (double k_, const void *vx, const void *vt, const void *vw, void *vy),                                    \
        typedef T_ T __attribute__((unused));                                                                          \
        const T_ *xs = AD__FROM(T_, vx), *ts = AD__FROM(T_, vt), *ws = AD__FROM(T_, vw), k = (T_)k_;                   \
        T_ *ys = (T_ *)vy + from;                                                                                      \
        (void)k;                                                                                                       \
        AD__IN_STEP                                                                                                    \
        for (int64_t i = 0; i < count; i++) {                                                                          \
            T_ x = xs[i], t = ts[i], w = ws[i];                                                                        \
            (void)w;                                                                                                   \
            ys[i] = (T_)(VALUE);                                                                                       \
        })                                                                                                             \
    AD__LOSS_SLOPE_T(name, x, T_, SFX, BACK_X)                                                                         \
    AD__LOSS_SLOPE_T(name, t, T_, SFX, BACK_T)                                                                         \
    static int name##_evaluate_##SFX(const ad_op *op) {                                                                \
        int (*check)(const ad_op *) = CHECK;                                                                           \
        int rc = check ? check(op) : AD_OK;                                                                            \
        return rc == AD_OK ? ad__run_loss(op, name##_values_##SFX) : rc;                                               \
    }                                                                                                                  \
    static void name##_backward_##SFX(const ad_op *op) {                                                               \
        ad__run_loss_back(op, name##_slope_x_##SFX, name##_slope_t_##SFX);                                             \
    }

#define AD_LOSS(name, doc_, special_, parameter, SHAPE, CHECK, no_grad_, MORE, VALUES, RANGES, VALUE, BACK_X, BACK_T,  \
                VJP_X, VJP_T, ...)                                                                                     \
    AD__LOSS_T(name, float, f32, CHECK, VALUE, BACK_X, BACK_T)                                                         \
    AD__LOSS_T(name, double, f64, CHECK, VALUE, BACK_X, BACK_T)                                                        \
    static void name##_vjp(const ad_op *op, ad_var *cotangent, ad_var *dx[]) {                                         \
        ad_var *x = op->in[0], *t = op->in[1], *g = ad__loss_cotangent(op, cotangent);                                 \
        ad_var *w = op->n_in > 2 ? op->in[2] : NULL;                                                                   \
        double k = ((const ad__loss_attrs *)ad__attrs_of(op))->k;                                                         \
        (void)x, (void)t, (void)w, (void)k;                                                                            \
        if (ad_vjp_wants(op, 0)) dx[0] = (VJP_X);                                                                     \
        if (ad_vjp_wants(op, 1)) dx[1] = (VJP_T);                                                                     \
    }                                                                                                                  \
    static void name##_samples(ad_sampler *s) {                                                                        \
        static const double values[] = VALUES, ranges[4] = RANGES, edges[] = { __VA_ARGS__ };                          \
        ad__loss_samples(s, AD__COUNT(values), values, ranges, AD__COUNT(edges) / 2, edges);                           \
        void (*more)(ad_sampler *) = MORE;                                                                             \
        if (more) more(s);                                                                                             \
    }                                                                                                                  \
    static const ad_attr name##_attrs[] = {                                                                            \
        { "reduction", AD_ATTR_INT, offsetof(ad__loss_attrs, reduction) },                                             \
        { parameter, AD_ATTR_DOUBLE, offsetof(ad__loss_attrs, k) },                                                    \
        { 0 }                                                                                                          \
    };                                                                                                                 \
    AD_OPTYPE(name, .doc = doc_, .formula = #VALUE, .gradient = #BACK_X "; " #BACK_T, .special = special_,             \
              .arity = -1, .no_grad = 1u << 2 | (no_grad_), .attr_size = sizeof(ad__loss_attrs),                       \
              .attrs = name##_attrs, .shape = SHAPE, .evaluate = { name##_evaluate_f32, name##_evaluate_f64 },         \
              .backward = { name##_backward_f32, name##_backward_f64 }, .vjp = name##_vjp);

#endif
