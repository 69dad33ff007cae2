/* test_gradient.c: gradients as Vars to any order, user-defined ops, ad_check_op and ad_gradcheck. */
#include "tests/common.h"

/* ---- derivatives of functions of one variable ------------------------------------------------------ */

enum { ORDERS = 4 };

/* f as Vars, and f, f', f'' and f''' as C functions. */
typedef struct {
    const char *name;
    ad_var *(*vars)(ad_var *x);
    double (*derivative)(int order, double x);
} smooth;

#define SMOOTH(id, expression, d0, d1, d2, d3)                                                                         \
    static ad_var *id##_vars(ad_var *x) { return expression; }                                                         \
    static double id##_derivative(int order, double x) {                                                               \
        return order == 0 ? (d0) : order == 1 ? (d1) : order == 2 ? (d2) : (d3);                                       \
    }

/* clang-format off */
SMOOTH(quartic, ad_mul(ad_square(x), ad_mul(x, x)), x * x * x * x, 4 * x * x * x, 12 * x * x, 24 * x)
SMOOTH(power, ad_pows(x, 4), pow(x, 4), 4 * pow(x, 3), 12 * pow(x, 2), 24 * x)
SMOOTH(sine, ad_sin(x), sin(x), cos(x), -sin(x), -cos(x))
SMOOTH(exponential, ad_exp(ad_muls(x, 2)), exp(2 * x), 2 * exp(2 * x), 4 * exp(2 * x), 8 * exp(2 * x))
SMOOTH(logarithm, ad_log(x), log(x), 1 / x, -1 / (x * x), 2 / (x * x * x))
SMOOTH(inverse, ad_div(ad_ones(ad_graph_of(x), AD_F64, AD_SCALAR), x), 1 / x, -1 / (x * x), 2 / pow(x, 3),
       -6 / pow(x, 4))
SMOOTH(root, ad_sqrt(x), sqrt(x), 0.5 / sqrt(x), -0.25 * pow(x, -1.5), 0.375 * pow(x, -2.5))
SMOOTH(hyperbolic, ad_tanh(x), tanh(x), 1 - tanh(x) * tanh(x), -2 * tanh(x) * (1 - tanh(x) * tanh(x)),
       (1 - tanh(x) * tanh(x)) * (6 * tanh(x) * tanh(x) - 2))
SMOOTH(composed, ad_mul(x, ad_exp(ad_neg(x))), x * exp(-x), (1 - x) * exp(-x), (x - 2) * exp(-x), (3 - x) * exp(-x))
SMOOTH(self_power, ad_pow(x, x), pow(x, x), pow(x, x) * (log(x) + 1),
       pow(x, x) * ((log(x) + 1) * (log(x) + 1) + 1 / x),
       pow(x, x) * (pow(log(x) + 1, 3) + 3 * (log(x) + 1) / x - 1 / (x * x)))

#define ROW(id) { #id, id##_vars, id##_derivative }
/* clang-format on */
static const smooth functions[] = { ROW(quartic), ROW(power), ROW(sine),       ROW(exponential), ROW(logarithm),
                                    ROW(inverse), ROW(root),  ROW(hyperbolic), ROW(composed),    ROW(self_power) };
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* ad_gradient gives each order from the previous one. ad_backward must give the same derivative. */
static void derivatives_up_to_order_three(void **state) {
    (void)state;
    static const double at[] = { 0.3, 1, 1.7 };
    for (int f = 0; f < FUNCTIONS; f++)
        for (int p = 0; p < 3; p++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = param_item(g, AD_F64, at[p]), *d = functions[f].vars(x);
            for (int order = 0; order < ORDERS; order++) {
                assert_close_in(functions[f].name, ad_item(d), functions[f].derivative(order, at[p]), 1e-10);
                if (order + 1 == ORDERS) break;
                ad_zero_grad(d);
                assert_int_equal(ad_backward(d), AD_OK);
                assert_close_in(functions[f].name, ad_grad_item(x), functions[f].derivative(order + 1, at[p]), 1e-10);
                assert_int_equal(ad_gradient(d, 1, &x, &d), AD_OK);
            }
            ad_graph_free(g);
        }
}

/* Gradients are ordinary Vars: ad_eval updates them after a leaf has changed. */
static void eval_updates_gradient_vars(void **state) {
    (void)state;
    for (int f = 0; f < FUNCTIONS; f++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_item(g, AD_F64, 0.5), *d = functions[f].vars(x);
        assert_int_equal(ad_gradient(d, 1, &x, &d), AD_OK);
        assert_int_equal(ad_gradient(d, 1, &x, &d), AD_OK);
        for (double v = 0.4; v < 2; v += 0.4) {
            set_item(x, v);
            assert_int_equal(ad_eval(d), AD_OK);
            assert_close_in(functions[f].name, ad_item(d), functions[f].derivative(2, v), 1e-10);
        }
        ad_graph_free(g);
    }
}

/* ---- several variables -------------------------------------------------------------------------------- */

/* Second and third mixed derivatives of f = exp(x y). */
static void mixed_derivatives(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double x0 = 0.7, y0 = -1.2, e = exp(x0 * y0);
    ad_var *x = param_item(g, AD_F64, x0), *y = param_item(g, AD_F64, y0), *xs[] = { x, y };
    ad_var *f = ad_exp(ad_mul(x, y)), *d[2], *dx[2], *dy[2], *dxy[2];
    assert_int_equal(ad_gradient(f, 2, xs, d), AD_OK);
    assert_close(ad_item(d[0]), y0 * e, 1e-12);
    assert_close(ad_item(d[1]), x0 * e, 1e-12);
    assert_int_equal(ad_gradient(d[0], 2, xs, dx), AD_OK);
    assert_int_equal(ad_gradient(d[1], 2, xs, dy), AD_OK);
    assert_close(ad_item(dx[0]), y0 * y0 * e, 1e-12);
    assert_close(ad_item(dx[1]), (1 + x0 * y0) * e, 1e-12);
    assert_close(ad_item(dy[0]), (1 + x0 * y0) * e, 1e-12);
    assert_close(ad_item(dy[1]), x0 * x0 * e, 1e-12);
    assert_int_equal(ad_gradient(dx[1], 2, xs, dxy), AD_OK);
    assert_close(ad_item(dxy[0]), y0 * (2 + x0 * y0) * e, 1e-12);
    assert_close(ad_item(dxy[1]), x0 * (2 + x0 * y0) * e, 1e-12);
    ad_graph_free(g);
}

