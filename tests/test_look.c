/* test_look.c: reads Vars, prints them in the layout of NumPy, and draws pictures of expressions. */
#include "tests/common.h"

/* ---- written text -------------------------------------------------------------------------------- */

typedef void write_fn(FILE *to, const ad_var *x);

/* The output of fn as a string, which the caller frees. */
static char *text_of(write_fn *fn, const ad_var *x) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    fn(to, x);
    fclose(to);
    return text;
}

static void write_values(FILE *to, const ad_var *x) { ad_print(x, to); }
static void write_picture(FILE *to, const ad_var *x) { assert_int_equal(ad_dump_dot(x, to), AD_OK); }

static int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) n++;
    return n;
}

/* ---- printing -------------------------------------------------------------------------------------- */

/* The values 0, 1, 2 ... in the layout of numpy.array2string(x, separator=', ', max_line_width=inf) with the format
   %.6g, then dtype and shape. */
static const struct {
    ad_dtype dtype;
    ad_shape shape;
    const char *text;
} layouts[] = {
    { AD_F64, { 0, { 0 } }, "0  f64 []\n" },
    { AD_F32, { 1, { 1 } }, "[0]  f32 [1]\n" },
    { AD_F64, { 1, { 3 } }, "[0, 1, 2]  f64 [3]\n" },
    { AD_F32, { 2, { 2, 3 } }, "[[0, 1, 2],\n [3, 4, 5]]  f32 [2,3]\n" },
    { AD_F32, { 2, { 3, 1 } }, "[[0],\n [1],\n [2]]  f32 [3,1]\n" },
    { AD_F32, { 2, { 1, 3 } }, "[[0, 1, 2]]  f32 [1,3]\n" },
    { AD_F64, { 3, { 2, 2, 2 } }, "[[[0, 1],\n  [2, 3]],\n\n [[4, 5],\n  [6, 7]]]  f64 [2,2,2]\n" },
    { AD_F64, { 4, { 2, 1, 2, 2 } }, "[[[[0, 1],\n   [2, 3]]],\n\n\n [[[4, 5],\n   [6, 7]]]]  f64 [2,1,2,2]\n" },
    { AD_F64, { 1, { 0 } }, "[]  f64 [0]\n" },
    { AD_F64, { 2, { 3, 0 } }, "[]  f64 [3,0]\n" },
    { AD_F64, { 1, { 1001 } }, "[0, 1, 2, ..., 998, 999, 1000]  f64 [1001]\n" },
    { AD_F32,
      { 2, { 40, 50 } },
      "[[0, 1, 2, ..., 47, 48, 49],\n"
      " [50, 51, 52, ..., 97, 98, 99],\n"
      " [100, 101, 102, ..., 147, 148, 149],\n"
      " ...,\n"
      " [1850, 1851, 1852, ..., 1897, 1898, 1899],\n"
      " [1900, 1901, 1902, ..., 1947, 1948, 1949],\n"
      " [1950, 1951, 1952, ..., 1997, 1998, 1999]]  f32 [40,50]\n" },
    { AD_F32,
      { 2, { 2, 600 } },
      "[[0, 1, 2, ..., 597, 598, 599],\n [600, 601, 602, ..., 1197, 1198, 1199]]  f32 [2,600]\n" },
    { AD_F32, { 2, { 1002, 1 } }, "[[0],\n [1],\n [2],\n ...,\n [999],\n [1000],\n [1001]]  f32 [1002,1]\n" },
    { AD_F64,
      { 3, { 500, 1, 3 } },
      "[[[0, 1, 2]],\n\n [[3, 4, 5]],\n\n [[6, 7, 8]],\n\n ...,\n\n"
      " [[1491, 1492, 1493]],\n\n [[1494, 1495, 1496]],\n\n [[1497, 1498, 1499]]]  f64 [500,1,3]\n" },
    { AD_F64,
      { 3, { 2, 300, 2 } },
      "[[[0, 1],\n  [2, 3],\n  [4, 5],\n  ...,\n  [594, 595],\n  [596, 597],\n  [598, 599]],\n\n"
      " [[600, 601],\n  [602, 603],\n  [604, 605],\n  ...,\n  [1194, 1195],\n  [1196, 1197],\n  [1198, 1199]]]"
      "  f64 [2,300,2]\n" },
};

