/* derivatives.c: gradients as Vars, Hessian-vector products, Hessians and checkpoints, whose floor is ad_backward
   without them; and sparse Jacobians, whose floor is their elements by hand. */
#include "bench/common.h"
#include "ops/sparse.h"

#include <stdlib.h>

enum { LAYERS = 64, PARTS = 8, ROWS = 256, WIDTH = 64, CHAIN = 20000, SIDE = 100 };

typedef struct {
    ad_graph *g;
    ad_var *x, *w;
} net;

static net *net_new(ad_dtype t, ad_shape x, ad_shape w) {
    net *n = bench_array(sizeof *n);
    n->g = ad_graph_new();
    ad_keep_grads(n->g, false);
    n->x = ad_muls(ad_randn(n->g, t, x), 0.1);
    n->w = ad_require_grad(ad_rand(n->g, t, w));
    return n;
}

static void *deep(void) { return net_new(AD_F32, AD_SHAPE(ROWS, WIDTH), AD_SHAPE(WIDTH, WIDTH)); }
static void *chain(void) { return net_new(AD_F64, AD_SCALAR, AD_SCALAR); }

static void net_free(void *state) {
    net *n = state;
    bench_check(n->g);
    ad_graph_free(n->g);
    free(n);
}

/* ---- forward and backward through 64 layers, with 8 checkpoints or with none ----------------------------------- */

static ad_var *layers(int n, ad_var *const xs[], void *user) {
    ad_var *x = xs[0];
    for (int i = 0; i < LAYERS / PARTS; i++) x = ad_tanh(ad_affine(x, xs[n - 1], NULL));
    return (void)user, x;
}

static void train(net *n, bool checkpoints) {
    ad_mark m = ad_begin(n->g);
    ad_var *x = n->x;
    for (int i = 0; i < PARTS; i++) {
        ad_var *xs[] = { x, n->w };
        x = checkpoints ? ad_checkpoint(layers, NULL, 2, xs) : layers(2, xs, NULL);
    }
    ad_backward(ad_mean(x));
    ad_end(n->g, m);
}

static void with_checkpoints(void *state) { train(state, true); }
static void without_checkpoints(void *state) { train(state, false); }

/* ---- a chain of scalars: the gradient as a Var, a Hessian-vector product, and backward ------------------------- */

static ad_var *chain_of(const net *n) {
    ad_var *y = n->w;
    for (int i = 0; i < CHAIN / 3; i++) y = ad_add(ad_sin(y), ad_mul(y, n->w));
    return y;
}

static void by_backward(void *state) {
    net *n = state;
    ad_mark m = ad_begin(n->g);
    ad_backward(chain_of(n));
    ad_end(n->g, m);
}

static void by_vars(void *state) {
    net *n = state;
    ad_var *d;
    ad_mark m = ad_begin(n->g);
    ad_gradient(chain_of(n), 1, &n->w, &d);
    ad_end(n->g, m);
}

static void by_hvp(void *state) {
    net *n = state;
    ad_var *d;
    ad_mark m = ad_begin(n->g);
    ad_hvp(chain_of(n), 1, &n->w, &n->w, &d);
    ad_end(n->g, m);
}

/* ---- Rosenbrock's function of an array of 100: second derivatives, recorded anew or evaluated again ------------- */

static ad_var *rosenbrock_of(ad_var *x) {
    ad_var *a = ad_slice(x, 0, 0, SIDE - 1, 1), *b = ad_slice(x, 0, 1, SIDE, 1);
    ad_var *curve = ad_square(ad_sub(b, ad_square(a)));
    return ad_sum(ad_add(ad_muls(curve, 100), ad_square(ad_adds(a, -1))));
}

static void *array(void) { return net_new(AD_F64, AD_SHAPE(SIDE), AD_SHAPE(SIDE)); } /* of w, in the direction x */

static ad_var *product_of(const net *n) {
    ad_var *hv;
    ad_hvp(rosenbrock_of(n->w), 1, &n->w, &n->x, &hv);
    return hv;
}

static void hvp_anew(void *state) {
    net *n = state;
    ad_mark m = ad_begin(n->g);
    product_of(n);
    ad_end(n->g, m);
}

