/* running.c: the running log of the sum of exponentials along an axis, and running maxima and minima. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/pattern.h"
#include "ops/base/samples.h"
#include "ops/ops.h"

#include <math.h>

/* ---- helpers: x as [outer, n, inner] around the axis ---------------------------------------------------------- */

static ad__around around(const ad_op *op) {
    ad__around r = ad__around_axis(op->in[0]->layout->shape, ((const ad__axis_attrs *)ad__attrs_of(op))->axis);
    if (op->in[0]->layout->numel == 0) r.outer = 0; /* there may be very many empty rows */
    return r;
}

/* The number of the first element of row `row` of the outer inner rows. */
static int64_t row_start(const ad__around *r, int64_t row) { return row / r->inner * r->n * r->inner + row % r->inner; }

static int running_shape(ad_call *c) {
    int axis = ad_call_axis(c, ((const ad__axis_attrs *)c->attrs)->axis, c->shape.ndim);
    return axis < 0 ? axis : AD_OK;
}

static void running_samples(ad_sampler *s, const void *attrs[2]) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "1 5 2,3 2,3,4 0,3 3,0");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int k = 0; k < 2; k++) ad_sample(s, attrs[shapes[i].ndim > 1 && k], 1, &shapes[i], NULL, NULL);
}

/* ---- logcumsumexp: y[i] = log(exp(y[i-1]) + exp(x[i])) -------------------------------------------------------- */

static double log_of_sum(double a, double b) {
    if (a != a || b != b) return NAN;
    double high = a > b ? a : b, low = a > b ? b : a;
    return low == -INFINITY || high == INFINITY ? high : high + log1p(exp(low - high));
}

/* exp(p - q), where p <= q is a term of the sum of which q is the log. */
static double part_of(double p, double q) { return p == -INFINITY ? 0 : exp(p - q); }

static int logcumsumexp_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__around r = around(op);
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        double sum = -INFINITY;
        for (int64_t i = 0, at = row_start(&r, row); i < r.n; i++, at += r.inner) {
            sum = log_of_sum(sum, ad__get(x, at));
            ad__put(y, at, sum);
        }
    }
    return AD_OK;
}

/* rest is the slope of y[i], through y[i] itself and all later elements. */
static void logcumsumexp_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    ad__around r = around(op);
    void *gx = ad_grad_into(op, 0);
    for (int64_t row = 0; gx != NULL && row < r.outer * r.inner; row++) {
        double rest = 0;
        int64_t at = row_start(&r, row) + (r.n - 1) * r.inner;
        for (int64_t i = r.n - 1; i >= 0; i--, at -= r.inner) {
            rest = ad_grad_at(y, at) + (i < r.n - 1 ? part_of(ad__get(y, at), ad__get(y, at + r.inner)) * rest : 0);
            double d = rest * part_of(ad__get(x, at), ad__get(y, at));
            ad_write_element(t, gx, at, ad_read_element(t, gx, at) + d);
        }
    }
}

/* part_of in Vars. */
static ad_var *parts_of(ad_var *p, ad_var *q) {
    ad_var *none = ad_eq(p, ad__constant(p, -INFINITY));
    return ad__zero_where(none, ad_exp(ad__zero_where(none, ad_sub(p, q))));
}

static void logcumsumexp_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    int axis = ((const ad__axis_attrs *)ad__attrs_of(op))->axis;
    int64_t n = around(op).n;
    dx[0] = g;
    if (g->layout->numel == 0) return;
    ad_var *x = ad__in_dtype(op->in[0], AD_F64), *y = ad__in_dtype(ad__out(op), AD_F64), *g64 = ad__in_dtype(g, AD_F64);
    ad_var *kept = parts_of(ad_narrow(y, axis, 0, n - 1), ad_narrow(y, axis, 1, n - 1));
    ad_shape last = g->layout->shape;
    last.dim[axis < 0 ? axis + last.ndim : axis] = 1;
    ad_var *a = ad_concat(2, (ad_var *[]){ kept, ad_zeros(ad__owner(g), AD_F64, last) }, axis);
    ad_var *rest = ad_add(g64, ad_mul(a, ad_linear_scan(a, g64, axis, true, 0)));
    dx[0] = ad__in_dtype(ad_mul(rest, parts_of(x, y)), g->layout->dtype);
}

