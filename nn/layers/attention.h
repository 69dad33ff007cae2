/* attention.h: what the transformer layers use of multi-head attention; private to nn. */
#ifndef NN_LAYERS_ATTENTION_H
#define NN_LAYERS_ATTENTION_H

#include "nn/layers.h"

/* The multi-head attention looks at keys of its own only: it takes no part in nn_cache_begin. */
void nn__attention_of_memory(nn_module *m);
/* Learned and sinusoidal positions count the time steps from `at` on: see nn_cache_begin. NULL for other modules. */
int64_t *nn__position_of(nn_module *m);

#endif
