/* jacobian.c: Jacobians and Hessians as Vars, and ad_gradgradcheck, the check of second derivatives. */
#include "autodiff/base/spread.h"
#include "autodiff/graph/node.h"
#include "autodiff/pass/pass.h"
#include "ops/functional/jacobian.h"
#include "ops/ops.h"

#include <string.h>

/* ---- Jacobians of b independent blocks: y [b,r], xs[i] [b,c[i]] -> js[i] [b,r,c[i]] -------------------------- */

typedef struct {
    ad_graph *g;
    ad_var *y;
    int n;
    ad_var *const *xs;
    int64_t b, r;     /* number of blocks, and of elements of y in each */
    int64_t columns;  /* elements of all xs in each block */
    bool flat;        /* whether a Jacobian is a matrix, whatever the shapes are */
    int64_t capacity; /* of parts */
    ad_var **parts;   /* the rows of all Jacobians, one Jacobian after the other, or the columns of one */
} blocks;

static int64_t width(const blocks *p, const ad_var *x) { return p->b ? x->layout->numel / p->b : 0; }

/* An array like x: 1 at element k of each block, else 0. */
static ad_var *unit(const blocks *p, const ad_var *x, int64_t k) {
    ad_var *e = ad_zeros(p->g, x->layout->dtype, x->layout->shape);
    int64_t step = width(p, x);
    for (int64_t i = k; i < e->layout->numel; i += step)
        if (x->layout->dtype == AD_F32) ((float *)e->data)[i] = 1;
        else ((double *)e->data)[i] = 1;
    return e;
}

/* Stacks the parts [b,w] along axis 1 or 2, and reshapes the result. */
static ad_var *join(const blocks *p, int64_t count, ad_var **parts, int axis, ad_shape shape) {
    for (int64_t k = 0; k < count; k++) parts[k] = ad_reshape(parts[k], AD_SHAPE(p->b, width(p, parts[k])));
    return ad_reshape(ad_stack((int)count, parts, axis), shape);
}

/* The sizes of y, then those of x without the first block_dims, which count blocks; or the numbers of elements. */
static ad_shape jacobian_shape(const blocks *p, const ad_var *x, int block_dims) {
    ad_shape s = p->y->layout->shape;
    if (p->flat) return AD_SHAPE(p->r, width(p, x));
    for (int i = block_dims; i < x->layout->shape.ndim; i++) s.dim[s.ndim++] = x->layout->shape.dim[i];
    return s;
}

/* One pass for each element of a block of y. */
static int by_rows(const blocks *p, int block_dims, ad_var *js[]) {
    int rc = AD_OK;
    for (int64_t k = 0; k < p->r && rc == AD_OK; k++) {
        ad_var *e = unit(p, p->y, k);
        rc = p->g->code ? p->g->code : ad__vjp_of(1, &p->y, &e, p->n, p->xs, js, 0);
        for (int i = 0; i < p->n; i++) p->parts[i * p->r + k] = js[i];
    }
    for (int i = 0; i < p->n && rc == AD_OK; i++)
        js[i] = join(p, p->r, p->parts + i * p->r, 1, jacobian_shape(p, p->xs[i], block_dims));
    return p->g->code;
}

/* One pass for each element of a block of the xs, by the vjp of the vjp as in ad_jvp. */
static int by_columns(const blocks *p, int block_dims, ad_var *js[]) {
    ad_graph *g = p->g;
    uint32_t before = g->n_ops;
    ad_var *c = ad_zeros(g, p->y->layout->dtype, p->y->layout->shape);
    int rc = g->code ? g->code : ad__vjp_of(1, &p->y, &c, p->n, p->xs, js, 0);
    for (int i = 0; i < p->n && rc == AD_OK; i++) {
        int64_t count = width(p, p->xs[i]);
        for (int64_t k = 0; k < count && rc == AD_OK; k++) {
            ad_var *e = unit(p, p->xs[i], k);
            rc = g->code ? g->code : ad__vjp_of(1, &js[i], &e, 1, &c, &p->parts[k], before);
        }
        if (rc == AD_OK) js[i] = join(p, count, p->parts, 2, jacobian_shape(p, p->xs[i], block_dims));
    }
    return g->code;
}

