/* special.c: comparing both derivative rules of an op at special points and with special cotangents. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "autodiff/check/check_op.h"

enum { MAX_ELEMENTS = 40, SPECIALS = 15, STRUCTURED_SPECIALS = 11, FEW_SPECIALS = 5, COTANGENTS = 7 };

/* Numbers at which rules go wrong: ends of domains, kinks, and magnitudes whose powers overflow or underflow. The first
   FEW_SPECIALS stand for all where there are too many combinations. */
static double special(ad_dtype t, bool elementwise, int i) {
    const bool f32 = t == AD_F32;
    const double big = f32 ? 1e30 : elementwise ? 1e200 : 1e100;
    const double numbers[SPECIALS] = {
        0, 1, NAN, INFINITY, -big,
        -0.0, -1, -INFINITY, 1 / big, -1 / big, big,
        0.5, 2, f32 ? 0x1p-149 : 0x1p-1074, f32 ? (double)FLT_MAX : DBL_MAX,
    };
    return numbers[i];
}

/* Element k of cotangent number i. */
static double cotangent(ad_dtype t, bool elementwise, int i, int64_t k, double ordinary) {
    const double big = t == AD_F32 ? 1e30 : elementwise ? 1e200 : 1e100;
    const double numbers[COTANGENTS] = { ordinary, 0, 1 / big, -big, INFINITY, NAN, k == 0 ? -INFINITY : 0 };
    return numbers[i];
}

/* The op at one point. */
typedef struct {
    ad__op_check *check;
    const ad_sample_case *c;
    const void *attrs;
    const ad_shape *shapes;
    const double *values[AD__SAMPLE_OPERANDS];
} point;

/* Describes operands and cotangent at element k of operand i. */
static void describe(char *to, size_t size, const ad__trial *t, int64_t k, double cotangent, const char *what) {
    int n = snprintf(to, size, "%s in %s, cotangent %g, operands", what, ad_dtype_name(t->y->layout->dtype), cotangent);
    for (int i = 0; i < t->n && n > 0 && (size_t)n < size; i++) {
        int64_t numel = t->in[i]->layout->numel;
        n += snprintf(to + n, size - (size_t)n, " %g", numel > 0 ? ad_at(t->in[i], k < numel ? k : 0) : 0);
    }
}

static int compare_rules(ad__trial *t, int c) {
    ad_graph *g = t->check->g;
    ad_var *dxs[AD__SAMPLE_OPERANDS], *xs[AD__SAMPLE_OPERANDS];
    int from[AD__SAMPLE_OPERANDS], n = 0;
    ad_dtype dtype = t->y->layout->dtype;
    for (int i = 0; i < t->n; i++)
        if (ad__trial_takes_gradient(t, i)) xs[n] = t->in[i], from[n++] = i;
    ad_mark m = ad_begin(g);
    for (int j = 0; j < n; j++) ad_zero_grad(xs[j]);
    int back = ad_backward_from(t->y, t->weights);
    if (back) ad_clear_error(g);
    int rc = ad_vjp(t->y, t->weights, n, xs, dxs);
    if (rc) ad_clear_error(g);
    char what[200];
    if (back != rc) {
        describe(what, sizeof what, t, 0, ad_at(t->weights, 0), "return codes");
        ad__compare(t->check->report, t->check->type->name, -1, 0, back, rc, 0, 0, what);
        fprintf(stderr, "%s\n", t->check->report->message);
    }
    if (back || rc) { ad_end(g, m); return 0; }
    double rtol = dtype == AD_F64 ? 1e-10 : 1e-4, atol = dtype == AD_F64 ? DBL_MIN : (double)FLT_MIN;
    int bad = 0;
    for (int j = 0; j < n; j++) {
        double scale = 0;
        if (t->check->type->shape != NULL) {
            for (int64_t k = 0; k < xs[j]->layout->numel; k++)
                if (isfinite(ad_grad_at(xs[j], k))) scale = fmax(scale, fabs(ad_grad_at(xs[j], k)));
            for (int64_t k = 0; k < t->weights->layout->numel; k++)
                if (isfinite(ad_at(t->weights, k))) scale = fmax(scale, 1e-2 * fabs(ad_at(t->weights, k)));
        }
        atol = rtol * scale + (dtype == AD_F64 ? DBL_MIN : (double)FLT_MIN);
        for (int64_t k = 0; k < xs[j]->layout->numel; k++) {
            double b = ad_grad_at(xs[j], k), v = ad_at(dxs[j], k);
            t->check->report->compared++;
            if (ad__close_to(v, b, atol, rtol)) continue;
            int64_t wk = k < t->weights->layout->numel ? k : 0;
            describe(what, sizeof what, t, k, ad_at(t->weights, wk), "vjp and backward");
            ad__compare(t->check->report, t->check->type->name, from[j], k, v, b, 0, 0, what);
            if (bad++ < 400) fprintf(stderr, "%s\n", t->check->report->message);
        }
    }
    (void)c;
    ad_end(g, m);
    return 0;
}