/* Rosenbrock (1960): (1 - x)^2 + 100 (y - x^2)^2. */
static ad_var *rosenbrock(ad_var *x, ad_var *y) {
    ad_var *valley = ad_sub(y, ad_square(x));
    return ad_add(ad_square(ad_adds(ad_neg(x), 1)), ad_muls(ad_square(valley), 100));
}

/* The product of the Hessian with (u, v) is the gradient of (gradient . (u, v)). */
static void hessian_times_vector_of_rosenbrock(void **state) {
    (void)state;
    static const double rows[][4] = { { -1.2, 1, 1, 0 }, { -1.2, 1, 0, 1 }, { 1, 1, 2, -3 }, { 0.5, -0.5, -1, 0.25 } };
    for (int i = 0; i < 4; i++) {
        double x0 = rows[i][0], y0 = rows[i][1], u = rows[i][2], v = rows[i][3];
        ad_graph *g = ad_graph_new();
        ad_var *xs[] = { param_item(g, AD_F64, x0), param_item(g, AD_F64, y0) }, *d[2], *h[2];
        assert_int_equal(ad_gradient(rosenbrock(xs[0], xs[1]), 2, xs, d), AD_OK);
        assert_close(ad_item(d[0]), -2 * (1 - x0) - 400 * x0 * (y0 - x0 * x0), 1e-12);
        assert_close(ad_item(d[1]), 200 * (y0 - x0 * x0), 1e-12);
        ad_var *along = ad_add(ad_muls(d[0], u), ad_muls(d[1], v));
        assert_int_equal(ad_gradient(along, 2, xs, h), AD_OK);
        assert_close(ad_item(h[0]), (2 - 400 * y0 + 1200 * x0 * x0) * u - 400 * x0 * v, 1e-12);
        assert_close(ad_item(h[1]), -400 * x0 * u + 200 * v, 1e-12);
        ad_graph_free(g);
    }
}

/* ad_gradient and ad_backward give the same numbers. The expression has products, broadcasts and reductions. */
static void gradients_as_vars_equal_backward(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 5);
        ad_var *x = ad_require_grad(ad_randn(g, t, AD_SHAPE(4, 3))),
               *w = ad_require_grad(ad_randn(g, t, AD_SHAPE(5, 3)));
        ad_var *b = ad_require_grad(ad_randn(g, t, AD_SHAPE(5))), *xs[] = { x, w, b }, *dxs[3];
        ad_var *h = ad_tanh(ad_affine(x, w, b)), *s = ad_softmax(ad_mul(h, b), -1);
        ad_var *y = ad_mean(ad_mul(ad_logsumexp_axis(ad_matmul(s, w), 1, true), ad_sum_axis(h, -1, true)));
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 3, xs, dxs), AD_OK);
        for (int i = 0; i < 3; i++) {
            assert_true(ad_shape_equal(ad_shape_of(dxs[i]), ad_shape_of(xs[i])) && ad_dtype_of(dxs[i]) == t);
            for (int64_t k = 0; k < ad_numel(xs[i]); k++)
                assert_close(ad_at(dxs[i], k), ad_grad_at(xs[i], k), t == AD_F32 ? 1e-5 : 1e-13);
        }
        ad_graph_free(g);
    }
}

static void vjp_of_an_array(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3)), *c = ad_arange(g, AD_F64, 5, 8, 1), *dx, *dc;
    assert_int_equal(ad_vjp(ad_mul(x, ad_square(x)), c, 1, &x, &dx), AD_OK);
    for (int i = 0; i < 3; i++) assert_true(ad_at(dx, i) == (5 + i) * 3 * (i + 1) * (i + 1));
    assert_int_equal(ad_gradient(ad_sum(dx), 1, &c, &dc), AD_OK); /* the vjp is linear in the cotangent */
    for (int i = 0; i < 3; i++) assert_true(ad_at(dc, i) == 3 * (i + 1) * (i + 1));
    ad_graph_free(g);
}

/* ---- which Vars receive a gradient ------------------------------------------------------------------------ */

static void gradient_by_an_independent_var_is_zero(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2), *u = ad_param(g, AD_F32, NULL, AD_SHAPE(2, 3)), *later, *dxs[4];
    ad_var *y = ad_square(x);
    later = ad_exp(y);
    ad_var *xs[] = { u, x, later, ad_detach(x) };
    assert_int_equal(ad_gradient(y, 4, xs, dxs), AD_OK);
    assert_true(ad_shape_equal(ad_shape_of(dxs[0]), AD_SHAPE(2, 3)) && ad_dtype_of(dxs[0]) == AD_F32);
    for (int i = 0; i < 6; i++) assert_true(ad_at(dxs[0], i) == 0);
    assert_true(ad_item(dxs[1]) == 4 && ad_item(dxs[2]) == 0 && ad_item(dxs[3]) == 0);
    assert_int_equal(ad_gradient(y, 0, NULL, NULL), AD_OK);
    ad_graph_free(g);
}

static void gradients_by_interior_vars_and_by_y_itself(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *h = ad_square(x), *y = ad_mul(h, ad_adds(h, 1)), *dxs[4];
    ad_var *xs[] = { h, x, y, x };
    assert_int_equal(ad_gradient(y, 4, xs, dxs), AD_OK);
    assert_true(ad_item(dxs[0]) == 2 * 9 + 1);
    assert_true(ad_item(dxs[1]) == (2 * 9 + 1) * 6); /* the gradient passes through h, which is itself in xs */
    assert_true(ad_item(dxs[2]) == 1);
    assert_true(ad_item(dxs[3]) == ad_item(dxs[1])); /* x is in xs twice */
    assert_int_equal(ad_gradient(x, 1, &x, dxs), AD_OK);
    assert_true(ad_item(dxs[0]) == 1);
    ad_graph_free(g);
}

