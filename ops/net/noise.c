/* noise.c: random arrays that are drawn anew on each evaluation, and activations made with them. */
#include "ops/base/attrs.h"
#include "ops/ops.h"

/* ---- helpers: both dtypes draw the same bits, so that f32 results are f64 ones rounded ------------------ */

static int like_shape(ad_call *c) { return (void)c, AD_OK; }

static void like_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SCALAR, AD_SHAPE(0), AD_SHAPE(5), AD_SHAPE(2, 3), AD_SHAPE(67) };
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 1, &shapes[i], NULL, NULL);
}

#define LIKE(name, doc_, formula_)                                                                                     \
    static void name##_samples(ad_sampler *s) { like_samples(s); }                                                     \
    AD_OPTYPE(name, .doc = doc_, .formula = formula_, .arity = 1, .flags = AD_OP_CONSTANT | AD_OP_RANDOM,              \
              .no_grad = AD_NO_GRAD(0), .shape = like_shape,                                                           \
              .evaluate = { name##_evaluate, name##_evaluate });                                                       \
    ad_var *ad_##name(ad_var *x) { return ad__apply1(&ad_op_##name, x, NULL); }

/* ---- rand_like, randn_like -------------------------------------------------------------------------------- */

static int rand_like_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    bool narrow = y->layout->dtype == AD_F32;
    for (int64_t i = 0; i < y->layout->numel; i += 2) {
        uint32_t words[4];
        ad_random_bits(ad__owner(y), 4, words);
        for (int k = 0; k < 2 && i + k < y->layout->numel; k++) {
            double v = (double)(words[2 * k] >> 8) * 0x1p-24; /* what f32 can hold, below 1 */
            ad__put(y, i + k, narrow ? v : v + (double)(words[2 * k + 1] >> 3) * 0x1p-53);
        }
    }
    return AD_OK;
}
LIKE(rand_like, "numbers uniform in [0, 1), in the shape of x; drawn anew on ad_eval", "y ~ U(0, 1)")

static int randn_like_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    for (int64_t i = 0; i < y->layout->numel; i += 2) {
        double pair[2];
        ad_random_normal(&ad__owner(y)->random, AD_F64, 2, pair);
        for (int k = 0; k < 2 && i + k < y->layout->numel; k++) ad__put(y, i + k, pair[k]);
    }
    return AD_OK;
}
LIKE(randn_like, "standard normal numbers, in the shape of x; drawn anew on ad_eval", "y ~ N(0, 1)")

/* ---- activations --------------------------------------------------------------------------------------------- */

/* Xu et al. 2015: left of 0 a slope drawn for each element, or their mean when not training. */
ad_var *ad_rrelu(ad_var *x, double lower, double upper, bool training) {
    if (ad__absent(x)) return ad__nil_result(x, "rrelu");
    ad_call c = AD__CALL_AS("rrelu", x);
    if (!(lower <= upper)) {
        ad_call_fail(&c, AD_EVALUE, "lower is %g and upper is %g; PyTorch's are 1/8 and 1/3", lower, upper);
        return ad_nil(c.graph);
    }
    if (!training) return ad_leaky_relu(x, (lower + upper) / 2);
    ad_var *slopes = ad_adds(ad_muls(ad_rand_like(x), upper - lower), lower);
    return ad__apply2(&ad_op_prelu, x, slopes, NULL);
}

/* Nair and Hinton 2010: max(0, x + noise) with noise of variance sigmoid(x). */
ad_var *ad_noisy_relu(ad_var *x) {
    return ad_relu(ad_add(x, ad_mul(ad_randn_like(x), ad_sqrt(ad_sigmoid(x)))));
}
