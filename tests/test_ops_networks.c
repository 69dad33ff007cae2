/* test_ops_networks.c: ops of networks: dropout, norms, convolution and pooling of signals, recurrent ops; failures. */
#include "common.h"

static ad_var *param(ad_graph *g, const double *values, ad_shape s) { return param_of(g, AD_F64, values, s); }

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

static double fraction_of_zeros(const ad_var *x) {
    int64_t zeros = 0;
    for (int64_t i = 0; i < ad_numel(x); i++) zeros += ad_at(x, i) == 0;
    return (double)zeros / (double)ad_numel(x);
}

/* With 100000 elements, five standard deviations are at most 0.008. */
static void dropout_keeps_the_mean(void **state) {
    (void)state;
    const double ps[] = { 0.1, 0.5, 0.9 };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int i = 0; i < COUNT(ps); i++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = ad_require_grad(ad_full(g, (ad_dtype)t, 2, AD_SHAPE(100000)));
            ad_var *y = ad_dropout(x, ps[i], true);
            assert_close(fraction_of_zeros(y), ps[i], 0.008);
            ad_backward(ad_sum(y));
            for (int64_t k = 0; k < 100000; k++) {
                assert_true(ad_at(y, k) == 0 || is_close(ad_at(y, k), 2 / (1 - ps[i]), 1e-6));
                assert_close(ad_grad_at(x, k), ad_at(y, k) / 2, 1e-6);
            }
            ad_graph_free(g);
        }
}

static void dropout_with_p_0_and_1(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 2, 3 }, AD_SHAPE(3));
    assert_ptr_equal(ad_dropout(x, 0, true), x);
    assert_ptr_equal(ad_dropout(x, 0.7, false), x);
    ad_var *none = ad_dropout(x, 1, true);
    ad_backward(ad_sum(none));
    assert_values_in("p = 1", none, 3, (double[]){ 0, 0, 0 }, 0);
    assert_grads_in("p = 1", x, 3, (double[]){ 0, 0, 0 }, 0);
    const double bad[] = { -0.1, 1.1, NAN };
    for (int i = 0; i < COUNT(bad); i++)
        for (int training = 0; training < 2; training++)
            assert_fails(g, ad_dropout(x, bad[i], training), AD_EVALUE, "not a probability");
    assert_true(ad_is_nil(ad_dropout(NULL, 0, true)));
    ad_graph_free(g);
}

static void eval_draws_a_new_dropout_mask(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(64)));
    ad_var *y = ad_dropout(x, 0.5, true), *dx;
    double before[64];
    memcpy(before, ad_data(y), sizeof before);
    ad_gradient(ad_sum(ad_mul(y, x)), 1, &x, &dx);
    assert_int_equal(ad_eval(dx), AD_OK);
    assert_true(memcmp(before, ad_data(y), sizeof before) != 0);
    for (int i = 0; i < 64; i++) assert_close(ad_at(dx, i), 2 * ad_at(y, i), 0); /* dx uses the new mask */
    ad_seed(g, 3);
    ad_var *a = ad_dropout(x, 0.5, true);
    ad_seed(g, 3);
    ad_var *b = ad_dropout(x, 0.5, true);
    assert_memory_equal(ad_data(a), ad_data(b), sizeof before);
    ad_graph_free(g);
}

/* ---- batch_norm: torch.nn.functional.batch_norm 1.13 ------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    ad_var *x, *mean, *var, *w, *b;
} batch;

static batch batch_new(void) {
    ad_graph *g = ad_graph_new();
    return (batch){ g,
                    param(g, (double[]){ 1, 2, 3, 5, -1, 0.5 }, AD_SHAPE(3, 2)),
                    ad_tensor(g, AD_F64, (double[]){ 0.5, -1 }, AD_SHAPE(2)),
                    ad_tensor(g, AD_F64, (double[]){ 2, 3 }, AD_SHAPE(2)),
                    param(g, (double[]){ 1.5, 0.5 }, AD_SHAPE(2)),
                    param(g, (double[]){ 0.1, 0.2 }, AD_SHAPE(2)) };
}
static ad_var *normalized(batch *n, bool training) {
    return ad_batch_norm(n->x, n->mean, n->var, n->w, n->b, (ad_batch_norm_opts){ .training = training });
}

static void batch_norm_training_as_in_pytorch(void **state) {
    (void)state;
    batch n = batch_new();
    ad_var *y = normalized(&n, true), *k = ad_tensor(n.g, AD_F64, (double[]){ 1, 2, 3, -1, 0.5, 1 }, AD_SHAPE(3, 2));
    assert_int_equal(ad_backward_from(y, k), AD_OK);
    const double want_y[] = { 0.09999999999999998, 0.0663695699442658,  1.937113862502121,
                              0.8681521502786709,  -1.7371138625021207, -0.3345217202229368 };
    const double want_dx[] = { -0.4592784656255302,  0.28635112153855025, 0.22964353853223393,
                               -0.09545130713540921, 0.22963492709329625, -0.19089981440314094 };
    assert_values_in("y", y, COUNT(want_y), want_y, 1e-15);
    assert_grads_in("dx", n.x, COUNT(want_dx), want_dx, 1e-15);
    assert_grads_in("dw", n.w, 2, (double[]){ 3.0618564375035344, -2.9398694612261522 }, 1e-15);
    assert_grads_in("db", n.b, 2, (double[]){ 4.5, 2 }, 1e-15);
    assert_values_in("running mean", n.mean, 2, (double[]){ 0.55, -0.65 }, 1e-15);
    assert_values_in("running var", n.var, 2, (double[]){ 2.2, 3.225 }, 1e-15);
    assert_int_equal(ad_eval(y), AD_OK); /* a second evaluation updates the averages again */
    assert_values_in("running mean", n.mean, 2, (double[]){ 0.595, -0.335 }, 1e-15);
    assert_values_in("running var", n.var, 2, (double[]){ 2.38, 3.4275 }, 1e-15);
    const double want_eval[] = { 0.4937829347837357, 0.8306196860109671, 2.4383900201355173,
                                 1.6408376980164923, -1.450824150568046, 0.4255106800082045 };
    assert_values_in("evaluation", normalized(&n, false), COUNT(want_eval), want_eval, 1e-15);
    assert_ok(n.g);
    ad_graph_free(n.g);
}

