/* op.h: for authors of ops: the descriptor of an op, and access to the parts of an Op.

   Write an ad_optype, apply it with ad_apply, and check it with ad_check_op. The library need not be changed. */
#ifndef AUTODIFF_OP_H
#define AUTODIFF_OP_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An attribute of an op, such as an axis or a slope: a field of the struct that ad_apply copies. The list of attributes
   lets ad_dump_dot and checks print them. */
typedef enum {
    AD_ATTR_INT,
    AD_ATTR_INT64,
    AD_ATTR_BOOL,
    AD_ATTR_DOUBLE,
    AD_ATTR_SHAPE, /* ad_shape, or any other list of up to AD_MAX_NDIM int64_t */
    AD_ATTR_AXES   /* int n, then int axis[AD_MAX_NDIM]; n < 0 means all axes */
} ad_attr_kind;
typedef struct {
    const char *name; /* NULL at the end of the list */
    ad_attr_kind kind;
    size_t offset; /* of the field in the struct */
} ad_attr;
/* The values of an AD_ATTR_INT that is an enum, by their names: value 0 is the first word of the text. */
typedef struct {
    const char *attr;   /* the attribute's name; NULL at the end of the list */
    const char *values; /* "mean sum none" */
} ad_attr_values;

/* The argument of a shape rule. The fields up to attrs are inputs. The others are outputs: dtype and shape start as
   those of the first operand, saved and scratch as 0. */
typedef struct {
    ad_graph *graph;
    const ad_optype *type;
    int n; /* number of operands */
    ad_var *const *in;
    const void *attrs;
    ad_dtype dtype; /* of the result */
    ad_shape shape; /* of the result */
    size_t saved;   /* bytes that evaluate stores for backward, see ad_saved */
    size_t scratch; /* bytes of ad_scratch that evaluate or backward uses */
} ad_call;

/* What an op's samples function passes to ad_sample. */
typedef struct ad_sampler ad_sampler;
/* What an op's emit function adds to: see ops/compile.h. */
typedef struct ad_emit ad_emit;
/* What an op's pattern function adds to: see "patterns" below. */
typedef struct ad_pattern ad_pattern;

enum {
    AD_OP_CONSTANT = 1,  /* piecewise constant or an index: the result requires no gradient */
    AD_OP_VIEW = 2,      /* the result shares operand 0's memory: the op has a shape rule and no evaluate */
    AD_OP_RANDOM = 4,    /* draws random numbers, so ad_eval draws new ones */
    AD_OP_MIXED = 8,     /* the operands may have different dtypes */
    AD_OP_IN_PLACE = 16, /* backward works if an operand's gradient is in the memory of the result's: see below */
    AD_OP_STATE = 32     /* evaluate also changes something else, such as a running average: see ad_recomputing */
};

/* For a descriptor's no_grad: operand i never gets a gradient. AD_NO_GRAD(31) means operands 31 and later. */
#define AD_NO_GRAD(i) (1u << (i))

/* The descriptor of an op: a constant, defined beside the functions that it names.

   evaluate computes the result and overwrites its elements. It returns 0 or the code that ad_fail returned. backward
   adds to the operands' gradients, see ad_grad_into. Neither allocates: the shape rule requests the memory that they
   need. All arrays are contiguous. Distinct Vars have distinct arrays, but one Var may be several operands.

   With AD_OP_IN_PLACE and gradients that are not kept, the gradient of one operand, of the result's size and dtype, may
   share the memory of the result's gradient. ad_grad_claim then sets *fresh. backward may write element i only when it
   does not need element i of the result's gradient any more. */