/* The Vars of xs may be constants. */
static void gradient_by_a_constant(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *c = ad_full(g, AD_F64, 3, AD_SCALAR), *dc;
    assert_int_equal(ad_gradient(ad_square(c), 1, &c, &dc), AD_OK);
    assert_true(ad_item(dc) == 6);
    ad_graph_free(g);
}

static void ad_gradient_leaves_accumulated_gradients_unchanged(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *h = ad_square(x), *y = ad_exp(ad_muls(h, 0.1)), *dx;
    assert_int_equal(ad_backward(y), AD_OK);
    double at_x = ad_grad_item(x), at_h = ad_grad_item(h);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    assert_int_equal(ad_gradient(dx, 1, &h, &dx), AD_OK);
    assert_true(ad_grad_item(x) == at_x && ad_grad_item(h) == at_h && ad_grad_item(y) == 1);
    ad_graph_free(g);
}

/* d/dx (x d/dy (x + y)) = d/dx x = 1: the inner and the outer derivative stay distinct. The example is from Siskind
   and Pearlmutter, "Perturbation confusion and referential transparency", 2005. */
static void no_perturbation_confusion(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *y = param_item(g, AD_F64, 1), *dy, *dx;
    assert_int_equal(ad_gradient(ad_add(x, y), 1, &y, &dy), AD_OK);
    assert_true(ad_item(dy) == 1);
    assert_int_equal(ad_gradient(ad_mul(x, dy), 1, &x, &dx), AD_OK);
    assert_true(ad_item(dx) == 1);
    assert_int_equal(ad_gradient(ad_mul(x, y), 1, &y, &dy), AD_OK);
    assert_int_equal(ad_gradient(ad_mul(x, dy), 1, &x, &dx), AD_OK); /* d/dx (x x) */
    assert_true(ad_item(dx) == 2);
    ad_graph_free(g);
}

/* ad_gradient treats the result of an op recorded with gradients disabled as a constant. */
static void no_gradient_through_ops_recorded_with_gradients_disabled(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *dx;
    bool was = ad_enable_grad(g, false);
    ad_var *cut = ad_square(x);
    ad_enable_grad(g, was);
    ad_var *y = ad_mul(cut, ad_exp(ad_mul(x, ad_detach(x))));
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    assert_close(ad_item(dx), 9 * 3 * exp(9), 1e-12);
    ad_graph_free(g);
}

/* A detached Var may be in xs. The gradient still stops there and does not reach its operands. */
static void gradient_by_a_detached_var_stops_there(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *detached = ad_detach(x), *dxs[3];
    bool was = ad_enable_grad(g, false);
    ad_var *cut = ad_square(x);
    ad_enable_grad(g, was);
    ad_var *xs[] = { cut, x, detached }, *y = ad_mul(ad_mul(cut, x), detached);
    assert_int_equal(ad_gradient(y, 3, xs, dxs), AD_OK);
    assert_true(ad_item(dxs[0]) == 9 && ad_item(dxs[1]) == 27 && ad_item(dxs[2]) == 27);
    ad_graph_free(g);
}

/* ---- a user-defined op: y = k x^3, with attributes, saved bytes and scratch ---------------------------------- */

typedef struct {
    int rounds; /* four bytes wide, so k needs padding for its alignment */
    double k;
} cubic_attrs;

/* x [..]. The saved bytes hold x^2, the scratch holds 3 k x^2. */
static int cubic_shape(ad_call *c) {
    const cubic_attrs *a = c->attrs;
    if (!(a->k == a->k)) return ad_call_fail(c, AD_EVALUE, "k is not a number");
    size_t bytes = (size_t)ad_numel(c->in[0]) * ad_dtype_size(c->dtype);
    c->saved = bytes;
    c->scratch = bytes;
    return AD_OK;
}

#define CUBIC(T, suffix)                                                                                               \
    static int cubic_evaluate_##suffix(const ad_op *op) {                                                              \
        const cubic_attrs *a = ad_attrs(op);                                                                           \
        const ad_var *x = ad_op_operand(op, 0);                                                                        \
        const T *v = ad_data(x);                                                                                       \
        T *y = ad_values(op), *squares = ad_saved(op);                                                                 \
        for (int64_t i = 0; i < ad_numel(x); i++) squares[i] = v[i] * v[i];                                            \
        for (int64_t i = 0; i < ad_numel(x); i++) y[i] = (T)a->k * squares[i] * v[i];                                  \
        return AD_OK;                                                                                                  \
    }                                                                                                                  \
    static void cubic_backward_##suffix(const ad_op *op) {                                                             \
        const cubic_attrs *a = ad_attrs(op);                                                                           \
        const ad_var *y = ad_op_result(op);                                                                            \
        const T *squares = ad_saved(op), *g = ad_grad(y);                                                              \
        T *slopes = ad_scratch(op), *dx = ad_grad_into(op, 0);                                                         \
        assert_true(ad_wants_grad(op, 0) == (dx != NULL));                                                             \
        if (dx == NULL) return;                                                                                        \
        for (int64_t i = 0; i < ad_numel(y); i++) slopes[i] = 3 * (T)a->k * squares[i];                                \
        for (int64_t i = 0; i < ad_numel(y); i++) dx[i] += slopes[i] * g[i];                                           \
    }
CUBIC(float, f32)
CUBIC(double, f64)

static void cubic_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const cubic_attrs *a = ad_attrs(op);
    assert_true(ad_vjp_wants(op, 0));
    dx[0] = ad_mul(g, ad_muls(ad_square(ad_op_operand(op, 0)), 3 * a->k));
}

