/* reduction.c: what losses do with an ad_reduction. */
#include "ops/loss/reduction.h"

int ad__check_reduction(const ad_call *c, int reduction, ad_reduction last) {
    if (reduction >= AD_MEAN && reduction <= (int)last) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "%d is no reduction of this loss; AD_MEAN, AD_SUM and AD_NONE are", reduction);
}