/* Two training batches may precede backward. Results of evaluation mode from older averages are stale. */
static void running_averages_make_eval_results_stale(void **state) {
    (void)state;
    batch n = batch_new();
    ad_var *before = ad_sum(normalized(&n, false)), *first = normalized(&n, true), *second = normalized(&n, true);
    assert_int_equal(ad_backward(ad_sum(ad_mul(first, second))), AD_OK);
    assert_int_equal(ad_eval(first), AD_OK);
    assert_int_equal(ad_backward(ad_sum(first)), AD_OK);
    assert_int_equal(ad_backward(before), AD_ESTALE);
    assert_contains(ad_error(n.g), "batch_norm_eval");
    ad_clear_error(n.g);
    assert_int_equal(ad_eval(before), AD_OK);
    assert_int_equal(ad_backward(before), AD_OK);
    assert_close(ad_item(before), ad_item(ad_sum(normalized(&n, false))), 1e-15);
    ad_graph_free(n.g);
}

static void bad_batch_norm_is_reported(void **state) {
    (void)state;
    batch n = batch_new();
    ad_graph *g = n.g;
    ad_var *row = ad_zeros(g, AD_F64, AD_SHAPE(1, 2)), *three = ad_zeros(g, AD_F64, AD_SHAPE(3));
    double mine[] = { 0, 0 };
    ad_batch_norm_opts training = { .training = true }, evaluation = { 0 };
    assert_fails(g, ad_batch_norm(row, NULL, NULL, NULL, NULL, training), AD_ESHAPE,
                 "batch_norm_train: [1,2]: needs more than one");
    assert_fails(g, ad_batch_norm(n.x, n.mean, NULL, NULL, NULL, training), AD_EVALUE, "without the other");
    assert_fails(g, ad_batch_norm(n.x, n.mean, three, NULL, NULL, training), AD_ESHAPE,
                 "running averages must be f64 [2]");
    assert_fails(g, ad_batch_norm(n.x, n.mean, ad_add(n.var, n.var), NULL, NULL, training), AD_EVALUE,
                 "must be leaves");
    assert_fails(g, ad_batch_norm(n.x, ad_input(g, AD_F64, mine, AD_SHAPE(2)), n.var, NULL, NULL, training), AD_EVALUE,
                 "must be leaves");
    assert_fails(g, ad_batch_norm(n.x, n.mean, n.var, three, NULL, training), AD_ESHAPE, "must be [2]");
    assert_fails(g, ad_batch_norm(n.x, n.mean, n.var, NULL, NULL, (ad_batch_norm_opts){ true, 2, 0 }), AD_EVALUE,
                 "momentum 2");
    assert_fails(g, ad_batch_norm(n.x, n.mean, n.var, NULL, NULL, (ad_batch_norm_opts){ false, 0, -1 }), AD_EVALUE,
                 "eps -1");
    assert_fails(g, ad_batch_norm(n.x, NULL, NULL, NULL, NULL, evaluation), AD_EVALUE,
                 "batch_norm_eval: operand 1 is NULL");
    assert_fails(g, ad_batch_norm(three, n.mean, n.var, NULL, NULL, evaluation), AD_ESHAPE, "takes x [n,c,..]");
    assert_values_in("running mean after a failed call", n.mean, 2, (double[]){ 0.5, -1 }, 0);
    ad_graph_free(g);
}

