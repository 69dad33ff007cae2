/* test_error.c: error codes and sentences: each mistake is reported once, names its remedy and does not crash. */
#include "tests/common.h"

/* ---- mistakes: one row each ---------------------------------------------------------------------- */

/* Two graphs. All Vars but one belong to the first. */
typedef struct {
    ad_graph *g, *h;
    ad_var *x, *m, *n; /* f64: [], [2,3], [4] */
    ad_var *f;         /* f32 [2,3] */
    ad_var *c, *y;     /* a constant; x squared */
    ad_var *other;     /* belongs to h */
} fixture;

/* Makes the mistake. Returns true if the call returned nil, NULL or a negative code. */
typedef bool mistake_fn(fixture *w);

typedef struct {
    const char *name;
    mistake_fn *make;
    int code;
    const char *says[4];
} mistake;

#define MISTAKE(name, failed)                                                                                         \
    static bool name(fixture *w) { return failed; }

#define SHAPE_OF(n, ...) ((ad_shape){ n, { __VA_ARGS__ } })

MISTAKE(shapes_do_not_broadcast, ad_is_nil(ad_add(w->m, w->n)))
MISTAKE(inner_sizes_differ, ad_is_nil(ad_matmul(w->m, w->m)))
MISTAKE(two_dtypes, ad_is_nil(ad_mul(w->m, w->f)))
MISTAKE(two_graphs, ad_is_nil(ad_add(w->x, w->other)))
MISTAKE(second_operand_null, ad_is_nil(ad_add(w->x, NULL)))
MISTAKE(first_operand_null, ad_is_nil(ad_add(NULL, w->x)))
MISTAKE(axis_out_of_range, ad_is_nil(ad_sum_axis(w->m, 2, false)))
MISTAKE(axis_of_a_scalar, ad_is_nil(ad_mean_axis(w->x, 0, false)))
MISTAKE(result_too_large, ad_is_nil(ad_expand(w->x, AD_SHAPE(1ll << 40, 1ll << 40))))

MISTAKE(backward_of_an_array, ad_backward(ad_square(w->m)) < 0)
MISTAKE(backward_of_a_constant, ad_backward(ad_square(w->c)) < 0)
MISTAKE(backward_of_a_constant_leaf, ad_backward(w->c) < 0)
MISTAKE(seed_of_another_shape, ad_backward_from(ad_square(w->m), w->n) < 0)
MISTAKE(seed_of_another_dtype, ad_backward_from(ad_square(w->m), w->f) < 0)
MISTAKE(seed_of_another_graph, ad_backward_from(w->y, w->other) < 0)
MISTAKE(seed_null, ad_backward_from(w->y, NULL) < 0)

MISTAKE(negative_size, ad_is_nil(ad_zeros(w->g, AD_F32, AD_SHAPE(2, -3))))
MISTAKE(seven_dimensions, ad_is_nil(ad_param(w->g, AD_F32, NULL, SHAPE_OF(7, 1, 1, 1, 1, 1, 1))))
MISTAKE(minus_one_dimensions, ad_is_nil(ad_tensor(w->g, AD_F32, NULL, SHAPE_OF(-1, 0))))
MISTAKE(shape_of_too_many_dims, ad_is_nil(ad_rand(w->g, AD_F32, ad_shape_of_dims(9, (int64_t[9]){ 0 }))))
MISTAKE(too_many_elements, ad_is_nil(ad_ones(w->g, AD_F64, AD_SHAPE(1ll << 31, 1ll << 31))))
MISTAKE(overflowing_size, ad_is_nil(ad_ones(w->g, AD_F64, AD_SHAPE(INT64_MAX, INT64_MAX, 2))))
MISTAKE(empty_but_overflowing, ad_is_nil(ad_zeros(w->g, AD_F64, AD_SHAPE(0, 1ll << 60, 1ll << 60))))
MISTAKE(allocation_fails, ad_is_nil(ad_randn(w->g, AD_F64, AD_SHAPE(1ll << 50))))
MISTAKE(unknown_dtype, ad_is_nil(ad_full(w->g, (ad_dtype)7, 1, AD_SCALAR)))
MISTAKE(cast_to_unknown_dtype, ad_is_nil(ad_cast(w->x, (ad_dtype)-1)))
MISTAKE(arange_of_step_zero, ad_is_nil(ad_arange(w->g, AD_F32, 0, 1, 0)))
MISTAKE(arange_of_nan, ad_is_nil(ad_arange(w->g, AD_F32, 0, NAN, 1)))
MISTAKE(arange_to_infinity, ad_is_nil(ad_arange(w->g, AD_F32, 0, INFINITY, 1)))
MISTAKE(arange_too_long, ad_is_nil(ad_arange(w->g, AD_F32, 0, 1, 1e-30)))
MISTAKE(eye_of_minus_one, ad_is_nil(ad_eye(w->g, AD_F32, -1)))
MISTAKE(input_null, ad_is_nil(ad_input(w->g, AD_F32, NULL, AD_SHAPE(3))))

