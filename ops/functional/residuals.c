/* residuals.c: a Var of many elements as a function of its leaves, with its Jacobian, as a callback for solvers. */
#include "autodiff/graph/node.h"
#include "autodiff/pass/pass.h"
#include "ops/functional/jacobian.h"
#include "ops/ops.h"

struct ad_residuals {
    ad_graph *g;
    ad_var *r;
    ad_var *table; /* [m, 1 + size]: the elements of r, and the Jacobian, so that one evaluation computes both */
    int64_t m, size;
    int n;
    ad_var *xs[];
};

/* parts has n + 1 elements. */
static ad_var *tabulate(const ad_residuals *f, ad_var **parts) {
    if (ad__jacobian_matrices(f->r, f->n, f->xs, parts + 1)) return ad_nil(f->g);
    parts[0] = ad_reshape(f->r, AD_SHAPE(f->m, 1));
    for (int i = 1; i <= f->n; i++) parts[i] = ad_cast(parts[i], f->r->layout->dtype);
    return ad_concat(f->n + 1, parts, 1);
}

static ad_residuals *residuals_of(ad_graph *g, ad_var *r, int n, ad_var *const xs[]) {
    ad_residuals *f = ad_scope_alloc(g, sizeof *f + (size_t)n * sizeof *xs);
    ad_var **parts = f ? ad_scope_alloc(g, (size_t)(n + 1) * sizeof *parts) : NULL;
    if (parts == NULL) return NULL;
    *f = (ad_residuals){ .g = g, .r = r, .m = r->layout->numel, .n = n };
    for (int i = 0; i < n; i++) {
        f->xs[i] = xs[i];
        f->size += xs[i]->layout->numel;
    }
    f->table = tabulate(f, parts);
    return ad_is_nil(f->table) ? NULL : f;
}

ad_residuals *ad_residuals_new(ad_var *r, int n, ad_var *const xs[]) {
    if (ad__check_arguments(r, n, xs, "residuals") || ad__check_variables(n, xs, "residuals")) return NULL;
    return residuals_of(ad__owner(r), r, n, xs);
}

int64_t ad_residuals_count(const ad_residuals *f) { return f ? f->m : 0; }
int64_t ad_residuals_size(const ad_residuals *f) { return f ? f->size : 0; }

static void read_row(const ad_residuals *f, int64_t row, double *values, double *jacobian) {
    int64_t at = row * (1 + f->size);
    ad_dtype t = f->r->layout->dtype;
    if (values != NULL) values[row] = ad_read_element(t, f->table->data, at);
    for (int64_t k = 0; k < f->size; k++)
        jacobian[row * f->size + k] = ad_read_element(t, f->table->data, at + 1 + k);
}

int ad_values_and_jacobian(const double *x, double *values, double *jacobian, void *residuals) {
    const ad_residuals *f = residuals;
    if (f == NULL) return AD_EVALUE;
    if (f->g->code != AD_OK) return f->g->code;
    if (x == NULL && f->size > 0) return ad_fail(f->g, AD_EVALUE, "values_and_jacobian: x is NULL");
    ad__set_variables(f->n, f->xs, x);
    int rc = ad_eval(jacobian ? f->table : f->r);
    for (int64_t i = 0; i < f->m && rc == AD_OK; i++) {
        if (jacobian != NULL) read_row(f, i, values, jacobian);
        else if (values != NULL) values[i] = ad_read_element(f->r->layout->dtype, f->r->data, i);
    }
    return rc;
}
