/* compile.h: recorded graphs as C: compiled by the system's compiler and run in this process, or written to files.

   What was recorded becomes a program: a function of the leaves xs that computes Vars or a gradient. Programs compute
   what ad_eval and ad_backward compute. Sizes are those of the Vars when the program was made. Other leaves are read
   at each run, so ad_set and ad_rebind work as usual. A class number or probability that evaluation refuses gives NaN
   in a compiled program. */
#ifndef OPS_COMPILE_H
#define OPS_COMPILE_H

#include "autodiff/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- programs in this process ------------------------------------------------------------------------------------ */

typedef struct ad_program ad_program;

typedef struct {
    const char *cc;    /* the compiler, found by PATH, and flags. NULL: the environment's CC if it is set, else cc */
    const char *flags; /* further flags, separated by blanks. NULL: none */
    const char *cache; /* a folder for compiled programs. NULL: autodiff below XDG_CACHE_HOME or HOME/.cache */
    bool no_cache;     /* compile each time, and leave no file */
    bool no_cc;        /* evaluate the graph instead of compiling it */
} ad_compile_opts;

/* A program that computes ys[0] to ys[m-1] from the leaves xs[0] to xs[n-1]. It lives in the innermost open scope, as a
   Var does. NULL, with the graph's error, after AD_EVALUE (nil, NULL, m < 1, n < 0, xs[i] is not a leaf or is given
   twice), AD_EGRAPH, AD_ENOMEM, and AD_ESTALE as in ad_backward.

   Without a compiler, or if it fails, the program evaluates the graph; ad_program_how says so. Ops that have no form in
   C are called back, and so are ops that draw random numbers or have state. */
AD_API ad_program *ad_compile(int m, ad_var *const ys[], int n, ad_var *const xs[], ad_compile_opts o);
/* A program that computes y, of one element, and then its gradients by xs[0] to xs[n-1]. Errors as above, and
   AD_ESHAPE, and AD_EGRAD if an op between has no derivative. */
AD_API ad_program *ad_compile_gradient(ad_var *y, int n, ad_var *const xs[], ad_compile_opts o);
/* Runs a program. in[i] has the elements of xs[i], or is NULL: then those of the leaf itself are used. out[j] receives
   the elements of ys[j]; for a gradient, out[0] receives y and out[1 + i] the gradient by xs[i]. An out[j] that is NULL
   is not written. An output may be in the memory of an input, which is read before. Elements have the dtype of their
   Var. Returns 0 or the code of the graph's error. A compiled program changes no Var. An evaluated one restores the xs,
   and what depends on them is stale until ad_eval.

   work is memory of ad_program_work bytes, 64-byte aligned, or NULL for the program's own. Threads may run one compiled
   program at the same time, each with its own work, unless ops are called back or a leaf is changed meanwhile.

   Consecutive xs of one element are fastest if they lie one after the other in memory, as do their gradients. */
AD_API int ad_run(ad_program *p, const void *const in[], void *const out[], void *work);
AD_API size_t ad_program_work(const ad_program *p); /* bytes; 0 for NULL */
/* A program of ad_compile_gradient as the callback that optimisers written in C call, in place of an ad_objective with
   ad_value_and_gradient: ad_value_and_gradient(x, grad, objective) becomes ad_run_flat(x, grad, program). x has the
   elements of all xs, one after the other. Returns y, and writes dy/dx to grad if it is not NULL; x and grad do not
   overlap. NaN after an error; AD_EVALUE if the program computes no gradient. Programs of f64 leaves are fastest. */
AD_API double ad_run_flat(const double *x, double *grad, void *program);
/* How a program runs: "compiled", or "evaluated: " and the reason. "" for NULL. */
AD_API const char *ad_program_how(const ad_program *p);
/* The leaves that are not xs and that a compiled program reads at each run: NULL for i below 0 and past the last. */
AD_API ad_var *ad_program_leaf(const ad_program *p, int i);
/* The C source of a compiled program; "" if there is none. It lasts as long as the program. */
AD_API const char *ad_program_source(const ad_program *p);

