/* rosenbrock.c: minimises Rosenbrock's function by gradient descent, by L-BFGS and by Newton-CG with ad_hvp. */
#include "demos/demo.h"
#include "nn/nn.h"

enum { ROWS = 28, COLUMNS = 60, MOST = 100000 };                /* of the picture; MOST: steps of a method */
static const double LEFT = -2, RIGHT = 2, BOTTOM = -1, TOP = 3; /* of the picture */
static const double GOOD = 1e-8;                                /* the length of the gradient at which a method stops */

/* f = (1 - x)^2 + 100 (y - x^2)^2 for p [2] = (x, y); the minimum is 0 at (1, 1). */
static ad_var *rosenbrock(ad_var *p) {
    ad_var *x = ad_select(p, 0, 0), *y = ad_select(p, 0, 1);
    ad_var *rise = ad_sub(y, ad_square(x));
    return ad_add(ad_square(ad_adds(ad_neg(x), 1)), ad_muls(ad_square(rise), 100));
}

typedef struct {
    const char *name;
    char sign; /* in the picture */
    double at[MOST + 1][2];
    int steps;
    double f, slope; /* value and length of the gradient at the end */
} path;

typedef struct {
    ad_graph *g;
    ad_objective *f;    /* f and its gradient as a C function of p */
    ad_var *p, *v, *hv; /* [2]; hv = H v, re-evaluated by ad_eval */
} landscape;

static landscape survey(ad_graph *g) {
    landscape l = { g, NULL, ad_param(g, AD_F64, NULL, AD_SHAPE(2)), ad_zeros(g, AD_F64, AD_SHAPE(2)), NULL };
    l.f = ad_objective_new(rosenbrock(l.p), 1, &l.p);
    ad_hvp(rosenbrock(l.p), 1, &l.p, &l.v, &l.hv);
    return l;
}

static double dot(const double a[2], const double b[2]) { return a[0] * b[0] + a[1] * b[1]; }

/* A backtracking line search along the descent direction d: takes the first of the step lengths t, t/2, ... that
   satisfies Armijo's condition, and appends the point to the path. Returns the step length, or 0 if none does. */
static double descend(const landscape *l, path *w, const double d[2], const double grad[2], double f, double t) {
    const double *from = w->at[w->steps];
    double *to = w->at[w->steps + 1];
    for (; t > 1e-20 && ad_ok(l->g); t /= 2) {
        for (int i = 0; i < 2; i++) to[i] = from[i] + t * d[i];
        if (ad_value_and_gradient(to, NULL, l->f) <= f + 1e-4 * t * dot(d, grad)) {
            w->steps++;
            return t;
        }
    }
    return 0;
}

/* Evaluates f and its gradient at the last point of the path, and returns whether the method must continue. */
static bool goes_on(const landscape *l, path *w, double grad[2]) {
    w->f = ad_value_and_gradient(w->at[w->steps], grad, l->f);
    w->slope = sqrt(dot(grad, grad));
    return w->slope > GOOD && w->steps < MOST;
}

/* Each step first tries twice the length of the step before. */
static void gradient_descent(const landscape *l, path *w) {
    double grad[2], t = 1;
    while (goes_on(l, w, grad) && t > 0) t = descend(l, w, (double[]){ -grad[0], -grad[1] }, grad, w->f, 2 * t);
}

/* Solves H d = -grad by conjugate gradients, which need only products of H with vectors. At a direction of negative
   curvature it stops, with the direction so far or the negative gradient. */
static void newton_direction(const landscape *l, const double grad[2], double d[2]) {
    double r[2] = { -grad[0], -grad[1] }, v[2] = { r[0], r[1] }, rr = dot(r, r), stop = 1e-20 * rr;
    d[0] = d[1] = 0;
    for (int k = 0; k < 2 && rr > stop && ad_ok(l->g); k++) {
        ad_set(l->v, v);
        ad_eval(l->hv);
        const double hv[2] = { ad_at(l->hv, 0), ad_at(l->hv, 1) };
        double curve = dot(v, hv), a = rr / curve, before = rr;
        if (curve <= 0) break;
        for (int i = 0; i < 2; i++) d[i] += a * v[i], r[i] -= a * hv[i];
        rr = dot(r, r);
        for (int i = 0; i < 2; i++) v[i] = r[i] + rr / before * v[i];
    }
    if (d[0] == 0 && d[1] == 0) d[0] = -grad[0], d[1] = -grad[1];
}

