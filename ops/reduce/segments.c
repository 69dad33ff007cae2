/* segments.c: drivers for reductions that process one segment, the elements of one result element, at a time. */
#include "ops/reduce/segments.h"

#include "ops/base/samples.h"
#include "ops/ops.h"

#include <string.h>

/* Scratch holds a segment's elements, their gradients, and n doubles for use by the op. */
int ad__segments_shape(ad_call *c) {
    int64_t numel = c->in[0]->layout->numel;
    int rc = ad__axes_shape(c);
    int64_t n_segments = rc == AD_OK ? ad_shape_numel(c->shape) : 0;
    c->scratch = n_segments > 0 ? 3 * (size_t)(numel / n_segments) * sizeof(double) : 0;
    return rc;
}

static ad__segments segments_of(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    return ad__segments_of(s, ad__axes_mask(ad__attrs_of(op), s.ndim));
}

/* The elements of segment `segment` of x: in place if contiguous, else copied to row. zeros: the elements are not read
   but set to 0. */
static void *load(const ad__segments *c, ad_dtype t, int64_t segment, void *x, bool zeros, void *row) {
    int64_t at = ad__segment_start(c, segment);
    bool in_place = ad__segments_are_rows(c);
    void *to = in_place ? (char *)x + (size_t)at * ad_dtype_size(t) : row;
    if (zeros) memset(to, 0, (size_t)c->n * ad_dtype_size(t));
    else if (!in_place) ad__copy(&c->row, t, x, at, row, 0);
    return to;
}

int ad__over_segments(const ad_op *op, ad__segment_value *value) {
    const ad_var *x = op->in[0];
    ad__segments c = segments_of(op);
    for (int64_t i = 0; i < c.n_segments; i++)
        value(op, i, c.n, load(&c, x->layout->dtype, i, x->data, false, ad_scratch(op)));
    return AD_OK;
}

void ad__back_over_segments(const ad_op *op, ad__segment_slope *slope) {
    const ad_var *x = op->in[0];
    bool fresh = false;
    void *gx = ad_grad_claim(op, 0, &fresh);
    ad__segments c = segments_of(op);
    ad__copy_plan back = ad__copy_plan_back(&c.row);
    ad_dtype t = x->layout->dtype;
    if (gx == NULL || c.n == 0) return;
    double *row = ad_scratch(op), *row_g = row + c.n, *buffer = row_g + c.n;
    for (int64_t i = 0; i < c.n_segments; i++) {
        void *to = load(&c, t, i, gx, fresh, row_g);
        slope(op, i, c.n, load(&c, t, i, x->data, false, row), buffer, to);
        if (to == row_g) ad__copy(&back, t, row_g, 0, gx, ad__segment_start(&c, i));
    }
}

ad_var *ad__kept(const ad_op *op, ad_var *v) {
    ad_shape s = op->in[0]->layout->shape;
    return ad_reshape(v, ad__reduced_shape(s, ad__axes_mask(ad__attrs_of(op), s.ndim), true));
}

int64_t ad__segment_size(const ad_op *op) {
    int64_t n = op->in[0]->layout->numel;
    return n ? n / ad__out(op)->layout->numel : 0;
}

static void sample_axes(ad_sampler *s, void *attrs, ad__axes_attrs axes, ad_shape shape, double lo, double hi) {
    *(ad__axes_attrs *)attrs = axes;
    ad_sample(s, attrs, 1, &shape, &lo, &hi);
}

void ad__reduction_samples(ad_sampler *s, void *attrs, double lo, double hi) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "() 1 7 2,3 2,3,4 70");
    const ad_shape cube = AD_SHAPE(2, 3, 4);
    for (int i = 0; i < AD__COUNT(shapes); i++)
        sample_axes(s, attrs, (ad__axes_attrs){ .n = -1, .keepdims = i % 2 }, shapes[i], lo, hi);
    for (int axis = -3; axis < 3; axis++)
        sample_axes(s, attrs, (ad__axes_attrs){ 1, { axis }, axis > 0 }, cube, lo, hi);
    sample_axes(s, attrs, (ad__axes_attrs){ 2, { 0, 2 }, false }, cube, lo, hi);
    sample_axes(s, attrs, (ad__axes_attrs){ 2, { -1, 1 }, true }, cube, lo, hi);
    sample_axes(s, attrs, (ad__axes_attrs){ 2, { 3, 1 }, false }, AD_SHAPE(2, 3, 1, 2), lo, hi);
    sample_axes(s, attrs, (ad__axes_attrs){ 3, { 0, 2, 4 }, false }, AD_SHAPE(2, 2, 3, 2, 2), lo, hi);
    sample_axes(s, attrs, (ad__axes_attrs){ .n = 1, .axis = { 0 } }, AD_SHAPE(3, 0), lo, hi);
}
