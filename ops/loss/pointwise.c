/* pointwise.c: losses that compare input and target element by element, each defined by its formulas.
   Names, arguments and special points are those of torch.nn.functional (1.13) unless noted. */
#include "ops/loss/loss.h"

#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/loss/range.h"

/* ---- distances ------------------------------------------------------------------------------------------- */

AD_LOSS(mse,
        (x - t) * (x - t),
        g * 2 * (x - t),
        g * 2 * (t - x),
        ad_mul(ad_muls(g, 2), ad_sub(x, t)),
        ad_mul(ad_muls(g, 2), ad_sub(t, x)),
        (.x_range = { -2, 2 }, .t_range = { -2, 2 }, .points = AD__POINTS({ 1, 1 }, { 1e4, -1e4 })),
        .doc = "squared difference of input and target: the mean, the sum or each",
        .attrs = ad__loss_list, .shape = ad__loss_shape)
ad_var *ad_mse(ad_var *x, ad_var *target, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_mse, x, target, NULL, 0, reduction);
}

AD_LOSS(l1,
        fabs(x - t),
        x > t ? g : x < t ? -g : 0 * (x - t),
        x > t ? -g : x < t ? g : 0 * (x - t),
        ad__times_sign(g, ad_sub(x, t)),
        ad__times_sign(g, ad_sub(t, x)),
        (.x_range = { -2, 2 }, .t_range = { -2.3, 2.2 }, .points = AD__POINTS({ 1, 1 }, { 2, -1 })),
        .differs = "the slopes at NaN are NaN; PyTorch's are 0",
        .doc = "absolute difference of input and target: the mean, the sum or each",
        .special = "slope 0 where input and target are equal",
        .attrs = ad__loss_list, .shape = ad__loss_shape)
ad_var *ad_l1(ad_var *x, ad_var *target, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_l1, x, target, NULL, 0, reduction);
}

/* The difference limited to -k .. k: the slope of huber. */
static ad_var *clamped(ad_var *difference, double k) {
    return ad_minimum(ad_maximum(difference, ad__constant(difference, -k)), ad__constant(difference, k));
}

AD_LOSS(huber,
        fabs(x - t) <= k ? (T)0.5 * (x - t) * (x - t) : k * (fabs(x - t) - (T)0.5 * k),
        g * (x - t > k ? k : x - t < -k ? -k : x - t),
        g * (x - t > k ? -k : x - t < -k ? k : t - x),
        ad_mul(g, clamped(ad_sub(x, t), k)),
        ad_neg(ad_mul(g, clamped(ad_sub(x, t), k))),
        (.x_range = { -2, 2 }, .t_range = { -2.3, 2.2 }, .parameters = AD__PARAMETERS(0.7, 1),
         .points = AD__POINTS({ 1, 0 }, { 1, 1 }, { 0, 1 }, { 1e4, -1e4 })),
        .doc = "half the squared difference, and linear beyond delta (Huber 1964)",
        .special = "the slope is continuous at delta",
        .attrs = AD__LOSS_LIST("delta"), .shape = ad__loss_shape_positive)
ad_var *ad_huber(ad_var *x, ad_var *target, double delta, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_huber, x, target, NULL, delta, reduction);
}

/* g times the slope of smooth_l1, which is that of huber divided by beta; for beta = 0 that of l1, its limit. */
static ad_var *smooth_rule(ad_var *g, ad_var *difference, double k) {
    ad_var *sign = ad__times_sign(g, difference);
    if (k == 0) return sign;
    ad_var *near = ad_lt(ad_abs(difference), ad__constant(difference, k));
    ad_var *inside = ad_where(near, difference, ad__constant(difference, 0));
    return ad_where(near, ad_mul(g, ad_div(inside, ad__constant(inside, k))), sign);
}

