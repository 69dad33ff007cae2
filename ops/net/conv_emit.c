/* conv_emit.c: the loops of convolutions, for their forms in C. */
#include "ops/net/conv_geometry.h"

ad_emit_array ad__emit_padded(ad_emit *e, ad_dtype t, ad_shape s, const ad__conv_attrs *a, ad_emit_array *inside) {
    ad_shape whole = s;
    for (int i = 0; i < 2; i++) whole.dim[2 + i] += 2 * a->padding.dim[i];
    ad_emit_array padded = ad_emit_new(e, t, whole);
    ad__emit_fill(e, padded, 0);
    *inside = padded;
    for (int i = 0; i < 2; i++) *inside = ad__emit_part(*inside, 2 + i, a->padding.dim[i], s.dim[2 + i], 1);
    return padded;
}

/* Channels of one image: without the axis of images. */
static ad_emit_array image_of(ad_emit_array x, int64_t image, int64_t from, int64_t n) {
    x = ad__emit_part(x, 0, image, 1, 1);
    x = ad__emit_part(x, 1, from, n, 1);
    for (int d = 0; d + 1 < x.shape.ndim; d++) x.shape.dim[d] = x.shape.dim[d + 1], x.stride[d] = x.stride[d + 1];
    x.shape.ndim--;
    return x;
}

/* The loop [o,i,j,c,p,q] over y [o,i,j,1,1,1], x [1,i,j,c,p,q] and w [o,1,1,c,p,q]. */
static void add_products(ad_emit *e, ad__conv_which which, ad_emit_array x, ad_emit_array w, ad_emit_array y) {
    ad_shape s = AD_SHAPE(y.shape.dim[0], y.shape.dim[1], y.shape.dim[2], w.shape.dim[1], w.shape.dim[2],
                          w.shape.dim[3]);
    for (int d = 3; d < 6; d++) y = ad__emit_unsqueeze(y, d);
    for (int d = 1; d < 3; d++) w = ad__emit_unsqueeze(w, d);
    ad_emit_array to = which == AD__CONV_Y ? y : which == AD__CONV_X ? x : w;
    ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_ADD, .dtype = to.dtype, .shape = s, .names = "a b",
                                    .value = "a * b", .slope = { "g * b", "g * a" }, .n = 2,
                                    .in = { which == AD__CONV_X ? w : x, which == AD__CONV_Y ? w : y }, .into = &to });
}

void ad__emit_conv(ad_emit *e, const ad__conv_attrs *a, ad__conv_which which, ad_emit_array x, ad_emit_array w,
                   ad_emit_array y) {
    const int64_t out = w.shape.dim[0] / a->groups, in = w.shape.dim[1];
    for (int64_t image = 0; image < y.shape.dim[0]; image++)
        for (int64_t g = 0; g < a->groups; g++) {
            ad_emit_array part = image_of(y, image, g * out, out), from = image_of(x, image, g * in, in);
            from = ad__emit_windows(from, part.shape.dim + 1, w.shape.dim + 2, a->stride.dim, a->dilation.dim);
            /* [c,i,j,p,q] -> [1,i,j,c,p,q] */
            from = ad__emit_unsqueeze(ad__emit_swap(ad__emit_swap(from, 0, 1), 1, 2), 0);
            add_products(e, which, from, ad__emit_part(w, 0, g * out, out, 1), part);
        }
}

bool ad__conv_has_form(const ad_op *op) {
    const ad__conv_attrs *a = ad__attrs_of(op);
    int64_t images = op->in[0]->layout->shape.dim[0];
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i]->layout->numel == 0) return false;
    return ad__out(op)->layout->numel > 0 && a->groups <= AD__CONV_LOOPS && images <= AD__CONV_LOOPS / a->groups;
}

void ad__emit_bias(ad_emit *e, const ad_op *op, ad_emit_array y) {
    if (op->n_in > 2) ad__emit_copy(e, ad__emit_along(ad_emit_operand(e, op, 2), 1, 4), y);
    else ad__emit_fill(e, y, 0);
}
