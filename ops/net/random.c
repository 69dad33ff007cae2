/* random.c: ops that draw random numbers on each evaluation: dropout, rand_like, randn_like, and activations with
   noise. */
#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/net/dropout.h"
#include "ops/ops.h"

/* ---- dropout: the product of x and a random mask ---------------------------------------------------------------- */

static const ad_attr p_list[] = { { "p", AD_ATTR_DOUBLE, 0 }, { 0 } };

static int dropout_mask_shape(ad_call *c) {
    double p = *(const double *)c->attrs;
    if (p >= 0 && p <= 1) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "p is %g, not a probability in 0..1", p);
}

/* An element is kept if its 32 random bits, as a number in [0,1), are at least p. If p is 1, then 1 / (1 - p) is
   infinite, but no element is kept. */
static int dropout_mask_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    double p = *(const double *)ad__attrs_of(op), kept = 1 / (1 - p), least = p * 0x1p32;
    ad_dtype t = y->layout->dtype;
    uint32_t bits[AD__CHUNK];
    for (int64_t i = 0, n = y->layout->numel; i < n; i += AD__CHUNK) {
        int64_t count = ad__lesser(AD__CHUNK, n - i);
        void *to = (char *)y->data + (size_t)i * ad_dtype_size(t);
        ad_random_bits(ad__owner(y), count, bits);
        AD__BY_DTYPE(t, ad__mask_of_bits, count, bits, least, kept, to);
    }
    return AD_OK;
}

static void dropout_mask_samples(ad_sampler *s) {
    ad_shape shapes[4];
    AD__SHAPES(shapes, "() 5 2,3 0");
    const double ps[] = { 0, 0.3, 1 };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int j = 0; j < AD__COUNT(ps); j++) ad_sample(s, &ps[j], 1, &shapes[i], NULL, NULL);
}

AD_OPTYPE(dropout_mask,
          .doc = "an array of the shape of x: 0 with probability p, otherwise 1 / (1 - p); drawn anew by ad_eval",
          .formula = "u < p ? 0 : 1 / (1 - p), u uniform in [0,1)", .special = "all 0 for p = 1", .arity = 1,
          .flags = AD_OP_RANDOM | AD_OP_CONSTANT, .attr_size = sizeof(double), .attrs = p_list,
          .shape = dropout_mask_shape, .evaluate = { dropout_mask_evaluate, dropout_mask_evaluate });
ad_var *ad_dropout_mask(ad_var *x, double p) { return ad__apply1(&ad_op_dropout_mask, x, &p); }

/* Dropout (Srivastava et al. 2014), inverted: the expected value of the result is x, so that evaluation mode returns
   x. */
ad_var *ad_dropout(ad_var *x, double p, bool training) {
    if (ad__absent(x) || !ad_ok(ad__owner(x))) return ad__nil_result(x, "dropout");
    if (training ? p == 0 : p >= 0 && p <= 1) return x;
    return ad_mul(x, ad_dropout_mask(x, p));
}

/* ---- helpers of rand_like and randn_like: both dtypes draw the same bits, so f32 results are rounded f64 results - */

static int like_shape(ad_call *c) { return (void)c, AD_OK; }

static void like_samples(ad_sampler *s) {
    ad_shape shapes[5];
    AD__SHAPES(shapes, "() 0 5 2,3 67");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 1, &shapes[i], NULL, NULL);
}

#define LIKE .arity = 1, .flags = AD_OP_CONSTANT | AD_OP_RANDOM, .no_grad = AD_NO_GRAD(0), .shape = like_shape

/* ---- rand_like, randn_like -------------------------------------------------------------------------------------- */

static int rand_like_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    bool narrow = y->layout->dtype == AD_F32;
    for (int64_t i = 0; i < y->layout->numel; i += 2) {
        uint32_t words[4];
        ad_random_bits(ad__owner(y), 4, words);
        for (int k = 0; k < 2 && i + k < y->layout->numel; k++) {
            double v = (double)(words[2 * k] >> 8) * 0x1p-24; /* exact in f32, and below 1 */
            ad__put(y, i + k, narrow ? v : v + (double)(words[2 * k + 1] >> 3) * 0x1p-53);
        }
    }
    return AD_OK;
}
static void rand_like_samples(ad_sampler *s) { like_samples(s); }

AD_OPTYPE(rand_like, .doc = "random numbers, uniform in [0, 1), in an array of the shape of x; drawn anew by ad_eval",
          .formula = "y ~ U(0, 1)", .evaluate = { rand_like_evaluate, rand_like_evaluate }, LIKE);
ad_var *ad_rand_like(ad_var *x) { return ad__apply1(&ad_op_rand_like, x, NULL); }

static int randn_like_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    for (int64_t i = 0; i < y->layout->numel; i += 2) {
        double pair[2];
        ad_random_normal(&ad__owner(y)->random, AD_F64, 2, pair);
        for (int k = 0; k < 2 && i + k < y->layout->numel; k++) ad__put(y, i + k, pair[k]);
    }
    return AD_OK;
}
static void randn_like_samples(ad_sampler *s) { like_samples(s); }

AD_OPTYPE(randn_like, .doc = "random numbers, standard normal, in an array of the shape of x; drawn anew by ad_eval",
          .formula = "y ~ N(0, 1)", .evaluate = { randn_like_evaluate, randn_like_evaluate }, LIKE);
ad_var *ad_randn_like(ad_var *x) { return ad__apply1(&ad_op_randn_like, x, NULL); }

/* ---- activations ------------------------------------------------------------------------------------------------ */

/* Xu et al. 2015: the slope for x < 0 is random for each element in training, and the mean of the range otherwise. */
ad_var *ad_rrelu(ad_var *x, double lower, double upper, bool training) {
    if (ad__absent(x)) return ad__nil_result(x, "rrelu");
    ad_call c = AD__CALL_AS("rrelu", x);
    if (!(lower <= upper)) {
        ad_call_fail(&c, AD_EVALUE, "lower is %g and upper is %g; lower must be at most upper", lower, upper);
        return ad_nil(c.graph);
    }
    if (!training) return ad_leaky_relu(x, (lower + upper) / 2);
    ad_var *slopes = ad_adds(ad_muls(ad_rand_like(x), upper - lower), lower);
    return ad__apply2(&ad_op_prelu, x, slopes, NULL);
}

/* Nair and Hinton 2010: max(0, x + noise), where the noise is normal with variance sigmoid(x). */
ad_var *ad_noisy_relu(ad_var *x) {
    return ad_relu(ad_add(x, ad_mul(ad_randn_like(x), ad_sqrt(ad_sigmoid(x)))));
}
