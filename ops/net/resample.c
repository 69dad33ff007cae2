/* resample.c: images of another size (interpolate), and images sampled at the points of a grid (grid_sample,
   affine_grid): by gathers and weights, so that gradients of any order follow. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <math.h>

static bool is_exact(const ad_var *x, int64_t indices) {
    return indices <= (x->layout->dtype == AD_F32 ? (int64_t)1 << 24 : INT64_MAX);
}

/* ---- interpolate: axis by axis ----------------------------------------------------------------------------------- */

enum { TAPS = 4 };

/* The elements of an axis that an element of the result is made of, and their weights. */
typedef struct {
    int n;
    double weight[TAPS];
    int64_t at[TAPS];
} taps;

/* Where element i of the result lies along the axis. */
static double source(int64_t i, int64_t in, int64_t out, bool align_corners) {
    if (align_corners) return out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0;
    return ((double)i + 0.5) * (double)in / (double)out - 0.5;
}

static taps linear_taps(double at, int64_t in) {
    if (at < 0) at = 0;
    int64_t low = ad__lesser((int64_t)at, in - 1);
    return (taps){ 2, { 1 - (at - (double)low), at - (double)low }, { low, ad__lesser(low + 1, in - 1) } };
}

/* Keys's kernel at the distance d. */
static double keys(double d) {
    const double a = -0.75;
    d = fabs(d);
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

static taps cubic_taps(double at, int64_t in) {
    double low = floor(at);
    taps t = { .n = TAPS };
    for (int k = 0; k < TAPS; k++) {
        int64_t place = (int64_t)low + k - 1;
        t.weight[k] = keys(at - low - (k - 1));
        t.at[k] = place < 0 ? 0 : ad__lesser(place, in - 1);
    }
    return t;
}

static taps taps_of(int64_t i, int64_t in, int64_t out, ad_resample mode, bool align_corners) {
    if (mode == AD_RESAMPLE_LINEAR) return linear_taps(source(i, in, out, align_corners), in);
    if (mode == AD_RESAMPLE_CUBIC) return cubic_taps(source(i, in, out, align_corners), in);
    int64_t at = mode == AD_RESAMPLE_NEAREST ? i * in / out : (2 * i + 1) * in / (2 * out);
    return (taps){ 1, { 1 }, { at } };
}

/* The sum over taps of elements times weights, where each tap is a row of indices and one of weights. */
static ad_var *resample_axis(ad_var *x, int axis, int64_t out, ad_resample mode, bool align_corners) {
    int64_t in = x->layout->shape.dim[axis];
    ad_graph *g = ad__owner(x);
    ad_var *sum = NULL;
    ad_shape along = { .ndim = x->layout->shape.ndim - axis, .dim = { out, 1, 1, 1, 1, 1 } };
    for (int k = 0, n = 1; k < n && ad_ok(g); k++) {
        ad_var *index = ad_zeros(g, x->layout->dtype, AD_SHAPE(out)), *weight = ad_zeros(g, x->layout->dtype, along);
        for (int64_t i = 0; i < index->layout->numel && i < weight->layout->numel; i++) {
            taps t = taps_of(i, in, out, mode, align_corners);
            n = t.n;
            ad__put(index, i, (double)t.at[k]);
            ad__put(weight, i, t.weight[k]);
        }
        ad_var *part = ad_take_axis(x, axis, index);
        if (n > 1) part = ad_mul(part, weight);
        sum = sum == NULL ? part : ad_add(sum, part);
    }
    return ad_ok(g) ? sum : ad_nil(g);
}

static ad_var *by_area(ad_var *x, ad_shape size) {
    const int64_t *d = size.dim;
    return size.ndim == 1   ? ad_adaptive_avg_pool1d(x, d[0])
           : size.ndim == 2 ? ad_adaptive_avg_pool2d(x, d[0], d[1])
                            : ad_adaptive_avg_pool3d(x, d[0], d[1], d[2]);
}

static int check_interpolate(const ad_call *c, ad_shape size, ad_resample mode, bool align_corners) {
    bool smooth = mode == AD_RESAMPLE_LINEAR || mode == AD_RESAMPLE_CUBIC;
    if (size.ndim < 1 || size.ndim > 3 || size.ndim > c->shape.ndim)
        return ad_call_fail(c, AD_ESHAPE, "%d sizes given; give those of the last 1 to 3 axes", size.ndim);
    if ((int)mode < 0 || mode > AD_RESAMPLE_NEAREST_EXACT || (align_corners && !smooth))
        return ad_call_fail(c, AD_EVALUE, "mode %d%s; align_corners is for linear and cubic modes", (int)mode,
                            align_corners ? " with align_corners" : "");
    ad_shape s = c->shape;
    for (int i = 0; i < size.ndim; i++) {
        int64_t *in = &s.dim[s.ndim - size.ndim + i];
        if (size.dim[i] < 1 || size.dim[i] > INT32_MAX || *in < 1 || !is_exact(c->in[0], *in) || *in > INT32_MAX)
            return ad_call_fail(c, AD_ESHAPE,
                                "an axis of %lld cannot become one of %lld; both must be 1 to 2^31, or "
                                "2^24 in f32",
                                (long long)*in, (long long)size.dim[i]);
        *in = size.dim[i];
    }
    return ad__shape_valid(s) ? AD_OK : ad_call_fail(c, AD_ESHAPE, "the result would have too many elements");
}

ad_var *ad_interpolate(ad_var *x, ad_shape size, ad_resample mode, bool align_corners) {
    if (ad__absent(x) || !ad_ok(ad__owner(x))) return ad__nil_result(x, "interpolate");
    const ad_call c = AD__CALL_AS("interpolate", x);
    if (check_interpolate(&c, size, mode, align_corners) != AD_OK) return ad_nil(c.graph);
    if (mode == AD_RESAMPLE_AREA) return by_area(x, size);
    for (int i = size.ndim - 1; i >= 0 && !ad__absent(x); i--) {
        int axis = c.shape.ndim - size.ndim + i;
        if (c.shape.dim[axis] != size.dim[i]) x = resample_axis(x, axis, size.dim[i], mode, align_corners);
    }
    return x;
}

/* ---- grid_sample: coordinates ------------------------------------------------------------------------------------ */

/* -1..1 in pixels, along an axis of this size. */
static ad_var *in_pixels(ad_var *grid, int64_t size, bool align_corners) {
    if (align_corners) return ad_muls(ad_adds(grid, 1), (double)(size - 1) / 2);
    return ad_adds(ad_muls(ad_adds(grid, 1), (double)size / 2), -0.5);
}

/* The coordinate limited to the pixels. At the first and last one, too, it has the slope 0, as in PyTorch. */
static ad_var *limited(ad_var *at, int64_t size) {
    ad_var *lo = ad__constant(at, 0), *hi = ad__constant(at, (double)(size - 1));
    ad_var *inside = ad_logical_and(ad_gt(at, lo), ad_lt(at, hi));
    return ad_where(inside, at, ad_detach(ad_minimum(ad_maximum(at, lo), hi)));
}

/* The coordinate reflected at lo and at lo + span until it lies between. */
static ad_var *reflected(ad_var *at, double lo, double span) {
    if (span <= 0) return ad_muls(at, 0);
    ad_var *d = ad_abs(ad_adds(at, -lo)), *turns = ad_floor(ad_muls(d, 1 / span));
    ad_var *rest = ad_sub(d, ad_muls(turns, span)), *half = ad_muls(turns, 0.5), *even = ad_eq(ad_floor(half), half);
    return ad_adds(ad_where(even, rest, ad_adds(ad_neg(rest), span)), lo);
}

static ad_var *pixel_of(ad_var *grid, int which, int64_t size, ad_grid_opts o) {
    ad_var *at = in_pixels(ad_select(grid, -1, which), size, o.align_corners);
    if (ad__absent(at)) return at;
    if (o.padding == AD_GRID_REFLECTION)
        at = reflected(at, o.align_corners ? 0 : -0.5, (double)(o.align_corners ? size - 1 : size));
    return o.padding == AD_GRID_ZEROS || ad__absent(at) ? at : limited(at, size);
}

/* ---- grid_sample: pixels ----------------------------------------------------------------------------------------- */

/* The pixels of all images as rows, and a row of zeros behind them for what is outside. */
typedef struct {
    ad_var *rows;   /* [n*h*w + 1, c] */
    ad_var *before; /* [n,1,1]: the number of rows before those of each image */
    int64_t n, c, h, w;
} pixels;

static pixels pixels_of(ad_var *x) {
    ad_shape s = x->layout->shape;
    pixels p = { .n = s.dim[0], .c = s.dim[1], .h = s.dim[2], .w = s.dim[3] };
    ad_var *rows = ad_reshape(ad_permute(x, AD_SHAPE(0, 2, 3, 1)), AD_SHAPE(p.n * p.h * p.w, p.c));
    p.rows = ad_pad(rows, AD_SHAPE(0, 0), AD_SHAPE(1, 0), 0);
    p.before = ad_zeros(ad__owner(x), x->layout->dtype, AD_SHAPE(p.n, 1, 1));
    for (int64_t i = 0; i < p.before->layout->numel; i++) ad__put(p.before, i, (double)(i * p.h * p.w));
    return p;
}

static ad_var *within(ad_var *at, int64_t size) {
    return ad_logical_and(ad_ge(at, ad__constant(at, 0)), ad_le(at, ad__constant(at, (double)(size - 1))));
}

/* The pixels at whole coordinates [n,oh,ow], times weight if it is not NULL, as [n*oh*ow, c]. */
static ad_var *pixels_at(const pixels *p, ad_var *row, ad_var *column, ad_var *weight) {
    int64_t points = row->layout->numel;
    ad_var *inside = ad_logical_and(within(row, p->h), within(column, p->w));
    ad_var *place = ad_add(ad_add(ad_muls(row, (double)p->w), column), p->before);
    ad_var *outside = ad__constant(row, (double)(p->n * p->h * p->w)), *zero = ad__constant(row, 0);
    ad_var *index = ad_reshape(ad_detach(ad_where(inside, place, outside)), AD_SHAPE(points));
    ad_var *found = ad_take_axis(p->rows, 0, index);
    if (weight == NULL) return found;
    return ad_mul(found, ad_reshape(ad_where(inside, weight, zero), AD_SHAPE(points, 1)));
}

static ad_var *sample_linear(const pixels *p, ad_var *row, ad_var *column) {
    ad_var *top = ad_detach(ad_floor(row)), *left = ad_detach(ad_floor(column));
    ad_var *down = ad_sub(row, top), *right = ad_sub(column, left), *sum = NULL;
    for (int k = 0; k < 4; k++) {
        ad_var *by_row = k / 2 ? down : ad_adds(ad_neg(down), 1);
        ad_var *by_column = k % 2 ? right : ad_adds(ad_neg(right), 1);
        ad_var *part = pixels_at(p, ad_adds(top, k / 2), ad_adds(left, k % 2), ad_mul(by_row, by_column));
        sum = sum == NULL ? part : ad_add(sum, part);
    }
    return sum;
}

static int check_grid(const ad_call *c, const ad_var *grid, ad_grid_opts o) {
    ad_shape x = c->shape, s = grid->layout->shape;
    if (grid->layout->graph != c->graph || grid->layout->dtype != c->dtype)
        return ad_call_fail(c, AD_EDTYPE, "the grid must be of the graph and dtype of x");
    if (x.ndim != 4 || s.ndim != 4 || s.dim[3] != 2 || s.dim[0] != x.dim[0])
        return ad_call_fail(c, AD_ESHAPE, "takes x [n,c,h,w] and a grid [n,oh,ow,2], not %s", ad_shape_str(s).text);
    if (x.dim[2] < 1 || x.dim[3] < 1 || !ad__is_moderate(x))
        return ad_call_fail(c, AD_ESHAPE, "an image must have a pixel");
    if ((int)o.padding >= AD_GRID_ZEROS && o.padding <= AD_GRID_REFLECTION) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "padding %d is not one of AD_GRID_..", (int)o.padding);
}

