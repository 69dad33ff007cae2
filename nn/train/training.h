/* training.h: the state of a training, and what fit.c and ranks.c know of each other; private to this folder. */
#ifndef NN_TRAIN_TRAINING_H
#define NN_TRAIN_TRAINING_H

#include "nn/data/loader.h"
#include "nn/optim/state.h"
#include "nn/ranks.h"
#include "nn/train/compiled.h"
#include "nn/train/evaluate.h"
#include "nn/train/report.h"

typedef struct nn__shares nn__shares;

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn__loss loss;
    nn_optim *opt;
    const nn_fit_opts *o;
    nn_loader *loader; /* NULL: minibatches come from a stream */
    nn__compiled compiled;
    nn_training_state s;
    nn__loader_place place; /* for checkpoints; of a stream, place.at is the number of the next minibatch */
    int64_t averages;       /* updates of the average, for checkpoints */
    ad_var **others;        /* parameters of net that opt does not have */
    int n_others;
    ad_var **best;          /* copies of net's parameters and buffers at the best epoch; NULL: not kept */
    double sum;             /* of the epoch's losses so far, each times the rows of its minibatch */
    int64_t rows;           /* of the epoch so far */
    int64_t all_rows;       /* of the data set; of a stream, more than it has */
    int64_t log_bytes;      /* the size of the log */
    bool log_renewed;       /* resumed without the rows of the log */
    int64_t epoch_open;     /* 1 during an epoch, 0 between two */
    bool stop;
    nn__report report;
    const nn_ranks *ranks;  /* NULL: this process alone */
    nn__shares *shares;     /* what a step over ranks keeps; NULL without ranks */
} nn__run;

typedef struct {
    nn__run *t;
    ad_var *x, *y, *w; /* w: weights of the rows, or NULL */
} nn__rows_of_step;

/* ---- fit.c ------------------------------------------------------------------------------------------------------- */

bool nn__interrupted(void); /* whether SIGINT has come, if it is caught */
/* The next minibatch, or this rank's part of it. False at the end of the epoch and after an error. */
bool nn__next_rows(nn__run *t, nn__rows_of_step *b);
ad_var *nn__loss_of_rows(void *rows); /* an nn_closure_fn */
/* Loss and gradients by a compiled program, or with the loss that was recorded by hand. */
double nn__compiled_rows(nn__run *t, nn__rows_of_step *b, bool *keep_scope);
void nn__zero_gradients(nn__run *t);
bool nn__is_usable(nn__run *t, const char *what, double value);
bool nn__clip_step(nn__run *t);
void nn__after_step(nn__run *t, double loss, int64_t rows);

/* ---- ranks.c ----------------------------------------------------------------------------------------------------- */

/* 0, or AD_EVALUE with an error of g where ranks cannot be called; NULL is good. */
int nn__check_functions_of(ad_graph *g, const nn_ranks *ranks);
int nn__check_ranks(const nn__run *t);
/* Compares what the ranks were given, and takes memory for their steps. */
int nn__ranks_begin(nn__run *t, nn_dataset data);
/* This rank's part of each minibatch. */
void nn__ranks_split(nn__run *t);
bool nn__ranks_step(nn__run *t); /* as step in fit.c */
/* Whether any rank wants something: the answer for all. */
bool nn__any_rank(nn__run *t, bool wanted);
/* Tells the other ranks of an error that they may not know of; returns the code of the graph's error. */
int nn__ranks_agree(nn__run *t);

#endif
