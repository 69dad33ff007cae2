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

/* ---- the norm ---------------------------------------------------------------------------------------- */

/* The Vars whose gradients count, by number. */
typedef struct {
    int n;
    ad_var *(*at)(const void *of, int i);
    const void *of;
} vars;

static ad_var *var_of_module(const void *m, int i) { return nn_parameter_at(m, i).var; }
static ad_var *var_of_optim(const void *opt, int i) { return ((const nn_optim *)opt)->slots[i].parameter.var; }

static double sum_squares(const vars *v) {
    double sum = 0;
    for (int i = 0; i < v->n; i++) {
        const ad_var *x = v->at(v->of, i);
        if (nn__moves(x)) sum += nn__array_sum_squares(ad_dtype_of(x), ad_numel(x), ad_grad(x));
    }
    return sum;
}

/* The same of the gradients times k. */
static double sum_squares_times(const vars *v, double k) {
    double sum = 0;
    for (int i = 0; i < v->n; i++) {
        const ad_var *x = v->at(v->of, i);
        if (nn__moves(x)) sum += nn__array_sum_squares_times(ad_dtype_of(x), ad_numel(x), k, ad_grad(x));
    }
    return sum;
}

static void scale(const vars *v, double k) {
    for (int i = 0; i < v->n; i++) {
        ad_var *x = v->at(v->of, i);
        if (nn__moves(x)) nn__array_scale(ad_dtype_of(x), ad_numel(x), k, ad_grad_mut(x));
    }
}

/* The largest size of an element; NaN or infinity where one is not finite. */
static double largest(const vars *v) {
    double most = 0;
    for (int i = 0; i < v->n && isfinite(most); i++) {
        const ad_var *x = v->at(v->of, i);
        double size = nn__moves(x) ? nn__array_largest(ad_dtype_of(x), ad_numel(x), ad_grad(x)) : 0;
        if (!(size <= most)) most = size;
    }
    return most;
}

/* The norm is length / unit. unit is 1, or a power of two that keeps the squares within the range of f64. */
typedef struct {
    double length, unit;
    bool finite; /* all elements are */
} measure;

static measure measure_of(const vars *v) {
    double sum = sum_squares(v);
    if (sum > 1e-200 && sum < 1e200) return (measure){ sqrt(sum), 1, true };
    double most = largest(v);
    int exponent;
    if (most == 0 || !isfinite(most)) return (measure){ most, 1, most == 0 };
    frexp(most, &exponent);
    double unit = ldexp(1, exponent < -1000 ? 1000 : -exponent);
    return (measure){ sqrt(sum_squares_times(v, unit)), unit, true };
}

/* A factor far below 1 is applied as its root, twice: it may be outside the range of the gradients' dtype. */
static bool clip(const vars *v, double max_norm, double *norm) {
    const double least = 1e-30, more = 1e-6; /* PyTorch adds 1e-6 to the norm */
    measure m = measure_of(v);
    *norm = m.length / m.unit;
    if (!m.finite || !(*norm + more > max_norm)) return m.finite;
    double k = max_norm / (m.length + more * m.unit), root = sqrt(k) * sqrt(m.unit);
    if (m.unit == 1 && k > least) scale(v, k);
    else scale(v, root), scale(v, root);
    return true;
}

bool nn__clip_optim(const nn_optim *opt, double max_norm, double *norm) {
    return clip(&(vars){ opt->n, var_of_optim, opt }, max_norm, norm);
}

void nn__scale_optim(const nn_optim *opt, double k) { scale(&(vars){ opt->n, var_of_optim, opt }, k); }

double nn_clip_grad_norm(nn_module *m, double max_norm) {
    double norm = NAN;
    if (check(m, "clip_grad_norm", max_norm) == AD_OK)
        clip(&(vars){ nn_parameter_count(m), var_of_module, m }, max_norm, &norm);
    return norm;
}

/* ---- values ------------------------------------------------------------------------------------------ */

int nn_clip_grad_value(nn_module *m, double limit) {
    int rc = check(m, "clip_grad_value", limit);
    for (int i = 0; i < nn_parameter_count(m) && rc == AD_OK; i++) {
        ad_var *x = nn_parameter_at(m, i).var;
        if (nn__moves(x)) nn__array_limit(ad_dtype_of(x), ad_numel(x), limit, ad_grad_mut(x));
    }
    return rc;
}
