/* lstm.c: the character model of the AD benchmark: l LSTM layers with elementwise weights. */
#include "bench/adbench/common.h"
#include "ops/compile.h"

#include <complex.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

typedef struct {
    int l, c, b;        /* layers, characters, bits per character */
    double *parameters; /* main [l,2,4,b]: weights and biases of the forget, in, out and change gates; extra [3,b] */
    double *state;      /* [l,2,b]: initial hidden and cell states */
    double *sequence;   /* [c,b] */
    ad_graph *g;
    ad_program *program; /* NULL before the first call of `compiled` */
} lstm;

/* ---- plain C ------------------------------------------------------------------------------------------------- */

#include "bench/adbench/lstm.inc"
#define PLAIN_COMPLEX
#include "bench/adbench/lstm.inc"

static int64_t n_values(const void *problem) { return (void)problem, 1; }

static int64_t n_gradient(const void *problem) {
    const lstm *p = problem;
    return 8 * p->l * p->b + 3 * p->b;
}

static void plain(const void *problem, double *value) {
    const lstm *p = problem;
    double *work = adbench_array((2 * p->l + 2) * p->b);
    *value = lstm_plain(p, p->parameters, p->parameters + 8 * p->l * p->b, work);
    free(work);
}

static void expected(const void *problem, double *to) {
    const lstm *p = problem;
    int64_t n = n_gradient(p);
    double complex *x = (double complex *)(void *)adbench_array(2 * (n + (2 * p->l + 2) * p->b));
    for (int64_t i = 0; i < n; i++) x[i] = p->parameters[i];
    for (int64_t i = 0; i < n; i++) {
        x[i] += 1e-100 * I;
        to[i] = cimag(lstm_complex(p, x, x + 8 * p->l * p->b, x + n)) / 1e-100;
        x[i] = p->parameters[i];
    }
    free(x);
}

/* ---- the problem ----------------------------------------------------------------------------------------------- */

static lstm *lstm_new(int l, int c, int b) {
    lstm *p = (lstm *)(void *)adbench_array((sizeof *p + 7) / 8);
    *p = (lstm){ .l = l, .c = c, .b = b, .g = ad_graph_new() };
    p->parameters = adbench_array(n_gradient(p));
    p->state = adbench_array(2 * l * b);
    p->sequence = adbench_array((int64_t)c * b);
    return p;
}

static void *from_file(FILE *from) {
    int l = (int)adbench_number(from), c = (int)adbench_number(from), b = (int)adbench_number(from);
    lstm *p = lstm_new(l, c, b);
    adbench_numbers(from, n_gradient(p), p->parameters);
    adbench_numbers(from, 2 * l * b, p->state);
    adbench_numbers(from, (int64_t)c * b, p->sequence);
    return p;
}

static void *small(int number) {
    static const int sizes[][3] = { { 1, 2, 1 }, { 2, 5, 3 }, { 3, 12, 7 } };
    if (number == (int)(sizeof sizes / sizeof *sizes)) return NULL;
    uint64_t seed = (uint64_t)number;
    lstm *p = lstm_new(sizes[number][0], sizes[number][1], sizes[number][2]);
    for (int64_t i = 0; i < n_gradient(p); i++) p->parameters[i] = adbench_random(&seed);
    for (int i = 0; i < 2 * p->l * p->b; i++) p->state[i] = adbench_random(&seed);
    for (int i = 0; i < p->c * p->b; i++) p->sequence[i] = adbench_random(&seed) > 0;
    return p;
}

static void release(void *problem) {
    lstm *p = problem;
    ad_graph_free(p->g);
    free(p->parameters), free(p->state), free(p->sequence);
    free(p);
}

/* ---- with array ops --------------------------------------------------------------------------------------------- */

typedef struct {
    ad_var *w[4], *b[4];   /* weights and biases of the gates, [b] each */
    ad_var *hidden, *cell; /* [b] */
} layer;

static ad_var *gate(const layer *l, int k, ad_var *x) { return ad_addcmul(l->b[k], x, l->w[k]); }

