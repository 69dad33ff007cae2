/* lecture.h: what the lecture programs share: the command line, claims, and plots by gnuplot or as text.

   A program computes, prints what it found, states its claims, and describes one picture:

       int main(int argc, char **argv) {
           int64_t steps = 100;
           lecture *l = lecture_begin(argc, argv, "Shows that ...", "--steps 1",
                                      (demo_option[]){ { "steps", "of training", DEMO_WHOLE, &steps, 1, 1e6 }, { 0 } });
           ad_graph *g = lecture_graph(l);
           ...
           lecture_claim(l, loss < 1e-3, "after %lld steps the loss is %.2g, below 0.001", steps, loss);
           plot_panel(l, (panel_opts){ .title = "Training", .x = "step", .y = "loss", .logy = true });
           plot_lines(l, "SGD", n, NULL, losses);
           return lecture_end(l, g);
       }

   Claims are checked at every run: the exit status is 1 if one fails. tests/lectures.sh runs each program as it is,
   where its claims must hold, and with the options that --help names as breaking them, where one must fail.

   `make gallery` makes all pictures, and docs/gallery.md from what the programs print. A new program is a new file
   here, nothing else. Its first comment is "NAME.c: lecture NUMBER: title."; the numbers order the gallery. */
#ifndef DEMOS_LECTURES_LECTURE_H
#define DEMOS_LECTURES_LECTURE_H

#include "demos/demo.h"

typedef struct lecture lecture;

/* Reads the command line; as demo_parse, with the options --seed and --plot besides those of the list. about says in
   sentences what is shown; breaks are options with which a claim fails. Both must outlive the lecture. */
lecture *lecture_begin(int argc, char **argv, const char *about, const char *breaks, const demo_option *more);
ad_graph *lecture_graph(const lecture *l); /* a new graph with the seed of --seed */
int64_t lecture_seed(const lecture *l);
/* Prints a claim, with the figures that were measured, and remembers whether it holds. Comparisons with NaN do not. */
void lecture_claim(lecture *l, bool holds, const char *sentence, ...) AD_PRINTF(3, 4);
/* The larger of worst and |error|; NaN once one was NaN, which fmax would ignore. */
double lecture_worst(double worst, double error);
double lecture_seconds(void); /* a clock, to measure differences */
/* Draws the picture and frees everything; g may be NULL. Returns the exit status: 1 after an error of the graph, a file
   that cannot be written, a failed claim, or without any claim. */
int lecture_end(lecture *l, ad_graph *g);

/* ---- pictures ------------------------------------------------------------------------------------------------

   A picture has panels, and a panel has series. Data are copied when they are given. With --plot FILE, gnuplot draws
   the picture, 800 pixels wide, in colours that colour-blind people tell apart (Okabe and Ito 2008). Without gnuplot,
   FILE.txt has the data. Without --plot or without gnuplot, the picture is printed in characters. Labels are plain
   UTF-8. */

typedef struct {
    const char *title, *x, *y; /* of the panel; names of the axes, with units. Without x and y: no axes */
    bool logx, logy;
    double xlo, xhi, ylo, yhi; /* ranges; equal bounds: as the data are */
    bool equal;                /* a unit has one length on both axes */
    const char *key;           /* where the legend is, in gnuplot's words ("top left"); below the panel if NULL */
} panel_opts;

void plot_layout(lecture *l, int rows, int columns); /* of the panels; 1 and 1 without this call */
void plot_panel(lecture *l, panel_opts o);           /* the next panel; what follows is drawn in it */

/* n numbers; x NULL counts from 1. label NULL or "": not in the legend. Points that are not finite, or not above 0 on
   an axis with logarithms, are left out and interrupt lines. */
void plot_lines(lecture *l, const char *label, int64_t n, const double *x, const double *y);
void plot_dashed(lecture *l, const char *label, int64_t n, const double *x, const double *y); /* black: for theory */
void plot_points(lecture *l, const char *label, int64_t n, const double *x, const double *y);
/* Points x [n,2] of each class, whose numbers are classes [n]; labels[k] is the name of class k. */
void plot_classes(lecture *l, const ad_var *x, const ad_var *classes, int n, const char *const labels[]);
/* Bars with names; several series of one panel stand side by side. */
void plot_bars(lecture *l, const char *label, int n, const char *const names[], const double *y);
/* The colour of the next series: 0 blue, 1 orange, 2 green, 3 purple, 4 sky blue, 5 vermillion, 6 black, 7 grey. By
   default, each series of a panel has the next one. Regions have light versions of the same colours. */
void plot_colour(lecture *l, int colour);

typedef enum {
    PLOT_PROBABILITY, /* 0 to 1, from the blue of class 0 to the orange of class 1 */
    PLOT_CLASS,       /* class numbers from 0 to 3, in their colours */
    PLOT_HEIGHT,      /* any range, in twelve bands, dark to light, with a scale */
} plot_field_kind;
/* Values on rows x columns cells, which fill the panel's ranges (they must be given); row 0 is at the bottom. */
void plot_field(lecture *l, plot_field_kind kind, int rows, int columns, const ad_var *z);
/* The centres of these cells: [rows columns, 2]. */
ad_var *plot_cells(ad_graph *g, ad_dtype t, int rows, int columns, panel_opts o);
/* n grey images of h x w numbers, the first row at the top, `across` of them side by side; each has its own scale from
   dark, its least number, to light. The panel has no axes. */
void plot_images(lecture *l, int n, int across, int h, int w, const ad_var *x);
/* In place of panels: draws the graphs that n Vars depend on as they are now, by Graphviz, into the file of --plot.
   Without Graphviz, FILE.dot has their text. */
void plot_graphs(lecture *l, int n, ad_var *const ys[], const char *const titles[]);

#endif
