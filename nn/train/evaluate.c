/* evaluate.c: predictions of a network for many rows, a batch at a time, with their loss and metrics. */
#include "nn/train/evaluate.h"

#include <math.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/module/module_private.h"

typedef struct {
    ad_graph *graph;
    nn_module *net;
    const ad_var *x;
    int64_t n, batch;
    size_t row;     /* bytes of a row of the result */
    ad_shape shape; /* of the result */
    ad_dtype dtype;
    char *values;   /* the result: a lent buffer, because each batch has a scope of its own */
    size_t bytes;   /* of values */
} prediction;

/* Rows from .. from+n-1 of x, in x's own memory. */
static ad_var *rows_of(const ad_var *x, int64_t from, int64_t n) {
    ad_shape s = ad_shape_of(x);
    size_t row = s.dim[0] > 0 ? ad_bytes_of(x) / (size_t)s.dim[0] : 0;
    s.dim[0] = n;
    return ad_input(ad_graph_of(x), ad_dtype_of(x), (char *)ad_data(x) + (size_t)from * row, s);
}

nn_dataset nn__first_rows(nn_dataset d, int64_t n) {
    int64_t all = ad_shape_of(d.x).dim[0];
    return n < all ? (nn_dataset){ rows_of(d.x, 0, n), rows_of(d.y, 0, n) } : d;
}

/* The first batch shows the shape of a row, and memory for all rows is taken. Later batches must have rows alike. */
static int reserve(prediction *p, const ad_var *y, int64_t rows) {
    ad_shape s = ad_shape_of(y);
    if (s.ndim < 1 || s.dim[0] != rows)
        return ad_fail(p->graph, AD_ESHAPE, "predict: the network returns %s for %lld rows, not a row for each",
                       ad_shape_str(s).text, (long long)rows);
    s.dim[0] = p->n;
    if (p->values != NULL) {
        if (ad_shape_equal(s, p->shape) && ad_dtype_of(y) == p->dtype) return AD_OK;
        return ad_fail(p->graph, AD_ESHAPE, "predict: the network returns %s %s for %lld rows, and other rows for a "
                       "whole batch", ad_dtype_name(ad_dtype_of(y)), ad_shape_str(ad_shape_of(y)).text,
                       (long long)rows);
    }
    p->shape = s;
    p->dtype = ad_dtype_of(y);
    p->row = rows > 0 ? ad_bytes_of(y) / (size_t)rows : 0;
    p->bytes = p->row * (size_t)p->n + 1;
    p->values = ad_buffer_take(p->graph, p->bytes);
    return p->values ? AD_OK : AD_ENOMEM;
}

static void predict_all(prediction *p) {
    int64_t from = 0;
    do {
        int64_t n = p->n - from < p->batch ? p->n - from : p->batch;
        ad_mark m = ad_begin(p->graph);
        ad_var *y = nn_apply(p->net, rows_of(p->x, from, n));
        if (ad_ok(p->graph) && reserve(p, y, n) == AD_OK && n > 0)
            memcpy(p->values + (size_t)from * p->row, ad_data(y), (size_t)n * p->row);
        ad_end(p->graph, m);
        from += n;
    } while (from < p->n && ad_ok(p->graph));
}

static int check(ad_graph *g, nn_module *net, const ad_var *x, int64_t batch) {
    if (net == NULL || ad_is_nil(x)) return ad_fail(g, AD_EVALUE, "predict: the network is NULL or x is nil");
    if (nn__check_open(&net->object, g, "predict", "network")) return AD_EGRAPH;
    if (ad_graph_of(x) != g) return ad_fail(g, AD_EGRAPH, "predict: the network and x belong to two graphs");
    if (ad_shape_of(x).ndim < 1) return ad_fail(g, AD_ESHAPE, "predict: x is a scalar; it needs one row per sample");
    if (batch < 1) return ad_fail(g, AD_EVALUE, "predict: batch %lld: it must be at least 1", (long long)batch);
    return AD_OK;
}

ad_var *nn_predict(nn_module *net, ad_var *x, int64_t batch) {
    ad_graph *g = net ? nn_graph_of(net) : ad_graph_of(x);
    if (!ad_ok(g) || check(g, net, x, batch)) return ad_nil(g);
    bool was_enabled = ad_enable_grad(g, false);
    nn__begin_evaluation(net);
    prediction p = { .graph = g, .net = net, .x = x, .n = ad_shape_of(x).dim[0], .batch = batch };
    predict_all(&p);
    nn__end_evaluation(net);
    ad_enable_grad(g, was_enabled);
    ad_var *y = ad_ok(g) ? ad_tensor(g, p.dtype, p.values, p.shape) : ad_nil(g);
    ad_buffer_give(g, p.values, p.bytes);
    return y;
}

double nn__metrics_of(nn_module *net, nn_loss_fn *loss, int n, nn_metric_fn *const metrics[], nn_dataset d,
                      int64_t batch, double values[]) {
    double mean = NAN;
    for (int i = 0; i < n; i++) values[i] = NAN;
    ad_graph *g = net ? nn_graph_of(net) : ad_graph_of(d.x);
    if (!ad_ok(g)) return mean;
    ad_mark m = ad_begin(g);
    bool was = ad_enable_grad(g, false);
    ad_var *y = nn_predict(net, d.x, batch);
    if (loss != NULL && ad_ok(g)) mean = ad_item(loss(y, d.y));
    for (int i = 0; i < n; i++)
        if (metrics[i] != NULL && ad_ok(g)) values[i] = metrics[i](y, d.y);
    ad_enable_grad(g, was);
    ad_end(g, m);
    return mean;
}

nn_evaluation nn_evaluate(nn_module *net, nn_loss_fn *loss, nn_metric_fn *metric, nn_dataset d, int64_t batch) {
    nn_evaluation e;
    e.loss = nn__metrics_of(net, loss, 1, &metric, d, batch, &e.metric);
    return e;
}