static void newton_cg(const landscape *l, path *w) {
    double grad[2], d[2], t = 1;
    while (goes_on(l, w, grad) && t > 0) {
        newton_direction(l, grad, d);
        t = descend(l, w, d, grad, w->f, 1);
    }
}

/* ---- L-BFGS: nn_lbfgs of a module whose only parameter is the point ---------------------------------- */

static ad_var *height(nn_module *m, ad_var *x) {
    (void)x;
    return rosenbrock(nn_find_parameter(m, "p"));
}
static ad_var *loss(void *module) { return nn_apply(module, nn_find_parameter(module, "p")); }

static void lbfgs(const landscape *l, path *w) {
    nn_module *m = nn_module_new(l->g, "point", height, 0);
    ad_var *p = nn_add_parameter(m, "p", ad_param(l->g, AD_F64, w->at[0], AD_SHAPE(2)));
    nn_lbfgs_opts one = { .max_iter = 1, .max_eval = 50, .tolerance_grad = GOOD / 10, .tolerance_change = 1e-30 };
    nn_optim *opt = nn_lbfgs(m, one);
    bool moved = true;
    for (double grad[2]; goes_on(l, w, grad) && moved && ad_ok(l->g); w->steps += moved) {
        double *to = w->at[w->steps + 1];
        nn_step_closure(opt, loss, m, NULL);
        for (int i = 0; i < 2; i++) to[i] = ad_at(p, i);
        moved = memcmp(to, w->at[w->steps], sizeof *w->at) != 0;
    }
}

/* ---- the picture --------------------------------------------------------------------------------------- */

/* The cell that contains a point, or -1. */
static int cell(const double at[2]) {
    double column = floor((at[0] - LEFT) / (RIGHT - LEFT) * COLUMNS),
           row = floor((TOP - at[1]) / (TOP - BOTTOM) * ROWS);
    return row >= 0 && row < ROWS && column >= 0 && column < COLUMNS ? (int)row * COLUMNS + (int)column : -1;
}

/* The value of f in each cell: blank below 5, then one character for each factor of ten. */
static void draw_land(const landscape *l, char picture[ROWS * COLUMNS]) {
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        double x = LEFT + (RIGHT - LEFT) * (i % COLUMNS + 0.5) / COLUMNS;
        double y = TOP - (TOP - BOTTOM) * (i / COLUMNS + 0.5) / ROWS;
        double f = ad_value_and_gradient((double[]){ x, y }, NULL, l->f);
        picture[i] = " .:-"[f < 5 ? 0 : f < 50 ? 1 : f < 500 ? 2 : 3];
    }
}

static void draw(const landscape *l, int n, path *const w[]) {
    char picture[ROWS * COLUMNS];
    draw_land(l, picture);
    for (int k = 0; k < n; k++)
        for (int i = 0; i <= w[k]->steps; i++)
            if (cell(w[k]->at[i]) >= 0) picture[cell(w[k]->at[i])] = w[k]->sign;
    if (cell(w[0]->at[0]) >= 0) picture[cell(w[0]->at[0])] = 'S';
    picture[cell((double[]){ 1, 1 })] = '*';
    for (int row = 0; row < ROWS; row++) printf("%.*s\n", COLUMNS, picture + row * COLUMNS);
}

/* ---- the same with gnuplot --------------------------------------------------------------------------- */

/* The contours of f, as lines in the table $land. */
static void write_land(FILE *to) {
    fprintf(to, "set xrange [%g:%g]\nset yrange [%g:%g]\nset isosamples 200\nset samples 400\n", LEFT, RIGHT,
            BOTTOM, TOP);
    fprintf(to, "set contour\nunset surface\nset cntrparam levels discrete 0.5, 5, 50, 500\n"
                "set table $land\nsplot (1 - x)**2 + 100 * (y - x**2)**2\nunset table\n");
}

