/* autodiff.h: the engine's public interface: graphs, Vars, evaluation and gradients.

   Results. Functions that return one Var return the graph's nil after an error, never NULL. Functions that return int
   return 0 or a negative AD_E code, unless their comment says otherwise. Pointers to other objects are NULL after an
   error, a double is NaN, a bool is false. The graph of the arguments keeps the error's sentence: see ad_error.

   NULL and nil. A Var argument may be NULL or nil: the call then fails as above, and void functions ignore it. So calls
   may be nested, and one test of ad_ok is enough.

   Callbacks. A function that the library calls must return normally: it must not longjmp and must not throw a C++
   exception. It stops the call with ad_fail or by its return value. */
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

/* Marks functions that are rarely called: optimised for size. clang accepts the attribute only before definitions. */
#if defined(__GNUC__) && !defined(__clang__)
#define AD_COLD __attribute__((cold))
#else
#define AD_COLD
#endif

#define AD_VERSION_MAJOR 0
#define AD_VERSION_MINOR 1
#define AD_VERSION_PATCH 0
AD_API const char *ad_version(void); /* version of the linked library, such as "0.1.0" */

/* A graph owns every Var and Op made in it. Graphs share no data. A graph must not be used by two threads at once. */
typedef struct ad_graph ad_graph;
/* A Var is an array in a graph. If it takes part in differentiation, it has a gradient. The graph owns it. It lives
   until the scope in which it was made closes. */
typedef struct ad_var ad_var;
/* An Op records how a Var was computed: a descriptor (ad_optype), operands and attributes. */
typedef struct ad_op ad_op;
typedef struct ad_optype ad_optype;
/* A graph's team of threads for large loops. NULL stands for the calling thread alone. */
typedef struct ad_team ad_team;

/* ---- element types and shapes ------------------------------------------------------------- */

typedef enum { AD_F32, AD_F64 } ad_dtype;

#define AD_MAX_NDIM 6

/* Arrays are row-major and contiguous. ndim 0 is a scalar. A size may be 0. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM];
} ad_shape;

/* AD_SHAPE(2, 3) and AD_SCALAR are compound literals. C++ and bindings use the functions below instead. */
#define AD_SHAPE(...) ((ad_shape){ (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } })
#define AD_SCALAR ((ad_shape){ 0, { 0 } })
/* If ndim is not in 0..AD_MAX_NDIM or dim is NULL, the result has ndim -1, which no constructor accepts. */
AD_API ad_shape ad_shape_of_dims(int ndim, const int64_t *dim);
AD_API ad_shape ad_shape_scalar(void); /* the shape of a scalar, as AD_SCALAR */
/* The number of elements, or -1 if s is not valid: wrong ndim, a negative size, or 2^59 elements or more
   (2^27 where pointers have 32 bits). */
AD_API int64_t ad_shape_numel(ad_shape s);
AD_API bool ad_shape_equal(ad_shape a, ad_shape b); /* true if dimensions and sizes are equal */
/* Writes "[2,3]" to a buffer of size bytes, unless it is NULL, and returns the length of the whole text, as
   snprintf does. */
AD_API int ad_shape_text(ad_shape s, char *to, size_t size);
/* The same text by value: ad_shape_str(s).text is valid until the end of the full expression, such as a printf call. */
typedef struct {
    char text[AD_MAX_NDIM * 21 + 3];
} ad_shape_string;
AD_API ad_shape_string ad_shape_str(ad_shape s);
AD_API size_t ad_dtype_size(ad_dtype t);      /* bytes per element */
AD_API const char *ad_dtype_name(ad_dtype t); /* "f32", "f64" */

/* The value 0 for a field of options in which 0 means "default". For int, int64_t and double fields. */
#define AD_ZERO (-2147483647 - 1)

/* ---- errors ------------------------------------------------------------------------------- */

