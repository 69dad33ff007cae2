/* autodiff.h: the engine's public face: graphs, Vars, evaluation and gradients.

   Functions of the caller's that the library calls return to it: they neither longjmp out of it nor let a C++
   exception through. They stop it by an error, with ad_fail or by what they return. */
#ifndef AUTODIFF_AUTODIFF_H
#define AUTODIFF_AUTODIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define AD_API __attribute__((visibility("default")))
#define AD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define AD_API
#define AD_PRINTF(fmt, args)
#endif

/* Seldom called: small rather than fast. (clang would want it before the definition.) */
#if defined(__GNUC__) && !defined(__clang__)
#define AD_COLD __attribute__((cold))
#else
#define AD_COLD
#endif

/* In a field of options whose 0 means a default: zero itself. For int, int64_t and double fields. */
#define AD_ZERO (-2147483647 - 1)

#define AD_VERSION_MAJOR 0
#define AD_VERSION_MINOR 1
#define AD_VERSION_PATCH 0
AD_API const char *ad_version(void); /* "0.1.0", of the library that runs */

/* A graph owns every Var and Op made in it. Use one graph per thread; graphs share nothing. */
typedef struct ad_graph ad_graph;
/* A Var is a value in a graph: an array with, when it takes part in differentiation, a gradient.
   Its memory is the graph's and lasts until the scope that it was made in closes. */
typedef struct ad_var ad_var;
/* An Op is how a Var came to be: a descriptor (ad_optype), operands and attributes. */
typedef struct ad_op ad_op;
typedef struct ad_optype ad_optype;
/* The threads that a graph's large loops share; NULL: the calling thread alone. */
typedef struct ad_team ad_team;

/* ---- element types and shapes ------------------------------------------------------------- */

typedef enum { AD_F32, AD_F64 } ad_dtype;

#define AD_MAX_NDIM 6

/* Arrays are row-major and contiguous; ndim 0 is a scalar; a size may be 0. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM];
} ad_shape;

/* AD_SHAPE(2, 3) and AD_SCALAR are compound literals; C++ and bindings use the functions. */
#define AD_SHAPE(...)                                                                              \
    ((ad_shape){ (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } })
#define AD_SCALAR ((ad_shape){ 0, { 0 } })
AD_API ad_shape ad_shape_of_dims(int ndim, const int64_t *dim); /* ndim < 0 or > 6: ndim -1 */
AD_API ad_shape ad_shape_scalar(void);
AD_API int64_t ad_shape_numel(ad_shape s); /* product of the sizes; -1 where it is no shape */
AD_API bool ad_shape_equal(ad_shape a, ad_shape b);
/* Writes "[2,3]" and returns its length, as snprintf does. */
AD_API int ad_shape_text(ad_shape s, char *to, size_t size);
/* The same as a value, for printf: ad_shape_str(s).text is valid until the end of the full expression. */
typedef struct {
    char text[AD_MAX_NDIM * 21 + 3];
} ad_shape_string;
AD_API ad_shape_string ad_shape_str(ad_shape s);
AD_API size_t ad_dtype_size(ad_dtype t);      /* bytes an element */
AD_API const char *ad_dtype_name(ad_dtype t); /* "f32", "f64" */

/* ---- errors ------------------------------------------------------------------------------- */

/* What int-returning calls answer: 0, or one of these. */
enum {
    AD_OK = 0,
    AD_ENOMEM = -1,  /* an allocation failed */
    AD_ESHAPE = -2,  /* shapes, axes or sizes that do not fit */
    AD_EDTYPE = -3,  /* two dtypes in one op, or one that the op lacks */
    AD_EGRAPH = -4,  /* Vars of two graphs in one call, or a closed scope */
    AD_EVALUE = -5,  /* an argument or an element out of its range */
    AD_ESTALE = -6,  /* a leaf was changed after the ops that use it ran */
    AD_EGRAD = -7,   /* no gradient can be had here */
    AD_EIO = -8,     /* a file cannot be read or written, or is malformed */
    AD_ECHECK = -9,  /* a check compared two numbers and they differ */
    AD_EABSENT = -10 /* this build lacks the library that the call needs */
};

/* The first error of a graph is kept. The call that fails, and every one after it until
   ad_clear_error, returns the graph's nil Var: never NULL, zero-sized, safe to pass on. */
