/* test_functions.c: the functions that are made of ops, compared with PyTorch: values, first and second derivatives. The
   operands and PyTorch's numbers are in tests/reference/functions.txt, which functions.py beside it writes. */
#include "tests/common.h"
#include "tests/reference/sample.h"

#include "autodiff/extend.h"
#include "nn/nn.h"

enum { MOST_OPERANDS = 4 };
#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

/* ---- the functions --------------------------------------------------------------------------------------- */

typedef ad_var *call_fn(ad_graph *g, ad_var *const x[]);
#define X x[0]
#define Y x[1]
#define Z x[2]
#define CALL(name, ...)                                                                                                \
    static ad_var *call_##name(ad_graph *g, ad_var *const x[]) {                                                       \
        (void)g, (void)x;                                                                                              \
        return __VA_ARGS__;                                                                                            \
    }

CALL(index_fill, ad_index_fill(X, 0, Y, 2.5))
CALL(index_fill_last, ad_index_fill(X, -1, Y, -1))
CALL(put, ad_put_flat(X, Y, Z, false))
CALL(put_accumulate, ad_put_flat(X, Y, Z, true))
CALL(scatter_sum, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_SUM, true))
CALL(scatter_sum_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_SUM, false))
CALL(scatter_mean, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_MEAN, true))
CALL(index_mean, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_MEAN, true))
CALL(scatter_mean_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_MEAN, false))
CALL(index_mean_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_MEAN, false))
CALL(scatter_prod, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_PROD, true))
CALL(index_prod, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_PROD, true))
CALL(scatter_prod_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_PROD, false))
CALL(index_prod_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_PROD, false))
CALL(scatter_amax, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMAX, true))
CALL(index_amax, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMAX, true))
CALL(scatter_amax_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMAX, false))
CALL(index_amax_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMAX, false))
CALL(scatter_amin, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMIN, true))
CALL(index_amin, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMIN, true))
CALL(scatter_amin_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMIN, false))
CALL(index_amin_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMIN, false))
CALL(scatter_part, ad_scatter(X, 0, Y, Z))
CALL(embedding_with, ad_embedding_with(X, Y, -1))
CALL(masked_fill_wide, ad_masked_fill(X, Y, -2))
CALL(nonzero, ad_nonzero(X))
CALL(masked_select, ad_masked_select(X, Y))
CALL(masked_select_wide, ad_masked_select(X, Y))
CALL(masked_scatter, ad_masked_scatter(X, Y, Z))
CALL(index_two, ad_index(X, 2, x + 1))
CALL(index_apart, ad_index(X, 3, (ad_var *[]){ Y, NULL, Z }))
CALL(index_inner, ad_index(X, 3, (ad_var *[]){ NULL, Y, Z }))
CALL(index_one, ad_index(X, 2, (ad_var *[]){ NULL, Y }))
CALL(index_put, ad_index_put(X, 2, x + 1, x[3], false))
CALL(index_put_accumulate, ad_index_put(X, 2, x + 1, x[3], true))
CALL(index_put_apart, ad_index_put(X, 3, (ad_var *[]){ Y, NULL, Z }, x[3], false))

static const struct {
    const char *name;
    call_fn *f;
} calls[] = {
#define ROW(name) { #name, call_##name }
    ROW(index_fill), ROW(index_fill_last), ROW(put), ROW(put_accumulate),
    ROW(scatter_sum), ROW(scatter_sum_alone), ROW(scatter_mean), ROW(index_mean), ROW(scatter_mean_alone),
    ROW(index_mean_alone), ROW(scatter_prod), ROW(index_prod), ROW(scatter_prod_alone), ROW(index_prod_alone),
    ROW(scatter_amax), ROW(index_amax), ROW(scatter_amax_alone), ROW(index_amax_alone), ROW(scatter_amin),
    ROW(index_amin), ROW(scatter_amin_alone), ROW(index_amin_alone), ROW(scatter_part), ROW(embedding_with),
    ROW(masked_fill_wide), ROW(nonzero), ROW(masked_select), ROW(masked_select_wide), ROW(masked_scatter),
    ROW(index_two), ROW(index_apart), ROW(index_inner), ROW(index_one), ROW(index_put), ROW(index_put_accumulate),
    ROW(index_put_apart),
};

static int find_call(const char *name) {
    for (int i = 0; i < COUNT(calls); i++)
        if (strcmp(calls[i].name, name) == 0) return i;
    fail_msg("functions.txt has the case %s, which test_functions.c has not", name);
    return -1;
}

/* ---- the file: a line is a word and an array, as "value [2,3] 1 2 3 4 5 6" ------------------------------- */

static const char *behind(const char *at, const char *word) {
    size_t n = strlen(word);
    return strncmp(at, word, n) == 0 && at[n] == ' ' ? at + n + 1 : NULL;
}

/* Reads a shape, and moves *at to the numbers. */
static ad_shape read_shape(const char **at) {
    ad_shape s = AD_SCALAR;
    for ((*at)++; **at != ']'; *at += **at == ',') {
        char *end;
        s.dim[s.ndim++] = strtoll(*at, &end, 10);
        assert_true(end > *at && s.ndim <= AD_MAX_NDIM);
        *at = end;
    }
    ++*at;
    return s;
}