/* Return codes of functions that return int. */
enum {
    AD_OK = 0,
    AD_ENOMEM = -1,   /* an allocation failed */
    AD_ESHAPE = -2,   /* shapes, axes or sizes do not match or are not valid */
    AD_EDTYPE = -3,   /* two dtypes in one op, or a dtype that the op does not support */
    AD_EGRAPH = -4,   /* Vars of two graphs in one call, a closed scope, or no graph */
    AD_EVALUE = -5,   /* an argument or an element is out of range, NULL or nil */
    AD_ESTALE = -6,   /* a leaf was changed after an op that uses it ran */
    AD_EGRAD = -7,    /* there is no gradient: a Var requires none, or an op has no rule for it */
    AD_EIO = -8,      /* a file cannot be read or written, or is malformed */
    AD_ECHECK = -9,   /* a check found two numbers that differ */
    AD_EABSENT = -10, /* this build lacks a library that the call needs */
    AD_EBRANCH = -11  /* a branch recorded by ad_branch would go the other way */
};

/* A graph keeps its first error until ad_clear_error. Meanwhile ops and constructors return nil, and functions that
   return int return the error's code. nil is a Var of shape [0] that belongs to the graph; it may be passed to any
   function. The graph may be NULL in all of these: it counts as a graph with the error AD_EGRAPH. */
AD_API bool ad_ok(const ad_graph *g);           /* true if g has no error */
AD_API const char *ad_error(const ad_graph *g); /* the error's sentence, "" if none; valid until it is cleared */
AD_API int ad_error_code(const ad_graph *g);    /* 0 if none */
AD_API void ad_clear_error(ad_graph *g);        /* forgets the error, so that calls work again */
AD_API bool ad_is_nil(const ad_var *x); /* true for nil and for NULL */

/* fn is called where the first error occurs, with its code and sentence. It may print or break into a debugger. It must
   not close scopes, free the graph or clear the error. fn NULL removes the callback. */
typedef void ad_error_fn(ad_graph *g, int code, const char *message, void *data);
AD_API void ad_on_error(ad_graph *g, ad_error_fn *fn, void *data);

/* ---- graph and scope ---------------------------------------------------------------------- */

AD_API ad_graph *ad_graph_new(void); /* NULL if memory is short */
/* Frees the graph with all its Vars and Ops, open scopes included. NULL is ignored. */
AD_API void ad_graph_free(ad_graph *g);

/* Sets the number of threads for large loops and matrix products, the calling thread included. The default is 1; 0
   means one for each processor that this process may use. Results are the same bits for any number. Small loops run on
   the calling thread. Each graph has its own threads, which sleep between loops until the graph is freed or set to 1.
   After fork(), graphs in the child use the calling thread only; the child may call this function again. Returns
   AD_EVALUE if n is out of range, AD_ENOMEM if threads or memory are short; the number of threads is then unchanged. */
AD_API int ad_set_threads(ad_graph *g, int n);
AD_API int ad_threads(const ad_graph *g); /* 1 for NULL */

/* A graph's allocator. alloc returns size bytes aligned to align, or NULL; align is a power of two and at least
   sizeof(void *). release frees memory that alloc returned; size is the same as in alloc. data is passed to both. */
typedef struct {
    void *(*alloc)(void *data, size_t align, size_t size);
    void (*release)(void *data, void *memory, size_t size);
    void *data;
} ad_allocator;
AD_API ad_graph *ad_graph_new_with(ad_allocator a); /* NULL if memory is short, or a function is missing */

/* A scope. ad_end frees everything made since the matching ad_begin, and the graph reuses the memory. Scopes nest.
   Closing an outer scope also closes inner ones that are still open. */
typedef struct {
    const ad_graph *graph;
    int depth;
    uint64_t serial;
} ad_mark;
/* If g is NULL or memory is short, the mark is zeroed, and ad_end ignores it. */
AD_API ad_mark ad_begin(ad_graph *g);
/* Sets the error AD_EGRAPH if the scope of m is closed already or belongs to another graph. */
AD_API void ad_end(ad_graph *g, ad_mark m);

typedef struct {
    int64_t ops;        /* live Ops */
    int64_t bytes_held; /* bytes taken from the allocator and not given back */
    int64_t bytes_used; /* bytes of these that live Vars, Ops and values use */
    int64_t allocs;     /* calls of the allocator's alloc since ad_graph_new */
} ad_stats;
AD_API ad_stats ad_graph_stats(const ad_graph *g); /* zeros for NULL */

/* Sets whether ops applied from now on take part in differentiation; the default is true. Ops are recorded in both
   cases, so ad_eval works on them. Passes and functional forms (ad_gradient, ad_hvp, ad_jacobian ...) differentiate
   what was recorded, and their results are the same and can be differentiated again, whatever the setting is when they
   are called. Returns the previous setting. */
