/* report.h: the progress of a training on a terminal, in lines of text and in a CSV log; private to nn. */
#ifndef NN_TRAIN_REPORT_H
#define NN_TRAIN_REPORT_H

#include "nn/train.h"

typedef struct {
    const nn_fit_opts *o;
    FILE *to;            /* NULL: no report */
    bool terminal;
    bool bar;            /* the last line of the terminal is a progress bar */
    double start, drawn; /* when the training began and the bar was last drawn, in seconds */
    int64_t first_step;  /* steps before this run: 0 unless it was resumed */
    int64_t epoch_steps; /* 0: not known yet */
    int64_t rows;        /* of this run so far */
} nn__report;
nn__report nn__report_new(const nn_fit_opts *o, int64_t epoch_steps, int64_t first_step);
void nn__report_step(nn__report *r, const nn_training_state *s, int64_t rows); /* rows of the step */
void nn__report_epoch(nn__report *r, const nn_training_state *s);
void nn__report_end(nn__report *r); /* ends the line of a progress bar */

void nn__report_renewed(nn__report *r); /* says that the log of a resumed training begins again */

/* The log: nn__log_begin makes it ready, nn__log_epoch does so and appends a row. *bytes is the size that the training
   has written so far. What is beyond it is cut off, rows that a killed training wrote after its last checkpoint. A log
   that is empty or gone begins again with the names of its columns, and *renewed tells that it had rows before. Another
   file, or one that was cut, is an error. Return 0 or the code of the graph's error. */
int nn__log_begin(ad_graph *g, const nn_fit_opts *o, int64_t *bytes, bool *renewed);
int nn__log_epoch(ad_graph *g, const nn_fit_opts *o, const nn_training_state *s, int64_t *bytes);

#endif