AD_API bool ad_ok(const ad_graph *g);
AD_API const char *ad_error(const ad_graph *g); /* the first error's sentence; "" when none */
AD_API int ad_error_code(const ad_graph *g);
AD_API void ad_clear_error(ad_graph *g);
AD_API bool ad_is_nil(const ad_var *x);

/* Called at the very site of the first error; it may print or break into a debugger, but must
   not close scopes or free the graph. NULL takes the callback away. */
typedef void ad_error_fn(ad_graph *g, int code, const char *message, void *data);
AD_API void ad_on_error(ad_graph *g, ad_error_fn *fn, void *data);

/* ---- graph and scope ---------------------------------------------------------------------- */

AD_API ad_graph *ad_graph_new(void); /* NULL when memory is short */
AD_API void ad_graph_free(ad_graph *g); /* NULL is let pass */

/* How many threads share the graph's large loops and matrix products, the calling one included: 1 unless told
   otherwise, 0 for as many as there are processors for this process. Results are the same bits for any number.
   Graphs share no threads; what is small runs on the calling thread alone. The threads wait until the graph is
   freed or told 1. After fork() a child works on with its one thread, and may call this for more. AD_EVALUE for
   a number out of range, AD_ENOMEM where the system does not start so many; then nothing has changed. */
AD_API int ad_set_threads(ad_graph *g, int n);
AD_API int ad_threads(const ad_graph *g);

/* Where a graph takes its memory from. alloc returns size bytes aligned to align (a power of two,
   at least sizeof(void *)) or NULL; release takes back what alloc gave. */
typedef struct {
    void *(*alloc)(void *data, size_t align, size_t size);
    void (*release)(void *data, void *memory, size_t size);
    void *data;
} ad_allocator;
AD_API ad_graph *ad_graph_new_with(ad_allocator a);

/* A scope: everything made between ad_begin and ad_end is gone after ad_end, and its memory is
   used again. Scopes nest; closing an outer one closes the inner ones that were forgotten. */
typedef struct {
    const ad_graph *graph;
    int depth;
    uint64_t serial;
} ad_mark;
AD_API ad_mark ad_begin(ad_graph *g);
/* A mark of a scope that is closed already, or of another graph, is an error of the graph. */
AD_API void ad_end(ad_graph *g, ad_mark m);

typedef struct {
    int64_t ops;        /* live Ops */
    int64_t bytes_held; /* taken from the allocator and not given back */
    int64_t bytes_used; /* of these, in use by live Vars, Ops and values */
    int64_t allocs;     /* calls made to the allocator since ad_graph_new */
} ad_stats;
AD_API ad_stats ad_graph_stats(const ad_graph *g);

/* Whether ops made from now on take part in differentiation; returns what it was. Ops are recorded
   either way, so ad_eval works on them. */
AD_API bool ad_enable_grad(ad_graph *g, bool on);
/* Whether the gradients of interior Vars stay readable after a backward pass (they do unless told
   otherwise); false uses their memory again within the pass. Holds for ops made from now on.
   Returns what it was. */
AD_API bool ad_keep_grads(ad_graph *g, bool on);
/* Keeps one interior Var's gradient readable whatever ad_keep_grads says. */
AD_API int ad_retain_grad(ad_var *x);

/* ---- leaves -------------------------------------------------------------------------------- */

/* Data is numel elements of type t, row-major; NULL gives zeros. */
AD_API ad_var *ad_param(ad_graph *g, ad_dtype t, const void *data, ad_shape s);  /* copied; wants a gradient */
AD_API ad_var *ad_tensor(ad_graph *g, ad_dtype t, const void *data, ad_shape s); /* copied; a constant */
/* Borrowed: the caller's array is read in place, must outlive its use, and is not written by the library
   (but by ad_gradcheck, which restores it). After changing it call ad_data_mut(x), so that stale results are noticed. */
