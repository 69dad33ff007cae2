/* source.h: a scheduled program as C source; private to this folder. */
#ifndef OPS_COMPILE_SOURCE_H
#define OPS_COMPILE_SOURCE_H

#include "ops/compile/roll.h"
#include "ops/compile/text.h"

/* ---- functions: a text that several parts of the program may share ----------------------------------------------- */

enum { AD__POINTERS = 128 };
/* A pointer that a function takes: to the lowest place of a buffer that it reads or writes. In loops over instructions
   only the first repetition counts. */
typedef struct {
    int buffer;         /* or -1 - dtype: the work memory, in elements of that dtype */
    ad_dtype dtype;
    int64_t least;      /* offset */
    bool written;
} ad__pointer;

typedef struct ad__kernel ad__kernel; /* a function in the source, in a hash table by its text */
typedef struct ad__writer ad__writer;

/* Writes the C expression of the address of a place. */
typedef void ad__address_fn(const ad__writer *w, ad__text *t, ad__place at);

struct ad__writer {
    ad_emit *e;
    ad__schedule *s;
    ad__address_fn *address;
    const void *context; /* for it */
    const char *prefix; /* of the names of functions and constants */
    const char *cblas; /* the macro that a portable source calls a BLAS under */
    bool portable;    /* C99 that stands alone: no functions of the compiler's, sums in the dtype of their numbers */
    int part;         /* of the constant arrays in the source: numbers0, tables0 */
    bool numbers_used; /* numbers that are read as an array */
    bool has_outer;    /* the macro OUTER is used */
    bool has_stencil;  /* a loop reads neighbours in an array */
    bool has_slow;     /* a loop over an array calls functions like exp */
    ad__text calls;   /* the body of the program: calls of them */
    AD__VEC(int64_t) starts; /* of each call, in the text */
    ad__kernel *table;
    int n_kernels;
    uint64_t macros[2][2]; /* by dtype, and for loops over arrays */
    /* of the function that is being written: */
    ad__text body;
    ad__pointer pointer[AD__POINTERS];
    int n_pointers;
    int64_t repetitions; /* of the body, at a call */
    bool overflow; /* there were too many pointers */
    bool absolute; /* buffers of the work memory are reached by pointers to its beginning */
    bool aliased; /* pointers may lead to the same elements */
};

/* Forgets the pointers and the body of the function before. */
void ad__function_begin(ad__writer *w);
/* The number of the pointer to a buffer, or to the work memory (see ad__pointer), from offset `from` on. */
int ad__pointer_to(ad__writer *w, int buffer, int64_t from, bool written);
/* Adds the function, unless there is one with its text, and a call; returns the function's number. n: the argument n,
   or -1 if the function has none; table: where the index tables that it reads begin, or -1. */
int ad__function_end(ad__writer *w, int64_t n, int64_t table);

/* instructions.c, nests.c: the function and the call of a step, or of n steps that are joined or come after it. */
void ad__write_run(ad__writer *w, const ad__segment *g);
void ad__write_nests(ad__writer *w, const ad__step *step, int n);

/* code.c: the function and the call of a nest with code. */
void ad__write_code(ad__writer *w, const ad__nest *n);
/* The number of the function with this text, which is added if it is new; -1 without memory. */
int ad__function_add(ad__writer *w, ad__text *text);

/* product.c: whether the nest is a product of matrices that a BLAS should compute, and the call of the BLAS. */
bool ad__is_product(const ad_emit *e, const ad__nest *n);
void ad__write_product(ad__writer *w, const ad__nest *n);

/* calls.c: makes loops of calls that repeat. */
int ad__roll_calls(ad__writer *w);

/* A writer in the memory of the open scope. NULL if memory is short. */
ad__writer *ad__writer_new(ad_graph *g, const char *prefix, ad__address_fn *address, const void *context);
/* Adds the functions of a program, and writes the calls of them, which make up the program. */
int ad__write_program(ad__writer *w, ad_emit *e, ad__schedule *s);
void ad__write_functions(const ad__writer *w, ad__text *t);
/* The arrays of constants that a portable program uses, and the macros that all programs of w use, as functions. */
void ad__write_constants(const ad__writer *w, ad__text *t);
void ad__write_macros(const ad__writer *w, ad__text *t);
/* The source of a program: a function "name" of in, leaf, out, work and host, see source.c. */
int ad__source_write(ad_emit *e, ad__schedule *s, const char *name, ad__text *to);

#endif
