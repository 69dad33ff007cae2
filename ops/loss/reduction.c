/* reduction.c: checks an ad_reduction and applies it to the losses of rows. */
#include "ops/loss/reduction.h"

#include "ops/base/attrs.h"

const ad_attr_values ad__reduction_values[] = { { "reduction", "mean sum none batchmean" }, { 0 } };

int ad__check_reduction(const ad_call *c, int reduction, ad_reduction last) {
    if (reduction >= AD_MEAN && reduction <= (int)last) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "%d is not a reduction of this loss; use AD_MEAN, AD_SUM or AD_NONE", reduction);
}

void ad__reduce_rows(const ad_op *op, ad__row_reduction r, int64_t rows, ad__row_loss *loss, const void *context) {
    const ad_var *y = ad__out(op);
    double sum = 0;
    for (int64_t j = 0; j < rows; j++) {
        double l = loss(context, j);
        if (r.each) ad__put(y, j, l);
        else sum += l;
    }
    if (!r.each) ad__put(y, 0, sum / r.divisor);
}

double ad__row_cotangent(const ad_op *op, ad__row_reduction r, int64_t row) {
    return r.each ? ad_grad_at(ad__out(op), row) : ad_grad_at(ad__out(op), 0) / r.divisor;
}