MISTAKE(data_mut_of_a_result, ad_data_mut(ad_exp(w->x)) == NULL)
MISTAKE(set_of_a_result, ad_set(ad_exp(w->x), &(double){ 1 }) < 0)
MISTAKE(set_to_null, ad_set(w->x, NULL) < 0)
MISTAKE(set_of_an_input, ad_set(ad_input(w->g, AD_F64, &(double){ 1 }, AD_SCALAR), &(double){ 2 }) < 0)
MISTAKE(rebind_of_a_param, ad_rebind(w->x, &(double){ 2 }) < 0)
MISTAKE(rebind_to_null, ad_rebind(ad_input(w->g, AD_F64, &(double){ 1 }, AD_SCALAR), NULL) < 0)
MISTAKE(require_grad_of_a_result, ad_is_nil(ad_require_grad(w->y)))
MISTAKE(retain_grad_of_a_constant, ad_retain_grad(w->c) < 0)
MISTAKE(dump_dot_to_null, ad_dump_dot(w->y, NULL) < 0)

MISTAKE(gradient_of_an_array, ad_gradient(ad_square(w->m), 1, &w->m, (ad_var *[1]){ 0 }) < 0)
MISTAKE(gradient_without_xs, ad_gradient(w->y, 1, NULL, (ad_var *[1]){ 0 }) < 0)
MISTAKE(gradient_without_dxs, ad_gradient(w->y, 1, &w->x, NULL) < 0)
MISTAKE(gradient_of_minus_one, ad_gradient(w->y, -1, &w->x, (ad_var *[1]){ 0 }) < 0)
MISTAKE(gradient_by_null, ad_gradient(w->y, 1, (ad_var *[]){ NULL }, (ad_var *[1]){ 0 }) < 0)
MISTAKE(gradient_in_another_graph, ad_gradient(w->y, 1, &w->other, (ad_var *[1]){ 0 }) < 0)
MISTAKE(cotangent_null, ad_vjp(w->y, NULL, 1, &w->x, (ad_var *[1]){ 0 }) < 0)
MISTAKE(cotangent_of_another_shape, ad_vjp(ad_square(w->m), w->n, 1, &w->m, (ad_var *[1]){ 0 }) < 0)
MISTAKE(cotangent_of_another_dtype, ad_vjp(ad_square(w->m), w->f, 1, &w->m, (ad_var *[1]){ 0 }) < 0)
MISTAKE(cotangent_of_another_graph, ad_vjp(w->y, w->other, 1, &w->x, (ad_var *[1]){ 0 }) < 0)

/* ---- wrong arguments of gradient checks ----------------------------------------------------------- */

static ad_var *f_square(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_square(xs[0]);
}

static ad_var *f_null(int n, ad_var *const xs[], void *user) {
    (void)n, (void)xs, (void)user;
    return NULL;
}

static ad_var *f_narrow(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_cast(xs[0], AD_F32);
}

static ad_var *f_elsewhere(int n, ad_var *const xs[], void *user) {
    (void)n, (void)xs;
    return user;
}

/* The result has three elements at x = 2 and two elements elsewhere. */
static ad_var *f_of_two_sizes(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_expand(xs[0], AD_SHAPE(ad_item(xs[0]) == 2 ? 3 : 2));
}

MISTAKE(gradcheck_of_no_function, ad_gradcheck(NULL, NULL, 1, &w->x, NULL, NULL) < 0)
MISTAKE(gradcheck_in_f32, ad_gradcheck(f_square, NULL, 1, &w->f, NULL, NULL) < 0)
MISTAKE(gradcheck_of_a_result, ad_gradcheck(f_square, NULL, 1, &w->y, NULL, NULL) < 0)
MISTAKE(gradcheck_of_null, ad_gradcheck(f_square, NULL, 2, (ad_var *[]){ w->x, NULL }, NULL, NULL) < 0)
MISTAKE(gradcheck_of_two_graphs, ad_gradcheck(f_square, NULL, 2, (ad_var *[]){ w->x, w->other }, NULL, NULL) < 0)
MISTAKE(gradcheck_returning_null, ad_gradcheck(f_null, NULL, 1, &w->x, NULL, NULL) < 0)
MISTAKE(gradcheck_returning_f32, ad_gradcheck(f_narrow, NULL, 1, &w->x, NULL, NULL) < 0)
MISTAKE(gradcheck_returning_another_graphs, ad_gradcheck(f_elsewhere, w->other, 1, &w->x, NULL, NULL) < 0)
MISTAKE(gradcheck_of_two_sizes, ad_gradcheck(f_of_two_sizes, NULL, 1, &w->x, NULL, NULL) < 0)
MISTAKE(check_of_no_op, ad_check_op(w->g, NULL, NULL) < 0)

/* ---- faulty user-defined ops ---------------------------------------------------------------------- */

static int copy_value(const ad_op *op) {
    *(double *)ad_values(op) = ad_item(ad_op_operand(op, 0));
    return AD_OK;
}