/* One Var is x, weight and bias. */
static void layer_norm_of_one_var_and_bad_shapes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 2, 4 }, AD_SHAPE(3)), *y = ad_layer_norm(x, AD_SHAPE(3), x, x, 0.1);
    double mean = 7. / 3, var = (1. + 4 + 16) / 3 - mean * mean;
    for (int i = 0; i < 3; i++)
        assert_close(ad_at(y, i), (ad_at(x, i) - mean) / sqrt(var + 0.1) * ad_at(x, i) + ad_at(x, i), 1e-15);
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(2), NULL, NULL, 0.1), AD_ESHAPE,
                 "layer_norm: [3]: the last axes are not [2]");
    assert_fails(g, ad_layer_norm(x, AD_SCALAR, NULL, NULL, 0.1), AD_ESHAPE, "last 0 axes");
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(1, 3), NULL, NULL, 0.1), AD_ESHAPE, "last 2 axes");
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(3), NULL, ad_zeros(g, AD_F64, AD_SHAPE(2)), 0.1), AD_ESHAPE,
                 "must be [3]");
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(3), NULL, NULL, NAN), AD_EVALUE, "eps");
    ad_graph_free(g);
}

/* ---- convolution and pooling of signals: PyTorch 1.13 ------------------------------------------------------------ */

static const double signal_values[] = { 1, -2, 3, 0.5, 2, -1, 0, 1, 2, -1, 1, 3 };

static void conv1d_as_in_pytorch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, signal_values, AD_SHAPE(1, 2, 6)),
           *b = ad_tensor(g, AD_F64, (double[]){ 0.1, 0.2, 0.3 }, AD_SHAPE(3));
    ad_var *w = param(g, (double[]){ 1, 2, 0.5, -1, -1, 0.25, 2, 1, 0, 1, 1, 0 }, AD_SHAPE(3, 2, 2));
    ad_var *y = ad_conv1d(x, w, b, (ad_conv_opts){ .stride = { 2 }, .padding = { 1 }, .dilation = { 2 } });
    ad_backward(ad_sum(ad_square(y)));
    assert_values_in("conv1d", y, 9, (double[]){ -4.9, 0.6, -4.9, 0.7, 3.325, 0.45, -1.7, 1.8, -1.7 }, 1e-14);
    assert_grads_in("dx", x, 12, (double[]){ 0, -28.1, 0, -3.0375, 0, -22.775, 0, 28.7, 0, -1.05, 0, 10.7 }, 1e-14);
    assert_grads_in("dw", w, 12, (double[]){ -7.3, 30, 11, -40.4, -12.85, -0.375, 5.75, -2.55, -8.9, 12, 7, -17.2 }, 1e-14);
    ad_var *u = ad_tensor(g, AD_F64, (double[]){ 1, 2, -1 }, AD_SHAPE(1, 1, 3)),
           *k = ad_tensor(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(1, 1, 3));
    y = ad_conv_transpose1d(u, k, ad_tensor(g, AD_F64, (double[]){ 0.5 }, AD_SHAPE(1)),
                            (ad_conv_opts){ .stride = { 2 }, .padding = { 1 }, .output_padding = { 1 } });
    assert_values_in("conv_transpose1d", y, 6, (double[]){ 2.5, 5.5, 4.5, 5.5, -1.5, -2.5 }, 1e-15);
    assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(1, 1, 6)));
    ad_graph_free(g);
}

static void pooling_of_signals(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, signal_values, AD_SHAPE(1, 2, 6));
    ad_pool_opts three = { .kernel = { 3 }, .stride = { 2 }, .padding = { 1 } }, without = three;
    without.exclude_padding = true;
    assert_values_in("max_pool1d", ad_max_pool1d(x, three), 6, (double[]){ 1, 3, 2, 1, 2, 3 }, 0);
    assert_values_in("avg_pool1d", ad_avg_pool1d(x, three), 6, (double[]){ -1. / 3, .5, .5, 1. / 3, 2. / 3, 1 }, 1e-15);
    assert_values_in("without padding", ad_avg_pool1d(x, without), 6, (double[]){ -.5, .5, .5, .5, 2. / 3, 1 }, 1e-15);
    ad_var *over = ad_avg_pool1d(x, (ad_pool_opts){ .kernel = { 4 }, .stride = { 3 }, .ceil_mode = true });
    assert_values_in("ceil_mode", over, 4, (double[]){ 0.625, 0.5, 0.5, 1 }, 1e-15);
    assert_true(ad_shape_equal(ad_shape_of(over), AD_SHAPE(1, 2, 2)));
    assert_values_in("adaptive", ad_adaptive_avg_pool1d(x, 4), 8, (double[]){ -.5, .5, 1.25, .5, .5, 1.5, 0, 2 }, 1e-15);
    ad_graph_free(g);
}

