/* test_custom.c: ad_custom: gradients by rules, passes within rules, and what a rule may give. */
#include "autodiff/extend.h"
#include "tests/derivatives.h"

/* ---- ad_custom --------------------------------------------------------------------------------------------------- */

/* The straight-through estimator (Bengio et al. 2013): a step function with the gradient of the identity. */
static void straight_through(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y, (void)user;
    dxs[0] = g;
}

/* Clips the gradient to [-k, k]. */
static void clipped(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y;
    double k = *(const double *)user;
    dxs[0] = ad_minimum(ad_maximum(g, ad_full(ad_graph_of(g), ad_dtype_of(g), -k, AD_SCALAR)),
                        ad_full(ad_graph_of(g), ad_dtype_of(g), k, AD_SCALAR));
}

/* y = x^(1/2), computed by Newton's method. The implicit equation y^2 = x gives dx = g / (2 y). */
static void implicit_root(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)user;
    dxs[0] = ad_div(g, ad_muls(y, 2));
}

static void custom_gradients(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        double at[] = { -1.5, 0.2, 3 }, k = 1;
        ad_var *x = param_of(g, t, at, AD_SHAPE(3)), *step = ad_custom(ad_sign(x), 1, &x, straight_through, NULL), *dx;
        ad_var *y = ad_sum(ad_mul(step, ad_square(x)));
        assert_true(ad_at(step, 0) == -1 && ad_at(step, 1) == 1);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
        for (int i = 0; i < 3; i++) { /* x^2 from the step, 2 x sign(x) from the square */
            assert_close(ad_grad_at(x, i), at[i] * at[i] + 2 * fabs(at[i]), tolerance(t));
            assert_close(ad_at(dx, i), ad_grad_at(x, i), tolerance(t));
        }
        set_all(x, (double[]){ 2, -2, 1 });
        assert_int_equal(ad_eval(y), AD_OK);
        assert_true(ad_at(step, 0) == 1 && ad_at(step, 1) == -1);
        ad_zero_grad(y);
        ad_var *gate = ad_custom(x, 1, &x, clipped, &k);
        assert_int_equal(ad_backward(ad_sum(ad_muls(ad_square(gate), 0.3))), AD_OK);
        assert_close(ad_grad_at(x, 0), 1, tolerance(t)); /* 1.2 before clipping */
        assert_close(ad_grad_at(x, 1), -1, tolerance(t));
        assert_close(ad_grad_at(x, 2), 0.6, tolerance(t));
        ad_graph_free(g);
    }
}

static void custom_gradient_of_an_implicit_function(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2), *r = ad_scalar(g, AD_F64, 1), *d, *dd;
    for (int i = 0; i < 8; i++) r = ad_muls(ad_add(r, ad_div(ad_detach(x), r)), 0.5);
    ad_var *y = ad_custom(r, 1, &x, implicit_root, NULL);
    assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
    assert_int_equal(ad_gradient(d, 1, &x, &dd), AD_OK);
    assert_close(ad_item(d), 0.5 / sqrt(2), 1e-14);
    assert_close(ad_item(dd), -0.25 * pow(2, -1.5), 1e-14);
    ad_graph_free(g);
}

static void gives_a_sum(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y, (void)user;
    dxs[0] = ad_sum(g);
}
static void gives_nothing(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y, (void)g, (void)dxs, (void)user;
}

static void invalid_custom_rules_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = vector(g, 3, x_values), *dx;
    assert_int_equal(ad_backward(ad_sum(ad_custom(ad_exp(x), 1, &x, gives_nothing, NULL))), AD_OK);
    for (int i = 0; i < 3; i++) assert_true(ad_grad_at(x, i) == 0);
    ad_var *y = ad_sum(ad_custom(ad_exp(x), 1, &x, gives_a_sum, NULL));
    FAILS(ad_backward(y), AD_ESHAPE, "custom: the rule gave f64 [] for xs[0], which is f64 [3]");
    FAILS(ad_gradient(y, 1, &x, &dx), AD_ESHAPE, "custom: the rule gave f64 [] for xs[0], which is f64 [3]");
    assert_true(ad_is_nil(ad_custom(x, 1, &x, NULL, NULL)) && ad_error_code(g) == AD_EVALUE);
    ad_clear_error(g);
    assert_true(ad_is_nil(ad_custom(NULL, 1, &x, gives_a_sum, NULL)) && ad_error_code(g) == AD_EVALUE);
    ad_graph_free(g);
}

/* ---- passes within rules ----------------------------------------------------------------------------------------- */

