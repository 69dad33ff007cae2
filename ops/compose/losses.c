/* losses.c: losses that are made of ops: weighted binary cross-entropies, distances with a margin, likelihoods. */
#include "autodiff/extend.h"
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

/* The losses of the elements, their sum or their mean. */
static ad_var *reduced(const char *caller, ad_var *losses, ad_reduction r) {
    if (r == AD_SUM) return ad_sum(losses);
    if (r == AD_MEAN) return ad_mean(losses);
    if (r == AD_NONE || ad__absent(losses)) return losses;
    const ad_call c = AD__CALL_AS(caller, losses);
    return ad__refused_call(&c, AD_EVALUE, "%d is not a reduction of this loss; use AD_MEAN, AD_SUM or AD_NONE",
                            (int)r);
}

/* False, with the graph's error, unless all of n Vars have the shape of the first. */
static bool of_one_shape(const char *caller, int n, ad_var *const xs[]) {
    if (ad__unfit_result(caller, n, xs) != NULL) return false;
    const ad_call c = { .graph = ad__owner(xs[0]), .type = &(const ad_optype){ .name = caller }, .n = n, .in = xs };
    for (int i = 1; i < n; i++)
        if (!ad_shape_equal(xs[i]->layout->shape, xs[0]->layout->shape))
            return ad_call_fail(&c, AD_ESHAPE, "the operands must have one shape; reshape or ad_expand one"), false;
    return true;
}

/* ---- weights of elements: they broadcast to the input, and have gradients ------------------------------------- */

static ad_var *weighted(const char *caller, ad_var *losses, ad_var *weight, ad_reduction r) {
    ad_shape whole;
    ad_var *nil = ad__unfit_result(caller, 2, (ad_var *[]){ losses, weight });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS(caller, losses);
    if (ad__broadcast(c.shape, weight->layout->shape, &whole) || !ad_shape_equal(whole, c.shape))
        return ad__refused_call(&c, AD_ESHAPE, "weights %s do not broadcast to the input",
                                ad_shape_str(weight->layout->shape).text);
    return reduced(caller, ad_mul(losses, weight), r);
}

ad_var *ad_bce_weighted(ad_var *x, ad_var *target, ad_var *weight, ad_reduction reduction) {
    return weighted("bce_weighted", ad_bce(x, target, AD_NONE), weight, reduction);
}
ad_var *ad_bce_logits_weighted(ad_var *x, ad_var *target, ad_var *weight, ad_var *pos_weight, ad_reduction reduction) {
    return weighted("bce_logits_weighted", ad_bce_logits(x, target, pos_weight, AD_NONE), weight, reduction);
}

/* x and target [..,c], weight [c] or NULL -> [..] or a scalar: the mean over classes of two-class losses */
ad_var *ad_multilabel_soft_margin(ad_var *x, ad_var *target, ad_var *weight, ad_reduction reduction) {
    ad_var *losses =
        weight ? ad_bce_logits_weighted(x, target, weight, NULL, AD_NONE) : ad_bce_logits(x, target, NULL, AD_NONE);
    return reduced("multilabel_soft_margin", ad_mean_axis(losses, -1, false), reduction);
}

/* ---- margins -------------------------------------------------------------------------------------------------- */

ad_var *ad_margin_ranking(ad_var *a, ad_var *b, ad_var *target, double margin, ad_reduction reduction) {
    ad_var *const all[] = { a, b, target };
    if (!of_one_shape("margin_ranking", 3, all)) return ad_nil(ad__graph_among(3, all));
    return reduced("margin_ranking", ad_relu(ad_adds(ad_mul(target, ad_sub(b, a)), margin)), reduction);
}

/* Rows [..,d]. With swap, the nearer one of anchor and positive is compared with the negative. */
ad_var *ad_triplet_margin(ad_var *anchor, ad_var *positive, ad_var *negative, ad_triplet_opts o) {
    ad_var *nil = ad__unfit_broadcast("triplet_margin", 3, (ad_var *[]){ anchor, positive, negative });
    if (nil != NULL) return nil;
    double p = ad_option(o.p, 2), eps = ad_option(o.eps, 1e-6), margin = ad_option(o.margin, 1);
    ad_var *near = ad_pairwise_distance(anchor, positive, p, eps, false);
    ad_var *far = ad_pairwise_distance(anchor, negative, p, eps, false);
    if (o.swap) far = ad_minimum(far, ad_pairwise_distance(positive, negative, p, eps, false));
    return reduced("triplet_margin", ad_relu(ad_adds(ad_sub(near, far), margin)), o.reduction);
}

