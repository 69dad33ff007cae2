/* special.c: special functions of one number, and of two. All compute in f64 for both dtypes, one number at a time. */
#include <math.h>

#include "autodiff/graph/node.h"
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/pattern.h"
#include "ops/base/samples.h"
#include "ops/kernels/elementwise/bessel.h"
#include "ops/kernels/elementwise/special.h"
#include "ops/ops.h"

typedef struct {
    int kind, n;
} special_attrs;
static const ad_attr special_list[] = { { "kind", AD_ATTR_INT, offsetof(special_attrs, kind) },
                                        { "n", AD_ATTR_INT, offsetof(special_attrs, n) },
                                        { 0 } };
static const ad_attr_values special_values[] = { { "kind", "erfcx ndtri bessel_j bessel_y bessel_i bessel_i_scaled "
                                                           "bessel_k bessel_k_scaled airy zeta gammainc gammaincc "
                                                           "gamma_density" },
                                                 { 0 } };

/* A function of one number at the element, or of two numbers at the elements, of an Op's operands; or its slope in the
   last operand. */
typedef double number_fn(const ad_op *op, int64_t k);

typedef struct {
    const ad_op *op;
    number_fn *f;
    void *to; /* the gradient to be added to; NULL: the result is written */
} run;

static void run_chunk(void *context, int worker, int64_t from, int64_t until) {
    const run *r = context;
    const ad_var *y = ad__out(r->op);
    ad_dtype t = y->layout->dtype;
    (void)worker;
    for (int64_t k = from; k < until; k++) {
        double v = r->f(r->op, k);
        if (r->to == NULL) ad__put(y, k, v);
        else ad_write_element(t, r->to, k, ad_read_element(t, r->to, k) + ad_grad_at(y, k) * v);
    }
}
static void run_each(const ad_op *op, number_fn *f, void *to) {
    enum { WORK = 500 }; /* in additions: some tenths of a us */
    run r = { op, f, to };
    ad_parallel(ad__op_team(op), ad__out(op)->layout->numel, 0, WORK, run_chunk, &r);
}

/* ---- of one number ----------------------------------------------------------------------------------------------- */

static double value(int kind, int n, double x) {
    switch ((ad_special_kind)kind) {
    case AD_ERFCX: return ad__number_erfcx(n, x);
    case AD_NDTRI: return ad__number_ndtri(x);
    case AD_BESSEL_J: return ad__number_bessel_j(n, x);
    case AD_BESSEL_Y: return ad__number_bessel_y(n, x);
    case AD_BESSEL_I: return ad__number_bessel_i(n, false, x);
    case AD_BESSEL_I_SCALED: return ad__number_bessel_i(n, true, x);
    case AD_BESSEL_K: return ad__number_bessel_k(n, false, x);
    case AD_BESSEL_K_SCALED: return ad__number_bessel_k(n, true, x);
    case AD_AIRY: return ad__number_airy(n == 1, x);
    default: return NAN;
    }
}

/* The slopes are differences of functions of the next orders: DLMF 10.6.1, 10.29.1 and, for erfcx, 7.18.6. That of
   order -1 is that of order 1, with a sign. */
static double slope_at(int kind, int n, double x, double y) {
    double below = n > 0 ? value(kind, n - 1, x) : value(kind, 1, x);
    switch ((ad_special_kind)kind) {
    case AD_ERFCX: return -2 * (n + 1) * value(kind, n + 1, x);
    case AD_NDTRI: return 2.5066282746310005 * exp(0.5 * y * y);
    case AD_BESSEL_J: return 0.5 * ((n > 0 ? below : -below) - value(kind, n + 1, x));
    case AD_BESSEL_Y: return x == 0 ? INFINITY : 0.5 * ((n > 0 ? below : -below) - value(kind, n + 1, x));
    case AD_BESSEL_I: return 0.5 * (below + value(kind, n + 1, x));
    case AD_BESSEL_I_SCALED: return 0.5 * (below + value(kind, n + 1, x)) - (x > 0 ? y : x < 0 ? -y : 0);
    case AD_BESSEL_K: return -0.5 * (below + value(kind, n + 1, x));
    case AD_BESSEL_K_SCALED: return y - 0.5 * (below + value(kind, n + 1, x));
    case AD_AIRY: return n == 1 ? x * value(kind, 0, x) : below;
    default: return NAN;
    }
}

