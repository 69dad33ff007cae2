/* neurons.c: lecture 15: the leaky integrate-and-fire neuron, its rate, and two of them joined by a synapse. */
#include "demos/lectures/lecture.h"

enum { CURRENTS = 15, WEIGHTS = 12, FILTERS = 3, SHOWN = 1500, FINE = 141 };

/* Potentials in mV above rest, times in ms, currents in nA, resistance in MOhm, rates in Hz. */
static const double TAU = 20, R = 10, THRESHOLD = 15, REFRACTORY = 2, SYNAPSE = 10, LONG = 4000;

/* tau dv/dt = R I - v. At the threshold the neuron spikes, v returns to 0 and stays there for REFRACTORY. */
typedef struct {
    double v, silent;
    int64_t spikes;
} neuron;

/* A step of dt with a constant current, which has an exact solution. Returns whether the neuron spikes. */
static bool advance(neuron *n, double current, double dt) {
    if (n->silent > dt / 2) {
        n->silent -= dt;
        return false;
    }
    n->v = R * current + (n->v - R * current) * exp(-dt / TAU);
    if (n->v < THRESHOLD) return false;
    n->v = 0, n->silent = REFRACTORY, n->spikes++;
    return true;
}

/* The rate at a constant current: one spike in the refractory time and the time to reach the threshold from 0. */
static double rate_of(double current) {
    return R * current <= THRESHOLD ? 0 : 1000 / (REFRACTORY + TAU * log(R * current / (R * current - THRESHOLD)));
}

/* The response of a synapse of order n to a spike, k t^n exp(-t / SYNAPSE), with k such that its area is 1. */
static double filter(int n, double t) { return pow(t, n) * exp(-t / SYNAPSE) / (tgamma(n + 1) * pow(SYNAPSE, n + 1)); }

static double area(int n) {
    double sum = 0, dt = 0.01;
    for (double t = dt / 2; t < 40 * SYNAPSE; t += dt) sum += dt * filter(n, t);
    return sum;
}

/* The same response step by step: n + 1 leaky integrators, each fed by the one before. Returns the last one's value. */
static double pass_on(int n, double s[FILTERS], bool spike, double dt) {
    s[0] += spike / SYNAPSE - dt * s[0] / SYNAPSE;
    for (int k = 1; k <= n; k++) s[k] += dt * (s[k - 1] - s[k]) / SYNAPSE;
    return s[n];
}

typedef struct {
    double rate_a, rate_b, mean; /* rates, and the mean current through the synapse */
    double v_a[SHOWN], v_b[SHOWN], time[SHOWN];
} record;

/* Neuron A gets a current and drives neuron B through a synapse: B's current is weight (pC) times the filtered spikes.
   What happens in the first tenth is not counted. */
static void run_pair(double current, double weight, int n, double dt, record *r) {
    neuron a = { 0 }, b = { 0 };
    double s[FILTERS] = { 0 };
    int64_t steps = (int64_t)(LONG / dt), first = steps / 10, begun[2] = { 0 };
    r->mean = 0;
    for (int64_t i = 0; i < steps; i++) {
        if (i == first) begun[0] = a.spikes, begun[1] = b.spikes;
        double input = weight * pass_on(n, s, advance(&a, current, dt), dt);
        advance(&b, input, dt);
        if (i >= first) r->mean += input / (double)(steps - first);
        int64_t shown = (int64_t)((double)i * dt * 10);
        if (shown < SHOWN) r->time[shown] = (double)i * dt, r->v_a[shown] = a.v, r->v_b[shown] = b.v;
    }
    r->rate_a = (double)(a.spikes - begun[0]) * 1000 / (0.9 * LONG);
    r->rate_b = (double)(b.spikes - begun[1]) * 1000 / (0.9 * LONG);
}

/* The rate of one neuron in the simulation. */
static double simulate(double current, double dt) {
    neuron n = { 0 };
    double last = 0, first = 0;
    for (int64_t i = 0; i < (int64_t)(LONG / dt); i++)
        if (advance(&n, current, dt)) last = (double)i * dt, first = n.spikes == 1 ? last : first;
    return n.spikes > 1 ? 1000 * (double)(n.spikes - 1) / (last - first) : 0;
}