static void print_in_the_layout_of_numpy(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *row = ad_arange(g, layouts[i].dtype, 0, (double)ad_shape_numel(layouts[i].shape), 1);
        char *text = text_of(write_values, ad_reshape(row, layouts[i].shape));
        assert_string_equal(text, layouts[i].text);
        free(text);
        ad_graph_free(g);
    }
}

/* A thousand elements are printed in full. */
static void print_a_thousand(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    char *text = text_of(write_values, ad_arange(g, AD_F64, 0, 1000, 1));
    assert_int_equal(count(text, ", "), 999);
    assert_int_equal(count(text, "..."), 0);
    free(text);
    ad_graph_free(g);
}

static void print_numbers(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double values[] = { 0.5, -1.25e-8, 1e20, 1.0 / 3, INFINITY, -INFINITY, -0.0 };
    char *text = text_of(write_values, ad_tensor(g, AD_F64, values, AD_SHAPE(7)));
    assert_string_equal(text, "[0.5, -1.25e-08, 1e+20, 0.333333, inf, -inf, -0]  f64 [7]\n");
    free(text);
    text = text_of(write_values, ad_scalar(g, AD_F32, NAN));
    assert_true(strcmp(text, "nan  f32 []\n") == 0 || strcmp(text, "-nan  f32 []\n") == 0);
    free(text);
    text = text_of(write_values, NULL);
    assert_string_equal(text, "nil\n");
    free(text);
    ad_graph_free(g);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static void elements_and_gradients(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_of(g, t, (double[]){ 1, 2, 3, 4, 5, 6 }, AD_SHAPE(2, 3)), *y = ad_sum(ad_square(x));
        assert_int_equal(ad_backward(y), AD_OK);
        for (int i = 0; i < 6; i++) assert_true(ad_at(x, i) == i + 1 && ad_grad_at(x, i) == 2 * (i + 1));
        assert_true(isnan(ad_at(x, 6)) && isnan(ad_at(x, -1)) && isnan(ad_grad_at(x, 6)));
        assert_true(ad_item(y) == 91 && ad_grad_item(y) == 1);
        assert_true(isnan(ad_item(x)) && isnan(ad_grad_item(x)));
        assert_true(ad_shape_equal(ad_shape_of(x), AD_SHAPE(2, 3)) && ad_shape_of(y).ndim == 0);
        assert_true(ad_dtype_of(x) == t && ad_dtype_of(y) == t && ad_numel(x) == 6 && ad_numel(y) == 1);
        assert_true(t == AD_F32 ? ((const float *)ad_data(x))[4] == 5 : ((const double *)ad_data(x))[4] == 5);
        assert_true(t == AD_F32 ? ((const float *)ad_grad(x))[4] == 10 : ((const double *)ad_grad(x))[4] == 10);
        assert_true(ad_item(ad_reshape(y, AD_SHAPE(1, 1))) == 91);
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void names_of_dtypes_and_version(void **state) {
    (void)state;
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", AD_VERSION_MAJOR, AD_VERSION_MINOR, AD_VERSION_PATCH);
    assert_string_equal(ad_version(), version);
    assert_string_equal(ad_dtype_name(AD_F32), "f32");
    assert_string_equal(ad_dtype_name(AD_F64), "f64");
}

/* The statistics of the graph are those of its allocator. */
static void statistics_count_the_allocator(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(100000));
    ad_backward(ad_sum(ad_exp(x)));
    ad_stats s = ad_graph_stats(g);
    assert_int_equal(s.ops, 2);
    assert_int_equal(s.bytes_held, m.live);
    assert_int_equal(s.allocs, m.calls);
    assert_true(s.bytes_used >= 4 * 400000 && s.bytes_used <= s.bytes_held);
    ad_graph_free(g);
    assert_all_released(&m);
}

/* ---- pictures --------------------------------------------------------------------------------------------- */

/* Vars are boxes and Ops are ellipses. Each result has an edge to its creator. The shared leaf x is drawn once. */
static void pictures_of_an_expression(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 0.5), *c = ad_full(g, AD_F64, 4.25, AD_SCALAR);
    ad_var *y = ad_add(ad_mul(x, x), ad_mul(x, c));
    ad_exp(x); /* y does not depend on it */
    ad_backward(y);
    char *text = text_of(write_picture, y);
    assert_int_equal(count(text, "digraph"), 1);
    assert_int_equal(count(text, "shape=box"), 5);
    assert_int_equal(count(text, "shape=ellipse"), 3);
    assert_int_equal(count(text, "label=creator"), 3);
    assert_int_equal(count(text, " -> "), 6 + 3);
    assert_int_equal(count(text, "label=\"mul"), 2);
    assert_int_equal(count(text, "label=\"add"), 1);
    assert_int_equal(count(text, "exp"), 0);
    assert_int_equal(count(text, "param"), 1);
    assert_int_equal(count(text, "constant"), 1);
    assert_int_equal(count(text, "value 0.5\\ngrad 5.25"), 1); /* x: 2 x + c */
    assert_int_equal(count(text, "value 2.375\\ngrad 1"), 1);  /* y */
    assert_int_equal(count(text, "value 4.25\""), 1);          /* c, without a gradient */
    free(text);
    ad_graph_free(g);
}

