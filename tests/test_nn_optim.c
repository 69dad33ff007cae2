/* test_nn_optim.c: SGD against torch.optim.SGD, and what an optimiser may and may not touch. */
#include "nn/nn.h"
#include "tests/common.h"

/* The expected numbers are what this prints, with torch 1.13:

    import torch
    def run(**o):
        f64 = dict(dtype=torch.float64)
        w = torch.tensor([0.5, -1.5, 2.0], requires_grad=True, **f64)
        v = torch.tensor([3.0, -2.0], requires_grad=True, **f64)
        c, t = torch.tensor([1.0, 0.3, 2.0], **f64), torch.tensor([1.0, -1.0, 0.25], **f64)
        opt = torch.optim.SGD([w, v], **o)
        for i in range(40):
            loss = (c * (w - t) ** 2).sum()
            if i >= 10: loss = loss + ((v - 0.7) ** 2).mean()
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
        print(o, ", ".join("%.17g" % k for k in w.tolist() + v.tolist()))

   v has no gradient in the first ten steps: it must stay, and its velocity must begin at the eleventh. */
static const struct {
    const char *name;
    nn_sgd_opts o;
    double after[5]; /* w, v */
} runs[] = {
    { "plain",
      { .lr = 0.02 },
      { 0.90231692422234, -1.3084947573048424, 0.31230905182344409, 1.9546139345796059, -0.77280766233258025 } },
    { "decay",
      { .lr = 0.02, .weight_decay = 0.1 },
      { 0.87107456334337185, -1.2228985305628981, 0.30121580140125304, 1.8490438914920326, -0.71624126358726714 } },
    { "momentum",
      { .lr = 0.02, .momentum = 0.9 },
      { 0.99623924165351008, -0.93813064275777669, 0.33860328151820307, 0.29557858441290041, 1.1747555748196383 } },
    { "dampening",
      { .lr = 0.02, .momentum = 0.9, .dampening = 0.3 },
      { 0.93886165822764123, -0.93999735093563608, 0.038164990475500406, 0.20711780024223966, 1.2786008431938927 } },
    { "nesterov",
      { .lr = 0.02, .momentum = 0.9, .nesterov = true },
      { 0.99616107544084553, -0.95058757424583029, 0.26523912721663223, 0.39585335052579229, 1.057041718947983 } },
    { "nesterov and decay",
      { .lr = 0.02, .momentum = 0.8, .weight_decay = 0.05, .nesterov = true },
      { 0.9730667834473693, -0.94265647771828831, 0.24530378147929596, 0.62906092443922479, 0.70964465778374286 } },
    { "all but nesterov",
      { .lr = 0.02, .momentum = 0.7, .dampening = 0.5, .weight_decay = 0.3 },
      { 0.86313297547253953, -0.90164190609120787, 0.23298388550884611, 1.1373112910390442, -0.079102268884013741 } },
};

static ad_var *none_forward(nn_module *m, ad_var *x) {
    (void)m;
    return x;
}

/* The problem of the script above: a module with w and v, and its loss with v in it or not. */
typedef struct {
    ad_graph *g;
    nn_module *m;
    ad_var *w, *v, *c, *t;
} problem;

static problem problem_new(ad_dtype t) {
    ad_graph *g = ad_graph_new();
    problem p = { .g = g, .m = nn_module_new(g, "problem", none_forward, 0) };
    p.w = nn_add_parameter(p.m, "w", param_of(g, t, (double[]){ 0.5, -1.5, 2 }, AD_SHAPE(3)));
    p.v = nn_add_parameter(p.m, "v", param_of(g, t, (double[]){ 3, -2 }, AD_SHAPE(2)));
    p.c = param_of(g, t, (double[]){ 1, 0.3, 2 }, AD_SHAPE(3));
    p.t = param_of(g, t, (double[]){ 1, -1, 0.25 }, AD_SHAPE(3));
    return p;
}

static ad_var *problem_loss(const problem *p, bool with_v) {
    ad_var *loss = ad_sum(ad_mul(p->c, ad_square(ad_sub(p->w, p->t))));
    return with_v ? ad_add(loss, ad_mean(ad_square(ad_adds(p->v, -0.7)))) : loss;
}

static void sgd_is_as_in_torch(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++)
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            problem p = problem_new(t);
            nn_optim *opt = nn_sgd(p.m, runs[r].o);
            for (int i = 0; i < 40; i++) {
                ad_mark m = ad_begin(p.g);
                ad_var *loss = problem_loss(&p, i >= 10);
                nn_zero_grad(opt);
                ad_backward(loss);
                assert_int_equal(nn_step(opt), AD_OK);
                ad_end(p.g, m);
            }
            for (int k = 0; k < 3; k++) assert_close_in(runs[r].name, ad_at(p.w, k), runs[r].after[k], tolerance(t));
            for (int k = 0; k < 2; k++)
                assert_close_in(runs[r].name, ad_at(p.v, k), runs[r].after[3 + k], tolerance(t));
            assert_ok(p.g);
            ad_graph_free(p.g);
        }
}

