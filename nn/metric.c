/* metric.c: how good predictions are. */
#include <math.h>

#include "autodiff/node.h"
#include "nn/nn.h"

/* The first of the largest of scores from .. from+n. */
static int64_t largest(const ad_var *scores, int64_t from, int64_t n) {
    int64_t best = 0;
    for (int64_t j = 1; j < n; j++)
        if (ad_at(scores, from + j) > ad_at(scores, from + best)) best = j;
    return best;
}

static int check(const ad_var *scores, const ad_var *classes) {
    if (ad_is_nil(scores)) return ad__refuse_nil(scores, "accuracy");
    if (ad_is_nil(classes)) return ad__refuse_nil(classes, "accuracy");
    ad_shape s = ad_shape_of(scores), c = ad_shape_of(classes);
    if (s.ndim == 2 && c.ndim == 1 && s.dim[0] == c.dim[0] && s.dim[1] > 0) return ad_error_code(ad_graph_of(scores));
    char st[160], ct[160];
    ad_shape_text(s, st, sizeof st);
    ad_shape_text(c, ct, sizeof ct);
    return ad_fail(ad_graph_of(scores), AD_ESHAPE, "accuracy: scores %s and classes %s must be [n,c] and [n]", st, ct);
}

double nn_accuracy(const ad_var *scores, const ad_var *classes) {
    if (check(scores, classes)) return NAN;
    int64_t n = ad_shape_of(scores).dim[0], c = ad_shape_of(scores).dim[1], right = 0;
    for (int64_t i = 0; i < n; i++)
        if ((double)largest(scores, i * c, c) == ad_at(classes, i)) right++;
    return (double)right / (double)n; /* of no rows: NaN */
}
