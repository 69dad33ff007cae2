/* nets.c: training steps of networks, and the same arithmetic in plain C with a BLAS. */
#include "ops/kernels/base/vector_math.h"

#include "bench/common.h"
#include "ops/kernels/base/simd.h"
#include "ops/kernels/linalg/gemm.h"

#include <stdlib.h>
#include <string.h>

#ifdef AD_NO_BLAS
#define sgemm ad__gemm_f32
#else
#include <cblas.h>
static void sgemm(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)n, (int)m, (int)k,
                1, a, (int)(ta ? n : k), b, (int)(tb ? k : m), beta, c, (int)m);
}
#endif

/* ---- the floor: layers of a multilayer perceptron in plain C, with all memory allocated in setup -------------- */

enum { MAX_LAYERS = 4 };

typedef struct {
    int64_t in, out;
    float *w, *b, *gw, *gb, *vw, *vb; /* w [out,in], b [out] */
    float *y, *gy;                    /* [batch,out] */
} layer;

typedef struct {
    int n;
    int64_t batch;
    layer l[MAX_LAYERS];
} mlp;


static mlp mlp_new(int64_t batch, int n, const int64_t *widths) {
    mlp m = { .n = n - 1, .batch = batch };
    for (int i = 0; i < m.n; i++) {
        int64_t in = widths[i], out = widths[i + 1];
        m.l[i] = (layer){ .in = in, .out = out, .w = bench_random(in * out, 7u + (uint32_t)i), .b = bench_floats(out) };
        m.l[i].gw = bench_floats(in * out), m.l[i].gb = bench_floats(out);
        m.l[i].vw = bench_floats(in * out), m.l[i].vb = bench_floats(out);
        m.l[i].y = bench_floats(batch * out), m.l[i].gy = bench_floats(batch * out);
        for (int64_t k = 0; k < in * out; k++) m.l[i].w[k] /= sqrtf((float)in);
    }
    return m;
}

static void mlp_free(mlp *m) {
    for (int i = 0; i < m->n; i++) {
        layer *l = &m->l[i];
        float *all[] = { l->w, l->b, l->gw, l->gb, l->vw, l->vb, l->y, l->gy };
        for (int k = 0; k < 8; k++) free(all[k]);
    }
}

static void linear(const layer *l, int64_t n, const float *x) {
    for (int64_t i = 0; i < n; i++) memcpy(l->y + i * l->out, l->b, (size_t)l->out * sizeof(float));
    sgemm(false, true, n, l->out, l->in, x, l->w, 1, l->y);
}

/* Copies the weights of the floor into a net. */
static void copy_weights(const nn_module *net, const mlp *m) {
    for (int i = 0; i < m->n; i++) {
        ad_set(nn_parameter_at(net, 2 * i).var, m->l[i].w);
        ad_set(nn_parameter_at(net, 2 * i + 1).var, m->l[i].b);
    }
}

/* gx is NULL for the first layer, as the data needs no gradient. */
static void linear_back(const layer *l, int64_t n, const float *x, float *gx) {
    sgemm(true, false, l->out, l->in, n, l->gy, x, 0, l->gw);
    memset(l->gb, 0, (size_t)l->out * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < l->out; j++) l->gb[j] += l->gy[i * l->out + j];
    if (gx != NULL) sgemm(false, false, n, l->in, l->out, l->gy, l->w, 0, gx);
}

AD__CLONES static void relu(int64_t n, float *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = y[i] < 0 ? 0 : y[i];
}
AD__CLONES static void relu_back(int64_t n, const float *restrict y, float *restrict g) {
    for (int64_t i = 0; i < n; i++) g[i] = y[i] > 0 ? g[i] : 0;
}
AD__CLONES static void tanh_all(int64_t n, float *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = tanhf(y[i]);
}
AD__CLONES static void sigmoid_all(int64_t n, float *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = 1 / (1 + expf(-y[i]));
}
AD__CLONES static void sigmoid_back(int64_t n, const float *restrict y, float *restrict g) {
    for (int64_t i = 0; i < n; i++) g[i] *= y[i] * (1 - y[i]);
}

