/* power.c: integer powers and ranks of matrices, by other ops. */
#include "ops/base/attrs.h"
#include "ops/linalg/packed.h"
#include "ops/ops.h"

/* By repeated squaring. */
static ad_var *positive_power(ad_var *x, uint64_t n) {
    ad_var *y = NULL;
    for (; n > 0; n >>= 1) {
        if (n & 1) y = y ? ad_matmul(y, x) : x;
        if (n > 1) x = ad_matmul(x, x);
    }
    return y;
}

ad_var *ad_matrix_power(ad_var *x, int64_t n) {
    if (ad__absent(x)) return ad__nil_result(x, "matrix_power");
    const ad_call c = AD__CALL_AS("matrix_power", x);
    ad_shape s = c.shape;
    if (!ad_ok(c.graph)) return ad_nil(c.graph);
    if (s.ndim < 2 || s.dim[s.ndim - 1] != s.dim[s.ndim - 2]) {
        ad_call_fail(&c, AD_ESHAPE, "takes square matrices, [..,n,n]");
        return ad_nil(c.graph);
    }
    if (n == 0) return ad_expand(ad_eye(c.graph, c.dtype, s.dim[s.ndim - 1]), s);
    return n > 0 ? positive_power(x, (uint64_t)n) : positive_power(ad_inverse(x), -(uint64_t)n);
}

ad_var *ad_matrix_rank(ad_var *x, double rcond) {
    if (ad__absent(x)) return ad__nil_result(x, "matrix_rank");
    const ad_call c = AD__CALL_AS("matrix_rank", x);
    if (ad__check_rcond(&c, rcond) != AD_OK) return ad_nil(c.graph);
    ad_var *s = ad_svdvals(x);
    if (ad__absent(s)) return s;
    if (s->layout->shape.dim[s->layout->shape.ndim - 1] == 0) return ad_detach(ad_sum_axis(s, -1, false));
    ad_var *least = ad_muls(ad_narrow(s, -1, 0, 1), ad__rcond(rcond, x));
    return ad_sum_axis(ad_gt(s, least), -1, false);
}
