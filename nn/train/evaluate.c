/* evaluate.c: predictions of a network for many rows, a batch at a time, with their loss and metrics. */
#include "nn/train/evaluate.h"

#include <math.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

typedef struct {
    ad_graph *graph;
    nn_module *net;
    ad_var *x;
    int64_t n, batch;
    int64_t from, to; /* the rows to predict; of several ranks, each has whole batches */
    size_t row;     /* bytes of a row of the result */
    ad_shape shape; /* of the result */
    ad_dtype dtype;
    char *values;   /* the result: a lent buffer, because each batch has a scope of its own */
    size_t bytes;   /* of values */
} prediction;

static ad_var *rows_of_one(const ad_var *x, int64_t from, int64_t n) {
    ad_shape s = ad_shape_of(x);
    size_t row = s.dim[0] > 0 ? ad_bytes_of(x) / (size_t)s.dim[0] : 0;
    s.dim[0] = n;
    return ad_input(ad_graph_of(x), ad_dtype_of(x), (char *)ad_data(x) + (size_t)from * row, s);
}

ad_var *nn__rows_of(ad_var *x, int64_t from, int64_t n) {
    ad_var *each[NN_MOST_INPUTS];
    for (int i = 0; i < nn_input_count(x); i++) each[i] = rows_of_one(nn_input_at(x, i), from, n);
    return nn_inputs(nn_input_count(x), each);
}

