/* nested.c: modules particle and saddle of GradBench: gradient descent on functions that differentiate others. */
#include "bench/gradbench/common.h"

#include <math.h>

/* The functions of both modules are named by two letters, f for forward and r for reverse mode: of the outer
   derivative, then of the inner one. */
typedef struct {
    ad_graph *g;
    const gb_array *start;
    bool outer_forward, inner_forward;
    double result[4];
    int n;
} nested;

/* ---- derivatives and descent ----------------------------------------------------------------------------------- */

/* The gradient of y by x [n], as a Var: by reverse mode, or by forward mode, one direction after the other. */
static ad_var *gradient_of(ad_var *y, ad_var *x, bool forward) {
    ad_graph *g = ad_graph_of(y);
    ad_var *d = NULL, *parts[2];
    if (!forward) return ad_gradient(y, 1, &x, &d) == AD_OK ? d : ad_nil(g);
    int n = (int)ad_numel(x);
    for (int i = 0; i < n && i < 2; i++) {
        const double unit[] = { i == 0, i == 1 };
        parts[i] = ad_jvp(y, 1, &x, (ad_var *[]){ ad_tensor(g, AD_F64, unit, AD_SHAPE(n)) });
    }
    return ad_stack(n, parts, 0);
}

/* A function to be minimised: its value at x, a scalar, and its gradient there. */
typedef struct {
    ad_var *(*value)(ad_var *x, const void *user);
    ad_var *(*gradient)(ad_var *x, const void *user);
    const void *user;
} cost;

static double length(const ad_var *x) {
    double sum = 0;
    for (int64_t i = 0; i < ad_numel(x); i++) sum += ad_at(x, i) * ad_at(x, i);
    return sqrt(sum);
}

/* Gradient descent: the rate doubles after ten steps that went down, and halves after one that would not. Its steps are
   Vars, so its result can be differentiated. */
static ad_var *argmin(const cost *f, ad_var *x) {
    const double tolerance = 1e-5;
    ad_graph *g = ad_graph_of(x);
    ad_var *y = f->value(x, f->user), *d = f->gradient(x, f->user);
    double rate = 1e-5;
    for (int went_down = 0; ad_ok(g) && length(d) > tolerance;) {
        if (went_down == 10) rate *= 2, went_down = 0;
        ad_var *step = ad_muls(d, rate), *next = ad_sub(x, step);
        if (length(step) <= tolerance) break;
        ad_var *y_next = f->value(next, f->user);
        if (ad_item(y_next) < ad_item(y)) x = next, y = y_next, d = f->gradient(x, f->user), went_down++;
        else rate /= 2, went_down = 0;
    }
    return x;
}

/* The user's functions are called in a scope of their own, so that a descent's memory does not grow with its steps. */
static ad_var *constant_of(ad_var *(*f)(ad_var *x, const nested *p), ad_var *x, const nested *p) {
    double at[2] = { 0 }, to[2] = { 0 };
    for (int64_t i = 0; i < ad_numel(x); i++) at[i] = ad_at(x, i);
    ad_mark m = ad_begin(p->g);
    ad_var *y = f(ad_param(p->g, AD_F64, at, ad_shape_of(x)), p);
    ad_shape s = ad_shape_of(y);
    for (int64_t i = 0; i < ad_numel(y) && i < 2; i++) to[i] = ad_at(y, i);
    ad_end(p->g, m);
    return ad_tensor(p->g, AD_F64, to, s);
}

/* ---- particle: where does it cross the x axis, with a charge that is moved by w? ------------------------------- */

static ad_var *potential(ad_var *x, ad_var *const *charges) {
    ad_var *sum = NULL;
    for (int i = 0; i < 2; i++) {
        ad_var *part = ad_reciprocal(ad_sqrt(ad_sum(ad_square(ad_sub(x, charges[i])))));
        sum = sum ? ad_add(sum, part) : part;
    }
    return sum;
}

/* The square of the place, by Euler's method with linear interpolation of the last step. w [1] */
static ad_var *crossing(ad_var *w, const nested *p) {
    const double step = 0.1, to[] = { 10, 10 }, other[] = { 10, 0 }, place[] = { 0, 8 }, speed[] = { 0.75, 0 };
    ad_var *zero = ad_zeros_like(w), *moved = ad_concat(2, (ad_var *[]){ zero, w }, 0);
    ad_var *charges[] = { ad_sub(ad_tensor(p->g, AD_F64, to, AD_SHAPE(2)), moved),
                          ad_tensor(p->g, AD_F64, other, AD_SHAPE(2)) };
    ad_var *x = ad_tensor(p->g, AD_F64, place, AD_SHAPE(2)), *v = ad_tensor(p->g, AD_F64, speed, AD_SHAPE(2));
    while (ad_ok(p->g)) {
        ad_var *force = ad_neg(gradient_of(potential(x, charges), x, p->inner_forward));
        x = ad_add(x, ad_muls(v, step));
        if (ad_at(x, 1) <= 0) break;
        v = ad_add(v, ad_muls(force, step));
    }
    ad_var *left = ad_neg(ad_div(ad_select(x, 0, 1), ad_select(v, 0, 1)));
    return ad_square(ad_select(ad_add(x, ad_mul(v, left)), 0, 0));
}