static void no_backward(const ad_op *op) { (void)op; }
static int shape_of_minus_one(ad_call *c) { return c->shape = AD_SHAPE(-1), AD_OK; }
static int fail_in_shape(ad_call *c) { return ad_call_fail(c, AD_EVALUE, "this shape is not %s", "supported"); }
static int fail_in_evaluate(const ad_op *op) { return ad_op_fail(op, AD_EVALUE, "element %d is odd", 3); }
static void no_samples(ad_sampler *s) { (void)s; }
static void sample_without_operands(ad_sampler *s) { ad_sample(s, NULL, 0, NULL, NULL, NULL); }

#define USER_OP(id, ...)                                                                                               \
    static const ad_optype id = { .name = #id, .arity = 1, .backward = { NULL, no_backward }, __VA_ARGS__ };
USER_OP(op_f64_only, .evaluate = { NULL, copy_value }, .samples = no_samples)
USER_OP(op_with_attrs, .evaluate = { NULL, copy_value }, .attr_size = 8)
USER_OP(op_of_bad_shape, .evaluate = { NULL, copy_value }, .shape = shape_of_minus_one)
USER_OP(op_failing_in_shape, .evaluate = { NULL, copy_value }, .shape = fail_in_shape)
USER_OP(op_failing_in_evaluate, .evaluate = { NULL, fail_in_evaluate })
USER_OP(op_sampled_empty, .evaluate = { NULL, copy_value }, .samples = sample_without_operands)
static const ad_optype op_no_backward = { .name = "op_no_backward", .arity = 1, .evaluate = { NULL, copy_value } };

MISTAKE(too_many_operands, ad_is_nil(ad_apply(&op_f64_only, 2, (ad_var *[]){ w->x, w->x }, NULL)))
MISTAKE(attributes_missing, ad_is_nil(ad_apply(&op_with_attrs, 1, &w->x, NULL)))
MISTAKE(no_kernel_of_a_dtype, ad_is_nil(ad_apply(&op_f64_only, 1, &w->f, NULL)))
MISTAKE(no_backward_of_a_dtype, ad_is_nil(ad_apply(&op_no_backward, 1, &w->x, NULL)))
MISTAKE(shape_rule_returns_a_negative_size, ad_is_nil(ad_apply(&op_of_bad_shape, 1, &w->x, NULL)))
MISTAKE(shape_rule_fails, ad_is_nil(ad_apply(&op_failing_in_shape, 1, &w->x, NULL)))
MISTAKE(evaluate_fails, ad_is_nil(ad_apply(&op_failing_in_evaluate, 1, &w->x, NULL)))
MISTAKE(check_of_no_samples, ad_check_op(w->g, &op_f64_only, NULL) < 0)
MISTAKE(check_of_an_empty_sample, ad_check_op(w->g, &op_sampled_empty, NULL) < 0)

static bool a_scope_closed_twice(fixture *w) {
    ad_mark m = ad_begin(w->g);
    ad_end(w->g, m);
    ad_end(w->g, m);
    return !ad_ok(w->g);
}

static bool dump_dot_to_a_full_device(fixture *w) {
    FILE *full = fopen("/dev/full", "w");
    if (full == NULL) return ad_fail(w->g, AD_EIO, "dump_dot: no such device here") < 0;
    setvbuf(full, NULL, _IONBF, 0);
    int rc = ad_dump_dot(w->y, full);
    fclose(full);
    return rc < 0;
}

/* clang-format off */
#define ROW(id, code, ...) { #id, id, code, { __VA_ARGS__ } }
/* clang-format on */
static const mistake mistakes[] = {
    ROW(shapes_do_not_broadcast, AD_ESHAPE, "add", "[2,3]", "[4]", "broadcast"),
    ROW(inner_sizes_differ, AD_ESHAPE, "matmul: [2,3] x [2,3]", "3 and 2", "transpose"),
    ROW(two_dtypes, AD_EDTYPE, "mul", "f32", "f64", "ad_cast"),
    ROW(two_graphs, AD_EGRAPH, "add", "graph"),
    ROW(second_operand_null, AD_EVALUE, "add", "operand 1", "NULL"),
    ROW(first_operand_null, AD_EVALUE, "add", "operand 0", "NULL"),
    ROW(axis_out_of_range, AD_ESHAPE, "sum", "[2,3]", "axis 2", "-2..1"),
    ROW(axis_of_a_scalar, AD_ESHAPE, "mean", "axis 0", "scalar"),
    ROW(result_too_large, AD_ESHAPE, "expand", "too many elements"),
    ROW(backward_of_an_array, AD_ESHAPE, "backward", "[2,3]", "ad_sum", "ad_backward_from"),
    ROW(backward_of_a_constant, AD_EGRAD, "backward", "ad_param"),
    ROW(backward_of_a_constant_leaf, AD_EGRAD, "backward", "ad_param"),
    ROW(seed_of_another_shape, AD_ESHAPE, "backward_from", "[2,3]", "[4]"),
    ROW(seed_of_another_dtype, AD_EDTYPE, "backward_from", "f64", "f32"),
    ROW(seed_of_another_graph, AD_EGRAPH, "backward_from", "seed"),
    ROW(seed_null, AD_EVALUE, "backward_from", "seed"),
    ROW(negative_size, AD_ESHAPE, "zeros", "[2,-3]"),
    ROW(seven_dimensions, AD_ESHAPE, "param", "7 dimensions"),
    ROW(minus_one_dimensions, AD_ESHAPE, "tensor", "-1 dimensions"),
    ROW(shape_of_too_many_dims, AD_ESHAPE, "rand", "dimensions"),
    ROW(too_many_elements, AD_ESHAPE, "[2147483648,2147483648]"),
    ROW(overflowing_size, AD_ESHAPE, "9223372036854775807"),
    ROW(empty_but_overflowing, AD_ESHAPE, "zeros"),
    /* 2^50 elements can be counted by 64 bits only. */
    ROW(allocation_fails, BITS_64 ? AD_ENOMEM : AD_ESHAPE, BITS_64 ? "out of memory" : "2^27", BITS_64 ? "bytes" : "randn"),
    ROW(unknown_dtype, AD_EDTYPE, "full", "AD_F32"),
    ROW(cast_to_unknown_dtype, AD_EDTYPE, "cast", "AD_F32"),
    ROW(arange_of_step_zero, AD_EVALUE, "arange", "by 0"),
    ROW(arange_of_nan, AD_EVALUE, "arange"),
    ROW(arange_to_infinity, AD_EVALUE, "arange"),
    ROW(arange_too_long, AD_EVALUE, "arange"),
    ROW(eye_of_minus_one, AD_ESHAPE, "eye", "-1"),
    ROW(input_null, AD_EVALUE, "input", "NULL"),
    ROW(data_mut_of_a_result, AD_EVALUE, "data_mut", "exp"),
    ROW(set_of_a_result, AD_EVALUE, "set", "exp"),
    ROW(set_to_null, AD_EVALUE, "set", "NULL"),
    ROW(set_of_an_input, AD_EVALUE, "set", "input"),
    ROW(rebind_of_a_param, AD_EVALUE, "rebind", "ad_input"),
    ROW(rebind_to_null, AD_EVALUE, "rebind"),
    ROW(require_grad_of_a_result, AD_EVALUE, "require_grad", "square"),
    ROW(retain_grad_of_a_constant, AD_EGRAD, "retain_grad"),
    ROW(a_scope_closed_twice, AD_EGRAPH, "end", "closed already"),
    ROW(dump_dot_to_null, AD_EVALUE, "dump_dot"),
    ROW(dump_dot_to_a_full_device, AD_EIO, "dump_dot"),
    ROW(gradient_of_an_array, AD_ESHAPE, "gradient", "[2,3]", "ad_vjp"),
    ROW(gradient_without_xs, AD_EVALUE, "gradient", "NULL"),
    ROW(gradient_without_dxs, AD_EVALUE, "gradient", "NULL"),
    ROW(gradient_of_minus_one, AD_EVALUE, "gradient", "-1"),
    ROW(gradient_by_null, AD_EVALUE, "gradient", "xs[0]"),
    ROW(gradient_in_another_graph, AD_EGRAPH, "gradient", "xs[0]"),
    ROW(cotangent_null, AD_EVALUE, "vjp", "cotangent"),
    ROW(cotangent_of_another_shape, AD_ESHAPE, "vjp", "[2,3]", "[4]"),
    ROW(cotangent_of_another_dtype, AD_EDTYPE, "vjp", "f64", "f32"),
    ROW(cotangent_of_another_graph, AD_EGRAPH, "vjp", "cotangent"),
    ROW(gradcheck_of_no_function, AD_EVALUE, "gradcheck", "NULL"),
    ROW(gradcheck_in_f32, AD_EDTYPE, "gradcheck", "f64"),
    ROW(gradcheck_of_a_result, AD_EVALUE, "gradcheck", "leaf"),
    ROW(gradcheck_of_null, AD_EVALUE, "gradcheck", "xs[1]"),
    ROW(gradcheck_of_two_graphs, AD_EGRAPH, "gradcheck", "xs[1]"),
    ROW(gradcheck_returning_null, AD_EGRAPH, "gradcheck"),
    ROW(gradcheck_returning_f32, AD_EDTYPE, "gradcheck", "f32"),
    ROW(gradcheck_returning_another_graphs, AD_EGRAPH, "gradcheck"),
    ROW(gradcheck_of_two_sizes, AD_ESHAPE, "gradcheck", "sizes"),
    ROW(check_of_no_op, AD_EVALUE, "check_op"),
    ROW(check_of_no_samples, AD_EVALUE, "op_f64_only", "samples"),
    ROW(check_of_an_empty_sample, AD_EVALUE, "op_sampled_empty", "sample"),
    ROW(too_many_operands, AD_EVALUE, "op_f64_only", "2 operands"),
    ROW(attributes_missing, AD_EVALUE, "op_with_attrs", "attributes"),
    ROW(no_kernel_of_a_dtype, AD_EDTYPE, "op_f64_only", "f32", "ad_cast"),
    ROW(no_backward_of_a_dtype, AD_EGRAD, "op_no_backward", "backward"),
    ROW(shape_rule_returns_a_negative_size, AD_ESHAPE, "op_of_bad_shape"),
    ROW(shape_rule_fails, AD_EVALUE, "op_failing_in_shape: []", "this shape is not supported"),
    ROW(evaluate_fails, AD_EVALUE, "op_failing_in_evaluate: []", "element 3 is odd"),
};
enum { MISTAKES = sizeof mistakes / sizeof *mistakes };

/* ---- every mistake is reported ---------------------------------------------------------------------- */

typedef struct {
    ad_graph *graph;
    int calls, code;
    char message[512];
} error_record;

static void record_error(ad_graph *g, int code, const char *message, void *data) {
    error_record *h = data;
    h->graph = g;
    h->calls++;
    h->code = code;
    snprintf(h->message, sizeof h->message, "%s", message);
}

static fixture fixture_new(test_memory *m) {
    fixture w = { .g = test_graph(m), .h = ad_graph_new() };
    w.x = param_item(w.g, AD_F64, 2);
    w.m = ad_param(w.g, AD_F64, NULL, AD_SHAPE(2, 3));
    w.n = ad_param(w.g, AD_F64, NULL, AD_SHAPE(4));
    w.f = ad_param(w.g, AD_F32, NULL, AD_SHAPE(2, 3));
    w.c = ad_scalar(w.g, AD_F64, 5);
    w.y = ad_square(w.x);
    w.other = param_item(w.h, AD_F64, 3);
    return w;
}

static void fixture_free(fixture *w) {
    ad_graph_free(w->g);
    ad_graph_free(w->h);
}

/* Whether the error has the code and the words of the row. Differences are printed. */
static bool error_is(const mistake *m, const ad_graph *g) {
    bool right = ad_error_code(g) == m->code && !ad_ok(g);
    if (!right) print_error("%s: the code is %d, not %d: %s\n", m->name, ad_error_code(g), m->code, ad_error(g));
    for (int i = 0; i < 4 && m->says[i] != NULL; i++) {
        if (strstr(ad_error(g), m->says[i]) != NULL) continue;
        print_error("%s: \"%s\" is not in \"%s\"\n", m->name, m->says[i], ad_error(g));
        right = false;
    }
    return right;
}

/* Checks that the graph works after its error was cleared. */
static void check_usable(const fixture *w) {
    assert_ok(w->g);
    assert_string_equal(ad_error(w->g), "");
    ad_var *y = ad_mul(w->x, ad_exp(w->x));
    assert_close(ad_item(y), 2 * exp(2), 1e-14);
    ad_zero_grad(w->x);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close(ad_grad_item(w->x), 3 * exp(2), 1e-14);
}

static bool mistake_is_reported(const mistake *m, fixture *w) {
    error_record h = { 0 };
    ad_on_error(w->g, record_error, &h);
    bool failed = m->make(w);
    if (!failed) print_error("%s did not fail\n", m->name);
    bool reported_once = h.calls == 1 && h.code == ad_error_code(w->g) && h.graph == w->g;
    if (!reported_once) print_error("%s was reported %d times\n", m->name, h.calls);
    assert_string_equal(h.message, ad_error(w->g));
    return error_is(m, w->g) && failed && reported_once && ad_ok(w->h);
}

static void every_error_is_reported_once_and_can_be_cleared(void **state) {
    (void)state;
    int wrong = 0;
    for (int i = 0; i < MISTAKES; i++) {
        test_memory memory = { .fail_at = -1 };
        fixture w = fixture_new(&memory);
        if (!mistake_is_reported(&mistakes[i], &w)) wrong++;
        ad_clear_error(w.g);
        check_usable(&w);
        fixture_free(&w);
        assert_all_released(&memory);
    }
    assert_int_equal(wrong, 0);
}

/* ---- the first error is kept --------------------------------------------------------------------------- */

/* These mistakes return their failure value while the graph has an earlier error. */
static mistake_fn *const mistakes_after_an_error[] = { two_dtypes,           backward_of_an_array,
                                                       negative_size,        set_to_null,
                                                       arange_of_step_zero,  retain_grad_of_a_constant,
                                                       a_scope_closed_twice, dump_dot_to_null };

MISTAKE(r_add, ad_is_nil(ad_add(w->x, w->x)))
MISTAKE(r_sum, ad_is_nil(ad_sum_axis(w->m, 0, true)))
MISTAKE(r_param, ad_is_nil(ad_param(w->g, AD_F32, NULL, AD_SCALAR)))
MISTAKE(r_input, ad_is_nil(ad_input(w->g, AD_F32, &(float){ 1 }, AD_SCALAR)))
MISTAKE(r_arange, ad_is_nil(ad_arange(w->g, AD_F32, 0, 1, 1)))
MISTAKE(r_rand, ad_is_nil(ad_rand(w->g, AD_F32, AD_SCALAR)))
MISTAKE(r_require, ad_is_nil(ad_require_grad(w->x)))
MISTAKE(r_eval, ad_eval(w->y) == AD_EDTYPE)
MISTAKE(r_backward, ad_backward(w->y) == AD_EDTYPE)
MISTAKE(r_from, ad_backward_from(w->y, w->x) == AD_EDTYPE)
MISTAKE(r_set, ad_set(w->x, &(double){ 9 }) == AD_EDTYPE)
MISTAKE(r_mut, ad_data_mut(w->x) == NULL)
MISTAKE(r_gradcheck, ad_gradcheck(f_square, NULL, 1, &w->x, NULL, NULL) == AD_EDTYPE)
MISTAKE(r_check_op, ad_check_op(w->g, &ad_op_sin, NULL) == AD_EDTYPE)
MISTAKE(r_gradient, ad_gradient(w->y, 1, &w->x, (ad_var *[1]){ 0 }) == AD_EDTYPE)
MISTAKE(r_nested, ad_is_nil(ad_exp(ad_mul(ad_add(w->m, w->n), w->x))))
static mistake_fn *const later[] = {
    r_add,      r_sum,  r_param, r_input, r_arange,    r_rand,     r_require,  r_eval,
    r_backward, r_from, r_set,   r_mut,   r_gradcheck, r_check_op, r_gradient, r_nested
};

static void the_first_error_is_kept(void **state) {
    (void)state;
    test_memory memory = { .fail_at = -1 };
    fixture w = fixture_new(&memory);
    error_record h = { 0 };
    ad_on_error(w.g, record_error, &h);
    assert_true(two_dtypes(&w));
    char *first = strdup(ad_error(w.g));
    int64_t ops = ad_graph_stats(w.g).ops;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        assert_true(later[i](&w));
        assert_string_equal(ad_error(w.g), first);
    }
    for (size_t i = 0; i < sizeof mistakes_after_an_error / sizeof *mistakes_after_an_error; i++) assert_true(mistakes_after_an_error[i](&w));
    assert_string_equal(ad_error(w.g), first);
    assert_true(h.calls == 1 && ad_error_code(w.g) == AD_EDTYPE && ad_graph_stats(w.g).ops == ops);
    assert_true(ad_item(w.x) == 2 && ad_grad_item(w.x) == 0);
    ad_clear_error(w.g);
    check_usable(&w);
    assert_true(two_graphs(&w));
    assert_int_equal(h.calls, 2); /* the error was cleared, so the next error is reported */
    ad_on_error(w.g, NULL, NULL);
    ad_clear_error(w.g);
    assert_true(negative_size(&w));
    assert_int_equal(h.calls, 2);
    free(first);
    fixture_free(&w);
}

