/* special.c: comparing both derivative rules of an op at special points and with special cotangents. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "autodiff/check/check_op.h"

enum {
    MOST_ELEMENTS = 40, /* of all operands of a sample; larger samples are skipped */
    SPECIALS = 15,      /* for elementwise ops */
    SUM_SPECIALS = 11,  /* for other ops, whose sums may overflow for the rest */
    FEW_SPECIALS = 5,   /* for each operand of an elementwise op of three operands */
    COTANGENTS = 7
};

/* Values and attributes that are put in place of those of a sample. */
typedef struct {
    ad__op_check *check;
    const ad_sample_case *sample;
    ad_dtype dtype;
    const void *attrs;
    const ad_shape *shapes;
    const double *values[AD__SAMPLE_OPERANDS];
} point;

static bool is_elementwise(const ad_optype *type) { return type->shape == NULL; }

/* A large number. Its square overflows in elementwise ops; in other ops it does so in f32 only. */
static double large(const point *p) {
    return p->dtype == AD_F32 ? (double)1e30f : is_elementwise(p->check->type) ? 1e200 : 1e100;
}

/* Numbers at which rules go wrong: ends of domains, kinks, and magnitudes whose powers overflow or underflow. The first
   FEW_SPECIALS stand for all where there would be too many combinations. */
static double special(const point *p, int64_t i) {
    const bool f32 = p->dtype == AD_F32;
    const double big = large(p);
    const double numbers[SPECIALS] = { 0,
                                       1,
                                       NAN,
                                       INFINITY,
                                       -big, /* few */
                                       -0.0,
                                       -1,
                                       -INFINITY,
                                       1 / big,
                                       -1 / big,
                                       big,
                                       0.5,
                                       2,
                                       f32 ? 0x1p-149 : 0x1p-1074,
                                       f32 ? (double)FLT_MAX : DBL_MAX };
    return numbers[i];
}

/* Element k of cotangent number i. Equal cotangents would cancel in ops that subtract a mean. */
static double cotangent(const point *p, int i, int64_t k, double ordinary) {
    const double big = large(p), unit = is_elementwise(p->check->type) ? 1 : ordinary;
    const double numbers[COTANGENTS] = { ordinary, 0, unit / big, -unit * big, INFINITY, NAN, k == 0 ? -INFINITY : 0 };
    return numbers[i];
}

/* ---- both rules at one point --------------------------------------------------------------------------- */

/* What a report says of element k of an operand: what was compared, cotangent, attributes and operands. */
static void describe(const ad__trial *t, int64_t k, const char *what, char *to, size_t size) {
    int64_t n = t->weights->layout->numel;
    int at = snprintf(to, size, "%s in %s at cotangent %g,", what, ad_dtype_name(t->y->layout->dtype),
                      n > 0 ? ad_at(t->weights, k < n ? k : 0) : 0);
    const ad_attr *attrs = t->check->type->attrs;
    for (int i = 0; attrs != NULL && attrs[i].name != NULL && (size_t)at < size; i++) {
        char value[64];
        ad_attr_value_text(t->check->type, i, t->attrs, value, sizeof value);
        at += snprintf(to + at, size - (size_t)at, " %s %s,", attrs[i].name, value);
    }
    for (int i = 0; i < t->n && (size_t)at < size; i++) {
        int64_t numel = t->in[i]->layout->numel;
        at += snprintf(to + at, size - (size_t)at, " %g", numel > 0 ? ad_at(t->in[i], k < numel ? k : 0) : NAN);
    }
}

/* The bound for the difference of two gradients of operand i. Sums of an op that is not elementwise may cancel. */
static double bound(const ad__trial *t, int i, double relative) {
    double scale = 0;
    for (int64_t k = 0; k < t->in[i]->layout->numel && !is_elementwise(t->check->type); k++)
        if (isfinite(ad_grad_at(t->in[i], k))) scale = fmax(scale, fabs(ad_grad_at(t->in[i], k)));
    for (int64_t k = 0; k < t->weights->layout->numel && !is_elementwise(t->check->type); k++)
        if (isfinite(ad_at(t->weights, k))) scale = fmax(scale, 1e-2 * fabs(ad_at(t->weights, k)));
    return relative * scale + (t->y->layout->dtype == AD_F64 ? DBL_MIN : (double)FLT_MIN);
}

/* Which of inf and NaN a sum is may depend on its order. */
static bool same_infinity(const ad__trial *t, double a, double b) {
    return !is_elementwise(t->check->type) && !isfinite(a) && !isfinite(b);
}

