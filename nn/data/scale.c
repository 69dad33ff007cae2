/* scale.c: shift and scale of columns, to a standard deviation of 1 or to the range 0 .. 1. */
#include "nn/data.h"
#include "ops/ops.h"

/* 1 / width; 1 for a constant column. */
static ad_var *scale_of(ad_var *width) {
    ad_graph *g = ad_graph_of(width);
    ad_var *zero = ad_scalar(g, ad_dtype_of(width), 0), *one = ad_scalar(g, ad_dtype_of(width), 1);
    return ad_where(ad_gt(width, zero), ad_reciprocal(width), one);
}

nn_scaler nn_fit_standard(ad_var *x) {
    bool was = ad_enable_grad(ad_graph_of(x), false);
    nn_scaler s = { ad_mean_axis(x, 0, true), scale_of(ad_std_axes(x, 1, (int[]){ 0 }, 0, true)) };
    ad_enable_grad(ad_graph_of(x), was);
    return s;
}

nn_scaler nn_fit_minmax(ad_var *x) {
    bool was = ad_enable_grad(ad_graph_of(x), false);
    ad_var *low = ad_min_axis(x, 0, true);
    nn_scaler s = { low, scale_of(ad_sub(ad_max_axis(x, 0, true), low)) };
    ad_enable_grad(ad_graph_of(x), was);
    return s;
}

ad_var *nn_scale(nn_scaler s, ad_var *x) { return ad_mul(ad_sub(x, s.shift), s.scale); }
ad_var *nn_unscale(nn_scaler s, ad_var *x) { return ad_add(ad_div(x, s.scale), s.shift); }
