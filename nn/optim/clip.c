/* clip.c: keeps gradients small, between backward and step. */
#include <math.h>

#include "autodiff/graph/node.h"
#include "nn/nn.h"
#include "nn/kernels/update.h"

static bool has_grad(const ad_var *x) { return (x->flags & AD__HAS_GRAD) != 0; }

static double sum_squares(const ad_var *x) {
    if (ad_dtype_of(x) == AD_F32) return nn__array_sum_squares_f32(ad_numel(x), ad_grad(x));
    return nn__array_sum_squares_f64(ad_numel(x), ad_grad(x));
}

static void scale(ad_var *x, double k) {
    if (ad_dtype_of(x) == AD_F32) nn__array_scale_f32(ad_numel(x), k, ad_grad_mut(x));
    else nn__array_scale_f64(ad_numel(x), k, ad_grad_mut(x));
}

static void limit_to(ad_var *x, double limit) {
    if (ad_dtype_of(x) == AD_F32) nn__array_limit_f32(ad_numel(x), limit, ad_grad_mut(x));
    else nn__array_limit_f64(ad_numel(x), limit, ad_grad_mut(x));
}

static int check(const nn_module *m, const char *caller, double limit) {
    if (m == NULL) return AD_EVALUE;
    ad_graph *g = nn_graph_of(m);
    if (!(limit > 0)) ad_fail(g, AD_EVALUE, "%s: limit %g: it must be above 0", caller, limit);
    return ad_error_code(g);
}

double nn_clip_grad_norm(nn_module *m, double max_norm) {
    if (check(m, "clip_grad_norm", max_norm)) return NAN;
    double sum = 0;
    for (int i = 0; i < nn_parameter_count(m); i++)
        if (has_grad(nn_parameter_at(m, i).var)) sum += sum_squares(nn_parameter_at(m, i).var);
    double norm = sqrt(sum), k = max_norm / (norm + 1e-6); /* PyTorch's 1e-6 */
    for (int i = 0; i < nn_parameter_count(m) && k < 1 && isfinite(norm); i++)
        if (has_grad(nn_parameter_at(m, i).var)) scale(nn_parameter_at(m, i).var, k);
    return norm;
}

int nn_clip_grad_value(nn_module *m, double limit) {
    int rc = check(m, "clip_grad_value", limit);
    for (int i = 0; i < nn_parameter_count(m) && rc == AD_OK; i++)
        if (has_grad(nn_parameter_at(m, i).var)) limit_to(nn_parameter_at(m, i).var, limit);
    return rc;
}