static ad_var *half_sum(ad_var *a, ad_var *b) { return ad_muls(ad_add(a, b), 0.5); }

static ad_var *slope_of(int kind, int n, ad_var *x, ad_var *y) {
    if (kind == AD_NDTRI) return ad_muls(ad_exp(ad_muls(ad_square(y), 0.5)), 2.5066282746310005);
    if (kind == AD_AIRY) return n == 1 ? ad_mul(x, ad_special(x, kind, 0)) : ad_special(x, kind, 1);
    ad_var *above = ad_special(x, kind, n + 1);
    if (kind == AD_ERFCX) return ad_muls(above, -2.0 * (n + 1));
    ad_var *below = n > 0 ? ad_special(x, kind, n - 1) : above;
    switch ((ad_special_kind)kind) {
    case AD_BESSEL_J: return half_sum(n > 0 ? below : ad_neg(below), ad_neg(above));
    case AD_BESSEL_Y: {
        ad_var *slope = half_sum(n > 0 ? below : ad_neg(below), ad_neg(above));
        return ad_where(ad_eq(x, ad__constant(x, 0)), ad__constant(x, INFINITY), slope);
    }
    case AD_BESSEL_I: return half_sum(below, above);
    case AD_BESSEL_I_SCALED: return ad_sub(half_sum(below, above), ad__times_sign(y, x));
    case AD_BESSEL_K: return ad_neg(half_sum(below, above));
    default: return ad_sub(y, half_sum(below, above));
    }
}

static double number_value(const ad_op *op, int64_t k) {
    const special_attrs *a = ad__attrs_of(op);
    return value(a->kind, a->n, ad__get(op->in[0], k));
}
static double number_slope(const ad_op *op, int64_t k) {
    const special_attrs *a = ad__attrs_of(op);
    double x = ad__get(op->in[0], k);
    return slope_at(a->kind, a->n, x, value(a->kind, a->n, x));
}

static int special_shape(ad_call *c) {
    const special_attrs *a = c->attrs;
    if (a->kind < AD_ERFCX || a->kind > AD_AIRY)
        return ad_call_fail(c, AD_EVALUE, "%d is no function of one number; see ad_special_kind", a->kind);
    int most = a->kind == AD_NDTRI ? 0 : a->kind == AD_AIRY ? 1 : AD__SPECIAL_ORDERS;
    if (a->n >= 0 && a->n <= most) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "order %d is not one of 0..%d", a->n, most);
}
static int special_evaluate(const ad_op *op) { return run_each(op, number_value, NULL), AD_OK; }
static void special_backward(const ad_op *op) { run_each(op, number_slope, ad_grad_into(op, 0)); }

/* In f64, as backward computes: slopes may be small differences. */
static void special_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const special_attrs *a = ad__attrs_of(op);
    ad_var *x = ad__in_dtype(op->in[0], AD_F64), *y = x;
    if (a->kind != AD_ERFCX && a->kind != AD_AIRY) y = ad_special(x, a->kind, a->n);
    dx[0] = ad__in_dtype(ad_mul(ad__in_dtype(g, AD_F64), slope_of(a->kind, a->n, x, y)), g->layout->dtype);
}