static ad_var *read_array(ad_graph *g, ad_dtype t, bool param, const char *at) {
    ad_shape s = read_shape(&at);
    ad_var *x = param ? ad_param(g, t, NULL, s) : ad_zeros(g, t, s);
    void *data = ad_data_mut(x);
    for (int64_t i = 0; i < ad_numel(x); i++) {
        char *end;
        ad_write_element(t, data, i, strtod(at, &end));
        assert_true(end > at);
        at = end;
    }
    assert_ok(g);
    return x;
}

/* Compares an array with the line at `at`. */
static void compare(const char *name, const char *what, ad_var *got, const char *at) {
    bool wide = ad_dtype_of(got) == AD_F64;
    double tol = wide ? 1e-11 : what[0] == 's' ? 2e-3 : 2e-4;
    ad_shape s = read_shape(&at);
    if (!ad_shape_equal(s, ad_shape_of(got)))
        fail_msg("%s: %s is %s, not %s", name, what, ad_shape_str(ad_shape_of(got)).text, ad_shape_str(s).text);
    for (int64_t i = 0; i < ad_numel(got); i++) {
        char *end;
        double want = strtod(at, &end);
        assert_true(end > at);
        at = end;
        if (is_close(ad_at(got, i), want, tol)) continue;
        fail_msg("%s, %s, element %lld of %s: %.17g is not %.17g", name, what, (long long)i, ad_dtype_name(ad_dtype_of(got)),
                 ad_at(got, i), want);
    }
}

/* ---- one case -------------------------------------------------------------------------------------------- */

/* The sum of the elements of x times sample_weight. */
static ad_var *weighted(ad_var *x) {
    ad_var *w = ad_zeros(ad_graph_of(x), ad_dtype_of(x), ad_shape_of(x));
    void *data = ad_data_mut(w);
    for (int64_t i = 0; i < ad_numel(w); i++) ad_write_element(ad_dtype_of(w), data, i, sample_weight(i));
    return ad_sum(ad_mul(x, w));
}

static const char *next_line(const char *at) {
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at + strlen(at);
}

/* Compares n arrays with the lines "what [..] ..", and returns what follows. */
static const char *compare_all(const char *name, const char *what, int n, ad_var *const got[], const char *at) {
    for (int i = 0; i < n; i++, at = next_line(at)) {
        if (behind(at, what) == NULL) fail_msg("%s: functions.txt has no line \"%s\"", name, what);
        compare(name, what, got[i], behind(at, what));
    }
    return at;
}

/* ad_backward gives what ad_gradient gives. */
static void compare_backward(const char *name, ad_var *y, int n, ad_var *const xs[], ad_var *const dxs[]) {
    assert_int_equal(ad_backward(y), AD_OK);
    double tol = ad_dtype_of(y) == AD_F64 ? 1e-11 : 2e-4;
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < ad_numel(xs[i]); k++)
            if (!is_close(ad_grad_at(xs[i], k), ad_at(dxs[i], k), tol))
                fail_msg("%s: operand %d, element %lld: backward %g, gradient %g", name, i, (long long)k,
                         ad_grad_at(xs[i], k), ad_at(dxs[i], k));
}

static const char *check_case(ad_graph *g, ad_dtype t, int call, const char *at) {
    const char *name = calls[call].name;
    ad_var *x[MOST_OPERANDS] = { NULL }, *takers[MOST_OPERANDS], *d[MOST_OPERANDS], *dd[MOST_OPERANDS];
    int n = 0, k = 0;
    for (; behind(at, "param") || behind(at, "tensor"); at = next_line(at), n++) {
        bool param = behind(at, "param") != NULL;
        assert_true(n < MOST_OPERANDS);
        x[n] = read_array(g, t, param, behind(at, param ? "param" : "tensor"));
        if (param) takers[k++] = x[n];
    }
    ad_var *y = calls[call].f(g, x);
    if (!ad_ok(g)) fail_msg("%s: %s", name, ad_error(g));
    at = compare_all(name, "value", 1, &y, at);
    if (k == 0) return at;
    y = ad_cast(weighted(y), t);
    if (ad_gradient(y, k, takers, d) != AD_OK) fail_msg("%s: %s", name, ad_error(g));
    compare_backward(name, y, k, takers, d);
    at = compare_all(name, "grad", k, d, at);
    ad_var *sum = weighted(d[0]);
    for (int i = 1; i < k; i++) sum = ad_add(sum, weighted(d[i]));
    if (ad_gradient(sum, k, takers, dd) != AD_OK) fail_msg("%s, second: %s", name, ad_error(g));
    return compare_all(name, "second", k, dd, at);
}

static void every_function(ad_dtype t) {
    ad_graph *g = ad_graph_new();
    char *text = whole_file(source_path("tests/reference/functions.txt"));
    bool seen[COUNT(calls)] = { false };
    assert_non_null(text);
    for (const char *at = next_line(text); *at != '\0';) {
        char name[80];
        assert_int_equal(sscanf(at, "function %79s", name), 1);
        ad_mark m = ad_begin(g);
        int call = find_call(name);
        seen[call] = true;
        at = check_case(g, t, call, next_line(at));
        ad_end(g, m);
    }
    for (int i = 0; i < COUNT(calls); i++)
        if (!seen[i]) fail_msg("functions.txt has no case %s", calls[i].name);
    free(text);
    ad_graph_free(g);
}

static void in_f64(void **state) {
    (void)state;
    every_function(AD_F64);
}
static void in_f32(void **state) {
    (void)state;
    every_function(AD_F32);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(in_f64), cmocka_unit_test(in_f32) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