/* ---- programs as C files ----------------------------------------------------------------------------------------- */

/* Files in C99 that need math.h and nothing else: no malloc, no stdio, no variables but constants. They compile for
   machines that this library does not run on. The numbers that a function needs in between are the caller's: each
   function takes an array `work`, whose length is a macro.

   Vars other than the xs are constants: the present elements of leaves, such as weights, stand in the file. Ops that
   have no form in C are refused by their name, and so are random ops and ad_branch. */
typedef enum { AD_EXPORT_AS_IS, AD_EXPORT_FLOAT, AD_EXPORT_DOUBLE } ad_export_number;
/* A constant array that the header declares, NAME_name: the elements of the Vars, one after the other. */
typedef struct {
    const char *name;
    int n;
    ad_var *const *vars;
} ad_export_array;
typedef struct {
    ad_export_number number; /* what the file computes in. As is: in the dtype of xs and ys, which is one for all */
    bool gradient;           /* of ad_export_c: the file has a second function, NAME_gradient */
    bool separate;           /* constant arrays go to a file of their own, PATH with _weights before .c */
    bool no_test;            /* leaves out the main below */
    const char *caller;      /* the function that errors name. NULL: the one that was called */
    int n_arrays;
    const ad_export_array *arrays;
} ad_export_opts;

/* Writes PATH, which ends in .c, and a header beside it, which ends in .h. The file has the function

       void NAME(const double *x0, const double *x1, .., double *y, double *work);

   with float for f32. x0, x1, .. are the xs, by the names of ad_name where these are names in C. Consecutive xs of one
   element without a name are one array. With .gradient, y has one element, and NAME_gradient writes y and then dx0,
   dx1, .. of its gradient. work has NAME_WORK or NAME_GRADIENT_WORK elements, and arrays of more than one element have
   such macros too: NAME_X0. Names of macros are in upper case. Arrays are in row-major order, and the header says their
   shapes. The arrays of a call must not overlap.

   With the macro NAME_TEST defined, the file has a main that computes the functions for the present elements of the xs
   and returns 1 if a result differs from this library's. With NAME_CBLAS, products of matrices call cblas.h.

   Returns 0 or the code of the graph's error: AD_EABSENT for an op that has no form, AD_EDTYPE for Vars of both dtypes,
   AD_EIO, and those of ad_compile_gradient. Files are replaced whole, as by nn_save; those of two exports, which a kill
   between two renames can leave, do not compile together. */
AD_API int ad_export_c(const char *path, const char *name, ad_var *y, int n, ad_var *const xs[], ad_export_opts o);

/* A function of a file of several. */
typedef struct {
    const char *name; /* NAME_name in the file. NULL: NAME */
    int m;
    ad_var *const *ys;
    const char *const *y_names; /* NULL: y, or y0, y1, .. */
    int n;
    ad_var *const *xs;
    const char *const *x_names;  /* NULL: as in ad_export_c */
    const char *const *x_labels; /* words for the header's comment, such as "0.weight". NULL: the names of ad_name */
    bool gradient;              /* m is 1, and the gradients by the xs follow */
} ad_export_function;
/* Writes k functions to one file. Consecutive xs, or ys, that are given one name lie one after the other in one array.
   A name that both xs and ys have is an array that the function updates: its ys have the shapes of its xs, and replace
   them at the end. */
AD_API int ad_export_functions(const char *path, const char *name, int k, const ad_export_function *f,
                               ad_export_opts o);

/* ---- for authors of ops: an op's form in C ----------------------------------------------------------------------- */

/* An array in a program. Element (i, j, ..) is at place + i stride[0] + j stride[1] + ..; a view of it has another
   place, shape and strides. */
