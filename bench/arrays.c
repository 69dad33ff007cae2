/* arrays.c: ops on large arrays, and the same arithmetic in plain C with a BLAS, whose speed is that of the machine. */
#include "ops/kernels/base/vector_math.h"

#include "bench/common.h"
#include "ops/compile.h"
#include "ops/kernels/base/simd.h"
#include "ops/kernels/linalg/gemm.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    ad_graph *g;
    ad_var *a, *b, *classes;
    float *fa, *fb, *fc, *ga, *gb, *gc; /* arrays of the floor */
    float *steps[21];                   /* the floor of tanh-20: input and results */
    ad_program *program;                /* of the cases whose names end in -compiled */
} arrays;

static arrays *arrays_new(void) {
    arrays *s = bench_array(sizeof *s);
    s->g = bench_graph();
    ad_keep_grads(s->g, false);
    return s;
}

static void teardown(void *state) {
    arrays *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    float *all[] = { s->fa, s->fb, s->fc, s->ga, s->gb, s->gc };
    for (int i = 0; i < 6; i++) free(all[i]);
    for (int i = 0; i < 21; i++) free(s->steps[i]);
    free(s);
}

/* The sum of the squares of the gradient of x; 0 for NULL. */
static double gradient_squares(const ad_var *x) {
    double sum = 0;
    for (int64_t i = 0; x != NULL && i < ad_numel(x); i++) sum += ad_grad_at(x, i) * ad_grad_at(x, i);
    return sum;
}

/* to: the loss, and the sum of the squares of its gradient. */
static void result_of(arrays *s, ad_var *(*loss_of)(const arrays *), double to[2]) {
    ad_var *loss = loss_of(s);
    ad_backward(loss);
    to[0] = ad_item(loss), to[1] = gradient_squares(s->a) + gradient_squares(s->b);
}

static void step_of(arrays *s, ad_var *(*loss_of)(const arrays *)) {
    ad_mark m = ad_begin(s->g);
    ad_var *loss = loss_of(s);
    ad_zero_grad(loss);
    ad_backward(loss);
    ad_end(s->g, m);
}

/* Value and gradient by a program, which is compiled by the setup. */
static void *compile(void *state, ad_var *(*loss_of)(const arrays *)) {
    arrays *s = state;
    s->program = ad_compile_gradient(loss_of(s), 1, &s->a, (ad_compile_opts){ .no_cache = true });
    bench_check(s->g);
    s->gc = bench_floats(ad_numel(s->a));
    return s;
}
static void run_compiled(void *state) {
    const arrays *s = state;
    float value;
    ad_run(s->program, NULL, (void *[]){ &value, s->gc }, NULL);
}

/* ---- matmul-1024: C = A B, loss = sum(C C) / 2, gradients of A and B ------------------------------------------ */

enum { SIDE = 1024 };

static void *matmul_setup(void) {
    arrays *s = arrays_new();
    float **all[] = { &s->fa, &s->fb, &s->fc, &s->ga, &s->gb };
    for (int i = 0; i < 5; i++) *all[i] = bench_floats(SIDE * SIDE);
    bench_fill(s->fa, SIDE * SIDE, 1), bench_fill(s->fb, SIDE * SIDE, 2);
    s->a = ad_param(s->g, AD_F32, s->fa, AD_SHAPE(SIDE, SIDE));
    s->b = ad_param(s->g, AD_F32, s->fb, AD_SHAPE(SIDE, SIDE));
    return s;
}

static ad_var *matmul_loss(const arrays *s) { return ad_muls(ad_sum(ad_square(ad_matmul(s->a, s->b))), 0.5); }
static void matmul_ours(void *state) { step_of(state, matmul_loss); }
static void matmul_result(void *state, double to[2]) { result_of(state, matmul_loss, to); }

/* The gradient of the loss with respect to C is C itself, so the floor is three products. */
static void matmul_floor(void *state) {
    arrays *s = state;
    ad__gemm_f32(false, false, SIDE, SIDE, SIDE, s->fa, s->fb, 0, s->fc);
    ad__gemm_f32(false, true, SIDE, SIDE, SIDE, s->fc, s->fb, 0, s->ga);
    ad__gemm_f32(true, false, SIDE, SIDE, SIDE, s->fa, s->fc, 0, s->gb);
}

/* ---- conv: 3 x 3, as many channels out as in, loss = sum(y y) / 2, gradients of images and weights --------------- */

typedef struct {
    int64_t images, channels, side;
} pictures;
static const pictures wide_pictures = { 32, 64, 28 }, deep_pictures = { 16, 256, 14 };

