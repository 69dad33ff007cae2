/* lecture_private.h: the description of a picture, which lecture.c collects and the other files draw. */
#ifndef DEMOS_LECTURES_LECTURE_PRIVATE_H
#define DEMOS_LECTURES_LECTURE_PRIVATE_H

#include "demos/lectures/lecture.h"

enum { LECTURE_PANELS = 16, LECTURE_SERIES = 16 };

typedef enum { SERIES_LINES, SERIES_DASHED, SERIES_POINTS, SERIES_BARS, SERIES_FIELD, SERIES_IMAGES } series_kind;

/* x and y have n numbers; for fields and images y has rows x columns ones, row 0 at the bottom. */
typedef struct {
    series_kind kind;
    plot_field_kind field;
    char label[80];
    int64_t n;
    int rows, columns, colour;
    double *x, *y;
    char (*names)[32]; /* of bars */
} series;

typedef struct {
    panel_opts o;
    char title[120];
    int n;
    series of[LECTURE_SERIES];
} panel;

struct lecture {
    char **argv;
    int64_t seed;
    const char *file;
    int claims, failed;
    bool undrawn; /* a picture could not be written */
    int rows, columns, panels, colour; /* colour: of the next series, -1 where it was not chosen */
    panel at[LECTURE_PANELS];
};

/* The range of a panel: given, or that of its data. Logarithms where the axis has them. */
typedef struct {
    double lo[2], hi[2];
} lecture_range;
lecture_range lecture_range_of(const panel *p);
bool lecture_place(const panel *p, double x, double y, double to[2]); /* false where the point is left out */

void lecture_print(const lecture *l); /* the picture in characters */
bool lecture_write_data(const lecture *l, const char *file);
bool lecture_gnuplot(const lecture *l); /* the file of --plot; false, after a sentence, if it is not written */

#endif