/* One step over sizes that do not fill a vector register, element by element. */
static void every_element_is_updated(void **state) {
    (void)state;
    for (int64_t n = 0; n < 70; n++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_module_new(g, "row", none_forward, 0);
        ad_var *x = nn_add_parameter(m, "x", ad_require_grad(ad_arange(g, AD_F32, 1, (double)n + 0.5, 1)));
        nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.5, .momentum = n % 2 ? 0.9 : 0 });
        ad_backward(ad_sum(ad_square(x))); /* the gradient is 2 x, so that the step is -x */
        nn_step(opt);
        assert_int_equal(ad_numel(x), n);
        for (int64_t i = 0; i < n; i++) assert_true(ad_at(x, i) == 0);
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void constants_stay(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new(g, "half", none_forward, 0);
    ad_var *frozen = nn_add_parameter(m, "frozen", ad_full(g, AD_F64, 2, AD_SCALAR));
    ad_var *free_one = nn_add_parameter(m, "free", param_item(g, AD_F64, 3));
    nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .weight_decay = 0.5, .momentum = 0.9 });
    ad_backward(ad_mul(frozen, free_one));
    nn_step(opt);
    assert_true(ad_item(frozen) == 2);
    assert_close(ad_item(free_one), 3 - 0.1 * (2 + 0.5 * 3), 1e-15);
    ad_graph_free(g);
}

static void zero_grad_reaches_every_parameter(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    ad_backward(problem_loss(&p, true));
    assert_true(ad_grad_at(p.w, 0) != 0 && ad_grad_at(p.v, 1) != 0);
    nn_zero_grad(opt);
    for (int i = 0; i < 3; i++) assert_true(ad_grad_at(p.w, i) == 0);
    for (int i = 0; i < 2; i++) assert_true(ad_grad_at(p.v, i) == 0);
    assert_true(ad_grad_at(p.c, 0) != 0); /* none of the module's */
    nn_step(opt);
    assert_true(ad_at(p.w, 0) == 0.5 && ad_at(p.v, 0) == 3);
    ad_graph_free(p.g);
}

static void backward_after_a_step_asks_for_eval(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    ad_var *loss = problem_loss(&p, true);
    ad_backward(loss);
    nn_step(opt);
    assert_int_equal(ad_backward(loss), AD_ESTALE);
    ad_clear_error(p.g);
    double before = ad_item(loss);
    assert_int_equal(ad_eval(loss), AD_OK);
    assert_true(ad_item(loss) < before);
    assert_int_equal(ad_backward(loss), AD_OK);
    ad_graph_free(p.g);
}

static void a_step_after_an_error_changes_nothing(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    ad_backward(problem_loss(&p, true));
    ad_fail(p.g, AD_ESHAPE, "something");
    assert_int_equal(nn_step(opt), AD_ESHAPE);
    assert_true(ad_at(p.w, 0) == 0.5);
    ad_clear_error(p.g);
    assert_int_equal(nn_step(opt), AD_OK);
    assert_true(ad_at(p.w, 0) != 0.5);
    ad_graph_free(p.g);
}

static void the_rate_can_be_changed(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    assert_true(nn_lr(opt) == 0.1);
    nn_set_lr(opt, 0.25);
    ad_backward(problem_loss(&p, false)); /* dw[0] = 2 (0.5 - 1) */
    nn_step(opt);
    assert_true(ad_at(p.w, 0) == 0.75);
    nn_set_lr(opt, -1);
    assert_string_equal(ad_error(p.g), "set_lr: lr -1: it must be a finite number, 0 or more");
    assert_true(nn_lr(opt) == 0.25);
    ad_clear_error(p.g);
    nn_set_lr(opt, 0);
    assert_true(nn_lr(opt) == 0 && ad_ok(p.g));
    ad_graph_free(p.g);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    static const struct {
        nn_sgd_opts o;
        const char *message;
    } bad[] = {
        { { 0 }, "sgd: lr 0: it must be a finite number above 0" },
        { { .lr = -0.1 }, "sgd: lr -0.1: it must be a finite number above 0" },
        { { .lr = INFINITY }, "sgd: lr inf: it must be a finite number above 0" },
        { { .lr = 0.1, .momentum = -1 }, "sgd: momentum -1: it must be a finite number, 0 or more" },
        { { .lr = 0.1, .weight_decay = -2 }, "sgd: weight_decay -2: it must be a finite number, 0 or more" },
        { { .lr = 0.1, .nesterov = true }, "sgd: nesterov needs a momentum above 0, and no dampening" },
        { { .lr = 0.1, .momentum = 0.9, .dampening = 0.1, .nesterov = true },
          "sgd: nesterov needs a momentum above 0, and no dampening" },
    };
    problem p = problem_new(AD_F64);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(nn_sgd(p.m, bad[i].o));
        assert_string_equal(ad_error(p.g), bad[i].message);
        assert_int_equal(ad_error_code(p.g), AD_EVALUE);
        ad_clear_error(p.g);
    }
    ad_graph_free(p.g);
}

static void null_is_let_pass(void **state) {
    (void)state;
    assert_null(nn_sgd(NULL, (nn_sgd_opts){ .lr = 0.1 }));
    assert_int_not_equal(nn_step(NULL), AD_OK);
    nn_zero_grad(NULL);
    nn_set_lr(NULL, 1);
    assert_true(nn_lr(NULL) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_is_as_in_torch),
        cmocka_unit_test(every_element_is_updated),
        cmocka_unit_test(constants_stay),
        cmocka_unit_test(zero_grad_reaches_every_parameter),
        cmocka_unit_test(backward_after_a_step_asks_for_eval),
        cmocka_unit_test(a_step_after_an_error_changes_nothing),
        cmocka_unit_test(the_rate_can_be_changed),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(null_is_let_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
