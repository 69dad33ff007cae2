/* module.h: modules, their parameters, and initialisers; included by nn.h. */
#ifndef NN_MODULE_H
#define NN_MODULE_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- modules ---------------------------------------------------------------------------------

   A module is a function of a Var, with parameters and children. Like a Var it belongs to the graph and lives until the
   scope closes in which it was made; nothing has to be freed. Functions that return a module return NULL after an
   error, which the graph keeps; NULL may be passed on. A module may be used in several places, which then share its
   parameters. */
typedef struct nn_module nn_module;

typedef ad_var *nn_activation(ad_var *x);                 /* ad_tanh, ad_relu, ... */
typedef ad_var *nn_forward_fn(nn_module *m, ad_var *x);

/* The module's result for x. */
AD_API ad_var *nn_apply(nn_module *m, ad_var *x);
/* Training mode, or evaluation mode where training is false, for m and all modules below it. New modules are in
   training mode. */
AD_API void nn_train(nn_module *m, bool training);
AD_API bool nn_training(const nn_module *m); /* true if m is in training mode */

/* A module of the user's own. nn_apply calls forward. self is a struct of `size` bytes, zeroed, for the module's state;
   nn_self returns it. The names of parameters, buffers and children are unique in the module and have no dot. Modules
   are built from the inside outwards and within one scope: a module that has become a child takes no more members.

   nn_add_parameter takes a leaf and makes it require a gradient. A buffer is state that optimisers leave alone. */
AD_API nn_module *nn_module_new(ad_graph *g, const char *kind, nn_forward_fn *forward, size_t size);
AD_API void *nn_self(nn_module *m);
AD_API ad_var *nn_add_parameter(nn_module *m, const char *name, ad_var *x);
AD_API ad_var *nn_add_buffer(nn_module *m, const char *name, ad_var *x);
AD_API nn_module *nn_add_child(nn_module *m, const char *name, nn_module *child);
AD_API ad_graph *nn_graph_of(const nn_module *m); /* NULL for NULL */

/* Tells nn_copy that a field of self points to a Var or a module of m's, at any depth. field is the field's address;
   what it points to may be set before or after the call.

       s->gate = nn_add_child(m, "gate", nn_linear(g, t, width, width, true));
       nn_add_reference(m, &s->gate); */
AD_API int nn_add_reference(nn_module *m, void *field);

/* ---- several inputs and results: masks, states --------------------------------------------------------------

   nn_apply_n applies a module to n inputs, of which those behind the first may be NULL, and sets y to n_y results,
   which are nil after an error. Layers take their inputs in the order of their own functions:

       nn_bilinear                            a, b
       nn_rnn, nn_lstm, nn_gru and cells      x, h, c                                        -> y, h, c
       nn_multihead_attention                 query, key, value, mask, padding
       nn_transformer_encoder and its layer   x, mask, padding
       nn_transformer_decoder and its layer   x, memory, mask, padding, memory's mask, memory's padding

   Masks are those of nn_attention_masks and are added to the scores. All other modules take one input. nn_apply is the
   same with one input and one result. */
/* Returns 0 or a negative code. */
typedef void nn_forward_n_fn(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]);
AD_API int nn_apply_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]);
/* nn_module_new for such a module. forward sets y[0] .. y[n_y-1], which are nil when it is called; for other numbers
   of inputs and results than it knows, it calls ad_fail. */
AD_API nn_module *nn_module_new_n(ad_graph *g, const char *kind, nn_forward_n_fn *forward, size_t size);

/* n inputs as one Var, for all functions that take an x: data sets, loaders, nn_fit, nn_predict and nn_apply, which
   gives them to the module as nn_apply_n does. Each has a row for each sample; dtypes may differ. The result is a
   constant view of x[0], and ops take it for x[0] alone. For one input it is x[0]. nn_export_c and nn_save_onnx write
   networks of one input.

       nn_dataset data = { nn_inputs(2, (ad_var *[]){ tokens, padding }), classes }; */
enum { NN_MOST_INPUTS = 16 };
AD_API ad_var *nn_inputs(int n, ad_var *const x[]);
AD_API int nn_input_count(const ad_var *x);       /* 1 for any other Var, and for NULL */
AD_API ad_var *nn_input_at(ad_var *x, int i);     /* number 0 of any other Var is the Var; NULL out of range */

/* ---- the modules below one -----------------------------------------------------------------------------------

   Paths are the names of children, joined by dots: "" is m itself, "0" its child of this name, "0.body" a child of
   that one. A module that is used in several places has several paths. */
AD_API const char *nn_kind(const nn_module *m);                   /* "linear"; NULL for NULL */
AD_API nn_module *nn_find_module(nn_module *m, const char *path); /* NULL where there is none */
/* Calls f for m and each module below it, parents first, once for a module with several paths: with the first one,
   which is valid during the call. Ends where f returns another number than 0, and returns it. f may replace modules:
   those that were there at the beginning are visited. */
typedef int nn_each_fn(nn_module *m, const char *path, void *data);
AD_API int nn_each_module(nn_module *m, nn_each_fn *f, void *data);

