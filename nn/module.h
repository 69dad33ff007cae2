/* module.h: modules, their parameters and initialisers; included by nn.h. */
#ifndef NN_MODULE_H
#define NN_MODULE_H

#include "autodiff/autodiff.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- modules ---------------------------------------------------------------------------------

   A module is a function of a Var with parameters and children. Like a Var it belongs to the graph
   and lives until the scope that it was made in closes; nothing has to be freed. Functions that
   return a module return NULL after an error, which the graph keeps; NULL may be passed on. A module
   may be used in several places: what they share is one set of parameters. */
typedef struct nn_module nn_module;

typedef ad_var *nn_activation(ad_var *x);                 /* ad_tanh, ad_relu, ... */
typedef ad_var *nn_forward_fn(nn_module *m, ad_var *x);

AD_API ad_var *nn_apply(nn_module *m, ad_var *x);
AD_API void nn_train(nn_module *m, bool training); /* of m and all below it; modules start in training */
AD_API void nn_eval(nn_module *m);                 /* nn_train(m, false) */
AD_API bool nn_training(const nn_module *m);

/* A module of the user's own: forward is called by nn_apply; self is size zeroed bytes for its state
   (nn_self). Parameters (leaves) and children get names unique in the module, without a dot. Modules
   are built from the inside outwards, all in one scope: a child is complete, and takes no more. */
AD_API nn_module *nn_module_new(ad_graph *g, const char *kind, nn_forward_fn *forward, size_t size);
AD_API void *nn_self(nn_module *m);
AD_API ad_var *nn_add_parameter(nn_module *m, const char *name, ad_var *x);
AD_API ad_var *nn_add_buffer(nn_module *m, const char *name, ad_var *x); /* state that no optimiser moves */
AD_API nn_module *nn_add_child(nn_module *m, const char *name, nn_module *child);
AD_API ad_graph *nn_graph_of(const nn_module *m);

/* Parameters of m and all below it, in the order of adding, with PyTorch's dotted names; one that is
   shared is listed once, under its first name. */
typedef struct {
    const char *name; /* "0.weight"; of the graph's memory */
    ad_var *var;
} nn_parameter;
AD_API int nn_parameter_count(const nn_module *m);               /* Vars */
AD_API int64_t nn_parameter_numel(const nn_module *m);           /* elements */
AD_API nn_parameter nn_parameter_at(const nn_module *m, int i);  /* {NULL, NULL} out of range */
AD_API ad_var *nn_find_parameter(const nn_module *m, const char *name); /* NULL where there is none */

/* Buffers, such as a batch_norm's running_mean, likewise: parameters and buffers together are PyTorch's
   state_dict. */
AD_API int nn_buffer_count(const nn_module *m);
AD_API nn_parameter nn_buffer_at(const nn_module *m, int i);
AD_API ad_var *nn_find_buffer(const nn_module *m, const char *name);

/* Frozen parameters want no gradient, and optimisers leave them as they are; false undoes it. Holds for what
   is computed from then on. */
AD_API int nn_freeze(nn_module *m, bool frozen);
AD_API int64_t nn_trainable_numel(const nn_module *m); /* elements of parameters that are not frozen */

/* A second module like m, with parameters and buffers of its own, of m's values. The bytes of self are copied,
   and pointers in it to m's Vars, and to the modules directly below m, become those to their copies. */
AD_API nn_module *nn_copy(nn_module *m);

/* Prints each module below m with the shape of its result for x and the elements of its own parameters.
   Applies m in evaluation mode. */
AD_API int nn_summary(nn_module *m, ad_var *x, FILE *to);

/* ---- initialisers: fill a leaf anew from the graph's random numbers; 0 or an AD_E code ------------

   A weight is [out, in], or [out, in, ...] of a convolution, whose window counts in both. */
AD_API int nn_init_uniform(ad_var *x, double lo, double hi);
AD_API int nn_init_normal(ad_var *x, double mean, double std);
AD_API int nn_init_constant(ad_var *x, double value);
AD_API int nn_init_xavier_uniform(ad_var *w, double gain); /* Glorot and Bengio 2010 */
AD_API int nn_init_xavier_normal(ad_var *w, double gain);
AD_API int nn_init_he_uniform(ad_var *w);                  /* He et al. 2015, for relu, by fan-in */
AD_API int nn_init_he_normal(ad_var *w);
AD_API int nn_init_lecun_uniform(ad_var *w); /* for selu, by fan-in */
AD_API int nn_init_lecun_normal(ad_var *w);
AD_API int nn_init_default(ad_var *w); /* uniform in +-1/sqrt(fan-in), as linear and convolutional layers of PyTorch's */
/* Normal, drawn again where it lies outside lo .. hi, which must hold a hundredth of it at least. */
AD_API int nn_init_trunc_normal(ad_var *x, double mean, double std, double lo, double hi);
/* Of w as a matrix [dim 0, the others], the rows or the columns, whichever are fewer, become orthogonal
   vectors of length gain. */
AD_API int nn_init_orthogonal(ad_var *w, double gain);

#ifdef __cplusplus
}
#endif
#endif
