/* test_leaves.c: ad_backward_with: each leaf is told of once, when its gradient is what it is after the pass. */
#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

enum { MOST = 64 };
typedef struct {
    int n;
    const ad_var *leaf[MOST];
    double sum[MOST]; /* of the squares of the gradient when it was told of */
} record;

static double norm_of(const ad_var *x) {
    double sum = 0;
    for (int64_t i = 0; i < ad_numel(x); i++) sum += ad_grad_at(x, i) * ad_grad_at(x, i);
    return sum;
}

static void note(ad_var *leaf, void *data) {
    record *r = data;
    assert_true(r->n < MOST);
    r->leaf[r->n] = leaf;
    r->sum[r->n++] = norm_of(leaf);
}

static int place_of(const record *r, const ad_var *leaf) {
    for (int i = 0; i < r->n; i++)
        if (r->leaf[i] == leaf) return i;
    return -1;
}

/* Nine leaves of two by two; each of 40 results is made of two of the leaves and results before it. */
enum { LEAVES = 9, RESULTS = 40 };
static ad_var *random_graph(ad_graph *g, ad_var *x[]) {
    ad_var *all[LEAVES + RESULTS];
    uint32_t draw[2];
    for (int i = 0; i < LEAVES; i++) {
        x[i] = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2, 2)));
        all[i] = x[i];
    }
    for (int i = LEAVES; i < LEAVES + RESULTS; i++) {
        ad_random_bits(g, 2, draw);
        ad_var *a = all[draw[0] % (unsigned)i], *b = all[draw[1] % (unsigned)i];
        all[i] = i % 3 == 0 ? ad_matmul(ad_tanh(a), b) : i % 3 == 1 ? ad_sub(a, b) : ad_sin(ad_mul(a, b));
    }
    return ad_sum(all[LEAVES + RESULTS - 1]);
}

static void gradients_are_complete_when_told(void **state) {
    (void)state;
    int early = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        ad_graph *g = ad_graph_new();
        ad_var *x[LEAVES];
        record r = { 0 };
        ad_seed(g, seed);
        ad_keep_grads(g, seed % 2 == 0);
        ad_var *y = random_graph(g, x);
        if (!ad_requires_grad(y)) continue;
        assert_int_equal(ad_backward_with(y, NULL, LEAVES, x, note, &r), AD_OK);
        assert_int_equal(r.n, LEAVES);
        double again[LEAVES];
        for (int i = 0; i < r.n; i++) {
            assert_true(r.sum[i] == norm_of(r.leaf[i]));
            again[i] = norm_of(x[i]);
            early += r.sum[i] == 0;
        }
        for (int i = 0; i < LEAVES; i++) ad_zero_grad(x[i]);
        ad_backward(y);
        for (int i = 0; i < LEAVES; i++) assert_true(norm_of(x[i]) == again[i] && place_of(&r, x[i]) >= 0);
        ad_graph_free(g);
    }
    assert_true(early > 0); /* some leaves are not reached */
}

/* The parameters of a network are complete from its end to its beginning. */
static void layers_end_from_the_last_to_the_first(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_mlp(g, AD_F64, 4, (int64_t[]){ 3, 5, 4, 2 }, ad_tanh);
    ad_var *all[MOST], *unused = ad_param(g, AD_F64, NULL, AD_SHAPE(2));
    int n = nn_parameter_count(net);
    for (int i = 0; i < n; i++) all[i] = nn_parameter_at(net, i).var;
    all[n] = unused;
    record r = { 0 };
    ad_var *y = ad_sum(ad_square(nn_apply(net, ad_ones(g, AD_F64, AD_SHAPE(6, 3)))));
    assert_int_equal(ad_backward_with(y, NULL, n + 1, all, note, &r), AD_OK);
    assert_ptr_equal(r.leaf[0], unused);
    for (int i = 0; i < n; i += 2) /* weight and bias of a layer end together */
        assert_int_equal((place_of(&r, all[n - 2 - i]) - 1) / 2, i / 2);
    ad_graph_free(g);
}

/* In the caller's order, whatever their addresses. */
static void leaves_that_end_together_are_told_of_in_order(void **state) {
    (void)state;
    enum { N = 6 };
    const int order[N] = { 4, 0, 3, 5, 1, 2 };
    ad_graph *g = ad_graph_new();
    ad_var *x[N], *list[N];
    for (int i = 0; i < N; i++) x[i] = ad_param(g, AD_F64, (double[]){ i }, AD_SHAPE(1));
    for (int i = 0; i < N; i++) list[i] = x[order[i]];
    record r = { 0 };
    assert_int_equal(ad_backward_with(ad_sum(ad_concat(N, x, 0)), NULL, N, list, note, &r), AD_OK);
    for (int i = 0; i < N; i++) assert_true(r.leaf[i] == list[i] && r.sum[i] == 1);
    ad_graph_free(g);
}

static void seeds_duplicates_and_roots_that_are_leaves(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2)), *y = ad_square(x);
    ad_var *twice[] = { x, x }, *seed = ad_tensor(g, AD_F64, (double[]){ 3, 5 }, AD_SHAPE(2));
    record r = { 0 };
    assert_int_equal(ad_backward_with(y, seed, 2, twice, note, &r), AD_OK);
    assert_int_equal(r.n, 2);
    assert_true(r.sum[0] == 6 * 6 + 20 * 20 && r.sum[1] == r.sum[0]);
    ad_var *one = ad_param(g, AD_F64, (double[]){ 4 }, AD_SCALAR);
    assert_int_equal(ad_backward_with(one, NULL, 1, &one, note, &r), AD_OK);
    assert_true(r.n == 3 && r.sum[2] == 1);
    assert_int_equal(ad_backward_with(ad_sum(y), NULL, 0, NULL, NULL, NULL), AD_OK);
    assert_ok(g);
    ad_graph_free(g);
}

