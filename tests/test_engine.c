/* test_engine.c: values at construction and after ad_eval, gradients of ad_backward, leaves. */
#include "tests/common.h"

/* ---- expressions against their closed forms ---------------------------------------------------- */

/* An expression of two scalars: as Vars, and as C functions for its value and both partial derivatives. */
typedef struct {
    const char *name;
    ad_var *(*vars)(ad_var *x, ad_var *y);
    double (*value)(double x, double y), (*dx)(double x, double y), (*dy)(double x, double y);
} expression;

#define CLOSED(id, formula)                                                                                            \
    static double id(double x, double y) {                                                                             \
        (void)x, (void)y;                                                                                              \
        return formula;                                                                                                \
    }
#define EXPRESSION(id, vars, value, dx, dy)                                                                            \
    static ad_var *id##_vars(ad_var *x, ad_var *y) {                                                                   \
        (void)x, (void)y;                                                                                              \
        return vars;                                                                                                   \
    }                                                                                                                  \
    CLOSED(id##_value, value)                                                                                          \
    CLOSED(id##_dx, dx)                                                                                                \
    CLOSED(id##_dy, dy)

static ad_var *twice_used(ad_var *z) { return ad_add(ad_mul(z, z), z); }

/* clang-format off */
EXPRESSION(first, ad_add(ad_sin(x), ad_mul(x, y)), sin(x) + x * y, cos(x) + y, x)
EXPRESSION(square, ad_mul(x, x), x * x, 2 * x, 0)
EXPRESSION(twice, ad_add(y, y), 2 * y, 0, 2)
EXPRESSION(nothing, ad_sub(x, x), 0, 0, 0)
EXPRESSION(one, ad_div(x, x), 1, 0, 0)
EXPRESSION(tie, ad_maximum(x, x), x, 1, 0)
EXPRESSION(self_power, ad_pow(x, x), pow(x, x), pow(x, x) * (log(x) + 1), 0)
EXPRESSION(cube, ad_mul(ad_mul(x, x), x), x * x * x, 3 * x * x, 0)
EXPRESSION(chain, ad_exp(ad_sin(ad_square(x))), exp(sin(x * x)), exp(sin(x * x)) * cos(x * x) * 2 * x, 0)
EXPRESSION(fan, ad_add(ad_mul(ad_exp(x), ad_sin(x)), ad_mul(y, x)), exp(x) * sin(x) + y * x,
           exp(x) * (sin(x) + cos(x)) + y, x)
EXPRESSION(diamond, twice_used(ad_mul(x, y)), x * x * y * y + x * y, 2 * x * y * y + y, 2 * x * x * y + x)
EXPRESSION(quotient, ad_div(x, ad_adds(ad_mul(y, y), 1)), x / (y * y + 1), 1 / (y * y + 1),
           -2 * x * y / ((y * y + 1) * (y * y + 1)))

#define ROW(id) { #id, id##_vars, id##_value, id##_dx, id##_dy }
/* clang-format on */
static const expression expressions[] = { ROW(first), ROW(square), ROW(twice),      ROW(nothing),
                                          ROW(one),   ROW(tie),    ROW(self_power), ROW(cube),
                                          ROW(chain), ROW(fan),    ROW(diamond),    ROW(quotient) };
static const double points[][2] = { { 0.5, 4.2 }, { 0.75, -1.5 }, { 2, 0.25 } };
enum { EXPRESSIONS = sizeof expressions / sizeof *expressions, POINTS = sizeof points / sizeof *points };

static void compare_at(const expression *e, const double p[2], ad_var *f, ad_var *x, ad_var *y) {
    double tol = 10 * tolerance(ad_dtype_of(f));
    assert_close_in(e->name, ad_item(f), e->value(p[0], p[1]), tol);
    assert_int_equal(ad_backward(f), AD_OK);
    assert_close_in(e->name, ad_grad_item(x), e->dx(p[0], p[1]), tol);
    assert_close_in(e->name, ad_grad_item(y), e->dy(p[0], p[1]), tol);
}

/* The expression is built at the first point. ad_eval evaluates it in place at the other points. */
static void check_expression(const expression *e, ad_dtype t) {
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, t, points[0][0]), *y = param_item(g, t, points[0][1]);
    ad_var *f = e->vars(x, y);
    compare_at(e, points[0], f, x, y);
    for (int p = 1; p < POINTS; p++) {
        set_item(x, points[p][0]);
        set_item(y, points[p][1]);
        assert_int_equal(ad_eval(f), AD_OK);
        ad_zero_grad(f);
        ad_zero_grad(x);
        ad_zero_grad(y);
        compare_at(e, points[p], f, x, y);
    }
    assert_ok(g);
    ad_graph_free(g);
}

static void values_and_gradients_of_expressions(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++)
        for (int e = 0; e < EXPRESSIONS; e++) check_expression(&expressions[e], t);
}

/* ---- the graph ----------------------------------------------------------------------------------- */

static void creators_and_operands(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 0.5), *y = param_item(g, AD_F64, 4.2);
    ad_var *s = ad_sin(x), *m = ad_mul(x, y), *f = ad_add(s, m);
    assert_null(ad_creator(x));
    const ad_op *op = ad_creator(f);
    assert_string_equal(ad_op_name(op), "add");
    assert_int_equal(ad_op_arity(op), 2);
    assert_ptr_equal(ad_op_operand(op, 0), s);
    assert_ptr_equal(ad_op_operand(op, 1), m);
    assert_null(ad_op_operand(op, 2));
    assert_null(ad_op_operand(op, -1));
    assert_ptr_equal(ad_op_result(op), f);
    assert_string_equal(ad_op_name(ad_creator(s)), "sin");
    assert_ptr_equal(ad_op_operand(ad_creator(m), 1), y);
    assert_ptr_equal(ad_graph_of(f), g);
    assert_int_equal(ad_graph_stats(g).ops, 3);
    ad_graph_free(g);
}