/* v = momentum v + g; w -= lr v */
AD__CLONES static void momentum(int64_t n, float lr, float mu, const float *restrict g, float *restrict v,
                                float *restrict w) {
    for (int64_t i = 0; i < n; i++) {
        v[i] = mu * v[i] + g[i];
        w[i] -= lr * v[i];
    }
}
AD__CLONES static void descend(int64_t n, float lr, const float *restrict g, float *restrict w) {
    for (int64_t i = 0; i < n; i++) w[i] -= lr * g[i];
}

/* The gradient of the mean cross-entropy of y [n,c]: g = (softmax(y) - one_hot) / n. */
AD__CLONES static void softmax_ce(int64_t n, int64_t c, const float *y, const float *class, float *g) {
    for (int64_t i = 0; i < n; i++) {
        float m = y[i * c], s = 0;
        for (int64_t j = 1; j < c; j++) m = y[i * c + j] > m ? y[i * c + j] : m;
        for (int64_t j = 0; j < c; j++) s += g[i * c + j] = expf(y[i * c + j] - m);
        for (int64_t j = 0; j < c; j++) g[i * c + j] /= s * (float)n;
        g[i * c + (int64_t)class[i]] -= 1 / (float)n;
    }
}

/* ---- xor: 2-8-1, tanh, batch 4, mean squared error, SGD -------------------------------------------------------- */

static const float xor_x[] = { 0, 0, 0, 1, 1, 0, 1, 1 }, xor_t[] = { 0, 1, 1, 0 };

typedef struct {
    ad_graph *g;
    ad_var *x, *t, *loss; /* loss: recorded once, for ad_eval */
    nn_module *net;
    nn_optim *opt;
    mlp m;
} xor_state;

static ad_var *xor_loss(const xor_state *s) { return nn_mse(nn_apply(s->net, s->x), s->t); }

static void *xor_setup(void) {
    xor_state *s = bench_array(sizeof *s);
    s->g = bench_graph();
    s->x = ad_tensor(s->g, AD_F32, xor_x, AD_SHAPE(4, 2));
    s->t = ad_tensor(s->g, AD_F32, xor_t, AD_SHAPE(4, 1));
    s->net = nn_mlp(s->g, AD_F32, 3, (int64_t[]){ 2, 8, 1 }, ad_tanh);
    s->opt = nn_sgd(s->net, (nn_sgd_opts){ .lr = 1e-4 });
    s->m = mlp_new(4, 3, (int64_t[]){ 2, 8, 1 });
    copy_weights(s->net, &s->m);
    return s;
}

static void *xor_setup_built(void) {
    xor_state *s = xor_setup();
    s->loss = xor_loss(s);
    return s;
}

static void xor_teardown(void *state) {
    xor_state *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    mlp_free(&s->m);
    free(s);
}

static double xor_step(const xor_state *s, nn_optim *opt) {
    ad_mark m = ad_begin(s->g);
    ad_var *loss = xor_loss(s);
    nn_zero_grad(opt);
    ad_backward(loss);
    nn_step(opt);
    double value = ad_item(loss);
    ad_end(s->g, m);
    return value;
}

static void xor_rebuild(void *state) { xor_step(state, ((xor_state *)state)->opt); }

/* The losses of the first and the hundredth step, with a larger learning rate than in the measurement. */
static void xor_result(void *state, double to[2]) {
    nn_optim *opt = nn_sgd(((xor_state *)state)->net, (nn_sgd_opts){ .lr = 0.1 });
    to[0] = xor_step(state, opt);
    for (int i = 1; i < 100; i++) to[1] = xor_step(state, opt);
}

static void xor_eval(void *state) {
    xor_state *s = state;
    ad_eval(s->loss);
    nn_zero_grad(s->opt);
    ad_backward(s->loss);
    nn_step(s->opt);
}

