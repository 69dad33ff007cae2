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
/* The elements of w, one for each row of the data set, for the n rows that nn_loader_next gave last: a constant Var
   [n]. */
ad_var *nn__loader_pick(const nn_loader *l, const ad_var *w, int64_t n);
/* Their sum over all rows of the last minibatch, also those that l leaves out; NULL: the number of rows. */
double nn__loader_weight(const nn_loader *l, const ad_var *w);

/* From now on nn_loader_next gives only a part of each minibatch of n rows: those from first n / parts up to
   end n / parts. Where these are none it gives the first row of the minibatch, which nn__loader_stands_in tells. */
void nn__loader_split(nn_loader *l, int64_t first, int64_t end, int64_t parts);
bool nn__loader_stands_in(const nn_loader *l);
/* Continues from that position, and leaves the graph's random numbers as they are. */
int nn__loader_go(nn_loader *l, nn__loader_place p);

#endif
