/* compiled.h: loss and gradients of a minibatch by a compiled program; private to this folder. */
#ifndef NN_TRAIN_COMPILED_H
#define NN_TRAIN_COMPILED_H

#include "nn/optim/state.h"
#include "nn/train.h"

/* What a step is made of, and its program once there is one. The program is that of the first full minibatch, whose
   graph stays open as long as the training. */
typedef struct {
    /* set by the caller: */
    ad_graph *g;
    nn_module *net;
    ad_compile_opts opts;
    int64_t rows; /* in a full minibatch */
    int n;        /* parameters of network and optimiser */
    ad_var **parameters;
    char *how; /* "compiled", or "interpreted: " and the reason */
    size_t how_size;

    bool off;            /* no program can be made */
    ad_program *program; /* NULL: none yet */
    ad_dtype dtype;      /* of the loss */
    ad_var *x, *y;       /* the leaves that stand for a minibatch */
    int n_xs;
    ad_var **xs; /* parameters that get a gradient */
    void **out;  /* of ad_run */
    double loss; /* or a float, as ad_run writes it */
    uint64_t setting;
    int64_t runs, programs;
    size_t buffer_bytes; /* of all buffers of the network */
    char *before;        /* room for their elements before a step */
    double *counts;      /* by buffer: what a step adds to it outside of ops */
} nn__compiled;

/* A minibatch, and what records its loss. */
typedef struct {
    ad_var *x, *y;
    ad_var *(*loss)(void *data);
    void *data;
} nn__minibatch;

/* A program of steps for the parameters of net and of opt that are not among them (others). 0 or the code of the
   graph's error; later calls interpret if no program can be made. */
int nn__compiled_begin(nn__compiled *c, const nn_optim *opt, int n_others, ad_var *const others[]);
/* The loss, with its gradients in the parameters, which had none or are overwritten. *keep: the innermost scope must
   stay open, as the program is in it. NaN after an error. */
double nn__compiled_step(nn__compiled *c, const nn__minibatch *s, bool *keep);
/* The same without a program. */
double nn__interpreted_step(const nn__compiled *c, const nn__minibatch *s);

#endif
