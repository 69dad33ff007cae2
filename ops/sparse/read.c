/* read.c: the elements of a sparse matrix, read from products with sums of rows and columns, as an op. */
#include <string.h>

#include "autodiff/graph/memory.h"
#include "ops/base/gradient.h"
#include "ops/sparse/plan.h"

typedef struct {
    const ad__reads *reads;
    int product; /* of sparse_spread: whose gradient it is */
} read_attrs;

static const ad__reads *reads_of(const ad_op *op) { return ((const read_attrs *)ad__attrs_of(op))->reads; }

/* ---- products -> elements [n] ------------------------------------------------------------------------------------ */

static int read_shape(ad_call *c) {
    c->shape = AD_SHAPE(((const read_attrs *)c->attrs)->reads->n);
    c->saved = (size_t)c->n * sizeof(void *);
    c->scratch = (size_t)c->shape.dim[0] * sizeof(double);
    return AD_OK;
}

static int read_evaluate(const ad_op *op) {
    ad_var *y = ad__out(op);
    const void **arrays = ad_saved(op);
    for (int i = 0; i < op->n_in; i++) arrays[i] = op->in[i]->data;
    AD__BY_DTYPE(y->layout->dtype, ad__read_elements, reads_of(op), arrays, y->data);
    return AD_OK;
}

/* What an element sends to those that were subtracted from it changes its gradient, so that is copied. */
static void *gradients_of_elements(ad_dtype t, const ad__reads *r, const void *g, void *work) {
    memcpy(work, g, (size_t)r->n * ad_dtype_size(t));
    AD__BY_DTYPE(t, ad__read_back_order, r, work);
    return work;
}

static void read_backward(const ad_op *op) {
    ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    const void *g = gradients_of_elements(t, reads_of(op), y->grad, ad_scratch(op));
    for (int i = 0; i < op->n_in; i++) {
        void *to = ad_grad_into(op, i);
        if (to) AD__BY_DTYPE(t, ad__read_back, reads_of(op), i, g, to);
    }
}

static ad_var *spread(const ad__reads *r, int product, ad_var *like, ad_var *g);

static void read_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    for (int i = 0; i < op->n_in; i++)
        if (ad_vjp_wants(op, i)) dx[i] = spread(reads_of(op), i, op->in[i], g);
}

static const ad_optype read_type = { .name = "sparse_read",
                                     .doc = "elements of a sparse matrix from its products with vectors",
                                     .arity = -1,
                                     .attr_size = sizeof(read_attrs),
                                     .shape = read_shape,
                                     .evaluate = { read_evaluate, read_evaluate },
                                     .backward = { read_backward, read_backward },
                                     .vjp = read_vjp };

ad_var *ad__sparse_read(const ad__reads *reads, int n, ad_var *const products[]) {
    return ad_apply(&read_type, n, products, &(read_attrs){ .reads = reads });
}

/* ---- its transpose: gradients of elements -> the gradient of one product, with the shape of operand 1 ------------ */

static int spread_shape(ad_call *c) {
    c->shape = c->in[1]->layout->shape;
    c->scratch = (size_t)((const read_attrs *)c->attrs)->reads->n * sizeof(double);
    return AD_OK;
}

static int spread_evaluate(const ad_op *op) {
    ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    const void *g = gradients_of_elements(t, reads_of(op), op->in[0]->data, ad_scratch(op));
    memset(y->data, 0, y->layout->bytes);
    AD__BY_DTYPE(t, ad__read_back, reads_of(op), ((const read_attrs *)ad__attrs_of(op))->product, g, y->data);
    return AD_OK;
}

/* The elements that are read from one product, while the others are zero. */
static ad_var *read_one(const ad_op *op, ad_var *product) {
    const ad__reads *r = reads_of(op);
    ad_graph *g = ad__owner(product);
    int of = ((const read_attrs *)ad__attrs_of(op))->product, n = of + 1;
    for (int64_t k = 0; k < r->n; k++)
        if (r->product[k] >= n) n = r->product[k] + 1;
    ad_var **all = ad_buffer_take(g, (size_t)n * sizeof *all);
    if (all == NULL) return ad_nil(g);
    int64_t longest = 0;
    for (int64_t k = 0; k < r->n; k++)
        if (r->product[k] >= 0 && r->at[k] >= longest) longest = r->at[k] + 1;
    ad_var *zero = ad_zeros(g, product->layout->dtype, AD_SHAPE(longest));
    for (int i = 0; i < n; i++) all[i] = i == of ? product : zero;
    ad_var *y = ad__sparse_read(r, n, all);
    ad_buffer_give(g, all, (size_t)n * sizeof *all);
    return y;
}

static void spread_backward(const ad_op *op) {
    ad_graph *g = ad__owner(ad__out(op));
    ad_var *y = ad__out(op);
    if (!ad_wants_grad(op, 0)) return;
    ad_mark m = ad_begin(g);
    ad_var *elements = read_one(op, ad_input(g, y->layout->dtype, y->grad, y->layout->shape));
    if (!ad_is_nil(elements)) ad__add_gradient(op, 0, elements->data);
    ad_end(g, m);
}

static void spread_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = read_one(op, g); }

static const ad_optype spread_type = { .name = "sparse_spread",
                                       .doc = "the gradient of a product that sparse_read reads from",
                                       .arity = 2,
                                       .no_grad = AD_NO_GRAD(1),
                                       .attr_size = sizeof(read_attrs),
                                       .shape = spread_shape,
                                       .evaluate = { spread_evaluate, spread_evaluate },
                                       .backward = { spread_backward, spread_backward },
                                       .vjp = spread_vjp };

static ad_var *spread(const ad__reads *r, int product, ad_var *like, ad_var *g) {
    return ad_apply(&spread_type, 2, (ad_var *[]){ g, like }, &(read_attrs){ r, product });
}
