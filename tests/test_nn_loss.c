/* test_nn_loss.c: the losses against torch's, their reductions, and penalties. */
#include "nn/nn.h"
#include "tests/common.h"

/* ---- what torch gives: see tests/reference/losses.py ------------------------------------------------------- */

enum { N = 12 };

typedef struct {
    ad_var *y, *target, *share, *sign, *classes, *weight, *pair; /* [4,3]; classes [4], weight [3], pair [4] */
} operands;

static operands operands_new(ad_graph *g) {
    double y[N], target[N], share[N], sign[N];
    for (int k = 0; k < N; k++) {
        y[k] = cos(0.3 + 1.1 * k), target[k] = sin(0.7 + 0.8 * k);
        share[k] = 1 / (1 + exp(-target[k])), sign[k] = target[k] > 0 ? 1 : -1;
    }
    ad_shape s = AD_SHAPE(4, 3);
    return (operands){ ad_param(g, AD_F64, y, s), ad_tensor(g, AD_F64, target, s), ad_tensor(g, AD_F64, share, s),
                       ad_tensor(g, AD_F64, sign, s), ad_tensor(g, AD_F64, (double[]){ 2, 0, 1, 1 }, AD_SHAPE(4)),
                       ad_tensor(g, AD_F64, (double[]){ 0.5, 1, 2 }, AD_SHAPE(3)),
                       ad_tensor(g, AD_F64, (double[]){ -1, 1, -1, -1 }, AD_SHAPE(4)) };
}

#define LOSS(name, call)                                                                                               \
    static ad_var *loss_##name(const operands *o) { return call; }
LOSS(mse, nn_mse(o->y, o->target))
LOSS(mse_sum, nn_mse_with(o->y, o->target, AD_SUM))
LOSS(l1, nn_l1(o->y, o->target))
LOSS(l1_sum, nn_l1_with(o->y, o->target, AD_SUM))
LOSS(huber, nn_huber(o->y, o->target))
LOSS(huber_with, nn_huber_with(o->y, o->target, 0.4, AD_SUM))
LOSS(smooth_l1, nn_smooth_l1(o->y, o->target))
LOSS(smooth_l1_with, nn_smooth_l1_with(o->y, o->target, 0.4, AD_SUM))
LOSS(bce, nn_bce(ad_sigmoid(o->y), o->share))
LOSS(bce_sum, nn_bce_with(ad_sigmoid(o->y), o->share, AD_SUM))
LOSS(bce_logits, nn_bce_logits(o->y, o->share))
LOSS(bce_logits_with, nn_bce_logits_with(o->y, o->share, o->weight, AD_SUM))
LOSS(bce_weighted, nn_bce_weighted(ad_sigmoid(o->y), o->share, o->weight, AD_MEAN))
LOSS(bce_logits_weighted, nn_bce_logits_weighted(o->y, o->share, o->weight, o->weight, AD_SUM))
LOSS(multilabel_soft_margin, nn_multilabel_soft_margin(o->y, o->share))
LOSS(multilabel_soft_margin_with, nn_multilabel_soft_margin_with(o->y, o->share, o->weight, AD_SUM))
LOSS(triplet_margin, nn_triplet_margin(o->y, o->target, o->share))
LOSS(triplet_margin_with,
     nn_triplet_margin_with(o->y, o->target, o->share, (ad_triplet_opts){ 0.5, 3, 1e-3, true, AD_SUM }))
LOSS(margin_ranking, nn_margin_ranking(o->y, o->target, o->sign))
LOSS(margin_ranking_with, nn_margin_ranking_with(o->y, o->target, o->sign, 0.5, AD_SUM))
LOSS(poisson_nll, nn_poisson_nll(o->y, o->share))
LOSS(poisson_nll_with,
     nn_poisson_nll_with(ad_exp(o->y), ad_muls(o->share, 3), (ad_poisson_opts){ true, true, 0.1, AD_SUM }))
LOSS(gaussian_nll, nn_gaussian_nll(o->y, o->target, o->share))
LOSS(gaussian_nll_with,
     nn_gaussian_nll_with(o->target, o->share, ad_square(o->y), (ad_gaussian_opts){ true, 0.1, AD_SUM }))

/* Labels of n sequences, and the numbers of their times and labels. */
static ad_var *constant(const operands *o, int64_t n, int64_t m, const double *values) {
    ad_var *x = ad_tensor(ad_graph_of(o->y), AD_F64, values, AD_SHAPE(n, m));
    return m > 1 ? x : ad_reshape(x, AD_SHAPE(n));
}
LOSS(ctc, nn_ctc(ad_unsqueeze(ad_log_softmax(o->y, -1), 1), constant(o, 1, 2, (double[]){ 1, 2 }),
                 constant(o, 1, 1, (double[]){ 4 }), constant(o, 1, 1, (double[]){ 2 })))