static void plot_rates(lecture *l, const double *current, const double *rate) {
    double fine[FINE], formula[FINE];
    for (int i = 0; i < FINE; i++) fine[i] = 1 + 0.025 * i, formula[i] = rate_of(fine[i]);
    plot_panel(l, (panel_opts){ .title = "Rate of a neuron", .x = "current (nA)", .y = "rate (Hz)" });
    plot_points(l, "simulation", CURRENTS, current, rate);
    plot_dashed(l, "formula", FINE, fine, formula);
}

static void show_one(lecture *l, double dt) {
    double current[CURRENTS], rate[CURRENTS], worst = 0;
    printf("current (nA)  rate (Hz)  formula\n");
    for (int k = 0; k < CURRENTS; k++) {
        current[k] = 1 + 0.25 * k, rate[k] = simulate(current[k], dt);
        double formula = rate_of(current[k]);
        printf("%12.2f  %9.3f  %7.3f\n", current[k], rate[k], formula);
        worst = fmax(worst, fabs(rate[k] - formula) / fmax(formula, 1));
    }
    lecture_claim(l, worst < 0.005, "the rates of %d currents differ from their formula by at most %.2f %%", CURRENTS,
                  100 * worst);
    plot_rates(l, current, rate);
}

static void show_filters(lecture *l, double dt, record *r) {
    double t[200], h[200], apart = 0, areas = 0;
    plot_panel(l, (panel_opts){ .title = "Post-synaptic filters of unit area", .x = "t (ms)", .y = "1/ms" });
    for (int n = 0; n < FILTERS; n++) {
        for (int i = 0; i < 200; i++) t[i] = 0.5 * i, h[i] = filter(n, t[i]);
        plot_lines(l, (const char *const[]){ "n = 0", "n = 1", "n = 2" }[n], 200, t, h);
        areas = fmax(areas, fabs(area(n) - 1));
        run_pair(3, 80, n, dt, r);
        apart = fmax(apart, fabs(r->mean / (80 * r->rate_a / 1000) - 1));
    }
    lecture_claim(l, areas < 1e-5 && apart < 0.01,
                  "filters of order 0, 1, 2 have area 1 to %.0e; the mean current is weight times rate to %.2f %%",
                  areas, 100 * apart);
}

static void show_pair(lecture *l, double dt, record *r) {
    double weight[WEIGHTS], rate[WEIGHTS], expected[WEIGHTS], off = 0;
    printf("weight (pC)  rate of B (Hz)  formula for the mean current\n");
    for (int k = 0; k < WEIGHTS; k++) {
        weight[k] = 10 * (k + 1);
        run_pair(3, weight[k], 2, dt, r);
        rate[k] = r->rate_b, expected[k] = rate_of(r->mean);
        off = fmax(off, fabs(rate[k] - expected[k]));
        printf("%11.0f  %14.2f  %28.2f\n", weight[k], rate[k], expected[k]);
    }
    lecture_claim(l, off < 2, "B's rate follows from the mean current by the same formula, to %.2f Hz", off);
    run_pair(3, 40, 2, dt, r);
    plot_panel(l, (panel_opts){ .title = "A drives B", .x = "time (ms)", .y = "potential above rest (mV)" });
    plot_lines(l, "A, 3 nA", SHOWN, r->time, r->v_a);
    plot_lines(l, "B, weight 40 pC, n = 2", SHOWN, r->time, r->v_b);
    plot_panel(l, (panel_opts){ .title = "Rate of B", .x = "weight of the synapse (pC)", .y = "rate (Hz)" });
    plot_points(l, "simulation", WEIGHTS, weight, rate);
    plot_dashed(l, "formula, mean current", WEIGHTS, weight, expected);
}

int main(int argc, char **argv) {
    double dt = 0.01;
    static record r;
    lecture *l = lecture_begin(
        argc, argv,
        "A leaky integrate-and-fire neuron fires at the rate of its formula. Two of them are joined by a synapse that\n"
        "answers a spike with k t^n exp(-t/tau), of unit area: so its mean current is its weight times the rate.",
        "--dt 2", (demo_option[]){ { "dt", "time step in ms", DEMO_REAL, &dt, 0.001, 5 }, { 0 } });
    plot_layout(l, 2, 2);
    show_one(l, dt);
    show_filters(l, dt, &r);
    show_pair(l, dt, &r);
    return lecture_end(l, NULL);
}