AD_LOSS(smooth_l1,
        fabs(x - t) < k ? (T)0.5 * (x - t) * (x - t) / k : fabs(x - t) - (T)0.5 * k,
        fabs(x - t) < k ? g * ((x - t) / k) : x > t ? g : x < t ? -g : x - t,
        fabs(x - t) < k ? g * ((t - x) / k) : x > t ? -g : x < t ? g : x - t,
        smooth_rule(g, ad_sub(x, t), k),
        smooth_rule(g, ad_sub(t, x), k),
        (.x_range = { -2, 2 }, .t_range = { -2.3, 2.2 }, .parameters = AD__PARAMETERS(0.7, 1, 0),
         .points = AD__POINTS({ 1, 0 }, { 1, 1 }, { 0, 1 }, { 1e4, -1e4 })),
        .differs = "beta 0 is l1, with slope 0 where input and target are equal, where PyTorch's is -1",
        .doc = "half the squared difference over beta, and linear beyond beta (Girshick 2015)",
        .special = "beta 0 is l1, with slope 0 where input and target are equal (PyTorch 1.13: -1)",
        .attrs = AD__LOSS_LIST("beta"), .shape = ad__loss_shape_not_negative)
ad_var *ad_smooth_l1(ad_var *x, ad_var *target, double beta, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_smooth_l1, x, target, NULL, beta, reduction);
}

/* ---- probabilities ----------------------------------------------------------------------------------------- */

static int check_probabilities(const ad_op *op) {
    const ad_var *x = op->in[0];
    int64_t n = x->layout->numel, bad = AD__BY_DTYPE(x->layout->dtype, ad__first_outside, n, 0, 1, x->data);
    if (bad == n) return AD_OK;
    return ad_op_fail(op, AD_EVALUE, "element %lld of the input is %g, not a probability; for scores use "
                      "ad_bce_logits", (long long)bad, ad_at(x, bad));
}

static const double least_variance = 1e-12f; /* PyTorch's constant, which is a float in f64 too */

AD_LOSS(bce,
        (t - 1) * larger(log1p(-x), -100) - t * larger(log(x), -100),
        g * (x - t) / larger((1 - x) * x, (T)1e-12f),
        g * (log1p(-x) - log(x)),
        ad_div(ad_mul(g, ad_sub(x, t)),
               ad_maximum(ad_mul(ad_adds(ad_neg(x), 1), x), ad__constant(x, least_variance))),
        ad_mul(g, ad_sub(ad_log1p(ad_neg(x)), ad_log(x))),
        (.check = check_probabilities, .x_range = { 0.1, 0.9 }, .t_range = { 0, 1 },
         .points = AD__POINTS({ 0, 0 }, { 1, 1 }, { 0, 1 }, { 1, 0 }, { 0.5, 0 }, { 0, 0.5 })),
        .differs = "the second slope divides by 1e-12 rounded to f32, as the first does; PyTorch's by 1e-12",
        .doc = "-t log x - (1 - t) log(1 - x), x in 0..1",
        .special = "each log is at least -100; the slope in x divides by at least 1e-12",
        .attrs = ad__loss_list, .shape = ad__loss_shape)
ad_var *ad_bce(ad_var *x, ad_var *target, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_bce, x, target, NULL, 0, reduction);
}

static ad_var *weighed(ad_var *v, ad_var *w) { return w ? ad_mul(v, w) : v; }

static void weighed_samples(ad_sampler *s) {
    ad_shape shapes[4][3];
    AD__SHAPES(shapes, "2,3 2,3 3; 2,3 2,3 2,1; 2,3 2,3 2,3; 5 5 ()");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample(s, &(ad__loss_attrs){ 0, i % 3 }, 3, shapes[i], (double[]){ -4, 0, 0.5 }, (double[]){ 4, 1, 3 });
}