static void values_are_computed_when_an_op_is_recorded(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F32, (double[]){ 1, -2, 3 }, AD_SHAPE(3));
    ad_var *y = ad_adds(ad_muls(x, 2), 1);
    assert_true(ad_at(y, 0) == 3 && ad_at(y, 1) == -3 && ad_at(y, 2) == 7);
    assert_true(ad_item(ad_sum(y)) == 7);
    assert_int_equal(ad_numel(y), 3);
    assert_int_equal(ad_dtype_of(y), AD_F32);
    ad_graph_free(g);
}

static void graphs_are_independent(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *h = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2), *u = param_item(h, AD_F64, 3);
    ad_var *y = ad_square(x), *v = ad_square(u);
    assert_true(ad_is_nil(ad_add(x, ad_param(g, AD_F64, NULL, AD_SHAPE(-1)))));
    assert_false(ad_ok(g));
    assert_ok(h);
    assert_int_equal(ad_backward(v), AD_OK);
    assert_true(ad_grad_item(u) == 6);
    ad_graph_free(g);
    assert_true(ad_item(v) == 9);
    (void)y;
    ad_graph_free(h);
}

/* NumPy's rule: shapes are aligned at the last axis; two sizes must be equal or one of them 1. ndim -1: an error. */
static void shapes_broadcast(void **state) {
    (void)state;
    static const struct {
        ad_shape a, b, result;
    } rows[] = {
        { { 2, { 2, 1 } }, { 1, { 3 } }, { 2, { 2, 3 } } },
        { { 1, { 5 } }, { 0, { 0 } }, { 1, { 5 } } },
        { { 1, { 1 } }, { 1, { 0 } }, { 1, { 0 } } },
        { { 2, { 0, 3 } }, { 2, { 1, 3 } }, { 2, { 0, 3 } } },
        { { 3, { 4, 1, 2 } }, { 2, { 3, 1 } }, { 3, { 4, 3, 2 } } },
        { { 6, { 1, 2, 1, 2, 1, 2 } }, { 6, { 2, 1, 2, 1, 2, 1 } }, { 6, { 2, 2, 2, 2, 2, 2 } } },
        { { 2, { 2, 3 } }, { 2, { 3, 1 } }, { -1, { 0 } } },
        { { 1, { 0 } }, { 1, { 2 } }, { -1, { 0 } } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = ad_ones(g, AD_F32, rows[i].a), *b = ad_ones(g, AD_F32, rows[i].b);
        ad_var *c = ad_add(a, b), *d = ad_mul(b, a);
        assert_int_equal(ad_is_nil(c), rows[i].result.ndim < 0);
        if (!ad_is_nil(c)) assert_true(ad_shape_equal(ad_shape_of(c), rows[i].result));
        if (!ad_is_nil(c)) assert_true(ad_shape_equal(ad_shape_of(d), rows[i].result));
        ad_graph_free(g);
    }
}

/* ---- repeated evaluation --------------------------------------------------------------------------- */

enum { WIDE = 300 };

static ad_var *small_net(ad_var *x, ad_var *w) { return ad_sum(ad_square(ad_tanh(ad_matmul(x, w)))); }

static void repeated_eval_and_backward_allocate_nothing(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    ad_seed(g, 1);
    ad_var *x = ad_randn(g, AD_F32, AD_SHAPE(4, WIDE)), *w = ad_require_grad(ad_randn(g, AD_F32, AD_SHAPE(WIDE, 5)));
    ad_var *y = small_net(x, w);
    const void *data = ad_data(y), *grad = ad_grad(w);
    int64_t calls = 0;
    for (int step = 0; step < 50; step++) {
        ((float *)ad_data_mut(x))[step] += 0.5f;
        assert_int_equal(ad_eval(y), AD_OK);
        assert_int_equal(ad_backward(y), AD_OK);
        if (step == 0) calls = m.calls; /* the first evaluation may allocate its plan */
    }
    assert_int_equal(m.calls, calls);
    assert_ptr_equal(ad_data(y), data);
    assert_ptr_equal(ad_grad(w), grad);
    double again = ad_item(small_net(x, w));
    assert_close(ad_item(y), again, 1e-6);
    ad_graph_free(g);
    assert_all_released(&m);
}

static void eval_after_each_way_of_changing_a_leaf(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double first[] = { 1, 2, 3 }, second[] = { 4, 5, 6 };
    ad_var *x = ad_input(g, AD_F64, first, AD_SHAPE(3)), *k = param_item(g, AD_F64, 2);
    ad_var *y = ad_sum(ad_mul(x, k));
    assert_true(ad_item(y) == 12);
    set_item(k, 3);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == 18);
    first[0] = 10;
    assert_non_null(ad_data_mut(x));
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == 45);
    assert_int_equal(ad_rebind(x, second), AD_OK);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == 45 && second[0] == 4);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_item(k) == 15);
    ad_graph_free(g);
}

