/* op.h: what the author of an op needs: the descriptor, and access to an Op's parts. */
#ifndef AUTODIFF_OP_H
#define AUTODIFF_OP_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An attribute of an op (an axis, a slope): a field of the struct that ad_apply copies. Listed so
   that pictures and checks can show it. */
typedef enum {
    AD_ATTR_INT,
    AD_ATTR_INT64,
    AD_ATTR_BOOL,
    AD_ATTR_DOUBLE,
    AD_ATTR_SHAPE, /* ad_shape; also any short list of int64_t */
    AD_ATTR_AXES   /* int n, int axis[AD_MAX_NDIM]; n < 0 means all axes */
} ad_attr_kind;
typedef struct {
    const char *name; /* NULL ends the list */
    ad_attr_kind kind;
    size_t offset;
} ad_attr;

/* What a shape rule is given, and what it fills in. dtype and shape start as the first operand's. */
typedef struct {
    ad_graph *graph;
    const ad_optype *type;
    int n; /* operands */
    ad_var *const *in;
    const void *attrs;
    ad_dtype dtype; /* out: of the result */
    ad_shape shape; /* out: of the result */
    size_t saved;   /* out: bytes that evaluate leaves for backward, see ad_saved */
    size_t scratch; /* out: bytes of ad_scratch that evaluate or backward will use */
} ad_call;

typedef struct ad_sampler ad_sampler;

enum {
    AD_OP_CONSTANT = 1, /* piecewise constant or an index: the result wants no gradient */
    AD_OP_VIEW = 2,     /* the result is operand 0's memory: no evaluate, but a shape rule it has */
    AD_OP_RANDOM = 4,   /* draws random numbers: checks do not compare two evaluations */
    AD_OP_MIXED = 8,    /* takes operands of different dtypes */
    AD_OP_IN_PLACE = 16 /* backward may find an operand's gradient in the memory of its result's: see below */
};

/* For a descriptor's no_grad: operand i never gets a gradient. AD_NO_GRAD(31) stands for all operands from there on. */
#define AD_NO_GRAD(i) (1u << (i))

/* The descriptor of an op: one constant, beside the code that it names.
   evaluate overwrites the result; backward adds into the operands' gradients (ad_grad_into);
   neither takes memory from the system: a shape rule asks for what they need. evaluate returns 0
   or what ad_fail returned. All arrays are contiguous and belong to distinct Vars, but one Var may
   be several operands.
   With AD_OP_IN_PLACE, where nobody keeps gradients, the gradient of one operand of the result's size
   and dtype may lie in the memory of the result's own: ad_grad_claim then says fresh, and backward writes
   an element of it only when it needs that element of the result's gradient no more. */
struct ad_optype {
    const char *name;
    const char *doc;      /* one line, for the reference */
    const char *formula;  /* y = ..., for the reference */
    const char *gradient; /* dx = ..., for the reference */
    const char *special;  /* conventions at special points; NULL when there are none */
    int arity;            /* operands; -1 for any number */
    unsigned flags;       /* AD_OP_... */
    unsigned no_grad;     /* AD_NO_GRAD(i) | ..: operands that never get a gradient (class numbers, indices) */
    size_t attr_size;     /* of the attribute struct; 0 for none */
    const ad_attr *attrs; /* its fields; NULL for none */
    int (*shape)(ad_call *c); /* 0 or ad_call_fail's; NULL: operands broadcast together */
    int (*evaluate[2])(const ad_op *op);  /* by ad_dtype of the result */
    void (*backward[2])(const ad_op *op); /* NULL only with AD_OP_CONSTANT */
    /* dx[i] = the Var (d result / d operand i)^T g for each i that ad_vjp_wants; dx starts as NULLs, and NULL is zero */
    void (*vjp)(const ad_op *op, ad_var *g, ad_var *dx[]);
    void (*samples)(ad_sampler *s); /* required: see below */
};

/* A descriptor with its name, that does not compile without NAME_samples. */
#define AD_OPTYPE(op, ...)                                                                         \
    AD_COLD void op##_samples(ad_sampler *);                                                       \
    const ad_optype ad_op_##op = { .name = #op, .samples = op##_samples, __VA_ARGS__ }

