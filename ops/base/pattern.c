/* pattern.c: pattern functions that several ops share. */
#include "ops/base/pattern.h"

#include "ops/base/attrs.h"

/* The element of an array of shape `from`, which broadcasts to `to`, that is read for element k. */
static int64_t broadcast_place(ad_shape from, ad_shape to, int64_t k) {
    int64_t at = 0, stride = 1;
    for (int d = to.ndim - 1, i = from.ndim - 1; i >= 0; d--, i--) {
        if (from.dim[i] != 1) at += k % to.dim[d] * stride;
        stride *= from.dim[i], k /= to.dim[d];
    }
    return at;
}

void ad__pattern_elements(ad_pattern *p, const ad_op *op) {
    const ad__layout *y = ad__out(op)->layout;
    for (int i = 0; i < op->n_in; i++)
        for (int64_t k = 0; k < y->numel; k++)
            ad_pattern_add(p, k, 1, i, broadcast_place(op->in[i]->layout->shape, y->shape, k), 1);
}

void ad__pattern_blocks(ad_pattern *p, const ad_op *op, int i, int64_t count) {
    int64_t ny = count ? ad__out(op)->layout->numel / count : 0, nx = count ? op->in[i]->layout->numel / count : 0;
    for (int64_t k = 0; k < count; k++) ad_pattern_add(p, k * ny, ny, i, k * nx, nx);
}

static bool has_leading_axes(ad_shape s, ad_shape of) {
    for (int d = 0; d < of.ndim - 2; d++)
        if (d >= s.ndim || s.dim[d] != of.dim[d]) return false;
    return true;
}

void ad__pattern_matrices(ad_pattern *p, const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    int64_t count = 1;
    bool alike = has_leading_axes(ad__out(op)->layout->shape, s);
    for (int i = 1; i < op->n_in; i++)
        alike = alike && op->in[i]->layout->shape.ndim == s.ndim && has_leading_axes(op->in[i]->layout->shape, s);
    for (int d = 0; d < s.ndim - 2 && alike; d++) count *= s.dim[d];
    for (int i = 0; i < op->n_in; i++) ad__pattern_blocks(p, op, i, count);
}

void ad__pattern_running(ad_pattern *p, const ad_op *op) {
    const ad__layout *y = ad__out(op)->layout;
    int axis = *(const int *)ad__attrs_of(op);
    ad__around r = ad__around_axis(y->shape, axis);
    for (int64_t o = 0; o < r.outer; o++)
        for (int64_t k = 0; k < r.n; k++)
            for (int64_t i = 0; i < r.inner; i++) {
                int64_t at = (o * r.n + k) * r.inner + i;
                if (k > 0) ad_pattern_follow(p, at, at - r.inner);
                ad_pattern_add(p, at, 1, 0, at, 1);
            }
}