/* The number of windows for sizes 5, 6 and 7, by the formula of PyTorch. */
static void number_of_windows_with_ceil_mode(void **state) {
    (void)state;
    const struct {
        int64_t kernel, stride, padding, places[3];
    } rows[] = {
        { 3, 2, 1, { 3, 4, 4 } }, { 2, 3, 0, { 2, 2, 3 } }, { 2, 2, 1, { 3, 4, 4 } }, { 3, 3, 1, { 2, 3, 3 } }
    };
    ad_graph *g = ad_graph_new();
    for (int i = 0; i < COUNT(rows); i++)
        for (int n = 5; n <= 7; n++) {
            ad_pool_opts o = { { rows[i].kernel }, { rows[i].stride }, { rows[i].padding }, { 0 }, true, false };
            assert_int_equal(ad_numel(ad_max_pool1d(ad_zeros(g, AD_F32, AD_SHAPE(n)), o)), rows[i].places[n - 5]);
        }
    ad_graph_free(g);
}

/* Rows of every length up to 70: y[ki kj, i j] = x[i + ki - 1, j + kj - 1], or 0 outside the image. */
static void im2col_of_every_width(void **state) {
    (void)state;
    enum { H = 3, WIDEST = 70 };
    for (int w = 1; w <= WIDEST; w++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_rand(g, w % 2 ? AD_F32 : AD_F64, AD_SHAPE(1, H, w));
        ad_var *y = ad_im2col(x, (ad_window){ .kernel = { 3, 3 }, .padding = { 1, 1 } });
        for (int k = 0; k < 9; k++)
            for (int i = 0; i < H; i++)
                for (int j = 0; j < w; j++) {
                    int r = i + k / 3 - 1, c = j + k % 3 - 1;
                    bool inside = r >= 0 && r < H && c >= 0 && c < w;
                    assert_true(ad_at(y, (k * H + i) * w + j) == (inside ? ad_at(x, r * w + c) : 0));
                }
        ad_graph_free(g);
    }
}

/* The index of the largest element of window (i, j) in a plane x [h,w]. A NaN counts as the largest. */
static int64_t largest_in_window(const ad_pool_opts *o, int64_t h, int64_t w, const float *x, int64_t i, int64_t j) {
    int64_t at = -1;
    for (int64_t p = 0; p < o->kernel[0]; p++)
        for (int64_t q = 0; q < o->kernel[1]; q++) {
            int64_t r = i * o->stride[0] + p * o->dilation[0] - o->padding[0];
            int64_t c = j * o->stride[1] + q * o->dilation[1] - o->padding[1], k = r * w + c;
            if (r < 0 || r >= h || c < 0 || c >= w) continue;
            if (at < 0 || x[k] > x[at] || isnan(x[k])) at = k;
        }
    return at;
}

/* The kernel processes windows in groups. The cases have more rows than a group, wider rows, ties and NaNs. */
static void max_pool_against_plain_loops(void **state) {
    (void)state;
    const struct {
        int64_t h, w;
        ad_pool_opts o;
    } rows[] = {
        { 37, 41, { { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, false, false } },
        { 64, 80, { { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false, false } },
        { 3, 700, { { 1, 2 }, { 1, 1 }, { 0, 1 }, { 1, 1 }, false, false } },
        { 5, 257, { { 2, 3 }, { 1, 1 }, { 1, 1 }, { 2, 2 }, false, false } },
        { 30, 31, { { 4, 2 }, { 3, 3 }, { 2, 0 }, { 1, 1 }, true, false } },
        { 6, 5, { { 2, 2 }, { 5, 4 }, { 1, 1 }, { 1, 1 }, true, false } },
    };
    for (int t = 0; t < COUNT(rows); t++) {
        int64_t h = rows[t].h, w = rows[t].w, planes = 3;
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(planes, h, w));
        float *data = ad_data_mut(x);
        for (int64_t k = 0; k < planes * h * w; k++) data[k] = (float)(k * 7919 % 23) - (k % 11 == 3 ? INFINITY : 11);
        for (int64_t k = 5; k < planes * h * w; k += 97) data[k] = NAN;
        ad_var *y = ad_max_pool2d(x, rows[t].o);
        ad_shape s = ad_shape_of(y);
        int64_t places = s.dim[1] * s.dim[2];
        double *dx = calloc((size_t)(planes * h * w), sizeof *dx);
        for (int64_t k = 0; k < ad_numel(y); k++) {
            int64_t plane = k / places * h * w, row = k % places / s.dim[2];
            int64_t at = plane + largest_in_window(&rows[t].o, h, w, data + plane, row, k % s.dim[2]);
            assert_true(data[at] == ad_at(y, k) || (isnan(data[at]) && isnan(ad_at(y, k))));
            dx[at] += (double)(k % 13);
        }
        ad_var *weights = ad_zeros(g, AD_F32, s);
        for (int64_t k = 0; k < ad_numel(y); k++) ((float *)ad_data_mut(weights))[k] = (float)(k % 13);
        assert_int_equal(ad_backward_from(y, weights), AD_OK);
        for (int64_t k = 0; k < planes * h * w; k++) assert_true(ad_grad_at(x, k) == dx[k]);
        free(dx);
        ad_graph_free(g);
    }
}

static void max_pool_ties_and_nan(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 1, 1, 1, NAN, NAN }, AD_SHAPE(1, 1, 6)),
           *y = ad_max_pool1d(x, (ad_pool_opts){ .kernel = { 3 } });
    ad_backward(ad_sum(y));
    assert_values_in("max", y, 2, (double[]){ 1, NAN }, 0);
    assert_grads_in("the first maximum, the last NaN", x, 6, (double[]){ 1, 0, 0, 0, 0, 1 }, 0);
    ad_graph_free(g);
}

