/* ba.c: module ba of GradBench: the errors of bundle adjustment, and their sparse Jacobian. */
#include "bench/gradbench/common.h"

#include <string.h>

/* An observation has a camera (rotation, centre, focal length, principal point, two radial distortions), a point and a
   weight. Its two errors depend on these only, so the Jacobian is blocks [2,INPUTS] and a slope for each weight. With
   tiles of 512, each array would be a page long, and all would compete for the same places of the cache. */
enum { CAMERA = 11, POINT = 3, INPUTS = CAMERA + POINT + 1, TILE = 504 };

typedef struct {
    ad_graph *g;
    int64_t n, m, p;                              /* cameras, points, observations */
    double *cameras, *points, *weights, *features; /* [n,CAMERA], [m,POINT], [p], [p,2] */
    double *errors, *weight_errors;               /* [p,2], [p] */
    double *values;                               /* of the Jacobian: [p,2,INPUTS], [p] */
    int64_t *columns, *rows;                      /* of each value; where each row begins, and the end */
} ba;

/* The input has one camera, point, weight and feature, which all share. */
static double *repeat(const gb_input *in, const char *name, int ndim, int64_t width, int64_t n) {
    const gb_array *a = gb_get(in, name, ndim);
    if (ad_ok(in->g) && a->n != width) ad_fail(in->g, AD_ESHAPE, "ba: %s has not %d numbers", name, (int)width);
    double *to = ad_ok(in->g) ? ad_scope_array(in->g, (size_t)(n * width) * sizeof *to) : NULL;
    for (int64_t i = 0; i < n && to != NULL; i++) memcpy(to + i * width, a->data, (size_t)width * sizeof *to);
    return to;
}

static void *open_ba(const gb_input *in) {
    ba *b = ad_scope_zalloc(in->g, sizeof *b);
    if (b == NULL) return NULL;
    *b = (ba){ .g = in->g, .n = (int64_t)gb_number(in, "n"), .m = (int64_t)gb_number(in, "m"),
               .p = (int64_t)gb_number(in, "p") };
    if (b->n < 1 || b->m < 1 || b->p < 1) return ad_fail(in->g, AD_EVALUE, "ba: n, m and p must be 1 or more"), NULL;
    size_t p = (size_t)b->p, values = p * (2 * INPUTS + 1);
    b->cameras = repeat(in, "cam", 1, CAMERA, b->n), b->points = repeat(in, "x", 1, POINT, b->m);
    b->weights = repeat(in, "w", 0, 1, b->p), b->features = repeat(in, "feat", 1, 2, b->p);
    b->errors = ad_scope_array(in->g, 2 * p * sizeof *b->errors);
    b->weight_errors = ad_scope_array(in->g, p * sizeof *b->weight_errors);
    b->values = ad_scope_array(in->g, values * sizeof *b->values);
    b->columns = ad_scope_array(in->g, values * sizeof *b->columns);
    b->rows = ad_scope_array(in->g, (3 * p + 1) * sizeof *b->rows);
    return ad_ok(in->g) ? b : NULL;
}

/* ---- the errors of some observations, with an array [count] for each number ------------------------------------ */

static ad_var *dot(ad_var *const *a, ad_var *const *b) {
    return ad_addcmul(ad_addcmul(ad_mul(a[0], b[0]), a[1], b[1]), a[2], b[2]);
}

static void cross(ad_var *const *a, ad_var *const *b, ad_var **y) {
    for (int i = 0; i < 3; i++)
        y[i] = ad_sub(ad_mul(a[(i + 1) % 3], b[(i + 2) % 3]), ad_mul(a[(i + 2) % 3], b[(i + 1) % 3]));
}

/* x rotated by the vector r. Without rotation the formula is taken at an angle of 1, which keeps it finite, and its
   limit x + r x x is chosen. */
static void rotate(ad_var *const *r, ad_var *const *x, ad_var **y) {
    ad_var *square = dot(r, r), *still = ad_eq(square, ad_zeros_like(square)), *w[3], *product[3], *limit[3];
    ad_var *angle = ad_sqrt(ad_add(square, still)), *c = ad_cos(angle), *s = ad_sin(angle);
    for (int i = 0; i < 3; i++) w[i] = ad_div(r[i], angle);
    ad_var *along = ad_mul(dot(w, x), ad_adds(ad_neg(c), 1));
    cross(w, x, product), cross(r, x, limit);
    for (int i = 0; i < 3; i++) {
        ad_var *turned = ad_addcmul(ad_addcmul(ad_mul(x[i], c), product[i], s), w[i], along);
        y[i] = ad_where(still, ad_add(x[i], limit[i]), turned);
    }
}

static void reproject(ad_var *const *in, ad_var *const *feature, ad_var **error) {
    ad_var *from[3], *x[3];
    for (int i = 0; i < 3; i++) from[i] = ad_sub(in[CAMERA + i], in[3 + i]);
    rotate(in, from, x);
    ad_var *u = ad_div(x[0], x[2]), *v = ad_div(x[1], x[2]), *square = ad_addcmul(ad_square(u), v, v);
    ad_var *radial = ad_adds(ad_mul(ad_addcmul(in[9], in[10], square), square), 1), *scale = ad_mul(radial, in[6]);
    error[0] = ad_mul(in[INPUTS - 1], ad_sub(ad_addcmul(in[7], u, scale), feature[0]));
    error[1] = ad_mul(in[INPUTS - 1], ad_sub(ad_addcmul(in[8], v, scale), feature[1]));
}

