/* test_ops_apply.c: ops called through ad_apply, with operands and attributes that their functions never pass and with
   sizes that overflow. */
#include "tests/common.h"
#include "ops/kernels/linalg/gemm.h"

/* Attributes of any op. All bytes are zero except those that set_int64 writes. */
typedef union {
    double align;
    char bytes[1024];
} attributes;

static void set_int64(const ad_optype *type, attributes *to, const char *name, int64_t value) {
    for (const ad_attr *a = type->attrs; a != NULL && a->name != NULL; a++)
        if (strcmp(a->name, name) == 0) {
            assert_int_equal(a->kind, AD_ATTR_INT64);
            memcpy(to->bytes + a->offset, &value, sizeof value);
            return;
        }
    fail_msg("%s has no attribute %s", type->name, name);
}

/* An op must return a result that can be differentiated, or an error that contains its name; so must its backward, as
   that of qr for a singular matrix. */
static void apply_and_differentiate(ad_graph *g, const ad_optype *type, int n, ad_shape s) {
    attributes zeros = { .bytes = { 0 } };
    ad_var *in[7];
    assert_true(type->attr_size <= sizeof zeros);
    for (int i = 0; i < n; i++) in[i] = ad_param(g, AD_F64, NULL, s);
    ad_var *y = ad_apply(type, n, in, &zeros);
    if (ad_is_nil(y)) assert_contains(ad_error(g), type->name);
    else if (ad_requires_grad(y) && ad_backward_from(y, ad_ones(g, ad_dtype_of(y), ad_shape_of(y))) != AD_OK)
        assert_contains(ad_error(g), type->name);
    ad_clear_error(g);
}

static void operands_of_any_shape_with_zero_attributes(void **state) {
    (void)state;
    const ad_shape shapes[] = { AD_SCALAR,         AD_SHAPE(3),          AD_SHAPE(0),
                                AD_SHAPE(2, 2),    AD_SHAPE(2, 0),       AD_SHAPE(2, 3, 2),
                                AD_SHAPE(1, 2, 3, 3), AD_SHAPE(1, 1, 2, 1, 2, 1) };
    ad_graph *g = ad_graph_new();
    for (const ad_optype *const *t = ad_optypes(); *t; t++)
        for (int n = 1; n <= 7; n++)
            for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
                ad_mark m = ad_begin(g);
                apply_and_differentiate(g, *t, n, shapes[k]);
                ad_end(g, m);
            }
    ad_graph_free(g);
}

/* The sample with other numbers of operands, and with each operand in turn of another shape or dtype: an error with the
   op's name, or a result that can be differentiated. */
typedef struct {
    ad_graph *g;
    const ad_sample_case *c;
} changed_sample;

static void apply_changed(const changed_sample *s, int n, int at, ad_shape shape, ad_dtype t) {
    ad_mark m = ad_begin(s->g);
    ad_var *in[17];
    for (int i = 0; i < n; i++) {
        int from = i < s->c->n ? i : s->c->n - 1;
        in[i] = i == at ? ad_ones(s->g, t, shape) : ad_param(s->g, AD_F64, s->c->values[from], s->c->shapes[from]);
    }
    ad_var *y = ad_apply(s->c->type, n, in, s->c->attrs);
    if (ad_is_nil(y)) assert_contains(ad_error(s->g), s->c->type->name);
    else if (ad_requires_grad(y) && ad_backward_from(y, ad_ones(s->g, ad_dtype_of(y), ad_shape_of(y))) != AD_OK)
        assert_contains(ad_error(s->g), s->c->type->name);
    ad_clear_error(s->g);
    ad_end(s->g, m);
}

static int change_sample(const ad_sample_case *c, void *data) {
    changed_sample s = { data, c };
    if (c->n > 8) return 0;
    for (int n = 1; n <= c->n + 2; n++)
        if (n != c->n) apply_changed(&s, n, -1, AD_SCALAR, AD_F64);
    for (int i = 0; i < c->n; i++) {
        apply_changed(&s, c->n, i, c->shapes[i], AD_F32);
        apply_changed(&s, c->n, i, AD_SCALAR, AD_F64);
        ad_shape longer = c->shapes[i], more = c->shapes[i];
        if (more.ndim < AD_MAX_NDIM) more.dim[more.ndim++] = 2, apply_changed(&s, c->n, i, more, AD_F64);
        for (int d = 0; d < longer.ndim; d++) {
            longer.dim[d]++, apply_changed(&s, c->n, i, longer, AD_F64);
            longer.dim[d] = 0, apply_changed(&s, c->n, i, longer, AD_F64);
            longer.dim[d] = c->shapes[i].dim[d];
        }
    }
    return 0;
}