/* Views share the memory of their operand. ad_rebind replaces that memory. */
static void views_read_the_new_memory_after_rebind(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double first[6] = { 1, 2, 3, 4, 5, 6 }, second[6] = { 10, 20, 30, 40, 50, 60 };
    ad_var *x = ad_require_grad(ad_input(g, AD_F64, first, AD_SHAPE(2, 3)));
    ad_var *r = ad_reshape(ad_reshape(x, AD_SHAPE(6)), AD_SHAPE(3, 2)), *d = ad_detach(x);
    ad_var *y = ad_add(ad_sum(ad_mul(r, r)), ad_sum(d));
    assert_true(ad_item(y) == 91 + 21);
    assert_true(ad_shape_equal(ad_shape_of(r), AD_SHAPE(3, 2)));
    ad_rebind(x, second);
    memset(first, 0, sizeof first);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == 9100 + 210);
    assert_int_equal(ad_backward(y), AD_OK);
    for (int i = 0; i < 6; i++) {
        assert_true(ad_at(r, i) == second[i] && ad_at(d, i) == second[i]);
        assert_true(ad_grad_at(x, i) == 2 * second[i] && ad_grad_at(r, i) == 2 * second[i]);
    }
    ad_graph_free(g);
}

/* ---- accumulation of gradients ----------------------------------------------------------------------- */

