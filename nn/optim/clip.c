/* clip.c: limits on gradients, between backward and step. */
#include <math.h>

#include "nn/kernels/vector.h"
#include "nn/optim/state.h"

static int check(const nn_module *m, const char *caller, double limit) {
    if (m == NULL) return AD_EVALUE; /* the error is that of the module's making */
    ad_graph *g = nn_graph_of(m);
    if (nn__check_open(&m->object, NULL, caller, "module")) return AD_EGRAPH;
    if (!(limit > 0)) ad_fail(g, AD_EVALUE, "%s: limit %g: it must be above 0", caller, limit);
    return ad_error_code(g);
}

double nn_clip_grad_norm(nn_module *m, double max_norm) {
    if (check(m, "clip_grad_norm", max_norm)) return NAN;
    double sum = 0;
    for (int i = 0; i < nn_parameter_count(m); i++) {
        const ad_var *x = nn_parameter_at(m, i).var;
        if (nn__moves(x)) sum += nn__array_sum_squares(ad_dtype_of(x), ad_numel(x), ad_grad(x));
    }
    double norm = sqrt(sum), k = max_norm / (norm + 1e-6); /* PyTorch's 1e-6 */
    for (int i = 0; i < nn_parameter_count(m) && k < 1 && isfinite(norm); i++) {
        ad_var *x = nn_parameter_at(m, i).var;
        if (nn__moves(x)) nn__array_scale(ad_dtype_of(x), ad_numel(x), k, ad_grad_mut(x));
    }
    return norm;
}

int nn_clip_grad_value(nn_module *m, double limit) {
    int rc = check(m, "clip_grad_value", limit);
    for (int i = 0; i < nn_parameter_count(m) && rc == AD_OK; i++) {
        ad_var *x = nn_parameter_at(m, i).var;
        if (nn__moves(x)) nn__array_limit(ad_dtype_of(x), ad_numel(x), limit, ad_grad_mut(x));
    }
    return rc;
}