static int compare_operand(const ad__trial *t, int i, const ad_var *dx, const char *rules) {
    double relative = t->y->layout->dtype == AD_F64 ? 1e-10 : 1e-4, floor = bound(t, i, relative);
    ad_check_report *r = t->check->report;
    for (int64_t k = 0; k < dx->layout->numel; k++) {
        double by_vjp = ad_at(dx, k), by_backward = ad_grad_at(t->in[i], k);
        if (ad__close_to(by_vjp, by_backward, floor, relative) || same_infinity(t, by_vjp, by_backward)) {
            r->compared++;
            continue;
        }
        char what[300];
        describe(t, k, rules, what, sizeof what);
        return ad__compare(r, t->check->type->name, i, k, by_vjp, by_backward, 0, 0, what);
    }
    return AD_OK;
}

/* Both rules fail, or neither does. */
static int compare_codes(const ad__trial *t, int by_vjp, int by_backward) {
    char what[300] = "";
    if (by_vjp != by_backward) describe(t, 0, "codes of vjp and backward", what, sizeof what);
    return ad__compare(t->check->report, t->check->type->name, -1, 0, by_vjp, by_backward, 0, 0, what);
}

static int compare_rules(const ad__trial *t) {
    ad_graph *g = t->check->g;
    ad_var *dxs[AD__SAMPLE_OPERANDS], *xs[AD__SAMPLE_OPERANDS];
    int from[AD__SAMPLE_OPERANDS], n = 0;
    for (int i = 0; i < t->n; i++) {
        if (!ad__trial_takes_gradient(t, i)) continue;
        ad_zero_grad(t->in[i]);
        xs[n] = t->in[i], from[n++] = i;
    }
    int backward = ad_backward_from(t->y, t->weights);
    ad_clear_error(g);
    int vjp = ad_vjp(t->y, t->weights, n, xs, dxs), rc = vjp == AD_ENOMEM ? vjp : AD_OK;
    if (rc == AD_OK) ad_clear_error(g);
    if (rc == AD_OK) rc = compare_codes(t, vjp, backward);
    for (int j = 0; j < n && rc == AD_OK && vjp == AD_OK; j++)
        rc = compare_operand(t, from[j], dxs[j], "vjp and backward");
    return rc;
}

/* Compares with each cotangent. */
static int compare_cotangents(const point *p, ad__trial *t) {
    ad_graph *g = p->check->g;
    ad_var *w = t->weights;
    double *ordinary = ad_scope_array(g, (size_t)w->layout->numel * sizeof *ordinary);
    int rc = ordinary == NULL ? AD_ENOMEM : AD_OK;
    for (int64_t k = 0; k < w->layout->numel && rc == AD_OK; k++) ordinary[k] = ad_at(w, k);
    for (int c = 0; c < COTANGENTS && rc == AD_OK; c++) {
        for (int64_t k = 0; k < w->layout->numel; k++)
            ad_write_element(w->layout->dtype, w->data, k, cotangent(p, c, k, ordinary[k]));
        ad__leaf_changed(w);
        ad_mark m = ad_begin(g);
        rc = compare_rules(t);
        ad_end(g, m);
    }
    return rc;
}

/* Not near the ends of the range of f32. */
static bool is_ordinary(double v) {
    double size = fabs(v);
    return size == 0 || (size > 1e-31 && size < 1e31) || size == INFINITY;
}

/* Compares slopes by forward mode with those by backward where these are finite, at ordinary operands. */
static int compare_slopes(const ad__trial *t, int i, ad_var *slope) {
    for (int64_t k = 0; k < slope->layout->numel; k++) {
        double by_backward = ad_grad_at(t->in[i], k);
        bool ordinary = isfinite(by_backward);
        for (int o = 0; o < t->n; o++) {
            double v = ad_at(t->in[o], k < t->in[o]->layout->numel ? k : 0);
            ordinary = ordinary && (is_ordinary(v) || isnan(v));
        }
        if (!ordinary) ad_write_element(slope->layout->dtype, slope->data, k, by_backward);
    }
    return compare_operand(t, i, slope, "jvp and backward");
}

/* Forward mode differentiates the vjp of an elementwise op with respect to the cotangent, which must give the slope. A
   branch of the rule that was not chosen may turn 0 times an infinity into NaN. */
