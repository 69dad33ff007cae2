/* model.h: an ONNX model that is being made: its nodes, constants and names; private to nn/onnx.

   All memory is that of the innermost scope. Where memory is short the graph has AD_ENOMEM, and names are "". */
#ifndef NN_ONNX_MODEL_H
#define NN_ONNX_MODEL_H

#include "autodiff/extend.h"
#include "autodiff/op.h"

typedef struct nn__model nn__model;
typedef const char *nn__value; /* of a tensor in the model: its name */

enum { NN__OPSET = 17 };
enum { NN__FLOAT = 1, NN__INT64 = 7, NN__BOOL = 9, NN__DOUBLE = 11 }; /* types of elements, as ONNX numbers them */

/* What holds for 1 and for 2 rows of a batch. A number that depends on the batch is a line through both. */
typedef struct {
    int64_t at[2];
} nn__count;

nn__model *nn__model_new(ad_graph *g); /* NULL when memory is short */
ad_dtype nn__model_dtype(const nn__model *m); /* of numbers that are made now */
void nn__model_set_dtype(nn__model *m, ad_dtype t);
/* The batches of the two traces; x is the input whose first axis is the batch. */
void nn__model_set_batch(nn__model *m, nn__value x, nn__count batch);

/* ---- names ---- */

/* The name itself if it is not taken yet, else with a number. */
nn__value nn__new_name(nn__model *m, const char *wanted);
/* The tensor that stands for a Var; NULL if none does yet. */
nn__value nn__find_value(const nn__model *m, const ad_var *x);
void nn__set_value(nn__model *m, const ad_var *x, nn__value v);

/* ---- inputs, outputs, constants ---- */

/* Sizes [ndim]; one that depends on the batch is left open, and others are written. */
void nn__add_input(nn__model *m, nn__value name, ad_dtype t, int ndim, const nn__count *size);
void nn__add_output(nn__model *m, nn__value name, ad_dtype t, int ndim, const nn__count *size);
/* The elements stay where they are until the file is written. */
nn__value nn__add_array(nn__model *m, const char *wanted, const ad_var *x);
nn__value nn__number(nn__model *m, double v);                              /* a scalar of the model's dtype */
nn__value nn__integers(nn__model *m, int n, const int64_t *v);             /* [n], of int64 */
nn__value nn__counts(nn__model *m, int n, const nn__count *v);             /* the same, computed where they must be */

/* ---- nodes ---- */

/* A node of n operands and one result, which is returned. An operand that is NULL is left out. */
nn__value nn__node(nn__model *m, const char *type, int n, const nn__value *in);
#define NN__NODE(m, type, ...)                                                                                         \
    nn__node(m, type, (int)(sizeof((nn__value[]){ __VA_ARGS__ }) / sizeof(nn__value)), (nn__value[]){ __VA_ARGS__ })
/* A copy of a tensor under another name, or that name with a number if it is taken. */
nn__value nn__node_called(nn__model *m, const char *wanted, nn__value x);
/* The third result of the node that was made last. */
nn__value nn__third(nn__model *m);
/* Attributes of the node that was made last. */
void nn__int(nn__model *m, const char *name, int64_t v);
void nn__float(nn__model *m, const char *name, double v);
void nn__ints(nn__model *m, const char *name, int n, const int64_t *v);
void nn__text(nn__model *m, const char *name, const char *v);
void nn__texts(nn__model *m, const char *name, const char *v); /* a list of one text */

/* ---- the file ---- */

/* Leaves out what no output needs, and writes the rest. Returns 0 or the code of the graph's error. */
int nn__write_model(nn__model *m, const char *caller, const char *path);

#endif