static void cubic_samples(ad_sampler *s) {
    cubic_attrs a = { 7, 2.5 };
    ad_sample(s, &a, 1, (ad_shape[]){ AD_SHAPE(2, 3) }, NULL, NULL);
    ad_sample(s, &a, 1, (ad_shape[]){ AD_SCALAR }, (double[]){ 1 }, (double[]){ 2 });
    ad_sample_values(s, &a, 1, (ad_shape[]){ AD_SHAPE(3) }, (const double *[]){ (double[]){ -1, 0, 1 } }, 0);
    ad_sample(s, &a, 1, (ad_shape[]){ AD_SHAPE(0) }, NULL, NULL);
}

static const ad_attr cubic_fields[] = { { "rounds", AD_ATTR_INT, offsetof(cubic_attrs, rounds) },
                                        { "k", AD_ATTR_DOUBLE, offsetof(cubic_attrs, k) },
                                        { 0 } };
#define CUBIC_FIELDS                                                                                                   \
    .name = "cubic", .doc = "k x^3", .arity = 1, .attr_size = sizeof(cubic_attrs), .attrs = cubic_fields,              \
    .shape = cubic_shape, .evaluate = { cubic_evaluate_f32, cubic_evaluate_f64 },                                      \
    .backward = { cubic_backward_f32, cubic_backward_f64 }, .vjp = cubic_vjp, .samples = cubic_samples
static const ad_optype op_cubic = { CUBIC_FIELDS };

static ad_optype op_cubic_without_vjp(void) {
    ad_optype t = { CUBIC_FIELDS };
    t.vjp = NULL;
    return t;
}

static ad_var *cubic_with(const ad_optype *type, ad_var *x, double k) {
    return ad_apply(type, 1, &x, &(cubic_attrs){ 7, k });
}

static void user_defined_op(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_of(g, t, (double[]){ 1, -2, 0.5 }, AD_SHAPE(3)), *y = cubic_with(&op_cubic, x, 2), *dx, *ddx;
        assert_true(ad_at(y, 0) == 2 && ad_at(y, 1) == -16 && ad_at(y, 2) == 0.25);
        cubic_with(&op_cubic, ad_ones(g, t, AD_SHAPE(100)), 2); /* a larger op makes the scratch buffer grow */
        assert_int_equal(ad_backward(ad_sum(y)), AD_OK);
        assert_true(ad_grad_at(x, 0) == 6 && ad_grad_at(x, 1) == 24 && ad_grad_at(x, 2) == 1.5);
        assert_int_equal(ad_gradient(ad_sum(y), 1, &x, &dx), AD_OK);
        assert_int_equal(ad_gradient(ad_sum(dx), 1, &x, &ddx), AD_OK);
        assert_true(ad_at(ddx, 0) == 12 && ad_at(ddx, 1) == -24 && ad_at(ddx, 2) == 6);
        assert_string_equal(ad_op_name(ad_creator(y)), "cubic");
        assert_int_equal((int)((uintptr_t)ad_saved(ad_creator(y)) % 64), 0);
        assert_true(ad_is_nil(cubic_with(&op_cubic, x, NAN)));
        assert_string_equal(ad_error(g), "cubic: [3]: k is not a number");
        ad_graph_free(g);
    }
}

/* Rules of ad_custom that call a differentiation pass on the cubic op. Each rule gives 3 k x^2 g. */
static void rule_by_backward(int n, ad_var *const xs[], ad_var *y, ad_var *cotangent, ad_var *dxs[], void *user) {
    (void)n, (void)y, (void)user;
    ad_graph *g = ad_graph_of(xs[0]);
    ad_var *p = ad_param(g, AD_F64, ad_data(xs[0]), ad_shape_of(xs[0]));
    assert_int_equal(ad_backward(ad_sum(cubic_with(&op_cubic, p, 2))), AD_OK);
    dxs[0] = ad_mul(cotangent, ad_tensor(g, AD_F64, ad_grad(p), ad_shape_of(p)));
}

static void rule_by_gradient(int n, ad_var *const xs[], ad_var *y, ad_var *cotangent, ad_var *dxs[], void *user) {
    (void)n, (void)y, (void)user;
    ad_var *slope;
    assert_int_equal(ad_gradient(ad_sum(cubic_with(&op_cubic, xs[0], 2)), 1, xs, &slope), AD_OK);
    dxs[0] = ad_mul(cotangent, slope);
}

static void rule_by_hvp(int n, ad_var *const xs[], ad_var *y, ad_var *cotangent, ad_var *dxs[], void *user) {
    (void)n, (void)y, (void)user;
    ad_graph *g = ad_graph_of(xs[0]);
    ad_var *x = xs[0], *one = ad_ones(g, AD_F64, ad_shape_of(x)), *curved;
    /* the second derivative 6 k x, multiplied by x / 2 */
    assert_int_equal(ad_hvp(ad_sum(cubic_with(&op_cubic, x, 2)), 1, &x, &one, &curved), AD_OK);
    dxs[0] = ad_mul(cotangent, ad_mul(curved, ad_muls(x, 0.5)));
}

static void differentiation_inside_a_custom_rule(void **state) {
    (void)state;
    ad_custom_fn *const rules[] = { rule_by_backward, rule_by_gradient, rule_by_hvp };
    for (int i = 0; i < 3; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, (double[]){ 1, -2 }, AD_SHAPE(2)), *one = ad_ones(g, AD_F64, AD_SHAPE(2));
        ad_var *y = ad_sum(ad_custom(ad_square(x), 1, &x, rules[i], NULL)), *d, *h;
        assert_int_equal(ad_backward(y), AD_OK);
        assert_true(ad_grad_at(x, 0) == 6 && ad_grad_at(x, 1) == 24);
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        assert_true(ad_at(d, 0) == 6 && ad_at(d, 1) == 24);
        assert_int_equal(ad_vjp(ad_sum(ad_square(y)), ad_scalar(g, AD_F64, 1), 1, &x, &d), AD_OK);
        assert_true(ad_at(d, 0) == 2 * 5 * 6 && ad_at(d, 1) == 2 * 5 * 24); /* y = 1 + 4 */
        assert_int_equal(ad_hvp(y, 1, &x, &one, &h), AD_OK);
        bool constant = rules[i] == rule_by_backward; /* its derivative is a constant tensor */
        assert_true(ad_at(h, 0) == (constant ? 0 : 12) && ad_at(h, 1) == (constant ? 0 : -24));
        ad_graph_free(g);
    }
}

