/* loader.h: where in an epoch a loader is, for checkpoints; private to nn. */
#ifndef NN_DATA_LOADER_H
#define NN_DATA_LOADER_H

#include "autodiff/graph/node.h"
#include "nn/nn.h"

typedef struct {
    int64_t at;        /* the next row; 0 at the beginning of an epoch */
    ad_random_state before; /* the graph's random numbers when the epoch began, which decide its order */
} nn__loader_place;
nn__loader_place nn__loader_where(const nn_loader *l);
/* Goes on from there; the graph's random numbers stay as they are. */
int nn__loader_go(nn_loader *l, nn__loader_place p);

#endif
