/* norm.h: what normalisations share: a check of operands, the factor that normalises, and rows of an array. */
#ifndef OPS_NET_NORM_H
#define OPS_NET_NORM_H

#include "autodiff/graph/node.h"
#include "ops/base/columns.h"
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/ops.h"

#include <math.h>

/* For shape rules: checks that `first` operands are followed by the weight and the bias that the attributes ask for. */
static inline int ad__check_norm_operands(const ad_call *c, int first, bool has_weight, bool has_bias) {
    if (c->n == first + has_weight + has_bias) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "%d operands given, which does not match has_weight and has_bias", c->n);
}

/* 1 / sqrt(variance + eps), as a number and as a Var. NaN if the variance has overflowed, as 0 would hide that. */
static inline double ad__norm_scale(double variance, double eps) {
    return isinf(variance) ? NAN : 1 / sqrt(variance + eps);
}
static inline ad_var *ad__norm_scale_rule(ad_var *variance, double eps) {
    return ad_rsqrt(ad_adds(ad_where(ad_isinf(variance), ad__constant(variance, NAN), variance), eps));
}

/* The operand x, its result and their gradients seen as [rows,n]. */
typedef struct {
    ad_dtype t;
    int64_t rows, n;
    size_t row; /* bytes of a row */
} ad__norm_rows;

static inline ad__norm_rows ad__norm_rows_of(const ad_op *op, int64_t n) {
    const ad__layout *x = op->in[0]->layout;
    return (ad__norm_rows){ x->dtype, n > 0 ? x->numel / n : 0, n, (size_t)n * ad_dtype_size(x->dtype) };
}
static inline void *ad__norm_row(const ad__norm_rows *r, const void *array, int64_t i) {
    return (char *)array + (size_t)i * r->row;
}

/* For forms in C: (x - mean) / sqrt(variance + eps) in f64. Bit i of the mask says that axis i is averaged over. */
ad_emit_array ad__emit_normal(ad_emit *e, ad_emit_array x, unsigned mask, double eps);

#endif