AD_API ad_var *ad_input(ad_graph *g, ad_dtype t, void *data, ad_shape s);
AD_API int ad_rebind(ad_var *x, void *data); /* points an ad_input at another array of its shape */
AD_API ad_var *ad_scalar(ad_graph *g, ad_dtype t, double value);
AD_API ad_var *ad_zeros(ad_graph *g, ad_dtype t, ad_shape s);
AD_API ad_var *ad_ones(ad_graph *g, ad_dtype t, ad_shape s);
AD_API ad_var *ad_full(ad_graph *g, ad_dtype t, double value, ad_shape s);
/* start, start + step, ... below stop (above it, for a negative step), as numpy.arange. */
AD_API ad_var *ad_arange(ad_graph *g, ad_dtype t, double start, double stop, double step);
AD_API ad_var *ad_eye(ad_graph *g, ad_dtype t, int64_t n);            /* [n,n], ones on the diagonal */
AD_API ad_var *ad_rand(ad_graph *g, ad_dtype t, ad_shape s);          /* uniform in [0, 1) */
AD_API ad_var *ad_randn(ad_graph *g, ad_dtype t, ad_shape s);         /* standard normal */
/* Makes a leaf want a gradient; returns x, or nil for a Var that an op made. */
AD_API ad_var *ad_require_grad(ad_var *x);
AD_API bool ad_requires_grad(const ad_var *x);
/* Turns it on or off for a leaf that ad_param or ad_require_grad made trainable; it holds for ops made from now on.
   AD_EVALUE for a Var that an op made. */
AD_API int ad_set_requires_grad(ad_var *x, bool on);
/* Whether a gradient has arrived at x since its gradient was last zeroed. */
AD_API bool ad_has_grad(const ad_var *x);

/* Philox 4x32-10 (Salmon et al. 2011), counter-based: the same seed gives the same bits on every
   machine. A new graph has seed 0. */
AD_API void ad_seed(ad_graph *g, uint64_t seed);
/* The place in the stream of random numbers: what ad_random_get returned, ad_random_set goes back to. */
typedef struct {
    uint64_t seed, counter; /* block number counter of the seed is drawn next */
} ad_random_state;
AD_API ad_random_state ad_random_get(const ad_graph *g);
AD_API void ad_random_set(ad_graph *g, ad_random_state state);

/* ---- looking -------------------------------------------------------------------------------- */

AD_API double ad_item(const ad_var *x);      /* the element of a one-element Var; NaN otherwise */
AD_API double ad_grad_item(const ad_var *x); /* its gradient; 0 where none arrived */
AD_API double ad_at(const ad_var *x, int64_t flat);      /* NaN out of range */
AD_API double ad_grad_at(const ad_var *x, int64_t flat); /* 0 where none arrived, NaN out of range */
AD_API const void *ad_data(const ad_var *x); /* numel elements of its dtype; NULL for nil */
/* The gradient, zeros where none arrived; NULL for a Var that keeps none. */
AD_API const void *ad_grad(const ad_var *x);
/* A leaf's elements, for writing: marks it as changed. NULL, with an error, for an op's result. */
AD_API void *ad_data_mut(ad_var *x);
/* A leaf's gradient, for writing between backward and step (clipping, all-reduce); NULL if none. */
AD_API void *ad_grad_mut(ad_var *x);
AD_API int ad_set(ad_var *x, const void *data); /* copies numel elements into a leaf */
AD_API ad_shape ad_shape_of(const ad_var *x);
AD_API ad_dtype ad_dtype_of(const ad_var *x);
AD_API int64_t ad_numel(const ad_var *x);
AD_API const ad_op *ad_creator(const ad_var *x); /* NULL for a leaf */
AD_API ad_graph *ad_graph_of(const ad_var *x);
/* Names x in errors and pictures: "matmul: W1 [2,3] x [2,3]: ...". The text is copied; NULL takes the name away. Returns x,
   or nil where memory is short. */
AD_API ad_var *ad_name(ad_var *x, const char *name);
AD_API const char *ad_name_of(const ad_var *x); /* NULL where x has no name */
AD_API const char *ad_op_name(const ad_op *op);
AD_API int ad_op_arity(const ad_op *op);              /* how many operands this Op has */
AD_API ad_var *ad_op_operand(const ad_op *op, int i); /* NULL out of range */
AD_API ad_var *ad_op_result(const ad_op *op);
/* Prints values as NumPy would, with shape and dtype; long arrays are shortened. */
AD_API void ad_print(const ad_var *x, FILE *to);
/* Graphviz text of what y was made from: Vars as boxes with value and gradient, Ops as ellipses. */
AD_API int ad_dump_dot(const ad_var *y, FILE *to);

/* ---- evaluate and differentiate ----------------------------------------------------------- */

