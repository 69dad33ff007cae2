/* loss.c: loss functions and penalties, made of the ops. */
#include "nn/loss.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* ---- elementwise losses: the ops refuse a target of another shape ------------------------------------------ */

ad_var *nn_mse_with(ad_var *y, ad_var *target, ad_reduction r) { return ad_mse(y, target, r); }
ad_var *nn_mse(ad_var *y, ad_var *target) { return nn_mse_with(y, target, AD_MEAN); }

ad_var *nn_l1_with(ad_var *y, ad_var *target, ad_reduction r) { return ad_l1(y, target, r); }
ad_var *nn_l1(ad_var *y, ad_var *target) { return nn_l1_with(y, target, AD_MEAN); }

ad_var *nn_huber_with(ad_var *y, ad_var *target, double delta, ad_reduction r) {
    return ad_huber(y, target, delta, r);
}
ad_var *nn_huber(ad_var *y, ad_var *target) { return nn_huber_with(y, target, 1, AD_MEAN); }

ad_var *nn_smooth_l1_with(ad_var *y, ad_var *target, double beta, ad_reduction r) {
    return ad_smooth_l1(y, target, beta, r);
}
ad_var *nn_smooth_l1(ad_var *y, ad_var *target) { return nn_smooth_l1_with(y, target, 1, AD_MEAN); }

ad_var *nn_bce_with(ad_var *y, ad_var *target, ad_reduction r) { return ad_bce(y, target, r); }
ad_var *nn_bce(ad_var *y, ad_var *target) { return nn_bce_with(y, target, AD_MEAN); }

ad_var *nn_bce_logits_with(ad_var *y, ad_var *target, ad_var *pos_weight, ad_reduction r) {
    return ad_bce_logits(y, target, pos_weight, r);
}
ad_var *nn_bce_logits(ad_var *y, ad_var *target) { return nn_bce_logits_with(y, target, NULL, AD_MEAN); }

ad_var *nn_hinge_with(ad_var *y, ad_var *target, double margin, ad_reduction r) {
    return ad_hinge(y, target, margin, r);
}
ad_var *nn_hinge(ad_var *y, ad_var *target) { return nn_hinge_with(y, target, 1, AD_MEAN); }

ad_var *nn_hinge_embedding_with(ad_var *y, ad_var *target, double margin, ad_reduction r) {
    return ad_hinge_embedding(y, target, margin, r);
}
ad_var *nn_hinge_embedding(ad_var *y, ad_var *target) { return nn_hinge_embedding_with(y, target, 1, AD_MEAN); }

ad_var *nn_soft_margin_with(ad_var *y, ad_var *target, ad_reduction r) { return ad_soft_margin(y, target, r); }
ad_var *nn_soft_margin(ad_var *y, ad_var *target) { return nn_soft_margin_with(y, target, AD_MEAN); }

ad_var *nn_kl_div_with(ad_var *y, ad_var *target, bool log_target, ad_reduction r) {
    return ad_kl_div(y, target, log_target, r);
}
ad_var *nn_kl_div(ad_var *y, ad_var *target) { return nn_kl_div_with(y, target, false, AD_MEAN); }

ad_var *nn_bce_weighted(ad_var *y, ad_var *target, ad_var *weight, ad_reduction r) {
    return ad_bce_weighted(y, target, weight, r);
}
ad_var *nn_bce_logits_weighted(ad_var *y, ad_var *target, ad_var *weight, ad_var *pos_weight, ad_reduction r) {
    return ad_bce_logits_weighted(y, target, weight, pos_weight, r);
}

ad_var *nn_multilabel_soft_margin_with(ad_var *y, ad_var *target, ad_var *weight, ad_reduction r) {
    return ad_multilabel_soft_margin(y, target, weight, r);
}
ad_var *nn_multilabel_soft_margin(ad_var *y, ad_var *target) {
    return nn_multilabel_soft_margin_with(y, target, NULL, AD_MEAN);
}

ad_var *nn_poisson_nll_with(ad_var *y, ad_var *target, ad_poisson_opts o) { return ad_poisson_nll(y, target, o); }
ad_var *nn_poisson_nll(ad_var *y, ad_var *target) { return nn_poisson_nll_with(y, target, (ad_poisson_opts){ 0 }); }

ad_var *nn_gaussian_nll_with(ad_var *y, ad_var *target, ad_var *var, ad_gaussian_opts o) {
    return ad_gaussian_nll(y, target, var, o);
}
ad_var *nn_gaussian_nll(ad_var *y, ad_var *target, ad_var *var) {
    return nn_gaussian_nll_with(y, target, var, (ad_gaussian_opts){ 0 });
}

/* ---- two and three rows, sequences ------------------------------------------------------------------------- */

ad_var *nn_margin_ranking_with(ad_var *a, ad_var *b, ad_var *target, double margin, ad_reduction r) {
    return ad_margin_ranking(a, b, target, margin, r);
}
ad_var *nn_margin_ranking(ad_var *a, ad_var *b, ad_var *target) {
    return nn_margin_ranking_with(a, b, target, 0, AD_MEAN);
}