/* An op with any number of operands. no_grad excludes operand 1. */
static int weigh_evaluate(const ad_op *op) {
    double sum = 0;
    for (int i = 0; i < ad_op_arity(op); i++) sum += (i + 1) * ad_item(ad_op_operand(op, i));
    *(double *)ad_values(op) = sum;
    return AD_OK;
}

static void weigh_backward(const ad_op *op) {
    for (int i = 0; i < ad_op_arity(op); i++) {
        double *dx = ad_grad_into(op, i);
        assert_true(ad_wants_grad(op, i) == (dx != NULL));
        if (dx != NULL) *dx += (i + 1) * ad_grad_item(ad_op_result(op));
    }
}

static void user_defined_op_with_any_number_of_operands(void **state) {
    (void)state;
    enum { MANY = 100 };
    static const ad_optype weigh = { .name = "weigh",
                                     .arity = -1,
                                     .no_grad = 2,
                                     .evaluate = { NULL, weigh_evaluate },
                                     .backward = { NULL, weigh_backward } };
    ad_graph *g = ad_graph_new();
    ad_var *xs[MANY];
    for (int i = 0; i < MANY; i++) xs[i] = i % 10 ? param_item(g, AD_F64, i) : ad_scalar(g, AD_F64, i);
    xs[99] = xs[98]; /* one Var is two operands */
    ad_var *y = ad_apply(&weigh, MANY, xs, NULL), *dx;
    assert_int_equal(ad_gradient(ad_square(xs[5]), 1, &xs[5], &dx), AD_OK); /* an earlier, unrelated pass */
    assert_int_equal(ad_backward(y), AD_OK);
    for (int i = 0; i < 98; i++) assert_true(ad_grad_item(xs[i]) == (i == 1 || i % 10 == 0 ? 0 : i + 1));
    assert_true(ad_grad_item(xs[98]) == 99 + 100);
    assert_false(ad_requires_grad(ad_apply(&weigh, 2, xs, NULL))); /* operand 0 is constant, 1 is excluded */
    assert_int_equal(ad_gradient(y, 1, &xs[5], &dx), AD_EGRAD);
    assert_contains(ad_error(g), "weigh");
    ad_graph_free(g);
}

/* y = a. The result does not depend on b: backward leaves the gradient of b unchanged and vjp leaves NULL. */
static int first_evaluate(const ad_op *op) {
    *(double *)ad_values(op) = ad_item(ad_op_operand(op, 0));
    return AD_OK;
}

static void first_backward(const ad_op *op) {
    double *da = ad_grad_into(op, 0);
    if (da != NULL) *da += ad_grad_item(ad_op_result(op));
}

static void first_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    (void)op;
    dx[0] = g;
}

static void rule_without_a_gradient_for_one_operand(void **state) {
    (void)state;
    static const ad_optype first = { .name = "first",
                                     .arity = 2,
                                     .evaluate = { NULL, first_evaluate },
                                     .backward = { NULL, first_backward },
                                     .vjp = first_vjp };
    ad_graph *g = ad_graph_new();
    ad_var *xs[] = { param_item(g, AD_F64, 3), param_item(g, AD_F64, 4) }, *dxs[2];
    ad_var *y = ad_mul(ad_apply(&first, 2, xs, NULL), xs[1]);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(ad_gradient(y, 2, xs, dxs), AD_OK);
    assert_true(ad_grad_item(xs[0]) == 4 && ad_grad_item(xs[1]) == 3);
    assert_true(ad_item(dxs[0]) == 4 && ad_item(dxs[1]) == 3);
    ad_graph_free(g);
}

/* A missing vjp is an error only if the gradient passes through the op. Earlier calls do not change that. */
static void op_without_vjp_off_the_gradient_path(void **state) {
    (void)state;
    ad_optype t = op_cubic_without_vjp();
    ad_graph *g = ad_graph_new();
    ad_var *u = param_item(g, AD_F64, 2), *x = param_item(g, AD_F64, 3), *h = ad_square(u), *dx;
    ad_var *y = ad_mul(ad_mul(cubic_with(&t, h, 1), cubic_with(&t, u, 1)), ad_square(x));
    assert_int_equal(ad_gradient(h, 1, &u, &dx), AD_OK);
    assert_true(ad_item(dx) == 4);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    assert_true(ad_item(dx) == 64 * 8 * 6);
    assert_int_equal(ad_gradient(y, 1, &u, &dx), AD_EGRAD);
    assert_contains(ad_error(g), "cubic");
    ad_graph_free(g);
}

/* A missing vjp is no error if all operands of the op are constants or detached. */
static void op_without_vjp_of_detached_operands(void **state) {
    (void)state;
    ad_optype t = op_cubic_without_vjp();
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *dx;
    bool was = ad_enable_grad(g, false);
    ad_var *cut = ad_muls(x, 2);
    ad_enable_grad(g, was);
    ad_var *y = ad_mul(ad_mul(cubic_with(&t, cut, 1), cubic_with(&t, ad_detach(x), 1)), x);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    assert_true(ad_item(dx) == 216 * 27);
    ad_graph_free(g);
}

/* ---- ad_check_op ---------------------------------------------------------------------------------------------- */

static void wrong_backward(const ad_op *op) {
    double *dx = ad_grad_into(op, 0);
    const ad_var *x = ad_op_operand(op, 0), *y = ad_op_result(op);
    const cubic_attrs *a = ad_attrs(op);
    for (int64_t i = 0; dx != NULL && i < ad_numel(x); i++)
        dx[i] += 3 * a->k * ad_at(x, i) * ad_at(x, i) * ad_grad_at(y, i) * (i == 2 ? 1.01 : 1);
}

/* Overwrites the gradient instead of adding to it. */
static void overwriting_backward(const ad_op *op) {
    double *dx = ad_grad_into(op, 0);
    const ad_var *x = ad_op_operand(op, 0), *y = ad_op_result(op);
    const cubic_attrs *a = ad_attrs(op);
    for (int64_t i = 0; dx != NULL && i < ad_numel(x); i++)
        dx[i] = 3 * a->k * ad_at(x, i) * ad_at(x, i) * ad_grad_at(y, i);
}

