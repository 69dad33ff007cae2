/* lecture.c: what the lecture programs share: the command line, claims, and the description of the picture. */
#include <stdarg.h>
#include <time.h>

#include "demos/lectures/lecture_private.h"
#include "ops/ops.h"

/* ---- the command line, claims and the end -------------------------------------------------------------------- */

static bool has_ending(const char *file, const char *ending) {
    size_t n = strlen(file), m = strlen(ending);
    return n > m && strcmp(file + n - m, ending) == 0;
}

lecture *lecture_begin(int argc, char **argv, const char *about, const char *breaks, const demo_option *more) {
    demo_option all[16] = { { 0 } };
    char text[1200];
    lecture *l = calloc(1, sizeof *l);
    if (l == NULL) fprintf(stderr, "%s: out of memory\n", demo_program(argv)), exit(1);
    *l = (lecture){ .argv = argv, .rows = 1, .columns = 1, .colour = -1 };
    all[0] = (demo_option)DEMO_SEED(&l->seed);
    all[1] = (demo_option){ "plot", "draw into a .png, .svg or .pdf file by gnuplot", DEMO_TEXT, &l->file, 0, 0 };
    for (int i = 0; i < 13 && more != NULL && more[i].name != NULL; i++) all[i + 2] = more[i];
    snprintf(text, sizeof text, "%s\nTo see the claim fail: %s %s", about, demo_program(argv), breaks);
    demo_parse(argc, argv, text, all);
    if (l->file != NULL && !has_ending(l->file, ".png") && !has_ending(l->file, ".svg") && !has_ending(l->file, ".pdf"))
        demo_refuse(argv, "plot", "must end in .png, .svg or .pdf");
    return l;
}

ad_graph *lecture_graph(const lecture *l) {
    ad_graph *g = ad_graph_new();
    if (g == NULL) fprintf(stderr, "%s: out of memory\n", demo_program(l->argv)), exit(1);
    ad_seed(g, (uint64_t)l->seed);
    return g;
}

int64_t lecture_seed(const lecture *l) { return l->seed; }

void lecture_claim(lecture *l, bool holds, const char *sentence, ...) {
    va_list arguments;
    va_start(arguments, sentence);
    printf(holds ? "claim: " : "claim fails: ");
    vprintf(sentence, arguments);
    printf("\n");
    va_end(arguments);
    l->claims++;
    l->failed += !holds;
}

double lecture_worst(double worst, double error) { return worst >= fabs(error) || isnan(worst) ? worst : fabs(error); }

double lecture_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void free_panels(lecture *l) {
    for (int i = 0; i < l->panels; i++)
        for (int k = 0; k < l->at[i].n; k++) {
            free(l->at[i].of[k].x);
            free(l->at[i].of[k].y);
            free(l->at[i].of[k].names);
        }
}

/* Draws the picture; returns whether that could be done. */
static bool draw(const lecture *l) {
    if (l->panels == 0) return true;
    bool found = l->file != NULL && system("command -v gnuplot >/dev/null 2>&1") == 0;
    if (found) return lecture_gnuplot(l);
    lecture_print(l);
    fflush(stdout);
    if (l->file == NULL) return true;
    char text[1024];
    snprintf(text, sizeof text, "%s.txt", l->file);
    bool written = lecture_write_data(l, text);
    fprintf(stderr, "%s: gnuplot is not found, so the picture is not drawn; %s %s\n", demo_program(l->argv), text,
            written ? "has its data" : "cannot be written either");
    return written;
}

int lecture_end(lecture *l, ad_graph *g) {
    bool drawn = (g == NULL || ad_ok(g)) && draw(l);
    bool good = drawn && !l->undrawn && l->claims > 0 && l->failed == 0;
    int status = g == NULL ? 0 : demo_end(l->argv, g);
    free_panels(l);
    free(l);
    return good ? status : 1;
}

/* ---- the description of the picture -------------------------------------------------------------------------- */

static void refuse(const char *fault) {
    fprintf(stderr, "lecture: %s\n", fault);
    exit(1);
}

static void *copy(const void *from, size_t size) {
    void *to = calloc(1, size + 1);
    if (to == NULL) refuse("out of memory");
    if (from != NULL) memcpy(to, from, size);
    return to;
}

void plot_layout(lecture *l, int rows, int columns) {
    l->rows = rows;
    l->columns = columns;
}

void plot_panel(lecture *l, panel_opts o) {
    if (l->panels == LECTURE_PANELS) refuse("too many panels");
    panel *p = &l->at[l->panels++];
    p->o = o;
    snprintf(p->title, sizeof p->title, "%s", o.title ? o.title : "");
}

void plot_colour(lecture *l, int colour) { l->colour = colour; }

/* A new series of the last panel, with room for m numbers y. Fields and images take no colour of the list. */
static series *add(lecture *l, series_kind kind, const char *label, int64_t m) {
    if (l->panels == 0) plot_panel(l, (panel_opts){ .title = "" });
    panel *p = &l->at[l->panels - 1];
    if (p->n == LECTURE_SERIES) refuse("too many series in a panel");
    series *s = &p->of[p->n++];
    int next = 0;
    for (int k = 0; k < p->n - 1; k++) next += p->of[k].kind < SERIES_FIELD && p->of[k].kind != SERIES_DASHED;
    *s = (series){
        .kind = kind, .n = m, .colour = l->colour >= 0 ? l->colour : next, .y = copy(NULL, (size_t)m * sizeof(double))
    };
    snprintf(s->label, sizeof s->label, "%s", label ? label : "");
    l->colour = -1;
    return s;
}