static void leaf_gradients_accumulate_and_interior_gradients_are_replaced(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *h = ad_square(x), *y = ad_muls(h, 5), *z = ad_muls(h, 7);
    for (int pass = 1; pass <= 3; pass++) {
        assert_int_equal(ad_backward(y), AD_OK);
        assert_true(ad_grad_item(x) == 30 * pass);
        assert_true(ad_grad_item(h) == 5);
        assert_true(ad_grad_item(y) == 1);
    }
    assert_int_equal(ad_backward(z), AD_OK);
    assert_true(ad_grad_item(x) == 90 + 42);
    assert_true(ad_grad_item(h) == 7);
    ad_zero_grad(y);
    assert_true(ad_grad_item(x) == 0 && ad_grad_item(h) == 0 && ad_grad_item(y) == 0);
    assert_true(ad_grad_item(z) == 1);
    assert_int_equal(ad_backward(z), AD_OK);
    assert_true(ad_grad_item(x) == 42);
    ad_graph_free(g);
}

static void zero_grad_clears_all_dependencies(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *u = param_item(g, AD_F64, 4);
    ad_var *y = ad_square(x), *v = ad_square(u);
    ad_backward(y);
    ad_backward(v);
    ad_zero_grad(y);
    assert_true(ad_grad_item(x) == 0 && ad_grad_item(u) == 8);
    ad_zero_grad(u);
    assert_true(ad_grad_item(u) == 0 && ad_grad_item(v) == 1);
    ad_graph_free(g);
}

/* After ad_keep_grads(g, false), interior gradients use temporary memory. ad_retain_grad keeps that of one Var. */
static void interior_gradients_are_released_unless_retained(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        assert_true(ad_keep_grads(g, false));
        assert_false(ad_keep_grads(g, false));
        ad_var *x = ad_require_grad(ad_arange(g, t, 0, WIDE, 1));
        ad_var *h = ad_muls(x, 2), *k = ad_square(h), *y = ad_sum(ad_mul(k, h));
        assert_int_equal(ad_retain_grad(k), AD_OK);
        for (int pass = 1; pass <= 3; pass++) {
            assert_int_equal(ad_backward(y), AD_OK);
            assert_null(ad_grad(h));
            assert_true(ad_grad_at(h, 3) == 0);
            for (int i = 0; i < WIDE; i++) {
                assert_close(ad_grad_at(x, i), pass * 24.0 * i * i, 1e-6);
                assert_close(ad_grad_at(k, i), 2.0 * i, 1e-6);
            }
        }
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void gradient_reads_as_zeros_before_backward(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(5)), *c = ad_ones(g, AD_F32, AD_SHAPE(5)), *h = ad_exp(x);
    const float *grad = ad_grad(x), *interior = ad_grad(h);
    assert_non_null(grad);
    assert_non_null(interior);
    for (int i = 0; i < 5; i++) assert_true(grad[i] == 0 && interior[i] == 0 && ad_grad_at(x, i) == 0);
    assert_null(ad_grad(c));
    assert_true(ad_grad_at(c, 0) == 0);
    assert_true(isnan(ad_grad_at(x, 5)) && isnan(ad_grad_at(x, -1)));
    ad_graph_free(g);
}

static void leaf_gradient_is_writable(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F64, (double[]){ 3, 4 }, AD_SHAPE(2)), *y = ad_sum(ad_square(x));
    double *grad = ad_grad_mut(x);
    assert_non_null(grad);
    assert_true(grad[0] == 0 && grad[1] == 0);
    grad[0] = 100;
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_at(x, 0) == 106 && ad_grad_at(x, 1) == 8);
    assert_null(ad_grad_mut(y));
    assert_null(ad_grad_mut(ad_zeros(g, AD_F64, AD_SCALAR)));
    ad_graph_free(g);
}

