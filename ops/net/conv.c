/* conv.c: convolutions of images and signals, and the op that computes the gradient of their weights. */
#include "ops/net/conv_geometry.h"

/* ---- conv2d ----------------------------------------------------------------------------------------------------- */

static const ad_attr conv_list[] = { AD__CONV_FIELDS, { 0 } };

static int conv2d_shape(ad_call *c) {
    int rc = ad__conv_check(c, "x [n,c,h,w], w [o,c/groups,kh,kw] and b [o]");
    if (rc != AD_OK) return rc;
    ad_shape x = c->shape, w = c->in[1]->layout->shape, y = AD_SHAPE(x.dim[0], w.dim[0], 0, 0);
    int64_t groups = ((const ad__conv_attrs *)c->attrs)->groups;
    if (x.dim[1] % groups != 0 || x.dim[1] / groups != w.dim[1])
        return ad_call_fail(c, AD_ESHAPE, "x has %lld channels and w takes %lld in each of %lld groups",
                            (long long)x.dim[1], (long long)w.dim[1], (long long)groups);
    if (w.dim[0] % groups != 0)
        return ad_call_fail(c, AD_ESHAPE, "%lld channels out do not divide into %lld groups", (long long)w.dim[0],
                            (long long)groups);
    rc = ad__conv_places(c, x, w, &y);
    if (rc == AD_OK) rc = ad__conv_check_bias(c, w.dim[0]);
    c->shape = y;
    return rc == AD_OK ? ad__conv_check_sizes(c, x, w, y) : rc;
}

static int conv2d_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    ad__conv c = ad__conv_of(op, x, w, y);
    if (op->n_in > 2) ad__conv_fill_bias(op);
    ad__conv_into_y(&c, x->data, w->data, op->n_in <= 2, y->data);
    return AD_OK;
}

static void conv2d_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    ad__conv c = ad__conv_of(op, x, w, y);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx != NULL) ad__conv_into_x(&c, w->data, y->grad, fresh, gx);
    void *gw = ad_grad_claim(op, 1, &fresh);
    if (gw != NULL) ad__conv_into_w(&c, x->data, y->grad, fresh, gw);
    ad__conv_bias_backward(op);
}

/* The transposed convolution of y, with the output_padding that yields the shape x. */
static ad_var *transposed_to(ad_var *y, ad_var *w, ad_shape x, ad_conv_opts o) {
    ad__conv_attrs a = ad__conv_attrs_of(o);
    ad_shape ys = y->layout->shape, ws = w->layout->shape;
    for (int i = 0; i < 2; i++)
        o.output_padding[i] = x.dim[2 + i] - ad__conv_image_size(ys.dim[2 + i], ws.dim[2 + i], &a, i);
    return ad_conv_transpose2d(y, w, NULL, o);
}

static void conv2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *w = op->in[1];
    if (ad_vjp_wants(op, 0)) dx[0] = transposed_to(g, w, x->layout->shape, ad__conv_opts_of(op));
    if (ad_vjp_wants(op, 1)) dx[1] = ad_conv2d_weight(x, w->layout->shape, g, ad__conv_opts_of(op));
    ad__conv_bias_vjp(op, g, dx);
}

AD_COLD static int conv2d_emit(ad_emit *e, const ad_op *op) {
    if (!ad__conv_has_form(op)) return AD_EABSENT;
    const ad__conv_attrs *a = ad__attrs_of(op);
    ad_emit_array x = ad_emit_operand(e, op, 0), w = ad_emit_operand(e, op, 1), inside;
    ad_emit_array padded = ad__emit_padded(e, x.dtype, x.shape, a, &inside);
    ad_emit_array y = ad_emit_new(e, x.dtype, ad__out(op)->layout->shape);
    ad__emit_copy(e, x, inside);
    ad__emit_bias(e, op, y);
    ad__emit_conv(e, a, AD__CONV_Y, padded, w, y);
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void conv2d_samples(ad_sampler *s) {
    for (int i = 0; i < AD__CONV_CASES; i++) {
        ad_shape x, w;
        ad__conv_attrs a = ad__conv_case(i, &x, &w);
        for (int n = 2; n <= 3; n++) ad_sample(s, &a, n, (ad_shape[]){ x, w, AD_SHAPE(w.dim[0]) }, NULL, NULL);
    }
}

AD_OPTYPE(conv2d,
          .doc = "the cross-correlation of images x [n,c,h,w] with kernels w [o,c/groups,kh,kw], plus an optional bias "
                 "b [o]. x is padded with zeros",
          .formula = "y[n,o,i,j] = b[o] + sum over c,p,q of w[o,c,p,q] x[n,c, i stride - padding + p dilation, ..]",
          .gradient = "conv_transpose2d(g, w); conv2d_weight(x, g); g summed over n,i,j", .arity = -1,
          .attr_size = sizeof(ad__conv_attrs), .attrs = conv_list, .shape = conv2d_shape,
          .evaluate = { conv2d_evaluate, conv2d_evaluate }, .backward = { conv2d_backward, conv2d_backward },
          .vjp = conv2d_vjp, .emit = conv2d_emit);
ad_var *ad_conv2d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    if (opts.padding[0] < 0 || opts.padding[1] < 0) x = ad__conv_crop(x, 2, opts.padding, "conv2d");
    ad__conv_attrs a = ad__conv_attrs_of(opts);
    return ad_apply(&ad_op_conv2d, b ? 3 : 2, (ad_var *[]){ x, w, b }, &a);
}