static void step(layer *l, ad_var *input) {
    ad_var *forget = ad_sigmoid(gate(l, 0, input)), *in = ad_sigmoid(gate(l, 1, l->hidden));
    ad_var *out = ad_sigmoid(gate(l, 2, input)), *change = ad_tanh(gate(l, 3, l->hidden));
    l->cell = ad_addcmul(ad_mul(l->cell, forget), in, change);
    l->hidden = ad_mul(out, ad_tanh(l->cell));
}

/* leaves: the main parameters in rows of b, then the extra ones. The predictions of all characters are stacked, so that
   one expression computes the loss. */
static ad_var *objective(const lstm *p, ad_var *const *leaves, layer *layers, ad_var **predicted) {
    int b = p->b, n = p->c - 1;
    ad_var *const *extra = leaves + 8 * p->l;
    for (int k = 0; k < p->l; k++) {
        for (int i = 0; i < 4; i++) layers[k].w[i] = leaves[8 * k + i], layers[k].b[i] = leaves[8 * k + 4 + i];
        layers[k].hidden = ad_input(p->g, AD_F64, p->state + 2 * k * b, AD_SHAPE(b));
        layers[k].cell = ad_input(p->g, AD_F64, p->state + (2 * k + 1) * b, AD_SHAPE(b));
    }
    ad_var *inputs = ad_mul(ad_input(p->g, AD_F64, p->sequence, AD_SHAPE(p->c, b)), extra[0]); /* [c,b] */
    for (int t = 0; t < n; t++) {
        ad_var *x = ad_select(inputs, 0, t);
        for (int k = 0; k < p->l; k++) step(&layers[k], x), x = layers[k].hidden;
        predicted[t] = x;
    }
    ad_var *y = ad_addcmul(extra[2], ad_stack(n, predicted, 0), extra[1]), *target; /* [n,b] */
    target = ad_input(p->g, AD_F64, p->sequence + b, AD_SHAPE(n, b));
    ad_var *sums = ad_log(ad_adds(ad_sum_axis(ad_exp(y), 1, true), 2));
    return ad_muls(ad_sum(ad_mul(target, ad_sub(y, sums))), -1 / ((double)n * b));
}

static void gradient(void *problem, double *value, double *to) {
    const lstm *p = problem;
    int rows = 8 * p->l + 3;
    void *memory = malloc((size_t)(rows + p->c) * sizeof(ad_var *) + (size_t)p->l * sizeof(layer));
    if (memory == NULL) exit(1);
    layer *layers = memory;
    ad_var **leaves = (ad_var **)(layers + p->l);
    ad_mark m = ad_begin(p->g);
    for (int i = 0; i < rows; i++) leaves[i] = ad_param(p->g, AD_F64, p->parameters + i * p->b, AD_SHAPE(p->b));
    ad_keep_grads(p->g, false);
    ad_var *y = objective(p, leaves, layers, leaves + rows);
    ad_backward(y);
    adbench_ok(p->g);
    *value = ad_item(y);
    for (int i = 0; i < rows; i++) memcpy(to + i * p->b, ad_grad(leaves[i]), (size_t)p->b * sizeof *to);
    ad_end(p->g, m);
    free(memory);
}

static void compiled(void *problem, double *value, double *to) {
    lstm *p = problem;
    int rows = 8 * p->l + 3;
    if (p->program == NULL) {
        layer *layers = malloc((size_t)(rows + p->c) * sizeof(ad_var *) + (size_t)p->l * sizeof(layer));
        if (layers == NULL) exit(1);
        ad_var **leaves = (ad_var **)(layers + p->l);
        for (int i = 0; i < rows; i++) leaves[i] = ad_param(p->g, AD_F64, p->parameters + i * p->b, AD_SHAPE(p->b));
        ad_var *y = objective(p, leaves, layers, leaves + rows);
        p->program = ad_compile_gradient(y, rows, leaves, (ad_compile_opts){ .no_cache = true });
        adbench_ok(p->g);
        free(layers);
    }
    *value = ad_run_flat(p->parameters, to, p->program);
}

int main(int argc, char **argv) {
    static const adbench_program program = { "lstm", from_file, small,    n_values, n_gradient,
                                             plain,  gradient,  expected, release, compiled };
    return adbench_main(argc, argv, &program);
}