LOSS(ctc_with, nn_ctc_with(ad_tile(ad_unsqueeze(ad_log_softmax(o->y, -1), 1), AD_SHAPE(1, 3, 1)),
                           constant(o, 3, 2, (double[]){ 0, 0, 2, 0, 0, 0 }), constant(o, 3, 1, (double[]){ 4, 3, 2 }),
                           constant(o, 3, 1, (double[]){ 2, 1, 2 }), (ad_ctc_opts){ 1, true, AD_SUM }))
LOSS(hinge, nn_hinge(o->y, o->sign))
LOSS(hinge_with, nn_hinge_with(o->y, o->sign, 0.3, AD_SUM))
LOSS(hinge_embedding, nn_hinge_embedding(o->y, o->sign))
LOSS(hinge_embedding_with, nn_hinge_embedding_with(o->y, o->sign, 0.3, AD_SUM))
LOSS(soft_margin, nn_soft_margin(o->y, o->sign))
LOSS(soft_margin_sum, nn_soft_margin_with(o->y, o->sign, AD_SUM))
LOSS(cosine_embedding, nn_cosine_embedding(o->y, o->target, o->pair))
LOSS(cosine_embedding_with, nn_cosine_embedding_with(o->y, o->target, o->pair, -0.5, AD_SUM))
LOSS(cross_entropy, nn_cross_entropy(o->y, o->classes))
LOSS(cross_entropy_with,
     nn_cross_entropy_with(o->y, o->classes, (ad_ce_opts){ .weight = o->weight, .label_smoothing = 0.1 }))
LOSS(cross_entropy_sum, nn_cross_entropy_with(o->y, o->share, (ad_ce_opts){ .reduction = AD_SUM }))
LOSS(nll, nn_nll(ad_log_softmax(o->y, -1), o->classes))
LOSS(nll_with, nn_nll_with(ad_log_softmax(o->y, -1), o->classes,
                           (ad_ce_opts){ .ignore = true, .ignore_index = 1, .reduction = AD_SUM }))
LOSS(multi_margin, nn_multi_margin(o->y, o->classes))
LOSS(multi_margin_with, nn_multi_margin_with(o->y, o->classes, 2, 0.5, o->weight, AD_SUM))
LOSS(kl_div, nn_kl_div(ad_log_softmax(o->y, -1), o->share))
LOSS(kl_div_with, nn_kl_div_with(ad_log_softmax(o->y, -1), ad_log_softmax(o->share, -1), true, AD_BATCHMEAN))

#define ROW(name) { #name, loss_##name }
static const struct {
    const char *name;
    ad_var *(*loss)(const operands *o);
} losses[] = {
    ROW(mse), ROW(mse_sum), ROW(l1), ROW(l1_sum), ROW(huber), ROW(huber_with), ROW(smooth_l1), ROW(smooth_l1_with),
    ROW(bce), ROW(bce_sum), ROW(bce_logits), ROW(bce_logits_with), ROW(bce_weighted), ROW(bce_logits_weighted),
    ROW(multilabel_soft_margin), ROW(multilabel_soft_margin_with), ROW(triplet_margin), ROW(triplet_margin_with),
    ROW(margin_ranking), ROW(margin_ranking_with), ROW(poisson_nll), ROW(poisson_nll_with), ROW(gaussian_nll),
    ROW(gaussian_nll_with), ROW(ctc), ROW(ctc_with), ROW(hinge), ROW(hinge_with), ROW(hinge_embedding),
    ROW(hinge_embedding_with), ROW(soft_margin), ROW(soft_margin_sum), ROW(cosine_embedding),
    ROW(cosine_embedding_with), ROW(cross_entropy), ROW(cross_entropy_with),
    ROW(cross_entropy_sum), ROW(nll), ROW(nll_with), ROW(multi_margin), ROW(multi_margin_with), ROW(kl_div),
    ROW(kl_div_with),
};

static void check_loss(const char *name, const char *numbers) {
    char *end;
    double expected[1 + N];
    for (int k = 0; k < 1 + N; k++, numbers = end) expected[k] = strtod(numbers, &end);
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        if (strcmp(losses[i].name, name) != 0) continue;
        ad_graph *g = ad_graph_new();
        operands o = operands_new(g);
        ad_var *loss = losses[i].loss(&o);
        ad_backward(loss);
        assert_ok(g);
        assert_close_in(name, ad_item(loss), expected[0], 1e-12);
        for (int k = 0; k < N; k++) assert_close_in(name, ad_grad_at(o.y, k), expected[1 + k], 1e-12);
        ad_graph_free(g);
        return;
    }
    fail_msg("there is no loss for %s", name);
}

static void losses_are_as_in_torch(void **state) {
    (void)state;
    char line[1024];
    size_t n = 0;
    FILE *in = open_source("tests/reference/results_nn/losses.txt");
    while (fgets(line, sizeof line, in) != NULL) {
        if (line[0] == '#') continue;
        char *name = strtok(line, " "), *numbers = strtok(NULL, "");
        check_loss(name, numbers);
        n++;
    }
    fclose(in);
    assert_int_equal(n, sizeof losses / sizeof *losses);
}

