/* ba.c: bundle adjustment of the AD benchmark: the sparse Jacobian of p observations, each of 15 input numbers. */
#include "bench/adbench/common.h"
#include "ops/compile.h"

#include <complex.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

enum {
    CAMERA = 11, POINT = 3,
    INPUTS = CAMERA + POINT + 1, /* inputs of an observation: camera, point, weight */
    TILE = 504                   /* observations processed together: their arrays fit in the cache, and no array is a
                                    whole page long, so that they do not map to the same cache sets */
};

typedef struct {
    int n, m, p; /* cameras, points, observations; observation i has camera i % n and point i % m */
    double *cameras, *points, *weights, *features; /* [n,11], [m,3], [p], [p,2] */
    ad_graph *g;
    ad_program *program; /* NULL before the first call of `compiled` */
} ba;

/* ---- plain C ------------------------------------------------------------------------------------------------- */

#include "bench/adbench/ba.inc"
#define PLAIN_COMPLEX
#include "bench/adbench/ba.inc"

/* Two errors for each observation, then one for each weight. */
static int64_t n_values(const void *problem) { return 3 * (int64_t)((const ba *)problem)->p; }
/* A row of 15 for each error of an observation, then one number for each weight. */
static int64_t n_gradient(const void *problem) { return (2 * INPUTS + 1) * (int64_t)((const ba *)problem)->p; }

static void plain(const void *problem, double *values) {
    const ba *p = problem;
    for (int i = 0; i < p->p; i++)
        reproject_plain(p->cameras + i % p->n * CAMERA, p->points + i % p->m * POINT, p->weights[i],
                        p->features + 2 * i, values + 2 * i);
    for (int i = 0; i < p->p; i++) values[2 * p->p + i] = 1 - p->weights[i] * p->weights[i];
}

static void expected(const void *problem, double *to) {
    const ba *p = problem;
    for (int i = 0; i < p->p; i++) {
        double complex x[INPUTS], error[2];
        for (int k = 0; k < CAMERA; k++) x[k] = p->cameras[i % p->n * CAMERA + k];
        for (int k = 0; k < POINT; k++) x[CAMERA + k] = p->points[i % p->m * POINT + k];
        x[INPUTS - 1] = p->weights[i];
        for (int k = 0; k < INPUTS; k++) {
            x[k] += 1e-100 * I;
            reproject_complex(x, x + CAMERA, x[INPUTS - 1], p->features + 2 * i, error);
            for (int e = 0; e < 2; e++) to[(2 * i + e) * INPUTS + k] = cimag(error[e]) / 1e-100;
            x[k] = creal(x[k]);
        }
        to[2 * INPUTS * p->p + i] = -2 * p->weights[i];
    }
}

/* ---- the problem ----------------------------------------------------------------------------------------------- */

static ba *ba_new(int n, int m, int p) {
    ba *b = (ba *)(void *)adbench_array((sizeof *b + 7) / 8);
    *b = (ba){ n, m, p, adbench_array((int64_t)n * CAMERA), adbench_array((int64_t)m * POINT), adbench_array(p),
               adbench_array(2 * (int64_t)p), ad_graph_new(), NULL };
    return b;
}

static void replicate(int64_t n, int64_t width, double *x) {
    for (int64_t i = width; i < n * width; i++) x[i] = x[i - width];
}

/* A file has one camera, point, weight and feature, which all observations share. */
static void *from_file(FILE *from) {
    int n = (int)adbench_number(from), m = (int)adbench_number(from), p = (int)adbench_number(from);
    ba *b = ba_new(n, m, p);
    adbench_numbers(from, CAMERA, b->cameras);
    adbench_numbers(from, POINT, b->points);
    adbench_numbers(from, 1, b->weights);
    adbench_numbers(from, 2, b->features);
    replicate(n, CAMERA, b->cameras), replicate(m, POINT, b->points);
    replicate(p, 1, b->weights), replicate(p, 2, b->features);
    return b;
}

/* All numbers differ. In every second problem one camera has no rotation. */
static void *small(int number) {
    static const int sizes[][3] = { { 1, 1, 1 }, { 2, 3, 7 }, { 3, 40, TILE }, { 4, 50, 2 * TILE + 9 } };
    if (number == (int)(sizeof sizes / sizeof *sizes)) return NULL;
    uint64_t seed = (uint64_t)number;
    ba *b = ba_new(sizes[number][0], sizes[number][1], sizes[number][2]);
    for (int i = 0; i < b->n * CAMERA; i++) b->cameras[i] = adbench_random(&seed);
    for (int i = 0; i < b->m * POINT; i++) b->points[i] = adbench_random(&seed) + (i % 3 == 2 ? 6 : 0);
    for (int i = 0; i < b->p; i++) b->weights[i] = 1.5 + adbench_random(&seed);
    for (int i = 0; i < 2 * b->p; i++) b->features[i] = adbench_random(&seed);
    for (int i = 0; i < 3 && number % 2 == 1; i++) b->cameras[i] = 0;
    return b;
}