static void write_plot(FILE *to, const char *file, int n, path *const w[]) {
    fprintf(to, "set terminal svg size 800,600 background rgb 'white'\nset output '");
    for (const char *c = file; *c != '\0'; c++) fprintf(to, *c == '\'' ? "''" : "%c", *c);
    fprintf(to, "'\n");
    write_land(to);
    fprintf(to, "plot $land with lines lc 'grey' title 'f = 0.5, 5, 50, 500'");
    for (int k = 0; k < n; k++)
        fprintf(to, ", '-' with %s title '%s, %d steps'", w[k]->steps > 200 ? "lines" : "linespoints pt 7 ps 0.4",
                w[k]->name, w[k]->steps);
    fprintf(to, "\n");
    for (int k = 0; k < n; k++) {
        for (int i = 0; i <= w[k]->steps; i++) fprintf(to, "%.8g %.8g\n", w[k]->at[i][0], w[k]->at[i][1]);
        fprintf(to, "e\n");
    }
}

/* Returns whether the file was written. */
static bool plot(char **argv, const char *file, int n, path *const w[]) {
    fflush(stdout); /* print the picture before messages about the file */
    bool found = system("command -v gnuplot >/dev/null 2>&1") == 0;
    FILE *to = found ? popen("gnuplot", "w") : NULL;
    if (to != NULL) write_plot(to, file, n, w);
    bool done = to != NULL && pclose(to) == 0;
    if (!found) fprintf(stderr, "%s: --plot needs gnuplot, which is not found; install it\n", demo_program(argv));
    else if (!done) fprintf(stderr, "%s: gnuplot could not write %s\n", demo_program(argv), file);
    return done;
}

static void report(int n, path *const w[]) {
    printf("method            in picture   steps  f at the end  gradient\n");
    for (int k = 0; k < n; k++)
        printf("%-16s  %-10c  %6d  %12.1e  %8.1e\n", w[k]->name, w[k]->sign, w[k]->steps, w[k]->f, w[k]->slope);
}

int main(int argc, char **argv) {
    enum { METHODS = 3 };
    static path descent = { .name = "gradient descent", .sign = '+' }, bfgs = { .name = "L-BFGS", .sign = 'o' },
                newton = { .name = "Newton-CG", .sign = '#' };
    path *const paths[METHODS] = { &descent, &bfgs, &newton };
    int64_t seed = 0;
    double x = -1.2, y = 1;
    const char *file = NULL;
    demo_parse(argc, argv,
               "Minimises Rosenbrock's function f = (1 - x)^2 + 100 (y - x^2)^2, least at (1, 1), by gradient\n"
               "descent, L-BFGS and Newton's method with conjugate gradients; draws paths and counts steps.",
               (demo_option[]){ { "seed", "ignored: nothing here is random", DEMO_WHOLE, &seed, 0, 0x1p62 },
                                { "x", "x of the starting point", DEMO_REAL, &x, -5, 5 },
                                { "y", "y of the starting point", DEMO_REAL, &y, -5, 5 },
                                { "plot", "an SVG file for a drawing by gnuplot", DEMO_TEXT, &file, 0, 0 },
                                { 0 } });

    ad_graph *g = ad_graph_new();
    landscape l = survey(g);
    for (int k = 0; k < METHODS; k++) paths[k]->at[0][0] = x, paths[k]->at[0][1] = y;
    gradient_descent(&l, &descent);
    lbfgs(&l, &bfgs);
    newton_cg(&l, &newton);
    if (ad_ok(g)) {
        draw(&l, METHODS, paths);
        report(METHODS, paths);
    }
    bool plotted = file == NULL || !ad_ok(g) || plot(argv, file, METHODS, paths);
    int status = demo_end(argv, g);
    return plotted ? status : 1;
}