static void losses_of_each_element(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    operands o = operands_new(g);
    ad_var *each[] = { nn_mse_with(o.y, o.target, AD_NONE), nn_l1_with(o.y, o.target, AD_NONE),
                       nn_huber_with(o.y, o.target, 1, AD_NONE), nn_bce_logits_with(o.y, o.share, NULL, AD_NONE),
                       nn_hinge_with(o.y, o.sign, 1, AD_NONE), nn_soft_margin_with(o.y, o.sign, AD_NONE) };
    ad_var *mean[] = { nn_mse(o.y, o.target),      nn_l1(o.y, o.target),   nn_huber(o.y, o.target),
                       nn_bce_logits(o.y, o.share), nn_hinge(o.y, o.sign), nn_soft_margin(o.y, o.sign) };
    for (int i = 0; i < 6; i++) {
        assert_true(ad_shape_equal(ad_shape_of(each[i]), AD_SHAPE(4, 3)));
        assert_close(ad_item(ad_mean(each[i])), ad_item(mean[i]), 1e-14);
    }
    ad_var *rows = nn_cross_entropy_with(o.y, o.classes, (ad_ce_opts){ .reduction = AD_NONE });
    assert_true(ad_shape_equal(ad_shape_of(rows), AD_SHAPE(4)));
    assert_close(ad_item(ad_mean(rows)), ad_item(nn_cross_entropy(o.y, o.classes)), 1e-14);
    assert_ok(g);
    ad_graph_free(g);
}

static void losses_do_not_broadcast(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *y = ad_ones(g, AD_F64, AD_SHAPE(4, 1)), *t = ad_ones(g, AD_F64, AD_SHAPE(4));
    ad_var *(*const all[])(ad_var *, ad_var *) = { nn_mse, nn_l1,    nn_huber,           nn_smooth_l1,   nn_bce,
                                                   nn_bce_logits, nn_hinge, nn_hinge_embedding, nn_soft_margin, nn_kl_div };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(ad_is_nil(all[i](y, t)));
        assert_contains(ad_error(g), ": [4,1] x [4]: input and target must have one shape; reshape");
        ad_clear_error(g);
    }
    ad_graph_free(g);
}

static void cosine_embedding_refuses(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *y = ad_ones(g, AD_F64, AD_SHAPE(4, 2)), *t = ad_ones(g, AD_F64, AD_SHAPE(4));
    assert_true(ad_is_nil(nn_cosine_embedding(y, y, y)));
    assert_string_equal(ad_error(g), "cosine_embedding: [4] and target [4,2]: shapes must be equal; reshape one");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_cosine_embedding(y, t, t)));
    assert_contains(ad_error(g), "cosine_embedding: [4,2] and target [4]: shapes must be equal");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_cosine_embedding_with(y, y, t, 0, AD_BATCHMEAN)));
    assert_contains(ad_error(g), "cosine_embedding: 3 is no reduction of this loss");
    ad_clear_error(g);
    ad_var *rows = nn_cosine_embedding_with(y, y, t, 0, AD_NONE);
    assert_true(ad_shape_equal(ad_shape_of(rows), AD_SHAPE(4)));
    assert_true(ad_is_nil(nn_cosine_embedding(NULL, NULL, NULL)));
    ad_graph_free(g);
}

/* ---- penalties ------------------------------------------------------------------------------------------------ */

static void penalties_add_up(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_sequential(g, nn_linear(g, AD_F64, 2, 1, true), nn_linear(g, AD_F64, 1, 1, true));
    for (int i = 0; i < 4; i++) nn_init_constant(nn_parameter_at(net, i).var, i % 2 ? 3 : -2);
    ad_var *l1 = nn_l1_penalty(net, "weight", 0.5), *l2 = nn_l2_penalty(net, NULL, 0.1);
    assert_close(ad_item(l1), 0.5 * (3 * 2), 1e-15);
    assert_close(ad_item(l2), 0.1 * (3 * 4 + 2 * 9), 1e-15);
    ad_backward(ad_add(l1, l2));
    assert_close(ad_grad_at(nn_find_parameter(net, "0.weight"), 1), -0.5 + 0.2 * -2, 1e-15);
    assert_close(ad_grad_at(nn_find_parameter(net, "1.bias"), 0), 0.2 * 3, 1e-15);
    assert_true(ad_is_nil(nn_l1_penalty(net, "none", 1)));
    assert_contains(ad_error(g), "l1_penalty: no trainable parameter of sequential has a name that ends in \"none\"");
    ad_clear_error(g);
    nn_freeze(net, true);
    assert_true(ad_is_nil(nn_l2_penalty(net, NULL, 1)));
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_l2_penalty(NULL, NULL, 1)));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_as_in_torch),
        cmocka_unit_test(losses_of_each_element),
        cmocka_unit_test(losses_do_not_broadcast),
        cmocka_unit_test(cosine_embedding_refuses),
        cmocka_unit_test(penalties_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
