/* cross_entropy.c: the loss of class scores against class numbers, softmax and log in one stable op. */
#include "ops/kernels/kernels.h"
#include "ops/ops.h"

#include "autodiff/node.h"

#include <math.h>

/* logits [n,c], classes [n] -> the mean of -log softmax(logits)[class] over rows */
static int cross_entropy_shape(ad_call *c) {
    ad_shape classes = c->in[1]->layout->shape;
    if (c->shape.ndim != 2 || classes.ndim != 1 || classes.dim[0] != c->shape.dim[0])
        return ad_call_fail(c, AD_ESHAPE, "takes logits [n,c] and class numbers [n]");
    if (c->shape.dim[1] == 0) return ad_call_fail(c, AD_ESHAPE, "no classes");
    c->saved = (size_t)c->shape.dim[0] * sizeof(ad__lse);
    c->shape = AD_SCALAR;
    return AD_OK;
}

static int check_class(const ad_op *op, int64_t row, double class, int64_t n_classes) {
    if (class >= 0 && class < (double)n_classes && class == floor(class)) return AD_OK;
    return ad_op_fail(op, AD_EVALUE, "class %g of row %lld is not one of 0..%lld", class, (long long)row,
                      (long long)n_classes - 1);
}

static int cross_entropy_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = x->layout->shape.dim[0], c = x->layout->shape.dim[1];
    ad__lse *saved = ad_saved(op);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double class = ad_at(op->in[1], i);
        int rc = check_class(op, i, class, c);
        if (rc != AD_OK) return rc;
        saved[i] = x->layout->dtype == AD_F32 ? ad__lse_f32(c, (const float *)x->data + i * c)
                                              : ad__lse_f64(c, (const double *)x->data + i * c);
        sum += (saved[i].m - ad_at(x, i * c + (int64_t)class)) + log(saved[i].s);
    }
    if (y->layout->dtype == AD_F32) *(float *)y->data = (float)(sum / (double)n);
    else *(double *)y->data = sum / (double)n;
    return AD_OK;
}

/* dlogits = g / n (softmax - one_hot) */
static void cross_entropy_backward(const ad_op *op) {
    const ad_var *x = op->in[0];
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    int64_t n = x->layout->shape.dim[0], c = x->layout->shape.dim[1];
    double k = ad_grad_at(ad__out(op), 0) / (double)n;
    const ad__lse *saved = ad_saved(op);
    for (int64_t i = 0; i < n; i++) {
        int64_t hit = i * c + (int64_t)ad_at(op->in[1], i);
        if (x->layout->dtype == AD_F32) {
            ad__lse_back_f32(c, saved[i], (float)k, (const float *)x->data + i * c, (float *)gx + i * c);
            ((float *)gx)[hit] -= (float)k;
        } else {
            ad__lse_back_f64(c, saved[i], k, (const double *)x->data + i * c, (double *)gx + i * c);
            ((double *)gx)[hit] -= k;
        }
    }
}

static void cross_entropy_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape;
    ad_var *difference = ad_sub(ad_softmax(op->in[0], 1), ad_one_hot(op->in[1], s.dim[1]));
    dx[0] = ad_mul(difference, ad_muls(g, 1 / (double)s.dim[0]));
}

static void cross_entropy_samples(ad_sampler *s) {
    const double logits[] = { 0.3, -1.2, 2, 0.1, 0.7, -0.4, 1.5, 1.5, 1.4, -2, 0, 0.25 };
    const double classes[] = { 2, 0, 1, 1 }, *values[] = { logits, classes };
    const ad_shape shapes[][2] = { { AD_SHAPE(4, 3), AD_SHAPE(4) }, { AD_SHAPE(1, 12), AD_SHAPE(1) }, { AD_SHAPE(2, 6), AD_SHAPE(2) } };
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample_values(s, NULL, 2, shapes[i], values, 0);
    const double huge[] = { 1e4, -1e4, 0, -1e4, 1e4, 1e4 }, right[] = { 0, 0 }, *edges[] = { huge, right };
    ad_sample_values(s, NULL, 2, (ad_shape[]){ AD_SHAPE(2, 3), AD_SHAPE(2) }, edges, AD_SAMPLE_KINK);
    ad_sample_values(s, NULL, 2, (ad_shape[]){ AD_SHAPE(0, 3), AD_SHAPE(0) }, edges, AD_SAMPLE_KINK);
}

AD_OPTYPE(cross_entropy, .doc = "mean over rows of -log softmax(logits)[class]; classes are whole numbers",
          .formula = "mean(logsumexp(logits) - logits[class])", .gradient = "g / n (softmax(logits) - one_hot(classes))",
          .arity = 2, .no_grad = 1u << 1, .shape = cross_entropy_shape,
          .evaluate = { cross_entropy_evaluate, cross_entropy_evaluate },
          .backward = { cross_entropy_backward, cross_entropy_backward }, .vjp = cross_entropy_vjp);

ad_var *ad_cross_entropy(ad_var *logits, ad_var *classes) {
    return ad__apply2(&ad_op_cross_entropy, logits, classes, NULL);
}