static void special_samples(ad_sampler *s) {
    static const double all[] = { 0.4, -1.3, 3.2, -24.5, 31, 7.5, -9, 0.01 }, ndtri[] = { 0.3, 0.001, 0.9, 0.5, 0.02 };
    static const double positive[] = { 0.4, 1.3, 3.2, 24.5, 30, 7.5, 9, 0.01 }, five[] = { 0.4, 6, -2.5, 1.2, -1 };
    static const double some[] = { 0.4, 6, 2.5, 1.2, 1 }; /* not so small that the other elements do not count */
    static const special_attrs cases[] = {
        { AD_ERFCX, 0 },    { AD_NDTRI, 0 },    { AD_BESSEL_J, 0 },        { AD_BESSEL_J, 1 },
        { AD_BESSEL_I, 0 }, { AD_BESSEL_I, 1 }, { AD_BESSEL_I_SCALED, 0 }, { AD_BESSEL_I_SCALED, 1 },
        { AD_BESSEL_Y, 0 }, { AD_BESSEL_Y, 1 }, { AD_BESSEL_K, 0 },        { AD_BESSEL_K, 1 },
        { AD_AIRY, 0 },     { AD_AIRY, 1 },     { AD_BESSEL_K_SCALED, 0 }, { AD_BESSEL_K_SCALED, 1 },
        { AD_ERFCX, 2 },    { AD_BESSEL_I, 5 }, { AD_BESSEL_K, 3 },
    };
    for (int i = 0; i < AD__COUNT(cases); i++) {
        int kind = cases[i].kind;
        bool is_steep = kind == AD_ERFCX || kind == AD_AIRY || kind == AD_BESSEL_I;
        const double *x = kind == AD_NDTRI ? ndtri : is_steep ? five : all;
        bool is_singular = kind == AD_BESSEL_Y || kind == AD_BESSEL_K || kind == AD_BESSEL_K_SCALED;
        if (is_singular) x = cases[i].n > 1 ? some : positive;
        ad_shape shape = x == all || x == positive ? AD_SHAPE(2, 4) : AD_SHAPE(5);
        ad_sample_values(s, &cases[i], 1, &shape, &x, kind == AD_ERFCX || kind == AD_NDTRI ? AD_SAMPLE_LOOSE : 0);
    }
    ad__sample_text(s, &cases[0], 1, "2,0", NULL, NULL);
}

AD_OPTYPE(special,
          .doc = "a special function of each number, by its number in ad_special_kind, and of order n. ad_erfcx and "
                 "other functions below have their names",
          .differs = "Ai(x) below -1e100 is NaN, as no digit of it is known; PyTorch has a number. The slope of erfcx "
                     "at inf is 0; PyTorch's is NaN. PyTorch has no gradient for Bessel's and Airy's functions",
          .formula = "J Y I K of order n, Ai and its slope, erfcx and its integrals, ndtri",
          .gradient = "g times functions of the orders n - 1 and n + 1",
          .special = "Y and K are infinite at 0 and NaN below; n is at most 32", .arity = 1,
          .attr_size = sizeof(special_attrs), .attrs = special_list, .values = special_values, .shape = special_shape,
          .evaluate = { special_evaluate, special_evaluate }, .backward = { special_backward, special_backward },
          .vjp = special_vjp, .pattern = ad__pattern_elements);
ad_var *ad_special(ad_var *x, ad_special_kind kind, int n) {
    return ad__apply1(&ad_op_special, x, &(special_attrs){ (int)kind, n });
}

/* ---- of two numbers ---------------------------------------------------------------------------------------------- */

static double pair_value(const ad_op *op, int64_t k) {
    double a = ad__get(op->in[0], k), x = ad__get(op->in[1], k);
    switch ((ad_special_kind)((const special_attrs *)ad__attrs_of(op))->kind) {
    case AD_ZETA: return ad__number_zeta(a, x);
    case AD_GAMMAINC: return ad__number_gammainc(false, a, x);
    case AD_GAMMAINCC: return ad__number_gammainc(true, a, x);
    default: return ad__number_gamma_density(a, x);
    }
}
static double pair_slope(const ad_op *op, int64_t k) {
    double a = ad__get(op->in[0], k), x = ad__get(op->in[1], k), density = ad__number_gamma_density(a, x);
    switch ((ad_special_kind)((const special_attrs *)ad__attrs_of(op))->kind) {
    case AD_ZETA: return -a * ad__number_zeta(a + 1, x);
    case AD_GAMMAINC: return density;
    case AD_GAMMAINCC: return -density;
    default: return density * ((a - 1) / x - 1);
    }
}