/* A graph that is evaluated again runs as a flat program, and one in which anomalies are looked for by another loop. */
static void other_loops_tell_afterwards(void **state) {
    (void)state;
    for (int anomalies = 0; anomalies < 2; anomalies++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR), *y = ad_mul(ad_sin(x), x);
        ad_detect_anomaly(g, anomalies);
        for (int i = 0; i < 300; i++) ad_eval(y);
        record r = { 0 };
        assert_int_equal(ad_backward_with(y, NULL, 1, &x, note, &r), AD_OK);
        double slope = cos(0.5) * 0.5 + sin(0.5);
        assert_int_equal(r.n, 1);
        assert_close(r.sum[0], slope * slope, 1e-14);
        assert_true(r.sum[0] == norm_of(x));
        ad_graph_free(g);
    }
}

/* What it is told of may be changed, and is what a later pass adds to. */
static void halve(ad_var *leaf, void *data) {
    (void)data;
    double *grad = ad_grad_mut(leaf);
    for (int64_t i = 0; i < ad_numel(leaf); i++) grad[i] /= 2;
}

/* Fails in the second call, or differentiates something else. */
static void fail_second(ad_var *leaf, void *data) {
    if (++*(int *)data == 2) ad_fail(ad_graph_of(leaf), AD_EIO, "the line is cut");
}
static void differentiate_another(ad_var *leaf, void *data) {
    ad_graph *g = ad_graph_of(leaf);
    ad_var *z = ad_param(g, AD_F64, (double[]){ 3 }, AD_SCALAR);
    ad_backward(ad_square(z));
    *(double *)data = ad_grad_item(z);
}
static void differentiate_the_same(ad_var *leaf, void *data) {
    (void)leaf;
    ad_backward(data);
}

static void what_the_function_does(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x[2], *y;
    for (int i = 0; i < 2; i++) x[i] = ad_param(g, AD_F64, (double[]){ 2 + i }, AD_SCALAR);
    y = ad_mul(ad_square(x[0]), ad_sin(ad_mul(x[1], x[1])));
    assert_int_equal(ad_backward_with(y, NULL, 2, x, halve, NULL), AD_OK);
    assert_close(ad_grad_item(x[0]), 2 * sin(9.0), 1e-14);
    double other = 0;
    assert_int_equal(ad_backward_with(y, NULL, 1, x, differentiate_another, &other), AD_OK);
    assert_true(other == 6);
    assert_close(ad_grad_item(x[0]), 6 * sin(9.0), 1e-14);
    int calls = 0;
    assert_int_equal(ad_backward_with(y, NULL, 2, x, fail_second, &calls), AD_EIO);
    assert_string_equal(ad_error(g), "the line is cut");
    ad_clear_error(g);
    assert_int_equal(ad_backward_with(y, NULL, 2, x, differentiate_the_same, y), AD_EGRAD);
    ad_clear_error(g);
    ad_zero_grad(y);
    assert_int_equal(ad_backward(y), AD_OK); /* the pass that was ended has left nothing behind */
    assert_close(ad_grad_item(x[0]), 4 * sin(9.0), 1e-14);
    ad_graph_free(g);
}

static void bad_arguments_have_sentences(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *h = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(2)), *y = ad_sum(x), *z = ad_square(x);
    ad_var *foreign = ad_param(h, AD_F64, NULL, AD_SCALAR), *none = NULL;
    record r = { 0 };
#define REFUSED(code, ...)                                                                                             \
    do {                                                                                                               \
        assert_int_equal(ad_backward_with(__VA_ARGS__), code);                                                         \
        assert_non_null(strstr(ad_error(g), "backward_with: "));                                                       \
        ad_clear_error(g);                                                                                             \
    } while (0)
    REFUSED(AD_ESHAPE, z, NULL, 1, &x, note, &r);
    REFUSED(AD_ESHAPE, z, y, 1, &x, note, &r);
    REFUSED(AD_EVALUE, y, NULL, -1, &x, note, &r);
    REFUSED(AD_EVALUE, y, NULL, 1, NULL, note, &r);
    REFUSED(AD_EVALUE, y, NULL, 1, &x, NULL, &r);
    REFUSED(AD_EVALUE, y, NULL, 1, &none, note, &r);
    REFUSED(AD_EVALUE, y, NULL, 1, &z, note, &r);
    REFUSED(AD_EGRAPH, y, NULL, 1, &foreign, note, &r);
    REFUSED(AD_EGRAD, ad_scalar(g, AD_F64, 1), NULL, 1, &x, note, &r);
    assert_int_equal(r.n, 0);
    ad_graph_free(g);
    ad_graph_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_complete_when_told),
        cmocka_unit_test(layers_end_from_the_last_to_the_first),
        cmocka_unit_test(leaves_that_end_together_are_told_of_in_order),
        cmocka_unit_test(seeds_duplicates_and_roots_that_are_leaves),
        cmocka_unit_test(other_loops_tell_afterwards),
        cmocka_unit_test(what_the_function_does),
        cmocka_unit_test(bad_arguments_have_sentences),
    };
    return cmocka_run_group_tests_name("leaves", tests, NULL, NULL);
}
