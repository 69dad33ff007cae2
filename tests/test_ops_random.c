/* test_ops_random.c: random variables: samples against the distributions of SciPy, log-probabilities, entropies and
   divergences against torch.distributions, gradients of samples, seeds, threads, errors. See
   tests/reference/distributions.py for the lines of the file of reference values. */
#include "common.h"

#include "autodiff/extend.h"
#include "ops/functional.h"
#include "ops/kernels/elementwise/loggamma.h"

/* ---- functions by name ------------------------------------------------------------------------------------------- */

typedef ad_var *call_fn(ad_var *const p[]);
#define P1 p[0]
#define P2 p[0], p[1]
#define P3 p[0], p[1], p[2]
#define P4 p[0], p[1], p[2], p[3]
#define CALL(name, ...) \
    static ad_var *call_##name(ad_var *const p[]) { return ad_##name(__VA_ARGS__); }
#define EACH(X)                                                                                                        \
    X(normal_log_prob, P3) X(normal_entropy, P1) X(normal_kl, P4) X(uniform_log_prob, P3) X(uniform_entropy, P2)       \
    X(exponential_log_prob, P2) X(exponential_entropy, P1) X(exponential_kl, P2) X(bernoulli_log_prob, P2)             \
    X(bernoulli_entropy, P1) X(bernoulli_kl, P2) X(poisson_log_prob, P2) X(gamma_log_prob, P3) X(gamma_entropy, P2)    \
    X(gamma_kl, P4) X(beta_log_prob, P3) X(beta_entropy, P2) X(beta_kl, P4) X(categorical_entropy, P1)                 \
    X(categorical_kl, P2) X(dirichlet_log_prob, P2) X(dirichlet_entropy, P1) X(dirichlet_kl, P2) X(exponential, P1)    \
    X(normal, P2) X(uniform, P2) X(gamma, P2) X(beta, P2) X(standard_loggamma, P1) X(bernoulli, P1) X(poisson, P1)     \
    X(exponential_like, P1) X(uniform_kl, P4) X(poisson_kl, P2)
EACH(CALL)
#define ROW(name, ...) { #name, call_##name },
static const struct {
    const char *name;
    call_fn *call;
} functions[] = { EACH(ROW) };

static call_fn *function(const char *name) {
    for (int i = 0; i < COUNT(functions); i++)
        if (strcmp(functions[i].name, name) == 0) return functions[i].call;
    fail_msg("%s is not in the table", name);
    return NULL;
}

/* ---- the file of reference values -------------------------------------------------------------------------------- */

enum { MOST = 80 };
typedef struct {
    char kind[16], name[40];
    int n;
    double v[MOST]; /* the numbers after the name */
} line;

/* Calls f for each line of the kind, whose numbers follow a name if it has one. */
static void each_line(const char *kind, bool named, void (*f)(const line *l)) {
    FILE *in = open_source("tests/reference/results_nn/distributions.txt");
    char text[8192];
    int lines = 0;
    while (fgets(text, sizeof text, in) != NULL) {
        line l = { .n = 0 };
        int at = 0, name = 0;
        assert_int_equal(sscanf(text, "%15s%n", l.kind, &at), 1);
        if (strcmp(l.kind, kind) != 0) continue;
        if (named) assert_int_equal(sscanf(text + at, "%39s%n", l.name, &name), 1);
        char *p = text + at + name, *end;
        for (; l.n < MOST; l.n++, p = end) {
            l.v[l.n] = strtod(p, &end);
            if (end == p) break;
        }
        assert_int_equal(*(p + strspn(p, " ")), '\n');
        f(&l), lines++;
    }
    fclose(in);
    assert_true(lines > 0);
}

/* ---- log-probabilities, entropies, divergences ------------------------------------------------------------------- */