/* A picture changes nothing: the next picture is the same, and backward works. */
static void pictures_change_nothing(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *y = ad_mul(ad_square(x), ad_exp(x));
    char *first = text_of(write_picture, y), *second = text_of(write_picture, y);
    assert_string_equal(first, second);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(ad_backward(y), AD_OK);
        assert_close(ad_grad_item(x), i * (6 + 9) * exp(3), 1e-14);
    }
    free(first);
    free(second);
    ad_graph_free(g);
}

static void pictures_of_arrays_leaves_and_attributes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_arange(g, AD_F32, 0, 6, 1);
    char *leaf = text_of(write_picture, x);
    assert_int_equal(count(leaf, "shape=box"), 1);
    assert_contains(leaf, "f32 [6]");
    assert_contains(leaf, "value 0 1 2 3 ...");
    assert_int_equal(count(leaf, "->"), 0);
    char *text = text_of(write_picture, ad_softmax(ad_adds(ad_reshape(x, AD_SHAPE(2, 3)), 2.5), 1));
    assert_contains(text, "shape [2,3]");
    assert_contains(text, "k 2.5");
    assert_contains(text, "axis 1");
    free(leaf);
    free(text);
    ad_graph_free(g);
}

/* ---- enums ------------------------------------------------------------------------------------------- */

static const struct {
    const char *attr;
    int value;
    const char *name;
} words[] = {
    { "reduction", AD_MEAN, "mean" },
    { "reduction", AD_SUM, "sum" },
    { "reduction", AD_NONE, "none" },
    { "reduction", AD_BATCHMEAN, "batchmean" },
    { "how", AD_SCATTER_SUM, "sum" },
    { "how", AD_SCATTER_MEAN, "mean" },
    { "how", AD_SCATTER_PROD, "prod" },
    { "how", AD_SCATTER_AMAX, "amax" },
    { "how", AD_SCATTER_AMIN, "amin" },
    { "dtype", AD_F32, "f32" },
    { "dtype", AD_F64, "f64" },
    { "kind", AD_ERFCX, "erfcx" },
    { "kind", AD_NDTRI, "ndtri" },
    { "kind", AD_BESSEL_J, "bessel_j" },
    { "kind", AD_BESSEL_Y, "bessel_y" },
    { "kind", AD_BESSEL_I, "bessel_i" },
    { "kind", AD_BESSEL_I_SCALED, "bessel_i_scaled" },
    { "kind", AD_BESSEL_K, "bessel_k" },
    { "kind", AD_BESSEL_K_SCALED, "bessel_k_scaled" },
    { "kind", AD_AIRY, "airy" },
    { "kind", AD_ZETA, "zeta" },
    { "kind", AD_GAMMAINC, "gammainc" },
    { "kind", AD_GAMMAINCC, "gammaincc" },
    { "kind", AD_GAMMA_DENSITY, "gamma_density" },
};

