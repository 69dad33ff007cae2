/* same.h: whether all ranks of a training were given the same; private to this folder. */
#ifndef NN_TRAIN_SAME_H
#define NN_TRAIN_SAME_H

#include "nn/train/training.h"

/* Compares network, optimiser, options and data with rank 0's. 0, or the code of an error on all ranks, whose sentence
   says what differs. */
int nn__check_same(nn__run *t, nn_dataset data);

#endif
