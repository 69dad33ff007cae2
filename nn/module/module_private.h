/* module_private.h: what the files of layers share; private to the library. */
#ifndef NN_MODULE_MODULE_PRIVATE_H
#define NN_MODULE_MODULE_PRIVATE_H

#include "autodiff/graph/node.h"
#include "nn/layers.h"

/* Registers a parameter of this shape, drawn uniformly in +-bound, all zeros or all ones. */
ad_var *nn__uniform_parameter(nn_module *m, const char *name, ad_dtype t, ad_shape s, double bound);
ad_var *nn__constant_parameter(nn_module *m, const char *name, ad_dtype t, ad_shape s, double value);

/* Whether a layer can have this size; else the error "caller: name size: it must be at least 1". */
bool nn__is_size(ad_graph *g, const char *caller, const char *name, int64_t size);

/* nn_apply's checks, for modules that are applied with more than x. */
int nn__check_apply(const nn_module *m, const ad_var *x);
const char *nn__kind(const nn_module *m);
nn_forward_fn *nn__forward(const nn_module *m);

/* Parameters, then buffers. */
int nn__array_count(const nn_module *m);
nn_parameter nn__array_at(const nn_module *m, int i);

bool nn__ends_with(const char *name, const char *ending); /* ending NULL: yes */

#endif