/* nil propagates through the ops, so one check of the result finds the error. */
static void a_nested_expression_needs_one_check(void **state) {
    (void)state;
    test_memory memory = { .fail_at = -1 };
    fixture w = fixture_new(&memory);
    ad_var *y = ad_sum(ad_exp(ad_mul(ad_sin(w.x), ad_add(ad_matmul(w.m, w.n), ad_tanh(w.x)))));
    assert_true(ad_is_nil(y));
    assert_int_equal(ad_backward(y), AD_ESHAPE);
    assert_contains(ad_error(w.g), "matmul: [2,3] x [4]");
    fixture_free(&w);
}

static void nil_of_a_cleared_error(void **state) {
    (void)state;
    test_memory memory = { .fail_at = -1 };
    fixture w = fixture_new(&memory);
    ad_var *left = ad_zeros(w.g, AD_F64, AD_SHAPE(-1));
    ad_clear_error(w.g);
    assert_true(ad_is_nil(ad_add(w.x, left)));
    assert_int_equal(ad_error_code(w.g), AD_EVALUE);
    assert_contains(ad_error(w.g), "operand 1 is nil");
    ad_clear_error(w.g);
    assert_int_equal(ad_backward(left), AD_EVALUE);
    assert_contains(ad_error(w.g), "nil");
    fixture_free(&w);
}

