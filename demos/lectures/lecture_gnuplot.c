/* lecture_gnuplot.c: pictures of the lecture programs as a script for gnuplot, with the data in it. */
#include "demos/lectures/lecture_private.h"

/* Okabe and Ito's colours without yellow, which is hard to see on white; and light versions for regions. */
static const char *const colours[8] = { "#0072B2", "#E69F00", "#009E73", "#CC79A7",
                                        "#56B4E9", "#D55E00", "#000000", "#888888" };
static const char *const light[4] = { "#B3D5E8", "#F8E2B3", "#B3E2D5", "#F0D7E5" };
enum { PICTURE_WIDTH = 800 };

/* Writes text between single quotes, as gnuplot reads it. */
static void quote(FILE *to, const char *text) {
    fputc('\'', to);
    for (const char *c = text; *c != '\0'; c++) fprintf(to, *c == '\'' ? "''" : "%c", *c);
    fputc('\'', to);
}

/* ---- data blocks --------------------------------------------------------------------------------------------- */

static void write_block(FILE *to, const panel *p, int number, int k) {
    const series *s = &p->of[k];
    fprintf(to, "$d%d_%d << EOD\n", number, k);
    for (int64_t i = 0; i < s->n; i++) {
        double at[2];
        const char *end = s->rows != 0 && (i + 1) % s->columns != 0 ? " " : "\n";
        if (s->rows != 0 && !isfinite(s->y[i])) fprintf(to, "NaN%s", end);
        else if (s->rows != 0) fprintf(to, "%.4g%s", s->y[i], end);
        else if (s->names != NULL) fprintf(to, "\"%s\" %.6g\n", s->names[i], s->y[i]);
        else if (lecture_place(p, s->x[i], s->y[i], at)) fprintf(to, "%.7g %.7g\n", s->x[i], s->y[i]);
        else fprintf(to, "\n");
    }
    fprintf(to, "EOD\n");
}

/* ---- panels -------------------------------------------------------------------------------------------------- */

static void write_palette(FILE *to, const series *s) {
    if (s->kind == SERIES_IMAGES)
        fprintf(to, "set palette defined (0 'black', 1 '#E8E8E8')\nset cbrange [0:1]\nunset colorbox\n");
    else if (s->field == PLOT_PROBABILITY)
        fprintf(to,
                "set palette maxcolors 10 defined (0 '%s', 0.5 'white', 1 '%s')\nset cbrange [0:1]\nunset colorbox\n",
                "#80B8D8", "#F2CF80");
    else if (s->field == PLOT_CLASS)
        fprintf(to,
                "set palette maxcolors 4 defined (0 '%s', 1 '%s', 2 '%s', 3 '%s')\nset cbrange [-0.5:3.5]\n"
                "unset colorbox\n",
                light[0], light[1], light[2], light[3]);
    else
        fprintf(to,
                "set palette maxcolors 12 defined (0 '#00224E', 1 '#35456C', 2 '#666970', 3 '#948E77', 4 '#C8B866', "
                "5 '#FEE838')\nset cbrange [*:*]\nset colorbox\n");
}

/* Logarithmic axes over many decades have powers of ten. */
static void write_axis(FILE *to, char axis, const char *name, bool logs, double lo, double hi, double decades) {
    fprintf(to, "set %clabel ", axis);
    quote(to, name ? name : "");
    if (axis == 'x') fprintf(to, " offset 0,0.3");
    fprintf(to, logs ? "\nset logscale %c\n" : "\nunset logscale %c\n", axis);
    fprintf(to, logs && decades > 4 ? "set format %c '%%.0e'\n" : "set format %c '%%g'\n", axis);
    if (lo < hi) fprintf(to, "set %crange [%g:%g]\n", axis, lo, hi);
    else fprintf(to, "set %crange [*:*]\n", axis);
}

/* Names below the bars, slanted where they would overlap. */
static void write_bar_style(FILE *to, const panel *p, int columns) {
    size_t longest = 0;
    for (int64_t i = 0; i < p->of[0].n; i++)
        longest = longest > strlen(p->of[0].names[i]) ? longest : strlen(p->of[0].names[i]);
    bool slanted = (longest + 2) * (size_t)p->of[0].n * (size_t)columns > 88;
    fprintf(to, "set style data histogram\nset style fill solid 1 noborder\nset boxwidth 0.85\nset grid noxtics\n");
    fprintf(to, slanted ? "set xtics nomirror rotate by -35\n" : "set xtics nomirror norotate\n");
}

static void write_style(FILE *to, const panel *p, int columns) {
    const panel_opts *o = &p->o;
    const lecture_range r = lecture_range_of(p);
    bool bare = o->x == NULL && o->y == NULL, bars = p->n > 0 && p->of[0].kind == SERIES_BARS;
    fprintf(to, "set title ");
    quote(to, p->title);
    fprintf(to, "\nset key %s Left reverse width 2\nset size %s\n",
            o->key ? o->key : "outside below center horizontal height 0.5", o->equal || bare ? "ratio -1" : "noratio");
    write_axis(to, 'x', o->x, o->logx, o->xlo, o->xhi, r.hi[0] - r.lo[0]);
    write_axis(to, 'y', o->y, o->logy, o->ylo, o->yhi, r.hi[1] - r.lo[1]);
    if (bare) fprintf(to, "unset border\nunset tics\nunset grid\n");
    else fprintf(to, "set border 3\nset tics nomirror out\nset grid xtics ytics back lt 1 lw 1 lc rgb '#DDDDDD'\n");
    if (bars) write_bar_style(to, p, columns);
    else if (!bare) fprintf(to, "set xtics nomirror norotate autofreq\nset ytics nomirror autofreq\n");
}

