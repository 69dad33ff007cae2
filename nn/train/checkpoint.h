/* checkpoint.h: the state of a training in a file; private to nn. */
#ifndef NN_TRAIN_CHECKPOINT_H
#define NN_TRAIN_CHECKPOINT_H

#include "nn/ranks.h"

/* A number of the training loop: one of the pointers is not NULL. */
typedef struct {
    const char *name;
    int64_t *whole;
    uint64_t *bits;
    double *real;
    int64_t most; /* of whole, which is 0 or more */
} nn__field;

typedef struct {
    nn_module *net;
    nn_optim *opt;
    nn_schedule *schedule; /* NULL: none */
    int n_best;            /* parameters and buffers of the best epoch; 0: not kept */
    ad_var **best;         /* [n_best], in the order of net's */
    nn_average *average;   /* NULL: none; its count is among the fields */
    const char *data_rows; /* the number of rows of the data set as text; of a stream: "of a stream" */
    int n_fields;
    const nn__field *fields;
    int (*accept)(void *data); /* nn__load_checkpoint calls it after the fields are set and before anything else is
                                  changed; a negative code of an error ends it */
    void *data;
    const nn_ranks *ranks; /* for nn__share_checkpoint; NULL: none */
} nn__checkpoint;
int nn__save_checkpoint(const nn__checkpoint *c, const char *path);
/* After an error only fields may have changed. */
int nn__load_checkpoint(const nn__checkpoint *c, const char *path);
/* Gives what rank 0 would save to all ranks. path is not used. */
int nn__share_checkpoint(const nn__checkpoint *c, const char *path);

#endif
