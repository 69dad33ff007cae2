/* newton.c: Newton's method, whose steps conjugate gradients find with products by ad_hvp: a minimal surface. */
#include "demos/solvers/surface.h"

enum { ARRAYS = 8 };
typedef struct {
    const surface *s;
    ad_objective *f;
    ad_var *v, *hv; /* hv is the Hessian times v; NULL: differences of gradients */
    double *z, *grad, *d, *r, *p, *hp, *at, *below; /* [n] each */
} newton;

static double dot(const newton *w, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < w->s->n; i++) sum += a[i] * b[i];
    return sum;
}
static void add(const newton *w, double t, const double *d, const double *from, double *to) {
    for (int64_t i = 0; i < w->s->n; i++) to[i] = from[i] + t * d[i];
}

/* hp = H p. */
static void multiply(const newton *w) {
    if (w->hv != NULL) {
        ad_set(w->v, w->p);
        ad_eval(w->hv);
        memcpy(w->hp, ad_data(w->hv), (size_t)w->s->n * sizeof *w->hp);
        return;
    }
    double h = 1e-5 / sqrt(dot(w, w->p, w->p));
    add(w, h, w->p, w->z, w->at), ad_value_and_gradient(w->at, w->hp, w->f);
    add(w, -h, w->p, w->z, w->at), ad_value_and_gradient(w->at, w->below, w->f);
    for (int64_t i = 0; i < w->s->n; i++) w->hp[i] = (w->hp[i] - w->below[i]) / (2 * h);
}

/* d = -H^-1 grad, until the residual is smaller by the factor of precision. H is positive definite here. */
static void direct(const newton *w, double precision) {
    for (int64_t i = 0; i < w->s->n; i++) w->d[i] = 0, w->r[i] = w->p[i] = -w->grad[i];
    double rr = dot(w, w->r, w->r), stop = precision * precision * rr;
    for (int64_t k = 0; k < w->s->n && rr > stop; k++) {
        multiply(w);
        double a = rr / dot(w, w->p, w->hp), before = rr;
        add(w, a, w->p, w->d, w->d);
        add(w, -a, w->hp, w->r, w->r);
        rr = dot(w, w->r, w->r);
        add(w, rr / before, w->p, w->r, w->p);
    }
}

static solver_run minimise(const char *derivatives, const surface *s, ad_objective *f, ad_var *v, ad_var *hv) {
    double *all = calloc((size_t)(ARRAYS * s->n), sizeof *all);
    if (all == NULL) return (solver_run){ derivatives, 0, INFINITY, 0 };
    double *part[ARRAYS], began = seconds_now(), size = INFINITY;
    for (int i = 0; i < ARRAYS; i++) part[i] = all + i * s->n;
    newton w = { s, f, v, hv, part[0], part[1], part[2], part[3], part[4], part[5], part[6], part[7] };
    solver_run run = { .derivatives = derivatives };
    for (; run.iterations < 50; run.iterations++) {
        double value = ad_value_and_gradient(w.z, w.grad, f), t = 1;
        size = sqrt(dot(&w, w.grad, w.grad));
        if (!(size > 1e-9)) break;
        direct(&w, fmin(0.5, sqrt(size))); /* more precise as the gradient vanishes */
        double slope = dot(&w, w.grad, w.d);
        for (; t > 1e-10; t /= 2) {
            add(&w, t, w.d, w.z, w.at);
            if (ad_value_and_gradient(w.at, NULL, f) <= value + 1e-4 * t * slope + 1e-15 * value) break;
        }
        memcpy(w.z, w.at, (size_t)s->n * sizeof *w.z);
    }
    run.seconds = seconds_now() - began;
    run.error = size > 1e-9 ? INFINITY : surface_error(s, w.z);
    free(all);
    return run;
}

int main(int argc, char **argv) {
    int64_t m = 30;
    demo_parse(argc, argv,
               "Finds a minimal surface by Newton's method with conjugate gradients. The error is the distance to\n"
               "Scherk's surface, most of it the grid's.",
               (demo_option[]){ SURFACE_OPTION(&m), { 0 } });
    ad_graph *g = ad_graph_new();
    surface s = surface_new(g, m);
    ad_objective *f = ad_objective_new(surface_area(&s), 1, &s.z);
    ad_var *v = ad_zeros(g, AD_F64, AD_SHAPE(m, m)), *hv;
    if (f == NULL || ad_hvp(surface_area(&s), 1, &s.z, &v, &hv)) return demo_end(argv, g);
    solver_run runs[] = { minimise("exact", &s, f, v, hv), minimise("differences", &s, f, NULL, NULL) };
    int status = report_runs(2, runs, SURFACE_TOLERANCE), failed = demo_end(argv, g);
    return failed ? failed : status;
}
