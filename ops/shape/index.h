/* index.h: what the ops share that read and write elements by index; private to the family.

   Such an op has a table x as operand 0, indices as operand 1, and attributes that start with ad__axis_attrs. One that
   writes has an array src as operand 2. The indices may have another dtype than the table. */
#ifndef OPS_SHAPE_INDEX_H
#define OPS_SHAPE_INDEX_H

#include "ops/base/attrs.h"
#include "ops/compile.h"
#include "ops/kernels/shape/index.h"

/* For the descriptors. */
#define AD__INDEX_SPECIAL                                                                                              \
    "indices are integers -n..n-1, where -1 is the last; they may be f64 for an f32 x, as f32 is exact below 2^24"

int ad__index_axis(const ad_op *op);
/* The indices as saved by ad__index_read; each is true for an op that has one index per element. */
ad__indexed ad__indexed_of(const ad_op *op, bool each);
/* For shape rules: asks for the memory of the indices. Checks that src, if there is one, has x's dtype. */
int ad__index_reserve(ad_call *c);
/* For shape rules: *to is x's shape with the axis replaced by index's axes. */
int ad__index_inserted(const ad_call *c, ad_shape *to);
/* For shape rules: index must have x's sizes except along the axis, and src, if there is one, the shape of index. */
int ad__index_per_element(ad_call *c);
/* For evaluate: reads the indices into the saved memory. */
int ad__index_read(const ad_op *op, bool each);
/* A form in C: for each of outer, k and inner, `here`, in an array with one position per index, and `at`, its place in
   the table. What stands behind `if (good)`, and what follows for an index that is none. An index is looked at once for
   a row, or for each element. */
#define AD__AT_INDEX(PER_ELEMENT, INDEX, PER_ROW, THERE, NOWHERE)                                                      \
    "{\nfor (long o = 0; o < outer; o++)\nfor (long j = 0; j < k; j++)" PER_ELEMENT " {\n"                             \
    "const double q = " INDEX ";\nconst int good = q >= -n && q < n && q == (long)q;\n"                                \
    "const long i = good ? (long)q : 0, row = o * n + (i < 0 ? i + n : i);\n" PER_ROW "{\n"                            \
    "const long here = (o * k + j) * inner + b, at = row * inner + b;\n"                                               \
    "if (good) " THERE ";\n" NOWHERE "}\n}\n}"
#define AD__OVER_INNER "for (long b = 0; b < inner; b++) "
#define AD__EACH_ROW(...) AD__AT_INDEX("", "index[j]", AD__OVER_INNER, __VA_ARGS__)
#define AD__EACH_ELEMENT(...)                                                                                          \
    AD__AT_INDEX("\n" AD__OVER_INNER, "index[(o * k + j) * inner + b]", "", __VA_ARGS__)
#define AD__FOR_ROWS(...) AD__EACH_ROW(__VA_ARGS__) /* the arguments are expanded first */
#define AD__FOR_ELEMENTS(...) AD__EACH_ELEMENT(__VA_ARGS__)
#define AD__BAD_PUT "else y[at] = (T)(0.0 / 0.0);\n"
/* For emit of an op that writes: the text changes y, which is x at first, by `index` and `src`. slope: that of src;
   NULL: the slopes are those of the vjp rule. */
int ad__index_put_emit(ad_emit *e, const ad_op *op, bool each, const char *text, const char *slope);
/* The pattern of an op that adds or takes elements; of one that replaces elements, if `replaces`. */
void ad__index_pattern(ad_pattern *p, const ad_op *op, bool each, bool replaces);
/* Applies an op that writes one element for each index. In PyTorch, index may be smaller than x along the other axes,
   and smaller than src along all. The rest of x is left unchanged and the rest of src is not read. */
ad_var *ad__index_write(const ad_optype *type, ad_var *x, ad_var *index, ad_var *src, const void *attrs);

/* Samples: pairs of an x and an index with one element per element, and indices in 0..2 for all of them. */
typedef struct {
    int axis;
    ad_shape x, index;
} ad__index_case;
enum { AD__INDEX_CASES = 8, AD__INDEX_NUMBERS = 24 };
extern const ad__index_case ad__index_cases[AD__INDEX_CASES];
extern const double ad__index_numbers[AD__INDEX_NUMBERS];

#endif