/* Attributes of kind AD_ATTR_INT that are numbers. All others are enums. */
static bool is_number(const char *attr) {
    static const char *const numbers[] = { "axis", "n", "m", "p", "correction" };
    for (int i = 0; i < (int)(sizeof numbers / sizeof *numbers); i++)
        if (strcmp(attr, numbers[i]) == 0) return true;
    return false;
}

/* Every value of attribute i of a type has its name; the numbers beside them are written as such. Returns the number of
   names. */
static int check_values(const ad_optype *t, int i) {
    int64_t attrs[32] = { 0 }; /* room for every struct of attributes, aligned */
    char text[32];
    int named = 0;
    assert_true(t->attr_size <= sizeof attrs);
    for (int k = 0; k < (int)(sizeof words / sizeof *words); k++) {
        if (strcmp(words[k].attr, t->attrs[i].name) != 0) continue;
        memcpy((char *)attrs + t->attrs[i].offset, &words[k].value, sizeof(int));
        assert_int_equal(ad_attr_value_text(t, i, attrs, text, sizeof text), strlen(words[k].name));
        assert_string_equal(text, words[k].name);
        named++;
    }
    for (int k = 0; k < 2; k++) {
        memcpy((char *)attrs + t->attrs[i].offset, (int[]){ k ? named : -1 }, sizeof(int));
        ad_attr_value_text(t, i, attrs, text, sizeof text);
        assert_int_equal(atoi(text), k ? named : -1);
    }
    return named;
}

static void enums_of_all_ops_have_names(void **state) {
    (void)state;
    int ops = 0;
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++)
        for (int i = 0; (*t)->attrs != NULL && (*t)->attrs[i].name != NULL; i++) {
            if ((*t)->attrs[i].kind != AD_ATTR_INT || is_number((*t)->attrs[i].name)) continue;
            if (check_values(*t, i) == 0) fail_msg("%s of %s has no names", (*t)->attrs[i].name, (*t)->name);
            ops++;
        }
    assert_in_range(ops, 20, 60);
}

static void pictures_have_the_names_of_enums(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3, 4 }, AD_SHAPE(2, 2)), *classes = ad_zeros(g, AD_F32, AD_SHAPE(2));
    ad_var *y = ad_cross_entropy_classes(ad_cast(x, AD_F32), classes, (ad_ce_opts){ .reduction = AD_SUM });
    ad_var *z = ad_mse(ad_special(x, AD_BESSEL_J, 2), ad_zeros_like(x), AD_MEAN);
    char *text = text_of(write_picture, ad_add(ad_cast(y, AD_F64), z));
    assert_contains(text, "reduction sum");
    assert_contains(text, "reduction mean");
    assert_contains(text, "dtype f32");
    assert_contains(text, "dtype f64");
    assert_contains(text, "kind bessel_j\\nn 2");
    free(text);

    char word[8];
    const ad_op *mse = ad_creator(z);
    assert_int_equal(ad_op_attr_text(mse, 0, word, sizeof word), strlen("reduction mean"));
    assert_string_equal(word, "reducti");
    assert_int_equal(ad_op_attr_text(mse, 0, NULL, 9), strlen("reduction mean"));
    assert_int_equal(ad_op_attr_text(mse, 1, word, sizeof word), 0);
    assert_string_equal(word, "");
    assert_int_equal(ad_op_attr_text(mse, -1, word, sizeof word), 0);
    assert_int_equal(ad_op_attr_text(NULL, 0, word, sizeof word), 0);
    ad_graph_free(g);
}

