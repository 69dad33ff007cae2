/* compare.c: comparing two numbers in a check, and reporting the first pair that differs. */
#include <math.h>

#include "autodiff/check/compare.h"

ad_check_opts ad__check_defaults(const ad_check_opts *opts) {
    ad_check_opts o = opts ? *opts : (ad_check_opts){ 0 };
    return (ad_check_opts){ ad_option(o.eps, 1e-6), ad_option(o.atol, 1e-5), ad_option(o.rtol, 1e-3) };
}

bool ad__close_to(double a, double b, double atol, double rtol) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= atol + rtol * fabs(b);
}

int ad__compare(ad_check_report *r, const char *op, int operand, int64_t index, double analytic, double numeric,
                double atol, double rtol, const char *what) {
    r->compared++;
    if (ad__close_to(analytic, numeric, atol, rtol)) return AD_OK;
    char where[48] = "";
    if (operand >= 0) snprintf(where, sizeof where, " operand %d", operand);
    ad_check_report bad = { false, r->compared, op, operand, index, analytic, numeric, "" };
    *r = bad;
    snprintf(r->message, sizeof r->message, "%s:%s element %lld: %s: %.10g and %.10g differ by %.3g", op, where,
             (long long)index, what, analytic, numeric, fabs(analytic - numeric));
    return AD_ECHECK;
}

int ad__check_failed(ad_check_report *r, const ad_graph *g, int rc) {
    r->ok = false;
    snprintf(r->message, sizeof r->message, "%s", ad_error(g));
    return rc;
}
