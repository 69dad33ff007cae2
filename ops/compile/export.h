/* export.h: functions of a C file that stands alone; private to this folder.

   export.c makes them, arguments.c what they take, declare.c writes header and tests, and file.c writes files. */
#ifndef OPS_COMPILE_EXPORT_H
#define OPS_COMPILE_EXPORT_H

#include "ops/compile/source.h"

enum { AD__NAME_SIZE = 64 };

/* An array that a function takes. */
typedef struct {
    char name[AD__NAME_SIZE];
    ad_dtype dtype;
    int64_t size;   /* elements */
    bool in, out;
    int first, n;   /* of the Vars that lie in it: xs, or results if it is not `in` */
} ad__argument;

/* Where a Var lies: the number of the argument, and the element that it begins at. */
typedef struct {
    int argument;
    int64_t at;
} ad__seat;

typedef struct {
    const ad_export_function *given;
    const char *caller;
    char name[2 * AD__NAME_SIZE]; /* of the function in C */
    int n, m;             /* xs; results: the ys, or y and its gradients */
    ad_var *const *xs;
    ad_var **results;     /* with the gradients as Vars, whose elements the tests compare */
    ad__argument *arguments;
    int n_arguments;
    ad__seat *x_seat, *y_seat;
    ad_emit e;
    ad__schedule s;
    ad__text body;
    int part;
    int *leaf; /* by index of AD__LEAF: the number of the file's constant array */
} ad__exported;

/* A file that is being written. */
typedef struct {
    ad_graph *g;
    const char *caller;
    const char *path, *name;
    char prefix[AD__NAME_SIZE], cblas[AD__NAME_SIZE + 8]; /* "name_", "NAME_CBLAS" */
    ad_export_opts o;
    ad__exported *f;
    int k;
    AD__VEC(const ad_var *) leaves; /* constant arrays of the file */
    ad__text constants, weights;
} ad__file;

/* ---- arguments.c ------------------------------------------------------------------------------------------------- */

/* Whether the name can stand in C; AD_EVALUE if not. */
int ad__check_c_name(ad_graph *g, const char *caller, const char *name);
/* Seats the xs and the results in arguments, and names these. */
int ad__make_arguments(ad__exported *f);

/* ---- export.c ---------------------------------------------------------------------------------------------------- */

/* The dtype that Vars of dtype t have in the file. */
ad_dtype ad__dtype_in_file(const ad__file *x, ad_dtype t);
int64_t ad__work_of(const ad__file *x, const ad__exported *f); /* elements of the function's work array */
ad_dtype ad__work_dtype(const ad__file *x);

/* ---- declare.c --------------------------------------------------------------------------------------------------- */

void ad__write_signature(const ad__file *x, const ad__exported *f, ad__text *t);
void ad__write_header(const ad__file *x, ad__text *t); /* without its last #endif */
/* Ends the n texts of source, header and weights with a number that they all know. */
void ad__write_number(const ad__file *x, int n, ad__text texts[]);
/* "extern const double NAME_array[8];" for the constant arrays that the caller asked for. */
void ad__write_arrays_declared(const ad__file *x, ad__text *t);
void ad__write_test(const ad__file *x, ad__text *t);
/* "{ 1.0, 2.0, .. }" of the elements of n Vars, one after the other. */
void ad__write_elements(const ad__file *x, ad__text *t, int n, ad_var *const vars[]);

/* ---- file.c ------------------------------------------------------------------------------------------------------ */

/* Writes n files: each under a temporary name beside its path, then, if all are whole, renames them. */
int ad__write_files(ad_graph *g, const char *caller, int n, char *const paths[], const ad__text texts[]);

#endif