/* Too small for a BLAS: loops with constant bounds. */
static void xor_floor(void *state) {
    layer *a = &((xor_state *)state)->m.l[0], *b = &((xor_state *)state)->m.l[1];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 8; j++)
            a->y[i * 8 + j] = a->b[j] + xor_x[i * 2] * a->w[j * 2] + xor_x[i * 2 + 1] * a->w[j * 2 + 1];
    tanh_all(32, a->y);
    for (int i = 0; i < 4; i++) {
        float y = b->b[0];
        for (int j = 0; j < 8; j++) y += a->y[i * 8 + j] * b->w[j];
        b->gy[i] = (y - xor_t[i]) / 2;
    }
    memset(b->gw, 0, 8 * sizeof(float)), memset(a->gw, 0, 16 * sizeof(float)), memset(a->gb, 0, 8 * sizeof(float));
    b->gb[0] = b->gy[0] + b->gy[1] + b->gy[2] + b->gy[3];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 8; j++) {
            float h = a->y[i * 8 + j], g = b->gy[i] * b->w[j] * (1 - h * h);
            b->gw[j] += b->gy[i] * h;
            a->gb[j] += g;
            a->gw[j * 2] += g * xor_x[i * 2];
            a->gw[j * 2 + 1] += g * xor_x[i * 2 + 1];
        }
    for (int j = 0; j < 16; j++) a->w[j] -= 1e-4f * a->gw[j];
    for (int j = 0; j < 8; j++) a->b[j] -= 1e-4f * a->gb[j], b->w[j] -= 1e-4f * b->gw[j];
    b->b[0] -= 1e-4f * b->gb[0];
}

/* ---- xor-compiled: a program that contains the update; its outputs replace the parameters ------------------------*/

enum { XOR_ARRAYS = 4 };

typedef struct {
    xor_state *s;
    ad_program *program;
    void *at[XOR_ARRAYS + 1]; /* parameters; the loss is the last output */
    float loss;
} xor_program;

static void *xor_setup_compiled(void) {
    xor_program *p = bench_array(sizeof *p);
    p->s = xor_setup();
    ad_var *x[XOR_ARRAYS], *gradient[XOR_ARRAYS], *y[XOR_ARRAYS + 1];
    for (int i = 0; i < XOR_ARRAYS; i++) x[i] = nn_parameter_at(p->s->net, i).var, p->at[i] = ad_data_mut(x[i]);
    ad_var *loss = xor_loss(p->s);
    ad_gradient(loss, XOR_ARRAYS, x, gradient);
    for (int i = 0; i < XOR_ARRAYS; i++) y[i] = ad_sub(x[i], ad_muls(gradient[i], 1e-4));
    y[XOR_ARRAYS] = loss, p->at[XOR_ARRAYS] = &p->loss;
    p->program = ad_compile(XOR_ARRAYS + 1, y, XOR_ARRAYS, x, (ad_compile_opts){ .no_cache = true });
    return p;
}

static void xor_run(void *state) {
    xor_program *p = state;
    ad_run(p->program, (const void *const *)p->at, p->at, NULL);
}

static void xor_by_hand(void *state) { xor_floor(((xor_program *)state)->s); }

static void xor_teardown_compiled(void *state) {
    xor_teardown(((xor_program *)state)->s);
    free(state);
}

/* ---- lecture-net: 64 x 1000 x 100 x 10, sigmoid, squared error, SGD, no biases --------------------------------- */

enum { LN = 64, LI = 1000, LH = 100, LO = 10 };

typedef struct {
    ad_graph *g;
    ad_var *x, *t, *w1, *w2;
    float *fx, *ft;
    mlp m;
    float lr;
} lecture;

static void *lecture_setup(void) {
    lecture *s = bench_array(sizeof *s);
    s->g = bench_graph();
    ad_keep_grads(s->g, false);
    s->m = mlp_new(LN, 3, (int64_t[]){ LI, LH, LO });
    s->fx = bench_random(LN * LI, 1), s->ft = bench_random(LN * LO, 2);
    s->x = ad_input(s->g, AD_F32, s->fx, AD_SHAPE(LN, LI));
    s->t = ad_input(s->g, AD_F32, s->ft, AD_SHAPE(LN, LO));
    s->w1 = ad_param(s->g, AD_F32, s->m.l[0].w, AD_SHAPE(LH, LI));
    s->w2 = ad_param(s->g, AD_F32, s->m.l[1].w, AD_SHAPE(LO, LH));
    s->lr = 1e-6f;
    return s;
}