/* ---- conv2d_weight: x [n,c,h,w], g [n,o,oh,ow] -> [o,c/groups,kh,kw] -------------------------------------------- */

static const ad_attr weight_list[] = { AD__CONV_FIELDS, AD__CONV_FIELD(weight, AD_ATTR_SHAPE), { 0 } };

static int conv2d_weight_shape(ad_call *c) {
    int rc = ad__conv_check(c, "x [n,c,h,w] and g [n,o,oh,ow]");
    if (rc != AD_OK) return rc;
    const ad__conv_attrs *a = c->attrs;
    ad_shape x = c->shape, g = c->in[1]->layout->shape, w = a->weight, y = AD_SHAPE(x.dim[0], 0, 0, 0);
    if (c->n != 2 || w.ndim != 4 || !ad__shape_valid(w) || w.dim[0] % a->groups != 0 || x.dim[1] % a->groups != 0 ||
        x.dim[1] / a->groups != w.dim[1])
        return ad_call_fail(c, AD_ESHAPE, "weights %s do not take x in %lld groups", ad_shape_str(w).text,
                            (long long)a->groups);
    y.dim[1] = w.dim[0];
    rc = ad__conv_places(c, x, w, &y);
    if (rc != AD_OK) return rc;
    if (!ad_shape_equal(y, g))
        return ad_call_fail(c, AD_ESHAPE, "weights %s and x do not yield the shape of g", ad_shape_str(w).text);
    c->shape = w;
    return ad__conv_check_sizes(c, x, w, y);
}

static int conv2d_weight_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *g = op->in[1], *w = ad__out(op);
    ad__conv c = ad__conv_of(op, x, w, g);
    ad__conv_into_w(&c, x->data, g->data, true, w->data);
    return AD_OK;
}

static void conv2d_weight_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *g = op->in[1], *w = ad__out(op);
    ad__conv c = ad__conv_of(op, x, w, g);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx != NULL) ad__conv_into_x(&c, w->grad, g->data, fresh, gx);
    void *gg = ad_grad_claim(op, 1, &fresh);
    if (gg != NULL) ad__conv_into_y(&c, x->data, w->grad, fresh, gg);
}

static void conv2d_weight_vjp(const ad_op *op, ad_var *v, ad_var *dx[]) {
    ad_var *x = op->in[0], *g = op->in[1];
    if (ad_vjp_wants(op, 0)) dx[0] = transposed_to(g, v, x->layout->shape, ad__conv_opts_of(op));
    if (ad_vjp_wants(op, 1)) dx[1] = ad_conv2d(x, v, NULL, ad__conv_opts_of(op));
}

AD_COLD static int conv2d_weight_emit(ad_emit *e, const ad_op *op) {
    if (!ad__conv_has_form(op)) return AD_EABSENT;
    const ad__conv_attrs *a = ad__attrs_of(op);
    ad_emit_array x = ad_emit_operand(e, op, 0), g = ad_emit_operand(e, op, 1), inside;
    ad_emit_array padded = ad__emit_padded(e, x.dtype, x.shape, a, &inside), w = ad_emit_new(e, x.dtype, a->weight);
    ad__emit_copy(e, x, inside);
    ad__emit_fill(e, w, 0);
    ad__emit_conv(e, a, AD__CONV_W, padded, w, g);
    ad_emit_result(e, op, w);
    return AD_OK;
}

static void conv2d_weight_samples(ad_sampler *s) {
    for (int i = 0; i < AD__CONV_CASES; i++) {
        ad_shape x, w;
        ad__conv_attrs a = ad__conv_case(i, &x, &w);
        ad_shape y = AD_SHAPE(x.dim[0], w.dim[0], 0, 0);
        for (int k = 2; k < 4; k++)
            y.dim[k] =
                ad__window_places(x.dim[k], w.dim[k], a.stride.dim[k - 2], a.padding.dim[k - 2], a.dilation.dim[k - 2]);
        a.weight = w;
        ad_sample(s, &a, 2, (ad_shape[]){ x, y }, NULL, NULL);
    }
}

AD_OPTYPE(conv2d_weight,
          .doc = "the gradient of conv2d's weights, of shape [o,c/groups,kh,kw], from x [n,c,h,w] and the gradient g "
                 "[n,o,oh,ow] of its result",
          .formula = "w[o,c,p,q] = sum over n,i,j of g[n,o,i,j] x[n,c, i stride - padding + p dilation, ..]",
          .gradient = "with v the cotangent: conv_transpose2d(g, v); conv2d(x, v)", .arity = 2,
          .attr_size = sizeof(ad__conv_attrs), .attrs = weight_list, .shape = conv2d_weight_shape,
          .evaluate = { conv2d_weight_evaluate, conv2d_weight_evaluate },
          .backward = { conv2d_weight_backward, conv2d_weight_backward }, .vjp = conv2d_weight_vjp,
          .emit = conv2d_weight_emit);
ad_var *ad_conv2d_weight(ad_var *x, ad_shape weight, ad_var *g, ad_conv_opts opts) {
    ad__conv_attrs a = ad__conv_attrs_of(opts);
    a.weight = weight;
    return ad_apply(&ad_op_conv2d_weight, 2, (ad_var *[]){ x, g }, &a);
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

ad_var *ad_conv1d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    return ad__conv_signal(x, w, b, opts, ad_conv2d, "conv1d");
}
