/* plan.c: ad_sparse_jacobian and its kin: checks, products, and the values of a plan. */
#include "ops/sparse/plan.h"

#include <string.h>

#include "autodiff/pass/pass.h"
#include "ops/ops.h"

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* An array like x: 1 where the colour is c, else 0. */
static ad_var *seed(ad_var *x, const int32_t *colour, int32_t c) {
    ad_var *e = ad_zeros(ad__owner(x), x->layout->dtype, x->layout->shape);
    for (int64_t i = 0; i < e->layout->numel; i++)
        if (colour[i] == c) ad_write_element(e->layout->dtype, e->data, i, 1);
    return e;
}

/* J^T u for the rows of each colour: of a Hessian, which is symmetric, also H v. */
static int products_of_rows(const ad_sparse_plan *p, const int32_t *colour, int32_t n, ad_var **to) {
    int rc = AD_OK;
    for (int32_t c = 0; c < n && rc == AD_OK; c++) {
        ad_var *e = seed(p->y, colour, c), *y = p->y, *x = p->x;
        rc = p->g->code ? p->g->code : ad__vjp_of(1, &y, &e, 1, &x, &to[c], 0);
    }
    return rc;
}

/* J v for the columns of each colour, by the vjp of the vjp as in ad_jvp. */
static int products_of_columns(const ad_sparse_plan *p, ad_var **to) {
    ad_graph *g = p->g;
    uint32_t before = g->n_ops;
    ad_var *u = ad_zeros(g, p->y->layout->dtype, p->y->layout->shape), *y = p->y, *x = p->x, *back;
    int rc = g->code ? g->code : ad__vjp_of(1, &y, &u, 1, &x, &back, 0);
    for (int32_t c = 0; c < p->n_columns && rc == AD_OK; c++) {
        ad_var *e = seed(p->x, p->column_colour, c);
        rc = g->code ? g->code : ad__vjp_of(1, &back, &e, 1, &u, &to[c], before);
    }
    return rc;
}

int ad__plan_values(ad_sparse_plan *p) {
    ad_graph *g = p->g;
    int n = p->n_columns + p->n_rows, rc = AD_OK;
    if (p->reads.n == 0) {
        p->values = ad_zeros(g, p->x->layout->dtype, AD_SHAPE(0));
        return g->code;
    }
    ad_var **products = ad_buffer_take(g, (size_t)n * sizeof *products);
    if (products == NULL) return AD_ENOMEM;
    if (p->symmetric) rc = products_of_rows(p, p->column_colour, p->n_columns, products);
    else if (p->n_columns > 0) rc = products_of_columns(p, products);
    if (rc == AD_OK && p->n_rows > 0) rc = products_of_rows(p, p->row_colour, p->n_rows, products + p->n_columns);
    if (rc == AD_OK) p->values = ad__sparse_read(&p->reads, n, products);
    ad_buffer_give(g, products, (size_t)n * sizeof *products);
    return rc ? rc : g->code;
}

/* ---- making a plan ----------------------------------------------------------------------------------------------- */

static int check_choice(const ad_sparse_plan *p, int value, int most, const char *name) {
    if (value >= 0 && value <= most) return AD_OK;
    return ad_fail(p->g, AD_EVALUE, "%s: %s is %d, out of 0..%d", p->caller, name, value, most);
}

static int check_opts(const ad_sparse_plan *p) {
    const ad_sparse_opts *o = &p->opts;
    if (check_choice(p, (int)o->format, AD_CSC, "format") || check_choice(p, o->base, 1, "base") ||
        check_choice(p, (int)o->triangle, AD_TRIANGLE_UPPER, "triangle") ||
        check_choice(p, (int)o->colouring, AD_COLOUR_ACYCLIC, "colouring") ||
        check_choice(p, (int)o->order, AD_ORDER_DYNAMIC_LARGEST, "order"))
        return p->g->code;
    bool of_hessian = o->colouring >= AD_COLOUR_STAR;
    if (!p->symmetric && o->triangle != AD_TRIANGLE_BOTH)
        return ad_fail(p->g, AD_EVALUE, "%s: a Jacobian has no triangles; triangle is of Hessians", p->caller);
    if (o->colouring != AD_COLOUR_AUTO && of_hessian != p->symmetric)
        return ad_fail(p->g, AD_EVALUE, "%s: colouring is one of %s; star and acyclic are for Hessians, the others for "
                       "Jacobians", p->caller, of_hessian ? "Hessians" : "Jacobians");
    return AD_OK;
}

