/* gamma.c: numbers from the gamma, beta and Dirichlet distributions, with gradients by their parameters. */
#include <float.h>
#include <math.h>

#include "ops/base/attrs.h"
#include "ops/kernels/elementwise/loggamma.h"
#include "ops/ops.h"
#include "ops/random/sampler.h"

/* ---- standard_loggamma ------------------------------------------------------------------------------------------- */

/* Marsaglia and Tsang 2000. Below 1 by gamma(a) = gamma(a + 1) u^(1/a), whose logarithm does not underflow. */
static double draw_loggamma(ad__stream *s, double concentration) {
    double a = concentration < 1 ? concentration + 1 : concentration, d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    double less = concentration < 1 ? log(ad__stream_uniform(s)) / concentration : 0;
    for (;;) {
        double z = ad__stream_normal(s), cube = 3 * log1p(c * z);
        double bound = z * z / 2 + d * (1 - exp(cube) + cube);
        if (c * z > -1 && log(ad__stream_uniform(s)) < bound) return log(d) + cube + less;
    }
}

static int standard_loggamma_evaluate(const ad_op *op) {
    int rc = ad__check_elements(op, DBL_MIN, DBL_MAX, "a finite concentration above 0");
    return rc == AD_OK ? ad__draw_each(op, draw_loggamma) : rc;
}

/* Derivatives of order n in a and m in l of the slope, for each element: written to y, or times the gradient g of y
   added to to. */
typedef struct {
    const ad_var *a, *l, *y;
    int n, m;
    void *to; /* NULL: y is written */
} slopes;

static void slopes_chunk(void *context, int worker, int64_t from, int64_t until) {
    const slopes *s = context;
    ad_dtype t = s->y->layout->dtype;
    (void)worker;
    for (int64_t k = from; k < until; k++) {
        double slope = ad__number_loggamma_slope(ad__get(s->a, k), ad__get(s->l, k), s->n, s->m);
        if (t == AD_F32) slope = (double)(float)slope;
        if (s->to == NULL) ad__put(s->y, k, slope);
        else ad_write_element(t, s->to, k, ad_read_element(t, s->to, k) + ad_grad_at(s->y, k) * slope);
    }
}

static void run_slopes(const ad_op *op, slopes *s) {
    enum { WORK = 1024 }; /* in additions: about 1 us */
    s->a = op->in[0], s->y = ad__out(op);
    ad_parallel(ad__op_team(op), s->y->layout->numel, 0, WORK, slopes_chunk, s);
}

/* Adds g times the derivative of order n in a and m in l of the slope to the gradient of operand i. */
static void add_slope(const ad_op *op, int i, const ad_var *l, int n, int m) {
    slopes s = { .l = l, .n = n, .m = m, .to = ad_grad_into(op, i) };
    if (s.to != NULL) run_slopes(op, &s);
}

static void standard_loggamma_backward(const ad_op *op) { add_slope(op, 0, ad__out(op), 0, 0); }

static void standard_loggamma_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_mul(g, ad_standard_loggamma_grad(op->in[0], ad__out(op), 0, 0));
}

/* Finite differences at the same random bits are no test: which numbers are rejected depends on the concentration. */
static void standard_loggamma_samples(ad_sampler *s) {
    static const double a[] = { 0.01, 0.5, 1, 1.5, 7, 200 };
    ad_sample_values(s, NULL, 1, &AD_SHAPE(2, 3), (const double *const[]){ a }, AD_SAMPLE_KINK);
    ad_sample_values(s, NULL, 1, &AD_SCALAR, (const double *const[]){ a + 3 }, AD_SAMPLE_KINK);
    ad_sample_values(s, NULL, 1, &AD_SHAPE(0), (const double *const[]){ a }, AD_SAMPLE_KINK);
}

AD_OPTYPE(standard_loggamma,
          .doc = "logarithms of random numbers from the gamma distribution with the given concentration, above 0, and "
                 "rate 1; drawn anew by ad_eval. Small concentrations do not underflow",
          .formula = "exp(y) ~ Gamma(a, 1)", .gradient = "g times the change of y at a fixed probability", .arity = 1,
          .flags = AD_OP_RANDOM, .shape = ad__same_shape,
          .evaluate = { standard_loggamma_evaluate, standard_loggamma_evaluate },
          .backward = { standard_loggamma_backward, standard_loggamma_backward }, .vjp = standard_loggamma_vjp);
ad_var *ad_standard_loggamma(ad_var *concentration) {
    return ad__apply1(&ad_op_standard_loggamma, concentration, NULL);
}

/* ---- standard_loggamma_grad -------------------------------------------------------------------------------------- */

typedef struct {
    int n, m;
} orders;
static const ad_attr orders_list[] = { { "n", AD_ATTR_INT, offsetof(orders, n) },
                                       { "m", AD_ATTR_INT, offsetof(orders, m) },
                                       { 0 } };

static int standard_loggamma_grad_shape(ad_call *c) {
    const orders *o = c->attrs;
    if (!ad_shape_equal(c->shape, c->in[1]->layout->shape))
        return ad_call_fail(c, AD_ESHAPE, "both operands must have one shape");
    if (o->n >= 0 && o->m >= 0 && o->n <= AD__LOGGAMMA_MAX && o->m <= AD__LOGGAMMA_MAX - o->n) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "orders %d and %d; they must be 0 or more, and at most %d together", o->n, o->m,
                        AD__LOGGAMMA_MAX);
}