/* A function of n rows of k numbers, k = 0 for numbers: value and slopes, by both rules. */
static void compare_function(const char *name, int n, int k, const double *v) {
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        const double tol = t == AD_F32 ? 2e-5 : 1e-12;
        const int each = k ? k : 1;
        ad_graph *g = ad_graph_new();
        ad_var *p[4], *dp[4];
        for (int i = 0; i < n; i++) p[i] = param_of(g, t, v + i * each, k ? AD_SHAPE(k) : AD_SCALAR);
        ad_var *y = function(name)(p);
        assert_ok(g);
        const double *want = v + n * each;
        assert_close_in(name, ad_item(y), *want++, tol);
        ad_backward(y);
        assert_int_equal(ad_gradient(y, n, p, dp), AD_OK);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < each; j++, want++) {
                if (isnan(*want)) continue;
                assert_close_in(name, ad_grad_at(p[i], j), *want, t == AD_F32 ? 1e-4 : 1e-9); /* torch's trigamma */
                assert_close_in(name, ad_at(dp[i], j), *want, t == AD_F32 ? 1e-4 : 1e-9); /* torch's trigamma */
            }
        ad_graph_free(g);
    }
}

static void compare_prob(const line *l) { compare_function(l->name, (int)l->v[0], 0, l->v + 1); }
static void compare_row(const line *l) { compare_function(l->name, (int)l->v[0], (int)l->v[1], l->v + 2); }

static void functions_are_those_of_torch(void **state) {
    (void)state;
    each_line("prob", true, compare_prob);
    each_line("row", true, compare_row);
}

static double twice_differentiable(call_fn *f, int n, double lo) {
    ad_graph *g = ad_graph_new();
    ad_var *p[4], *dp[4];
    double sum = 0;
    for (int i = 0; i < n; i++) p[i] = param_item(g, AD_F64, lo + 0.2 * i);
    assert_int_equal(ad_gradient(f(p), n, p, dp), AD_OK);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            ad_var *d, *x = p[j];
            assert_int_equal(ad_gradient(dp[i], 1, &x, &d), AD_OK);
            sum += fabs(ad_item(d));
        }
    ad_graph_free(g);
    return sum;
}

static void functions_have_second_derivatives(void **state) {
    (void)state;
    assert_true(isfinite(twice_differentiable(call_gamma_log_prob, 3, 0.5)));
    assert_true(isfinite(twice_differentiable(call_beta_kl, 4, 0.5)));
    assert_true(isfinite(twice_differentiable(call_normal_kl, 4, 0.5)));
    assert_true(isfinite(twice_differentiable(call_bernoulli_kl, 2, 0)));
    assert_close(twice_differentiable(call_bernoulli_entropy, 1, 0), 0.25, 1e-14); /* -p (1 - p) at 0 */
}

static void categorical_log_prob_picks_a_class(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double w[] = { 1, 2, 5, 4, 3, 1 };
    ad_var *logits = ad_log(ad_tensor(g, AD_F64, w, AD_SHAPE(2, 3)));
    ad_var *classes = ad_tensor(g, AD_F64, (double[]){ 2, 0 }, AD_SHAPE(2));
    ad_var *y = ad_categorical_log_prob(classes, logits);
    assert_shape(y, AD_SHAPE(2));
    assert_close(ad_at(y, 0), log(5 / 8.0), 1e-14);
    assert_close(ad_at(y, 1), log(4 / 8.0), 1e-14);
    ad_var *one = ad_select(logits, 0, 0), *many = ad_categorical_log_prob(ad_zeros(g, AD_F64, AD_SHAPE(4, 5)), one);
    assert_shape(many, AD_SHAPE(4, 5));
    assert_close(ad_at(many, 7), log(1 / 8.0), 1e-14);
    assert_fails(g, ad_categorical_log_prob(NULL, logits), AD_EVALUE, "NULL");
    ad_graph_free(g);
}

/* Classes that are impossible add 0, and slopes stay finite. */
static void impossible_classes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_var *p = param_of(g, t, (double[]){ 0, -INFINITY, 0 }, AD_SHAPE(3)), *d;
        ad_var *q = param_of(g, t, (double[]){ 0, 0, 0 }, AD_SHAPE(3));
        assert_close(ad_item(ad_categorical_entropy(p)), log(2), tolerance(t));
        assert_close(ad_item(ad_categorical_kl(p, q)), log(1.5), tolerance(t));
        assert_true(ad_item(ad_categorical_kl(q, p)) == (double)INFINITY);
        assert_close(ad_item(ad_categorical_kl(p, p)), 0, tolerance(t));
        ad_backward(ad_categorical_entropy(p));
        assert_int_equal(ad_gradient(ad_categorical_kl(p, q), 1, &p, &d), AD_OK);
        for (int i = 0; i < 3; i++) assert_true(isfinite(ad_grad_at(p, i)) && isfinite(ad_at(d, i)));
    }
    ad_graph_free(g);
}