ad_var *ad_grid_sample(ad_var *x, ad_var *grid, ad_grid_opts opts) {
    ad_var *nil = ad__absent_result("grid_sample", 2, (ad_var *[]){ x, grid });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("grid_sample", x);
    if (check_grid(&c, grid, opts) != AD_OK) return ad_nil(c.graph);
    ad_shape s = c.shape, to = grid->layout->shape;
    if (!is_exact(x, s.dim[0] * s.dim[2] * s.dim[3])) { /* too many pixels to count them in f32 */
        ad_var *y = ad_grid_sample(ad_cast(x, AD_F64), ad_cast(grid, AD_F64), opts);
        return ad_cast(y, AD_F32);
    }
    pixels p = pixels_of(x);
    ad_var *column = pixel_of(grid, 0, p.w, opts), *row = pixel_of(grid, 1, p.h, opts);
    if (ad__absent(row) || ad__absent(column) || ad__absent(p.rows)) return ad_nil(c.graph);
    ad_var *y = opts.nearest ? pixels_at(&p, ad_round(row), ad_round(column), NULL) : sample_linear(&p, row, column);
    return ad_permute(ad_reshape(y, AD_SHAPE(s.dim[0], to.dim[1], to.dim[2], s.dim[1])), AD_SHAPE(0, 3, 1, 2));
}