/* A smooth scalar function of the gradients of y. Its gradient tests second derivatives by the vjp rules. */
static ad_var *gradient_of(ad_var *y, int n, ad_var *const xs[]) {
    ad_var *d[4], *sum = NULL;
    if (ad_gradient(ad_sum(ad_mul(y, ad_sin(y))), n, xs, d)) return ad_sum(y);
    for (int i = 0; i < n; i++) {
        ad_var *s = ad_sum(ad_mul(d[i], ad_cos(d[i])));
        sum = sum ? ad_add(sum, s) : s;
    }
    return sum;
}
static ad_var *second_conv(int n, ad_var *const xs[], void *user) {
    (void)user;
    return gradient_of(ad_conv2d(xs[0], xs[1], xs[2], (ad_conv_opts){ .stride = { 2, 1 }, .padding = { 1, 0 } }), n,
                       xs);
}
static ad_var *second_transposed(int n, ad_var *const xs[], void *user) {
    (void)user;
    return gradient_of(ad_conv_transpose2d(xs[0], xs[1], NULL, (ad_conv_opts){ .stride = { 2, 1 } }), n - 1, xs);
}
static ad_var *second_layer_norm(int n, ad_var *const xs[], void *user) {
    (void)user;
    ad_var *w = ad_slice(ad_reshape(xs[1], AD_SHAPE(2, 8)), 1, 0, 3, 1);
    return gradient_of(ad_layer_norm(xs[0], AD_SHAPE(2, 3), w, NULL, 0.1), n - 1, xs);
}
static ad_var *second_batch_norm(int n, ad_var *const xs[], void *user) {
    (void)user;
    return gradient_of(ad_batch_norm(xs[0], NULL, NULL, xs[2], NULL, (ad_batch_norm_opts){ .training = true }), n - 2,
                       xs);
}
static ad_var *second_pool(int n, ad_var *const xs[], void *user) {
    (void)user;
    ad_var *y = ad_max_pool2d(xs[0], (ad_pool_opts){ .kernel = { 2, 2 }, .stride = { 1, 1 } });
    return gradient_of(ad_avg_pool2d(y, (ad_pool_opts){ .kernel = { 1, 2 } }), n - 2, xs);
}
static ad_var *second_losses(int n, ad_var *const xs[], void *user) {
    (void)user, (void)n;
    ad_var *x = ad_reshape(xs[0], AD_SHAPE(6, 4)), *p = ad_softmax(ad_muls(x, 0.5), 1),
           *w = ad_ones(ad_graph_of(x), AD_F64, AD_SHAPE(4));
    ad_var *a = ad_cross_entropy_with(x, p, (ad_ce_opts){ .weight = w, .label_smoothing = 0.2 });
    ad_var *b = ad_bce(p, ad_sigmoid(x), AD_MEAN),
           *c = ad_kl_div(ad_log_softmax(x, 1), p, false, AD_MEAN);
    return gradient_of(ad_add(ad_add(a, b), ad_add(c, ad_sum(ad_cosine_similarity(x, ad_square(p), 1, 1e-8)))), 1, xs);
}

static void second_derivatives(void **state) {
    (void)state;
    ad_check_fn *const fs[] = { second_conv,       second_transposed, second_layer_norm,
                                second_batch_norm, second_pool,       second_losses };
    for (int i = 0; i < COUNT(fs); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[] = { ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2, 2, 2, 3))),
                         ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2, 2, 2, 2))),
                         ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2))) };
        ad_check_report report;
        if (ad_gradcheck(fs[i], NULL, 3, xs, NULL, &report)) fail_msg("case %d: %s", i, report.message);
        ad_graph_free(g);
    }
}

/* ---- one Var as several operands --------------------------------------------------------------------------------- */