/* The operands belong to two graphs. The graph of the first operand that has a graph gets the error. */
static void nil_of_another_graph(void **state) {
    (void)state;
    test_memory memory = { .fail_at = -1 };
    fixture w = fixture_new(&memory);
    ad_var *nil = ad_zeros(w.h, AD_F64, AD_SHAPE(-1));
    assert_true(ad_is_nil(ad_add(w.x, nil)));
    assert_int_equal(ad_error_code(w.g), AD_EGRAPH);
    ad_clear_error(w.g);
    assert_true(ad_is_nil(ad_add(ad_exp(NULL), w.x))); /* a nil that belongs to no graph */
    assert_false(ad_ok(w.g));
    ad_clear_error(w.g);
    assert_int_equal(ad_backward_from(w.y, nil), AD_EVALUE);
    fixture_free(&w);
}

/* ---- NULL and nil arguments ----------------------------------------------------------------------------- */

static void leaves_without_a_graph(void **state) {
    (void)state;
    double v = 1;
    ad_var *const made[] = {
        ad_param(NULL, AD_F32, NULL, AD_SCALAR),    ad_tensor(NULL, AD_F32, NULL, AD_SCALAR),
        ad_input(NULL, AD_F64, &v, AD_SCALAR),      ad_scalar(NULL, AD_F32, 1),
        ad_zeros(NULL, AD_F32, AD_SCALAR),          ad_ones(NULL, AD_F32, AD_SCALAR),
        ad_full(NULL, AD_F32, 1, AD_SCALAR),        ad_arange(NULL, AD_F32, 0, 1, 1),
        ad_arange(NULL, AD_F32, 0, 1, 0),           ad_eye(NULL, AD_F32, 2),
        ad_rand(NULL, AD_F32, AD_SCALAR),           ad_randn(NULL, AD_F32, AD_SCALAR),
        ad_param(NULL, AD_F32, NULL, AD_SHAPE(-1)),
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) assert_true(made[i] != NULL && ad_is_nil(made[i]));
}