static ad_var *crossing_slope(ad_var *w, const nested *p) { return gradient_of(crossing(w, p), w, p->outer_forward); }
static ad_var *particle_value(ad_var *w, const void *p) { return constant_of(crossing, w, p); }
static ad_var *particle_gradient(ad_var *w, const void *p) { return constant_of(crossing_slope, w, p); }

static void particle(nested *p) {
    const cost f = { particle_value, particle_gradient, p };
    ad_var *w = argmin(&f, ad_tensor(p->g, AD_F64, p->start->data, AD_SHAPE(1)));
    p->result[0] = ad_at(w, 0);
}

/* ---- saddle: min over x of max over y of |x|^2 - |y|^2, both in the plane -------------------------------------- */

typedef struct {
    ad_var *x;
    bool forward;
} inner;

/* To find the largest, the negative is minimised. */
static ad_var *negative(ad_var *y, const void *user) {
    return ad_sub(ad_sum(ad_square(y)), ad_sum(ad_square(((const inner *)user)->x)));
}
static ad_var *negative_gradient(ad_var *y, const void *user) {
    return gradient_of(negative(y, user), y, ((const inner *)user)->forward);
}

static ad_var *argmax(ad_var *x, const nested *p, bool forward) {
    inner i = { x, forward };
    const cost f = { negative, negative_gradient, &i };
    return argmin(&f, ad_tensor(p->g, AD_F64, p->start->data, AD_SHAPE(2)));
}

static ad_var *largest(ad_var *x, const nested *p) {
    inner i = { x, p->inner_forward };
    return ad_neg(negative(argmax(x, p, p->inner_forward), &i));
}

static ad_var *largest_gradient(ad_var *x, const nested *p) { return gradient_of(largest(x, p), x, p->outer_forward); }
static ad_var *saddle_value(ad_var *x, const void *p) { return constant_of(largest, x, p); }
static ad_var *saddle_gradient(ad_var *x, const void *p) { return constant_of(largest_gradient, x, p); }

static void saddle(nested *p) {
    const cost f = { saddle_value, saddle_gradient, p };
    ad_var *x = argmin(&f, ad_tensor(p->g, AD_F64, p->start->data, AD_SHAPE(2)));
    ad_var *y = argmax(x, p, p->outer_forward);
    for (int i = 0; i < 2; i++) p->result[i] = ad_at(x, i), p->result[2 + i] = ad_at(y, i);
}

/* ---- the modules ----------------------------------------------------------------------------------------------- */

static void *open_nested(const gb_input *in, const char *start, int64_t length_of_start, int n) {
    nested *p = ad_scope_zalloc(in->g, sizeof *p);
    const gb_array *a = gb_get(in, start, -1);
    if (p == NULL || !ad_ok(in->g)) return NULL;
    if (a->n != length_of_start) return ad_fail(in->g, AD_ESHAPE, "input %s has %d numbers", start, (int)a->n), NULL;
    *p = (nested){ .g = in->g, .start = a, .n = n };
    return p;
}

static void *open_particle(const gb_input *in) { return open_nested(in, "w", 1, 1); }
static void *open_saddle(const gb_input *in) { return open_nested(in, "start", 2, 4); }

static void run(nested *p, void (*f)(nested *p), bool outer_forward, bool inner_forward) {
    ad_mark m = ad_begin(p->g);
    p->outer_forward = outer_forward, p->inner_forward = inner_forward;
    f(p);
    ad_end(p->g, m);
}

static void print(const void *problem, FILE *to) {
    const nested *p = problem;
    gb_print(to, p->n == 1 ? AD_SCALAR : AD_SHAPE(p->n), p->result);
}

#define MODES(f)                                                                                                       \
    static void f##_ff(void *p) { run(p, f, true, true); }                                                             \
    static void f##_fr(void *p) { run(p, f, true, false); }                                                            \
    static void f##_rf(void *p) { run(p, f, false, true); }                                                            \
    static void f##_rr(void *p) { run(p, f, false, false); }                                                           \
    const gb_module gb_##f = {                                                                                         \
        #f,                                                                                                            \
        open_##f,                                                                                                      \
        { { "ff", f##_ff, print }, { "fr", f##_fr, print }, { "rf", f##_rf, print }, { "rr", f##_rr, print } }         \
    };
MODES(particle)
MODES(saddle)
