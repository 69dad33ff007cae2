/* test_random.c: the random numbers of a graph: the published values of Philox, seeds, distributions. */
#include "tests/common.h"

/* ---- Philox 4x32-10 by Salmon et al., "Parallel random numbers", SC 2011 ------------------------- */

typedef struct {
    uint32_t counter[4], key[2], result[4];
} known_answer;

/* From the file kat_vectors, which is published with Random123. */
static const known_answer published[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
      { 0xffffffff, 0xffffffff },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
      { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

static void philox_by_the_paper(const uint32_t counter[4], const uint32_t key[2], uint32_t c[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    memcpy(c, counter, 4 * sizeof *c);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xd2511f53 * c[0], p1 = (uint64_t)0xcd9e8d57 * c[2];
        uint32_t next[4] = { (uint32_t)(p1 >> 32) ^ c[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k1,
                             (uint32_t)p0 };
        memcpy(c, next, sizeof next);
        k0 += 0x9e3779b9;
        k1 += 0xbb67ae85;
    }
}

static void the_reference_gives_the_published_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        uint32_t c[4];
        philox_by_the_paper(published[i].counter, published[i].key, c);
        assert_memory_equal(c, published[i].result, sizeof c);
    }
}

static void a_new_graph_gives_the_published_values(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    uint32_t bits[4];
    ad_random_bits(g, 4, bits);
    assert_memory_equal(bits, published[0].result, sizeof bits);
    ad_seed(g, UINT64_MAX);
    ad_seed(g, 0);
    ad_random_bits(g, 4, bits);
    assert_memory_equal(bits, published[0].result, sizeof bits);
    ad_graph_free(g);
}

/* Block i of the numbers of a seed is Philox with counter i and the seed as key, low word first. */
static void bits_are_a_function_of_seed_and_counter(void **state) {
    (void)state;
    static const uint64_t seeds[] = { 0, 1, 42, 0x123456789abcdef0u, UINT64_MAX };
    enum { BLOCKS = 100 };
    for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, seeds[s]);
        uint32_t bits[4 * BLOCKS], c[4], key[2] = { (uint32_t)seeds[s], (uint32_t)(seeds[s] >> 32) };
        ad_random_bits(g, 4 * BLOCKS, bits);
        for (uint32_t i = 0; i < BLOCKS; i++) {
            philox_by_the_paper((uint32_t[]){ i, 0, 0, 0 }, key, c);
            assert_memory_equal(bits + 4 * i, c, sizeof c);
        }
        ad_graph_free(g);
    }
}

/* ---- leaves of random numbers --------------------------------------------------------------------- */

typedef ad_var *draw_fn(ad_graph *g, ad_dtype t, ad_shape s);
static draw_fn *const draws[] = { ad_rand, ad_randn };

static bool same_numbers(const ad_var *a, const ad_var *b) {
    for (int64_t i = 0; i < ad_numel(a); i++)
        if (ad_at(a, i) != ad_at(b, i)) return false;
    return true;
}

static void the_same_seed_gives_the_same_numbers(void **state) {
    (void)state;
    for (int d = 0; d < 2; d++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new(), *h = ad_graph_new();
            ad_seed(g, 7);
            ad_seed(h, 7);
            ad_var *a = draws[d](g, t, AD_SHAPE(7, 11)), *b = draws[d](h, t, AD_SHAPE(7, 11));
            assert_true(same_numbers(a, b));
            assert_false(same_numbers(a, draws[d](g, t, AD_SHAPE(7, 11)))); /* the sequence continues */
            ad_seed(g, 8);
            assert_false(same_numbers(a, draws[d](g, t, AD_SHAPE(7, 11))));
            ad_seed(g, 7);
            assert_true(same_numbers(a, draws[d](g, t, AD_SHAPE(77))));
            ad_graph_free(g);
            ad_graph_free(h);
        }
}

/* A uniform number is a binary fraction of random bits: the top 24 bits of one word, or the top 53 bits of two words.
   */
static void uniform_numbers_are_the_bits(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *narrow = ad_rand(g, AD_F32, AD_SHAPE(4));
    ad_seed(g, 0);
    ad_var *wide = ad_rand(g, AD_F64, AD_SHAPE(2));
    const uint32_t *w = published[0].result;
    for (int i = 0; i < 4; i++) assert_true(ad_at(narrow, i) == floor(w[i] / 256.0) / 16777216);
    for (int i = 0; i < 2; i++) {
        double fraction = floor(((double)w[2 * i] * 0x1p32 + (w[2 * i + 1] & ~2047u)) / 2048) * 0x1p-53;
        assert_true(ad_at(wide, i) == fraction);
    }
    ad_graph_free(g);
}