static arrays *conv_setup(const pictures *p) {
    arrays *s = arrays_new();
    int64_t pixels = p->side * p->side, x = p->images * p->channels * pixels, w = 9 * p->channels * p->channels;
    s->fa = bench_random(x, 1), s->fb = bench_random(w, 2), s->fc = bench_random(p->channels * pixels, 3);
    s->ga = bench_random(9 * p->channels * pixels, 4), s->gb = bench_floats(w);
    s->gc = bench_floats(9 * p->channels * pixels);
    s->a = ad_param(s->g, AD_F32, s->fa, AD_SHAPE(p->images, p->channels, p->side, p->side));
    s->b = ad_param(s->g, AD_F32, s->fb, AD_SHAPE(p->channels, p->channels, 3, 3));
    return s;
}
static void *wide_setup(void) { return conv_setup(&wide_pictures); }
static void *deep_setup(void) { return conv_setup(&deep_pictures); }

static ad_var *conv_loss(const arrays *s) {
    return ad_muls(ad_sum(ad_square(ad_conv2d(s->a, s->b, NULL, (ad_conv_opts){ .padding = { 1, 1 } }))), 0.5);
}
static void conv_ours(void *state) { step_of(state, conv_loss); }
static void conv_result(void *state, double to[2]) { result_of(state, conv_loss, to); }

/* The products of the weights, the gradient and the windows of an image, which are there already. */
static void conv_floor(arrays *s, const pictures *p) {
    int64_t c = p->channels, pixels = p->side * p->side;
    for (int64_t i = 0; i < p->images; i++) {
        ad__gemm_f32(false, false, c, pixels, 9 * c, s->fb, s->ga, 0, s->fc);
        ad__gemm_f32(false, true, c, 9 * c, pixels, s->fc, s->ga, 1, s->gb);
        ad__gemm_f32(true, false, 9 * c, pixels, c, s->fb, s->fc, 0, s->gc);
    }
}
static void wide_floor(void *state) { conv_floor(state, &wide_pictures); }
static void deep_floor(void *state) { conv_floor(state, &deep_pictures); }

/* ---- tanh-20: tanh applied twenty times to a million f32, then a sum ------------------------------------------- */

enum { MILLION = 1000000, TIMES = 20 };

static void *tanh_setup(void) {
    arrays *s = arrays_new();
    for (int i = 0; i <= TIMES; i++) s->steps[i] = bench_floats(MILLION);
    s->ga = bench_floats(MILLION);
    bench_fill(s->steps[0], MILLION, 5);
    s->a = ad_param(s->g, AD_F32, s->steps[0], AD_SHAPE(MILLION));
    return s;
}

static ad_var *tanh_loss(const arrays *s) {
    ad_var *y = s->a;
    for (int i = 0; i < TIMES; i++) y = ad_tanh(y);
    return ad_sum(y);
}
static void tanh_ours(void *state) { step_of(state, tanh_loss); }
static void tanh_result(void *state, double to[2]) { result_of(state, tanh_loss, to); }

AD__CLONES static void tanh_forward(int64_t n, const float *restrict x, float *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = tanhf(x[i]);
}
AD__CLONES static void tanh_back(int64_t n, const float *restrict y, float *restrict g) {
    for (int64_t i = 0; i < n; i++) g[i] *= 1 - y[i] * y[i];
}

static void tanh_floor(void *state) {
    arrays *s = state;
    for (int i = 0; i < TIMES; i++) tanh_forward(MILLION, s->steps[i], s->steps[i + 1]);
    for (int64_t i = 0; i < MILLION; i++) s->ga[i] = 1;
    for (int i = TIMES; i > 0; i--) tanh_back(MILLION, s->steps[i], s->ga);
}

static void *tanh_setup_compiled(void) { return compile(tanh_setup(), tanh_loss); }

/* The tanhs alone, in tiles, as any program must compute them. */
static void tanh_alone(void *state) {
    enum { TILE = 1000 };
    arrays *s = state;
    for (int64_t from = 0; from < MILLION; from += TILE)
        for (int i = 0; i < TIMES; i++)
            tanh_forward(TILE, i ? s->steps[1 + i % 2] : s->steps[0] + from, s->steps[1 + (i + 1) % 2]);
}

/* ---- argsort-1e6: the order of a million f32; the floor is qsort of values with their indices -------------------- */

enum { SORTED = 1000000 };
typedef struct {
    float value;
    int index;
} sort_key;

static void *sort_setup(void) {
    arrays *s = arrays_new();
    s->fa = bench_floats(SORTED), s->gb = bench_floats(2 * SORTED);
    bench_fill(s->fa, SORTED, 13);
    s->a = ad_tensor(s->g, AD_F32, s->fa, AD_SHAPE(SORTED));
    return s;
}