AD_API bool ad_enable_grad(ad_graph *g, bool on);
/* Sets whether the gradients of interior Vars (results of ops) stay readable after a backward pass; the default is
   true. If false, the pass reuses their memory. Applies to ops applied from now on. Returns the previous setting. */
AD_API bool ad_keep_grads(ad_graph *g, bool on);
/* Keeps the gradient of x readable, whatever ad_keep_grads says. AD_EGRAD if x requires no gradient. */
AD_API int ad_retain_grad(ad_var *x);

/* Sets whether a number that is not finite is an error where it arises; the default is false. With true, an op whose
   value becomes NaN or infinite, when it is applied or in ad_eval, or whose rule computes such a gradient, in
   ad_backward, ad_gradient and the like, fails with AD_EVALUE, unless its operands, its parameters or the cotangent are
   not finite themselves. The sentence names the op and its number, the shapes and ranges of its operands, and their
   names if they have any (ad_name). After an error in a backward pass the gradients hold partial sums. Everything runs
   slower then; with false, nothing does. Programs of ad_compile are not looked at. Returns the previous setting. */
AD_API bool ad_detect_anomaly(ad_graph *g, bool on);

/* ---- leaves -------------------------------------------------------------------------------- */

/* A leaf is a Var that no op made. These functions make one in the innermost open scope. They return nil after
   AD_EDTYPE, AD_ESHAPE or AD_ENOMEM, and if g is NULL. data has the elements of dtype t in row-major order and is
   copied; NULL means zeros. */
AD_API ad_var *ad_param(ad_graph *g, ad_dtype t, const void *data, ad_shape s);  /* requires a gradient */
AD_API ad_var *ad_tensor(ad_graph *g, ad_dtype t, const void *data, ad_shape s); /* requires none */
/* A leaf that borrows the caller's array, which must live as long as the Var is used. The library does not write to it,
   except that ad_gradcheck changes elements for a while. After changing the array, call ad_data_mut(x), so that results
   computed before count as stale. nil after AD_EVALUE if data is NULL and s has elements. */
AD_API ad_var *ad_input(ad_graph *g, ad_dtype t, void *data, ad_shape s);
/* Makes an ad_input borrow another array of the same shape and dtype. AD_EVALUE if x was not made by ad_input, or
   if data is NULL and x has elements. */
AD_API int ad_rebind(ad_var *x, void *data);
/* A leaf that requires no gradient: a scalar, an array of zeros, of ones, or of one value. */
AD_API ad_var *ad_scalar(ad_graph *g, ad_dtype t, double value);
AD_API ad_var *ad_zeros(ad_graph *g, ad_dtype t, ad_shape s);
AD_API ad_var *ad_ones(ad_graph *g, ad_dtype t, ad_shape s);
AD_API ad_var *ad_full(ad_graph *g, ad_dtype t, double value, ad_shape s);
/* start, start + step, ..., as far as below stop (above stop if step is negative), as numpy.arange. AD_EVALUE if the
   sequence is not finite or too long. */
AD_API ad_var *ad_arange(ad_graph *g, ad_dtype t, double start, double stop, double step);
/* n numbers from start to stop, both included, and base to the power of each. */
AD_API ad_var *ad_linspace(ad_graph *g, ad_dtype t, double start, double stop, int64_t n);
AD_API ad_var *ad_logspace(ad_graph *g, ad_dtype t, double start, double stop, int64_t n, double base);
AD_API ad_var *ad_eye(ad_graph *g, ad_dtype t, int64_t n);    /* [n,n], ones on the diagonal */
AD_API ad_var *ad_eye_with(ad_graph *g, ad_dtype t, int64_t n, int64_t m); /* [n,m] */
AD_API ad_var *ad_rand(ad_graph *g, ad_dtype t, ad_shape s);  /* uniform in [0, 1) */
AD_API ad_var *ad_randn(ad_graph *g, ad_dtype t, ad_shape s); /* standard normal */
/* Makes a leaf require a gradient and returns it. This also holds for the live results of ops that have used x already.
   Returns nil after AD_EVALUE if an op made x, and after AD_EGRAD if such an op lacks what its gradient needs. */
