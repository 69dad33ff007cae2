/* checkpoint.h: the state of a training in a file; private to nn. */
#ifndef NN_TRAIN_CHECKPOINT_H
#define NN_TRAIN_CHECKPOINT_H

#include "nn/nn.h"

/* A number of the training loop's own; one of the pointers. */
typedef struct {
    const char *name;
    int64_t *whole;
    uint64_t *bits;
    double *real;
} nn__field;

typedef struct {
    nn_module *net;
    nn_optim *opt;
    nn_schedule *schedule; /* NULL: none */
    int n_best;            /* parameters and buffers of the best epoch, in net's order; 0: not kept */
    ad_var **best;
    int n_fields;
    const nn__field *fields;
} nn__checkpoint;
int nn__save_checkpoint(const nn__checkpoint *c, const char *path);
int nn__load_checkpoint(const nn__checkpoint *c, const char *path); /* changes nothing where it fails */

#endif