struct ad_optype {
    const char *name;
    const char *doc;      /* one line, for the reference page */
    const char *formula;  /* y = ..., for the reference page */
    const char *gradient; /* dx = ..., for the reference page */
    const char *special;  /* conventions at special points; NULL if there are none */
    const char *differs;  /* where numbers differ from PyTorch's on purpose; NULL if nowhere */
    int arity;            /* number of operands; -1 for any number from 1 on */
    unsigned flags;       /* AD_OP_... */
    unsigned no_grad;     /* AD_NO_GRAD(i) | ...: operands that never get a gradient, such as indices */
    size_t attr_size;     /* bytes of the attribute struct; 0 if there is none */
    const ad_attr *attrs; /* its fields; NULL if there is none */
    /* The shape rule. Returns 0 or the code of ad_call_fail. NULL for elementwise ops, whose operands broadcast. */
    int (*shape)(ad_call *c);
    int (*evaluate[2])(const ad_op *op);  /* by ad_dtype of the result; NULL if the dtype is not supported */
    void (*backward[2])(const ad_op *op); /* by ad_dtype of the result; NULL only with AD_OP_CONSTANT */
    /* The vjp rule in Vars. g is the cotangent of the result. Sets dx[i] = (d result / d operand i)^T g, of operand i's
       shape and dtype, for each i that ad_vjp_wants. dx starts as NULLs; NULL means zero. NULL if the op has no rule:
       ad_gradient then fails with AD_EGRAD. */
    void (*vjp)(const ad_op *op, ad_var *g, ad_var *dx[]);
    /* The op as C code: see "for authors of ops" in ops/compile.h. Returns 0, or AD_EABSENT if this Op has no form.
       NULL: compiled programs call evaluate. */
    int (*emit)(ad_emit *e, const ad_op *op);
    void (*samples)(ad_sampler *s); /* calls ad_sample or ad_sample_values for each case; ad_check_op needs it */
    const void *flat; /* for the library's own elementwise ops; NULL in all others */
    /* For ops that copy a part of operand 0, which alone takes a gradient: returns the gradient of operand 0, as a Var,
       from n Ops of this type that read it. gs are the cotangents of their results. If the field or the answer is NULL,
       vjp is called for each Op, and the results are added. */
    ad_var *(*join)(int n, const ad_op *const ops[], ad_var *const gs[]);
    const ad_attr_values *values; /* the attributes that are enums; NULL if there are none */
    /* Which elements of the operands each element of the result depends on, for ops/sparse.h: see "patterns" below.
       NULL: as the loops of emit say. If emit has none, or uses ad_emit_call, whose text is not read: element by
       element for an op without a shape rule; else each element of the result depends on all elements of all
       operands. */
    void (*pattern)(ad_pattern *p, const ad_op *op);
};

/* Defines the descriptor ad_op_NAME. It does not compile unless NAME_samples is defined. */
#define AD_OPTYPE(op, ...)                                                                                             \
    AD_COLD void op##_samples(ad_sampler *);                                                                           \
    const ad_optype ad_op_##op = { .name = #op, .samples = op##_samples, __VA_ARGS__ }

/* Applies an op to n operands, 1 or more: checks them, records the Op and evaluates it. attrs is copied,
   type->attr_size bytes. Returns the result, or nil after an error. If in is NULL or n < 1, returns the nil of no
   graph. */
AD_API ad_var *ad_apply(const ad_optype *type, int n, ad_var *const in[], const void *attrs);

/* Sets the graph's error, unless it has one already. Returns code in both cases, and if g, c or op is NULL. code is
   negative: in place of others, AD_EVALUE is set and returned. The sentence should name the function, the shapes and a
   remedy. */
AD_API AD_COLD int ad_fail(ad_graph *g, int code, const char *format, ...) AD_PRINTF(3, 4);
/* The same in a shape rule. The op's name and the operands' shapes go in front: "op: [2,3] x [4]: sentence". */
AD_API AD_COLD int ad_call_fail(const ad_call *c, int code, const char *format, ...) AD_PRINTF(3, 4);
/* The same in evaluate, backward and vjp. */
AD_API AD_COLD int ad_op_fail(const ad_op *op, int code, const char *format, ...) AD_PRINTF(3, 4);
/* Converts an axis in -ndim..ndim-1 to 0..ndim-1. Returns AD_ESHAPE, which is negative, for any other. */
AD_API int ad_call_axis(const ad_call *c, int axis, int ndim);

/* For evaluate, backward and vjp. Here and below, a NULL op or an operand that it has not gives NULL or false. */
AD_API const void *ad_attrs(const ad_op *op); /* the copy of the attributes */
/* The bytes that the shape rule requested as saved; NULL if none. They last as long as the Op. 64-byte aligned. */
AD_API void *ad_saved(const ad_op *op);
/* The bytes that the shape rule requested as scratch. All ops of the graph share this memory, so it keeps nothing
   between calls. 64-byte aligned. */
AD_API void *ad_scratch(const ad_op *op);
AD_API void *ad_values(const ad_op *op); /* the result's elements, for evaluate to write */

/* True while something is computed again that was computed before, as the function of an ad_checkpoint for a gradient.
   An op with AD_OP_STATE, and a module's forward function, must then leave its state as it is. False for NULL. */
