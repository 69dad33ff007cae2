/* conv_transpose.c: transposed convolutions of images and signals. Compared with conv2d, x and y are exchanged: x of
   the geometry is the result here, and y is the operand. */
#include "ops/net/conv_geometry.h"

static const ad_attr transpose_list[] = { AD__CONV_FIELDS, AD__CONV_FIELD(output_padding, AD_ATTR_SHAPE), { 0 } };

static int conv_transpose2d_shape(ad_call *c) {
    int rc = ad__conv_check(c, "x [n,c,h,w], w [c,o/groups,kh,kw] and b [o]");
    if (rc != AD_OK) return rc;
    const ad__conv_attrs *a = c->attrs;
    ad_shape x = c->shape, w = c->in[1]->layout->shape, y = AD_SHAPE(x.dim[0], w.dim[1], 0, 0);
    if (x.dim[1] != w.dim[0] || x.dim[1] % a->groups != 0)
        return ad_call_fail(c, AD_ESHAPE, "x has %lld channels, w takes %lld, in %lld groups", (long long)x.dim[1],
                            (long long)w.dim[0], (long long)a->groups);
    if (__builtin_mul_overflow(y.dim[1], a->groups, &y.dim[1]))
        return ad_call_fail(c, AD_ESHAPE, "the result would have too many channels");
    for (int i = 0; i < 2; i++) {
        bool fits = x.dim[2 + i] >= 1 && x.dim[2 + i] <= INT32_MAX && w.dim[2 + i] >= 1 && w.dim[2 + i] <= INT32_MAX;
        y.dim[2 + i] = fits ? ad__conv_image_size(x.dim[2 + i], w.dim[2 + i], a, i) : 0;
        if (y.dim[2 + i] < 1) return ad_call_fail(c, AD_ESHAPE, "the padding leaves nothing of the result");
    }
    rc = ad__conv_check_bias(c, y.dim[1]);
    c->shape = y;
    if (rc == AD_OK && !ad__shape_valid(y)) return AD_OK; /* the engine reports it */
    return rc == AD_OK ? ad__conv_check_sizes(c, y, w, x) : rc;
}

static int conv_transpose2d_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    ad__conv c = ad__conv_of(op, y, w, x);
    ad__conv_fill_bias(op);
    ad__conv_into_x(&c, w->data, x->data, false, y->data);
    return AD_OK;
}

static void conv_transpose2d_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    ad__conv c = ad__conv_of(op, y, w, x);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx != NULL) ad__conv_into_y(&c, y->grad, w->data, fresh, gx);
    void *gw = ad_grad_claim(op, 1, &fresh);
    if (gw != NULL) ad__conv_into_w(&c, y->grad, x->data, fresh, gw);
    ad__conv_bias_backward(op);
}

static void conv_transpose2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *w = op->in[1];
    if (ad_vjp_wants(op, 0)) dx[0] = ad_conv2d(g, w, NULL, ad__conv_opts_of(op));
    if (ad_vjp_wants(op, 1)) dx[1] = ad_conv2d_weight(g, w->layout->shape, x, ad__conv_opts_of(op));
    ad__conv_bias_vjp(op, g, dx);
}

/* The products are added to the padded result, and the bias to its inside. */
AD_COLD static int conv_transpose2d_emit(ad_emit *e, const ad_op *op) {
    if (!ad__conv_has_form(op)) return AD_EABSENT;
    const ad__conv_attrs *a = ad__attrs_of(op);
    const ad_shape s = ad__out(op)->layout->shape;
    ad_emit_array x = ad_emit_operand(e, op, 0), w = ad_emit_operand(e, op, 1), inside, y;
    ad_emit_array padded = ad__emit_padded(e, x.dtype, s, a, &inside);
    ad__emit_conv(e, a, AD__CONV_X, padded, w, x);
    y = inside;
    if (op->n_in > 2)
        y = ad__emit_map2(e, x.dtype, s, inside, ad__emit_along(ad_emit_operand(e, op, 2), 1, 4), "a + b", "g", "g");
    ad_emit_result(e, op, ad_emit_contiguous(e, y));
    return AD_OK;
}

static void conv_transpose2d_samples(ad_sampler *s) {
    for (int i = 0; i < AD__CONV_CASES; i++) {
        ad_shape x, w;
        ad__conv_attrs a = ad__conv_case(i, &x, &w);
        x.dim[1] = w.dim[0];
        for (int k = 0; k < 2; k++)
            if (a.stride.dim[k] > 1) a.output_padding.dim[k] = a.stride.dim[k] - 1 - k;
        for (int n = 2; n <= 3; n++)
            ad_sample(s, &a, n, (ad_shape[]){ x, w, AD_SHAPE(w.dim[1] * a.groups) }, NULL, NULL);
    }
}

AD_OPTYPE(
    conv_transpose2d,
    .doc = "the transpose of conv2d as a linear map, plus an optional bias b [o]: x [n,c,h,w], w [c,o/groups,kh,kw] -> "
           "[n,o,(h-1) stride - 2 padding + dilation (kh-1) + output_padding + 1,..]. output_padding must be less "
           "than "
           "stride or dilation",
    .formula = "y[n,o, i stride - padding + p dilation, ..] = b[o] + sum over c,i,j,p,q of w[c,o,p,q] x[n,c,i,j]",
    .gradient = "conv2d(g, w); conv2d_weight(g, x); g summed over n,i,j", .arity = -1,
    .attr_size = sizeof(ad__conv_attrs), .attrs = transpose_list, .shape = conv_transpose2d_shape,
    .evaluate = { conv_transpose2d_evaluate, conv_transpose2d_evaluate },
    .backward = { conv_transpose2d_backward, conv_transpose2d_backward }, .vjp = conv_transpose2d_vjp,
    .emit = conv_transpose2d_emit);
ad_var *ad_conv_transpose2d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    ad__conv_attrs a = ad__conv_attrs_of(opts);
    bool plain = true;
    for (int i = 0; i < 2; i++)
        plain &= opts.padding[i] >= 0 && (opts.output_padding[i] == 0 || opts.output_padding[i] < a.stride.dim[i]);
    if (!plain) return ad__conv_transpose_whole(x, w, b, 2, opts, ad_conv_transpose2d, "conv_transpose2d");
    return ad_apply(&ad_op_conv_transpose2d, b ? 3 : 2, (ad_var *[]){ x, w, b }, &a);
}

ad_var *ad_conv_transpose1d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    return ad__conv_signal(x, w, b, opts, ad_conv_transpose2d, "conv_transpose1d");
}