/* With s = sigmoid: -w t log s(x) - (1 - t) log s(-x). Each slope is accurate in both tails. */
AD_LOSS(bce_logits,
        (1 - t) * (larger(x, 0) + LOG1P_EXP(x)) + w * t * (larger(-x, 0) + LOG1P_EXP(x)),
        g * ((1 - t) / (1 + exp(-x)) - w * t / (1 + exp(x))),
        g * (w * (larger(-x, 0) + LOG1P_EXP(x)) - (larger(x, 0) + LOG1P_EXP(x))),
        ad_mul(g, ad_sub(ad_mul(ad_adds(ad_neg(t), 1), ad_sigmoid(x)), weighed(ad_mul(t, ad_sigmoid(ad_neg(x))), w))),
        ad_mul(g, ad_sub(weighed(ad_softplus(ad_neg(x)), w), ad_softplus(x))),
        (.x_range = { -4, 4 }, .t_range = { 0, 1 }, .more_samples = weighed_samples,
         .points = AD__POINTS({ 0, 1 }, { 0, 0 }, { 700, 1 }, { -700, 0 }, { 40, 1 }, { -40, 0.5 })),
        .differs = "keeps the digits of losses and slopes near 0 in both tails; an infinite target gives NaN",
        .doc = "bce of sigmoid(x), finite for every finite x; w is pos_weight, the weight of the positive class",
        .attrs = ad__loss_list, .shape = ad__loss_shape_weighted, .no_grad = AD_NO_GRAD(2))
ad_var *ad_bce_logits(ad_var *x, ad_var *target, ad_var *pos_weight, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_bce_logits, x, target, pos_weight, 0, reduction);
}

static void batchmean_samples(ad_sampler *s) {
    ad_shape shapes[3];
    AD__SHAPES(shapes, "4,3 3 2,2,2");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample(s, &(ad__loss_attrs){ i % 2, AD_BATCHMEAN }, 2, (ad_shape[]){ shapes[i], shapes[i] },
                  (double[]){ -3, 0.1 }, (double[]){ -0.1, 1 });
}

/* The slope in t of kl_div. Where t is 0 it is -inf (PyTorch: NaN). */
static ad_var *target_slope(ad_var *x, ad_var *t, bool log_target) {
    if (log_target) return ad_mul(ad_exp(t), ad_adds(ad_sub(t, x), 1));
    return ad_sub(ad_adds(ad_log(t), 1), x);
}

AD_LOSS(kl_div,
        (k != 0 ? exp(t) : t) == 0 && x == x ? 0 : k != 0 ? exp(t) * (t - x) : (t == 0 ? 0 : t * log(t)) - t * x,
        -g * (k != 0 ? exp(t) : t),
        g * (k != 0 ? exp(t) * (t - x + 1) : log(t) + 1 - x),
        ad_neg(ad_mul(g, k != 0 ? ad_exp(t) : t)),
        ad_mul(g, target_slope(x, t, k != 0)),
        (.x_range = { -3, -0.1 }, .t_range = { 0.1, 1 }, .parameters = AD__PARAMETERS(0, 1),
         .points = AD__POINTS({ -1, 0 }, { -0.5, 1 }, { -0.5, -1 }), .more_samples = batchmean_samples),
        .differs = "0 where the probability is 0, also for x = -inf; the slope in the target is -inf there. PyTorch "
                   "has NaN for both",
        .doc = "t (log t - x) for log-probabilities x and probabilities t; exp(t) (t - x) if t are log-probabilities",
        .special = "0 where the probability is 0, also for x = -inf; the slope in t is -inf there; NaN for t < 0",
        .attrs = AD__LOSS_LIST("log_target"), .shape = ad__loss_shape_batchmean)
ad_var *ad_kl_div(ad_var *x, ad_var *target, bool log_target, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_kl_div, x, target, NULL, log_target, reduction);
}

/* ---- margins ------------------------------------------------------------------------------------------------- */

/* Where the loss of hinge is 0: margin - t x < 0. */
static ad_var *is_beyond(ad_var *x, ad_var *t, double margin) {
    return ad_lt(ad_adds(ad_neg(ad_mul(t, x)), margin), ad__constant(x, 0));
}

/* -g times other, and 0 beyond the margin. Both factors are replaced there, as 0 times infinity is NaN. */
static ad_var *hinge_rule(ad_var *g, ad_var *x, ad_var *t, double margin, ad_var *other) {
    ad_var *beyond = is_beyond(x, t, margin);
    return ad_mul(ad__zero_where(beyond, ad_neg(g)), ad__zero_where(beyond, other));
}