static ad_var *shared(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    ad_var *x = xs[0], *plane = ad_reshape(x, AD_SHAPE(2, 2, 1, 2)), *b = ad_sum_axis(x, 1, false);
    ad_var *p = ad_softmax(x, 1);
    ad_var *parts[] = { ad_conv2d(plane, plane, b, (ad_conv_opts){ .padding = { 1, 1 } }),
                        ad_conv_transpose2d(plane, plane, b, (ad_conv_opts){ 0 }),
                        ad_batch_norm(x, NULL, NULL, ad_sum_axis(x, 0, false), ad_sum_axis(x, 0, false),
                                      (ad_batch_norm_opts){ .training = true }),
                        ad_mse(p, p, AD_NONE),
                        ad_bce(p, p, AD_SUM),
                        ad_kl_div(p, p, true, AD_SUM),
                        ad_cross_entropy_with(p, p, (ad_ce_opts){ 0 }),
                        ad_cosine_similarity(x, x, 1, 1e-8) };
    ad_var *sum = ad_scalar(ad_graph_of(x), AD_F64, 0);
    for (int i = 0; i < COUNT(parts); i++) sum = ad_add(sum, ad_sum(ad_sin(parts[i])));
    return sum;
}

static void one_var_as_every_operand(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, -2, 0.5, 3, 0.25, -1, 2, 0.75 }, AD_SHAPE(2, 4));
    ad_check_report report;
    if (ad_gradcheck(shared, NULL, 1, &x, NULL, &report)) fail_msg("%s", report.message);
    ad_graph_free(g);
}

/* ---- bad operands ------------------------------------------------------------------------------------------------ */

static void bad_convolutions_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(1, 4, 5, 5)), *w = ad_zeros(g, AD_F32, AD_SHAPE(6, 4, 3, 3)),
           *v = ad_zeros(g, AD_F32, AD_SHAPE(5));
    const struct {
        ad_conv_opts o;
        int code;
        const char *text;
    } rows[] = {
        { { .stride = { -1, 1 } }, AD_EVALUE, "stride -1 is not in 1..2147483647" },
        { { .dilation = { 1, INT64_MAX } }, AD_EVALUE, "dilation 9223372036854775807 is not in 1..2147483647" },
        { { .padding = { -3, 0 } }, AD_ESHAPE, "conv2d: [1,4,5,5]: padding of -3 leaves nothing of x" },
        { { .padding = { 0, INT64_MIN } }, AD_ESHAPE, "leaves nothing of x" },
        { { .padding = { INT64_MAX, 0 } }, AD_EVALUE, "padding" },
        { { .groups = -1 }, AD_EVALUE, "-1 groups" },
        { { .groups = 2 },
          AD_ESHAPE,
          "conv2d: [1,4,5,5] x [6,4,3,3]: x has 4 channels and w takes 4 in each of 2 groups" },
        { { .dilation = { 3, 1 } }, AD_ESHAPE, "a kernel of size 3 with dilation 3 is larger than x" },
        { { .output_padding = { 1, 0 } }, AD_EVALUE, "output_padding" },
    };
    for (int i = 0; i < COUNT(rows); i++) assert_fails(g, ad_conv2d(x, w, NULL, rows[i].o), rows[i].code, rows[i].text);
    ad_conv_opts plain = { 0 };
    assert_fails(g, ad_conv2d(x, v, NULL, plain), AD_ESHAPE, "takes x [n,c,h,w]");
    assert_fails(g, ad_conv2d(x, w, v, plain), AD_ESHAPE, "b must be [6]");
    assert_fails(g, ad_conv2d(x, ad_zeros(g, AD_F32, AD_SHAPE(5, 2, 3, 3)), NULL, (ad_conv_opts){ .groups = 2 }),
                 AD_ESHAPE, "5 channels out");
    assert_fails(g, ad_conv2d(x, ad_zeros(g, AD_F32, AD_SHAPE(5, 4, 0, 3)), NULL, plain), AD_ESHAPE,
                 "a kernel of size 0");
    assert_fails(g, ad_conv2d(x, NULL, NULL, plain), AD_EVALUE, "conv2d: operand 1 is NULL");
    assert_fails(g, ad_conv_transpose2d(x, ad_zeros(g, AD_F32, AD_SHAPE(3, 1, 2, 2)), NULL, plain), AD_ESHAPE,
                 "x has 4 channels, w takes 3");
    assert_fails(
        g,
        ad_conv_transpose2d(x, ad_zeros(g, AD_F32, AD_SHAPE(4, 1, 2, 2)), NULL, (ad_conv_opts){ .padding = { 9, 0 } }),
        AD_ESHAPE, "leaves nothing");
    assert_fails(g, ad_conv_transpose2d(x, ad_zeros(g, AD_F32, AD_SHAPE(4, 1, 2, 2)), v, plain), AD_ESHAPE,
                 "b must be [1]");
    assert_fails(g, ad_conv2d_weight(x, AD_SHAPE(6, 4, 2, 2), w, plain), AD_ESHAPE, "do not yield the shape of g");
    assert_fails(g, ad_conv2d_weight(x, AD_SHAPE(6, 3, 2, 2), w, plain), AD_ESHAPE, "do not take x");
    assert_fails(g, ad_conv1d(x, w, NULL, plain), AD_ESHAPE, "conv1d: [1,4,5,5] x [6,4,3,3]: takes x [n,c,l]");
    assert_fails(g, ad_conv_transpose1d(v, v, NULL, plain), AD_ESHAPE, "conv_transpose1d: [5] x [5]");
    ad_graph_free(g);
}