/* y = 2 x. Its backward asks ad_wants_grad, as many ops do. */
static int double_evaluate(const ad_op *op) {
    return *(double *)ad_values(op) = 2 * ad_item(ad_op_operand(op, 0)), AD_OK;
}
static void double_backward(const ad_op *op) {
    if (ad_wants_grad(op, 0)) *(double *)ad_grad_into(op, 0) += 2 * ad_grad_item(ad_op_result(op));
}
static void double_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    if (ad_vjp_wants(op, 0)) dx[0] = ad_muls(g, 2);
}
static const ad_optype op_double = { .name = "double",
                                     .arity = 1,
                                     .evaluate = { NULL, double_evaluate },
                                     .backward = { NULL, double_backward },
                                     .vjp = double_vjp };

/* The slope of double(p) at a leaf of the rule's own, by ad_backward and by ad_gradient: 2. */
static void differentiates_inside(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)y;
    ad_var *p = ad_param(ad_graph_of(g), AD_F64, (double[]){ 1 }, AD_SCALAR), *z = ad_apply(&op_double, 1, &p, NULL),
           *d;
    double *seen = user;
    ad_backward(z);
    seen[0] = ad_grad_item(p);
    ad_gradient(z, 1, &p, &d);
    seen[1] = ad_item(d);
    dxs[0] = ad_mul(g, ad_muls(xs[0], ad_grad_item(p)));
}

static void passes_within_a_rule(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double seen[2] = { 0 };
    ad_var *x = param_item(g, AD_F64, 3), *dx, *v = ad_scalar(g, AD_F64, 1), *h;
    ad_var *y =
        ad_apply(&op_double, 1, &(ad_var *){ ad_custom(ad_square(x), 1, &x, differentiates_inside, seen) }, NULL);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_item(x) == 12 && seen[0] == 2 && seen[1] == 2);
    seen[0] = seen[1] = 0;
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    assert_true(ad_item(dx) == 12 && seen[0] == 2 && seen[1] == 2);
    assert_int_equal(ad_hvp(y, 1, &x, &v, &h), AD_OK);
    assert_true(ad_item(h) == 4);
    ad_graph_free(g);
}

/* A rule that differentiates Vars of the program, which the pass that runs the rule walks over too. */
typedef struct {
    ad_var *z, *p, *early; /* z = p^3 early, early = exp(0 p) */
    bool backward;
} outer_vars;

static void differentiates_outside(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)y;
    outer_vars *o = user;
    ad_var *d = NULL;
    if (o->backward) ad_backward(o->z);
    else if (ad_gradient(o->z, 1, &o->p, &d) == AD_OK && ad_eval(o->z) == AD_OK) /* d = 3 p^2 early */
        dxs[0] = ad_mul(g, ad_mul(ad_muls(xs[0], 2), ad_muls(d, 1 / (3 * ad_item(o->p) * ad_item(o->p)))));
}

static void rules_that_differentiate_outer_vars(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        ad_graph *g = ad_graph_new();
        ad_keep_grads(g, i & 1);
        ad_var *p = param_item(g, AD_F64, 1.5), *x = param_item(g, AD_F64, 3), *early = ad_exp(ad_muls(p, 0)), *dx;
        ad_var *z = ad_mul(ad_pows(p, 3), early), *twice = ad_muls(x, 2);
        for (int k = 0; k < (i & 2 ? 500 : 0); k++) ad_exp(p);
        outer_vars o = { z, p, early, i & 4 };
        ad_var *a = ad_custom(ad_square(twice), 1, &twice, differentiates_outside, &o);
        ad_var *b = ad_custom(ad_square(twice), 1, &twice, differentiates_outside, &o);
        ad_var *y = ad_mul(ad_add(a, b), ad_add(z, early)); /* 8 x^2 (p^3 + 1), but for the constants of the rule */
        if (o.backward) {
            FAILS(ad_backward(y), AD_EGRAD,
                  "backward: a backward pass is running, whose gradients this call would change");
        } else {
            assert_int_equal(ad_backward(y), AD_OK);
            assert_close(ad_grad_item(x), 16 * 3 * (1.5 * 1.5 * 1.5 + 1), 1e-12);
            assert_close(ad_grad_item(p), 8 * 9 * 3 * 1.5 * 1.5, 1e-12);
            assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
            assert_close(ad_item(dx), ad_grad_item(x), 1e-12);
        }
        ad_graph_free(g);
    }
}

/* ---- what a rule of ad_custom may give --------------------------------------------------------------------------- */

static void gives(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y, (void)g;
    dxs[0] = user;
}
static void clears_an_error(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y, (void)user;
    dxs[0] = ad_add(g, ad_ones(ad_graph_of(g), AD_F64, AD_SHAPE(2)));
    ad_clear_error(ad_graph_of(g));
}
static void fails(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y, (void)user;
    dxs[0] = ad_add(g, ad_ones(ad_graph_of(g), AD_F64, AD_SHAPE(2)));
}

typedef struct {
    ad_custom_fn *rule;
    ad_var *given;
    int code;
    const char *text;
} wrong_rule;