ad_var *nn_triplet_margin_with(ad_var *anchor, ad_var *positive, ad_var *negative, ad_triplet_opts o) {
    return ad_triplet_margin(anchor, positive, negative, o);
}
ad_var *nn_triplet_margin(ad_var *anchor, ad_var *positive, ad_var *negative) {
    return nn_triplet_margin_with(anchor, positive, negative, (ad_triplet_opts){ 0 });
}

ad_var *nn_ctc_with(ad_var *log_probs, ad_var *labels, ad_var *times, ad_var *lengths, ad_ctc_opts o) {
    return ad_ctc(log_probs, labels, times, lengths, o);
}
ad_var *nn_ctc(ad_var *log_probs, ad_var *labels, ad_var *times, ad_var *lengths) {
    return nn_ctc_with(log_probs, labels, times, lengths, (ad_ctc_opts){ 0 });
}

/* ---- the angle between rows: a, b [n,d], target [n] -------------------------------------------------------- */

/* Without this check, [n,1] would broadcast with [n], and every row would be compared with every other. */
static void require_alike(ad_var *y, ad_var *target) {
    if (ad_is_nil(y) || ad_is_nil(target)) return; /* the op says so */
    ad_shape ys = ad_shape_of(y), ts = ad_shape_of(target);
    if (ad_shape_equal(ys, ts)) return;
    ad_fail(ad_graph_of(y), AD_ESHAPE, "cosine_embedding: %s and target %s: shapes must be equal; reshape one",
            ad_shape_str(ys).text, ad_shape_str(ts).text);
}

static ad_var *reduced(ad_var *losses, ad_reduction r) {
    if (r == AD_NONE) return losses;
    if (r == AD_SUM) return ad_sum(losses);
    if (r == AD_MEAN) return ad_mean(losses);
    ad_graph *g = ad_graph_of(losses);
    ad_fail(g, AD_EVALUE, "cosine_embedding: %d is no reduction of this loss; use AD_MEAN, AD_SUM or AD_NONE", (int)r);
    return ad_nil(g);
}

ad_var *nn_cosine_embedding_with(ad_var *a, ad_var *b, ad_var *target, double margin, ad_reduction r) {
    require_alike(a, b);
    ad_var *y = ad_cosine_similarity(a, b, -1, 1e-8); /* [n] */
    require_alike(y, target);
    ad_var *same = ad_adds(ad_neg(y), 1), *other = ad_relu(ad_adds(y, -margin));
    ad_var *is_same = ad_gt(target, ad_scalar(ad_graph_of(y), ad_dtype_of(y), 0));
    return reduced(ad_where(is_same, same, other), r);
}
ad_var *nn_cosine_embedding(ad_var *a, ad_var *b, ad_var *target) {
    return nn_cosine_embedding_with(a, b, target, 0, AD_MEAN);
}

/* ---- classes --------------------------------------------------------------------------------------- */

ad_var *nn_cross_entropy(ad_var *logits, ad_var *classes) { return ad_cross_entropy(logits, classes); }
ad_var *nn_cross_entropy_with(ad_var *logits, ad_var *target, ad_ce_opts o) {
    return ad_cross_entropy_with(logits, target, o);
}

ad_var *nn_nll_with(ad_var *log_probs, ad_var *classes, ad_ce_opts o) { return ad_nll(log_probs, classes, o); }
ad_var *nn_nll(ad_var *log_probs, ad_var *classes) { return nn_nll_with(log_probs, classes, (ad_ce_opts){ 0 }); }

ad_var *nn_multi_margin_with(ad_var *scores, ad_var *classes, int p, double margin, ad_var *weight, ad_reduction r) {
    return ad_multi_margin(scores, classes, p, margin, weight, r);
}
ad_var *nn_multi_margin(ad_var *scores, ad_var *classes) {
    return nn_multi_margin_with(scores, classes, 1, 1, NULL, AD_MEAN);
}

/* ---- penalties ---------------------------------------------------------------------------------------- */

/* k sum_i size(w_i) over the parameters that the penalty is of. */
static ad_var *penalty(nn_module *m, const char *ending, double k, ad_var *size(ad_var *), const char *caller) {
    ad_graph *g = nn_graph_of(m);
    if (m == NULL || nn__check_open(&m->object, NULL, caller, "module")) return ad_nil(g);
    ad_var *total = NULL;
    for (int i = 0; i < nn_parameter_count(m); i++) {
        nn_parameter p = nn_parameter_at(m, i);
        if (!nn__ends_with(p.name, ending) || !ad_requires_grad(p.var)) continue;
        ad_var *one = ad_sum(size(p.var));
        total = total ? ad_add(total, one) : one;
    }
    if (total != NULL) return ad_muls(total, k);
    ad_fail(g, AD_EVALUE, "%s: no trainable parameter of %s has a name that ends in \"%s\"", caller, m->kind,
            ending ? ending : "");
    return ad_nil(g);
}

ad_var *nn_l1_penalty(nn_module *m, const char *ending, double k) {
    return penalty(m, ending, k, ad_abs, "l1_penalty");
}
ad_var *nn_l2_penalty(nn_module *m, const char *ending, double k) {
    return penalty(m, ending, k, ad_square, "l2_penalty");
}