/* Arrays without elements have any sizes, with addresses of 64 bits. */
static void windows_are_no_more_than_an_int(void **state) {
    (void)state;
    if (!BITS_64) skip();
    ad_graph *g = ad_graph_new();
    const int64_t most = INT32_MAX;
    ad_var *longest = ad_zeros(g, AD_F32, AD_SHAPE(0, 1, most));
    ad_var *shorter = ad_zeros(g, AD_F32, AD_SHAPE(0, 1, most - 1));
    ad_pool_opts wider = { .kernel = { 1, 2 }, .stride = { 1, 1 }, .padding = { 0, 1 } };
    assert_int_equal(ad_shape_of(ad_max_pool2d(shorter, wider)).dim[2], most);
    assert_ok(g);
    assert_fails(g, ad_max_pool2d(longest, wider), AD_ESHAPE, "2147483648 windows along an axis: at most 2147483647");
    ad_graph_free(g);
}

static void bad_pools_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(2, 5, 5)), *v = ad_zeros(g, AD_F32, AD_SHAPE(5)),
           *s = ad_zeros(g, AD_F32, AD_SCALAR);
    const struct {
        ad_pool_opts o;
        int code;
        const char *text;
    } rows[] = {
        { { .kernel = { 2 } }, AD_EVALUE, "kernel 0 is not in 1..2147483647" },
        { { .kernel = { 2, 2 }, .stride = { -1, 1 } }, AD_EVALUE, "stride -1 is not in 1..2147483647" },
        { { .kernel = { 2, 2 }, .padding = { 2, 0 } }, AD_EVALUE, "padding 2 is not in 0..1" },
        { { .kernel = { 2, 2 }, .padding = { 0, -1 } }, AD_EVALUE, "padding -1" },
        { { .kernel = { 6, 1 } }, AD_ESHAPE, "max_pool2d: [2,5,5]: a size of 5 is too small for windows of 6" },
    };
    for (int i = 0; i < COUNT(rows); i++) assert_fails(g, ad_max_pool2d(x, rows[i].o), rows[i].code, rows[i].text);
    ad_pool_opts two = { .kernel = { 2, 2 } };
    assert_fails(g, ad_max_pool2d(v, two), AD_ESHAPE, "2 dimensions or more");
    assert_fails(g, ad_max_pool2d_index(v, two), AD_ESHAPE, "2 dimensions or more");
    assert_fails(g, ad_avg_pool2d(v, two), AD_ESHAPE, "2 dimensions or more");
    assert_fails(g, ad_max_pool1d(s, two), AD_ESHAPE, "max_pool1d: []: takes 1 to 5 dimensions");
    assert_fails(g, ad_avg_pool2d(x, (ad_pool_opts){ .kernel = { 2, 2 }, .dilation = { 2, 1 } }), AD_EVALUE,
                 "no dilation");
    assert_fails(g, ad_adaptive_avg_pool2d(x, 0, 2), AD_ESHAPE, "cannot divide 5 elements into 0 windows");
    assert_fails(g, ad_avg_unpool2d(x, 5, 5, two), AD_ESHAPE, "planes of 5 x 5 are not pooled to this shape");
    assert_fails(g, ad_avg_unpool2d(x, -1, 5, two), AD_ESHAPE, "-1 x 5 is not a valid size");
    ad_var *one = ad_zeros(g, AD_F32, AD_SHAPE(1, 1));
    assert_fails(g, ad_max_pool2d(one, (ad_pool_opts){ .kernel = { 2, 1 }, .padding = { 1, 0 }, .dilation = { 2, 1 } }),
                 AD_ESHAPE, "no element in the plane");
    if (!test_quick()) {
        ad_var *wide = ad_zeros(g, AD_F32, AD_SHAPE(4097, 4097));
        assert_fails(g, ad_max_pool2d_index(wide, two), AD_ESHAPE,
                     "a plane has more elements than f32 can count exactly, 16777216");
    }
    ad_graph_free(g);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static ad_var *small_net(ad_var *x, ad_var *w, ad_var *scale, ad_var *classes) {
    ad_var *h = ad_conv2d(x, w, NULL, (ad_conv_opts){ .padding = { 1, 1 } });
    h = ad_relu(ad_batch_norm(h, NULL, NULL, scale, NULL, (ad_batch_norm_opts){ .training = true }));
    h = ad_dropout(ad_max_pool2d(h, (ad_pool_opts){ .kernel = { 2, 2 } }), 0.2, true);
    h = ad_reshape(ad_adaptive_avg_pool2d(h, 1, 2), AD_SHAPE(4, 6));
    h = ad_layer_norm(h, AD_SHAPE(6), NULL, NULL, 1e-5);
    return ad_cross_entropy_with(h, classes, (ad_ce_opts){ .label_smoothing = 0.1 });
}

