/* emit.h: a recorded graph as instructions on numbers and loops over arrays, from which C is written; private to this
   folder.

   emit.c lowers Ops to it, reverse.c appends the gradient, roll.c finds loops among the instructions, and source.c
   writes the C. */
#ifndef OPS_COMPILE_EMIT_H
#define OPS_COMPILE_EMIT_H

#include "autodiff/graph/node.h"
#include "ops/compile.h"

/* ---- growing arrays in the memory of the scope that the compilation runs in -------------------------------------- */

#define AD__VEC(T)                                                                                                     \
    struct {                                                                                                           \
        T *at;                                                                                                         \
        int64_t n, capacity;                                                                                           \
    }
/* Makes room for `more` further elements of the vector that v points to. False, with the graph's error, if memory is
   short. */
bool ad__vec_reserve(ad_graph *g, void *v, int64_t more, size_t size);
#define AD__RESERVE(g, v, more)                                                                                        \
    ((v)->n + (more) <= (v)->capacity || ad__vec_reserve(g, v, more, sizeof *(v)->at))
#define AD__PUSH(g, v, ...) (AD__RESERVE(g, v, 1) && ((v)->at[(v)->n++] = (__VA_ARGS__), true))

/* ---- places: an element of a buffer, or the result of an instruction --------------------------------------------- */

/* The buffer's number in the upper bits, the offset in elements below. In buffer 0, the offset is an instruction's
   number, whose result is meant. */
typedef int64_t ad__place;
enum { AD__OFFSET_BITS = 38 };
enum { AD__NUMBER_BUFFER = 1, AD__INDEX_BUFFER }; /* the buffers of AD__NUMBERS and AD__INDEX */
static inline ad__place ad__place_of(int64_t buffer, int64_t offset) { return buffer << AD__OFFSET_BITS | offset; }
static inline int ad__buffer_of(ad__place p) { return (int)(p >> AD__OFFSET_BITS); }
static inline bool ad__is_memory(ad__place p) {
    return ad__buffer_of(p) != AD__NUMBER_BUFFER && ad__buffer_of(p) != AD__INDEX_BUFFER;
}
static inline int64_t ad__offset_of(ad__place p) { return p & (((int64_t)1 << AD__OFFSET_BITS) - 1); }
#define AD__NOWHERE ((ad__place)-1)

typedef enum {
    AD__RESULTS,  /* buffer 0: results of instructions */
    AD__ARGUMENT, /* one of the xs, or consecutive xs of one element each */
    AD__OUTPUT,   /* of the caller's: a value, a gradient, or gradients of consecutive xs of one element */
    AD__LEAF,     /* the elements of another leaf */
    AD__SCALARS,  /* the elements of other leaves of one element each, copied at each run */
    AD__NUMBERS,  /* parameters of ops: k of muls */
    AD__INDEX,    /* no memory: the element at an offset is the offset */
    AD__WORK      /* in the work memory */
} ad__buffer_kind;

typedef struct {
    ad__buffer_kind kind;
    ad_dtype dtype;
    int64_t size;      /* elements */
    int64_t index;     /* of the argument, output or leaf; for AD__WORK, the offset in bytes, once it is known */
    int grad;          /* the buffer of its gradient; 0 if there is none yet */
    bool needs;        /* it depends on the xs that gradients are asked for */
    bool cells;        /* its elements are numbers on their own: their gradients are results of instructions */
    bool is_set;       /* all of its elements were set: AD__SET overwrites */
} ad__buffer;

/* ---- formulas ---------------------------------------------------------------------------------------------------- */

enum { AD__NAMES = 8 };
/* A formula of one number from others. In an instruction the numbers stand in the order of the names. */
typedef struct {
    const char *text;
    int length;
    ad_dtype dtype;
    const void *key; /* what it was interned by, with the dtype and `part` */
    const char *names; /* of a loop's formula */
    int part;
    int n;
    struct {
        const char *at;
        int length;
    } name[AD__NAMES];
    unsigned used; /* bit i: the text has name i */
    int slope[3]; /* formulas of the slope by operands 0, 1 and 2; below */
    const char *slope_text[3]; /* of a loop's formula: forms with one text may have other slopes */
    int calls;    /* of functions like exp, in the text */
} ad__form;
enum { AD__ZERO_SLOPE = -1, AD__UNIT_SLOPE = -2 }; /* in place of a formula: 0, and g itself */