/* Sample moments about the origin are within five standard errors of the moments of the distribution. */
static void check_moments(const ad_var *x, const double *expected, int n_moments, const double *deviation) {
    int64_t n = ad_numel(x);
    for (int k = 1; k <= n_moments; k++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += pow(ad_at(x, i), k);
        assert_close(sum / (double)n, expected[k - 1], 5 * deviation[k - 1] / sqrt((double)n));
    }
}

/* u^k has the mean 1/(k+1) and the variance 1/(2k+1) - 1/(k+1)^2. */
static void uniform_moments_and_range(void **state) {
    (void)state;
    static const double mean[] = { 1 / 2.0, 1 / 3.0, 1 / 4.0, 1 / 5.0 };
    double deviation[4];
    for (int k = 1; k <= 4; k++) deviation[k - 1] = sqrt(1.0 / (2 * k + 1) - 1.0 / ((k + 1) * (k + 1)));
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_rand(g, t, AD_SHAPE(test_quick() ? 1000 : 200000));
        for (int64_t i = 0; i < ad_numel(x); i++) assert_true(ad_at(x, i) >= 0 && ad_at(x, i) < 1);
        check_moments(x, mean, 4, deviation);
        ad_graph_free(g);
    }
}

/* z^k has the means 0, 1, 0, 3 and the variances 1, 2, 15, 96 for k = 1 to 4. */
static void normal_moments(void **state) {
    (void)state;
    static const double mean[] = { 0, 1, 0, 3 };
    const double deviation[] = { 1, sqrt(2), sqrt(15), sqrt(96) };
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_randn(g, t, AD_SHAPE(test_quick() ? 1000 : 200000));
        for (int64_t i = 0; i < ad_numel(x); i++) assert_true(isfinite(ad_at(x, i)));
        check_moments(x, mean, 4, deviation);
        ad_graph_free(g);
    }
}

/* The fraction of normal numbers below each threshold is that of the distribution function. */
static void normal_distribution(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(test_quick() ? 1000 : 200000));
    double n = (double)ad_numel(x);
    for (double at = -3; at <= 3; at += 0.5) {
        double below = 0, p = 0.5 * erfc(-at / sqrt(2));
        for (int64_t i = 0; i < ad_numel(x); i++) below += ad_at(x, i) < at;
        assert_close(below / n, p, 5 * sqrt(p * (1 - p) / n));
    }
    ad_graph_free(g);
}

/* Neighbours are uncorrelated, such as the two numbers of a pair by Box and Muller. */
static void neighbours_are_independent(void **state) {
    (void)state;
    for (int d = 0; d < 2; d++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = draws[d](g, AD_F64, AD_SHAPE(test_quick() ? 1000 : 100000));
        double sum = 0, mean = d == 0 ? 0.5 : 0, variance = d == 0 ? 1 / 12.0 : 1;
        for (int64_t i = 0; i + 1 < ad_numel(x); i++) sum += (ad_at(x, i) - mean) * (ad_at(x, i + 1) - mean);
        assert_close(sum / (double)ad_numel(x) / variance, 0, 5 / sqrt((double)ad_numel(x)));
        ad_graph_free(g);
    }
}

static void normal_numbers_agree_in_both_dtypes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *narrow = ad_randn(g, AD_F32, AD_SHAPE(999));
    ad_seed(g, 0);
    ad_var *wide = ad_randn(g, AD_F64, AD_SHAPE(999));
    for (int i = 0; i < 999; i++) assert_true(ad_at(narrow, i) == (float)ad_at(wide, i));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_gives_the_published_values),
        cmocka_unit_test(a_new_graph_gives_the_published_values),
        cmocka_unit_test(bits_are_a_function_of_seed_and_counter),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(uniform_numbers_are_the_bits),
        cmocka_unit_test(uniform_moments_and_range),
        cmocka_unit_test(normal_moments),
        cmocka_unit_test(normal_distribution),
        cmocka_unit_test(neighbours_are_independent),
        cmocka_unit_test(normal_numbers_agree_in_both_dtypes),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
