/* ht.c: module ht of GradBench: a hand is posed by 26 numbers, and its skin compared with measured points. */
#include "bench/gradbench/common.h"

enum { THETA = 26, POSE = 3, FINGERS = 5, JOINTS = 3 }; /* POSE: columns of the pose before those of the bones */

typedef struct {
    ad_graph *g;
    ad_var *theta, *us;    /* [THETA], and [c,2] or nil where the points lie on vertices */
    ad_var *errors;        /* [c,3] */
    ad_var *d_theta;       /* [c,3,THETA] */
    ad_var *d_us[2];       /* [c,3]: by the first and the second of a point's own us */
} ht;

/* ---- rotations ------------------------------------------------------------------------------------------------- */

static ad_var *element(ad_var *x, int64_t i) { return ad_select(x, -1, i); }

/* Matrices [..,3,3] from nine arrays [..], row by row. */
static ad_var *matrix_of(ad_var *const *e) {
    ad_shape s = ad_shape_of(e[0]);
    s.dim[s.ndim++] = 3, s.dim[s.ndim++] = 3;
    return ad_reshape(ad_stack(9, e, -1), s);
}

/* Rz Ry Rx of angles [n,3], which are x, z and y. */
static ad_var *rotations(ad_var *angles) {
    ad_var *c = ad_cos(angles), *s = ad_sin(angles);
    ad_var *cx = element(c, 0), *cz = element(c, 1), *cy = element(c, 2);
    ad_var *sx = element(s, 0), *sz = element(s, 1), *sy = element(s, 2);
    ad_var *zy = ad_mul(cz, sy), *sy_sz = ad_mul(sz, sy);
    ad_var *e[] = { ad_mul(cz, cy), ad_sub(ad_mul(zy, sx), ad_mul(sz, cx)), ad_add(ad_mul(zy, cx), ad_mul(sz, sx)),
                    ad_mul(sz, cy), ad_add(ad_mul(sy_sz, sx), ad_mul(cz, cx)),
                    ad_sub(ad_mul(sy_sz, cx), ad_mul(cz, sx)),
                    ad_neg(sy), ad_mul(cy, sx), ad_mul(cy, cx) };
    return matrix_of(e);
}

/* The rotation about an axis [3], by its length. A short one turns nothing. */
static ad_var *rotation(ad_var *axis) {
    ad_var *angle = ad_sqrt(ad_sum(ad_square(axis))), *k = ad_div(axis, angle), *e[9];
    if (ad_item(angle) < 1e-4) return ad_eye(ad_graph_of(axis), AD_F64, 3);
    ad_var *c = ad_cos(angle), *s = ad_sin(angle), *rest = ad_adds(ad_neg(c), 1);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            ad_var *both = ad_mul(ad_mul(element(k, i), element(k, j)), rest);
            ad_var *third = i == j ? c : ad_mul(element(k, 3 - i - j), s);
            e[3 * i + j] = i == j || (j + 3 - i) % 3 == 2 ? ad_add(both, third) : ad_sub(both, third);
        }
    return matrix_of(e);
}

/* ---- the pose -------------------------------------------------------------------------------------------------- */

/* The angles [bones,3] of the bones: of each finger's joints the first has two, the others one; after a wrist and for
   each finger a bone that does not turn. */
static ad_var *bone_angles(ad_var *theta, int64_t bones) {
    ad_graph *g = ad_graph_of(theta);
    ad_var *place = ad_full(g, AD_F64, THETA, AD_SHAPE(bones, 3)), *zero = ad_zeros(g, AD_F64, AD_SHAPE(1));
    double *to = ad_data_mut(place), next = 6;
    for (int f = 0; f < FINGERS; f++)
        for (int j = 0; j < JOINTS; j++) {
            int64_t bone = 2 + f * (JOINTS + 1) + j;
            if (bone >= bones) return ad_fail(g, AD_EVALUE, "ht: the model has too few bones"), ad_nil(g);
            to[3 * bone] = next++;
            if (j == 0) to[3 * bone + 1] = next++;
        }
    ad_var *all = ad_concat(2, (ad_var *[]){ theta, zero }, 0);
    return ad_reshape(ad_index_select(all, 0, ad_reshape(place, AD_SHAPE(3 * bones))), AD_SHAPE(bones, 3));
}

/* Where each bone takes its points [bones,4,4]. Parents come before their children. */
static ad_var *transforms(const gb_input *in, ad_var *theta) {
    const gb_array *parents = gb_get(in, "parents", 1);
    ad_var *base = gb_constant(in, "base_relatives", 3), *inverse = gb_constant(in, "inverse_base_absolutes", 3);
    int64_t n = parents->n;
    if (!ad_ok(in->g)) return ad_nil(in->g);
    ad_var **absolute = ad_scope_alloc(in->g, (size_t)n * sizeof *absolute);
    ad_var *turn = ad_pad(rotations(bone_angles(theta, n)), AD_SHAPE(0, 0, 0), AD_SHAPE(0, 1, 1), 0);
    ad_var *corner = ad_zeros(in->g, AD_F64, AD_SHAPE(4, 4));
    if (absolute == NULL || !ad_ok(in->g)) return ad_nil(in->g);
    ((double *)ad_data_mut(corner))[15] = 1;
    ad_var *relative = ad_matmul(base, ad_add(turn, corner));
    for (int64_t i = 0; i < n; i++) {
        int64_t parent = (int64_t)parents->data[i];
        if (parent >= i) return ad_fail(in->g, AD_EVALUE, "ht: bone %d is before its parent", (int)i), ad_nil(in->g);
        absolute[i] = ad_select(relative, 0, i);
        if (parent >= 0) absolute[i] = ad_matmul(absolute[parent], absolute[i]);
    }
    return ad_matmul(ad_stack((int)n, absolute, 0), inverse);
}