static int check_sizes(const ad_sparse_plan *p) {
    if (p->y->layout->dtype != p->x->layout->dtype)
        return ad_fail(p->g, AD_EDTYPE, "%s: y is %s and x %s; use ad_cast", p->caller,
                       ad_dtype_name(p->y->layout->dtype), ad_dtype_name(p->x->layout->dtype));
    if (p->rows < INT32_MAX && p->columns < INT32_MAX) return AD_OK;
    return ad_fail(p->g, AD_ESHAPE, "%s: y %s and x %s have too many elements; 2^31 - 2 is the most", p->caller,
                   ad_shape_str(p->y->layout->shape).text, ad_shape_str(p->x->layout->shape).text);
}

static int make(ad_sparse_plan *p) {
    p->rows = p->y->layout->numel, p->columns = p->x->layout->numel;
    int rc = check_sizes(p);
    if (rc != AD_OK) return rc;
    ad_mark m = ad_begin(p->g);
    rc = ad__plan_pattern(p);
    ad_end(p->g, m);
    if (rc == AD_OK && p->g->code == AD_OK) rc = ad__plan_values(p);
    return rc ? rc : p->g->code;
}

static ad_sparse_plan *plan_new(ad_graph *g, ad_var *x, bool symmetric, ad_sparse_opts o, const char *caller) {
    ad_sparse_plan *p = ad_scope_zalloc(g, sizeof *p);
    if (p == NULL) return NULL;
    p->g = g, p->x = x, p->symmetric = symmetric, p->opts = o, p->caller = caller;
    return check_opts(p) ? NULL : p;
}

static ad_sparse_plan *made(ad_sparse_plan *p) {
    bool enabled = ad_enable_grad(p->g, true);
    int rc = make(p);
    ad_enable_grad(p->g, enabled);
    return rc == AD_OK ? p : NULL;
}

ad_sparse_plan *ad_sparse_jacobian(ad_var *y, ad_var *x, ad_sparse_opts o) {
    if (ad__check_arguments(y, 1, &x, "sparse_jacobian")) return NULL;
    ad_sparse_plan *p = plan_new(ad__owner(y), x, false, o, "sparse_jacobian");
    if (p == NULL) return NULL;
    p->y = y;
    return made(p);
}

static ad_sparse_plan *hessian(ad_var *f, ad_var *x, ad_sparse_opts o, const char *caller) {
    if (ad__check_arguments(f, 1, &x, caller)) return NULL;
    ad_sparse_plan *p = plan_new(ad__owner(f), x, true, o, caller);
    if (p == NULL) return NULL;
    if (f->layout->numel != 1) {
        ad_fail(p->g, AD_ESHAPE, "%s: f is %s, not one element; a vector function has a Jacobian", caller,
                ad_shape_str(f->layout->shape).text);
        return NULL;
    }
    return ad_gradient(f, 1, &x, &p->y) == AD_OK ? made(p) : NULL;
}

ad_sparse_plan *ad_sparse_hessian(ad_var *f, ad_var *x, ad_sparse_opts o) {
    return hessian(f, x, o, "sparse_hessian");
}

/* That there is a factor of v. */
static int check_factor(const ad_var *v, const ad_var *factor, const char *name) {
    if (ad__absent(v) || !ad__absent(factor)) return AD_OK;
    return ad_fail(ad__owner(v), AD_EVALUE, "sparse_lagrangian: %s is nil", name);
}