/* ---- propagation of gradients ------------------------------------------------------------------------- */

static void detach_stops_the_gradient(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *y = ad_mul(x, ad_detach(x));
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_item(y) == 9 && ad_grad_item(x) == 3);
    assert_false(ad_requires_grad(ad_detach(x)));
    set_item(x, 5);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == 25);
    ad_graph_free(g);
}

static void ops_recorded_with_gradients_disabled_are_constants(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3);
    bool outer = ad_enable_grad(g, false), inner = ad_enable_grad(g, true);
    ad_var *on = ad_square(x);
    ad_enable_grad(g, inner);
    ad_var *off = ad_square(x);
    ad_enable_grad(g, outer);
    assert_true(outer && !inner && ad_requires_grad(on) && !ad_requires_grad(off));
    ad_var *y = ad_add(ad_muls(on, 10), off);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_item(y) == 99 && ad_grad_item(x) == 60);
    set_item(x, 2);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(off) == 4 && ad_item(y) == 44);
    assert_int_equal(ad_backward(off), AD_EGRAD);
    ad_graph_free(g);
}

/* A leaf may begin to require a gradient after ops have used it: backward, ad_eval and ad_gradient agree. */
static void require_grad_after_use(void **state) {
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        ad_graph *g = ad_graph_new();
        ad_keep_grads(g, keep);
        ad_var *x = ad_full(g, AD_F32, 3, AD_SHAPE(2)), *w = ad_param(g, AD_F32, (float[]){ 2, 2 }, AD_SHAPE(2));
        ad_mark m = ad_begin(g);
        ad_var *square = ad_square(x), *y = ad_sum(ad_mul(square, w)), *alone = ad_sum(square), *dx;
        ad_var *flag = ad_sum(ad_gt(x, w)), *cut = ad_sum(ad_exp(ad_detach(x)));
        bool was = ad_enable_grad(g, false);
        ad_var *constant = ad_sum(square);
        ad_enable_grad(g, was);
        assert_int_equal(ad_backward(alone), AD_EGRAD), ad_clear_error(g);
        assert_ptr_equal(ad_require_grad(x), x);
        assert_true(ad_requires_grad(y) && ad_requires_grad(alone));
        assert_false(ad_requires_grad(flag) || ad_requires_grad(cut) || ad_requires_grad(constant));
        for (int round = 0; round < 2; round++) {
            ad_zero_grad(y);
            assert_int_equal(ad_backward(y), AD_OK);
            assert_true(ad_grad_at(x, 0) == 12 && ad_grad_at(x, 1) == 12 && ad_grad_at(w, 0) == 9);
            if (keep) assert_true(ad_grad_at(square, 1) == 2);
            assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
            assert_true(ad_at(dx, 0) == 12);
            assert_int_equal(ad_backward(alone), AD_OK);
            assert_true(ad_grad_at(x, 0) == 18);
            assert_int_equal(ad_eval(y), AD_OK);
        }
        assert_int_equal(ad_set_requires_grad(x, false), AD_OK); /* and back */
        assert_true(ad_requires_grad(y) && !ad_requires_grad(alone) && !ad_requires_grad(square));
        ad_zero_grad(y);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_true(ad_grad_at(x, 0) == 0 && ad_grad_at(w, 0) == 9);
        assert_int_equal(ad_backward(alone), AD_EGRAD);
        ad_clear_error(g);
        ad_end(g, m);
        ad_graph_free(g);
    }
}

