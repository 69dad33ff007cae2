/* compare.h: comparing two numbers in a check, and reporting the first pair that differs; private to the library. */
#ifndef AUTODIFF_CHECK_COMPARE_H
#define AUTODIFF_CHECK_COMPARE_H

#include "autodiff/graph/node.h"

/* opts with the defaults in place of zeros. NULL is all defaults. */
ad_check_opts ad__check_defaults(const ad_check_opts *opts);
/* True also for equal infinities and for two NaNs. */
bool ad__close_to(double a, double b, double atol, double rtol);
/* Compares two numbers and counts the comparison. AD_ECHECK, with the report filled in, if they differ. operand < 0
   means the result. */
int ad__compare(ad_check_report *r, const char *op, int operand, int64_t index, double analytic, double numeric,
                double atol, double rtol, const char *what);
/* Reports an error of the graph that stopped the check. Returns rc. */
int ad__check_failed(ad_check_report *r, const ad_graph *g, int rc);

#endif
