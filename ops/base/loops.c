/* loops.c: short calls of ad_emit_run, for the forms of ops in C. */
#include "ops/base/loops.h"

#include "ops/base/attrs.h"

/* ---- views ------------------------------------------------------------------------------------------------------- */

ad_emit_array ad__emit_unsqueeze(ad_emit_array x, int at) {
    for (int i = x.shape.ndim++; i > at; i--) x.shape.dim[i] = x.shape.dim[i - 1], x.stride[i] = x.stride[i - 1];
    x.shape.dim[at] = 1, x.stride[at] = 0;
    return x;
}

ad_emit_array ad__emit_swap(ad_emit_array x, int i, int k) {
    ad_emit_array y = x;
    y.shape.dim[i] = x.shape.dim[k], y.stride[i] = x.stride[k];
    y.shape.dim[k] = x.shape.dim[i], y.stride[k] = x.stride[i];
    return y;
}

ad_emit_array ad__emit_part(ad_emit_array x, int axis, int64_t from, int64_t n, int64_t step) {
    x.shape.dim[axis] = n;
    x.place += from * x.stride[axis];
    x.stride[axis] *= n > 1 ? step : 1;
    return x;
}

ad_emit_array ad__emit_along(ad_emit_array x, int at, int ndim) {
    while (x.shape.ndim < ndim) x = ad__emit_unsqueeze(x, x.shape.ndim <= at ? 0 : x.shape.ndim);
    return x;
}

ad_emit_array ad__emit_reshape(ad_emit *e, ad_emit_array x, ad_shape s) {
    x = ad_emit_contiguous(e, x);
    x.shape = s;
    int64_t stride = 1;
    for (int d = s.ndim; d-- > 0;) x.stride[d] = stride, stride *= s.dim[d];
    return x;
}

ad_emit_array ad__emit_windows(ad_emit_array x, const int64_t *places, const int64_t *kernel, const int64_t *stride,
                               const int64_t *dilation) {
    int n = x.shape.ndim - 2;
    x.shape.ndim += 2;
    for (int i = 0; i < 2; i++) {
        int64_t each = x.stride[n + i];
        x.shape.dim[n + i] = places[i], x.stride[n + i] = each * stride[i];
        x.shape.dim[n + 2 + i] = kernel[i], x.stride[n + 2 + i] = each * dilation[i];
    }
    return x;
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

ad_emit_code ad__code_of_rows(ad_emit *e, const ad_op *op, int axis, bool flag) {
    ad__around r = ad__around_axis(op->in[0]->layout->shape, axis);
    ad_emit_code c = { .sizes = "outer n inner flag", .n_sizes = 4, .size = { r.outer, r.n, r.inner, flag },
                       .names = "x z" };
    for (; c.n < op->n_in; c.n++) c.in[c.n] = ad_emit_operand(e, op, c.n);
    return c;
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

ad_emit_array ad__emit_reduce(ad_emit *e, ad_emit_kind kind, ad_dtype t, ad_emit_array x, unsigned mask,
                              const char *value, const char *slope) {
    return ad_emit_run(e, &(ad_emit_loop){ .kind = kind, .dtype = t, .shape = x.shape, .reduced = mask, .names = "x",
                                           .value = value, .slope = { slope }, .n = 1, .in = { x } });
}

ad_emit_array ad__emit_map(ad_emit *e, ad_dtype t, ad_emit_array x, const char *value, const char *slope) {
    return ad__emit_reduce(e, AD_EMIT_SET, t, x, 0, value, slope);
}

ad_emit_array ad__emit_reduce2(ad_emit *e, ad_dtype t, ad_shape s, unsigned mask, ad_emit_array a, ad_emit_array b,
                               const char *value, const char *slope_a, const char *slope_b) {
    return ad_emit_run(e, &(ad_emit_loop){ .kind = mask ? AD_EMIT_SUM : AD_EMIT_SET, .dtype = t, .shape = s,
                                           .reduced = mask, .names = "a b", .value = value,
                                           .slope = { slope_a, slope_b }, .n = 2, .in = { a, b } });
}

ad_emit_array ad__emit_map2(ad_emit *e, ad_dtype t, ad_shape s, ad_emit_array a, ad_emit_array b, const char *value,
                            const char *slope_a, const char *slope_b) {
    return ad__emit_reduce2(e, t, s, 0, a, b, value, slope_a, slope_b);
}

void ad__emit_copy(ad_emit *e, ad_emit_array x, ad_emit_array y) {
    ad_emit_run(e, &(ad_emit_loop){ .dtype = y.dtype, .shape = y.shape, .names = "x", .value = "x", .slope = { "g" },
                                    .n = 1, .in = { x }, .into = &y });
}

void ad__emit_fill(ad_emit *e, ad_emit_array y, double k) {
    ad_emit_run(e, &(ad_emit_loop){ .dtype = y.dtype, .shape = y.shape, .names = "k", .value = "k", .n_parameters = 1,
                                    .parameter = { k }, .into = &y });
}

ad_emit_array ad__emit_scale(ad_emit *e, ad_emit_array x, double k) {
    return ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "x k", .value = "x * k",
                                           .slope = { "g * k" }, .n = 1, .in = { x }, .n_parameters = 1,
                                           .parameter = { k } });
}
