/* class_rows.h: what losses of class scores share: options, class numbers, class weights and ignored rows.

   Scores are [c], [n,c] or [n,c,d1,..]. A row is the c scores that belong to one class number. */
#ifndef OPS_LOSS_CLASS_ROWS_H
#define OPS_LOSS_CLASS_ROWS_H

#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/loss/reduction.h"

typedef struct {
    double smoothing;
    int64_t ignored; /* the class number of ignored rows */
    int reduction;
    int64_t n; /* the number of classes; for class_targets only, the losses take it from the scores */
} ad__class_attrs;
extern const ad_attr ad__class_list[]; /* label_smoothing, ignore_index, reduction */

static inline const ad__class_attrs *ad__class_attrs_of(const ad_op *op) { return ad__attrs_of(op); }
static inline const ad_var *ad__class_weights(const ad_op *op, int i) { return op->n_in > i ? op->in[i] : NULL; }
ad__class_attrs ad__class_attrs_from(ad_ce_opts o);
ad_ce_opts ad__class_opts(const ad_op *op); /* of a loss, whose operand 2 is the weights */
ad_var *ad__apply_class_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_ce_opts o);

/* ---- shapes ------------------------------------------------------------------------------------------------ */

static inline int ad__class_axis(ad_shape s) { return s.ndim == 1 ? 0 : 1; }
int ad__check_class_attrs(const ad_call *c);
int ad__check_class_weights(const ad_call *c, int i, int64_t n); /* operand i, if present, must be [n] */
/* The shape rule for scores, targets and optional weights [c]. by_class: targets are class numbers; otherwise they have
   the shape of the scores. */
int ad__class_rows_shape(ad_call *c, bool by_class);

/* ---- class numbers ----------------------------------------------------------------------------------------- */

/* Checks that all are integers 0..n-1, or *ignored; ignored may be NULL. */
int ad__check_classes(const ad_op *op, const ad_var *classes, int64_t n, const int64_t *ignored);
/* The class of row j; -1 if the row is ignored. */
int64_t ad__class_at(const ad_op *op, const ad_var *classes, int64_t j);
/* Checks the classes. For the mean, *divisor is the sum of the weights of the rows not ignored, or their number if w is
   NULL. For other reductions it is 1. */
int ad__class_divisor(const ad_op *op, const ad_var *classes, const ad_var *w, int64_t n, double *divisor);
/* For a loss whose saved memory starts with this divisor. */
ad__row_reduction ad__class_reduction(const ad_op *op);
/* For vjp rules, in f64. The cotangent of a loss, divided by the divisor of the mean; if there is one per row, with the
   class axis as size 1. */
ad_var *ad__class_cotangent(const ad_op *op, ad_var *g);
/* ad_class_targets of the loss, not divided by the divisor of the mean. */
ad_var *ad__class_unscaled_targets(const ad_op *op);

static inline void ad__add_at(ad_dtype t, void *to, int64_t i, double d) {
    if (t == AD_F32) ((float *)to)[i] += (float)d;
    else ((double *)to)[i] += d;
}

/* ---- forms in C -------------------------------------------------------------------------------------------- */

/* Class numbers [n,..] as [n,1,..], which broadcasts to shape s of the scores: -1 for ignored rows, NaN for what
   evaluate refuses. ignored may be NULL. */
ad_emit_array ad__emit_classes(ad_emit *e, ad_emit_array classes, ad_shape s, const int64_t *ignored);
/* The weights [c], operand i, as [1,c,1,..]; ones if there are none. */
ad_emit_array ad__emit_class_weights(ad_emit *e, const ad_op *op, int i, ad_dtype t, ad_shape s);
/* The targets before they are divided: weights of classes times the smoothed one_hot of the classes. */
ad_emit_array ad__emit_targets(ad_emit *e, const ad_op *op, ad_emit_array classes, ad_emit_array w, ad_shape s);
/* The sum of the weights of all rows that are not ignored. */
ad_emit_array ad__emit_divisor(ad_emit *e, ad_emit_array classes, ad_emit_array w, ad_shape s);
/* The losses of rows, reduced; divisor: of the mean. */
ad_emit_array ad__emit_reduced(ad_emit *e, ad_emit_array rows, int reduction, ad_emit_array divisor);

/* ---- samples of losses with class numbers as targets and scores in lo .. hi ---------------------------------- */

void ad__class_samples(ad_sampler *s, double lo, double hi, double smoothing);

#endif