static int at_point(const point *p, ad_dtype dtype) {
    ad_graph *g = p->check->g;
    ad_mark m = ad_begin(g);
    ad__trial t = { .check = p->check, .attrs = p->attrs, .n = p->c->n };
    int rc = ad__trial_build(&t, dtype, p->shapes, p->values);
    if (rc != AD_OK) { ad_clear_error(g); ad_end(g, m); return 0; }
    if (ad__needs(t.y)) {
        ad_dtype out = t.y->layout->dtype;
        double *ordinary = ad_scope_array(g, (size_t)t.y->layout->numel * sizeof(double));
        for (int64_t k = 0; k < t.y->layout->numel; k++) ordinary[k] = ad_at(t.weights, k);
        for (int c = 0; c < COTANGENTS; c++) {
            for (int64_t k = 0; k < t.y->layout->numel; k++)
                ad_write_element(out, t.weights->data, k, cotangent(out, p->check->type->shape == NULL, c, k, ordinary[k]));
            ad__leaf_changed(t.weights);
            compare_rules(&t, c);
        }
    }
    ad_end(g, m);
    return 0;
}

static int elementwise_grid(const point *p, ad_dtype dtype) {
    int n = p->c->n, base = n > 2 ? FEW_SPECIALS : p->check->type->shape == NULL ? SPECIALS : STRUCTURED_SPECIALS;
    int64_t total = 1;
    for (int i = 0; i < n; i++) total *= base;
    ad_mark m = ad_begin(p->check->g);
    point q = *p;
    ad_shape shapes[AD__SAMPLE_OPERANDS];
    int64_t step = 1;
    for (int i = 0; i < n; i++, step *= base) {
        double *v = ad_scope_array(p->check->g, (size_t)total * sizeof *v);
        for (int64_t k = 0; k < total; k++) v[k] = special(dtype, p->check->type->shape == NULL, (int)(k / step % base));
        q.values[i] = v;
        shapes[i] = AD_SHAPE(total);
    }
    q.shapes = shapes;
    at_point(&q, dtype);
    ad_end(p->check->g, m);
    return 0;
}

static int substituted(const point *p, ad_dtype dtype, int i) {
    int64_t n = ad_shape_numel(p->shapes[i]);
    ad_mark m = ad_begin(p->check->g);
    double *v = ad_scope_array(p->check->g, (size_t)n * sizeof *v);
    point q = *p;
    q.values[i] = v;
    for (int s = 0; s < STRUCTURED_SPECIALS; s++)
        for (int where = 0; where < 3; where++) {
            memcpy(v, p->values[i], (size_t)n * sizeof *v);
            if (where < 2) v[where == 0 ? 0 : n - 1] = special(dtype, p->check->type->shape == NULL, s);
            else for (int64_t k = 0; k < n; k++) v[k] = special(dtype, p->check->type->shape == NULL, s);
            at_point(&q, dtype);
        }
    ad_end(p->check->g, m);
    return 0;
}

static int with_attrs(point *p, ad_dtype dtype) {
    int64_t elements = 0;
    at_point(p, dtype);
    for (int i = 0; i < p->c->n; i++) elements += ad_shape_numel(p->shapes[i]);
    if (elements == 0 || elements > MAX_ELEMENTS) return 0;
    if (p->check->type->shape == NULL || p->check->type->vjp == NULL) {
        if (elements == p->c->n) elementwise_grid(p, dtype);
        return 0;
    }
    if (elements == p->c->n) elementwise_grid(p, dtype);
    for (int i = 0; i < p->c->n; i++)
        if (ad_shape_numel(p->shapes[i]) > 0) substituted(p, dtype, i);
    return 0;
}

int ad__check_special_points(ad__op_check *s, const ad_sample_case *c) {
    point p = { .check = s, .c = c, .attrs = c->attrs, .shapes = c->shapes };
    for (int i = 0; i < c->n; i++) p.values[i] = c->values[i];
    for (int t = 0; t < 2; t++)
        if (s->type->evaluate[t] != NULL) {
            with_attrs(&p, (ad_dtype)t);
            char *attrs = ad_scope_alloc(s->g, s->type->attr_size + 1);
            for (const ad_attr *a = s->type->attrs; a != NULL && a->name != NULL; a++) {
                if (a->kind != AD_ATTR_DOUBLE && a->kind != AD_ATTR_BOOL) continue;
                for (int i = 0; i < SPECIALS; i++) {
                    memcpy(attrs, c->attrs, s->type->attr_size);
                    if (a->kind == AD_ATTR_BOOL) {
                        if (i > 0) break;
                        bool *b = (bool *)(attrs + a->offset);
                        *b = !*b;
                    } else *(double *)(attrs + a->offset) = special(AD_F32, false, i);
                    point q = p;
                    q.attrs = attrs;
                    with_attrs(&q, (ad_dtype)t);
                }
            }
        }
    return 0;
}