/* ---- instructions: on numbers ------------------------------------------------------------------------------------ */

typedef enum {
    AD__DEFINE, /* the result is a number that others read */
    AD__STORE,  /* written to `out` */
    AD__ADD     /* added to `out` */
} ad__insn_kind;

typedef struct {
    int32_t form;
    uint8_t kind, n;
    int64_t in; /* of the first operand's place in `places` */
    ad__place out;
} ad__insn;

/* ---- nests: loops over arrays ------------------------------------------------------------------------------------ */

enum { AD__DIMS = 8, AD__OPERANDS_MOST = 6 };
/* Where a nest reads or writes at each index: at + sum of index[d] * stride[d]. */
typedef struct {
    ad__place at;
    int64_t stride[AD__DIMS];
} ad__map;

typedef enum {
    AD__SET,     /* out = formula */
    AD__SUM,     /* out = sum of the formula over the indices at which out is the same element */
    AD__ADD_TO,  /* out += formula */
    AD__LARGEST, /* out = the largest, or NaN if there is one */
    AD__SMALLEST,
    AD__CALL,    /* an Op's evaluate, or a function of ad_emit_call */
    AD__NOTHING
} ad__nest_kind;

typedef struct {
    ad__nest_kind kind;
    int form, n; /* operands */
    int ndim;
    int64_t dim[AD__DIMS];
    ad__map out, in[AD__OPERANDS_MOST];
    int64_t at; /* it runs after so many instructions */
    const ad_op *op;
    bool overwrites; /* AD__SET of elements that were set before */
    bool keep;       /* AD__CALL of a branch: its answer is needed, whoever reads it */
    int code;        /* AD__CALL: 1 + the index of a function in `codes`; 0: an Op's evaluate */
} ad__nest;

/* A call of a function that an op gives. The operands of its nest are the arrays that the text uses, by name. */
enum { AD__ARRAYS_MOST = 8 };
typedef struct {
    ad_emit_code given;
    ad_emit_array y;
    const char *text;
    int n; /* pointers that it takes; the last is what it writes */
    const char *name[AD__ARRAYS_MOST];
    int length[AD__ARRAYS_MOST];
} ad__code;

/* The map of operand i; that of the result for i = n. */
static inline ad__map *ad__map_at(ad__nest *n, int i) { return i < n->n ? &n->in[i] : &n->out; }
static inline bool ad__reduces(const ad__nest *n, int d) { return n->dim[d] > 1 && n->out.stride[d] == 0; }

/* ---- the whole --------------------------------------------------------------------------------------------------- */

struct ad_emit {
    ad_graph *g;
    int code; /* of the graph's error; then nothing more is emitted */
    AD__VEC(ad__form) forms;
    AD__VEC(ad__buffer) buffers;
    AD__VEC(ad__insn) insns;
    AD__VEC(ad__place) places; /* operands of instructions */
    AD__VEC(double) numbers;
    AD__VEC(ad__nest) nests;
    AD__VEC(ad__code) codes;
    AD__VEC(ad_emit_array) arrays; /* values of Vars that are more than a place */
    AD__VEC(ad_op *) ops;
    AD__VEC(const ad_var *) leaves;    /* arrays, by index of AD__LEAF */
    AD__VEC(const ad_var *) scalars;   /* leaves of one element, in the order of their places */
    /* by the id of an Op, less first_id: the value of its result: a place, or ~index in arrays; AD__NOWHERE if none */
    int64_t *values;
    uint32_t first_id, n_ids;
    struct ad__leaf_value *leaf_values; /* a hash table */
    int leaf_scalars[2];                /* by dtype: the buffer of leaves of one element; 0 if none yet */
    AD__VEC(int) first_x, first_y; /* of each argument and each output of values: the first of its xs or ys */
    const int *x_array, *y_array;  /* by x and y: those of one number may share an argument or output; NULL: all may */
    const ad__place *into;         /* by y: where it is written; AD__NOWHERE, and NULL for all: to an output */
    int n_outputs;
    const char *refused; /* the name of an op that has no form; NULL if all have */
    bool calls;          /* ops without a form are called back */
    bool portable;       /* they are refused */
    bool patterns;       /* the program is not to be run, but read for who depends on whom: see ops/sparse/ */
    bool opaque;         /* with patterns: the form of the Op that is being emitted has a text, which nobody reads */
};