/* ---- samples against SciPy --------------------------------------------------------------------------------------- */

static double critical_values[MOST];
static void keep_critical(const line *l) { critical_values[(int)l->v[0]] = l->v[1]; }

/* Pearson's chi-square of counts in cells with these probabilities, of n samples. Cells in which fewer than 5 are
   expected are joined to the next one. */
static void check_cells(const char *name, int cells, const double *probability, const int64_t *count, double n) {
    double statistic = 0, expected = 0, found = 0;
    int degrees = -1;
    for (int i = 0; i < cells; i++) {
        expected += n * probability[i], found += (double)count[i];
        if (expected < 5 && i < cells - 1) continue;
        if (expected > 0) statistic += (found - expected) * (found - expected) / expected, degrees++;
        expected = found = 0;
    }
    assert_true(degrees >= 1);
    if (!(statistic < critical_values[degrees]))
        fail_msg("%s: chi-square %g with %d degrees of freedom", name, statistic, degrees);
}

/* The mean and the variance of x are within five standard errors of the distribution's. */
static void check_moments(const char *name, const ad_var *x, double mean, double variance, double kurtosis) {
    double n = (double)ad_numel(x), sum = 0, squares = 0;
    for (int64_t i = 0; i < ad_numel(x); i++) {
        double d = ad_at(x, i) - mean;
        sum += d, squares += d * d;
    }
    assert_close_in(name, sum / n, 0, 5 * sqrt(variance / n));
    assert_close_in(name, squares / n / variance, 1, 5 * sqrt((kurtosis + 2) / n));
}

static ad_var *draw(ad_graph *g, ad_dtype t, const char *name, int n, const double *v) {
    ad_var *p[2] = { NULL, NULL };
    for (int i = 0; i < n; i++) p[i] = ad_full(g, t, v[i], AD_SHAPE(test_quick() ? 2000 : 100000));
    if (n == 0) p[0] = ad_zeros(g, t, AD_SHAPE(test_quick() ? 2000 : 100000));
    ad_var *x = function(name)(p);
    assert_ok(g);
    return x;
}

static void check_quantiles(const line *l) {
    enum { CELLS = 50 };
    int n = (int)l->v[0];
    const double *moment = l->v + 1 + n, *quantile = moment + 3;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = draw(g, t, l->name, n, l->v + 1);
        int64_t count[CELLS] = { 0 };
        double probability[CELLS];
        for (int64_t i = 0; i < ad_numel(x); i++) {
            int cell = 0;
            while (cell < CELLS - 1 && ad_at(x, i) >= quantile[cell]) cell++;
            count[cell]++;
        }
        for (int i = 0; i < CELLS; i++) probability[i] = 1.0 / CELLS;
        bool rounds = t == AD_F32 && strcmp(l->name, "beta") == 0; /* numbers near 1 and 0 */
        if (!rounds) check_cells(l->name, CELLS, probability, count, (double)ad_numel(x));
        check_moments(l->name, x, moment[0], moment[1], moment[2]);
        ad_graph_free(g);
    }
}

static void check_counts(const line *l) {
    int n = (int)l->v[0], cells = l->n - 4 - n;
    const double *moment = l->v + 1 + n;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = draw(g, t, l->name, n, l->v + 1);
        int64_t count[MOST] = { 0 };
        for (int64_t i = 0; i < ad_numel(x); i++) {
            double v = ad_at(x, i);
            assert_true(v >= 0 && v == floor(v));
            count[v < cells - 1 ? (int)v : cells - 1]++;
        }
        check_cells(l->name, cells, moment + 3, count, (double)ad_numel(x));
        check_moments(l->name, x, moment[0], moment[1], moment[2]);
        ad_graph_free(g);
    }
}

static void samples_have_their_distributions(void **state) {
    (void)state;
    each_line("critical", false, keep_critical);
    each_line("quantiles", true, check_quantiles);
    each_line("counts", true, check_counts);
}

