/* random.c: random masks, and dropout as a product with one. */
#include "autodiff/graph/node.h"
#include "ops/ops.h"

enum { CHUNK = 1024 };

static const ad_attr p_list[] = { { "p", AD_ATTR_DOUBLE, 0 }, { 0 } };

static int dropout_mask_shape(ad_call *c) {
    double p = *(const double *)c->attrs;
    if (p >= 0 && p <= 1) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "p is %g, not a probability in 0..1", p);
}

/* An element is kept where its 32 random bits, as a number in [0,1), are at least p: at p = 1, where
   1 / (1 - p) is infinite, none is. */
static int dropout_mask_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    double p = *(const double *)ad__attrs_of(op), kept = 1 / (1 - p), least = p * 0x1p32;
    uint32_t bits[CHUNK];
    for (int64_t i = 0, n = y->layout->numel; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        ad_random_bits(ad__owner(y), count, bits);
        if (y->layout->dtype == AD_F32)
            for (int64_t j = 0; j < count; j++) ((float *)y->data)[i + j] = (double)bits[j] < least ? 0 : (float)kept;
        else
            for (int64_t j = 0; j < count; j++) ((double *)y->data)[i + j] = (double)bits[j] < least ? 0 : kept;
    }
    return AD_OK;
}

static void dropout_mask_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SCALAR, AD_SHAPE(5), AD_SHAPE(2, 3), AD_SHAPE(0) };
    const double ps[] = { 0, 0.3, 1 };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int j = 0; j < AD__COUNT(ps); j++) ad_sample(s, &ps[j], 1, &shapes[i], NULL, NULL);
}

AD_OPTYPE(dropout_mask, .doc = "of x's shape, 0 with probability p and else 1 / (1 - p); drawn anew by ad_eval",
          .formula = "u < p ? 0 : 1 / (1 - p), u uniform in [0,1)", .special = "all 0 for p = 1", .arity = 1,
          .flags = AD_OP_RANDOM | AD_OP_CONSTANT, .attr_size = sizeof(double), .attrs = p_list,
          .shape = dropout_mask_shape, .evaluate = { dropout_mask_evaluate, dropout_mask_evaluate });
ad_var *ad_dropout_mask(ad_var *x, double p) { return ad__apply1(&ad_op_dropout_mask, x, &p); }

/* Srivastava et al. 2014, inverted: the mean of what comes out is x, so nothing changes after training. */
ad_var *ad_dropout(ad_var *x, double p, bool training) {
    if (training ? p == 0 : p >= 0 && p <= 1) return x ? x : ad_nil(NULL);
    return ad_mul(x, ad_dropout_mask(x, p));
}