static void wrong_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const cubic_attrs *a = ad_attrs(op);
    dx[0] = ad_mul(g, ad_muls(ad_square(ad_op_operand(op, 0)), 2 * a->k));
}

static void vjp_of_wrong_shape(const ad_op *op, ad_var *g, ad_var *dx[]) {
    (void)op;
    dx[0] = ad_sum(g);
}

static int wrong_in_f32(const ad_op *op) {
    cubic_evaluate_f32(op);
    if (ad_numel(ad_op_result(op)) > 1) ((float *)ad_values(op))[1] += 0.01f;
    return AD_OK;
}

static void wrong_backward_in_f32(const ad_op *op) {
    cubic_backward_f32(op);
    float *dx = ad_grad_into(op, 0);
    if (dx != NULL && ad_numel(ad_op_result(op)) > 0) dx[0] += 0.01f * ad_grad_at(ad_op_result(op), 0);
}

static ad_optype changed(void) { return (ad_optype){ CUBIC_FIELDS }; }

typedef struct {
    const char *says[3];
    int code, operand;
    int64_t index;
} verdict;

static void expect_verdict(ad_optype t, verdict v) {
    ad_graph *g = ad_graph_new();
    ad_check_report r;
    int rc = ad_check_op(g, &t, &r);
    if (rc != v.code) print_error("%d: %s\n", rc, r.message);
    assert_int_equal(rc, v.code);
    assert_int_equal(r.ok, rc == AD_OK);
    for (int i = 0; i < 3 && v.says[i] != NULL; i++) assert_contains(r.message, v.says[i]);
    if (rc == AD_ECHECK) {
        assert_string_equal(r.op, "cubic");
        assert_int_equal(r.operand, v.operand);
        assert_int_equal(r.index, v.index);
        assert_false(is_close(r.analytic, r.numeric, 1e-7));
        assert_ok(g); /* a failed comparison is not an error of the graph */
    }
    assert_int_equal(ad_graph_stats(g).ops, 0);
    ad_graph_free(g);
}

static void check_op_accepts_a_correct_op(void **state) {
    (void)state;
    expect_verdict(op_cubic, (verdict){ { "" }, AD_OK, 0, 0 });
    ad_graph *g = ad_graph_new();
    ad_check_report r;
    assert_int_equal(ad_check_op(g, &op_cubic, &r), AD_OK);
    assert_true(r.compared > 50);
    assert_int_equal(ad_check_op(g, &op_cubic, NULL), AD_OK);
    ad_optype narrow = changed(); /* an op may support a single dtype */
    narrow.evaluate[AD_F32] = NULL, narrow.backward[AD_F32] = NULL;
    assert_int_equal(ad_check_op(g, &narrow, &r), AD_OK);
    assert_int_equal(ad_check_op(g, &ad_op_sin, &r), AD_OK);
    assert_ok(g);
    ad_graph_free(g);
}

static void check_op_finds_each_error(void **state) {
    (void)state;
    ad_optype t = changed();
    t.backward[AD_F64] = wrong_backward;
    t.vjp = NULL;
    expect_verdict(t, (verdict){ { "cubic", "vjp" }, AD_EGRAD, 0, 0 });
    t.vjp = cubic_vjp;
    expect_verdict(t, (verdict){ { "cubic", "vjp and backward", "element 2" }, AD_ECHECK, 0, 2 });
    t = changed(), t.backward[AD_F64] = overwriting_backward;
    expect_verdict(t, (verdict){ { "cubic", "two backward passes" }, AD_ECHECK, 0, 0 });
    t = changed(), t.vjp = wrong_vjp;
    expect_verdict(t, (verdict){ { "cubic", "vjp and backward" }, AD_ECHECK, 0, 0 });
    t = changed(), t.vjp = vjp_of_wrong_shape;
    expect_verdict(t, (verdict){ { "cubic", "vjp", "[2,3]" }, AD_ESHAPE, 0, 0 });
    t = changed(), t.evaluate[AD_F32] = wrong_in_f32;
    expect_verdict(t, (verdict){ { "cubic", "f32", "element 1" }, AD_ECHECK, -1, 1 });
    t = changed(), t.backward[AD_F32] = wrong_backward_in_f32;
    expect_verdict(t, (verdict){ { "cubic", "gradient in f32" }, AD_ECHECK, 0, 0 });
    t = changed(), t.samples = NULL;
    expect_verdict(t, (verdict){ { "cubic", "samples" }, AD_EVALUE, 0, 0 });
}

/* An elementwise op, y = x, whose slope is NaN at 0 in one rule only; no sample has a 0. */
static int same_evaluate(const ad_op *op) {
    const ad_var *x = ad_op_operand(op, 0);
    for (int64_t i = 0; i < ad_numel(x); i++) ((double *)ad_values(op))[i] = ad_at(x, i);
    return AD_OK;
}
static void nan_at_0_backward(const ad_op *op) {
    double *dx = ad_grad_into(op, 0);
    const ad_var *y = ad_op_result(op);
    for (int64_t i = 0; dx != NULL && i < ad_numel(y); i++) dx[i] += ad_at(y, i) == 0 ? NAN : ad_grad_at(y, i);
}
static void same_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    (void)op;
    dx[0] = g;
}
static void same_samples(ad_sampler *s) {
    ad_sample(s, NULL, 1, (ad_shape[]){ AD_SCALAR }, (double[]){ 1 }, (double[]){ 2 });
}

