/* scale.c: shift and scale of columns, to a standard deviation of 1 or to the range 0 .. 1. */
#include <float.h>
#include <math.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/data.h"
#include "ops/ops.h"

/* The values of a column that are not NaN, in f64 for both dtypes. Differences are taken from the lowest value, so that
   the mean of equal values is exact, and divided by the range, so that squares do not overflow. */
typedef struct {
    double n, low, high;
    double unit;         /* the range; 1 where it is 0 */
    double sum, squares; /* of (value - low) / unit, and of the deviations of that from its mean */
} column;

static void add_to_range(column *c, double v) {
    c->n++;
    c->low = v < c->low ? v : c->low;
    c->high = v > c->high ? v : c->high;
}
static void add_to_sum(column *c, double v) { c->sum += (v - c->low) / c->unit; }
static void add_to_squares(column *c, double v) {
    double d = (v - c->low) / c->unit - c->sum / c->n;
    c->squares += d * d;
}

/* Calls add for each value of x, which is seen as [n,columns], with its column. */
static void for_each_value(const ad_var *x, int64_t columns, column *c, void (*add)(column *c, double v)) {
    ad_dtype t = ad_dtype_of(x);
    const void *data = ad_data(x);
    for (int64_t i = 0, all = ad_numel(x), j = 0; i < all; i++, j = j + 1 < columns ? j + 1 : 0) {
        double v = ad_read_element(t, data, i);
        if (!isnan(v)) add(&c[j], v);
    }
}

static void measure(const ad_var *x, int64_t columns, column *c) {
    for (int64_t j = 0; j < columns; j++) c[j] = (column){ .low = INFINITY, .high = -INFINITY };
    for_each_value(x, columns, c, add_to_range);
    for (int64_t j = 0; j < columns; j++) c[j].unit = c[j].high > c[j].low ? c[j].high - c[j].low : 1;
    for_each_value(x, columns, c, add_to_sum);
    for_each_value(x, columns, c, add_to_squares);
}

static double mean_of(const column *c) { return c->low + c->sum / c->n * c->unit; }
static double deviation_of(const column *c) { return sqrt(c->squares / c->n) * c->unit; }

/* Whether the deviation is no more than the rounding error of n equal values: scikit-learn's bound. */
static bool is_constant(const column *c) {
    return !(c->high > c->low) || deviation_of(c) <= c->n * fabs(mean_of(c)) * DBL_EPSILON;
}

/* 1 / width; 1 for a constant column, and where 1 / width is not finite. */
static double scale_by(ad_dtype t, double width, bool constant) {
    double most = t == AD_F32 ? (double)FLT_MAX : DBL_MAX;
    return constant || !(1 / width <= most) ? 1 : 1 / width;
}

static int check(const ad_var *x, const char *caller) {
    if (ad_is_nil(x)) return ad_refuse_nil(x, caller);
    ad_graph *g = ad_graph_of(x);
    ad_shape s = ad_shape_of(x);
    if (!ad_ok(g)) return ad_error_code(g);
    if (s.ndim < 1 || s.dim[0] < 1)
        return ad_fail(g, AD_ESHAPE, "%s: x %s: it must have at least one row", caller, ad_shape_str(s).text);
    for (int64_t i = 0; i < ad_numel(x); i++)
        if (isinf(ad_at(x, i)))
            return ad_fail(g, AD_EVALUE, "%s: element %lld of x is %g", caller, (long long)i, ad_at(x, i));
    return AD_OK;
}

/* The shift and the scale of a column. */
typedef struct {
    double shift, scale;
} line;

static line standard(ad_dtype t, const column *c) {
    if (c->n == 0) return (line){ NAN, NAN };
    return (line){ mean_of(c), scale_by(t, deviation_of(c), is_constant(c)) };
}

static line minmax(ad_dtype t, const column *c) {
    if (c->n == 0) return (line){ NAN, NAN };
    double size = fmax(fabs(c->low), fabs(c->high)), width = c->high - c->low;
    return (line){ c->low, scale_by(t, width, width <= 10 * DBL_EPSILON * size) };
}

static void set_lines(nn_scaler to, int64_t columns, const column *c, line (*of)(ad_dtype t, const column *c),
                      const char *caller) {
    ad_dtype t = ad_dtype_of(to.shift);
    void *shift = ad_data_mut(to.shift), *scale = ad_data_mut(to.scale);
    for (int64_t j = 0; j < columns; j++) {
        if (isinf(c[j].unit))
            ad_fail(ad_graph_of(to.shift), AD_EVALUE, "%s: column %lld reaches from %g to %g, which is too far",
                    caller, (long long)j, c[j].low, c[j].high);
        line l = of(t, &c[j]);
        ad_write_element(t, shift, j, l.shift);
        ad_write_element(t, scale, j, l.scale);
    }
}

static nn_scaler fit(const ad_var *x, line (*of)(ad_dtype t, const column *c), const char *caller) {
    ad_graph *g = ad_graph_of(x);
    nn_scaler none = { ad_nil(g), ad_nil(g) };
    if (check(x, caller) != AD_OK) return none;
    ad_shape s = ad_shape_of(x);
    int64_t columns = ad_numel(x) / s.dim[0];
    s.dim[0] = 1;
    ad_dtype t = ad_dtype_of(x);
    nn_scaler to = { ad_zeros(g, t, s), ad_zeros(g, t, s) };
    ad_mark m = ad_begin(g);
    column *c = ad_scope_array(g, (size_t)columns * sizeof *c + 1);
    if (c != NULL && ad_ok(g)) measure(x, columns, c), set_lines(to, columns, c, of, caller);
    ad_end(g, m);
    return ad_ok(g) ? to : none;
}

nn_scaler nn_fit_standard(ad_var *x) { return fit(x, standard, "fit_standard"); }
nn_scaler nn_fit_minmax(ad_var *x) { return fit(x, minmax, "fit_minmax"); }

/* x has rows of the shape that the scaler was fitted on: broadcasting would hide a mistake. */
static bool fits(nn_scaler s, const ad_var *x, const char *caller) {
    if (ad_is_nil(x)) {
        ad_graph *g = ad_graph_of(x) ? ad_graph_of(x) : ad_graph_of(s.shift);
        if (g == NULL) g = ad_graph_of(s.scale);
        if (ad_ok(g)) ad_fail(g, AD_EVALUE, "%s: x is nil", caller);
        return false;
    }
    if (ad_is_nil(s.shift) || ad_is_nil(s.scale)) {
        if (ad_ok(ad_graph_of(x))) ad_fail(ad_graph_of(x), AD_EVALUE, "%s: the scaler is nil", caller);
        return false;
    }
    ad_shape rows = ad_shape_of(x), fitted = ad_shape_of(s.shift);
    if (rows.ndim > 0 && fitted.ndim > 0) fitted.dim[0] = rows.dim[0];
    if (rows.ndim > 0 && ad_shape_equal(rows, fitted)) return ad_ok(ad_graph_of(x));
    ad_fail(ad_graph_of(x), AD_ESHAPE, "%s: x %s: the scaler was fitted on rows as those of %s", caller,
            ad_shape_str(rows).text, ad_shape_str(ad_shape_of(s.shift)).text);
    return false;
}

ad_var *nn_scale(nn_scaler s, ad_var *x) {
    return fits(s, x, "scale") ? ad_mul(ad_sub(x, s.shift), s.scale) : ad_nil(ad_graph_of(x));
}

ad_var *nn_unscale(nn_scaler s, ad_var *x) {
    return fits(s, x, "unscale") ? ad_add(ad_div(x, s.scale), s.shift) : ad_nil(ad_graph_of(x));
}