static int jacobians(blocks *p, int block_dims, ad_var *js[]) {
    bool empty = p->y->layout->numel == 0;
    for (int i = 0; i < p->n; i++) {
        p->columns += width(p, p->xs[i]);
        empty |= p->xs[i]->layout->numel == 0;
    }
    bool rows = p->r <= p->columns || empty;
    p->capacity = rows ? p->r * p->n : p->columns;
    p->parts = ad__pool_take(&p->g->pool, (size_t)(p->capacity + 1) * sizeof *p->parts);
    if (p->parts == NULL) return ad_no_memory(p->g, "a Jacobian", (size_t)p->capacity * sizeof *p->parts);
    bool enabled = ad_enable_grad(p->g, true);
    int rc = AD_OK;
    for (int i = 0; i < p->n && empty; i++)
        js[i] = ad_zeros(p->g, p->xs[i]->layout->dtype, jacobian_shape(p, p->xs[i], block_dims));
    if (!empty && p->n > 0) rc = rows ? by_rows(p, block_dims, js) : by_columns(p, block_dims, js);
    ad_enable_grad(p->g, enabled);
    ad__pool_give(&p->g->pool, p->parts, (size_t)(p->capacity + 1) * sizeof *p->parts);
    for (int i = 0; i < p->n && p->g->code != AD_OK; i++) js[i] = ad_nil(p->g);
    return rc ? rc : p->g->code;
}

static int check_ndim(const ad_var *y, const ad_var *x, int block_dims, const char *caller) {
    if (y->layout->shape.ndim + x->layout->shape.ndim - block_dims <= AD_MAX_NDIM) return AD_OK;
    return ad_fail(ad__owner(y), AD_ESHAPE,
                   "%s: the result for y %s by x %s would have more than %d dimensions; reshape y or x first", caller,
                   ad_shape_str(y->layout->shape).text, ad_shape_str(x->layout->shape).text, AD_MAX_NDIM);
}

static ad_var *jacobian(ad_var *y, ad_var *x, const char *caller) {
    ad_graph *g = y ? ad__owner(y) : NULL;
    ad_var *j = NULL;
    if (ad__check_arguments(y, 1, &x, caller) || check_ndim(y, x, 0, caller)) return ad_nil(g);
    blocks p = { .g = g, .y = y, .n = 1, .xs = &x, .b = 1, .r = y->layout->numel };
    return jacobians(&p, 0, &j) == AD_OK ? j : ad_nil(g);
}

int ad__jacobian_matrices(ad_var *y, int n, ad_var *const xs[], ad_var *js[]) {
    blocks p = { .g = ad__owner(y), .y = y, .n = n, .xs = xs, .b = 1, .r = y->layout->numel, .flat = true };
    return jacobians(&p, 0, js);
}

ad_var *ad_jacobian(ad_var *y, ad_var *x) { return jacobian(y, x, "jacobian"); }

ad_var *ad_hessian(ad_var *y, ad_var *x) {
    ad_var *d;
    return ad_gradient(y, 1, &x, &d) == AD_OK ? jacobian(d, x, "hessian") : ad_nil(y ? ad__owner(y) : NULL);
}

static int check_blocks(ad_var *y, int n, ad_var *const xs[]) {
    ad_shape s = y->layout->shape;
    int rc = s.ndim > 0 ? AD_OK : ad_fail(ad__owner(y), AD_ESHAPE, "jacobian_blocks: y is a scalar without blocks");
    for (int i = 0; i < n && rc == AD_OK; i++) {
        ad_shape x = xs[i]->layout->shape;
        if (x.ndim == 0 || x.dim[0] != s.dim[0])
            return ad_fail(ad__owner(y), AD_ESHAPE, "jacobian_blocks: y %s and xs[%d] %s must have the same first "
                           "size, the number of blocks", ad_shape_str(s).text, i, ad_shape_str(x).text);
        rc = check_ndim(y, xs[i], 1, "jacobian_blocks");
    }
    return rc;
}

int ad_jacobian_blocks(ad_var *y, int n, ad_var *const xs[], ad_var *js[]) {
    for (int i = 0; i < n && js != NULL; i++) js[i] = ad_nil(y ? ad__owner(y) : NULL);
    int rc = ad__check_arguments(y, n, xs, "jacobian_blocks");
    if (rc == AD_OK && n > 0 && js == NULL)
        rc = ad_fail(ad__owner(y), AD_EVALUE, "jacobian_blocks: js is NULL");
    if (rc == AD_OK) rc = check_blocks(y, n, xs);
    if (rc != AD_OK) return rc;
    int64_t b = y->layout->shape.dim[0];
    blocks p = { .g = ad__owner(y), .y = y, .n = n, .xs = xs, .b = b, .r = b ? y->layout->numel / b : 0 };
    return jacobians(&p, 1, js);
}