/* Applies an op: checks, records, evaluates. attrs is copied (type->attr_size bytes). in[] holds
   at least one Var. Returns the result, or nil. */
AD_API ad_var *ad_apply(const ad_optype *type, int n, ad_var *const in[], const void *attrs);

/* Keeps the graph's first error and returns code. The sentence names call, shapes and remedy. */
AD_API AD_COLD int ad_fail(ad_graph *g, int code, const char *format, ...) AD_PRINTF(3, 4);
/* From a shape rule: "opname: [2,3] x [4]: sentence". */
AD_API AD_COLD int ad_call_fail(const ad_call *c, int code, const char *format, ...) AD_PRINTF(3, 4);
/* From evaluate, with the operands' shapes likewise. */
AD_API AD_COLD int ad_op_fail(const ad_op *op, int code, const char *format, ...) AD_PRINTF(3, 4);
/* An axis of -ndim .. ndim-1 as 0 .. ndim-1, or ad_call_fail's code, which is negative. */
AD_API int ad_call_axis(const ad_call *c, int axis, int ndim);

/* Inside evaluate, backward and vjp. */
AD_API const void *ad_attrs(const ad_op *op);
AD_API void *ad_saved(const ad_op *op);   /* the bytes the shape rule asked for, 64-byte aligned; NULL for 0 */
AD_API void *ad_scratch(const ad_op *op); /* likewise; shared by all ops: holds nothing over calls */
AD_API void *ad_values(const ad_op *op);  /* the result's elements, for evaluate to fill */
/* In backward: whether operand i takes a gradient, so that ad_grad_into is not NULL. */
AD_API bool ad_wants_grad(const ad_op *op, int i);
/* In vjp: whether dx[i] is wanted. */
AD_API bool ad_vjp_wants(const ad_op *op, int i);
/* Operand i's gradient, ready to be added into (zeroed if nothing arrived yet); NULL if it takes
   none. */
AD_API void *ad_grad_into(const ad_op *op, int i);
/* The same for an op that writes each element of it once, and so needs no zeros: where fresh, nothing
   arrived yet, and what the memory holds is to be overwritten. */
AD_API void *ad_grad_claim(const ad_op *op, int i, bool *fresh);
/* The next n 32-bit random words of the graph's generator. */
AD_API void ad_random_bits(ad_graph *g, int64_t n, uint32_t *to);

/* ---- samples: an op's own test cases ------------------------------------------------------- */

enum {
    AD_SAMPLE_KINK = 1, /* at a kink or an edge: no comparison with finite differences */
    AD_SAMPLE_LOOSE = 2 /* badly conditioned in f32: no comparison of f32 with f64 */
};
/* One case: n operands of these shapes with values spread over lo[i] .. hi[i], or NULL for -2 .. 2. */
AD_API void ad_sample(ad_sampler *s, const void *attrs, int n, const ad_shape *shapes,
                      const double *lo, const double *hi);
/* One case with given values (values[i] has the elements of operand i) and AD_SAMPLE_ flags. */
AD_API void ad_sample_values(ad_sampler *s, const void *attrs, int n, const ad_shape *shapes,
                             const double *const values[], unsigned flags);

/* A case as ad_each_sample hands it out; what it points to lasts for the call. */
typedef struct {
    const ad_optype *type;
    int index; /* 0, 1, ... in the order of the op's samples function */
    const void *attrs;
    int n;
    const ad_shape *shapes;
    const double *const *values; /* of operand i, row-major */
    unsigned flags;
} ad_sample_case;
typedef int ad_sample_fn(const ad_sample_case *c, void *data); /* other than 0: stop, and return it */
AD_API int ad_each_sample(ad_graph *g, const ad_optype *type, ad_sample_fn *fn, void *data);

/* Writes an Op's attribute as text: "2", "true", "0.5", "[2,3]", "all". */
AD_API int ad_attr_text(const ad_attr *a, const void *attrs, char *to, size_t size);

#ifdef __cplusplus
}
#endif
#endif