/* cross_entropy saves what its gradient needs only if its scores require one. */
static void require_grad_after_an_op_that_saved_nothing(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3)), *classes = ad_zeros(g, AD_F64, AD_SHAPE(2)), *dx;
    ad_var *scores = ad_muls(x, 2), *loss = ad_cross_entropy(scores, classes);
    assert_fails(g, ad_require_grad(x), AD_EGRAD, "require_grad: cross_entropy has used this Var before it required");
    assert_false(ad_requires_grad(x) || ad_requires_grad(scores) || ad_requires_grad(loss));
    assert_int_equal(ad_gradient(loss, 1, &x, &dx), AD_OK);
    assert_close(ad_at(dx, 0), 2 * (1. / 3 - 1) / 2, 1e-15);
    bool was = ad_enable_grad(g, false);
    assert_int_equal(ad_set_requires_grad(x, true), AD_EGRAD), ad_clear_error(g);
    ad_enable_grad(g, was);
    assert_ok(g);
    ad_graph_free(g);
}

/* Leaves that are made, and required, among as many ops. */
static void require_grad_takes_constant_time_for_new_leaves(void **state) {
    (void)state;
    enum { MANY = 200000 };
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *y = x;
    double start = processor_seconds();
    for (int i = 0; i < MANY; i++) y = ad_add(y, ad_require_grad(ad_scalar(g, AD_F64, 1)));
    assert_true(processor_seconds() - start < 2); /* quadratic time would be minutes */
    assert_true(ad_item(y) == MANY + 1);
    ad_graph_free(g);
}

static void require_grad_applies_to_later_ops(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F32, 3, AD_SHAPE(2)), *before = ad_sum(ad_square(x));
    assert_false(ad_requires_grad(x));
    assert_ptr_equal(ad_require_grad(x), x);
    assert_int_equal(ad_backward(ad_sum(ad_square(x))), AD_OK);
    assert_true(ad_grad_at(x, 0) == 6 && ad_grad_at(x, 1) == 6);
    assert_ptr_equal(ad_require_grad(x), x);
    assert_true(ad_grad_at(x, 1) == 6);
    assert_true(ad_is_nil(ad_require_grad(before)));
    assert_int_equal(ad_error_code(g), AD_EVALUE);
    ad_graph_free(g);
}

/* The gradient of x*x from seed s is 2 x s. It is checked for scalars, empty arrays and up to six axes. */
static void backward_from_seeds_of_any_shape(void **state) {
    (void)state;
    static const ad_shape shapes[] = { { 0, { 0 } },
                                       { 1, { 1 } },
                                       { 1, { 7 } },
                                       { 2, { 2, 3 } },
                                       { 1, { 0 } },
                                       { 3, { 2, 0, 3 } },
                                       { 6, { 2, 1, 2, 1, 2, 3 } } };
    for (ad_dtype t = AD_F32; t <= AD_F64; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = ad_require_grad(ad_randn(g, t, shapes[s]));
            ad_var *seed = ad_randn(g, t, shapes[s]), *y = ad_mul(x, x);
            for (int pass = 1; pass <= 2; pass++) {
                assert_int_equal(ad_backward_from(y, seed), AD_OK);
                for (int64_t i = 0; i < ad_numel(x); i++) {
                    assert_close(ad_grad_at(x, i), pass * 2 * ad_at(x, i) * ad_at(seed, i), tolerance(t));
                    assert_close(ad_grad_at(y, i), ad_at(seed, i), 0);
                }
            }
            assert_ok(g);
            ad_graph_free(g);
        }
}

static void backward_of_a_leaf(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_item(g, t, 3), *v = param_of(g, t, (double[]){ 1, 2 }, AD_SHAPE(2));
        assert_int_equal(ad_backward(x), AD_OK);
        assert_int_equal(ad_backward(x), AD_OK);
        assert_true(ad_grad_item(x) == 2);
        assert_int_equal(ad_backward_from(v, v), AD_OK);
        assert_true(ad_grad_at(v, 0) == 1 && ad_grad_at(v, 1) == 2);
        ad_graph_free(g);
    }
}