/* The mean of component i is a_i / sum of a, and its variance m (1 - m) / (sum + 1). */
static void dirichlet_rows(void **state) {
    (void)state;
    const double a[] = { 0.2, 1, 3.5 };
    const int64_t n = test_quick() ? 1000 : 50000;
    ad_graph *g = ad_graph_new();
    ad_var *rows = ad_dirichlet(ad_expand(ad_tensor(g, AD_F64, a, AD_SHAPE(3)), AD_SHAPE(n, 3)));
    for (int64_t i = 0; i < n; i++)
        assert_close(ad_at(rows, 3 * i) + ad_at(rows, 3 * i + 1) + ad_at(rows, 3 * i + 2), 1, 1e-14);
    for (int c = 0; c < 3; c++) {
        double m = a[c] / 4.7, variance = m * (1 - m) / 5.7, sum = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) {
            double d = ad_at(rows, 3 * i + c) - m;
            sum += d, squares += d * d;
        }
        assert_close(sum / (double)n, 0, 5 * sqrt(variance / (double)n));
        assert_close(squares / (double)n / variance, 1, 5 * sqrt(6 / (double)n));
    }
    ad_graph_free(g);
}

/* With concentrations near 0, where gamma numbers underflow, the larger of two parts is the whole, with the right
   probability. */