/* The vertices [v,3]: each is moved by the weighted sum of the bones' transforms, then all by the hand's. */
static ad_var *skin(const gb_input *in, ad_var *theta) {
    ad_var *positions = gb_constant(in, "base_positions", 2), *weights = gb_constant(in, "weights", 2);
    ad_var *bones = ad_slice(transforms(in, theta), 1, 0, 3, 1); /* [bones,3,4] */
    if (!ad_ok(in->g)) return ad_nil(in->g);
    int64_t v = ad_shape_of(positions).dim[0], n = ad_shape_of(bones).dim[0];
    ad_var *each = ad_reshape(ad_matmul(weights, ad_reshape(bones, AD_SHAPE(n, 12))), AD_SHAPE(v, 3, 4));
    ad_var *moved = ad_sum_axis(ad_mul(each, ad_reshape(positions, AD_SHAPE(v, 1, 4))), 2, false);
    if (gb_number(in, "is_mirrored") != 0) {
        const double mirror[] = { -1, 1, 1 };
        moved = ad_mul(moved, ad_tensor(in->g, AD_F64, mirror, AD_SHAPE(3)));
    }
    ad_var *turned = ad_matmul(moved, ad_transpose(rotation(ad_narrow(theta, 0, 0, 3))));
    return ad_add(turned, ad_narrow(theta, 0, 3, 3));
}

/* ---- the module ------------------------------------------------------------------------------------------------ */

/* The points of the skin that correspond to the measured ones: vertices, or places in triangles. */
static ad_var *skin_points(const gb_input *in, ad_var *vertices, ad_var *us) {
    ad_var *at = gb_constant(in, "correspondences", 1), *sum = NULL;
    if (us == NULL) return ad_index_select(vertices, 0, at);
    ad_var *corners = ad_index_select(gb_constant(in, "triangles", 2), 0, at); /* [c,3] */
    ad_var *u = ad_slice(us, 1, 0, 1, 1), *v = ad_slice(us, 1, 1, 2, 1), *rest = ad_adds(ad_neg(ad_add(u, v)), 1);
    ad_var *const shares[] = { u, v, rest };
    for (int i = 0; i < 3; i++) {
        ad_var *part = ad_mul(shares[i], ad_index_select(vertices, 0, element(corners, i)));
        sum = sum ? ad_add(sum, part) : part;
    }
    return sum;
}

/* 1 at place k of each row of us, else 0. */
static ad_var *direction(ad_var *us, int k) {
    ad_var *d = ad_zeros_like(us);
    double *to = ad_data_mut(d);
    for (int64_t i = k; i < ad_numel(d) && to != NULL; i += 2) to[i] = 1;
    return d;
}

static void *open_ht(const gb_input *in) {
    ht *h = ad_scope_zalloc(in->g, sizeof *h);
    ad_var *theta = gb_leaf(in, "theta", 1), *us = gb_get(in, "us", -1)->n > 0 ? gb_leaf(in, "us", 2) : NULL;
    if (h == NULL || !ad_ok(in->g)) return NULL;
    if (ad_numel(theta) != THETA) return ad_fail(in->g, AD_ESHAPE, "ht: theta has not %d numbers", THETA), NULL;
    ad_var *found = skin_points(in, skin(in, theta), us);
    *h = (ht){ .g = in->g, .theta = theta, .us = us, .errors = ad_sub(gb_constant(in, "points", 2), found) };
    h->d_theta = ad_jacobian(h->errors, theta);
    for (int k = 0; k < 2 && us != NULL; k++)
        h->d_us[k] = ad_jvp(h->errors, 1, &us, (ad_var *[]){ direction(us, k) });
    return ad_ok(in->g) ? h : NULL;
}

static void run_objective(void *problem) { ad_eval(((ht *)problem)->errors); }
static void run_jacobian(void *problem) {
    ht *h = problem;
    for (int k = 0; k < 2 && h->us != NULL; k++) ad_eval(h->d_us[k]);
    ad_eval(h->d_theta);
}

static void print_objective(const void *problem, FILE *to) {
    const ht *h = problem;
    gb_print(to, AD_SHAPE(ad_numel(h->errors)), ad_data(h->errors));
}

/* A row for each error: its slopes by its own us, then by theta. */
static void print_jacobian(const void *problem, FILE *to) {
    const ht *h = problem;
    const double *d = ad_data(h->d_theta);
    for (int64_t i = 0; i < ad_numel(h->errors); i++) {
        fputs(i ? ", [" : "[[", to);
        for (int k = 0; k < 2 && h->us != NULL; k++) fprintf(to, "%.17g, ", ad_at(h->d_us[k], i));
        for (int k = 0; k < THETA; k++) fprintf(to, "%.17g%s", d[i * THETA + k], k + 1 < THETA ? ", " : "]");
    }
    fputc(']', to);
}

const gb_module gb_ht = { "ht",
                          open_ht,
                          { { "objective", run_objective, print_objective },
                            { "jacobian", run_jacobian, print_jacobian } } };