static int standard_loggamma_grad_evaluate(const ad_op *op) {
    const orders *o = ad__attrs_of(op);
    slopes s = { .l = op->in[1], .n = o->n, .m = o->m };
    run_slopes(op, &s);
    return AD_OK;
}

/* Whether there is a derivative of the next order; sets the error if not. */
static bool can_rise(const ad_op *op) {
    const orders *o = ad__attrs_of(op);
    if (o->n + o->m < AD__LOGGAMMA_MAX) return true;
    ad_op_fail(op, AD_EGRAD, "derivatives of the numbers end at order %d", AD__LOGGAMMA_MAX + 1);
    return false;
}

static void standard_loggamma_grad_backward(const ad_op *op) {
    const orders *o = ad__attrs_of(op);
    if (!can_rise(op)) return;
    add_slope(op, 0, op->in[1], o->n + 1, o->m);
    add_slope(op, 1, op->in[1], o->n, o->m + 1);
}

static void standard_loggamma_grad_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const orders *o = ad__attrs_of(op);
    if (!can_rise(op)) return;
    if (ad_vjp_wants(op, 0)) dx[0] = ad_mul(g, ad_standard_loggamma_grad(op->in[0], op->in[1], o->n + 1, o->m));
    if (ad_vjp_wants(op, 1)) dx[1] = ad_mul(g, ad_standard_loggamma_grad(op->in[0], op->in[1], o->n, o->m + 1));
}

static void standard_loggamma_grad_samples(ad_sampler *s) {
    static const double a[] = { 0.05, 0.05, 0.8, 0.8, 3, 3, 3, 29, 31, 31 };
    static const double l[] = { -9, 1.2, -1, 0.5, -2, 1, 2, 3.2, 3.3, 3.6 };
    const ad_shape shapes[] = { AD_SHAPE(10), AD_SHAPE(10) }, empty[] = { AD_SHAPE(0), AD_SHAPE(0) };
    ad_sample_values(s, &(orders){ 0, 0 }, 2, shapes, (const double *const[]){ a, l }, 0);
    ad_sample_values(s, &(orders){ 1, 0 }, 2, shapes, (const double *const[]){ a, l }, 0);
    ad_sample_values(s, &(orders){ 0, 1 }, 2, shapes, (const double *const[]){ a, l }, 0);
    ad_sample_values(s, &(orders){ 0, 0 }, 2, empty, (const double *const[]){ a, l }, 0);
}

AD_OPTYPE(standard_loggamma_grad,
          .doc = "the slope of y = standard_loggamma(a) in a, or its derivative of order n in a and m in y, n + m = "
                 "0..3. exp(y) times the slope is torch._standard_gamma_grad(a, exp(y))",
          .formula = "-(dP/da) / (x p) for Gamma(a, 1) with distribution function P and density p, at x = exp(y)",
          .gradient = "g times the derivatives of the next order", .special = "NaN unless a is finite and above 0",
          .arity = 2, .attr_size = sizeof(orders), .attrs = orders_list, .shape = standard_loggamma_grad_shape,
          .evaluate = { standard_loggamma_grad_evaluate, standard_loggamma_grad_evaluate },
          .backward = { standard_loggamma_grad_backward, standard_loggamma_grad_backward },
          .vjp = standard_loggamma_grad_vjp);
ad_var *ad_standard_loggamma_grad(ad_var *concentration, ad_var *y, int n, int m) {
    return ad__apply2(&ad_op_standard_loggamma_grad, concentration, y, &(orders){ n, m });
}

/* ---- gamma, beta, Dirichlet -------------------------------------------------------------------------------------- */

static ad_var *expanded(ad_var *x, const ad_var *like) {
    return ad__absent(like) || ad__absent(x) ? ad_add(x, (ad_var *)like) : ad_expand(x, like->layout->shape);
}

/* As in PyTorch, numbers that would underflow are the least normal number. */
ad_var *ad_gamma(ad_var *concentration, ad_var *rate) {
    ad_var *nil = ad__absent_result("gamma", 2, (ad_var *[]){ concentration, rate });
    if (nil != NULL) return nil;
    if (!ad__is_above(rate, 0, true, "gamma", "rate")) return ad_nil(ad__owner(rate));
    ad_var *log_x = ad_standard_loggamma(expanded(concentration, ad__broadcast_pair(concentration, rate)));
    bool f32 = !ad__absent(log_x) && log_x->layout->dtype == AD_F32;
    ad_var *x = ad_exp(ad_clamp(log_x, log(f32 ? (double)FLT_MIN : DBL_MIN), INFINITY));
    return ad_div(x, rate);
}

/* x / (x + y) for gamma-distributed x and y, from their logarithms. */
ad_var *ad_beta(ad_var *a, ad_var *b) {
    ad_var *like = ad__broadcast_pair(a, b);
    return ad_sigmoid(ad_sub(ad_standard_loggamma(expanded(a, like)), ad_standard_loggamma(expanded(b, like))));
}

ad_var *ad_dirichlet(ad_var *concentration) { return ad_softmax(ad_standard_loggamma(concentration), -1); }
