/* common.h: shared by the modules of GradBench: their inputs, the expressions that most of them are, and their table.
   The problems and the protocol are those of https://github.com/gradbench/gradbench, written from their definitions. */
#ifndef BENCH_GRADBENCH_COMMON_H
#define BENCH_GRADBENCH_COMMON_H

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "ops/ops.h"

#include <stdio.h>

/* ---- inputs ---------------------------------------------------------------------------------------------------- */

/* An array of the input. A number has no axes; true and false are 1 and 0. */
typedef struct {
    const char *name;
    ad_shape shape;
    int64_t n;
    double *data;
} gb_array;

enum { GB_ARRAYS = 32, GB_FUNCTIONS = 4 };

/* The arrays of a message, those of objects within objects too. Their memory is the graph's. */
typedef struct {
    ad_graph *g;
    int n;
    gb_array array[GB_ARRAYS];
} gb_input;

/* Reads a JSON object that nn__json_fault has passed. After an error the graph has it. */
void gb_read(char *json, gb_input *to);
/* The array of that name. If it is missing or has not ndim axes, sets the graph's error and returns one without
   elements. ndim -1: any number of axes. */
const gb_array *gb_get(const gb_input *in, const char *name, int ndim);
double gb_number(const gb_input *in, const char *name);
double gb_number_or(const gb_input *in, const char *name, double otherwise);
/* The array as a constant, or as a leaf with a gradient. */
ad_var *gb_constant(const gb_input *in, const char *name, int ndim);
ad_var *gb_leaf(const gb_input *in, const char *name, int ndim);

/* ---- outputs --------------------------------------------------------------------------------------------------- */

/* Numbers as JSON, nested by their shape. Numbers that are not finite have no JSON: they become null. */
void gb_print(FILE *to, ad_shape s, const double *x);
void gb_print_var(FILE *to, const ad_var *x);

/* ---- expressions: a scalar that is recorded once and evaluated and differentiated in each run ------------------ */

typedef struct {
    int n;
    ad_var *xs[4];
    const char *names[4]; /* of the xs in the gradient; NULL: the gradient is one list of numbers */
    ad_var *value;        /* the result of the objective */
    ad_var *y;            /* what is differentiated, a scalar */
} gb_expression;

gb_expression *gb_expression_new(ad_graph *g, int n, ad_var *const xs[], ad_var *value, ad_var *y);
void gb_evaluate(void *expression);
void gb_differentiate(void *expression);
void gb_print_value(const void *expression, FILE *to);
void gb_print_gradient(const void *expression, FILE *to);

/* ---- modules --------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    void (*run)(void *problem);
    void (*print)(const void *problem, FILE *to);
} gb_function;

typedef struct {
    const char *name;
    void *(*open)(const gb_input *in); /* the problem, in memory of the graph; NULL, with the graph's error */
    gb_function functions[GB_FUNCTIONS];
} gb_module;

#define GB_EXPRESSION(objective, gradient)                                                                             \
    { { objective, gb_evaluate, gb_print_value }, { gradient, gb_differentiate, gb_print_gradient } }

extern const gb_module gb_hello, gb_lse, gb_llsq, gb_ode, gb_det, gb_gmm, gb_lstm, gb_ba, gb_ht, gb_kmeans, gb_particle,
    gb_saddle;

#endif