AD_COLD static int logcumsumexp_emit(ad_emit *e, const ad_op *op) {
    const ad__layout *l = ad__out(op)->layout;
    if (l->numel == 0) return AD_EABSENT;
    ad_emit_code c = ad__code_of_rows(e, op, ((const ad__axis_attrs *)ad__attrs_of(op))->axis, false);
    c.text = AD__ROWS("double sum = -INFINITY;\nfor (long i = 0; i < n; i++) {\nconst double v = x[at + i * inner];\n"
                      "const double high = v > sum ? v : sum, low = v > sum ? sum : v;\n"
                      "if (v != v || sum != sum) sum = 0.0 / 0.0;\n"
                      "else sum = low == -INFINITY || high == INFINITY ? high : high + log1p(exp(low - high));\n"
                      "y[at + i * inner] = (T)sum;\n}\n");
    c.slope[0] = AD__ROWS("double rest = 0;\nfor (long i = n - 1; i >= 0; i--) {\nconst long k = at + i * inner;\n"
                          "if (i < n - 1) rest *= y[k] == -INFINITY ? 0 : exp(y[k] - y[k + inner]);\n"
                          "rest += g[k];\nd[k] += (T)(x[k] == -INFINITY ? 0 : rest * exp(x[k] - y[k]));\n}\n");
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

static void logcumsumexp_samples(ad_sampler *s) {
    running_samples(s, (const void *[]){ &(ad__axis_attrs){ 0, false }, &(ad__axis_attrs){ -1, false } });
    const double wide[] = { -INFINITY, -INFINITY, -800, 1, -40, 700, 710, 3 }, *values[] = { wide };
    for (int axis = 0; axis < 2; axis++)
        ad_sample_values(s, &(ad__axis_attrs){ axis, false }, 1, &AD_SHAPE(2, 4), values,
                         AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
}

AD_OPTYPE(logcumsumexp, .doc = "the running log of the sum of exponentials along an axis, without overflow",
          .formula = "y[i] = log(exp(x[0]) + .. + exp(x[i]))",
          .gradient = "dx[i] = sum of g[j] exp(x[i] - y[j]) over j >= i", .special = "an x of -inf has the slope 0",
          .differs = "PyTorch's slopes are NaN where a running sum is 0, and lose digits where it is huge", .arity = 1,
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list, .shape = running_shape,
          .evaluate = { logcumsumexp_evaluate, logcumsumexp_evaluate },
          .backward = { logcumsumexp_backward, logcumsumexp_backward }, .vjp = logcumsumexp_vjp,
          .pattern = ad__pattern_running, .emit = logcumsumexp_emit);
ad_var *ad_logcumsumexp(ad_var *x, int axis) {
    return ad__apply1(&ad_op_logcumsumexp, x, &(ad__axis_attrs){ axis, false });
}

/* ---- running_place: where the running maximum or minimum is --------------------------------------------------- */

typedef struct {
    ad__axis_attrs axis;
    bool smallest;
} place_attrs;
static const ad_attr place_list[] = { { "axis", AD_ATTR_INT, 0 },
                                      { "smallest", AD_ATTR_BOOL, offsetof(place_attrs, smallest) },
                                      { 0 } };

static int running_place_shape(ad_call *c) {
    int axis = ad_call_axis(c, ((const place_attrs *)c->attrs)->axis.axis, c->shape.ndim);
    if (axis < 0) return axis;
    if (c->dtype == AD_F32 && c->shape.dim[axis] > (int64_t)1 << 24)
        return ad_call_fail(c, AD_ESHAPE, "f32 holds no index above 2^24; cast x to AD_F64");
    return AD_OK;
}

static int running_place_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    bool smallest = ((const place_attrs *)ad__attrs_of(op))->smallest;
    ad__around r = around(op);
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        double best = smallest ? INFINITY : -INFINITY;
        int64_t place = 0;
        for (int64_t i = 0, at = row_start(&r, row); i < r.n; i++, at += r.inner) {
            double v = ad__get(x, at);
            if (v != v || (smallest ? v <= best : v >= best)) best = v, place = i;
            ad__put(y, at, (double)place);
        }
    }
    return AD_OK;
}

AD_COLD static int running_place_emit(ad_emit *e, const ad_op *op) {
    const place_attrs *a = ad__attrs_of(op);
    const ad__layout *l = ad__out(op)->layout;
    if (l->numel == 0) return AD_EABSENT;
    ad_emit_code c = ad__code_of_rows(e, op, a->axis.axis, a->smallest);
    c.text = AD__ROWS("T best = flag ? INFINITY : -INFINITY;\nlong place = 0;\nfor (long i = 0; i < n; i++) {\n"
                      "const T v = x[at + i * inner];\n"
                      "if (v != v || (flag ? v <= best : v >= best)) best = v, place = i;\n"
                      "y[at + i * inner] = (T)place;\n}\n");
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

static void running_place_samples(ad_sampler *s) {
    const place_attrs both[] = { { { 0, false }, false }, { { -1, false }, true } };
    running_samples(s, (const void *[]){ &both[0], &both[1] });
    const double edges[] = { 1, 3, 3, -1, NAN, INFINITY, NAN, 0, -INFINITY, -1, -1, 5 }, *values[] = { edges };
    for (int k = 0; k < 2; k++) ad_sample_values(s, &both[k], 1, &AD_SHAPE(12), values, 0);
    for (int k = 0; k < 2; k++) ad_sample_values(s, &both[k], 1, &AD_SHAPE(4, 3), values, 0);
}

AD_OPTYPE(running_place,
          .doc = "the index of the largest or smallest element so far along an axis, the last of equal ones",
          .formula = "y[i] = argmax x[0] .. x[i]", .special = "after a NaN it is the last NaN", .arity = 1,
          .flags = AD_OP_CONSTANT, .attr_size = sizeof(place_attrs), .attrs = place_list, .shape = running_place_shape,
          .evaluate = { running_place_evaluate, running_place_evaluate }, .emit = running_place_emit);
ad_var *ad_running_place(ad_var *x, int axis, bool smallest) {
    return ad__apply1(&ad_op_running_place, x, &(place_attrs){ { axis, false }, smallest });
}

static int running_extremum(const char *name, ad_var *x, int axis, bool smallest, ad_var *parts[2]) {
    for (int i = 0; i < 2 && parts != NULL; i++) parts[i] = ad_nil(ad_graph_of(x));
    if (ad__absent(x)) return ad_refuse_nil(x, name);
    const ad_call c = AD__CALL_AS(name, x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return at;
    if (parts == NULL) return ad_call_fail(&c, AD_EVALUE, "parts must not be NULL");
    parts[1] = ad_running_place(x, at, smallest);
    parts[0] = ad_gather(x, at, parts[1]);
    for (int i = 0; i < 2 && !ad_ok(c.graph); i++) parts[i] = ad_nil(c.graph);
    return ad_error_code(c.graph);
}

int ad_cummax(ad_var *x, int axis, ad_var *parts[2]) { return running_extremum("cummax", x, axis, false, parts); }
int ad_cummin(ad_var *x, int axis, ad_var *parts[2]) { return running_extremum("cummin", x, axis, true, parts); }