/* Graphviz accepts the picture, if it is installed. */
static void graphviz_reads_the_picture(void **state) {
    (void)state;
    if (system("command -v dot >/dev/null 2>&1") != 0) skip();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(3, 4)), *w = ad_param(g, AD_F32, NULL, AD_SHAPE(2, 4));
    ad_var *y = ad_mean(ad_square(ad_softmax(ad_affine(x, w, NULL), -1)));
    ad_backward(y);
    FILE *dot = popen("dot -Tplain -o /dev/null", "w");
    assert_non_null(dot);
    assert_int_equal(ad_dump_dot(y, dot), AD_OK);
    assert_int_equal(pclose(dot), 0);
    ad_graph_free(g);
}

/* ---- names -------------------------------------------------------------------------------------------- */

static void names_in_errors_and_pictures(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    char text[] = "W1";
    ad_var *w = ad_name(ad_param(g, AD_F64, NULL, AD_SHAPE(2, 3)), text), *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3));
    text[0] = '?'; /* the Var has a copy of the text */
    assert_string_equal(ad_name_of(w), "W1");
    assert_null(ad_name_of(x));
    ad_matmul(w, x);
    assert_string_equal(ad_error(g), "matmul: W1 [2,3] x [2,3]: inner sizes 3 and 2 differ; transpose one?");
    ad_clear_error(g);
    ad_var *y = ad_name(ad_sum(ad_mul(w, x)), "a \"sum\"");
    char *picture = text_of(write_picture, y);
    assert_int_equal(count(picture, "label=\"W1\\nparam f64 [2,3]"), 1);
    assert_int_equal(count(picture, "label=\"a \\\"sum\\\"\\nf64"), 1);
    free(picture);
    ad_set(w, (double[]){ 1, 2, 3, 4, 5, 6 });
    assert_int_equal(ad_backward(y), AD_ESTALE);
    assert_string_equal(ad_error(g), "backward: operand 0 W1 [2,3] of mul was changed after mul ran; call ad_eval first");
    ad_graph_free(g);
}

static void names_change_and_end_with_their_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_name(ad_scalar(g, AD_F64, 1), "x");
    ad_name(x, "other");
    assert_string_equal(ad_name_of(x), "other");
    assert_null(ad_name_of(ad_name(x, NULL)));
    ad_var *old = ad_name(ad_scalar(g, AD_F64, 2), "old"), *young = ad_name(ad_scalar(g, AD_F64, 2), "young");
    assert_null(ad_name_of(ad_name(old, NULL)));
    assert_string_equal(ad_name_of(young), "young");
    assert_string_equal(ad_name_of(ad_name(old, "again")), "again");
    ad_name(ad_scalar(g, AD_F64, 2), "kept");
    for (int i = 0; i < 3; i++) { /* a new Var at the address of a Var of a closed scope does not get its name */
        ad_mark m = ad_begin(g);
        ad_var *y = ad_scalar(g, AD_F64, 3);
        assert_null(ad_name_of(y));
        ad_name(y, "y");
        ad_name(x, "named in a scope"); /* x keeps this name */
        ad_end(g, m);
    }
    assert_string_equal(ad_name_of(x), "named in a scope");
    assert_true(ad_is_nil(ad_name(NULL, "none")) && ad_name_of(NULL) == NULL);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print_in_the_layout_of_numpy),
        cmocka_unit_test(print_a_thousand),
        cmocka_unit_test(print_numbers),
        cmocka_unit_test(elements_and_gradients),
        cmocka_unit_test(names_of_dtypes_and_version),
        cmocka_unit_test(statistics_count_the_allocator),
        cmocka_unit_test(pictures_of_an_expression),
        cmocka_unit_test(pictures_change_nothing),
        cmocka_unit_test(pictures_of_arrays_leaves_and_attributes),
        cmocka_unit_test(enums_of_all_ops_have_names),
        cmocka_unit_test(pictures_have_the_names_of_enums),
        cmocka_unit_test(graphviz_reads_the_picture),
        cmocka_unit_test(names_in_errors_and_pictures),
        cmocka_unit_test(names_change_and_end_with_their_scope),
    };
    return cmocka_run_group_tests_name("look", tests, NULL, NULL);
}