AD_API bool ad_recomputing(const ad_graph *g);

/* For backward: true if operand i needs a gradient, so that ad_grad_into returns its memory. */
AD_API bool ad_wants_grad(const ad_op *op, int i);
/* For vjp: true if dx[i] is needed. */
AD_API bool ad_vjp_wants(const ad_op *op, int i);
/* Operand i's gradient, to add to. It is zeroed if nothing has been added yet. NULL if operand i needs none. */
AD_API void *ad_grad_into(const ad_op *op, int i);
/* Operand i's gradient for an op that writes each element exactly once, which saves zeroing it. If *fresh is set,
   nothing has been added yet and the memory is not initialised: overwrite it. Otherwise add to it. NULL if operand i
   needs none; *fresh is then unchanged. */
AD_API void *ad_grad_claim(const ad_op *op, int i, bool *fresh);
/* Writes the next n 32-bit words of the graph's random generator. Each call begins with a new block of four words. */
AD_API void ad_random_bits(ad_graph *g, int64_t n, uint32_t *to);

/* ---- patterns: which elements depend on which ---------------------------------------------- */

/* For an op's pattern function. Each element from y on, ny of them, depends on all elements from x on, nx of them, of
   operand i. Elements are numbered in row-major order. Of an operand that takes no gradient nothing is added. Sets
   AD_EVALUE if a number is out of range. */
AD_API void ad_pattern_add(ad_pattern *p, int64_t y, int64_t ny, int i, int64_t x, int64_t nx);
/* Element y of the result depends on all that element `earlier` depends on, as far as this was added before. */
AD_API void ad_pattern_follow(ad_pattern *p, int64_t y, int64_t earlier);
/* To be asked before the pattern is taken from the values of operand i, such as indices. False if these depend on what
   the Jacobian is by: then all that they could be must be added. Otherwise a plan that uses the pattern fails when they
   have changed. */
AD_API bool ad_pattern_reads(ad_pattern *p, int i);

/* ---- samples: an op's own test cases ------------------------------------------------------- */

enum {
    AD_SAMPLE_KINK = 1, /* at a kink or at the end of the domain: not compared with finite differences */
    AD_SAMPLE_LOOSE = 2 /* ill-conditioned: f32 is not compared with f64 */
};
/* Adds a case of n operands, 1 to 16. The values of operand i are distributed over lo[i]..hi[i]; lo or hi may be NULL,
   which means -2..2. */
AD_API void ad_sample(ad_sampler *s, const void *attrs, int n, const ad_shape *shapes, const double *lo,
                      const double *hi);
/* Adds a case with given values and AD_SAMPLE_ flags. values[i] has the elements of operand i, row-major; NULL means
   values distributed over -2..2. */
AD_API void ad_sample_values(ad_sampler *s, const void *attrs, int n, const ad_shape *shapes,
                             const double *const values[], unsigned flags);

/* A case as ad_each_sample passes it to fn. The pointers are valid during the call. */
typedef struct {
    const ad_optype *type;
    int index; /* 0, 1, ... in the order in which the op's samples function adds the cases */
    const void *attrs;
    int n;
    const ad_shape *shapes;
    const double *const *values; /* values[i] has the elements of operand i, row-major */
    unsigned flags;
} ad_sample_case;
/* Returns 0 to continue, any other number to stop. */
typedef int ad_sample_fn(const ad_sample_case *c, void *data);
/* Calls fn for each sample of the op, each in a scope of its own. Returns 0, the number with which fn stopped, or the
   code of the graph's error. */
AD_API int ad_each_sample(ad_graph *g, const ad_optype *type, ad_sample_fn *fn, void *data);

/* Writes an attribute as text ("2", "true", "0.5", "[2,3]", "all") to a buffer of size bytes. attrs is the attribute
   struct; if it or a is NULL, the text is "?". Returns the length of the whole text, as snprintf does. */
AD_API int ad_attr_text(const ad_attr *a, const void *attrs, char *to, size_t size);
/* The same for attribute number i of a type; an enum by the name of its value ("mean"). */
AD_API int ad_attr_value_text(const ad_optype *type, int i, const void *attrs, char *to, size_t size);
/* The same for attribute number i of an Op, with its name: "reduction mean". If there is none, the text is "" and the
   result 0. */
AD_API int ad_op_attr_text(const ad_op *op, int i, char *to, size_t size);

#ifdef __cplusplus
}
#endif
#endif
