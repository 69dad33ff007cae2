/* batch.c: checks of batches of matrices for shape rules. */
#include "ops/linalg/batch.h"

int ad__check_batches(const ad_call *c, const ad__batches *b) {
    return b->fit ? AD_OK : ad_call_fail(c, AD_ESHAPE, "leading axes do not broadcast");
}

int ad__sides_fail(const ad_call *c, int most) {
    return ad_call_fail(c, AD_ESHAPE, "a side is longer than %d", most);
}