static void repeated_steps_allocate_nothing(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_randn(g, AD_F32, AD_SHAPE(4, 2, 8, 8)),
           *w = ad_require_grad(ad_randn(g, AD_F32, AD_SHAPE(3, 2, 3, 3)));
    ad_var *scale = ad_require_grad(ad_ones(g, AD_F32, AD_SHAPE(3))), *classes = ad_zeros(g, AD_F32, AD_SHAPE(4));
    int64_t allocs = 0;
    for (int step = 0; step < 20; step++) {
        ad_mark m = ad_begin(g);
        assert_int_equal(ad_backward(small_net(x, w, scale, classes)), AD_OK);
        ad_end(g, m);
        if (step == 3) allocs = ad_graph_stats(g).allocs;
    }
    assert_int_equal(ad_graph_stats(g).allocs, allocs);
    ad_var *loss = small_net(x, w, scale, classes);
    ad_eval(loss), ad_backward(loss);
    allocs = ad_graph_stats(g).allocs;
    for (int step = 0; step < 5; step++) assert_int_equal(ad_eval(loss) | ad_backward(loss), AD_OK);
    assert_int_equal(ad_graph_stats(g).allocs, allocs);
    ad_graph_free(g);
}

/* ---- recurrent networks ---------------------------------------------------------------------------------------- */

static void bad_recurrent_ops_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 5, 12)), *h = ad_zeros(g, AD_F64, AD_SHAPE(2, 3));
    ad_var *w = ad_ones(g, AD_F64, AD_SHAPE(12, 3)), *none = ad_ones(g, AD_F64, AD_SHAPE(2, 0, 12));
    assert_fails(g, ad_lstm(none, w, h, h, false), AD_ESHAPE, "lstm: [2,0,12] x [12,3] x [2,3] x [2,3]: takes x");
    assert_fails(g, ad_lstm(x, h, h, h, false), AD_ESHAPE, "takes x [n,time,4 m], w [4 m,m], h and c [n,m]");
    assert_fails(g, ad_lstm(x, w, h, w, false), AD_ESHAPE, "time 1 or more");
    assert_fails(g, ad_gru(x, w, h, h, false), AD_ESHAPE, "takes x [n,time,3 m], w [3 m,m], h [n,m] and b [3 m]");
    assert_fails(g, ad_rnn(x, w, h, false, false), AD_ESHAPE, "takes x [n,time,m], w [m,m] and h [n,m]");
    assert_true(ad_shape_equal(ad_shape_of(ad_lstm(x, w, h, h, false)), AD_SHAPE(2, 2, 5, 3)));
    assert_ok(g);
    ad_graph_free(g);
}

/* A reversed GRU equals a GRU of the flipped sequence, flipped back. */
static void reversed_gru_against_flipped_gru(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(3, 4, 6))), *h = ad_randn(g, AD_F64, AD_SHAPE(3, 2));
    ad_var *w = ad_randn(g, AD_F64, AD_SHAPE(6, 2)), *b = ad_randn(g, AD_F64, AD_SHAPE(6));
    ad_var *one = ad_gru(x, w, h, b, true), *two = ad_flip(ad_gru(ad_flip(x, 1), w, h, b, false), 1);
    for (int k = 0; k < 24; k++) assert_true(ad_at(one, k) == ad_at(two, k));
    ad_backward(ad_sum(ad_sub(one, two)));
    for (int k = 0; k < 72; k++) assert_true(ad_grad_at(x, k) == 0);
    assert_ok(g);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropout_keeps_the_mean),
        cmocka_unit_test(dropout_with_p_0_and_1),
        cmocka_unit_test(eval_draws_a_new_dropout_mask),
        cmocka_unit_test(batch_norm_training_as_in_pytorch),
        cmocka_unit_test(running_averages_make_eval_results_stale),
        cmocka_unit_test(bad_batch_norm_is_reported),
        cmocka_unit_test(bad_recurrent_ops_are_reported),
        cmocka_unit_test(reversed_gru_against_flipped_gru),
        cmocka_unit_test(layer_norm_of_one_var_and_bad_shapes),
        cmocka_unit_test(conv1d_as_in_pytorch),
        cmocka_unit_test(pooling_of_signals),
        cmocka_unit_test(number_of_windows_with_ceil_mode),
        cmocka_unit_test(im2col_of_every_width),
        cmocka_unit_test(max_pool_against_plain_loops),
        cmocka_unit_test(max_pool_ties_and_nan),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(one_var_as_every_operand),
        cmocka_unit_test(bad_convolutions_are_reported),
        cmocka_unit_test(windows_are_no_more_than_an_int),
        cmocka_unit_test(bad_pools_are_reported),
        cmocka_unit_test(repeated_steps_allocate_nothing),
    };
    return cmocka_run_group_tests_name("ops of networks", tests, NULL, NULL);
}