static void release(void *problem) {
    ba *b = problem;
    ad_graph_free(b->g);
    free(b->cameras), free(b->points), free(b->weights), free(b->features);
    free(b);
}

/* ---- with array ops: an array [count] for each of the 15 inputs, over the observations of a tile ----------------- */

static ad_var *dot(ad_var *const *a, ad_var *const *b) {
    return ad_addcmul(ad_addcmul(ad_mul(a[0], b[0]), a[1], b[1]), a[2], b[2]);
}

static void cross(ad_var *const *a, ad_var *const *b, ad_var **y) {
    for (int i = 0; i < 3; i++)
        y[i] = ad_sub(ad_mul(a[(i + 1) % 3], b[(i + 2) % 3]), ad_mul(a[(i + 2) % 3], b[(i + 1) % 3]));
}

/* Rotates x by the vector r. For a camera without rotation the formula is evaluated at an angle of 1, which keeps it
   finite, and its limit is selected instead. */
static void rotate(ad_var *const *r, ad_var *const *x, bool some_unrotated, ad_var **y) {
    ad_var *square = dot(r, r), *unrotated = NULL, *w[3], *product[3];
    if (some_unrotated) {
        unrotated = ad_eq(square, ad_muls(square, 0));
        square = ad_add(square, unrotated);
    }
    ad_var *angle = ad_sqrt(square), *c = ad_cos(angle), *s = ad_sin(angle), *inverse = ad_reciprocal(angle);
    for (int i = 0; i < 3; i++) w[i] = ad_mul(r[i], inverse);
    ad_var *along = ad_mul(dot(w, x), ad_adds(ad_neg(c), 1));
    cross(w, x, product);
    for (int i = 0; i < 3; i++) y[i] = ad_addcmul(ad_addcmul(ad_mul(x[i], c), product[i], s), w[i], along);
    if (!some_unrotated) return;
    cross(r, x, product);
    for (int i = 0; i < 3; i++) y[i] = ad_where(unrotated, ad_add(x[i], product[i]), y[i]);
}

static void reproject(ad_var *const *in, ad_var *const *feature, bool some_unrotated, ad_var **error) {
    ad_var *from[3], *x[3];
    for (int i = 0; i < 3; i++) from[i] = ad_sub(in[CAMERA + i], in[3 + i]);
    rotate(in, from, some_unrotated, x);
    ad_var *u = ad_div(x[0], x[2]), *v = ad_div(x[1], x[2]);
    ad_var *square = ad_addcmul(ad_square(u), v, v);
    ad_var *radial = ad_adds(ad_mul(ad_addcmul(in[9], in[10], square), square), 1), *scale = ad_mul(radial, in[6]);
    error[0] = ad_mul(in[INPUTS - 1], ad_sub(ad_addcmul(in[7], u, scale), feature[0]));
    error[1] = ad_mul(in[INPUTS - 1], ad_sub(ad_addcmul(in[8], v, scale), feature[1]));
}

/* Copies count observations from start on into the memory of the leaves. Returns whether a camera has no rotation. */
static bool gather(const ba *b, int start, int count, double (*in)[TILE], double (*feature)[TILE]) {
    bool some_unrotated = false;
    int c = start % b->n, p = start % b->m;
    for (int i = 0; i < count; i++, c = c + 1 < b->n ? c + 1 : 0, p = p + 1 < b->m ? p + 1 : 0) {
        const double *camera = b->cameras + c * CAMERA, *point = b->points + p * POINT;
        for (int k = 0; k < CAMERA; k++) in[k][i] = camera[k];
        for (int k = 0; k < POINT; k++) in[CAMERA + k][i] = point[k];
        in[INPUTS - 1][i] = b->weights[start + i];
        for (int e = 0; e < 2; e++) feature[e][i] = b->features[2 * (start + i) + e];
        some_unrotated |= camera[0] == 0 && camera[1] == 0 && camera[2] == 0;
    }
    return some_unrotated;
}

/* The errors of an observation depend on its own inputs only. So one backward pass from ones gives a row of the
   Jacobian for each observation, and two passes give all rows. */
