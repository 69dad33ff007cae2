/* recording.h: what a user's function recorded: a print to compare with a later call, and the Vars from outside that it
   uses; private to the library. */
#ifndef OPS_FUNCTIONAL_RECORDING_H
#define OPS_FUNCTIONAL_RECORDING_H

#include "autodiff/graph/node.h"

typedef struct {
    ad_graph *g;
    int n;
    ad_var *const *xs;
    ad__arena_place start; /* what was allocated before it is not the function's */
    uint32_t before;       /* the number of Ops then */
    uint64_t print;        /* equal for calls that record the same expression */
    ad_var **captured; /* Vars from outside besides the xs, each once, from the pool; NULL unless they are collected */
    int n_captured, capacity;
} ad__recording;

/* Call it before the function, with the Vars that the function gets. */
ad__recording ad__recording_begin(ad_graph *g, int n, ad_var *const xs[]);
/* Computes the print of what the function recorded, y being its result, and collects the captured Vars if asked.
   Returns 0, or AD_ENOMEM with the graph's error. The Ops must still be there. */
int ad__recording_end(ad__recording *r, ad_var *y, bool collect);
/* Gives the list of captured Vars back. */
void ad__recording_free(ad__recording *r);

#endif