static void write_field(FILE *to, const panel *p, const series *s) {
    double x = p->o.xlo, y = p->o.ylo, w = (p->o.xhi - x) / s->columns, h = (p->o.yhi - y) / s->rows;
    if (s->kind == SERIES_IMAGES) x = y = -0.5, w = h = 1;
    fprintf(to, " matrix using (%g + %g * ($1 + 0.5)):(%g + %g * ($2 + 0.5)):3 with image notitle", x, w, y, h);
}

/* Points of each colour have a form of their own; many points are smaller. */
static void write_points(FILE *to, const series *s, const char *colour, double more) {
    const int form[4] = { 7, 9, 5, 13 };
    double size = (s->n > 60 ? 0.6 : s->n > 8 ? 0.9 : 1.4) + more;
    fprintf(to, " with points pt %d ps %g lc rgb '%s'", form[s->colour % 4], size, colour);
}

static void write_series(FILE *to, const panel *p, const series *s) {
    const char *colour = colours[s->colour % 8];
    if (s->rows != 0) {
        write_field(to, p, s);
        return;
    }
    if (s->kind == SERIES_LINES) fprintf(to, " with lines lw 2 lc rgb '%s'", colour);
    if (s->kind == SERIES_DASHED) fprintf(to, " with lines lw 2 dt (12,10) lc rgb '%s'", colour);
    if (s->kind == SERIES_POINTS) write_points(to, s, colour, 0);
    if (s->kind == SERIES_BARS) fprintf(to, " using 2:xtic(1) lc rgb '%s'", colour);
    fprintf(to, s->label[0] ? " title " : " notitle");
    if (s->label[0]) quote(to, s->label);
}

static void write_panel(FILE *to, const lecture *l, int number) {
    const panel *p = &l->at[number];
    for (int k = 0; k < p->n; k++) write_block(to, p, number, k);
    write_style(to, p, l->columns);
    for (int k = 0; k < p->n; k++)
        if (p->of[k].rows != 0) write_palette(to, &p->of[k]);
    fprintf(to, "plot ");
    for (int k = 0; k < p->n; k++) {
        if (p->of[0].kind == SERIES_FIELD && p->of[k].kind == SERIES_POINTS && p->of[k].n <= 60) { /* a white rim */
            fprintf(to, "$d%d_%d", number, k);
            write_points(to, &p->of[k], "white", 0.4);
            fprintf(to, " notitle, ");
        }
        fprintf(to, "$d%d_%d", number, k);
        write_series(to, p, &p->of[k]);
        fprintf(to, k + 1 < p->n ? ", " : "\n");
    }
}

/* ---- the picture --------------------------------------------------------------------------------------------- */

static void write_terminal(FILE *to, const lecture *l) {
    const char *ending = strrchr(l->file, '.');
    int keys = 0, height = l->rows * (l->columns == 1 ? 360 : PICTURE_WIDTH / l->columns);
    for (int i = 0; i < l->panels; i++) keys += l->at[i].o.key == NULL;
    if (keys > 0 && l->columns > 1) height += 60 * l->rows;
    if (l->rows == 1 && l->columns == 1) height = 520;
    if (strcmp(ending, ".pdf") == 0)
        fprintf(to, "set terminal pdfcairo noenhanced size %g,%g font 'Sans,10'\n", PICTURE_WIDTH / 96.0,
                height / 96.0);
    else if (strcmp(ending, ".svg") == 0)
        fprintf(to, "set terminal svg noenhanced size %d,%d font 'sans-serif,13' background rgb 'white'\n",
                PICTURE_WIDTH, height);
    else fprintf(to, "set terminal pngcairo noenhanced size %d,%d font 'Sans,10'\n", PICTURE_WIDTH, height);
    fprintf(to, "set encoding utf8\nset output ");
    quote(to, l->file);
    fprintf(to, "\n");
}

static void write_script(FILE *to, const lecture *l) {
    write_terminal(to, l);
    fprintf(to, "set multiplot layout %d,%d\n", l->rows, l->columns);
    for (int i = 0; i < l->panels; i++) write_panel(to, l, i);
    fprintf(to, "unset multiplot\n");
}

/* What gnuplot complained about: the last line of its messages that is not empty. */
static void read_complaint(FILE *from, char *to, size_t size) {
    char line[300];
    snprintf(to, size, "it gave no reason");
    rewind(from);
    while (fgets(line, sizeof line, from) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strspn(line, " \t^") < strlen(line)) snprintf(to, size, "%s", line + strspn(line, " \t"));
    }
}

bool lecture_gnuplot(const lecture *l) {
    char command[64], complaint[300];
    FILE *messages = tmpfile();
    if (messages == NULL) return fprintf(stderr, "%s: no temporary file can be made\n", demo_program(l->argv)), false;
    fflush(stdout);
    snprintf(command, sizeof command, "gnuplot >/dev/null 2>/dev/fd/%d", fileno(messages));
    FILE *to = popen(command, "w");
    if (to != NULL) write_script(to, l);
    bool done = to != NULL && pclose(to) == 0;
    read_complaint(messages, complaint, sizeof complaint);
    fclose(messages);
    if (!done) fprintf(stderr, "%s: gnuplot could not write %s: %s\n", demo_program(l->argv), l->file, complaint);
    return done;
}
