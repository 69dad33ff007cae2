/* loader.h: the position of a loader in its epoch, for checkpoints; private to nn. */
#ifndef NN_DATA_LOADER_H
#define NN_DATA_LOADER_H

#include "nn/data.h"

typedef struct {
    int64_t at;             /* the next row; 0 at the start of an epoch */
    ad_random_state before; /* the graph's random numbers at the start of the epoch, which determine its order */
} nn__loader_place;
nn__loader_place nn__loader_where(const nn_loader *l);
/* Whether the epoch has another minibatch. */
bool nn__loader_has_more(const nn_loader *l);
/* The elements of w, one for each row of the data set, for the n rows of the last minibatch: a constant Var [n]. */
ad_var *nn__loader_pick(const nn_loader *l, const ad_var *w, int64_t n);
/* Continues from that position, and leaves the graph's random numbers as they are. */
int nn__loader_go(nn_loader *l, nn__loader_place p);

#endif