ad_sparse_plan *ad_sparse_lagrangian(ad_var *f, ad_var *sigma, ad_var *g, ad_var *lambda, ad_var *x,
                                     ad_sparse_opts o) {
    ad_var *l = NULL;
    if (check_factor(f, sigma, "sigma") || check_factor(g, lambda, "lambda")) return NULL;
    if (g != NULL && !ad__absent(g) && ad__check_alike(g, "g", lambda, "lambda", "sparse_lagrangian")) return NULL;
    if (f != NULL) l = ad_mul(ad_reshape(sigma, AD_SCALAR), ad_reshape(f, AD_SCALAR));
    if (g != NULL) {
        ad_var *sum = ad_sum(ad_mul(lambda, g));
        l = l ? ad_add(l, sum) : sum;
    }
    return hessian(l, x, o, "sparse_lagrangian");
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

int64_t ad_sparse_count(const ad_sparse_plan *p) { return p ? p->reads.n : 0; }
int64_t ad_sparse_rows(const ad_sparse_plan *p) { return p ? p->rows : 0; }
int64_t ad_sparse_columns(const ad_sparse_plan *p) { return p ? p->columns : 0; }
int ad_sparse_colours(const ad_sparse_plan *p) { return p ? p->n_columns + p->n_rows : 0; }

int ad_sparse_column_colour(const ad_sparse_plan *p, int64_t k) {
    return p && p->column_colour && k >= 0 && k < p->columns ? p->column_colour[k] : -1;
}
int ad_sparse_row_colour(const ad_sparse_plan *p, int64_t k) {
    return p && p->row_colour && k >= 0 && k < p->rows ? p->row_colour[k] : -1;
}

static void put(void *to, bool wide, int64_t k, int64_t value) {
    if (wide) ((int64_t *)to)[k] = value;
    else ((int32_t *)to)[k] = (int32_t)value;
}

static void put_places(const ad_sparse_plan *p, const int32_t *places, void *to, bool wide) {
    for (int64_t k = 0; k < p->reads.n && to; k++) put(to, wide, k, places[k] + p->opts.base);
}

/* places ascend, 0 .. n - 1. */
static void put_starts(const ad_sparse_plan *p, const int32_t *places, int64_t n, void *to, bool wide) {
    for (int64_t i = 0, k = 0; i <= n && to; i++) {
        while (k < p->reads.n && places[k] < i) k++;
        put(to, wide, i, k + p->opts.base);
    }
}

static int put_index(const ad_sparse_plan *p, void *i, void *j, bool wide) {
    if (p == NULL) return AD_EVALUE;
    if (!wide && p->reads.n > INT32_MAX - 1)
        return ad_fail(p->g, AD_EVALUE, "sparse_index: %lld elements are too many for 32 bits; use ad_sparse_index64",
                       (long long)p->reads.n);
    if (p->opts.format == AD_CSR) put_starts(p, p->row, p->rows, i, wide);
    else put_places(p, p->row, i, wide);
    if (p->opts.format == AD_CSC) put_starts(p, p->column, p->columns, j, wide);
    else put_places(p, p->column, j, wide);
    return AD_OK;
}

int ad_sparse_index(const ad_sparse_plan *p, int32_t *i, int32_t *j) { return put_index(p, i, j, false); }
int ad_sparse_index64(const ad_sparse_plan *p, int64_t *i, int64_t *j) { return put_index(p, i, j, true); }

/* ---- values ------------------------------------------------------------------------------------------------------ */

ad_var *ad_sparse_values(const ad_sparse_plan *p) { return p ? p->values : ad_nil(NULL); }

int ad_sparse_eval(ad_sparse_plan *p, const void *x, void *values) {
    if (p == NULL) return AD_EVALUE;
    int rc = x ? ad_set(p->x, x) : p->g->code;
    if (rc == AD_OK) rc = ad_eval(p->values);
    if (rc == AD_OK && p->n_sources) rc = ad__plan_check_sources(p);
    if (rc == AD_OK && values && p->reads.n) memcpy(values, ad_data(p->values), p->values->layout->bytes);
    return rc;
}
