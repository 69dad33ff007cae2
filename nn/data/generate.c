/* generate.c: small synthetic data sets for demos, tests and first experiments. */
#include <math.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/data.h"
#include "ops/ops.h"

static const double PI = 3.14159265358979323846;

/* A data set that is being filled in: its elements, for writing. x holds noise, to which points are added. */
typedef struct {
    ad_dtype t;
    void *x, *y;
} points;

static int check(ad_graph *g, int64_t n, double noise, const char *caller) {
    if (!ad_ok(g)) return ad_error_code(g);
    if (isinf(noise)) return ad_fail(g, AD_EVALUE, "%s: noise %g: it must be finite", caller, noise);
    if (n >= 0 && noise >= 0) return AD_OK;
    return ad_fail(g, AD_EVALUE, "%s: %lld points with noise %g: neither may be negative", caller, (long long)n, noise);
}

/* x [n,width] of normal noise and y [n] of zeros; false, with nil in d, after an error. */
static bool begin(ad_graph *g, ad_dtype t, int64_t n, int64_t width, double noise, const char *caller, nn_dataset *d,
                  points *p) {
    *d = (nn_dataset){ ad_nil(g), ad_nil(g) };
    if (check(g, n, noise, caller) != AD_OK) return false;
    ad_var *x = ad_randn(g, t, AD_SHAPE(n, width)), *y = ad_zeros(g, t, AD_SHAPE(n));
    if (!ad_ok(g)) return false;
    *p = (points){ t, ad_data_mut(x), ad_data_mut(y) };
    for (int64_t i = 0; i < n * width; i++) ad_write_element(t, p->x, i, noise * ad_read_element(t, p->x, i));
    *d = (nn_dataset){ x, y };
    return true;
}

/* Whether a number of the caller's is finite; otherwise an error. */
static bool is_finite(ad_graph *g, const char *caller, const char *name, double value) {
    if (ad_ok(g) && !isfinite(value)) ad_fail(g, AD_EVALUE, "%s: %s %g: it must be finite", caller, name, value);
    return ad_ok(g);
}

static void add(const points *p, int64_t i, double value) {
    ad_write_element(p->t, p->x, i, value + ad_read_element(p->t, p->x, i));
}

/* Point i of two coordinates. */
static void place(const points *p, int64_t i, double x0, double x1, int64_t class) {
    add(p, 2 * i, x0);
    add(p, 2 * i + 1, x1);
    ad_write_element(p->t, p->y, i, (double)class);
}

/* How many of n points have this class, when the classes take turns; more than 0. */
static int64_t count_of(int64_t n, int64_t class, int64_t classes) { return (n - class - 1) / classes + 1; }

nn_dataset nn_xor_data(ad_graph *g, ad_dtype t, int64_t n, double noise) {
    nn_dataset d;
    points p;
    if (!begin(g, t, n, 2, noise, "xor_data", &d, &p)) return d;
    for (int64_t i = 0; i < n; i++) place(&p, i, (double)(i / 2 % 2), (double)(i % 2), (i / 2 % 2) ^ (i % 2));
    return d;
}

nn_dataset nn_spiral_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, double noise) {
    nn_dataset d = { ad_nil(g), ad_nil(g) };
    points p;
    if (ad_ok(g) && classes < 1)
        return ad_fail(g, AD_EVALUE, "spiral_data: %lld classes: at least 1", (long long)classes), d;
    if (!begin(g, t, n, 2, noise, "spiral_data", &d, &p)) return d;
    for (int64_t i = 0; i < n; i++) {
        int64_t class = i % classes;
        double radius = 0.1 + 0.9 * (double)(i / classes) / (double)count_of(n, class, classes);
        double angle = 3 * PI * radius + 2 * PI * (double)class / (double)classes;
        place(&p, i, radius * cos(angle), radius * sin(angle), class);
    }
    return d;
}

nn_dataset nn_moons_data(ad_graph *g, ad_dtype t, int64_t n, double noise) {
    nn_dataset d;
    points p;
    if (!begin(g, t, n, 2, noise, "moons_data", &d, &p)) return d;
    for (int64_t i = 0; i < n; i++) {
        int64_t class = i % 2, last = count_of(n, class, 2) - 1;
        double angle = last > 0 ? PI * (double)(i / 2) / (double)last : 0;
        if (class == 0) place(&p, i, cos(angle), sin(angle), 0);
        else place(&p, i, 1 - cos(angle), 0.5 - sin(angle), 1);
    }
    return d;
}

nn_dataset nn_circles_data(ad_graph *g, ad_dtype t, int64_t n, double noise, double factor) {
    nn_dataset d = { ad_nil(g), ad_nil(g) };
    points p;
    if (!is_finite(g, "circles_data", "factor", factor)) return d;
    if (!begin(g, t, n, 2, noise, "circles_data", &d, &p)) return d;
    for (int64_t i = 0; i < n; i++) {
        int64_t class = i % 2;
        double angle = 2 * PI * (double)(i / 2) / (double)count_of(n, class, 2), radius = class ? factor : 1;
        place(&p, i, radius * cos(angle), radius * sin(angle), class);
    }
    return d;
}

nn_dataset nn_blobs_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, int64_t width, double std) {
    nn_dataset d = { ad_nil(g), ad_nil(g) };
    points p;
    if (ad_ok(g) && (classes < 1 || width < 1))
        return ad_fail(g, AD_EVALUE, "blobs_data: %lld classes in %lld dimensions: at least 1 of both",
                       (long long)classes, (long long)width),
               d;
    ad_var *centres = ad_rand(g, t, AD_SHAPE(classes, width));
    if (!begin(g, t, n, width, std, "blobs_data", &d, &p)) return d;
    for (int64_t i = 0; i < n; i++) {
        int64_t class = i % classes;
        ad_write_element(t, p.y, i, (double)class);
        for (int64_t j = 0; j < width; j++) add(&p, i * width + j, 20 * ad_at(centres, class * width + j) - 10);
    }
    return d;
}

nn_dataset nn_curve_data(ad_graph *g, ad_dtype t, int64_t n, double lo, double hi, double (*f)(double), double noise) {
    nn_dataset d = { ad_nil(g), ad_nil(g) };
    points p;
    if (ad_ok(g) && f == NULL) return ad_fail(g, AD_EVALUE, "curve_data: the function f is NULL"), d;
    if (!is_finite(g, "curve_data", "lo", lo) || !is_finite(g, "curve_data", "hi", hi)) return d;
    if (!begin(g, t, n, 1, noise, "curve_data", &d, &p)) return d;
    for (int64_t i = 0; i < n; i++) {
        double x = n > 1 ? lo + (hi - lo) * (double)i / (double)(n - 1) : lo;
        ad_write_element(t, p.y, i, f(x) + ad_read_element(t, p.x, i)); /* x still holds the noise */
        ad_write_element(t, p.x, i, x);
    }
    d.y = ad_reshape(d.y, AD_SHAPE(n, 1));
    return d;
}