static void tile(const ba *b, int start, int count, double *values, double *rows) {
    double in[INPUTS][TILE], feature[2][TILE];
    bool some_unrotated = gather(b, start, count, in, feature);
    ad_mark m = ad_begin(b->g);
    ad_var *leaves[INPUTS], *features[2], *error[2], *ones = ad_ones(b->g, AD_F64, AD_SHAPE(count));
    for (int k = 0; k < INPUTS; k++) leaves[k] = ad_require_grad(ad_input(b->g, AD_F64, in[k], AD_SHAPE(count)));
    for (int e = 0; e < 2; e++) features[e] = ad_input(b->g, AD_F64, feature[e], AD_SHAPE(count));
    reproject(leaves, features, some_unrotated, error);
    for (int e = 0; e < 2; e++) {
        for (int k = 0; k < INPUTS; k++) ad_zero_grad(leaves[k]);
        ad_backward_from(error[e], ones);
        adbench_ok(b->g);
        const double *y = ad_data(error[e]), *d[INPUTS];
        for (int k = 0; k < INPUTS; k++) d[k] = ad_grad(leaves[k]);
        for (int i = 0; i < count; i++) {
            double *row = rows + (2 * (int64_t)(start + i) + e) * INPUTS;
            for (int k = 0; k < INPUTS; k++) row[k] = d[k][i];
            values[2 * (start + i) + e] = y[i];
        }
    }
    ad_end(b->g, m);
}

/* The errors 1 - w^2 of all weights. */
static void weight_errors(const ba *b, double *values, double *rows) {
    ad_mark m = ad_begin(b->g);
    ad_var *w = ad_param(b->g, AD_F64, b->weights, AD_SHAPE(b->p)), *y = ad_adds(ad_neg(ad_square(w)), 1);
    ad_backward_from(y, ad_ones(b->g, AD_F64, AD_SHAPE(b->p)));
    adbench_ok(b->g);
    memcpy(values, ad_data(y), (size_t)b->p * sizeof *values);
    memcpy(rows, ad_grad(w), (size_t)b->p * sizeof *rows);
    ad_end(b->g, m);
}

/* The errors of a tile, and the slopes of each by its inputs, of which an array has one number for each observation. */
static void compile_tile(ba *b) {
    ad_var *ys[2 * (1 + INPUTS)], *leaves[INPUTS + 2];
    for (int k = 0; k < INPUTS + 2; k++) leaves[k] = ad_param(b->g, AD_F64, NULL, AD_SHAPE(TILE));
    reproject(leaves, leaves + INPUTS, true, ys);
    for (int e = 0; e < 2; e++) ad_gradient(ad_sum(ys[e]), INPUTS, leaves, ys + 2 + e * INPUTS);
    b->program = ad_compile(2 * (1 + INPUTS), ys, INPUTS + 2, leaves, (ad_compile_opts){ .no_cache = true });
    adbench_ok(b->g);
}

static void run_tile(const ba *b, int start, int count, double *values, double *rows) {
    static double in[INPUTS + 2][TILE], out[2 * (1 + INPUTS)][TILE];
    const void *from[INPUTS + 2];
    void *to[2 * (1 + INPUTS)];
    gather(b, start, count, in, in + INPUTS);
    for (int k = 0; k < INPUTS + 2; k++) from[k] = in[k];
    for (int k = 0; k < 2 * (1 + INPUTS); k++) to[k] = out[k];
    ad_run(b->program, from, to, NULL);
    for (int e = 0; e < 2; e++)
        for (int i = 0; i < count; i++) {
            double *row = rows + (2 * (int64_t)(start + i) + e) * INPUTS;
            for (int k = 0; k < INPUTS; k++) row[k] = out[2 + e * INPUTS + k][i];
            values[2 * (start + i) + e] = out[e][i];
        }
}

static void compiled(void *problem, double *values, double *rows) {
    ba *b = problem;
    if (b->program == NULL) compile_tile(b);
    for (int i = 0; i < b->p; i += TILE) run_tile(b, i, b->p - i < TILE ? b->p - i : TILE, values, rows);
    for (int i = 0; i < b->p; i++) {
        values[2 * b->p + i] = 1 - b->weights[i] * b->weights[i];
        rows[2 * INPUTS * b->p + i] = -2 * b->weights[i];
    }
}

static void jacobian(void *problem, double *values, double *rows) {
    const ba *b = problem;
    ad_keep_grads(b->g, false);
    for (int i = 0; i < b->p; i += TILE) tile(b, i, b->p - i < TILE ? b->p - i : TILE, values, rows);
    weight_errors(b, values + 2 * b->p, rows + 2 * INPUTS * b->p);
}

int main(int argc, char **argv) {
    static const adbench_program program = { "ba",  from_file, small,    n_values, n_gradient,
                                             plain, jacobian,  expected, release, compiled };
    return adbench_main(argc, argv, &program);
}