/* ad_backward accepts any array of one element, not only scalars. */
static void backward_of_a_one_element_array(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(1, 3));
    ad_var *y = ad_sum_axis(ad_square(x), -1, true);
    assert_int_equal(ad_shape_of(y).ndim, 2);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_at(x, 2) == 6);
    ad_graph_free(g);
}

/* ---- leaves --------------------------------------------------------------------------------------------- */

static void values_of_leaf_constructors(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *zeros = ad_zeros(g, t, AD_SHAPE(2, 2)), *full = ad_full(g, t, 2.5, AD_SHAPE(3));
        ad_var *row = ad_arange(g, t, 1, -1, -0.5), *eye = ad_eye(g, t, 3);
        assert_true(ad_at(zeros, 3) == 0 && ad_at(full, 2) == 2.5 && ad_item(ad_scalar(g, t, 7)) == 7);
        assert_int_equal(ad_numel(row), 4);
        for (int i = 0; i < 4; i++) assert_true(ad_at(row, i) == 1 - 0.5 * i);
        for (int i = 0; i < 9; i++) assert_true(ad_at(eye, i) == (i % 4 == 0));
        assert_int_equal(ad_numel(ad_arange(g, t, 3, 3, 1)), 0);
        assert_int_equal(ad_numel(ad_arange(g, t, 3, 0, 1)), 0);
        assert_int_equal(ad_numel(ad_arange(g, t, 0, 1, 0.1)), 10);
        assert_true(ad_item(ad_sum(ad_ones(g, t, AD_SHAPE(4, 5)))) == 20);
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void param_and_tensor_copy_and_input_does_not(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    float mine[] = { 1, 2, 3 };
    ad_var *p = ad_param(g, AD_F32, mine, AD_SHAPE(3)), *c = ad_tensor(g, AD_F32, mine, AD_SHAPE(3));
    ad_var *in = ad_input(g, AD_F32, mine, AD_SHAPE(3));
    mine[0] = 9;
    assert_true(ad_at(p, 0) == 1 && ad_at(c, 0) == 1 && ad_at(in, 0) == 9);
    assert_ptr_equal(ad_data(in), mine);
    assert_true(ad_requires_grad(p) && !ad_requires_grad(c) && !ad_requires_grad(in));
    assert_int_equal((int)((uintptr_t)ad_data(p) % 64), 0);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_of_expressions),
        cmocka_unit_test(creators_and_operands),
        cmocka_unit_test(values_are_computed_when_an_op_is_recorded),
        cmocka_unit_test(graphs_are_independent),
        cmocka_unit_test(shapes_broadcast),
        cmocka_unit_test(repeated_eval_and_backward_allocate_nothing),
        cmocka_unit_test(eval_after_each_way_of_changing_a_leaf),
        cmocka_unit_test(views_read_the_new_memory_after_rebind),
        cmocka_unit_test(leaf_gradients_accumulate_and_interior_gradients_are_replaced),
        cmocka_unit_test(zero_grad_clears_all_dependencies),
        cmocka_unit_test(interior_gradients_are_released_unless_retained),
        cmocka_unit_test(gradient_reads_as_zeros_before_backward),
        cmocka_unit_test(leaf_gradient_is_writable),
        cmocka_unit_test(detach_stops_the_gradient),
        cmocka_unit_test(ops_recorded_with_gradients_disabled_are_constants),
        cmocka_unit_test(require_grad_applies_to_later_ops),
        cmocka_unit_test(require_grad_after_use),
        cmocka_unit_test(require_grad_after_an_op_that_saved_nothing),
        cmocka_unit_test(require_grad_takes_constant_time_for_new_leaves),
        cmocka_unit_test(backward_from_seeds_of_any_shape),
        cmocka_unit_test(backward_of_a_leaf),
        cmocka_unit_test(backward_of_a_one_element_array),
        cmocka_unit_test(values_of_leaf_constructors),
        cmocka_unit_test(param_and_tensor_copy_and_input_does_not),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