nn_dataset nn__first_rows(nn_dataset d, int64_t n) {
    int64_t all = ad_shape_of(d.x).dim[0];
    return n < all ? (nn_dataset){ nn__rows_of(d.x, 0, n), nn__rows_of(d.y, 0, n) } : d;
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

static void predict_rows(prediction *p) {
    int64_t from = p->from;
    do {
        int64_t n = p->n - from < p->batch ? p->n - from : p->batch;
        ad_mark m = ad_begin(p->graph);
        ad_var *y = nn_apply(p->net, nn__rows_of(p->x, from, n));
        if (ad_ok(p->graph) && reserve(p, y, n) == AD_OK && n > 0)
            memcpy(p->values + (size_t)from * p->row, ad_data(y), (size_t)n * p->row);
        ad_end(p->graph, m);
        from += n;
    } while (from < p->to && ad_ok(p->graph));
}

/* The first row of rank r: batches are the same for any number of ranks, and so are the bits of their rows. */
static int64_t first_of(const prediction *p, int r, int size) {
    int64_t batches = p->n / p->batch + (p->n % p->batch != 0), row = batches * r / size * p->batch;
    return row < p->n ? row : p->n;
}

/* A rank without rows predicts the first ones, to know the shape of a row. */
static void predict_over_ranks(prediction *p, const nn_ranks *r) {
    size_t *offsets = ad_scope_alloc(p->graph, ((size_t)r->size + 1) * sizeof *offsets);
    p->from = first_of(p, r->rank, r->size), p->to = first_of(p, r->rank + 1, r->size);
    if (p->from == p->to) p->from = 0, p->to = 0;
    predict_rows(p);
    for (int i = 0; i <= r->size && offsets != NULL; i++) offsets[i] = (size_t)first_of(p, i, r->size) * p->row;
    r->gather(p->graph, offsets, p->values, r->data);
}

static int check(ad_graph *g, nn_module *net, const ad_var *x, int64_t batch) {
    if (net == NULL || ad_is_nil(x)) return ad_fail(g, AD_EVALUE, "predict: the network is NULL or x is nil");
    if (nn__check_open(&net->object, g, "predict", "network")) return AD_EGRAPH;
    if (ad_graph_of(x) != g) return ad_fail(g, AD_EGRAPH, "predict: the network and x belong to two graphs");
    if (ad_shape_of(x).ndim < 1) return ad_fail(g, AD_ESHAPE, "predict: x is a scalar; it needs one row per sample");
    if (batch < 1) return ad_fail(g, AD_EVALUE, "predict: batch %lld: it must be at least 1", (long long)batch);
    return AD_OK;
}

static ad_var *predict(nn_module *net, ad_var *x, int64_t batch, const nn_ranks *ranks) {
    ad_graph *g = net ? nn_graph_of(net) : ad_graph_of(x);
    if (!ad_ok(g) || check(g, net, x, batch)) return ad_nil(g);
    bool was_enabled = ad_enable_grad(g, false);
    nn__begin_evaluation(net);
    prediction p = { .graph = g, .net = net, .x = x, .n = ad_shape_of(x).dim[0], .batch = batch };
    p.to = p.n;
    ad_mark m = ad_begin(g);
    if (ranks != NULL) predict_over_ranks(&p, ranks);
    else predict_rows(&p);
    ad_end(g, m);
    nn__end_evaluation(net);
    ad_enable_grad(g, was_enabled);
    ad_var *y = ad_ok(g) ? ad_tensor(g, p.dtype, p.values, p.shape) : ad_nil(g);
    ad_buffer_give(g, p.values, p.bytes);
    return y;
}

ad_var *nn_predict(nn_module *net, ad_var *x, int64_t batch) { return predict(net, x, batch, NULL); }

/* ---- losses and metrics ------------------------------------------------------------------------------------- */

bool nn__has_metric(const nn__any_metric *m) { return m->of != NULL || m->with != NULL; }

static double metric_of(const nn__any_metric *m, const ad_var *y, const ad_var *target) {
    return m->with ? m->with(y, target, m->data) : m->of(y, target);
}

/* losses [n, ..] -> [n] */
static ad_var *means_of_rows(ad_var *losses, const ad_var *w) {
    ad_graph *g = ad_graph_of(losses);
    ad_shape s = ad_shape_of(losses);
    if (s.ndim >= 1 && s.dim[0] == ad_numel(w))
        return s.ndim == 1 ? losses : ad_mean_axis(ad_reshape(losses, AD_SHAPE(s.dim[0], -1)), 1, false);
    if (ad_ok(g))
        ad_fail(g, AD_ESHAPE,
                "fit: weights of rows need the loss of each of the %lld rows, and the loss function "
                "returned %s; let it reduce by AD_NONE",
                (long long)ad_numel(w), ad_shape_str(s).text);
    return ad_nil(g);
}

ad_var *nn__loss_of(const nn__loss *l, ad_var *y, ad_var *target, ad_var *w) {
    ad_var *loss = l->with ? l->with(y, target, l->data) : l->of(y, target);
    if (loss == NULL || w == NULL) return loss;
    ad_var *each = means_of_rows(loss, w), *weights = ad_cast(w, ad_dtype_of(each));
    return ad_div(ad_sum(ad_mul(each, weights)), ad_sum(weights));
}

ad_var *nn_cross_entropy_data(ad_var *logits, ad_var *target, void *opts) {
    return ad_cross_entropy_with(logits, target, opts ? *(const ad_ce_opts *)opts : (ad_ce_opts){ 0 });
}

double nn__metrics_of(nn_module *net, const nn__loss *loss, int n, const nn__any_metric metrics[], nn_dataset d,
                      int64_t batch, const nn_ranks *ranks, double values[]) {
    double mean = NAN;
    for (int i = 0; i < n; i++) values[i] = NAN;
    ad_graph *g = net ? nn_graph_of(net) : ad_graph_of(d.x);
    if (!ad_ok(g)) return mean;
    ad_mark m = ad_begin(g);
    bool was = ad_enable_grad(g, false);
    ad_var *y = predict(net, d.x, batch, ranks);
    if ((loss->of != NULL || loss->with != NULL) && ad_ok(g)) {
        ad_var *value = nn__loss_of(loss, y, d.y, NULL);
        mean = ad_item(loss->of_rows ? ad_mean(value) : value);
    }
    for (int i = 0; i < n; i++)
        if (nn__has_metric(&metrics[i]) && ad_ok(g)) values[i] = metric_of(&metrics[i], y, d.y);
    ad_enable_grad(g, was);
    ad_end(g, m);
    return mean;
}

nn_evaluation nn_evaluate_with(nn_module *net, nn_dataset d, nn_evaluate_opts o) {
    nn_evaluation e = { NAN, NAN };
    ad_graph *g = net ? nn_graph_of(net) : ad_graph_of(d.x);
    if ((o.loss != NULL && o.loss_with != NULL) || (o.metric != NULL && o.metric_with != NULL)) {
        ad_fail(g, AD_EVALUE, "evaluate: two losses or two metrics are given; one of each");
        return e;
    }
    const nn__loss loss = { .of = o.loss, .with = o.loss_with, .data = o.loss_data };
    const nn__any_metric metric = { o.metric, o.metric_with, o.metric_data };
    e.loss = nn__metrics_of(net, &loss, 1, &metric, d, ad_option_int(o.batch, 256), NULL, &e.metric);
    return e;
}

nn_evaluation nn_evaluate(nn_module *net, nn_loss_fn *loss, nn_metric_fn *metric, nn_dataset d, int64_t batch) {
    nn_evaluation e;
    const nn__loss l = { .of = loss };
    e.loss = nn__metrics_of(net, &l, 1, &(nn__any_metric){ .of = metric }, d, batch, NULL, &e.metric);
    return e;
}