/* y = x k, a number. The slope of element 1 of x is wrong where the last element is -1, which no sample has. */
static int scaled_shape(ad_call *c) { return c->in[0] == NULL; }
static int scaled_evaluate(const ad_op *op) {
    const ad_var *x = ad_op_operand(op, 0);
    for (int64_t i = 0; i < ad_numel(x); i++)
        ((double *)ad_values(op))[i] = ad_at(x, i) * ad_item(ad_op_operand(op, 1));
    return AD_OK;
}
static void scaled_backward(const ad_op *op) {
    const ad_var *x = ad_op_operand(op, 0), *k = ad_op_operand(op, 1), *y = ad_op_result(op);
    double *dx = ad_grad_into(op, 0), *dk = ad_grad_into(op, 1);
    for (int64_t i = 0; i < ad_numel(x); i++) {
        bool wrong = i == 1 && ad_at(x, 2) == -1;
        if (dx != NULL) dx[i] += ad_grad_at(y, i) * ad_item(k) + wrong;
        if (dk != NULL) *dk += ad_grad_at(y, i) * ad_at(x, i);
    }
}
static void scaled_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_mul(g, ad_op_operand(op, 1));
    dx[1] = ad_sum(ad_mul(g, ad_op_operand(op, 0)));
}
static void scaled_samples(ad_sampler *s) {
    const double x[] = { 0.5, 0.25, 3 }, k = 1.5;
    ad_sample_values(s, NULL, 2, (ad_shape[]){ AD_SHAPE(3), AD_SCALAR }, (const double *[]){ x, &k }, 0);
}

/* An elementwise op, y = x, whose slope in f32 is computed as (x^2 + 1) / (x^2 + 1). Both rules agree, but the squares
   overflow at numbers that no sample has. */
static int same_evaluate_in_f32(const ad_op *op) {
    const ad_var *x = ad_op_operand(op, 0);
    for (int64_t i = 0; i < ad_numel(x); i++) ((float *)ad_values(op))[i] = (float)ad_at(x, i);
    return AD_OK;
}
static void squares_backward_in_f32(const ad_op *op) {
    float *dx = ad_grad_into(op, 0);
    const ad_var *x = ad_op_operand(op, 0), *y = ad_op_result(op);
    for (int64_t i = 0; dx != NULL && i < ad_numel(y); i++) {
        float v = (float)ad_at(x, i), more = v * v + 1;
        dx[i] += (float)ad_grad_at(y, i) * (more / more);
    }
}
static void same_backward(const ad_op *op) {
    double *dx = ad_grad_into(op, 0);
    const ad_var *y = ad_op_result(op);
    for (int64_t i = 0; dx != NULL && i < ad_numel(y); i++) dx[i] += ad_grad_at(y, i);
}
static void squares_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = ad_op_operand(op, 0), *more = ad_adds(ad_square(x), 1);
    dx[0] = ad_dtype_of(x) == AD_F32 ? ad_mul(g, ad_div(more, more)) : g;
}

/* An error that only special numbers show is reported with them: the operands' elements, or the only one there is. */
static void check_op_finds_errors_at_special_numbers(void **state) {
    (void)state;
    ad_optype t = { .name = "cubic", .arity = 1, .evaluate = { NULL, same_evaluate },
                    .backward = { NULL, nan_at_0_backward }, .vjp = same_vjp, .samples = same_samples };
    expect_verdict(t, (verdict){ { "vjp and backward in f64", ", 0" }, AD_ECHECK, 0, 0 });
    t = (ad_optype){ .name = "cubic", .arity = 1, .evaluate = { same_evaluate_in_f32, same_evaluate },
                     .backward = { squares_backward_in_f32, same_backward }, .vjp = squares_vjp, .samples = same_samples };
    expect_verdict(t, (verdict){ { "f32 and f64", ", inf" }, AD_ECHECK, 0, 3 });
    t = (ad_optype){ .name = "cubic", .arity = 2, .shape = scaled_shape, .evaluate = { NULL, scaled_evaluate },
                     .backward = { NULL, scaled_backward }, .vjp = scaled_vjp, .samples = scaled_samples };
    expect_verdict(t, (verdict){ { "vjp and backward in f64", ", 0.25 1.5" }, AD_ECHECK, 0, 1 });
    t.no_grad = 2; /* but y depends on k, as the slopes of x show */
    expect_verdict(t, (verdict){ { "u (H v) and v (H u)" }, AD_ECHECK, -1, 0 });
}

/* Both rules have the same error. Only finite differences can find it. */
static void doubling_backward(const ad_op *op) {
    cubic_backward_f64(op);
    cubic_backward_f64(op);
}

static void doubling_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { cubic_vjp(op, ad_muls(g, 2), dx); }

static void check_op_compares_with_differences(void **state) {
    (void)state;
    ad_optype t = changed();
    t.backward[AD_F64] = doubling_backward;
    t.vjp = doubling_vjp;
    expect_verdict(t, (verdict){ { "cubic", "finite differences" }, AD_ECHECK, 0, 0 });
}

/* ---- ad_gradcheck ------------------------------------------------------------ */

static ad_var *right_expression(int n, ad_var *const xs[], void *user) {
    ++*(int *)user;
    return n == 2 ? ad_mul(ad_tanh(ad_matmul(xs[0], xs[1])), ad_expand(ad_sum(xs[0]), AD_SHAPE(2, 2))) : NULL;
}

static ad_var *wrong_expression(int n, ad_var *const xs[], void *user) {
    (void)n;
    return ad_mul(ad_exp(xs[0]), cubic_with(user, xs[1], 2));
}

static void gradcheck_accepts_a_correct_expression(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *xs[] = { ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2, 3))),
                     ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(3, 2))) };
    ad_var *y = ad_sum(ad_square(xs[0]));
    ad_backward(y);
    double value = ad_at(xs[0], 4), grad = ad_grad_at(xs[0], 4);
    int calls = 0;
    ad_check_report r;
    assert_int_equal(ad_gradcheck(right_expression, &calls, 2, xs, NULL, &r), AD_OK);
    assert_true(r.ok && r.compared == 4 * 12 && calls == 1 + 2 * 12);
    assert_true(ad_at(xs[0], 4) == value && ad_grad_at(xs[0], 4) == grad && ad_graph_stats(g).ops == 2);
    assert_int_equal(ad_backward(y), AD_OK); /* Vars built before the check are not stale */
    assert_int_equal(ad_gradcheck(right_expression, &calls, 2, xs, NULL, NULL), AD_OK);
    ad_keep_grads(g, false);
    ad_enable_grad(g, false);
    assert_int_equal(ad_gradcheck(right_expression, &calls, 2, xs, NULL, &r), AD_OK);
    assert_true(!ad_enable_grad(g, true) && !ad_keep_grads(g, true)); /* the options are unchanged */
    ad_graph_free(g);
}