static void lecture_teardown(void *state) {
    lecture *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    mlp_free(&s->m);
    free(s->fx), free(s->ft);
    free(s);
}

static double lecture_step(lecture *s) {
    ad_mark m = ad_begin(s->g);
    ad_var *y = ad_affine(ad_sigmoid(ad_affine(s->x, s->w1, NULL)), s->w2, NULL);
    ad_var *loss = ad_sum(ad_square(ad_sub(y, s->t)));
    ad_zero_grad(loss);
    ad_backward(loss);
    descend(LI * LH, s->lr, ad_grad(s->w1), ad_data_mut(s->w1));
    descend(LH * LO, s->lr, ad_grad(s->w2), ad_data_mut(s->w2));
    double value = ad_item(loss);
    ad_end(s->g, m);
    return value;
}

static void lecture_ours(void *state) { lecture_step(state); }

/* The losses of the first and the twentieth step, with a larger learning rate than in the measurement. */
static void lecture_result(void *state, double to[2]) {
    ((lecture *)state)->lr = 1e-4f;
    to[0] = lecture_step(state);
    for (int i = 1; i < 20; i++) to[1] = lecture_step(state);
}

static void lecture_floor(void *state) {
    lecture *s = state;
    layer *a = &s->m.l[0], *b = &s->m.l[1];
    sgemm(false, true, LN, LH, LI, s->fx, a->w, 0, a->y);
    sigmoid_all(LN * LH, a->y);
    sgemm(false, true, LN, LO, LH, a->y, b->w, 0, b->y);
    for (int i = 0; i < LN * LO; i++) b->gy[i] = 2 * (b->y[i] - s->ft[i]);
    sgemm(true, false, LO, LH, LN, b->gy, a->y, 0, b->gw);
    sgemm(false, false, LN, LH, LO, b->gy, b->w, 0, a->gy);
    sigmoid_back(LN * LH, a->y, a->gy);
    sgemm(true, false, LH, LI, LN, a->gy, s->fx, 0, a->gw);
    descend(LI * LH, 1e-6f, a->gw, a->w);
    descend(LH * LO, 1e-6f, b->gw, b->w);
}

/* ---- mlp-128, mlp-512-512: data like MNIST, relu, cross-entropy, momentum, shuffled minibatches ---------------- */

enum { ROWS = 6400, PIXELS = 784, CLASSES = 10 };

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    nn_dataset data;
    nn_loader *loader;
    float *x, *t, *batch_x, *batch_t;
    int64_t *order;
    int64_t at;
    mlp m;
} mnist;

static mnist *mnist_new(int64_t batch, int n, const int64_t *widths) {
    mnist *s = bench_array(sizeof *s);
    s->g = bench_graph();
    ad_keep_grads(s->g, false);
    s->x = bench_random(ROWS * PIXELS, 3), s->t = bench_floats(ROWS);
    for (int i = 0; i < ROWS; i++) s->t[i] = (float)(i * 7 % CLASSES);
    s->net = nn_mlp(s->g, AD_F32, n, widths, ad_relu);
    s->opt = nn_sgd(s->net, (nn_sgd_opts){ .lr = 1e-3, .momentum = 0.9 });
    s->data = (nn_dataset){ ad_input(s->g, AD_F32, s->x, AD_SHAPE(ROWS, PIXELS)),
                            ad_input(s->g, AD_F32, s->t, AD_SHAPE(ROWS)) };
    s->loader = nn_loader_new(s->g, s->data, (nn_loader_opts){ .batch = batch });
    s->m = mlp_new(batch, n, widths);
    copy_weights(s->net, &s->m);
    s->batch_x = bench_floats(batch * PIXELS), s->batch_t = bench_floats(batch);
    s->order = bench_array(ROWS * sizeof *s->order);
    for (int64_t i = 0; i < ROWS; i++) s->order[i] = i * 2731 % ROWS;
    return s;
}

