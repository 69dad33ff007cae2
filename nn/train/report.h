/* report.h: what a training tells while it runs: a bar or lines, and a table in a file; private to nn. */
#ifndef NN_TRAIN_REPORT_H
#define NN_TRAIN_REPORT_H

#include "nn/nn.h"

typedef struct {
    const nn_fit_opts *o;
    FILE *to; /* NULL: tell nothing */
    bool terminal, bar;  /* bar: the terminal's last line is one */
    double start, drawn; /* seconds */
    int64_t first_step;  /* steps done before this run */
    int64_t epoch_steps;
} nn__report;
/* steps: done before this run. */
nn__report nn__report_new(const nn_fit_opts *o, int64_t epoch_steps, int64_t steps);
void nn__report_step(nn__report *r, const nn_training_state *s);
void nn__report_epoch(nn__report *r, const nn_training_state *s);
void nn__report_end(nn__report *r); /* what is told next begins a line */

/* The log: its columns' names, in a new file, and a row for the epoch. bytes is the file's length so far, beyond which
   it is cut first: rows that a killed training wrote after its checkpoint. 0 or the graph's error. */
int nn__log_head(ad_graph *g, const nn_fit_opts *o, int64_t *bytes);
int nn__log_epoch(ad_graph *g, const nn_fit_opts *o, const nn_training_state *s, int64_t *bytes);

#endif