static ad_var *hinge_embedding_rule(ad_var *g, ad_var *x, ad_var *t, double margin) {
    ad_var *one = ad__constant(t, 1), *inside = ad_ge(ad_adds(ad_neg(x), margin), ad__constant(x, 0));
    ad_var *rising = ad_ne(t, ad_neg(one)), *falling = ad_logical_and(ad_ne(t, one), inside);
    return ad_sub(ad_where(rising, g, ad__constant(g, 0)), ad_where(falling, g, ad__constant(g, 0)));
}

AD_LOSS(hinge,
        k - t * x < 0 ? 0 : k - t * x,
        k - t * x < 0 ? 0 : -g * t,
        k - t * x < 0 ? 0 : -g * x,
        hinge_rule(g, x, t, k, t),
        hinge_rule(g, x, t, k, x),
        (.x_range = { -2, 2 }, .t_range = { -1.1, 1.2 }, .parameters = AD__PARAMETERS(1, 0.4),
         .points = AD__POINTS({ 1, 1 }, { -1, 1 }, { 1, -1 }, { 0.5, 1 }, { 3, 1 })),
        .doc = "max(0, margin - t x), targets t of -1 or 1; PyTorch has no such function",
        .special = "at the kink, the slope of the rising side",
        .attrs = AD__LOSS_LIST("margin"), .shape = ad__loss_shape)
ad_var *ad_hinge(ad_var *x, ad_var *target, double margin, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_hinge, x, target, NULL, margin, reduction);
}

AD_LOSS(hinge_embedding,
        (t != -1 ? x : 0) + (t != 1 && !(k - x < 0) ? k - x : 0),
        (t != -1 ? g : 0) - (t != 1 && k - x >= 0 ? g : 0),
        0,
        hinge_embedding_rule(g, x, t, k),
        NULL,
        (.x_range = { -2, 2 }, .t_range = { -2, 2 }, .parameters = AD__PARAMETERS(1, 0.4),
         .points = AD__POINTS({ 0, 1 }, { 1, 1 }, { 1, -1 }, { 2, -1 }, { -2, -1 }, { 0.3, 0.5 })),
        .doc = "x where the target is 1, max(0, margin - x) where it is -1; a target of fewer dimensions broadcasts",
        .special = "at the kink, the slope of the falling side; the target takes no gradient",
        .attrs = AD__LOSS_LIST("margin"), .shape = ad__loss_shape, .no_grad = AD_NO_GRAD(1))
ad_var *ad_hinge_embedding(ad_var *x, ad_var *target, double margin, ad_reduction reduction) {
    ad_shape whole;
    if (!ad__absent(x) && !ad__absent(target) && x->layout->shape.ndim > target->layout->shape.ndim &&
        !ad__broadcast(x->layout->shape, target->layout->shape, &whole) && ad_shape_equal(whole, x->layout->shape))
        target = ad_expand(target, whole);
    return ad__apply_loss(&ad_op_hinge_embedding, x, target, NULL, margin, reduction);
}

/* The formula is softplus(-t x) without overflow. PyTorch 1.13 overflows for t x below -709. */
AD_LOSS(soft_margin,
        larger(-t * x, 0) + LOG1P_EXP(t * x),
        -g * t / (1 + exp(t * x)),
        -g * x / (1 + exp(t * x)),
        ad_mul(ad_mul(ad_neg(g), t), ad_sigmoid(ad_neg(ad_mul(t, x)))),
        ad_mul(ad_mul(ad_neg(g), x), ad_sigmoid(ad_neg(ad_mul(t, x)))),
        (.x_range = { -4, 4 }, .t_range = { -1, 1 },
         .points = AD__POINTS({ 0, 1 }, { 800, 1 }, { -800, 1 }, { 40, -1 })),
        .differs = "finite for every finite input, where PyTorch's overflows where t x is below -709; the target "
                   "takes a gradient",
        .doc = "log(1 + exp(-t x)), targets of -1 or 1, finite for every finite x",
        .attrs = ad__loss_list, .shape = ad__loss_shape)
ad_var *ad_soft_margin(ad_var *x, ad_var *target, ad_reduction reduction) {
    return ad__apply_loss(&ad_op_soft_margin, x, target, NULL, 0, reduction);
}