static void sort_ours(void *state) {
    arrays *s = state;
    ad_mark m = ad_begin(s->g);
    ad_argsort(s->a, 0, false);
    ad_end(s->g, m);
}

static int by_value(const void *a, const void *b) {
    const sort_key *x = a, *y = b;
    return x->value != y->value ? (x->value > y->value) - (x->value < y->value)
                                : (x->index > y->index) - (x->index < y->index);
}

static void sort_floor(void *state) {
    arrays *s = state;
    sort_key *keys = (sort_key *)(void *)s->gb;
    for (int i = 0; i < SORTED; i++) keys[i] = (sort_key){ s->fa[i], i };
    qsort(keys, SORTED, sizeof *keys, by_value);
}

/* The indices of the smallest and the largest element. */
static void sort_result(void *state, double to[2]) {
    const arrays *s = state;
    ad_var *order = ad_argsort(s->a, 0, false);
    to[0] = ad_at(order, 0), to[1] = ad_at(order, SORTED - 1);
}

/* ---- softmax-ce: mean cross-entropy of 4096 rows of 1000 classes, and its gradient ----------------------------- */

enum { ROWS = 4096, CLASSES = 1000 };

static void *ce_setup(void) {
    arrays *s = arrays_new();
    s->fa = bench_floats(ROWS * CLASSES), s->ga = bench_floats(ROWS * CLASSES), s->fc = bench_floats(ROWS);
    bench_fill(s->fa, ROWS * CLASSES, 9);
    for (int i = 0; i < ROWS; i++) s->fc[i] = (float)(i * 31 % CLASSES);
    s->a = ad_param(s->g, AD_F32, s->fa, AD_SHAPE(ROWS, CLASSES));
    s->classes = ad_input(s->g, AD_F32, s->fc, AD_SHAPE(ROWS));
    return s;
}

static ad_var *ce_loss(const arrays *s) { return ad_cross_entropy(s->a, s->classes); }
static void ce_ours(void *state) { step_of(state, ce_loss); }
static void *ce_setup_compiled(void) { return compile(ce_setup(), ce_loss); }
static void ce_result(void *state, double to[2]) { result_of(state, ce_loss, to); }

/* The loss of a row x [n] and its gradient g [n]. exp is computed once for each element. */
AD__CLONES static float ce_row(int64_t n, const float *restrict x, float *restrict g, int64_t class, float scale) {
    float m[16], s[16] = { 0 }, largest, sum = 0;
    for (int j = 0; j < 16; j++) m[j] = x[j];
    for (int64_t i = 0; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
    largest = m[0];
    for (int j = 1; j < 16; j++) largest = m[j] > largest ? m[j] : largest;
    for (int64_t i = n / 16 * 16; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (int64_t i = 0; i < n; i++) g[i] = expf(x[i] - largest);
    for (int64_t i = 0; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) s[j] += g[i + j];
    for (int j = 0; j < 16; j++) sum += s[j];
    for (int64_t i = n / 16 * 16; i < n; i++) sum += g[i];
    float k = scale / sum;
    for (int64_t i = 0; i < n; i++) g[i] *= k;
    g[class] -= scale;
    return largest + logf(sum) - x[class];
}

static void ce_floor(void *state) {
    arrays *s = state;
    float loss = 0;
    for (int64_t i = 0; i < ROWS; i++)
        loss += ce_row(CLASSES, s->fa + i * CLASSES, s->ga + i * CLASSES, (int64_t)s->fc[i], 1.0f / ROWS);
    s->gc = s->gc ? s->gc : bench_floats(1);
    *s->gc = loss / ROWS;
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "matmul-1024", "ms", 1, 0, matmul_setup, matmul_ours, matmul_floor, teardown, matmul_result },
        { "conv-64", "ms", 1, 0, wide_setup, conv_ours, wide_floor, teardown, conv_result },
        { "conv-256", "ms", 1, 0, deep_setup, conv_ours, deep_floor, teardown, conv_result },
        { "tanh-20", "ms", 1, 0, tanh_setup, tanh_ours, tanh_floor, teardown, tanh_result },
        { "tanh-20-compiled", "ms", 1, 0, tanh_setup_compiled, run_compiled, tanh_alone, teardown, NULL },
        { "softmax-ce", "ms", 1, 0, ce_setup, ce_ours, ce_floor, teardown, ce_result },
        { "softmax-ce-compiled", "ms", 1, 0, ce_setup_compiled, run_compiled, ce_floor, teardown, NULL },
        { "argsort-1e6", "ms", 1, 0, sort_setup, sort_ours, sort_floor, teardown, sort_result },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
