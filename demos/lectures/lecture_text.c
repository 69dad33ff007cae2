/* lecture_text.c: pictures of the lecture programs in characters, and their data as text. */
#include "demos/lectures/lecture_private.h"

enum { WIDTH = 64, HEIGHT = 18, WIDEST = 132 };

typedef struct {
    char at[HEIGHT][WIDTH + 1];
} canvas;

static const char marks[] = "*o+x#@%&";

static void put(canvas *c, const lecture_range *r, const double at[2], char mark) {
    int column = (int)floor((at[0] - r->lo[0]) / (r->hi[0] - r->lo[0]) * (WIDTH - 1) + 0.5);
    int row = (int)floor((at[1] - r->lo[1]) / (r->hi[1] - r->lo[1]) * (HEIGHT - 1) + 0.5);
    if (column >= 0 && column < WIDTH && row >= 0 && row < HEIGHT) c->at[HEIGHT - 1 - row][column] = mark;
}

/* A line from a to b as marks in each column or row that it crosses. */
static void put_line(canvas *c, const lecture_range *r, const double a[2], const double b[2], char mark) {
    for (int i = 0; i <= 2 * WIDTH; i++) {
        double part = i / (2.0 * WIDTH), at[2] = { a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1]) };
        put(c, r, at, mark);
    }
}

static void put_curve(canvas *c, const panel *p, const series *s, const lecture_range *r, char mark) {
    double before[2], at[2];
    bool joined = false;
    for (int64_t i = 0; i < s->n; i++) {
        bool shown = lecture_place(p, s->x[i], s->y[i], at);
        if (shown) put(c, r, at, mark);
        if (shown && joined && s->kind == SERIES_LINES && s->n < 4 * WIDTH) put_line(c, r, before, at, mark);
        joined = shown;
        memcpy(before, at, sizeof at);
    }
}

/* The character of a number from lo to hi in a field or an image. */
static char shade(const series *s, double z, double lo, double hi) {
    static const char greys[] = " .:-=+*#%@";
    if (!isfinite(z)) return ' ';
    if (s->kind == SERIES_FIELD && s->field == PLOT_CLASS) return ".:-="[(int)fmin(fmax(z, 0), 3)];
    if (s->kind == SERIES_FIELD && s->field == PLOT_PROBABILITY) return " .:-"[(int)fmin(fmax(z, 0) * 4, 3)];
    return greys[hi > lo ? (int)fmin(10 * (z - lo) / (hi - lo), 9) : 0];
}

static void bounds(const series *s, double *lo, double *hi) {
    *lo = INFINITY, *hi = -INFINITY;
    for (int64_t i = 0; i < s->n; i++)
        if (isfinite(s->y[i])) *lo = fmin(*lo, s->y[i]), *hi = fmax(*hi, s->y[i]);
}

static void put_field(canvas *c, const series *s) {
    double lo, hi;
    bounds(s, &lo, &hi);
    for (int i = 0; i < HEIGHT * WIDTH; i++) {
        int row = (HEIGHT - 1 - i / WIDTH) * s->rows / HEIGHT, column = i % WIDTH * s->columns / WIDTH;
        c->at[i / WIDTH][i % WIDTH] = shade(s, s->y[row * s->columns + column], lo, hi);
    }
}

static void print_images(const series *s) {
    for (int row = s->rows - 1; row >= 0; row--) {
        for (int k = 0; k < s->columns && k < WIDEST; k++) printf("%c", shade(s, s->y[row * s->columns + k], 0, 1));
        printf("\n");
    }
}

static void print_bars(const panel *p) {
    double lo = 0, hi = 0, low, high;
    for (int k = 0; k < p->n; k++) bounds(&p->of[k], &low, &high), lo = fmin(lo, low), hi = fmax(hi, high);
    for (int k = 0; k < p->n; k++) {
        if (p->of[k].label[0]) printf("%s\n", p->of[k].label);
        for (int64_t i = 0; i < p->of[k].n; i++) {
            double length = hi > lo ? fabs(p->of[k].y[i]) / fmax(hi, -lo) : 0;
            printf("  %-18s %10.4g ", p->of[k].names[i], p->of[k].y[i]);
            for (int j = 0; j < (int)(length * 40 + 0.5); j++) printf("#");
            printf("\n");
        }
    }
}

static void print_curves(const panel *p) {
    lecture_range r = lecture_range_of(p);
    canvas c;
    memset(&c, ' ', sizeof c);
    for (int k = 0; k < p->n; k++)
        if (p->of[k].kind == SERIES_FIELD) put_field(&c, &p->of[k]);
        else put_curve(&c, p, &p->of[k], &r, marks[k % 8]);
    double bottom = p->o.logy ? pow(10, r.lo[1]) : r.lo[1], top = p->o.logy ? pow(10, r.hi[1]) : r.hi[1];
    if (p->o.y != NULL) printf("%s\n", p->o.y);
    for (int row = 0; row < HEIGHT; row++) {
        if (row == 0 || row == HEIGHT - 1) printf("%10.3g |", row == 0 ? top : bottom);
        else printf("%10s |", "");
        printf("%.*s\n", WIDTH, c.at[row]);
    }
    printf("%11s%-*.3g%*.3g  %s\n", "", WIDTH / 2, p->o.logx ? pow(10, r.lo[0]) : r.lo[0], WIDTH / 2,
           p->o.logx ? pow(10, r.hi[0]) : r.hi[0], p->o.x ? p->o.x : "");
    for (int k = 0; k < p->n; k++)
        if (p->of[k].label[0]) printf("%12c %s\n", marks[k % 8], p->of[k].label);
}

void lecture_print(const lecture *l) {
    for (int i = 0; i < l->panels; i++) {
        const panel *p = &l->at[i];
        printf("\n%s\n", p->title);
        if (p->n == 0) continue;
        if (p->of[0].kind == SERIES_BARS) print_bars(p);
        else if (p->of[0].kind == SERIES_IMAGES) print_images(&p->of[0]);
        else print_curves(p);
    }
}

static void write_series(FILE *to, const series *s) {
    for (int64_t i = 0; i < s->n; i++) {
        if (s->names != NULL) fprintf(to, "\"%s\" ", s->names[i]);
        if (s->x != NULL) fprintf(to, "%.9g ", s->x[i]);
        fprintf(to, "%.9g%s", s->y[i], s->rows != 0 && (i + 1) % s->columns != 0 ? " " : "\n");
    }
    fprintf(to, "\n\n");
}

bool lecture_write_data(const lecture *l, const char *file) {
    FILE *to = fopen(file, "w");
    if (to == NULL) return false;
    for (int i = 0; i < l->panels; i++)
        for (int k = 0; k < l->at[i].n; k++) {
            const panel *p = &l->at[i];
            fprintf(to, "# %s: %s (%s, %s)\n", p->title, p->of[k].label, p->o.x ? p->o.x : "", p->o.y ? p->o.y : "");
            write_series(to, &p->of[k]);
        }
    bool written = !ferror(to);
    return fclose(to) == 0 && written;
}