static void hessian_anew(void *state) {
    net *n = state;
    ad_mark m = ad_begin(n->g);
    ad_hessian(rosenbrock_of(n->w), n->w);
    ad_end(n->g, m);
}

static void gradient_anew(void *state) {
    net *n = state;
    ad_mark m = ad_begin(n->g);
    ad_backward(rosenbrock_of(n->w));
    ad_end(n->g, m);
}

typedef struct {
    net n;         /* comes first: the functions above take it too */
    ad_var *again; /* recorded once */
} recorded;

static void *recorded_of(ad_var *make(const net *n)) {
    recorded *r = bench_array(sizeof *r);
    net *n = array();
    r->n = *n;
    free(n);
    r->again = make(&r->n);
    return r;
}

static ad_var *hessian_of(const net *n) { return ad_hessian(rosenbrock_of(n->w), n->w); }
static void *hvp_recorded(void) { return recorded_of(product_of); }
static void *hessian_recorded(void) { return recorded_of(hessian_of); }

static void evaluate(void *state) { ad_eval(((recorded *)state)->again); }

/* ---- the Jacobian of Broyden's tridiagonal function of 1,000 numbers: its plan, and its elements -- */

enum { BAND = 1000, ELEMENTS = 3 * BAND - 2 };

typedef struct {
    ad_graph *g;
    ad_var *x, *y;
    ad_sparse_plan *plan;
    double at[BAND], elements[ELEMENTS];
} band;

static void *band_new(void) {
    band *b = bench_array(sizeof *b);
    b->g = ad_graph_new();
    for (int i = 0; i < BAND; i++) b->at[i] = -1 + 0.001 * i;
    b->x = ad_param(b->g, AD_F64, b->at, AD_SHAPE(BAND));
    ad_var *left = ad_pad(ad_slice(b->x, 0, 0, BAND - 1, 1), AD_SHAPE(1), AD_SHAPE(0), 0);
    ad_var *right = ad_pad(ad_slice(b->x, 0, 1, BAND, 1), AD_SHAPE(0), AD_SHAPE(1), 0);
    ad_var *y = ad_mul(ad_adds(ad_muls(b->x, -2), 3), b->x);
    b->y = ad_adds(ad_sub(ad_sub(y, left), ad_mul(right, right)), 1);
    b->plan = ad_sparse_jacobian(b->y, b->x, (ad_sparse_opts){ .format = AD_CSR });
    return b;
}

static void band_free(void *state) {
    band *b = state;
    bench_check(b->g);
    ad_graph_free(b->g);
    free(b);
}

static void make_plan(void *state) {
    band *b = state;
    ad_mark m = ad_begin(b->g);
    ad_sparse_jacobian(b->y, b->x, (ad_sparse_opts){ .format = AD_CSR });
    ad_end(b->g, m);
}

static void find_elements(void *state) {
    band *b = state;
    ad_sparse_eval(b->plan, b->at, b->elements);
}

static void elements_by_hand(void *state) {
    band *b = state;
    for (int i = 0, k = 0; i < BAND; i++) {
        if (i > 0) b->elements[k++] = -1;
        b->elements[k++] = 3 - 4 * b->at[i];
        if (i < BAND - 1) b->elements[k++] = -2 * b->at[i + 1];
    }
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "checkpoints", "ms", 1, 0, deep, with_checkpoints, without_checkpoints, net_free, NULL },
        { "gradient-vars", "ns", CHAIN, 0, chain, by_vars, by_backward, net_free, NULL },
        { "hvp", "ns", CHAIN, 0, chain, by_hvp, by_backward, net_free, NULL },
        { "hvp-100", "us", 1, 0, array, hvp_anew, gradient_anew, net_free, NULL },
        { "hvp-100-eval", "us", 1, 0, hvp_recorded, evaluate, gradient_anew, net_free, NULL },
        { "hessian-100", "us", 1, 0, array, hessian_anew, gradient_anew, net_free, NULL },
        { "hessian-100-eval", "us", 1, 0, hessian_recorded, evaluate, gradient_anew, net_free, NULL },
        { "sparse-plan", "us", 1, 0, band_new, make_plan, elements_by_hand, band_free, NULL },
        { "sparse-eval", "us", 1, 0, band_new, find_elements, elements_by_hand, band_free, NULL },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