/* ---- form.c ------------------------------------------------------------------------------------------------------ */

/* The number of a formula; `names` are those of the operands, separated by blanks. key and part tell formulas apart.
   Negative codes AD__ZERO_SLOPE and AD__UNIT_SLOPE stand for slopes 0 and g. */
int ad__form_make(ad_emit *e, const void *key, int part, ad_dtype t, const char *text, int length, const char *names);
/* The same with the names that the text uses, in the order in which they occur. */
int ad__form_of_text(ad_emit *e, const void *key, int part, ad_dtype t, const char *text, int length);
/* A formula with formula `inner` in place of its operand i, whose operands it has in that place. It rounds as both do
   one after the other. -1 if the dtypes differ, or the formula would be too long. */
int ad__form_compose(ad_emit *e, int outer, int i, int inner);
/* Whether a formula calls only functions of math.h and macros of formula.h. NULL has no formula, and no fault. */
bool ad__text_is_c(const char *text);
/* Whether a text has a name. */
bool ad__text_has(const char *text, const char *name, int length);
/* The next name in a list, from *p on, which is moved behind it; its length, or 0 at the end. */
int ad__next_name(const char **p, const char **name);
int ad__form_find(const ad_emit *e, const void *key, int part, ad_dtype t); /* -1 if there is none yet */

/* ---- emit.c ------------------------------------------------------------------------------------------------------ */

int ad__buffer_new(ad_emit *e, ad__buffer_kind kind, ad_dtype t, int64_t size, int64_t index);
ad__place ad__insn_add(ad_emit *e, ad__insn_kind kind, int form, int n, const ad__place in[], ad__place out);
/* A nest of the given kind over dims. NULL if memory is short. */
ad__nest *ad__nest_add(ad_emit *e, ad__nest_kind kind, int form, int ndim, const int64_t *dim);
/* Lowers the Ops that the ys depend on, and the branches that hold for them. xs are arguments. */
int ad__lower(ad_emit *e, int m, ad_var *const ys[], int n, ad_var *const xs[]);
/* The value of a Var that was lowered. */
ad_emit_array ad__value_of(ad_emit *e, const ad_var *x);
/* Writes the ys, which were lowered, to outputs; those that replace arguments are written by the second function, after
   all that reads arguments. */
void ad__emit_outputs(ad_emit *e, int m, ad_var *const ys[]);
void ad__emit_replaced(ad_emit *e, int m, ad_var *const ys[]);
ad__place ad__number(ad_emit *e, double k); /* a constant */
int ad__copy_form(ad_emit *e, ad_dtype t);  /* y = x */

/* ---- code.c ------------------------------------------------------------------------------------------------------ */

/* Appends the call that adds the slope by operand k of a nest's function, whose result has the gradient g, to d. */
void ad__slope_call(ad_emit *e, int code, int k, ad__place g, ad__place d);

/* ---- check.c ----------------------------------------------------------------------------------------------------- */

/* Whether a program of the ys by the leaves xs can be made; an error of `caller` if not. */
int ad__check_program(int m, ad_var *const ys[], int n, ad_var *const xs[], const char *caller);
int ad__check_single(const ad_var *y, const char *caller); /* that y has one element */

/* ---- reverse.c --------------------------------------------------------------------------------------------------- */

/* Appends the gradient of y, of one element, with respect to the xs, as one output for each argument. Returns
   AD_EABSENT if an Op between has no form. */
int ad__reverse(ad_emit *e, ad_emit_array y);

#endif
