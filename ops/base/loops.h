/* loops.h: short calls of ad_emit_run, for the forms of ops in C. */
#ifndef OPS_BASE_LOOPS_H
#define OPS_BASE_LOOPS_H

#include "ops/compile.h"

/* x with an axis of size 1 before axis `at`. */
ad_emit_array ad__emit_unsqueeze(ad_emit_array x, int at);
/* x with two axes exchanged. */
ad_emit_array ad__emit_swap(ad_emit_array x, int i, int k);
/* The elements from, from + step, .. along an axis, n of them. */
ad_emit_array ad__emit_part(ad_emit_array x, int axis, int64_t from, int64_t n, int64_t step);
/* x, of one element for each index of the axis, along axis `at` of arrays of ndim axes. */
ad_emit_array ad__emit_along(ad_emit_array x, int at, int ndim);
/* The array x, which is in row-major order, in another shape. */
ad_emit_array ad__emit_reshape(ad_emit *e, ad_emit_array x, ad_shape s);

/* The windows of the last two axes of an array [..,h,w] as a view [..,i,j,p,q]: element (p,q) of window (i,j). */
ad_emit_array ad__emit_windows(ad_emit_array x, const int64_t *places, const int64_t *kernel, const int64_t *stride,
                               const int64_t *dilation);

/* Loops over x: the formula is in x. For a reduction, bit i of the mask says that axis i is reduced. */
ad_emit_array ad__emit_map(ad_emit *e, ad_dtype t, ad_emit_array x, const char *value, const char *slope);
ad_emit_array ad__emit_reduce(ad_emit *e, ad_emit_kind kind, ad_dtype t, ad_emit_array x, unsigned mask,
                              const char *value, const char *slope);
/* The same over the shape s, with a formula in a and b, which broadcast to s. */
ad_emit_array ad__emit_map2(ad_emit *e, ad_dtype t, ad_shape s, ad_emit_array a, ad_emit_array b, const char *value,
                            const char *slope_a, const char *slope_b);
ad_emit_array ad__emit_reduce2(ad_emit *e, ad_dtype t, ad_shape s, unsigned mask, ad_emit_array a, ad_emit_array b,
                               const char *value, const char *slope_a, const char *slope_b);
/* Copies x, which broadcasts to y, into y; fills y with a number. */
void ad__emit_copy(ad_emit *e, ad_emit_array x, ad_emit_array y);
void ad__emit_fill(ad_emit *e, ad_emit_array y, double k);
/* A function (see ad_emit_code) of x as [outer, n, inner] around an axis, with a parameter `flag`. The text stands in
   the loop over rows, where `at` is the place of element 0 of the row, and `inner` the distance to the next. */
#define AD__ROWS(TEXT)                                                                                                 \
    "{\nfor (long o = 0; o < outer; o++)\nfor (long c = 0; c < inner; c++) {\n"                                        \
    "const long at = o * n * inner + c;\n" TEXT "}\n}"
ad_emit_code ad__code_of_rows(ad_emit *e, const ad_op *op, int axis, bool flag);
/* k x. */
ad_emit_array ad__emit_scale(ad_emit *e, ad_emit_array x, double k);

#endif