/* Puts another module in the place of the one at a path below m, and in all other places below m that have it. It
   may contain the one that it replaces. Fields of structs that point to the old one, and that nn_add_reference was
   told of, point to the new one afterwards. m must be part of no other module and all of it be made in the innermost
   scope. Names of parameters change; optimisers, averages and the like are made after it. After an error nothing is
   changed. */
AD_API int nn_replace_module(nn_module *m, const char *path, nn_module *with);

/* ---- hooks: functions called whenever a module is applied, before or after its forward ------------------------

   before gets the inputs and may put others in their place; after gets the results too and may replace them. Inputs
   that were not given are NULL. Hooks of a module run in the order of their making, which returns a number for
   nn_unhook, or a negative code. A hook lives until nn_unhook, or the end of the scope in which it was made; nn_copy
   leaves hooks out. A hook may take itself away. */
/* Adds a hook to m, or takes away the one of this number. data is passed to f. */
typedef void nn_before_fn(nn_module *m, int n, ad_var *x[], void *data);
typedef void nn_after_fn(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], void *data);
AD_API int nn_hook_before(nn_module *m, nn_before_fn *f, void *data);
AD_API int nn_hook_after(nn_module *m, nn_after_fn *f, void *data);
AD_API int nn_unhook(nn_module *m, int hook);

/* ---- copies -------------------------------------------------------------------------------------------------- */

/* A second module like m, with parameters and buffers of its own that have m's values. Frozen parameters stay
   frozen. The bytes of self are copied; then the fields named by nn_add_reference point to the copies of what they
   pointed to. A field that points to a part of m and was not named is an error, AD_EVALUE. Pointers to anything else
   are shared. */
AD_API nn_module *nn_copy(nn_module *m);

/* ---- parameters and buffers ------------------------------------------------------------------

   The parameters of m and of all modules below it, in the order in which they were added, with PyTorch's dotted names.
   A shared one is listed and saved once, under its first name; nn_find_parameter and nn_load know its other names
   too. */
typedef struct {
    const char *name; /* "0.weight"; the graph's memory */
    ad_var *var;
} nn_parameter;
AD_API int nn_parameter_count(const nn_module *m);               /* Vars */
AD_API int64_t nn_parameter_numel(const nn_module *m);           /* elements */
AD_API nn_parameter nn_parameter_at(const nn_module *m, int i);  /* {NULL, NULL} out of range */
AD_API ad_var *nn_find_parameter(const nn_module *m, const char *name); /* NULL where there is none */

/* The same for buffers, such as the running_mean of batch_norm. Parameters and buffers together are PyTorch's
   state_dict. */
AD_API int nn_buffer_count(const nn_module *m);
AD_API nn_parameter nn_buffer_at(const nn_module *m, int i);
AD_API ad_var *nn_find_buffer(const nn_module *m, const char *name);

/* Freezes the parameters of m and of all modules below it, or releases them where frozen is false. Frozen parameters
   require no gradient and optimisers do not move them. Holds for the live results of ops too, as ad_require_grad. */
AD_API int nn_freeze(nn_module *m, bool frozen);
AD_API int64_t nn_trainable_numel(const nn_module *m); /* elements of the parameters that are not frozen */

/* Prints each module below m with the shape of its result for x and the number of elements of its own parameters.
   Applies m in evaluation mode and restores the modes. */
AD_API int nn_summary(nn_module *m, ad_var *x, FILE *to);

/* ---- initialisers: set the elements of a leaf, drawn from the graph's random numbers; 0 or an AD_E code ----------

   A weight is [out, in]; the weight of a convolution is [out, in, ...], whose window counts in both fan-in and
   fan-out. */
/* Any leaf: uniform in lo .. hi, normal, or one value. */
AD_API int nn_init_uniform(ad_var *x, double lo, double hi);
AD_API int nn_init_normal(ad_var *x, double mean, double std);
AD_API int nn_init_constant(ad_var *x, double value);
/* A weight, uniform or normal. */
AD_API int nn_init_xavier_uniform(ad_var *w, double gain); /* Glorot and Bengio 2010 */
AD_API int nn_init_xavier_normal(ad_var *w, double gain);
AD_API int nn_init_he_uniform(ad_var *w);                  /* He et al. 2015, for relu, by fan-in */
AD_API int nn_init_he_normal(ad_var *w);
AD_API int nn_init_lecun_uniform(ad_var *w); /* LeCun et al. 1998, for selu, by fan-in */
AD_API int nn_init_lecun_normal(ad_var *w);
AD_API int nn_init_default(ad_var *w); /* uniform in +-1/sqrt(fan-in), as PyTorch's linear and convolutional layers */
/* Normal, drawn again where a number is outside lo .. hi. At least a hundredth of the distribution must lie within. */
AD_API int nn_init_trunc_normal(ad_var *x, double mean, double std, double lo, double hi);
/* w seen as a matrix [dim 0, the others]: its rows or its columns, whichever are fewer, become orthogonal vectors of
   length gain (Saxe et al. 2014). */
AD_API int nn_init_orthogonal(ad_var *w, double gain);

#ifdef __cplusplus
}
#endif
#endif
