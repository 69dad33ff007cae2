/* objective.c: a Var as a function of its leaves, as a callback for optimisers written in C. */
#include <math.h>

#include "autodiff/graph/node.h"
#include "autodiff/pass/flat.h"
#include "autodiff/pass/pass.h"

struct ad_objective {
    ad_graph *g;
    ad_var *y;
    int64_t size; /* elements of all xs */
    int n;
    ad__flat_links links;
    ad_var *xs[];
};

int ad__check_variables(int n, ad_var *const xs[], const char *caller) {
    for (int i = 0; i < n; i++)
        if (xs[i]->creator != NULL || xs[i]->flags & AD__BORROWED || !ad__needs(xs[i]))
            return ad_fail(ad__owner(xs[i]), AD_EVALUE, "%s: xs[%d] is not a leaf made by ad_param", caller, i);
    return AD_OK;
}

static int check_objective(ad_var *y, int n, ad_var *const xs[]) {
    int rc = ad__check_arguments(y, n, xs, "objective");
    if (rc != AD_OK) return rc;
    ad_graph *g = ad__owner(y);
    if (y->layout->numel != 1)
        return ad_fail(g, AD_ESHAPE, "objective: y is %s, not one element; reduce it",
                       ad_shape_str(y->layout->shape).text);
    rc = ad__check_variables(n, xs, "objective");
    if (rc != AD_OK || ad__needs(y)) return rc;
    return ad_fail(g, AD_EGRAD, "objective: y depends on no Var that requires a gradient");
}

ad_objective *ad_objective_new(ad_var *y, int n, ad_var *const xs[]) {
    if (check_objective(y, n, xs)) return NULL;
    ad_graph *g = ad__owner(y);
    ad_objective *f = ad_scope_alloc(g, sizeof *f + (size_t)n * (sizeof *xs + sizeof *f->links.leaves));
    if (f == NULL) return NULL;
    *f = (ad_objective){ .g = g, .y = y, .n = n, .links.leaves = (uint32_t *)(void *)&f->xs[n] };
    for (int i = 0; i < n; i++) {
        f->xs[i] = xs[i];
        f->size += xs[i]->layout->numel;
    }
    return f;
}

int64_t ad_objective_size(const ad_objective *f) { return f ? f->size : 0; }

void ad__set_variables(int n, ad_var *const xs[], const double *x) {
    for (int i = 0; i < n; i++) {
        ad_var *leaf = xs[i];
        int64_t numel = leaf->layout->numel;
        ad__leaf_changed(leaf);
        for (int64_t k = 0; k < numel; k++) ad_write_element(leaf->layout->dtype, leaf->data, k, x[k]);
        x += numel;
    }
}

/* Writes the gradients of all xs one after the other. The xs are zeroed one by one, since ad_zero_grad(y) does not
   reach those that y does not depend on. */
static int gradient_into(const ad_objective *f, double *grad) {
    if (f->g->flat != NULL && ad__flat_gradient(f->g, f->y, f->n, &f->links, grad)) return AD_OK;
    for (int i = 0; i < f->n; i++) f->xs[i]->flags &= (uint16_t)~AD__HAS_GRAD;
    ad_zero_grad(f->y);
    int rc = ad_backward(f->y);
    for (int i = 0; i < f->n && rc == AD_OK; i++) {
        const ad_var *x = f->xs[i];
        bool has = (x->flags & AD__HAS_GRAD) != 0;
        int64_t numel = x->layout->numel;
        for (int64_t k = 0; k < numel; k++) *grad++ = has ? ad_read_element(x->layout->dtype, x->grad, k) : 0;
    }
    return rc;
}

double ad_value_and_gradient(const double *x, double *grad, void *objective) {
    ad_objective *f = objective;
    if (f == NULL || f->g->code != AD_OK) return NAN;
    if (x == NULL && f->size > 0) return ad_fail(f->g, AD_EVALUE, "value_and_gradient: x is NULL"), NAN;
    if (ad__flat_can_feed(f->g, f->y, f->n, f->xs, &f->links)) ad__flat_feed(f->g->flat, f->n, f->xs, &f->links, x);
    else ad__set_variables(f->n, f->xs, x);
    if (ad_eval(f->y) || (grad != NULL && gradient_into(f, grad))) return NAN;
    return ad_item(f->y);
}