static void *mlp_128_setup(void) { return mnist_new(64, 3, (int64_t[]){ PIXELS, 128, CLASSES }); }
static void *mlp_512_setup(void) { return mnist_new(128, 4, (int64_t[]){ PIXELS, 512, 512, CLASSES }); }

static void mnist_teardown(void *state) {
    mnist *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    mlp_free(&s->m);
    free(s->x), free(s->t), free(s->batch_x), free(s->batch_t), free(s->order);
    free(s);
}

/* One minibatch. The second call of nn_loader_next begins the next epoch. */
static double mnist_step(const mnist *s, nn_loader *loader, nn_optim *opt) {
    ad_mark m = ad_begin(s->g);
    double value = 0;
    ad_var *x, *t;
    if (nn_loader_next(loader, &x, &t) || nn_loader_next(loader, &x, &t)) {
        ad_var *loss = nn_cross_entropy(nn_apply(s->net, x), t);
        nn_zero_grad(opt);
        ad_backward(loss);
        nn_step(opt);
        value = ad_item(loss);
    }
    ad_end(s->g, m);
    return value;
}

static void mnist_ours(void *state) {
    mnist *s = state;
    mnist_step(s, s->loader, s->opt);
}

/* The losses of the first and the fifth step, with unshuffled rows and a larger learning rate than in the measurement.
   */
static void mnist_result(void *state, double to[2]) {
    mnist *s = state;
    nn_loader *in_order = nn_loader_new(s->g, s->data, (nn_loader_opts){ .batch = s->m.batch, .in_order = true });
    nn_optim *opt = nn_sgd(s->net, (nn_sgd_opts){ .lr = 0.05, .momentum = 0.9 });
    to[0] = mnist_step(s, in_order, opt);
    for (int i = 1; i < 5; i++) to[1] = mnist_step(s, in_order, opt);
}

static void gather(mnist *s) {
    for (int64_t i = 0; i < s->m.batch; i++) {
        int64_t row = s->order[(s->at + i) % ROWS];
        memcpy(s->batch_x + i * PIXELS, s->x + row * PIXELS, PIXELS * sizeof(float));
        s->batch_t[i] = s->t[row];
    }
    s->at = (s->at + s->m.batch) % ROWS;
}

static void mnist_floor(void *state) {
    mnist *s = state;
    mlp *m = &s->m;
    int last = m->n - 1;
    gather(s);
    for (int i = 0; i <= last; i++) {
        linear(&m->l[i], m->batch, i ? m->l[i - 1].y : s->batch_x);
        if (i < last) relu(m->batch * m->l[i].out, m->l[i].y);
    }
    softmax_ce(m->batch, CLASSES, m->l[last].y, s->batch_t, m->l[last].gy);
    for (int i = last; i >= 0; i--) {
        linear_back(&m->l[i], m->batch, i ? m->l[i - 1].y : s->batch_x, i ? m->l[i - 1].gy : NULL);
        if (i > 0) relu_back(m->batch * m->l[i - 1].out, m->l[i - 1].y, m->l[i - 1].gy);
    }
    for (int i = 0; i <= last; i++) {
        layer *l = &m->l[i];
        momentum(l->in * l->out, 1e-3f, 0.9f, l->gw, l->vw, l->w);
        momentum(l->out, 1e-3f, 0.9f, l->gb, l->vb, l->b);
    }
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "xor-rebuild", "us", 1, 0, xor_setup, xor_rebuild, xor_floor, xor_teardown, xor_result },
        { "xor-eval", "us", 1, 0, xor_setup_built, xor_eval, xor_floor, xor_teardown, xor_result },
        { "xor-compiled", "us", 1, 0, xor_setup_compiled, xor_run, xor_by_hand, xor_teardown_compiled, NULL },
        { "lecture-net", "us", 1, 0, lecture_setup, lecture_ours, lecture_floor, lecture_teardown, lecture_result },
        { "mlp-128", "us", 1, 64, mlp_128_setup, mnist_ours, mnist_floor, mnist_teardown, mnist_result },
        { "mlp-512-512", "us", 1, 128, mlp_512_setup, mnist_ours, mnist_floor, mnist_teardown, mnist_result },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