/* ---- ad_gradgradcheck ------------------------------------------------------------------------------------------- */

typedef struct {
    ad_check_fn *f;
    void *user;
    ad_var **dxs;
    const char *op; /* the op whose result f returns */
} second;

/* Constants of the shape of x, all different. */
static ad_var *weights(const ad_var *x, int number) {
    ad_var *w = ad_zeros(ad__owner(x), x->layout->dtype, x->layout->shape);
    for (int64_t k = 0; k < w->layout->numel; k++) ((double *)w->data)[k] = 2.5 * ad__spread_number(k, number) - 1;
    return w;
}

/* The vjps of f for each xs[i], with the last x as cotangent, as one number: the sum of their products with weights. */
static ad_var *vjp_of_f(int n, ad_var *const xs[], void *user) {
    second *s = user;
    ad_var *y = s->f(n - 1, xs, s->user), *sum = NULL;
    int wanted = 0;
    if (y == NULL || ad_is_nil(y) || ad_vjp(y, xs[n - 1], n - 1, xs, s->dxs)) return y;
    for (int i = 0; i < n - 1; i++) {
        if (!ad__needs(xs[i])) continue;
        ad_var *part = ad_sum(ad_mul(s->dxs[i], weights(s->dxs[i], ++wanted)));
        sum = sum ? ad_add(sum, part) : part;
    }
    return sum ? sum : ad_sum(y);
}

/* A cotangent of the shape of f's result. Calls f once to find that shape. */
static ad_var *cotangent_for(second *s, int n, ad_var *const xs[]) {
    ad_graph *g = ad__owner(xs[0]);
    ad_random_state was = g->random;
    ad_var *y = s->f(n, xs, s->user);
    g->random = was;
    if (g->code != AD_OK) return ad_nil(g);
    if (y == NULL || ad__owner(y) != g || y->layout->dtype != AD_F64)
        return ad_fail(g, AD_EVALUE, "gradgradcheck: f returned no f64 Var in the graph of xs"), ad_nil(g);
    s->op = y->creator ? y->creator->type->name : "a leaf";
    return ad_require_grad(weights(y, 0));
}

static int check_second(second *s, int n, ad_var *const xs[], const ad_check_opts *opts, ad_check_report *out) {
    ad_graph *g = ad__owner(xs[0]);
    ad_var **all = ad_scope_alloc(g, (size_t)(2 * n + 1) * sizeof *all);
    if (all == NULL) return AD_ENOMEM;
    memcpy(all, xs, (size_t)n * sizeof *all);
    s->dxs = all + n + 1;
    all[n] = cotangent_for(s, n, xs);
    if (g->code != AD_OK) return g->code;
    int rc = ad_gradcheck(vjp_of_f, s, n + 1, all, opts, out);
    if (rc == AD_ECHECK) out->op = s->op;
    return rc;
}

int ad_gradgradcheck(ad_check_fn *f, void *user, int n, ad_var *const xs[], const ad_check_opts *opts,
                     ad_check_report *out) {
    ad_check_report own, *r = out ? out : &own;
    ad_graph *g = n > 0 && xs && xs[0] ? ad__owner(xs[0]) : NULL;
    for (int i = 0; i < n && g != NULL && f != NULL; i++)
        if (xs[i] == NULL || ad__absent(xs[i]) || ad__owner(xs[i]) != g) f = NULL;
    if (g == NULL || f == NULL || g->code != AD_OK) return ad_gradcheck(f, user, n, xs, opts, r); /* sets the error */
    *r = (ad_check_report){ .op = "" };
    second s = { .f = f, .user = user };
    bool enabled = ad_enable_grad(g, true);
    ad_mark m = ad_begin(g);
    int rc = check_second(&s, n, xs, opts, r);
    ad_end(g, m);
    ad_enable_grad(g, enabled);
    if (rc != AD_OK && r->message[0] == 0) snprintf(r->message, sizeof r->message, "%s", ad_error(g));
    return rc;
}