/* ---- affine_grid ------------------------------------------------------------------------------------------------- */

/* The coordinate of pixel i of n, from -1 to 1. */
static double coordinate(int64_t i, int64_t n, bool align_corners) {
    if (align_corners) return n > 1 ? 2 * (double)i / (double)(n - 1) - 1 : 0;
    return (2 * (double)i + 1) / (double)n - 1;
}

/* The points (x, y, 1) or (x, y, z, 1) of all pixels of an image or volume of this size, as rows. */
static ad_var *base_points(const ad_var *theta, ad_shape size, bool align_corners) {
    int axes = size.ndim - 2;
    int64_t count = 1;
    for (int i = 0; i < axes; i++) count *= size.dim[2 + i];
    ad_var *points = ad_ones(ad__owner(theta), theta->layout->dtype, AD_SHAPE(count, axes + 1));
    for (int64_t k = 0; k < count && !ad__absent(points); k++) {
        int64_t rest = k;
        for (int i = axes - 1; i >= 0; rest /= size.dim[2 + i], i--)
            ad__put(points, k * (axes + 1) + axes - 1 - i,
                    coordinate(rest % size.dim[2 + i], size.dim[2 + i], align_corners));
    }
    return points;
}

ad_var *ad_affine_grid(ad_var *theta, ad_shape size, bool align_corners) {
    if (ad__absent(theta)) return ad__nil_result(theta, "affine_grid");
    const ad_call c = AD__CALL_AS("affine_grid", theta);
    ad_shape s = c.shape;
    int axes = size.ndim == 4 || size.ndim == 5 ? size.ndim - 2 : 0;
    bool fits = axes > 0 && s.ndim == 3 && s.dim[1] == axes && s.dim[2] == axes + 1;
    fits = fits && ad__shape_valid(size) && ad__is_moderate(size) && size.dim[0] == s.dim[0];
    for (int i = 0; i < axes && fits; i++) fits = size.dim[2 + i] >= 1;
    if (!fits) {
        ad_call_fail(&c, AD_ESHAPE, "takes theta [n,2,3] for a size [n,c,h,w], or [n,3,4] for [n,c,d,h,w]");
        return ad_nil(c.graph);
    }
    ad_shape to = { size.ndim, { s.dim[0], size.dim[2], size.dim[3] } };
    if (axes == 3) to.dim[3] = size.dim[4];
    to.dim[size.ndim - 1] = axes;
    ad_var *points = base_points(theta, size, align_corners);
    return ad_reshape(ad_matmul(points, ad_transpose(theta)), to);
}