AD_API ad_var *ad_require_grad(ad_var *x);
/* True for a leaf that requires a gradient, and for a Var made from one. */
AD_API bool ad_requires_grad(const ad_var *x);
/* Sets whether a leaf requires a gradient, for the live results of ops that have used it too. Errors as above. */
AD_API int ad_set_requires_grad(ad_var *x, bool on);
/* True if x has a gradient: a backward pass has added to it since it was last zeroed. */
AD_API bool ad_has_grad(const ad_var *x);

/* Sets the seed of the graph's random numbers; a new graph has seed 0. The generator is Philox 4x32-10 (Salmon et al.
   2011), which is counter-based: a seed gives the same bits on every machine and with any number of threads. */
AD_API void ad_seed(ad_graph *g, uint64_t seed);
/* The generator's state: the seed, and the number of the block that is drawn next. Setting a state that was read
   earlier repeats the random numbers drawn since. */
typedef struct {
    uint64_t seed, counter;
} ad_random_state;
AD_API ad_random_state ad_random_get(const ad_graph *g); /* zeros for NULL */
AD_API void ad_random_set(ad_graph *g, ad_random_state state); /* continues from a state that was read */

/* ---- access -------------------------------------------------------------------------------- */

AD_API double ad_item(const ad_var *x);      /* the element of a one-element Var; NaN for other Vars */
AD_API double ad_grad_item(const ad_var *x); /* its gradient, 0 if it has none; NaN for other Vars */
/* Element number `flat` in row-major order, and its gradient (0 if x has none). NaN if flat is out of range. */
AD_API double ad_at(const ad_var *x, int64_t flat);
AD_API double ad_grad_at(const ad_var *x, int64_t flat);
/* The elements, numel of x's dtype. NULL for nil. */
AD_API const void *ad_data(const ad_var *x);
/* The gradient, of x's shape and dtype; zeros if no pass has added to it. NULL if x keeps no gradient. */
AD_API const void *ad_grad(const ad_var *x);
/* A leaf's elements for writing. Marks the leaf as changed: results computed from it become stale until ad_eval. NULL
   after AD_EVALUE if an op made x. */
AD_API void *ad_data_mut(ad_var *x);
/* A leaf's gradient for writing, between backward and an optimiser's step (clipping, all-reduce). NULL, without an
   error, if an op made x or x has no gradient memory. */
AD_API void *ad_grad_mut(ad_var *x);
/* Copies numel elements of x's dtype into a leaf. AD_EVALUE if data is NULL and x has elements, or if x is an op's
   result or an ad_input. */
AD_API int ad_set(ad_var *x, const void *data);
AD_API ad_shape ad_shape_of(const ad_var *x);    /* [0] for nil and NULL */
AD_API ad_dtype ad_dtype_of(const ad_var *x);    /* AD_F64 for nil and NULL */
AD_API int64_t ad_numel(const ad_var *x);        /* 0 for nil and NULL */
AD_API const ad_op *ad_creator(const ad_var *x); /* the Op that computed x; NULL for a leaf, nil and NULL */
AD_API ad_graph *ad_graph_of(const ad_var *x);   /* NULL for NULL, and for a nil without a graph */
/* Gives x a name for error messages and ad_dump_dot: "matmul: W1 [2,3] x [2,3]: ...". The text is copied; NULL removes
   the name. Returns x, or nil after AD_ENOMEM. */
AD_API ad_var *ad_name(ad_var *x, const char *name);
AD_API const char *ad_name_of(const ad_var *x);       /* NULL if x has no name */
AD_API const char *ad_op_name(const ad_op *op);       /* "" for NULL */
AD_API int ad_op_arity(const ad_op *op);              /* number of operands of this Op */
AD_API ad_var *ad_op_operand(const ad_op *op, int i); /* NULL if i is out of range */
AD_API ad_var *ad_op_result(const ad_op *op);         /* the Var that op computes; NULL for NULL */
/* Prints values in NumPy's format, then shape and dtype; long arrays are abbreviated. Prints "nil" for nil and NULL. */
AD_API void ad_print(const ad_var *x, FILE *to);
/* Writes the graph that y depends on as Graphviz text: Vars as boxes with value and gradient, Ops as ellipses. AD_EIO
   if the file cannot be written. Works in a graph with an error, too. */
