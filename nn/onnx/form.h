/* form.h: an Op as nodes of an ONNX model; private to nn/onnx. */
#ifndef NN_ONNX_FORM_H
#define NN_ONNX_FORM_H

#include "nn/onnx/model.h"

/* One Op of an expression, as it was recorded for both batches. */
typedef struct {
    nn__model *m;
    const ad_op *op[2];
    const ad_optype *type;
    int n; /* Ops of the expression, first to last */
    const ad_op *const *all;
    bool is_output; /* whether the whole result is given out */
} nn__traced;

/* Returns the result, or NULL if the Op has no form. */
typedef nn__value nn__form_fn(const nn__traced *s);
nn__value nn__form_of(const nn__traced *s);

/* ---- for forms ---- */

nn__value nn__in(const nn__traced *s, int i); /* operand i; NULL if there is none */
int nn__ndim(const nn__traced *s, int i);     /* of operand i; -1: of the result */
nn__count nn__size(const nn__traced *s, int i, int axis); /* the same of the size of an axis */
nn__value nn__shape(const nn__traced *s, int i); /* all sizes, as a tensor */
double nn__attr(const nn__traced *s, const char *name);
nn__count nn__attr_count(const nn__traced *s, const char *name, int i); /* element i of a list */
int nn__attr_axes(const nn__traced *s, const char *name, int64_t axes[AD_MAX_NDIM]); /* how many */
int nn__attr_length(const nn__traced *s, const char *name); /* of a list */
nn__value nn__as_index(nn__model *m, nn__value x);  /* as int64 */
nn__value nn__as_number(nn__model *m, nn__value x); /* as the model's dtype */

/* The result of a form that is a text: see form.c. */
nn__value nn__evaluate_text(const nn__traced *s, const char *text);

/* Tables end with op NULL. */
typedef struct {
    const char *op;
    nn__form_fn *fn;
} nn__form;
extern const nn__form nn__array_forms[], nn__net_forms[];
typedef struct {
    const char *op, *text;
} nn__text_form;
extern const nn__text_form nn__elementwise_forms[];

#endif
