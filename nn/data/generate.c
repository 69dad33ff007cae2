/* generate.c: small made-up data sets, for demos, tests and first tries. */
#include <math.h>

#include "autodiff/graph/node.h"
#include "nn/nn.h"

static const double PI = 3.14159265358979323846;

static void put(ad_var *x, int64_t i, double v) {
    if (ad_dtype_of(x) == AD_F32) ((float *)x->data)[i] = (float)v;
    else ((double *)x->data)[i] = v;
}

/* x [n, width] of normal numbers times noise, to which the points are added, and y [n]. */
static bool blank(ad_graph *g, ad_dtype t, int64_t n, int64_t width, double noise, const char *name, nn_dataset *d) {
    *d = (nn_dataset){ ad_nil(g), ad_nil(g) };
    if (!ad_ok(g)) return false;
    if (n < 0 || !(noise >= 0))
        return ad_fail(g, AD_EVALUE, "%s: %lld points with noise %g: neither may be below 0", name, (long long)n,
                       noise),
               false;
    d->x = ad_randn(g, t, AD_SHAPE(n, width));
    d->y = ad_zeros(g, t, AD_SHAPE(n));
    for (int64_t i = 0; ad_ok(g) && i < n * width; i++) put(d->x, i, noise * ad_at(d->x, i));
    return ad_ok(g);
}

static void place(nn_dataset d, int64_t i, double x0, double x1, int64_t class) {
    put(d.x, 2 * i, x0 + ad_at(d.x, 2 * i));
    put(d.x, 2 * i + 1, x1 + ad_at(d.x, 2 * i + 1));
    put(d.y, i, (double)class);
}

nn_dataset nn_xor_data(ad_graph *g, ad_dtype t, int64_t n, double noise) {
    nn_dataset d;
    if (!blank(g, t, n, 2, noise, "xor_data", &d)) return d;
    for (int64_t i = 0; i < n; i++) place(d, i, (double)(i / 2 % 2), (double)(i % 2), (i / 2 % 2) ^ (i % 2));
    return d;
}

nn_dataset nn_spiral_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, double noise) {
    nn_dataset d = { ad_nil(g), ad_nil(g) };
    if (ad_ok(g) && classes < 1)
        return ad_fail(g, AD_EVALUE, "spiral_data: %lld classes: at least 1", (long long)classes), d;
    if (!blank(g, t, n, 2, noise, "spiral_data", &d)) return d;
    for (int64_t i = 0; i < n; i++) {
        int64_t class = i % classes, each = (n - class + classes - 1) / classes;
        double way = 0.1 + 0.9 * (double)(i / classes) / (double)each;
        double angle = 3 * PI * way + 2 * PI * (double)class / (double)classes;
        place(d, i, way * cos(angle), way * sin(angle), class);
    }
    return d;
}

nn_dataset nn_moons_data(ad_graph *g, ad_dtype t, int64_t n, double noise) {
    nn_dataset d;
    if (!blank(g, t, n, 2, noise, "moons_data", &d)) return d;
    for (int64_t i = 0; i < n; i++) {
        int64_t class = i % 2, last = (n - class + 1) / 2 - 1;
        double angle = last > 0 ? PI * (double)(i / 2) / (double)last : 0;
        if (class == 0) place(d, i, cos(angle), sin(angle), 0);
        else place(d, i, 1 - cos(angle), 0.5 - sin(angle), 1);
    }
    return d;
}

nn_dataset nn_circles_data(ad_graph *g, ad_dtype t, int64_t n, double noise, double factor) {
    nn_dataset d;
    if (!blank(g, t, n, 2, noise, "circles_data", &d)) return d;
    for (int64_t i = 0; i < n; i++) {
        int64_t class = i % 2, each = (n - class + 1) / 2;
        double angle = 2 * PI * (double)(i / 2) / (double)each, radius = class ? factor : 1;
        place(d, i, radius * cos(angle), radius * sin(angle), class);
    }
    return d;
}

nn_dataset nn_blobs_data(ad_graph *g, ad_dtype t, int64_t n, int64_t classes, int64_t width, double std) {
    nn_dataset d = { ad_nil(g), ad_nil(g) };
    if (ad_ok(g) && (classes < 1 || width < 1))
        return ad_fail(g, AD_EVALUE, "blobs_data: %lld classes in %lld dimensions: at least 1 of both",
                       (long long)classes, (long long)width),
               d;
    ad_var *centres = ad_rand(g, t, AD_SHAPE(classes, width));
    if (!blank(g, t, n, width, std, "blobs_data", &d)) return d;
    for (int64_t i = 0; i < n; i++) {
        put(d.y, i, (double)(i % classes));
        for (int64_t j = 0; j < width; j++)
            put(d.x, i * width + j, ad_at(d.x, i * width + j) + 20 * ad_at(centres, i % classes * width + j) - 10);
    }
    return d;
}

nn_dataset nn_curve_data(ad_graph *g, ad_dtype t, int64_t n, double lo, double hi, double (*f)(double), double noise) {
    nn_dataset d;
    if (!blank(g, t, n, 1, noise, "curve_data", &d)) return d;
    for (int64_t i = 0; i < n; i++) {
        double x = n > 1 ? lo + (hi - lo) * (double)i / (double)(n - 1) : lo;
        put(d.y, i, f(x) + ad_at(d.x, i));
        put(d.x, i, x);
    }
    d.y = ad_reshape(d.y, AD_SHAPE(n, 1));
    return d;
}