static void add_curve(lecture *l, series_kind kind, const char *label, int64_t n, const double *x, const double *y) {
    series *s = add(l, kind, label, n);
    s->x = copy(x, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        s->y[i] = y[i];
        if (x == NULL) s->x[i] = (double)(i + 1);
    }
}

void plot_lines(lecture *l, const char *label, int64_t n, const double *x, const double *y) {
    add_curve(l, SERIES_LINES, label, n, x, y);
}

void plot_dashed(lecture *l, const char *label, int64_t n, const double *x, const double *y) {
    if (l->colour < 0) l->colour = 6;
    add_curve(l, SERIES_DASHED, label, n, x, y);
}

void plot_points(lecture *l, const char *label, int64_t n, const double *x, const double *y) {
    add_curve(l, SERIES_POINTS, label, n, x, y);
}

void plot_classes(lecture *l, const ad_var *x, const ad_var *classes, int n, const char *const labels[]) {
    for (int k = 0; k < n; k++) {
        plot_colour(l, k);
        series *s = add(l, SERIES_POINTS, labels[k], ad_numel(classes));
        s->x = copy(NULL, (size_t)s->n * sizeof(double));
        int64_t m = 0;
        for (int64_t i = 0; i < s->n; i++)
            if (ad_at(classes, i) == k) s->x[m] = ad_at(x, 2 * i), s->y[m++] = ad_at(x, 2 * i + 1);
        s->n = m;
    }
}

void plot_bars(lecture *l, const char *label, int n, const char *const names[], const double *y) {
    series *s = add(l, SERIES_BARS, label, n);
    s->names = copy(NULL, (size_t)n * sizeof *s->names);
    for (int i = 0; i < n; i++) {
        s->y[i] = y[i];
        snprintf(s->names[i], sizeof s->names[i], "%s", names[i]);
    }
}

void plot_field(lecture *l, plot_field_kind kind, int rows, int columns, const ad_var *z) {
    series *s = add(l, SERIES_FIELD, "", (int64_t)rows * columns);
    s->field = kind, s->rows = rows, s->columns = columns;
    for (int64_t i = 0; i < s->n; i++) s->y[i] = ad_at(z, i);
}

ad_var *plot_cells(ad_graph *g, ad_dtype t, int rows, int columns, panel_opts o) {
    double *at = copy(NULL, 2 * (size_t)rows * (size_t)columns * sizeof *at);
    for (int i = 0; i < rows * columns; i++) {
        at[2 * i] = o.xlo + (o.xhi - o.xlo) * (i % columns + 0.5) / columns;
        at[2 * i + 1] = o.ylo + (o.yhi - o.ylo) * (i / columns + 0.5) / rows;
    }
    ad_var *cells = ad_tensor(g, AD_F64, at, AD_SHAPE((int64_t)rows * columns, 2));
    free(at);
    return t == AD_F64 ? cells : ad_cast(cells, t);
}

/* The image number k goes into the matrix of all images, each scaled to 0 .. 1; between images NaN stays. */
static void place_image(series *s, int k, int across, int h, int w, const ad_var *x) {
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = (int64_t)k * h * w; i < (int64_t)(k + 1) * h * w; i++) {
        lo = fmin(lo, ad_at(x, i));
        hi = fmax(hi, ad_at(x, i));
    }
    for (int i = 0; i < h * w; i++) {
        int row = s->rows - 1 - (k / across * (h + 1) + i / w), column = k % across * (w + 1) + i % w;
        double z = ad_at(x, (int64_t)k * h * w + i);
        s->y[row * s->columns + column] = hi > lo ? (z - lo) / (hi - lo) : 0.5;
    }
}

void plot_images(lecture *l, int n, int across, int h, int w, const ad_var *x) {
    int rows = (n + across - 1) / across * (h + 1) - 1, columns = across * (w + 1) - 1;
    series *s = add(l, SERIES_IMAGES, "", (int64_t)rows * columns);
    s->rows = rows, s->columns = columns;
    for (int64_t i = 0; i < s->n; i++) s->y[i] = NAN;
    for (int k = 0; k < n; k++) place_image(s, k, across, h, w, x);
}

/* ---- ranges -------------------------------------------------------------------------------------------------- */

bool lecture_place(const panel *p, double x, double y, double to[2]) {
    to[0] = p->o.logx ? log10(x) : x;
    to[1] = p->o.logy ? log10(y) : y;
    return isfinite(to[0]) && isfinite(to[1]);
}

lecture_range lecture_range_of(const panel *p) {
    lecture_range r = { { INFINITY, INFINITY }, { -INFINITY, -INFINITY } };
    for (int k = 0; k < p->n; k++)
        for (int64_t i = 0; i < p->of[k].n && p->of[k].x != NULL; i++) {
            double at[2];
            if (!lecture_place(p, p->of[k].x[i], p->of[k].y[i], at)) continue;
            for (int a = 0; a < 2; a++) r.lo[a] = fmin(r.lo[a], at[a]), r.hi[a] = fmax(r.hi[a], at[a]);
        }
    const double given[2][2] = { { p->o.xlo, p->o.xhi }, { p->o.ylo, p->o.yhi } };
    for (int a = 0; a < 2; a++) {
        bool logs = a == 0 ? p->o.logx : p->o.logy;
        if (given[a][0] < given[a][1])
            r.lo[a] = logs ? log10(given[a][0]) : given[a][0], r.hi[a] = logs ? log10(given[a][1]) : given[a][1];
        if (!(r.lo[a] < r.hi[a])) r.lo[a] -= 1, r.hi[a] += 1;
    }
    return r;
}