/* ---- minus the log of a likelihood ---------------------------------------------------------------------------- */

/* Stirling's approximation of log(t!), for t > 1. */
static ad_var *log_factorial(ad_var *t) {
    const double two_pi = 6.2831853071795864769;
    ad_var *large = ad_gt(t, ad__constant(t, 1)), *kept = ad_where(large, t, ad__constant(t, 1));
    ad_var *terms = ad_add(ad_sub(ad_mul(kept, ad_log(kept)), kept), ad_muls(ad_log(ad_muls(kept, two_pi)), 0.5));
    return ad_where(large, terms, ad__constant(t, 0));
}

ad_var *ad_poisson_nll(ad_var *x, ad_var *target, ad_poisson_opts o) {
    ad_var *const both[] = { x, target };
    if (!of_one_shape("poisson_nll", 2, both)) return ad_nil(ad__graph_among(2, both));
    double eps = ad_option(o.eps, 1e-8);
    ad_var *loss =
        o.plain_input ? ad_sub(x, ad_mul(target, ad_log(ad_adds(x, eps)))) : ad_sub(ad_exp(x), ad_mul(target, x));
    if (o.full) loss = ad_add(loss, log_factorial(target));
    return reduced("poisson_nll", loss, o.reduction);
}

/* var broadcasts to x. Below eps it counts as eps, but keeps its slope, as in PyTorch. */
ad_var *ad_gaussian_nll(ad_var *x, ad_var *target, ad_var *var, ad_gaussian_opts o) {
    const double half_log_two_pi = 0.91893853320467274178;
    ad_shape whole;
    ad_var *const all[] = { x, target, var }, *nil = ad__absent_result("gaussian_nll", 3, all);
    if (nil != NULL) return nil;
    if (!of_one_shape("gaussian_nll", 2, all)) return ad_nil(ad__owner(x));
    const ad_call c = AD__CALL_AS("gaussian_nll", x);
    if (ad__broadcast(c.shape, var->layout->shape, &whole) || !ad_shape_equal(whole, c.shape))
        return ad__refused_call(&c, AD_ESHAPE, "variances %s do not broadcast to the input",
                                ad_shape_str(var->layout->shape).text);
    for (int64_t i = 0; i < var->layout->numel; i++)
        if (ad_read_element(var->layout->dtype, var->data, i) < 0)
            return ad__refused_call(&c, AD_EVALUE, "variance %g at element %lld is negative", ad_at(var, i),
                                    (long long)i);
    ad_var *shift = ad_detach(ad_sub(ad_maximum(var, ad__constant(var, ad_option(o.eps, 1e-6))), var));
    ad_var *v = ad_add(var, shift), *loss = ad_add(ad_log(v), ad_div(ad_square(ad_sub(x, target)), v));
    loss = ad_muls(loss, 0.5);
    return reduced("gaussian_nll", o.full ? ad_adds(loss, half_log_two_pi) : loss, o.reduction);
}

/* ---- several classes, as numbers ------------------------------------------------------------------------------ */

/* x [n,c] or [c]; target of its shape: class numbers, which end at the first -1. */
ad_var *ad_multilabel_margin(ad_var *x, ad_var *target, ad_reduction reduction) {
    ad_var *const both[] = { x, target };
    if (!of_one_shape("multilabel_margin", 2, both)) return ad_nil(ad__graph_among(2, both));
    const ad_call c = AD__CALL_AS("multilabel_margin", x);
    if (c.shape.ndim < 1 || c.shape.ndim > 2) return ad__refused_call(&c, AD_ESHAPE, "takes scores [n,c] or [c]");
    ad_var *t = ad_detach(target), *zero = ad__constant(x, 0);
    ad_var *given = ad_eq(ad_cumsum(ad_lt(t, zero), -1), zero), *class = ad_where(given, t, zero);
    ad_var *is_target = ad_gt(ad_scatter_add(ad_zeros_like(x), -1, class, given), zero);
    ad_var *scores = ad_unsqueeze(ad_gather(x, -1, class), -1); /* [..,targets,1] against [..,1,others] */
    ad_var *excess = ad_relu(ad_adds(ad_sub(ad_unsqueeze(x, -2), scores), 1));
    ad_var *counts = ad_mul(ad_unsqueeze(given, -1), ad_unsqueeze(ad_logical_not(is_target), -2));
    ad_var *sum = ad_sum_axes(ad_where(counts, excess, zero), 2, (int[]){ -2, -1 }, false);
    return reduced("multilabel_margin", ad_muls(sum, 1 / (double)c.shape.dim[c.shape.ndim - 1]), reduction);
}