static void calls_without_a_graph(void **state) {
    (void)state;
    ad_graph_free(NULL);
    assert_false(ad_ok(NULL));
    assert_true(strlen(ad_error(NULL)) > 0 && ad_error_code(NULL) < 0);
    ad_clear_error(NULL);
    ad_on_error(NULL, record_error, NULL);
    ad_mark m = ad_begin(NULL);
    ad_end(NULL, m);
    assert_int_equal(ad_graph_stats(NULL).bytes_held, 0);
    assert_false(ad_enable_grad(NULL, true));
    assert_false(ad_keep_grads(NULL, true));
    ad_seed(NULL, 1);
    assert_true(ad_check_op(NULL, &ad_op_sin, NULL) < 0);
    assert_true(ad_check_op(NULL, NULL, NULL) < 0);
    assert_true(ad_gradcheck(f_square, NULL, 0, NULL, NULL, NULL) < 0);
    assert_true(ad_gradcheck(f_square, NULL, 1, (ad_var *[]){ NULL }, NULL, NULL) < 0);
    assert_true(ad_fail(NULL, AD_EVALUE, "no graph") == AD_EVALUE);
}

static void check_readers_of_nil(const ad_var *x) {
    assert_true(ad_is_nil(x) && !ad_requires_grad(x));
    assert_true(isnan(ad_item(x)) && isnan(ad_grad_item(x)) && isnan(ad_at(x, 0)) && isnan(ad_grad_at(x, 0)));
    assert_null(ad_data(x));
    assert_null(ad_grad(x));
    assert_null(ad_creator(x));
    assert_int_equal(ad_numel(x), 0);
    assert_int_equal(ad_shape_numel(ad_shape_of(x)), 0);
    assert_int_equal(ad_dtype_of(x), AD_F64);
    ad_print(x, NULL);
    FILE *nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    ad_print(x, nowhere);
    assert_true(ad_dump_dot(x, nowhere) < 0);
    fclose(nowhere);
}

