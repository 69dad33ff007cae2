/* fit.c: fits the parameters of a damped pendulum to noisy measurements, with error bars from the Hessian. */
#include "demos/demo.h"
#include "nn/nn.h"

enum { PARAMETERS = 4 };
static const char *const NAME[PARAMETERS] = { "amplitude", "damping", "frequency", "phase" };
static const double TRUTH[PARAMETERS] = { 1.2, 0.15, 2.5, 0.4 }, GUESS[PARAMETERS] = { 1, 0.3, 2.3, 0 };

/* The angle at times t [n]: a e^(-d t) cos(f t + phase) for p [4] = (a, d, f, phase). */
static ad_var *angle(ad_var *p, ad_var *t) {
    ad_var *a = ad_select(p, 0, 0), *d = ad_select(p, 0, 1), *f = ad_select(p, 0, 2), *phase = ad_select(p, 0, 3);
    ad_var *envelope = ad_mul(a, ad_exp(ad_neg(ad_mul(d, t))));
    return ad_mul(envelope, ad_cos(ad_add(ad_mul(f, t), phase)));
}

static ad_var *pendulum(nn_module *m, ad_var *t) { return angle(nn_find_parameter(m, "p"), t); }

typedef struct {
    nn_module *model;     /* has the parameter p [4] */
    ad_var *t, *measured; /* [n] */
} experiment;

/* n angles over ten seconds for the true parameters, each with a normal error of standard deviation noise. */
static experiment measure(ad_graph *g, int64_t n, double noise) {
    ad_var *t = ad_muls(ad_arange(g, AD_F64, 0, (double)n, 1), 10.0 / (double)n);
    ad_var *truth = ad_tensor(g, AD_F64, TRUTH, AD_SHAPE(PARAMETERS));
    ad_var *errors = ad_muls(ad_randn(g, AD_F64, AD_SHAPE(n)), noise);
    nn_module *model = nn_module_new(g, "pendulum", pendulum, 0);
    nn_add_parameter(model, "p", ad_param(g, AD_F64, GUESS, AD_SHAPE(PARAMETERS)));
    return (experiment){ model, t, ad_add(angle(truth, t), errors) };
}

/* Half the sum of squared residuals. */
static ad_var *misfit(void *data) {
    const experiment *e = data;
    return ad_muls(ad_sum(ad_square(ad_sub(nn_apply(e->model, e->t), e->measured))), 0.5);
}

/* Moves p to a minimum of the misfit; returns the misfit there. */
static double minimise(experiment *e) {
    nn_lbfgs_opts until = { .max_iter = 200, .tolerance_grad = 1e-10, .tolerance_change = 1e-15 };
    nn_optim *opt = nn_lbfgs(e->model, until);
    nn_step_closure(opt, misfit, e, NULL);
    return ad_item(misfit(e));
}

/* The standard deviation of each parameter. Near its minimum, the misfit is quadratic with Hessian H, so errors of
   variance s^2 in the data cause errors of covariance s^2 H^-1 in the parameters. */
static void error_bars(experiment *e, double variance, double bars[PARAMETERS]) {
    ad_var *h;
    h = ad_hessian(misfit(e), nn_find_parameter(e->model, "p")); /* [4,4] */
    ad_var *covariance = ad_muls(ad_inverse(h), variance);
    for (int i = 0; i < PARAMETERS; i++) bars[i] = sqrt(ad_at(covariance, i * PARAMETERS + i));
}

static void print_fit(const ad_var *p, const double bars[PARAMETERS]) {
    printf("parameter    true     fitted  error bar  error, in error bars\n");
    for (int i = 0; i < PARAMETERS; i++)
        printf("%-9s  %6g  %9.6f  %9.2g  %+.2f\n", NAME[i], TRUTH[i], ad_at(p, i), bars[i],
               (ad_at(p, i) - TRUTH[i]) / bars[i]);
}

int main(int argc, char **argv) {
    int64_t seed = 0, n = 200;
    double noise = 0.05, bars[PARAMETERS];
    demo_parse(argc, argv,
               "Fits the amplitude, damping, frequency and phase of a damped pendulum to synthetic noisy angles, and\n"
               "estimates the error of each.",
               (demo_option[]){ DEMO_SEED(&seed),
                                { "points", "measurements in 10 s", DEMO_WHOLE, &n, 20, 1e5 },
                                { "noise", "standard deviation of an angle's error", DEMO_REAL, &noise, 1e-6, 0.5 },
                                { 0 } });

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    experiment e = measure(g, n, noise);
    double variance = 2 * minimise(&e) / (double)(n - PARAMETERS); /* of an angle, from the residuals */
    error_bars(&e, variance, bars);
    if (ad_ok(g)) {
        print_fit(nn_find_parameter(e.model, "p"), bars);
        printf("noise %.4g estimated from the residuals, %g in truth\n", sqrt(variance), noise);
    }
    return demo_end(argv, g);
}