static void gather(const ba *b, int64_t start, int64_t count, double (*in)[TILE], double (*feature)[TILE]) {
    for (int64_t i = 0, o = start; i < count; i++, o++) {
        for (int k = 0; k < CAMERA; k++) in[k][i] = b->cameras[o % b->n * CAMERA + k];
        for (int k = 0; k < POINT; k++) in[CAMERA + k][i] = b->points[o % b->m * POINT + k];
        in[INPUTS - 1][i] = b->weights[o];
        for (int e = 0; e < 2; e++) feature[e][i] = b->features[2 * o + e];
    }
}

/* Row e of each block: one backward pass from ones. */
static void fill_rows(const ba *b, int64_t start, int64_t count, int e, ad_var *const *leaves, ad_var *error) {
    for (int k = 0; k < INPUTS; k++) ad_zero_grad(leaves[k]);
    ad_backward_from(error, ad_ones_like(error));
    for (int k = 0; k < INPUTS && ad_ok(b->g); k++) {
        const double *d = ad_grad(leaves[k]);
        for (int64_t i = 0; i < count; i++) b->values[(2 * (start + i) + e) * INPUTS + k] = d[i];
    }
}

static void tile(const ba *b, int64_t start, int64_t count, bool differentiate) {
    double in[INPUTS][TILE], feature[2][TILE];
    gather(b, start, count, in, feature);
    ad_mark m = ad_begin(b->g);
    ad_var *leaves[INPUTS], *features[2], *error[2];
    for (int k = 0; k < INPUTS; k++) leaves[k] = ad_input(b->g, AD_F64, in[k], AD_SHAPE(count));
    for (int k = 0; k < INPUTS && differentiate; k++) ad_require_grad(leaves[k]);
    for (int e = 0; e < 2; e++) features[e] = ad_input(b->g, AD_F64, feature[e], AD_SHAPE(count));
    reproject(leaves, features, error);
    for (int e = 0; e < 2 && ad_ok(b->g); e++) {
        const double *y = ad_data(error[e]);
        for (int64_t i = 0; i < count; i++) b->errors[2 * (start + i) + e] = y[i];
        if (differentiate) fill_rows(b, start, count, e, leaves, error[e]);
    }
    ad_end(b->g, m);
}

/* 1 - w^2 */
static void weight_errors(const ba *b, bool differentiate) {
    ad_mark m = ad_begin(b->g);
    ad_var *w = ad_param(b->g, AD_F64, b->weights, AD_SHAPE(b->p)), *y = ad_adds(ad_neg(ad_square(w)), 1);
    if (differentiate) ad_backward_from(y, ad_ones_like(y));
    if (ad_ok(b->g)) {
        memcpy(b->weight_errors, ad_data(y), (size_t)b->p * sizeof(double));
        if (differentiate) memcpy(b->values + 2 * INPUTS * b->p, ad_grad(w), (size_t)b->p * sizeof(double));
    }
    ad_end(b->g, m);
}

static void all(const ba *b, bool differentiate) {
    for (int64_t i = 0; i < b->p && ad_ok(b->g); i += TILE)
        tile(b, i, b->p - i < TILE ? b->p - i : TILE, differentiate);
    weight_errors(b, differentiate);
}

/* Compressed rows. The columns are those of cameras, points and weights. */
static void place(const ba *b) {
    int64_t *column = b->columns, points = CAMERA * b->n, weights = points + POINT * b->m;
    for (int64_t i = 0; i < b->p; i++)
        for (int e = 0; e < 2; e++) {
            for (int k = 0; k < CAMERA; k++) *column++ = i % b->n * CAMERA + k;
            for (int k = 0; k < POINT; k++) *column++ = points + i % b->m * POINT + k;
            *column++ = weights + i;
        }
    for (int64_t i = 0; i < b->p; i++) *column++ = weights + i;
    for (int64_t r = 0; r <= 3 * b->p; r++) b->rows[r] = r < 2 * b->p ? INPUTS * r : 2 * b->p * (INPUTS - 1) + r;
}

static void run_objective(void *problem) { all(problem, false); }
static void run_jacobian(void *problem) {
    all(problem, true);
    place(problem);
}

static void print_objective(const void *problem, FILE *to) {
    const ba *b = problem;
    fprintf(to, "{\"reproj_error\": {\"elements\": [%.17g, %.17g], \"repeated\": %lld}, ", b->errors[0], b->errors[1],
            (long long)b->p);
    fprintf(to, "\"w_err\": {\"element\": %.17g, \"repeated\": %lld}}", b->weight_errors[0], (long long)b->p);
}

/* The first 30 of n integers and the last one, as the eval wants them. */
static void print_some(FILE *to, const char *name, int64_t n, const int64_t *x) {
    fprintf(to, "\"%s\": [", name);
    for (int64_t i = 0; i < 2 * INPUTS && i < n; i++) fprintf(to, "%lld, ", (long long)x[i]);
    fprintf(to, "%lld], ", (long long)x[n - 1]);
}

static void print_jacobian(const void *problem, FILE *to) {
    const ba *b = problem;
    int64_t n = (2 * INPUTS + 1) * b->p;
    fputc('{', to);
    print_some(to, "rows", 3 * b->p + 1, b->rows);
    print_some(to, "cols", n, b->columns);
    fprintf(to, "\"vals\": [");
    for (int i = 0; i < 2 * INPUTS; i++) fprintf(to, "%.17g, ", b->values[i]);
    fprintf(to, "%.17g]}", b->values[n - 1]);
}

const gb_module gb_ba = { "ba",
                          open_ba,
                          { { "objective", run_objective, print_objective },
                            { "jacobian", run_jacobian, print_jacobian } } };
