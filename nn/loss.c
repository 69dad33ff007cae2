/* loss.c: what training makes small, composed of the ops. */
#include "autodiff/op.h"
#include "nn/nn.h"

/* Broadcasting [n,1] with [n] would quietly compare every row with every other. */
static bool are_alike(ad_var *y, ad_var *target, const char *caller) {
    if (ad_is_nil(y) || ad_is_nil(target)) return true; /* the first op says so */
    ad_shape ys = ad_shape_of(y), ts = ad_shape_of(target);
    if (ad_shape_equal(ys, ts)) return true;
    char yt[160], tt[160];
    ad_shape_text(ys, yt, sizeof yt);
    ad_shape_text(ts, tt, sizeof tt);
    ad_fail(ad_graph_of(y), AD_ESHAPE, "%s: %s and target %s: shapes must be equal; reshape one", caller, yt, tt);
    return false;
}

ad_var *nn_mse(ad_var *y, ad_var *target) {
    are_alike(y, target, "mse");
    return ad_mean(ad_square(ad_sub(y, target)));
}

/* -t log s(z) - (1 - t) log(1 - s(z)) = softplus(z) - t z, finite for every finite z. */
ad_var *nn_bce_logits(ad_var *logits, ad_var *target) {
    are_alike(logits, target, "bce_logits");
    return ad_mean(ad_sub(ad_softplus(logits), ad_mul(logits, target)));
}

ad_var *nn_cross_entropy(ad_var *logits, ad_var *classes) { return ad_cross_entropy(logits, classes); }