AD_API int ad_dump_dot(const ad_var *y, FILE *to);

/* ---- evaluate and differentiate ----------------------------------------------------------- */

/* Computes y and every Var that it depends on again, in place, from the current values of the leaves. Ops that draw
   random numbers draw new ones. Takes no memory from the system once y has been evaluated before. Errors are those of
   the ops, AD_EGRAPH if the scope of y is closed, AD_EBRANCH and AD_ENOMEM.

   What is evaluated is the expression that was recorded. An if, a loop or a C number of the program that depended on
   values stays as it was then: where it might change, write the condition as ad_branch. After an error the Vars that
   come before the failing op, in order of creation, have new values and the others old ones. Clear the error, change
   the leaves and evaluate again, or build a new expression. */
AD_API int ad_eval(ad_var *y);
/* For conditions in C that depend on values: if (ad_branch(cond)) ... Returns true if cond, of one element, is not 0;
   so NaN is true, as in C. Records the answer as an op without a gradient. From then on, ad_eval and all that evaluates
   again (objectives, checkpoints) evaluates cond too, whichever Var is asked for, since the program may have chosen it.
   It fails with AD_EBRANCH if the answer would be another one, before it evaluates what was made after the branch.
   Passes fail with AD_ESTALE if a leaf that cond depends on has changed.

   After AD_EBRANCH, clear the error and build the expression again, in the same scope or in another one, with all Vars
   that came after the branch: it holds for the Vars made before it failed, and for what depends on them. It is
   forgotten when the scope that it was recorded in closes. Returns false after an error: AD_ESHAPE if cond does not
   have one element, AD_EVALUE, AD_EGRAPH, AD_ENOMEM. */
AD_API bool ad_branch(ad_var *cond);

/* Computes gradients by reverse mode. Adds dy/dx to the gradient of every leaf x that requires one, and sets the
   gradients of the Vars between x and y, y included. y has one element.

   AD_ESHAPE if y does not have exactly one element. AD_EGRAD if y depends on no Var that requires a gradient.
   AD_ESTALE, with all gradients unchanged, if a leaf was changed after an op that uses it ran: call ad_eval first.
   AD_EGRAPH if the scope of y is closed. After AD_ENOMEM the gradients hold partial sums: call ad_zero_grad. */
AD_API int ad_backward(ad_var *y);
/* The same for y of any shape: computes (dy/dx)^T seed. seed has y's shape and dtype. */
AD_API int ad_backward_from(ad_var *y, const ad_var *seed);
/* The same, and tells of n leaves: calls complete(leaf, data) once for each, as soon as the pass adds nothing more to
   its gradient. Leaves that y does not depend on come first. So what is done with a gradient, such as sending it to
   another process, can begin while the pass goes on. complete may read and change the leaf's gradient, and must not
   change leaves' elements. Its error (ad_fail) ends the pass. seed NULL: y has one element. In graphs that ad_eval
   runs as a flat program, and with ad_detect_anomaly, complete is called after the pass. AD_EVALUE if one of the
   leaves is nil or was made by an op. */
typedef void ad_leaf_fn(ad_var *leaf, void *data);
AD_API int ad_backward_with(ad_var *y, const ad_var *seed, int n, ad_var *const leaves[], ad_leaf_fn *complete,
                            void *data);
/* Sets the gradients of y and of every Var that it depends on to zero. */
AD_API void ad_zero_grad(ad_var *y);

/* The functions below differentiate y with respect to the Vars xs[0] to xs[n-1], which may be leaves or results of ops.
   Their results are new Vars of the graph, which can be differentiated again. They do not change ad_grad. After an
   error all results are nil. Errors: AD_EVALUE (nil, NULL, n < 0), AD_EGRAPH, AD_ESHAPE, AD_EDTYPE, AD_ESTALE as in
   ad_backward, AD_ENOMEM, and AD_EGRAD if an op between xs and y has no vjp rule. */

