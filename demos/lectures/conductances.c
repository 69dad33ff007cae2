/* conductances.c: lecture 15: the conductances of an axon, found by gradients through 2,000 steps in time. */
#include "demos/lectures/axon.h"
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { STEPS = 2000, MOST = 5000 };

static const char *const names[] = { "sodium", "potassium", "leak" };

/* The potentials [2000] after each step of the axon at 10 uA/cm2 from 1 ms on. log_g [3]. */
static ad_var *trace(ad_var *log_g) {
    ad_graph *g = ad_graph_of(log_g);
    ad_var *each = ad_exp(log_g), *c[3], *v[STEPS], *off = ad_scalar(g, AD_F64, 0), *on = ad_scalar(g, AD_F64, 10);
    for (int k = 0; k < 3; k++) c[k] = ad_select(each, 0, k);
    axon_state s = axon_rest(g, AD_SCALAR);
    for (int k = 0; k < STEPS; k++) s = axon_step(s, c, k < 100 ? off : on), v[k] = s.v;
    return ad_stack(STEPS, v, 0);
}

static void keep(ad_var *trace, double v[STEPS]) { memcpy(v, ad_data(trace), STEPS * sizeof *v); }

static ad_var *forward(nn_module *m, ad_var *log_g) {
    (void)m;
    return trace(log_g);
}

/* Adam on the logarithms of the conductances. The trace's Ops are recorded once and evaluated again. Returns the last
   loss. curves gets the guesses, divided by the true values, and seen the traces of the first and the last. */
static double recover(ad_graph *g, ad_var *log_g, ad_var *target, int64_t n, double curves[3][MOST],
                      double seen[2][STEPS]) {
    nn_module *m = nn_module_new(g, "axon", forward, 0);
    nn_add_parameter(m, "log_g", log_g);
    ad_var *v = nn_apply(m, log_g), *loss = nn_mse(v, target);
    nn_optim *opt = nn_adam(m, (nn_adam_opts){ .lr = 0.05 });
    nn_schedule *schedule = nn_cosine_lr(opt, n, 0);
    if (!ad_ok(g)) return NAN;
    keep(v, seen[0]);
    for (int64_t k = 0; k < n && ad_ok(g); k++) {
        for (int i = 0; i < 3; i++) curves[i][k] = exp(ad_at(log_g, i)) / AXON_G[i];
        nn_zero_grad(opt);
        ad_backward(loss);
        nn_step(opt);
        nn_schedule_step(schedule, 0);
        ad_eval(loss);
        if ((k + 1) % (n / 10) == 0)
            printf("%9lld  %9.3g  %9.4f  %9.4f  %9.5f\n", (long long)k + 1, ad_item(loss), exp(ad_at(log_g, 0)),
                   exp(ad_at(log_g, 1)), exp(ad_at(log_g, 2)));
    }
    keep(v, seen[1]);
    return ad_item(loss);
}

static void plot(lecture *l, double v[3][STEPS], int64_t n, double curves[3][MOST]) {
    double time[STEPS];
    for (int k = 0; k < STEPS; k++) time[k] = AXON_DT * (k + 1);
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "10 µA/cm² from 1 ms on", .x = "time (ms)", .y = "potential (mV)" });
    plot_lines(l, "first guess", STEPS, time, v[0]);
    plot_lines(l, "at the end", STEPS, time, v[1]);
    plot_dashed(l, "true axon", STEPS, time, v[2]);
    plot_panel(l, (panel_opts){ .title = "Conductances", .x = "iteration", .y = "guess / true value" });
    for (int i = 0; i < 3; i++) plot_lines(l, names[i], n, NULL, curves[i]);
}

int main(int argc, char **argv) {
    int64_t n = 1500;
    double worst = 0;
    static double curves[3][MOST], v[3][STEPS];
    lecture *l = lecture_begin(
        argc, argv,
        "The conductances of an axon are recovered from its potential: the equations of Hodgkin and Huxley are Vars,\n"
        "and Adam follows the gradient of the squared error through 2,000 steps of Euler's method.",
        "--iterations 100", (demo_option[]){ { "iterations", "of Adam", DEMO_WHOLE, &n, 10, MOST }, { 0 } });
    ad_graph *g = lecture_graph(l);
    ad_keep_grads(g, false);
    ad_var *target = trace(ad_log(ad_tensor(g, AD_F64, AXON_G, AD_SHAPE(3))));
    double start[3] = { log(100), log(30), log(0.2) };
    ad_var *log_g = ad_param(g, AD_F64, start, AD_SHAPE(3));
    keep(target, v[2]);
    printf("iteration       loss     sodium  potassium       leak\n");
    double loss = recover(g, log_g, target, n, curves, v);
    for (int i = 0; i < 3; i++) worst = fmax(worst, fabs(exp(ad_at(log_g, i)) / AXON_G[i] - 1));
    lecture_claim(l, worst < 0.01,
                  "after %lld iterations the conductances are %.3f, %.3f and %.4f mS/cm2, right to %.3f %%",
                  (long long)n, exp(ad_at(log_g, 0)), exp(ad_at(log_g, 1)), exp(ad_at(log_g, 2)), 100 * worst);
    lecture_claim(l, sqrt(loss) < 0.5, "the potential is right to %.2g mV (root mean square)", sqrt(loss));
    plot(l, v, n, curves);
    return lecture_end(l, g);
}
