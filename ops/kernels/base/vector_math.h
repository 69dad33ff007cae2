/* vector_math.h: declares type-generic math functions so that loops over them can be vectorised with glibc's libmvec.

   Include it first in a source file. libmvec has SSE, AVX2 and AVX-512 versions of these functions, with errors of at
   most 4 ulp and correct special values. math.h declares them for loops only under -ffast-math, which breaks infinities
   elsewhere; so they are declared again here. */
#ifndef OPS_KERNELS_BASE_VECTOR_MATH_H
#define OPS_KERNELS_BASE_VECTOR_MATH_H

#include <math.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__) &&                          \
    !defined(__SANITIZE_THREAD__)
#if __GLIBC_PREREQ(2, 35)
#define AD__SIMD __attribute__((simd("notinbranch"), const))
#define AD__SIMD1(name)                                                                                                \
    AD__SIMD double name(double);                                                                                      \
    AD__SIMD float name##f(float);
#define AD__SIMD2(name)                                                                                                \
    AD__SIMD double name(double, double);                                                                              \
    AD__SIMD float name##f(float, float);
AD__SIMD1(exp) AD__SIMD1(exp2) AD__SIMD1(expm1) AD__SIMD1(log) AD__SIMD1(log2) AD__SIMD1(log10) AD__SIMD1(log1p)
AD__SIMD1(sin) AD__SIMD1(cos) AD__SIMD1(tan) AD__SIMD1(asin) AD__SIMD1(acos) AD__SIMD1(atan)
AD__SIMD1(sinh) AD__SIMD1(cosh) AD__SIMD1(tanh) AD__SIMD1(asinh) AD__SIMD1(acosh) AD__SIMD1(atanh)
AD__SIMD1(erf) AD__SIMD1(erfc) AD__SIMD1(cbrt)
AD__SIMD2(pow) AD__SIMD2(atan2) AD__SIMD2(hypot)
#endif
#endif

/* musl's functions for WebAssembly are scalar. tgmath.h calls these, declared above, by their names. */
#if defined(__wasm_simd128__)
#include "ops/kernels/base/plain_math.h"
#define expf ad__plain_expf
#define tanhf ad__plain_tanhf
#endif

#include <tgmath.h>

#include "ops/kernels/base/formula.h"

#endif