static void tiny_concentrations(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const int64_t n = test_quick() ? 1000 : 20000;
    ad_var *x = ad_beta(ad_full(g, AD_F32, 1e-4, AD_SHAPE(n)), ad_full(g, AD_F32, 3e-4, AD_SHAPE(n)));
    double ones = 0, between = 0;
    for (int64_t i = 0; i < n; i++) ones += ad_at(x, i) > 0.5, between += ad_at(x, i) > 0.01 && ad_at(x, i) < 0.99;
    assert_close(ones / (double)n, 0.25, 5 * sqrt(0.1875 / (double)n));
    assert_true(between / (double)n < 0.01);
    ad_var *y = ad_gamma(ad_full(g, AD_F32, 1e-4, AD_SHAPE(n)), ad_ones(g, AD_F32, AD_SHAPE(n)));
    for (int64_t i = 0; i < n; i++) assert_true(ad_at(y, i) > 0 && isfinite(ad_at(y, i)));
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- class numbers ----------------------------------------------------------------------------------------------- */

static void check_classes(const char *name, const ad_var *y, int k, const double *probability) {
    int64_t count[16] = { 0 };
    for (int64_t i = 0; i < ad_numel(y); i++) {
        double c = ad_at(y, i);
        assert_true(c >= 0 && c < k && c == floor(c));
        count[(int)c]++;
        assert_true(probability[(int)c] > 0);
    }
    check_cells(name, k, probability, count, (double)ad_numel(y));
}

static void classes_by_their_probabilities(void **state) {
    (void)state;
    const double w[] = { 0, 0.1, 0.25, 0, 0.05, 0.6, 0 };
    const int64_t n = test_quick() ? 2000 : 50000;
    each_line("critical", false, keep_critical);
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *p = ad_muls(param_of(g, t, w, AD_SHAPE(7)), 3), *rows = ad_expand(p, AD_SHAPE(n, 7));
        check_classes("multinomial", ad_multinomial(p, n, true), 7, w);
        check_classes("multinomial, rows", ad_multinomial(rows, 1, true), 7, w);
        check_classes("first without replacement", ad_select(ad_multinomial(rows, 3, false), 1, 0), 7, w);
        check_classes("categorical", ad_categorical(ad_log(rows)), 7, w);
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* The probability of (i, j) is p_i p_j / (1 - p_i). */
static void pairs_without_replacement(void **state) {
    (void)state;
    enum { K = 3 };
    const double w[K] = { 0.5, 0.2, 0.3 };
    const int64_t n = test_quick() ? 2000 : 50000;
    each_line("critical", false, keep_critical);
    ad_graph *g = ad_graph_new();
    ad_var *y = ad_multinomial(ad_expand(ad_tensor(g, AD_F64, w, AD_SHAPE(K)), AD_SHAPE(n, K)), 2, false);
    assert_shape(y, AD_SHAPE(n, 2));
    double probability[K * K] = { 0 };
    int64_t count[K * K] = { 0 };
    for (int i = 0; i < K * K; i++) probability[i] = i / K == i % K ? 0 : w[i / K] * w[i % K] / (1 - w[i / K]);
    for (int64_t i = 0; i < n; i++) count[K * (int)ad_at(y, 2 * i) + (int)ad_at(y, 2 * i + 1)]++;
    for (int i = 0; i < K; i++) assert_int_equal(count[i * K + i], 0);
    check_cells("pairs", K * K, probability, count, (double)n);
    y = ad_multinomial(ad_ones(g, AD_F64, AD_SHAPE(K)), K, false); /* all of them */
    assert_close(ad_at(y, 0) + ad_at(y, 1) + ad_at(y, 2), 3, 0);
    ad_graph_free(g);
}

/* The hard sample is one-hot, has the gradient of the soft one, and picks classes by their probabilities. */
static void gumbel_softmax_samples(void **state) {
    (void)state;
    const double w[] = { 0.2, 0.5, 0.3 };
    const int64_t n = test_quick() ? 2000 : 20000;
    each_line("critical", false, keep_critical);
    ad_graph *g = ad_graph_new();
    ad_var *logits = ad_require_grad(ad_tensor(g, AD_F64, (double[]){ log(0.2), log(0.5), log(0.3) }, AD_SHAPE(3)));
    ad_var *rows = ad_expand(logits, AD_SHAPE(n, 3)), *weights = ad_randn(g, AD_F64, AD_SHAPE(n, 3));
    double slope[2][3];
    for (int hard = 0; hard < 2; hard++) {
        ad_seed(g, 5);
        ad_var *y = ad_gumbel_softmax(rows, 0.7, hard);
        check_classes("gumbel_softmax", ad_argmax_axis(y, -1, false), 3, w);
        for (int64_t i = 0; i < 30 && hard; i++) assert_true(fabs(ad_at(y, i) * (1 - ad_at(y, i))) < 1e-15);
        ad_zero_grad(logits);
        ad_backward(ad_sum(ad_mul(y, weights)));
        for (int i = 0; i < 3; i++) slope[hard][i] = ad_grad_at(logits, i);
    }
    for (int i = 0; i < 3; i++) assert_close(slope[1][i], slope[0][i], 1e-12);
    assert_fails(g, ad_gumbel_softmax(rows, 0, false), AD_EVALUE, "gumbel_softmax: [");
    ad_graph_free(g);
}

/* ---- gradients of samples ---------------------------------------------------------------------------------------- */

/* E by mpmath from its definition; x E is torch's slope, which has three to four digits. */
static void compare_slope(const line *l) {
    double a = l->v[0], y = l->v[1], got = ad__number_loggamma_slope(a, y, 0, 0);
    assert_relative(got, l->v[2], 2e-12);
    if (exp(y) > 1e-100) assert_close(exp(y) * got, l->v[3], 2e-3);
}
static void slopes_are_those_of_the_definition(void **state) {
    (void)state;
    each_line("gamma", false, compare_slope);
}

/* A number from the gamma distribution at a fixed value of its distribution function moves as the slope says: the
   derivatives of the means of x and of log x, a and psi(a), are 1 and psi'(a). */
static void slopes_of_means(void **state) {
    (void)state;
    const double a[] = { 0.3, 2.5, 40 };
    const int64_t n = test_quick() ? 2000 : 50000;
    for (int i = 0; i < COUNT(a); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *p = param_item(g, AD_F64, a[i]), *rate = param_item(g, AD_F64, 2), *one = ad_ones(g, AD_F64, AD_SCALAR);
        ad_var *x = ad_gamma(ad_expand(p, AD_SHAPE(n)), rate);
        ad_backward(ad_mean(x));
        assert_close(ad_grad_item(p), 0.5, 0.5 * 8 / sqrt((double)n * a[i]));
        assert_close(ad_grad_item(rate), -a[i] / 4, 5 * sqrt(a[i] / 16 / (double)n));
        ad_zero_grad(p);
        ad_backward(ad_mean(ad_standard_loggamma(ad_expand(p, AD_SHAPE(n)))));
        double want = ad_item(ad_polygamma(p, 1));
        assert_close(ad_grad_item(p) / want, 1, 8 / sqrt((double)n));
        ad_zero_grad(p);
        ad_backward(ad_mean(ad_beta(ad_expand(p, AD_SHAPE(n)), one))); /* mean a / (a + 1) */
        assert_close(ad_grad_item(p) * (a[i] + 1) * (a[i] + 1), 1, 12 / sqrt((double)n));
        ad_graph_free(g);
    }
}

/* d2 x / da2 at a fixed value of the distribution function, by differences of the slope along the way. */
static void second_derivative_of_a_sample(void **state) {
    (void)state;
    const double as[] = { 0.4, 3, 60 };
    for (int i = 0; i < COUNT(as); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = param_item(g, AD_F64, as[i]), *d, *dd;
        ad_var *y = ad_standard_loggamma(a);
        assert_int_equal(ad_gradient(y, 1, &a, &d), AD_OK);
        assert_int_equal(ad_gradient(d, 1, &a, &dd), AD_OK);
        double h = 1e-5 * as[i], l = ad_item(y), k1 = ad_item(d), ahead, behind;
        ahead = ad__number_loggamma_slope(as[i] + h, l + h * k1 + h * h / 2 * ad_item(dd), 0, 0);
        behind = ad__number_loggamma_slope(as[i] - h, l - h * k1 + h * h / 2 * ad_item(dd), 0, 0);
        assert_close(ad_item(dd) / ((ahead - behind) / (2 * h)), 1, 1e-6);
        ad_graph_free(g);
    }
}

static void gradients_end_at_order_four(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = param_item(g, AD_F64, 2), *d = ad_standard_loggamma(a);
    for (int i = 0; i < 4; i++) assert_int_equal(ad_gradient(d, 1, &a, &d), AD_OK);
    assert_int_equal(ad_gradient(d, 1, &a, &d), AD_EGRAD);
    assert_contains(ad_error(g), "derivatives of the numbers end at order 4");
    ad_graph_free(g);
}

/* ---- bits, threads, evaluation, checkpoints ---------------------------------------------------------------------- */

static const struct {
    const char *name;
    int n;
    double v[2];
} samplers[] = {
    { "exponential_like", 0, { 0 } }, { "bernoulli", 1, { 0.4 } }, { "poisson", 1, { 3 } }, { "poisson", 1, { 30 } },
    { "normal", 2, { 1, 2 } },        { "uniform", 2, { 1, 2 } },  { "gamma", 2, { 0.7, 2 } },
    { "beta", 2, { 0.7, 2 } },        { "standard_loggamma", 1, { 0.3 } },
};

static void same_elements(const ad_var *a, const ad_var *b) {
    assert_int_equal(ad_numel(a), ad_numel(b));
    assert_memory_equal(ad_data(a), ad_data(b), ad_bytes_of(a));
}

static void the_same_bits_for_any_number_of_threads(void **state) {
    (void)state;
    for (int i = 0; i < COUNT(samplers); i++) {
        ad_graph *g = ad_graph_new(), *h = ad_graph_new();
        ad_set_threads(h, 3);
        same_elements(draw(g, AD_F64, samplers[i].name, samplers[i].n, samplers[i].v),
                      draw(h, AD_F64, samplers[i].name, samplers[i].n, samplers[i].v));
        assert_true(ad_random_get(g).counter == ad_random_get(h).counter && ad_random_get(g).counter > 0);
        ad_graph_free(g);
        ad_graph_free(h);
    }
}

/* What is drawn next has no number of what was drawn before. */
static void draws_do_not_overlap(void **state) {
    (void)state;
    enum { N = 100 };
    ad_graph *g = ad_graph_new();
    ad_var *p = ad_full(g, AD_F64, 0.5, AD_SHAPE(N));
    ad_var *(*const all[])(ad_var *) = { ad_exponential_like, ad_standard_loggamma, ad_dirichlet };
    for (int i = 0; i < COUNT(all); i++) {
        ad_var *a = all[i](p), *b = all[i](p);
        for (int k = 0; k < N * N; k++) assert_true(ad_at(a, k / N) != ad_at(b, k % N));
    }
    ad_graph_free(g);
}

/* f32 numbers are the f64 numbers, rounded, where the parameter is the same. */
static void both_dtypes_draw_the_same(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *h = ad_graph_new();
    const double a = 0.5;
    ad_var *x = draw(g, AD_F32, "standard_loggamma", 1, &a), *y = draw(h, AD_F64, "standard_loggamma", 1, &a);
    for (int64_t i = 0; i < ad_numel(x); i++) assert_true(ad_at(x, i) == (double)(float)ad_at(y, i));
    ad_graph_free(g);
    ad_graph_free(h);
}

static int differing(const ad_var *x, const double *old) {
    int n = 0;
    for (int64_t i = 0; i < ad_numel(x); i++) n += ad_at(x, i) != old[i];
    return n;
}

static void eval_draws_anew(void **state) {
    (void)state;
    enum { N = 100 };
    ad_graph *g = ad_graph_new();
    ad_var *p = ad_full(g, AD_F64, 0.5, AD_SHAPE(N));
    ad_var *all[] = { ad_bernoulli(p), ad_poisson(p), ad_exponential(p), ad_gamma(p, p), ad_beta(p, p),
                      ad_dirichlet(p), ad_normal(p, p), ad_uniform(p, ad_muls(p, 2)), ad_multinomial(p, N, true),
                      ad_multinomial(p, N, false), ad_gumbel_softmax(p, 1, false) };
    for (int i = 0; i < COUNT(all); i++) {
        double old[N];
        for (int k = 0; k < N; k++) old[k] = ad_at(all[i], k);
        assert_int_equal(ad_eval(all[i]), AD_OK);
        assert_true(differing(all[i], old) > N / 8);
        ad_random_state at = ad_random_get(g);
        ad_eval(all[i]);
        for (int k = 0; k < N; k++) old[k] = ad_at(all[i], k);
        ad_random_set(g, at);
        ad_eval(all[i]);
        assert_int_equal(differing(all[i], old), 0);
    }
    ad_graph_free(g);
}

static ad_var *noisy(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    ad_var *p = ad_sigmoid(xs[0]), *pick = ad_multinomial(p, 4, false);
    ad_var *kept = ad_mul(ad_gamma(ad_exp(xs[0]), p), ad_bernoulli(p));
    return ad_sum(ad_mul(ad_take(kept, pick), ad_normal(pick, ad_take(p, pick))));
}

/* A checkpoint repeats the draws: its gradient is that without one. */
static void checkpoints_repeat_draws(void **state) {
    (void)state;
    double slope[2][8];
    for (int with = 0; with < 2; with++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 11);
        ad_var *x = param_of(g, AD_F64, (double[]){ 1, 2, 0, -1, 0.3, 0.7, 2, -2 }, AD_SHAPE(8)), *d;
        ad_var *y = with ? ad_checkpoint(noisy, NULL, 1, &x) : noisy(1, &x, NULL);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        for (int i = 0; i < 8; i++) {
            slope[with][i] = ad_grad_at(x, i);
            assert_close(ad_at(d, i), slope[with][i], 1e-12);
        }
        ad_graph_free(g);
    }
    for (int i = 0; i < 8; i++) assert_close(slope[1][i], slope[0][i], 1e-12);
}

/* ---- broadcasting and errors ------------------------------------------------------------------------------------- */

static void parameters_broadcast(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_full(g, AD_F64, 2, AD_SHAPE(3, 1)), *b = ad_full(g, AD_F64, 3, AD_SHAPE(40));
    ad_var *all[] = { ad_normal(a, b), ad_uniform(a, b), ad_gamma(a, b), ad_gamma(b, a), ad_beta(a, b) };
    for (int i = 0; i < COUNT(all); i++) {
        assert_shape(all[i], AD_SHAPE(3, 40));
        for (int k = 1; k < 120; k++) assert_true(ad_at(all[i], k) != ad_at(all[i], k - 1));
    }
    assert_ok(g);
    ad_graph_free(g);
}

static void bad_parameters(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double bad[] = { -0.5, NAN, INFINITY };
    for (int i = 0; i < COUNT(bad); i++) {
        ad_var *x = ad_tensor(g, AD_F64, (double[]){ 0.5, bad[i] }, AD_SHAPE(2));
        ad_var *one = ad_ones(g, AD_F64, AD_SHAPE(2));
        assert_fails(g, ad_bernoulli(x), AD_EVALUE, "bernoulli: [2]: element 1 is");
        assert_fails(g, ad_poisson(x), AD_EVALUE, "not a rate in 0..2^40");
        assert_fails(g, ad_gamma(x, one), AD_EVALUE, "standard_loggamma: [2]: element 1 is");
        assert_fails(g, ad_dirichlet(x), AD_EVALUE, "not a finite concentration above 0");
        assert_fails(g, ad_multinomial(x, 1, true), AD_EVALUE, "not a finite weight of 0 or more");
    }
    ad_var *minus = ad_full(g, AD_F64, -1, AD_SHAPE(2)), *none = ad_zeros(g, AD_F64, AD_SHAPE(2));
    assert_fails(g, ad_normal(minus, minus), AD_EVALUE, "normal: [2]: element 0 of std is -1; it must be 0 or more");
    assert_close(ad_at(ad_normal(minus, none), 1), -1, 0);
    assert_fails(g, ad_exponential(none), AD_EVALUE, "exponential: [2]: element 0 of rate is 0");
    assert_fails(g, ad_gamma(ad_ones(g, AD_F64, AD_SHAPE(2)), none), AD_EVALUE, "gamma: [2]: element 0 of rate is 0");
    assert_fails(g, ad_bernoulli(ad_full(g, AD_F64, 1.5, AD_SCALAR)), AD_EVALUE, "not a probability in 0..1");
    assert_fails(g, ad_standard_loggamma(ad_zeros(g, AD_F32, AD_SHAPE(1))), AD_EVALUE, "element 0 is 0");
    ad_var *w = ad_tensor(g, AD_F64, (double[]){ 1, 0, 2, 0, 0, 0 }, AD_SHAPE(2, 3));
    assert_fails(g, ad_multinomial(w, 1, true), AD_EVALUE, "the weights of row 1 add up to 0");
    assert_fails(g, ad_multinomial(ad_select(w, 0, 0), 3, false), AD_EVALUE, "has 2 weights above 0; 3 numbers");
    assert_fails(g, ad_multinomial(w, 4, false), AD_EVALUE, "4 numbers asked for");
    assert_fails(g, ad_multinomial(w, 0, true), AD_EVALUE, "n must be 1 or more");
    assert_fails(g, ad_multinomial(ad_ones(g, AD_F64, AD_SCALAR), 1, true), AD_ESHAPE, "not a scalar");
    assert_fails(g, ad_standard_loggamma_grad(w, w, 2, 2), AD_EVALUE, "at most 3 together");
    assert_fails(g, ad_standard_loggamma_grad(w, ad_ones(g, AD_F64, AD_SHAPE(2)), 0, 0), AD_ESHAPE, "one shape");
    assert_true(ad_is_nil(ad_gamma(NULL, NULL)) && ad_is_nil(ad_gumbel_softmax(NULL, 1, true)));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_those_of_torch),
        cmocka_unit_test(functions_have_second_derivatives),
        cmocka_unit_test(categorical_log_prob_picks_a_class),
        cmocka_unit_test(impossible_classes),
        cmocka_unit_test(samples_have_their_distributions),
        cmocka_unit_test(dirichlet_rows),
        cmocka_unit_test(tiny_concentrations),
        cmocka_unit_test(classes_by_their_probabilities),
        cmocka_unit_test(pairs_without_replacement),
        cmocka_unit_test(gumbel_softmax_samples),
        cmocka_unit_test(slopes_are_those_of_the_definition),
        cmocka_unit_test(slopes_of_means),
        cmocka_unit_test(second_derivative_of_a_sample),
        cmocka_unit_test(gradients_end_at_order_four),
        cmocka_unit_test(the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(draws_do_not_overlap),
        cmocka_unit_test(both_dtypes_draw_the_same),
        cmocka_unit_test(eval_draws_anew),
        cmocka_unit_test(checkpoints_repeat_draws),
        cmocka_unit_test(parameters_broadcast),
        cmocka_unit_test(bad_parameters),
    };
    return cmocka_run_group_tests_name("random variables", tests, NULL, NULL);
}
