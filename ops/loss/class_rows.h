/* class_rows.h: what losses of class scores share: class numbers, weights of classes, rows that do not count.

   Scores are [c], [n,c] or [n,c,d1,..]: a row has the c scores of one class number. */
#ifndef OPS_LOSS_CLASS_ROWS_H
#define OPS_LOSS_CLASS_ROWS_H

#include "ops/base/attrs.h"
#include "ops/loss/reduction.h"

typedef struct {
    double smoothing;
    int64_t ignored; /* the class whose rows do not count */
    int reduction;
    int64_t n; /* classes; of class_targets alone, the others find it in the scores */
} ad__class_attrs;
extern const ad_attr ad__class_list[]; /* label_smoothing, ignore_index, reduction */

static inline const ad__class_attrs *ad__class_attrs_of(const ad_op *op) { return ad__attrs_of(op); }
static inline const ad_var *ad__class_weights(const ad_op *op, int i) { return op->n_in > i ? op->in[i] : NULL; }
ad__class_attrs ad__class_attrs_from(ad_ce_opts o);
ad_ce_opts ad__class_opts(const ad_op *op); /* of a loss: its weights are operand 2 */
ad_var *ad__apply_class_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_ce_opts o);

/* ---- shapes ------------------------------------------------------------------------------------------------ */

static inline int ad__class_axis(ad_shape s) { return s.ndim == 1 ? 0 : 1; }
int ad__check_class_attrs(const ad_call *c);
int ad__check_class_weights(const ad_call *c, int i, int64_t n); /* operand i, where there is one: [n] */
/* Of a loss of scores, targets and perhaps weights [c]: targets are class numbers, or have the scores' shape. */
int ad__class_rows_shape(ad_call *c, bool by_class);

/* ---- class numbers ----------------------------------------------------------------------------------------- */

/* Whether all are whole numbers 0..n-1, or *ignored; NULL: none is ignored. */
int ad__check_classes(const ad_op *op, const ad_var *classes, int64_t n, const int64_t *ignored);
/* The class of row j; -1 where it does not count. */
int64_t ad__class_at(const ad_op *op, const ad_var *classes, int64_t j);
/* Checks the classes. *divisor = the weights of the rows that count, summed, or where there are none their number; 1
   for reductions other than the mean. */
int ad__class_divisor(const ad_op *op, const ad_var *classes, const ad_var *w, int64_t n, double *divisor);
/* Of a loss whose saved bytes begin with this divisor. */
ad__row_reduction ad__class_reduction(const ad_op *op);
/* The cotangent of a loss, with the class axis put back if there is one for each row. */
ad_var *ad__class_cotangent(const ad_op *op, ad_var *g);

static inline void ad__add_at(ad_dtype t, void *to, int64_t i, double d) {
    if (t == AD_F32) ((float *)to)[i] += (float)d;
    else ((double *)to)[i] += d;
}

/* ---- samples of losses whose targets are class numbers: scores lie in lo .. hi ------------------------------- */

void ad__class_samples(ad_sampler *s, double lo, double hi, double smoothing);

#endif