static int special_pair_shape(ad_call *c) {
    const special_attrs *a = c->attrs;
    if (a->kind < AD_ZETA || a->kind > AD_GAMMA_DENSITY)
        return ad_call_fail(c, AD_EVALUE, "%d is no function of two numbers; see ad_special_kind", a->kind);
    if (!ad_shape_equal(c->shape, c->in[1]->layout->shape))
        return ad_call_fail(c, AD_ESHAPE, "both operands must have one shape");
    return ad__check_no_gradient(c, 0, "parameters");
}
static int special_pair_evaluate(const ad_op *op) { return run_each(op, pair_value, NULL), AD_OK; }
static void special_pair_backward(const ad_op *op) {
    void *to = ad_grad_into(op, 1);
    if (to != NULL) run_each(op, pair_slope, to);
}

static void special_pair_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    int kind = ((const special_attrs *)ad__attrs_of(op))->kind;
    ad_var *a = ad__in_dtype(op->in[0], AD_F64), *x = ad__in_dtype(op->in[1], AD_F64), *slope;
    if (kind == AD_ZETA) slope = ad_mul(ad_neg(a), ad_special_pair(ad_adds(a, 1), x, AD_ZETA));
    else slope = ad_special_pair(a, x, AD_GAMMA_DENSITY);
    if (kind == AD_GAMMAINCC) slope = ad_neg(slope);
    if (kind == AD_GAMMA_DENSITY) slope = ad_mul(slope, ad_adds(ad_div(ad_adds(a, -1), x), -1));
    dx[1] = ad__in_dtype(ad_mul(ad__in_dtype(g, AD_F64), slope), g->layout->dtype);
}

static void special_pair_samples(ad_sampler *s) {
    static const double a[] = { 0.5, 1.5, 7, 30, 0.01, 200, 3, 12 }, x[] = { 0.2, 3, 6, 33, 0.5, 180, 30, 2 };
    static const double power[] = { 2, 1.1, 7, 3, 1.5, 20, 4, 2 }, q[] = { 1, 0.3, 5, 12.5, 200, 1.7, -2.3, -0.6 };
    const ad_shape shapes[] = { AD_SHAPE(2, 4), AD_SHAPE(2, 4) }, empty[] = { AD_SHAPE(0), AD_SHAPE(0) };
    for (int kind = AD_ZETA; kind <= AD_GAMMA_DENSITY; kind++)
        ad_sample_values(s, &(special_attrs){ kind, 0 }, 2, shapes,
                         kind == AD_ZETA ? (const double *const[]){ power, q } : (const double *const[]){ a, x },
                         AD_SAMPLE_LOOSE);
    ad_sample_values(s, &(special_attrs){ AD_ZETA, 0 }, 2, empty, (const double *const[]){ a, x }, 0);
}

AD_OPTYPE(special_pair,
          .doc = "a special function of each pair of numbers, by its number in ad_special_kind. ad_zeta, ad_gammainc "
                 "and ad_gammaincc have their names",
          .differs = "zeta is 0 at q = inf, and the second slope of gammainc infinite at -0; PyTorch's are NaN",
          .formula = "Hurwitz's zeta; the regularised incomplete gamma functions, lower and upper, and their density",
          .gradient = "in x only: -a zeta(a + 1, x); plus or minus x^(a-1) exp(-x) / gamma(a)",
          .special = "an a that requires a gradient is an error, as in PyTorch", .arity = 2,
          .no_grad = AD_NO_GRAD(0), .attr_size = sizeof(special_attrs), .attrs = special_list, .values = special_values,
          .shape = special_pair_shape, .evaluate = { special_pair_evaluate, special_pair_evaluate },
          .backward = { special_pair_backward, special_pair_backward }, .vjp = special_pair_vjp,
          .pattern = ad__pattern_elements);
ad_var *ad_special_pair(ad_var *a, ad_var *x, ad_special_kind kind) {
    return ad__apply2(&ad_op_special_pair, a, x, &(special_attrs){ (int)kind, 0 });
}
