/* loops.h: loops that apply a formula for one element to arrays. */
#ifndef OPS_KERNELS_ELEMENTWISE_LOOPS_H
#define OPS_KERNELS_ELEMENTWISE_LOOPS_H

#include "ops/kernels/base/level.h"

enum { AD__OPERANDS = 3 }; /* the largest number of operands of an elementwise op */

typedef void ad__any_fn(void); /* stands for the type of another function */
typedef struct ad__arrays ad__arrays;
typedef void ad__loop(int64_t count, const ad__arrays *p);

/* The arguments of a loop: contiguous arrays of one dtype. A value loop writes y. A slope loop, by one operand, writes
   to = base + slope; to may be base or g. */
struct ad__arrays {
    const double *k; /* the op's parameters, or NULL */
    const void *in[AD__OPERANDS];
    void *y;
    const void *g; /* the cotangent */
    const void *base;
    void *to;
    ad__any_fn *of_one; /* for the loops that call a formula of n operands by its pointer: a value_fn or a slope_fn */
    int n;
};

/* Runs loops[] over n elements of this size: the widest one on whole vectors, narrower ones on the remainder. Operands
   that the loops do not read are NULL, and g, base and to of value loops. The pointers move on. */
void ad__run_loops(ad__loop *const loops[], int64_t n, size_t size, ad__arrays *p);

typedef float f32;
typedef double f64;

#define KERNELS "ops/kernels/elementwise/loops.inc"
#include "ops/kernels/base/each_dtype.h"

/* These call p->of_one. */
ad__loop ad__values_one_by_one_f32, ad__values_one_by_one_f64, ad__slopes_one_by_one_f32, ad__slopes_one_by_one_f64;

/* Define loops[], for all levels. F: f32 or f64; n: the number of operands; value, slope: a function of one element. */
#define AD__VALUE_LOOPS(loops, F, n, value)                                                                            \
    AD__LEVELS_OF(ad__loop, loops, F, const ad__arrays *p, ad__value_loop_##F(value, n, count, p);)
#define AD__SLOPE_LOOPS(loops, F, n, slope)                                                                            \
    AD__LEVELS_OF(ad__loop, loops, F, const ad__arrays *p, ad__slope_loop_##F(slope, n, count, p);)
/* The same without loops for AVX-512. */
#define AD__NARROW_VALUE_LOOPS(loops, F, n, value)                                                                     \
    AD__NARROW_LEVELS_OF(ad__loop, loops, F, const ad__arrays *p, ad__value_loop_##F(value, n, count, p);)
#define AD__NARROW_SLOPE_LOOPS(loops, F, n, slope)                                                                     \
    AD__NARROW_LEVELS_OF(ad__loop, loops, F, const ad__arrays *p, ad__slope_loop_##F(slope, n, count, p);)
/* The same without loops of their own for single elements, with and without AVX-512. */
#define AD__VECTOR_VALUE_LOOPS(loops, F, n, value)                                                                     \
    AD__VECTOR_LEVELS_OF(ad__loop, loops, F, ad__values_one_by_one_##F, const ad__arrays *p,                           \
                         ad__value_loop_##F(value, n, count, p);)
#define AD__VECTOR_SLOPE_LOOPS(loops, F, n, slope)                                                                     \
    AD__VECTOR_LEVELS_OF(ad__loop, loops, F, ad__slopes_one_by_one_##F, const ad__arrays *p,                           \
                         ad__slope_loop_##F(slope, n, count, p);)
#define AD__NARROW_VECTOR_VALUE_LOOPS(loops, F, n, value)                                                              \
    AD__NARROW_VECTOR_LEVELS_OF(ad__loop, loops, F, ad__values_one_by_one_##F, const ad__arrays *p,                    \
                                ad__value_loop_##F(value, n, count, p);)
#define AD__NARROW_VECTOR_SLOPE_LOOPS(loops, F, n, slope)                                                              \
    AD__NARROW_VECTOR_LEVELS_OF(ad__loop, loops, F, ad__slopes_one_by_one_##F, const ad__arrays *p,                    \
                                ad__slope_loop_##F(slope, n, count, p);)
/* No loops of their own at all. */
#define AD__NO_VALUE_LOOPS(loops, F, n, value) AD__ONE_BY_ONE_LOOPS(loops, ad__values_one_by_one_##F)
#define AD__NO_SLOPE_LOOPS(loops, F, n, slope) AD__ONE_BY_ONE_LOOPS(loops, ad__slopes_one_by_one_##F)
#define AD__ONE_BY_ONE_LOOPS(loops, all) static ad__loop *const loops[] = { all, all, all };

#endif
