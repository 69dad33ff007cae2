/* unique.c: run_starts, where runs of equal elements begin, and unique, which finds the distinct elements by it. */
#include "ops/compile.h"
#include "ops/ops.h"
#include "ops/sort/sort.h"

#include <math.h>

typedef struct {
    int64_t n;
} runs_attrs;
static const ad_attr runs_list[] = { { "n", AD_ATTR_INT64, offsetof(runs_attrs, n) }, { 0 } };

/* ---- run_starts: the number of runs is an attribute, since the shape of a result does not change ------------- */

static bool starts_run(const ad_var *x, int64_t i) { return i == 0 || !(ad__get(x, i) == ad__get(x, i - 1)); }

static int64_t count_runs(const ad_var *x) {
    int64_t n = 0;
    for (int64_t i = 0; i < x->layout->numel; i++) n += starts_run(x, i);
    return n;
}

static int run_starts_shape(ad_call *c) {
    int64_t n = ((const runs_attrs *)c->attrs)->n, most = c->in[0]->layout->numel;
    if (c->shape.ndim != 1) return ad_call_fail(c, AD_ESHAPE, "x must have one axis");
    if (ad__order_axis(c, 0) < 0) return AD_ESHAPE;
    if (n < 0 || n > most)
        return ad_call_fail(c, AD_EVALUE, "%lld runs of %lld elements", (long long)n, (long long)most);
    c->shape.dim[0] = n;
    return AD_OK;
}

static int run_starts_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = y->layout->numel, found = count_runs(x);
    if (found != n)
        return ad_op_fail(op, AD_EVALUE, "there are %lld runs of equal elements, not %lld; build the graph again",
                          (long long)found, (long long)n);
    for (int64_t i = 0, k = 0; i < x->layout->numel; i++)
        if (starts_run(x, i)) ad__put(y, k++, (double)i);
    return AD_OK;
}

/* NaNs for another number of runs. */
AD_COLD static int run_starts_emit(ad_emit *e, const ad_op *op) {
    const ad__layout *l = ad__out(op)->layout;
    if (l->numel == 0) return AD_EABSENT;
    ad_emit_code c = { .sizes = "m n", .n_sizes = 2, .size = { op->in[0]->layout->numel, l->numel }, .names = "x",
                       .n = 1, .in = { ad_emit_operand(e, op, 0) } };
    c.text = "{\nlong found = 0;\nfor (long i = 0; i < m; i++)\nif (i == 0 || !(x[i] == x[i - 1])) {\n"
             "if (found < n) y[found] = (T)i;\nfound++;\n}\n"
             "for (long i = 0; found != n && i < n; i++) y[i] = (T)(0.0 / 0.0);\n}";
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

static void run_starts_samples(ad_sampler *s) {
    const double x[] = { -INFINITY, -1, -1, 0, -0.0, 2, 2, 2, 3, INFINITY, INFINITY, NAN, NAN }, *values[] = { x };
    const int64_t cases[][2] = { { 0, 0 }, { 1, 1 }, { 3, 2 }, { 5, 3 }, { 9, 5 }, { 13, 8 } };
    for (int i = 0; i < AD__COUNT(cases); i++)
        ad_sample_values(s, &(runs_attrs){ cases[i][1] }, 1, &AD_SHAPE(cases[i][0]), values, 0);
}

AD_OPTYPE(run_starts, .doc = "the indices at which the n runs of equal elements begin", .arity = 1,
          .formula = "y[k] = i, the k-th with i = 0 or x[i] != x[i-1]",
          .special = "each NaN is a run; another number of runs than n is an error, also in ad_eval",
          .flags = AD_OP_CONSTANT, .attr_size = sizeof(runs_attrs), .attrs = runs_list, .shape = run_starts_shape,
          .evaluate = { run_starts_evaluate, run_starts_evaluate }, .emit = run_starts_emit);
ad_var *ad_run_starts(ad_var *x, int64_t n) { return ad__apply1(&ad_op_run_starts, x, &(runs_attrs){ n }); }

/* ---- unique -------------------------------------------------------------------------------------------------- */

/* The sizes of the runs of x [m] that begin at starts [n]. */
static ad_var *run_sizes(ad_var *x, ad_var *starts) {
    ad_var *end = ad_full(ad__owner(x), x->layout->dtype, (double)x->layout->numel, AD_SHAPE(1));
    ad_var *bounds = ad_concat(2, (ad_var *[]){ starts, end }, 0);
    return ad_sub(ad_narrow(bounds, 0, 1, ad_numel(starts)), starts);
}

int ad_unique(ad_var *x, ad_var *parts[2]) {
    for (int i = 0; i < 2 && parts != NULL; i++) parts[i] = ad_nil(ad_graph_of(x));
    if (ad__absent(x)) return ad_refuse_nil(x, "unique");
    ad_var *flat = ad_reshape(x, AD_SHAPE(-1));
    if (ad__absent(flat)) return ad_error_code(ad__owner(x));
    const ad_call c = AD__CALL_AS("unique", flat);
    if (parts == NULL) return ad_call_fail(&c, AD_EVALUE, "parts must not be NULL");
    if (ad__order_axis(&c, 0) < 0) return AD_ESHAPE;
    ad_var *sorted = ad_detach(ad_sort(flat, 0, false));
    if (ad__absent(sorted)) return ad_error_code(c.graph);
    ad_var *starts = ad_run_starts(sorted, count_runs(sorted));
    parts[0] = ad_take_axis(sorted, 0, starts);
    parts[1] = run_sizes(sorted, starts);
    return ad__parts_code(c.graph, parts);
}
