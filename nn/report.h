/* report.h: what a training tells while it runs: a bar or lines, and a table in a file; private to nn. */
#ifndef NN_REPORT_H
#define NN_REPORT_H

#include "nn/nn.h"

typedef struct {
    FILE *to; /* NULL: tell nothing */
    bool terminal;
    double start, drawn; /* seconds */
    int64_t first_step;  /* steps done before this run */
    int64_t epoch_steps;
    int64_t batch; /* samples a step */
    const char *metric;
} nn__report;
nn__report nn__report_new(FILE *to, int64_t epoch_steps, int64_t batch, const char *metric, int64_t steps);
void nn__report_step(nn__report *r, const nn_training_state *s);
void nn__report_epoch(nn__report *r, const nn_training_state *s);

/* Appends the epoch's row; bytes is the file's length so far, beyond which it is cut first: rows that a killed
   training wrote after its checkpoint. 0 or the graph's error. */
int nn__log_epoch(ad_graph *g, const char *path, const char *metric, const nn_training_state *s, int64_t *bytes);

#endif