static ad_var *with_wrong_rule(int n, ad_var *const xs[], void *user) {
    const wrong_rule *r = user;
    return ad_sum(ad_custom(ad_exp(xs[0]), n, xs, r->rule, r->given));
}

/* Every way of differentiating reports the rule. */
static void report_rule(ad_graph *g, wrong_rule *r) {
    ad_var *x = vector(g, 3, x_values), *v = ad_ones(g, AD_F64, AD_SHAPE(3)), *one = ad_scalar(g, AD_F64, 1), *d;
    for (int forget = 0; forget < 2; forget++) {
        ad_var *y = forget ? ad_checkpoint(with_wrong_rule, r, 1, &x) : with_wrong_rule(1, &x, r);
        FAILS(ad_backward(y), r->code, r->text);
        for (int k = 0; k < 3; k++) assert_true(ad_grad_at(x, k) == 0);
        FAILS(ad_gradient(y, 1, &x, &d), r->code, r->text);
        assert_true(ad_is_nil(d));
        FAILS(ad_gradient_strict(y, 1, &x, &d), r->code, r->text);
        FAILS(ad_vjp(y, one, 1, &x, &d), r->code, r->text);
        FAILS(ad_hvp(y, 1, &x, &v, &d), r->code, r->text);
        FAILS_WITH_NIL(ad_jvp(y, 1, &x, &v), r->code, r->text);
        FAILS_WITH_NIL(ad_jacobian(y, x), r->code, r->text);
        FAILS_WITH_NIL(ad_hessian(y, x), r->code, r->text);
    }
    FAILS(ad_gradcheck(with_wrong_rule, r, 1, &x, NULL, NULL), r->code, r->text);
    ad_var *y = with_wrong_rule(1, &x, r);
    double grad[3];
    assert_true(isnan(ad_value_and_gradient(x_values, grad, ad_objective_new(y, 1, &x))));
    FAILS(ad_error_code(g), r->code, r->text);
}

static void wrong_results_of_rules_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    wrong_rule rules[] = {
        { gives, vector(other, 3, x_values), AD_EGRAPH, "custom: the rule gave a Var of another graph for xs[0]" },
        { gives, ad_ones(g, AD_F64, AD_SHAPE(2)), AD_ESHAPE,
          "custom: the rule gave f64 [2] for xs[0], which is f64 [3]" },
        { gives, ad_ones(g, AD_F32, AD_SHAPE(3)), AD_EDTYPE,
          "custom: the rule gave f32 [3] for xs[0], which is f64 [3]" },
        { gives, ad_nil(g), AD_EVALUE, "custom: the rule gave nil for xs[0]; leave NULL where the gradient is zero" },
        { gives, ad_nil(NULL), AD_EVALUE, "custom: the rule gave nil for xs[0]" },
        { gives, ad_nil(other), AD_EVALUE, "custom: the rule gave nil for xs[0]" },
        { clears_an_error, NULL, AD_EVALUE, "custom: the rule gave nil for xs[0]" },
        { fails, NULL, AD_ESHAPE, "add: [3] x [2]: shapes do not broadcast" },
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) report_rule(g, &rules[i]);
    assert_ok(other);
    ad_graph_free(g);
    ad_graph_free(other);
}

/* The vjp of a user's op: the same mistakes. */
static ad_var *op_gives;
static void given_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { (void)op, (void)g, dx[0] = op_gives; }
static const ad_optype op_given = { .name = "given",
                                    .arity = 1,
                                    .evaluate = { NULL, double_evaluate },
                                    .backward = { NULL, double_backward },
                                    .vjp = given_vjp };

static void wrong_results_of_vjps_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *y = ad_apply(&op_given, 1, &x, NULL), *d;
    op_gives = param_item(other, AD_F64, 1);
    FAILS(ad_gradient(y, 1, &x, &d), AD_EGRAPH, "gradient: the vjp of given gave a Var of another graph for operand 0");
    op_gives = ad_nil(g);
    FAILS(ad_gradient(y, 1, &x, &d), AD_EVALUE, "gradient: the vjp of given gave nil for operand 0");
    op_gives = ad_ones(g, AD_F64, AD_SHAPE(2));
    FAILS(ad_gradient(y, 1, &x, &d), AD_ESHAPE,
          "gradient: the vjp of given gave f64 [2] for operand 0, which is f64 []");
    ad_graph_free(g);
    ad_graph_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(custom_gradients),
        cmocka_unit_test(custom_gradient_of_an_implicit_function),
        cmocka_unit_test(invalid_custom_rules_are_reported),
        cmocka_unit_test(passes_within_a_rule),
        cmocka_unit_test(rules_that_differentiate_outer_vars),
        cmocka_unit_test(wrong_results_of_rules_are_reported),
        cmocka_unit_test(wrong_results_of_vjps_are_reported),
    };
    return cmocka_run_group_tests_name("custom", tests, NULL, NULL);
}