static void gradcheck_finds_a_wrong_gradient(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_optype t = changed();
    t.backward[AD_F64] = wrong_backward; /* 1 % too large at element 2 */
    double a[] = { 0.1, 0.2, 0.3, 0.4 }, b[] = { 1, 2, 3, 4 };
    ad_var *xs[] = { param_of(g, AD_F64, a, AD_SHAPE(4)), param_of(g, AD_F64, b, AD_SHAPE(4)) };
    ad_check_report r;
    assert_int_equal(ad_gradcheck(wrong_expression, (void *)&op_cubic, 2, xs, NULL, &r), AD_OK);
    assert_int_equal(ad_gradcheck(wrong_expression, &t, 2, xs, NULL, &r), AD_ECHECK);
    assert_true(!r.ok && r.operand == 1 && r.index == 2);
    assert_string_equal(r.op, "mul");
    assert_close(r.numeric, exp(0.3) * 6 * 9, 1e-6);
    assert_close(r.analytic, exp(0.3) * 6 * 9 * 1.01, 1e-12);
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%.4g", exp(0.3) * 6 * 9 * 1.01);
    assert_contains(r.message, numbers);
    assert_contains(r.message, "operand 1");
    assert_contains(r.message, "element 2");
    assert_ok(g);
    ad_check_opts loose = { .rtol = 0.05 };
    assert_int_equal(ad_gradcheck(wrong_expression, &t, 2, xs, &loose, &r), AD_OK);
    ad_graph_free(g);
}

/* Constants in xs are not compared. A missing gradient is found. */
static ad_var *cut_expression(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_square(ad_detach(xs[0]));
}

static ad_var *constant_factor(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(xs[0], xs[1]);
}

static void gradcheck_of_constants_and_detached_vars(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *xs[] = { param_item(g, AD_F64, 3), ad_scalar(g, AD_F64, 2) };
    ad_check_report r;
    assert_int_equal(ad_gradcheck(constant_factor, NULL, 2, xs, NULL, &r), AD_OK);
    assert_int_equal(r.compared, 1);
    assert_int_equal(ad_gradcheck(cut_expression, NULL, 1, xs, NULL, &r), AD_ECHECK);
    assert_true(r.analytic == 0 && is_close(r.numeric, 6, 1e-6));
    ad_graph_free(g);
}

/* Every call of f must draw the same numbers, because finite differences compare the results of several calls. */
static ad_var *random_factors(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(ad_exp(xs[0]), ad_randn(ad_graph_of(xs[0]), AD_F64, AD_SHAPE(3)));
}

static void gradcheck_of_a_random_function(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3));
    assert_int_equal(ad_gradcheck(random_factors, NULL, 1, &x, NULL, NULL), AD_OK);
    ad_graph_free(g);
}

/* f may call ad_eval on an expression built before. It is stale afterwards, because its leaf has changed. */
static ad_var *evaluated_again(int n, ad_var *const xs[], void *user) {
    (void)n, (void)xs;
    ad_eval(user);
    return user;
}

static void gradcheck_of_an_expression_built_before(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *y = ad_mul(ad_square(x), ad_exp(x));
    ad_check_report r;
    assert_int_equal(ad_gradcheck(evaluated_again, y, 1, &x, NULL, &r), AD_OK);
    if (ad_item(y) != 9 * exp(3)) {
        assert_int_equal(ad_backward(y), AD_ESTALE);
        ad_clear_error(g);
    }
    assert_int_equal(ad_eval(y), AD_OK);
    assert_close(ad_item(y), 9 * exp(3), 1e-14);
    ad_zero_grad(y);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close(ad_grad_item(x), 15 * exp(3), 1e-14);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_up_to_order_three),
        cmocka_unit_test(eval_updates_gradient_vars),
        cmocka_unit_test(mixed_derivatives),
        cmocka_unit_test(hessian_times_vector_of_rosenbrock),
        cmocka_unit_test(gradients_as_vars_equal_backward),
        cmocka_unit_test(vjp_of_an_array),
        cmocka_unit_test(gradient_by_an_independent_var_is_zero),
        cmocka_unit_test(gradients_by_interior_vars_and_by_y_itself),
        cmocka_unit_test(gradient_by_a_constant),
        cmocka_unit_test(ad_gradient_leaves_accumulated_gradients_unchanged),
        cmocka_unit_test(no_perturbation_confusion),
        cmocka_unit_test(no_gradient_through_ops_recorded_with_gradients_disabled),
        cmocka_unit_test(gradient_by_a_detached_var_stops_there),
        cmocka_unit_test(user_defined_op),
        cmocka_unit_test(differentiation_inside_a_custom_rule),
        cmocka_unit_test(user_defined_op_with_any_number_of_operands),
        cmocka_unit_test(rule_without_a_gradient_for_one_operand),
        cmocka_unit_test(op_without_vjp_off_the_gradient_path),
        cmocka_unit_test(op_without_vjp_of_detached_operands),
        cmocka_unit_test(check_op_accepts_a_correct_op),
        cmocka_unit_test(check_op_finds_each_error),
        cmocka_unit_test(check_op_finds_errors_at_special_numbers),
        cmocka_unit_test(check_op_compares_with_differences),
        cmocka_unit_test(gradcheck_accepts_a_correct_expression),
        cmocka_unit_test(gradcheck_finds_a_wrong_gradient),
        cmocka_unit_test(gradcheck_of_constants_and_detached_vars),
        cmocka_unit_test(gradcheck_of_a_random_function),
        cmocka_unit_test(gradcheck_of_an_expression_built_before),
    };
    return cmocka_run_group_tests_name("gradient", tests, NULL, NULL);
}