static int compare_forward(const ad__trial *t) {
    ad_graph *g = t->check->g;
    ad_var *y = t->y, *w = ad_require_grad(ad_ones(g, y->layout->dtype, y->layout->shape)), *dx, *slope;
    for (int i = 0; i < t->n; i++)
        if (ad__trial_takes_gradient(t, i)) ad_zero_grad(t->in[i]);
    int rc = ad_backward_from(y, w);
    for (int i = 0; i < t->n && rc == AD_OK; i++) {
        ad_var *x = t->in[i];
        if (!ad__trial_takes_gradient(t, i) || !ad_shape_equal(x->layout->shape, y->layout->shape)) continue;
        rc = ad_vjp(y, w, 1, &x, &dx);
        if (rc == AD_OK && ad__needs(dx)) rc = ad_vjp(dx, w, 1, &w, &slope);
        if (rc == AD_OK && ad__needs(dx)) rc = compare_slopes(t, i, slope);
    }
    return rc;
}

/* An op may refuse the point. */
static int compare_at(const point *p) {
    ad_graph *g = p->check->g;
    ad__trial t = { .check = p->check, .attrs = p->attrs, .n = p->sample->n };
    ad_mark m = ad_begin(g);
    int rc = ad__trial_build(&t, p->dtype, p->shapes, p->values);
    if (rc == AD_OK && ad__needs(t.y)) {
        rc = compare_cotangents(p, &t);
        if (rc == AD_OK && is_elementwise(p->check->type)) rc = compare_forward(&t);
    } else if (rc != AD_OK && rc != AD_ENOMEM) ad_clear_error(g), rc = AD_OK;
    ad_end(g, m);
    return rc;
}

/* ---- f32 and f64 ------------------------------------------------------------------------------------------- */

/* Values outside the range of f32 are not compared. */
static bool is_comparable(const ad__trial *wide, int64_t k) {
    for (int i = 0; i < wide->n; i++)
        if (!is_ordinary(ad_at(wide->in[i], k)) && !isnan(ad_at(wide->in[i], k))) return false;
    double y = fabs(ad_at(wide->y, k));
    return y == 0 || y == INFINITY || (y >= (double)FLT_MIN && y <= (double)FLT_MAX);
}

/* The gradient in f32 is that in f64, rounded: a rule overflows or underflows only if its result does. */
static int compare_rounded(const ad__trial *narrow, const ad__trial *wide, int i) {
    int rc = AD_OK;
    for (int64_t k = 0; k < narrow->in[i]->layout->numel && rc == AD_OK; k++) {
        char what[300];
        double got = ad_grad_at(narrow->in[i], k), want = (double)(float)ad_grad_at(wide->in[i], k);
        bool close = ad__close_to(got, want, (double)FLT_MIN, 1e-4);
        if (!close) describe(narrow, k, "f32 and f64", what, sizeof what);
        if (close || !is_comparable(wide, k)) narrow->check->report->compared++;
        else rc = ad__compare(narrow->check->report, narrow->check->type->name, i, k, got, want, 0, 0, what);
    }
    return rc;
}

/* Sets the cotangent of a trial, as rounded to f32, and computes the gradients by backward. */
static int backward_with(const point *p, ad__trial *t, int c) {
    ad_var *w = t->weights;
    for (int64_t k = 0; k < w->layout->numel; k++)
        ad_write_element(w->layout->dtype, w->data, k, (double)(float)cotangent(p, c, k, 1));
    ad__leaf_changed(w);
    for (int i = 0; i < t->n; i++)
        if (ad__trial_takes_gradient(t, i)) ad_zero_grad(t->in[i]);
    return ad_backward_from(t->y, w);
}

static int compare_precisions(const point *p) {
    enum { FINITE_COTANGENTS = 4 };
    ad_graph *g = p->check->g;
    ad__trial narrow = { .check = p->check, .attrs = p->attrs, .n = p->sample->n }, wide = narrow;
    ad_mark m = ad_begin(g);
    int rc = ad__trial_build(&narrow, AD_F32, p->shapes, p->values);
    if (rc == AD_OK) rc = ad__trial_build(&wide, AD_F64, p->shapes, p->values);
    for (int c = 0; c < FINITE_COTANGENTS && rc == AD_OK && ad__needs(wide.y); c++) {
        rc = backward_with(p, &narrow, c);
        if (rc == AD_OK) rc = backward_with(p, &wide, c);
        for (int i = 0; i < wide.n && rc == AD_OK; i++)
            if (ad__trial_takes_gradient(&wide, i)) rc = compare_rounded(&narrow, &wide, i);
    }
    ad_end(g, m);
    return rc;
}

/* ---- points ------------------------------------------------------------------------------------------------ */