typedef struct {
    ad_dtype dtype;
    ad_shape shape;
    int64_t place;
    int64_t stride[AD_MAX_NDIM];
} ad_emit_array;

/* If e or op is NULL, or the op has no operand i, these functions add nothing, and arrays that they return are
   zeroed. */
AD_API ad_emit_array ad_emit_operand(ad_emit *e, const ad_op *op, int i);
/* The array that is the op's result. In row-major order, it may have another shape with as many elements. */
AD_API void ad_emit_result(ad_emit *e, const ad_op *op, ad_emit_array y);
/* The array in row-major order, copied if its strides are others. */
AD_API ad_emit_array ad_emit_contiguous(ad_emit *e, ad_emit_array x);
/* The array of shape s whose elements are their own indices along the axis: 0, 1, 2, .. The axis is 0 .. ndim - 1;
   a scalar has the index 0 along axis 0. The array takes no memory. */
AD_API ad_emit_array ad_emit_index(ad_emit *e, ad_dtype t, ad_shape s, int axis);
/* An array for loops to write into, which together set each element once. */
AD_API ad_emit_array ad_emit_new(ad_emit *e, ad_dtype t, ad_shape s);

typedef enum {
    AD_EMIT_SET, /* y = value */
    AD_EMIT_SUM, /* y = sum of the values over the reduced axes */
    AD_EMIT_ADD, /* y += value; needs `into` */
    AD_EMIT_MAX, /* y = the largest of the values over the reduced axes; NaN if there is one */
    AD_EMIT_MIN
} ad_emit_kind;

/* A loop over all indices of a shape. */
typedef struct {
    ad_emit_kind kind;
    ad_dtype dtype;       /* of the result, T in formulas */
    ad_shape shape;       /* of the loop */
    unsigned reduced;     /* bit i: axis i of shape is reduced, and the result has size 1 there */
    const char *names;    /* of the operands, then of the parameters, one for each: "x t k" */
    const char *value;    /* a formula in these names, T and the functions of math.h */
    const char *slope[3]; /* the gradient of an operand, also in y and its cotangent g. NULL: the operand has none */
    int n;                /* operands, which broadcast to shape */
    ad_emit_array in[4];
    int n_parameters;
    double parameter[4];
    const ad_emit_array *into; /* where the result goes; NULL: to a new array */
} ad_emit_loop;
/* Adds a loop and returns its result. The strings must last as long as the compilation. */
AD_API ad_emit_array ad_emit_run(ad_emit *e, const ad_emit_loop *l);

/* What loops cannot express, such as reading by index: a function in C of whole arrays. Its text stands in braces and
   sees the sizes by name, as numbers of the type long, the operands in row-major order as pointers, and the result as
   y; T is the type of y. It calls only functions of math.h, which become those of floats for f32. */
typedef struct {
    const char *sizes, *names; /* of the sizes, "outer n"; of the operands, "x index" */
    const char *text;
    const char *slope[4]; /* adds to d, the gradient of an operand; sees y and its cotangent g, too. NULL: none */
    bool by_vars;         /* the slopes are those of the vjp rule, and are not given here */
    int n_sizes;
    int64_t size[6];
    int n; /* operands */
    ad_emit_array in[4];
    int64_t scratch;           /* elements of w, of type T, that the text may write to */
    const ad_emit_array *into; /* y is this array, as it is, and is changed; NULL: a new array, all of which is set */
} ad_emit_code;
/* Adds a call of the function, and returns y, of a dtype and shape. Strings must last as long as the compilation. */
AD_API ad_emit_array ad_emit_call(ad_emit *e, ad_dtype t, ad_shape s, const ad_emit_code *c);

/* emit for an op whose descriptor has formulas of one element, as those of AD_UNARY and its kin: operands x, or a, b
   and c; parameters by the names of the attributes, which are doubles. */
AD_API int ad_emit_elementwise(ad_emit *e, const ad_op *op);

#ifdef __cplusplus
}
#endif
#endif
