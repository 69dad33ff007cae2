/* hodgkin_huxley.c: lecture 15: the axon of Hodgkin and Huxley as Vars, under constant and stepped currents. */
#include "demos/lectures/axon.h"
#include "demos/lectures/lecture.h"

enum { COLUMNS = 5, CONSTANT = 4, LONG = 60000, WARM = 20000, EVERY = 10, SHOWN = 1200 };

/* Five axons side by side: four with constant currents, and one with a stepped current. */
static const double levels[CONSTANT] = { 7, 10, 15, 20 };
/* Rates in Hz at these currents by SciPy's LSODA to 9 digits, after the first half second: an independent solution. */
static const double lsoda[CONSTANT] = { 58.327, 68.324, 78.649, 86.470 };

static double current_at(int column, double t) {
    if (column < CONSTANT) return levels[column];
    return t < 10 ? 0 : t < 60 ? 10 : t < 80 ? 0 : 20;
}

typedef struct {
    double before[COLUMNS], first[COLUMNS], last[COLUMNS]; /* potentials; times of the first and last spike counted */
    int spikes[COLUMNS];
    double time[SHOWN], v[SHOWN], current[SHOWN], gate[3][SHOWN]; /* of the stepped current */
} record;

/* Looks at the potentials v[0..4] after a step; the gates follow them. */
static void look(record *r, int step, const double *v) {
    for (int i = 0; i < COLUMNS; i++) {
        if (step >= WARM && r->before[i] < 0 && v[i] >= 0) {
            r->last[i] = AXON_DT * (step - v[i] / (v[i] - r->before[i])); /* where the line crosses 0 */
            if (r->spikes[i]++ == 0) r->first[i] = r->last[i];
        }
        r->before[i] = v[i];
    }
    if (step % EVERY != 0 || step / EVERY >= SHOWN) return;
    int k = step / EVERY;
    r->time[k] = AXON_DT * step, r->v[k] = v[CONSTANT], r->current[k] = current_at(CONSTANT, AXON_DT * step);
    for (int i = 0; i < 3; i++) r->gate[i][k] = v[(i + 1) * COLUMNS + CONSTANT];
}

static double rate_of(const record *r, int i) { return 1000 * (r->spikes[i] - 1) / (r->last[i] - r->first[i]); }

/* One step is recorded; then it is evaluated again and again, each time from its own result. */
static void run(ad_graph *g, double sodium, record *r) {
    ad_mark m = ad_begin(g);
    axon_state s = axon_rest(g, AD_SHAPE(COLUMNS));
    ad_var *from[4] = { s.v, s.m, s.h, s.n }, *c[3], *current = ad_zeros(g, AD_F64, AD_SHAPE(COLUMNS));
    for (int k = 0; k < 3; k++) c[k] = ad_scalar(g, AD_F64, AXON_G[k] * (k == 0 ? sodium : 1));
    axon_state next = axon_step(s, c, current);
    ad_var *all = ad_stack(4, (ad_var *[]){ next.v, next.m, next.h, next.n }, 0); /* [4,5] */
    for (int k = 0; k < LONG && ad_ok(g); k++) {
        for (int i = 0; i < COLUMNS; i++) ((double *)ad_data_mut(current))[i] = current_at(i, AXON_DT * k);
        ad_eval(all);
        for (int i = 0; i < 4; i++) ad_set(from[i], (const double *)ad_data(all) + (size_t)i * COLUMNS);
        look(r, k, ad_data(all));
    }
    ad_end(g, m);
}

/* How often the shown potential crosses 0 upwards between two times. */
static int spikes_between(const record *r, double from, double to) {
    int n = 0;
    for (int k = 1; k < SHOWN; k++) n += r->time[k] > from && r->time[k] <= to && r->v[k - 1] < 0 && r->v[k] >= 0;
    return n;
}

static void plot(lecture *l, const record *r) {
    double rate[CONSTANT];
    for (int i = 0; i < CONSTANT; i++) rate[i] = rate_of(r, i);
    plot_layout(l, 2, 2);
    plot_panel(l, (panel_opts){ .title = "Potential", .x = "time (ms)", .y = "mV" });
    plot_lines(l, "", SHOWN, r->time, r->v);
    plot_panel(l, (panel_opts){ .title = "Current", .x = "time (ms)", .y = "µA/cm²", .ylo = -1, .yhi = 25 });
    plot_lines(l, "", SHOWN, r->time, r->current);
    plot_panel(l, (panel_opts){ .title = "Gates", .x = "time (ms)", .y = "open share", .xlo = 10, .xhi = 40 });
    const char *const names[] = { "m, sodium", "h, sodium", "n, potassium" };
    for (int i = 0; i < 3; i++) plot_lines(l, names[i], 400, r->time, r->gate[i]);
    plot_panel(l, (panel_opts){ .title = "Rate", .x = "constant current (µA/cm²)", .y = "Hz", .xlo = 5, .xhi = 22 });
    plot_points(l, "Euler's method, Vars", CONSTANT, levels, rate);
    plot_dashed(l, "LSODA", CONSTANT, levels, lsoda);
}

int main(int argc, char **argv) {
    double scale = 1, off = 0;
    static record r;
    lecture *l = lecture_begin(
        argc, argv,
        "The axon of Hodgkin and Huxley as Vars: one step of Euler's method is recorded, and evaluated again and\n"
        "again. It rests, fires under a stepped current, and fires at the rates of an independent solution.",
        "--sodium 0.9",
        (demo_option[]){ { "sodium", "factor of the sodium conductance", DEMO_REAL, &scale, 0.1, 10 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    run(g, scale, &r);
    for (int i = 0; i < CONSTANT; i++) {
        printf("%4.0f uA/cm2: %6.2f Hz, LSODA %6.2f Hz\n", levels[i], rate_of(&r, i), lsoda[i]);
        off = fmax(off, fabs(rate_of(&r, i) / lsoda[i] - 1));
    }
    lecture_claim(l, off < 0.005, "at four currents the rates are those of SciPy's LSODA to %.2f %%", 100 * off);
    int spikes[3] = { spikes_between(&r, 0, 10), spikes_between(&r, 10, 60), spikes_between(&r, 80, 120) };
    lecture_claim(l, spikes[0] == 0 && spikes[1] == 4 && spikes[2] == 4,
                  "%d spikes in 10 ms without a current, %d in 50 ms at 10 uA/cm2, %d in 40 ms at 20 uA/cm2", spikes[0],
                  spikes[1], spikes[2]);
    plot(l, &r);
    return lecture_end(l, g);
}