/* Computes again, in place, what y depends on, from the leaves' present values. */
AD_API int ad_eval(ad_var *y);
/* Adds dy/dx into the gradient of every leaf x that wants one, and sets those of the Vars between.
   y has one element; ad_backward_from takes any shape and a seed of y's shape and dtype.
   AD_ESTALE, with no gradient touched, if a leaf changed after the ops that used it ran. After AD_ENOMEM,
   which ad_keep_grads(g, false) and large graphs may meet, leaves hold a part: ad_zero_grad them. */
AD_API int ad_backward(ad_var *y);
AD_API int ad_backward_from(ad_var *y, const ad_var *seed);
AD_API void ad_zero_grad(ad_var *y); /* of everything y depends on, y included */
/* dxs[i] = dy/dxs[i] as Vars of the graph, differentiable again; zeros where y does not depend on
   xs[i]. y has one element. Does not touch ad_grad. AD_EGRAD names an op that has no vjp. */
AD_API int ad_gradient(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]);
/* The same from a cotangent of y's shape and dtype: dxs[i] = (dy/dxs[i])^T cotangent. */
AD_API int ad_vjp(ad_var *y, ad_var *cotangent, int n, ad_var *const xs[], ad_var *dxs[]);
/* As ad_gradient, but AD_EGRAD where y does not depend on one of the xs. */
AD_API int ad_gradient_strict(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]);

/* Forward mode: the sum over i of (dy/dxs[i]) tangents[i], of y's shape, as a Var that differentiates again; nil after
   an error. tangents[i] has the shape and dtype of xs[i]. The cost is two passes of ad_vjp, whatever n is. */
AD_API ad_var *ad_jvp(ad_var *y, int n, ad_var *const xs[], ad_var *const tangents[]);
/* Hessian times vector: hvs[i] = sum over j of (d2y / dxs[i] dxs[j]) vs[j]. y has one element. */
AD_API int ad_hvp(ad_var *y, int n, ad_var *const xs[], ad_var *const vs[], ad_var *hvs[]);

/* y as a function of the leaves xs, for optimisers in C that call back. It lives in the graph as a Var does;
   NULL, with the graph's error, where it cannot be made. */
typedef struct ad_objective ad_objective;
AD_API ad_objective *ad_objective_new(ad_var *y, int n, ad_var *const xs[]);
AD_API int64_t ad_objective_size(const ad_objective *f); /* elements of all xs */
/* The callback: sets the leaves to x (their elements one after the other), evaluates y in place and returns
   it. grad, unless NULL, gets the gradient; ad_grad of what y depends on is overwritten. Takes no memory from the
   system. NaN, with the graph's error, where it fails. objective is an ad_objective. */
AD_API double ad_value_and_gradient(const double *x, double *grad, void *objective);

/* Builds an expression from n Vars. */
typedef ad_var *ad_function(int n, ad_var *const xs[], void *user);

/* ---- checks --------------------------------------------------------------------------------- */

/* Called many times with slightly different values. */
typedef ad_function ad_check_fn;

/* A zero field means its default: PyTorch's eps 1e-6, atol 1e-5, rtol 1e-3. */
typedef struct {
    double eps, atol, rtol;
} ad_check_opts;

typedef struct {
    bool ok;
    int64_t compared;  /* pairs of numbers */
    const char *op;    /* the op at fault: the one that made f's result, for ad_gradcheck */
    int operand;       /* which of xs, or which operand */
    int64_t index;     /* its flat element */
    double analytic;   /* by backward */
    double numeric;    /* by differences (or the other rule that was compared) */
    char message[400]; /* the same as a sentence */
} ad_check_report;

/* Compares backward with central differences for every element of f's result with respect to every
   element of every x that wants a gradient; xs are f64 leaves. 0, AD_ECHECK where they differ, or
   another code where f failed. opts and out may be NULL. The xs' values, which it changes for the time
   of the check, and their gradients are restored. */
AD_API int ad_gradcheck(ad_check_fn *f, void *user, int n, ad_var *const xs[],
                        const ad_check_opts *opts, ad_check_report *out);
/* Runs an op's own samples: backward against differences, vjp against backward, f32 against f64. */
AD_API int ad_check_op(ad_graph *g, const ad_optype *t, ad_check_report *out);

#ifdef __cplusplus
}
#endif
#endif