/* dxs[i] = dy/dxs[i], of the shape of xs[i]; zeros if y does not depend on xs[i]. y has one element. */
AD_API int ad_gradient(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]);
/* The vector-Jacobian product: dxs[i] = (dy/dxs[i])^T cotangent. y has any shape; cotangent has y's shape and dtype. */
AD_API int ad_vjp(ad_var *y, ad_var *cotangent, int n, ad_var *const xs[], ad_var *dxs[]);
/* ad_gradient, but AD_EGRAD if y does not depend on one of the xs. */
AD_API int ad_gradient_strict(ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]);
/* The Jacobian-vector product (forward mode): sum over i of (dy/dxs[i]) tangents[i], of y's shape. tangents[i] has the
   shape and dtype of xs[i]. The cost is that of two calls of ad_vjp, whatever n is. */
AD_API ad_var *ad_jvp(ad_var *y, int n, ad_var *const xs[], ad_var *const tangents[]);
/* The Hessian-vector product: hvs[i] = sum over j of (d2y / dxs[i] dxs[j]) vs[j], of the shape of xs[i]. vs[j] has the
   shape and dtype of xs[j]. y has one element. */
AD_API int ad_hvp(ad_var *y, int n, ad_var *const xs[], ad_var *const vs[], ad_var *hvs[]);

/* y as a function of the leaves xs, for optimisers written in C that call a function. The objective lives in the
   innermost open scope, as a Var does. NULL, with the graph's error, if y does not have exactly one element, or if one
   of the xs is not a leaf made by ad_param. */
typedef struct ad_objective ad_objective;
AD_API ad_objective *ad_objective_new(ad_var *y, int n, ad_var *const xs[]);
AD_API int64_t ad_objective_size(const ad_objective *f); /* number of elements of all xs; 0 for NULL */
/* The callback. objective is an ad_objective. Copies x, which has ad_objective_size elements, to the leaves one after
   the other, evaluates y in place, as ad_eval does, and returns it: conditions in C that depend on values need
   ad_branch. If grad is not NULL, also writes dy/dx to it, of the same size; the ad_grad of the xs and of all that y
   depends on is overwritten. Takes no memory from the system after the first call. NaN, with the graph's error, after
   an error. */
AD_API double ad_value_and_gradient(const double *x, double *grad, void *objective);

/* A function of n Vars that builds an expression and returns its result. */
typedef ad_var *ad_function(int n, ad_var *const xs[], void *user);

/* ---- checks --------------------------------------------------------------------------------- */

/* The function that ad_gradcheck checks. It is called many times, with slightly different values. */
typedef ad_function ad_check_fn;

/* A field that is 0 has its default, which is PyTorch's: eps 1e-6, atol 1e-5, rtol 1e-3. */
typedef struct {
    double eps, atol, rtol;
} ad_check_opts;

/* The fields op to numeric describe the first pair of numbers that differ. */
typedef struct {
    bool ok;
    int64_t compared;  /* pairs of numbers compared */
    const char *op;    /* ad_gradcheck: the op that made f's result; ad_check_op: the op that was checked */
    int operand;       /* index in xs, or of the op's operand; -1: the result */
    int64_t index;     /* index of the element in row-major order */
    double analytic;   /* the derivative by backward */
    double numeric;    /* the derivative by finite differences, or by the other rule that was compared */
    char message[400]; /* the same as a sentence, or the graph's error */
} ad_check_report;

/* Compares backward with central differences, for every element of f's result with respect to every element of
   every x that requires a gradient. The xs are f64 leaves of one graph. opts and out may be NULL. Returns 0,
   AD_ECHECK if two numbers differ (which is not an error of the graph), or the code of the graph's error if f
   failed. The check changes the values of the xs for a while; values and gradients are restored. Running averages
   and other state do not move. */
AD_API int ad_gradcheck(ad_check_fn *f, void *user, int n, ad_var *const xs[], const ad_check_opts *opts,
                        ad_check_report *out);
/* Checks an op on its own samples: backward against differences, vjp against backward, f32 against f64, second
   derivatives against differences of first ones, gradients evaluated again after a change and recorded without
   gradients. Compares both rules also at 0, infinities, NaN and numbers of 1e-30 to 1e30, with cotangents that are
   0, tiny, huge, infinite and NaN: equal numbers, or for ops that are not elementwise both not finite. An op may
   refuse operands with an error. Return codes are those of ad_gradcheck; AD_EVALUE if the op has no samples. out
   may be NULL. */
AD_API int ad_check_op(ad_graph *g, const ad_optype *t, ad_check_report *out);

#ifdef __cplusplus
}
#endif
#endif