static void check_calls_on_nil(ad_var *x) {
    ad_var *dx = NULL;
    assert_null(ad_data_mut(x));
    assert_null(ad_grad_mut(x));
    assert_true(ad_set(x, &(double){ 1 }) < 0 && ad_rebind(x, &(double){ 1 }) < 0 && ad_retain_grad(x) < 0);
    assert_true(ad_eval(x) < 0 && ad_backward(x) < 0 && ad_backward_from(x, x) < 0);
    ad_zero_grad(x);
    assert_true(ad_gradient(x, 1, &x, &dx) < 0 && ad_is_nil(dx));
    assert_true(ad_vjp(x, x, 1, &x, &dx) < 0 && ad_is_nil(dx));
    assert_true(ad_gradient(x, 0, NULL, NULL) < 0);
    assert_true(ad_is_nil(ad_require_grad(x)));
    assert_true(ad_gradcheck(f_square, NULL, 1, &x, NULL, NULL) < 0);
}

/* Applies every op of the library to nil operands, with attributes of zeros. */
static void check_ops_on_nil(ad_var *x) {
    ad_var *in[8] = { x, x, x, x, x, x, x, x };
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++) {
        void *attrs = calloc(1, (*t)->attr_size + 1);
        assert_non_null(attrs);
        assert_true(ad_is_nil(ad_apply(*t, (*t)->arity > 0 ? (*t)->arity : 2, in, attrs)));
        free(attrs);
    }
    ad_var *const made[] = { ad_add(x, x),
                             ad_exp(x),
                             ad_adds(x, 1),
                             ad_matmul(x, x),
                             ad_affine(x, x, NULL),
                             ad_sum(x),
                             ad_sum_axis(x, 0, false),
                             ad_sum_to(x, AD_SCALAR),
                             ad_max_axis(x, -1, true),
                             ad_logsumexp(x),
                             ad_softmax(x, 0),
                             ad_cross_entropy(x, x),
                             ad_reshape(x, AD_SCALAR),
                             ad_transpose(x),
                             ad_expand(x, AD_SHAPE(2)),
                             ad_cast(x, AD_F32),
                             ad_detach(x),
                             ad_one_hot(x, 3) };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) assert_true(ad_is_nil(made[i]));
}