static void samples_with_other_operands(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *samples = ad_graph_new();
    for (const ad_optype *const *t = ad_optypes(); *t; t++)
        assert_int_equal(ad_each_sample(samples, *t, change_sample, g), AD_OK);
    ad_graph_free(samples);
    ad_graph_free(g);
}

static void too_many_operands(void **state) {
    (void)state;
    const ad_optype *const types[] = { &ad_op_layer_norm, &ad_op_batch_norm_train, &ad_op_batch_norm_eval,
                                       &ad_op_mse,   &ad_op_kl_div,           &ad_op_nll };
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *in[] = { x, x, x, x, x, x, x };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        attributes zeros = { .bytes = { 0 } };
        assert_fails(g, ad_apply(types[i], 7, in, &zeros), AD_EVALUE, "7 operands given");
    }
    ad_graph_free(g);
}

static void diag_embed_checks_the_length_of_the_diagonal(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(3));
    attributes a = { .bytes = { 0 } };
    set_int64(&ad_op_diag_embed, &a, "rows", 5);
    set_int64(&ad_op_diag_embed, &a, "columns", 4);
    assert_fails(g, ad_apply(&ad_op_diag_embed, 1, &x, &a), AD_ESHAPE, "diagonal 0 of a matrix [5,4] is of another length");
    ad_graph_free(g);
}

/* Arrays without elements may have long sides. The sides of the result or of temporary arrays then overflow. */
static void overflowing_sides(void **state) {
    (void)state;
    if (sizeof(size_t) < 8) skip(); /* sides are shorter there */
    enum { MANY = 40 };
    const int64_t wide = (int64_t)INT32_MAX + 1;
    ad_graph *g = ad_graph_new();
    ad_var *xs[MANY];
    for (int i = 0; i < MANY; i++) xs[i] = ad_zeros(g, AD_F64, AD_SHAPE(0, (int64_t)1 << 58));
    assert_fails(g, ad_concat(MANY, xs, 1), AD_ESHAPE, "too many elements");
    ad_var *row = ad_zeros(g, AD_F64, AD_SHAPE(0, wide)), *column = ad_zeros(g, AD_F64, AD_SHAPE(wide, 0));
    assert_fails(g, ad_matmul(row, column), AD_ESHAPE, "longer than");
    assert_fails(g, ad_matmul(column, row), AD_ESHAPE, "longer than");
    assert_fails(g, ad_affine(row, row, NULL), AD_ESHAPE, "longer than");
    ad_var *image = ad_zeros(g, AD_F64, AD_SHAPE(0, wide, 1, 1));
    assert_fails(g, ad_conv2d(image, image, NULL, (ad_conv_opts){ .groups = 1 }), AD_ESHAPE, "windows is too large");
    ad_graph_free(g);
}

/* c = a b + beta c. The ops use only beta 0 and 1. */
static void plain_gemm_for_each_beta(void **state) {
    (void)state;
    const double a[] = { 1, 2, 3, 4 }, b[] = { 5, -6, 7, 8 }, product[] = { 19, 10, 43, 14 };
    const double betas[] = { 0, 1, -0.5 };
    for (int i = 0; i < 3; i++) {
        double c[] = { 1, 2, 4, 8 }, was[] = { 1, 2, 4, 8 };
        ad__gemm_plain_f64(false, false, 2, 2, 2, a, b, betas[i], c);
        for (int k = 0; k < 4; k++) assert_close(c[k], product[k] + betas[i] * was[k], 0);
        float fa[] = { 1, 2, 3, 4 }, fb[] = { 5, -6, 7, 8 }, fc[] = { 1, 2, 4, 8 };
        ad__gemm_plain_f32(false, false, 2, 2, 2, fa, fb, (float)betas[i], fc);
        for (int k = 0; k < 4; k++) assert_close((double)fc[k], c[k], 0);
    }
}

/* ad_check_op reports an op that has samples for derivatives but whose result requires no gradient. */
static void check_op_finds_a_result_without_gradient(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_optype own = ad_op_sin;
    ad_check_report report;
    own.no_grad = 1;
    assert_int_equal(ad_check_op(g, &own, &report), AD_ECHECK);
    assert_contains(report.message, "sin: the result does not require a gradient");
    assert_false(report.ok);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_of_any_shape_with_zero_attributes),
        cmocka_unit_test(samples_with_other_operands),
        cmocka_unit_test(too_many_operands),
        cmocka_unit_test(diag_embed_checks_the_length_of_the_diagonal),
        cmocka_unit_test(overflowing_sides),
        cmocka_unit_test(plain_gemm_for_each_beta),
        cmocka_unit_test(check_op_finds_a_result_without_gradient),
    };
    return cmocka_run_group_tests_name("ops through ad_apply", tests, NULL, NULL);
}