/* All combinations of special numbers as operands with one element each: for an elementwise op at once, as arrays. */
static int compare_grid(const point *p) {
    int n = p->sample->n, base = n > 2 ? FEW_SPECIALS : SPECIALS, rc = AD_OK;
    int64_t total = 1, step = 1;
    for (int i = 0; i < n; i++) total *= base;
    point q = *p;
    ad_shape shapes[AD__SAMPLE_OPERANDS];
    for (int i = 0; i < n && rc == AD_OK; i++, step *= base) {
        double *v = ad_scope_array(p->check->g, (size_t)total * sizeof *v);
        for (int64_t k = 0; k < total && v != NULL; k++) v[k] = special(p, k / step % base);
        q.values[i] = v, shapes[i] = AD_SHAPE(total);
        if (v == NULL) rc = AD_ENOMEM;
    }
    q.shapes = shapes;
    if (rc == AD_OK) rc = compare_at(&q);
    bool both = p->dtype == AD_F32 && p->check->type->evaluate[AD_F64] != NULL;
    return rc == AD_OK && both && p->attrs == p->sample->attrs ? compare_precisions(&q) : rc;
}

/* Puts each special number in place of the first element of operand i, of its last one, and of all. Equal large numbers
   are left out, as they may cancel. */
static int compare_substituted(const point *p, int i) {
    enum { FIRST, LAST, ALL, PLACES };
    int64_t n = ad_shape_numel(p->shapes[i]);
    double *v = ad_scope_array(p->check->g, (size_t)n * sizeof *v);
    point q = *p;
    int rc = v == NULL ? AD_ENOMEM : AD_OK;
    q.values[i] = v;
    for (int s = 0; s < SUM_SPECIALS * PLACES && n > 0 && rc == AD_OK; s++) {
        double value = special(p, s / PLACES);
        int place = s % PLACES;
        if (place == ALL && isfinite(value) && fabs(value) > 2) continue;
        memcpy(v, p->values[i], (size_t)n * sizeof *v);
        if (place != ALL) v[place == FIRST ? 0 : n - 1] = value;
        for (int64_t k = 0; k < n && place == ALL; k++) v[k] = value;
        rc = compare_at(&q);
    }
    return rc;
}

static int compare_operands(const point *p) {
    int rc = compare_at(p);
    if (is_elementwise(p->check->type)) return rc == AD_OK ? compare_grid(p) : rc;
    for (int i = 0; i < p->sample->n && rc == AD_OK; i++) rc = compare_substituted(p, i);
    return rc;
}

/* Puts special numbers in place of the attribute a. An elementwise op is compared over the grid, others at the
   sample. */
static int compare_attribute(const point *p, const ad_attr *a) {
    ad_graph *g = p->check->g;
    size_t size = p->check->type->attr_size;
    char *attrs = ad_scope_alloc(g, size);
    int n = a->kind == AD_ATTR_DOUBLE ? SUM_SPECIALS : a->kind == AD_ATTR_BOOL ? 1 : 0;
    point q = *p;
    q.attrs = attrs;
    int rc = attrs == NULL ? AD_ENOMEM : AD_OK;
    for (int i = 0; i < n && rc == AD_OK; i++) {
        memcpy(attrs, p->attrs, size);
        if (a->kind == AD_ATTR_BOOL) *(bool *)(attrs + a->offset) ^= true;
        else *(double *)(void *)(attrs + a->offset) = special(&(point){ .check = p->check, .dtype = AD_F32 }, i);
        rc = is_elementwise(p->check->type) ? compare_grid(&q) : compare_at(&q);
    }
    return rc;
}

static int compare_sample(const point *p) {
    int rc = compare_operands(p);
    for (const ad_attr *a = p->check->type->attrs; a != NULL && a->name != NULL && rc == AD_OK; a++)
        rc = compare_attribute(p, a);
    return rc;
}

int ad__check_special_points(ad__op_check *s, const ad_sample_case *c) {
    int64_t elements = 0;
    for (int i = 0; i < c->n; i++) elements += ad_shape_numel(c->shapes[i]);
    if (elements > MOST_ELEMENTS || (is_elementwise(s->type) && elements != c->n)) return AD_OK;
    int rc = AD_OK;
    ad_error_fn *on_error = s->g->on_error;
    s->g->on_error = NULL; /* an op may refuse points, which is no error of the user's */
    for (int t = AD_F32; t <= AD_F64 && rc == AD_OK; t++) {
        point p = { .check = s, .sample = c, .dtype = (ad_dtype)t, .attrs = c->attrs, .shapes = c->shapes };
        memcpy(p.values, c->values, (size_t)c->n * sizeof *c->values);
        if (s->type->evaluate[t] != NULL || s->type->flags & AD_OP_VIEW) rc = compare_sample(&p);
    }
    s->g->on_error = on_error;
    return rc;
}