static void every_call_accepts_null_and_nil(void **state) {
    (void)state;
    test_memory memory = { .fail_at = -1 };
    fixture w = fixture_new(&memory);
    ad_var *nil = ad_zeros(w.g, AD_F64, AD_SHAPE(-1));
    for (int cleared = 0; cleared <= 1; cleared++) {
        ad_var *const nothing[] = { NULL, ad_exp(NULL), nil };
        for (int i = 0; i < 3; i++) {
            check_readers_of_nil(nothing[i]);
            check_calls_on_nil(nothing[i]);
            check_ops_on_nil(nothing[i]);
            if (cleared) ad_clear_error(w.g);
        }
        ad_clear_error(w.g);
    }
    assert_null(ad_graph_of(NULL));
    assert_ptr_equal(ad_graph_of(nil), w.g);
    check_usable(&w);
    fixture_free(&w);
    assert_all_released(&memory);
}

static void null_ops_and_operand_lists(void **state) {
    (void)state;
    assert_string_equal(ad_op_name(NULL), "");
    assert_int_equal(ad_op_arity(NULL), 0);
    assert_null(ad_op_operand(NULL, 0));
    assert_null(ad_op_result(NULL));
    assert_true(ad_is_nil(ad_apply(NULL, 1, (ad_var *[]){ NULL }, NULL)));
    assert_true(ad_is_nil(ad_apply(&ad_op_sin, 1, NULL, NULL)));
    assert_true(ad_is_nil(ad_apply(&ad_op_sin, 0, (ad_var *[]){ NULL }, NULL)));
    assert_true(ad_is_nil(ad_apply(&ad_op_sin, -1, (ad_var *[]){ NULL }, NULL)));
    test_memory none = { .fail_at = 0 };
    assert_null(test_graph(&none));
}

/* ---- shapes --------------------------------------------------------------------------------------------------- */

static void numel_and_text_of_shapes(void **state) {
    (void)state;
    static const struct {
        ad_shape shape;
        int64_t numel;
        const char *text;
    } rows[] = {
        { { 0, { 0 } }, 1, "[]" },
        { { 1, { 5 } }, 5, "[5]" },
        { { 3, { 2, 3, 4 } }, 24, "[2,3,4]" },
        { { 2, { 0, 7 } }, 0, "[0,7]" },
        { { 6, { 1, 2, 1, 2, 1, 2 } }, 8, "[1,2,1,2,1,2]" },
        { { 2, { 3, -1 } }, -1, "[3,-1]" },
        { { 7, { 1, 1, 1, 1, 1, 1 } }, -1, NULL },
        { { -1, { 0 } }, -1, NULL },
        { { 2, { INT64_MAX, 2 } }, -1, "[9223372036854775807,2]" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[160], short_text[4];
        assert_int_equal(ad_shape_numel(rows[i].shape), rows[i].numel);
        int n = ad_shape_text(rows[i].shape, text, sizeof text);
        if (rows[i].text == NULL) continue;
        assert_string_equal(text, rows[i].text);
        assert_int_equal(n, strlen(text));
        assert_int_equal(ad_shape_text(rows[i].shape, short_text, sizeof short_text), n);
        assert_true(strlen(short_text) < sizeof short_text);
    }
    assert_true(ad_shape_equal(AD_SHAPE(2, 3), ad_shape_of_dims(2, (int64_t[]){ 2, 3 })));
    assert_false(ad_shape_equal(AD_SHAPE(2, 3), AD_SHAPE(2)));
    assert_true(ad_shape_equal(AD_SCALAR, ad_shape_scalar()));
    assert_int_equal(ad_dtype_size(AD_F32) + ad_dtype_size(AD_F64), 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_is_reported_once_and_can_be_cleared),
        cmocka_unit_test(the_first_error_is_kept),
        cmocka_unit_test(a_nested_expression_needs_one_check),
        cmocka_unit_test(nil_of_a_cleared_error),
        cmocka_unit_test(nil_of_another_graph),
        cmocka_unit_test(leaves_without_a_graph),
        cmocka_unit_test(calls_without_a_graph),
        cmocka_unit_test(every_call_accepts_null_and_nil),
        cmocka_unit_test(null_ops_and_operand_lists),
        cmocka_unit_test(numel_and_text_of_shapes),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
