/* level.h: elementwise loops compiled for several processors, and running the widest that this one has. */
#ifndef OPS_KERNELS_BASE_LEVEL_H
#define OPS_KERNELS_BASE_LEVEL_H

#include "ops/kernels/base/simd.h"

/* 2 where this processor has AVX-512, 1 for AVX2, else 0. It stands in a file of its own, so that a test
   can put another in its place. */
#if defined(__GNUC__)
__attribute__((const))
#endif
int ad__level(void);

/* AD__LEVELS_OF(type, f, T, (parameters), body) defines f[], a loop of this type for each level; the body works on
   count elements beginning at from, which are among the parameters. The wide loops are for whole vectors: to each the
   compiler would add code for what is left, several times the loop itself. So they say that count is a multiple of a
   vector, which it is; 32 and 64 are the bytes of one. */
#ifdef AD__LEVELS
#define AD__LEVELS_OF(type, f, T_, PARAMETERS, ...)                                                                    \
    static void f##_base PARAMETERS { __VA_ARGS__ }                                                                    \
    __attribute__((target("arch=x86-64-v3"))) static void f##_avx2 PARAMETERS {                                        \
        count &= -(int64_t)(32 / sizeof(T_));                                                                          \
        __VA_ARGS__                                                                                                    \
    }                                                                                                                  \
    __attribute__((target("arch=x86-64-v4"))) static void f##_avx512 PARAMETERS {                                      \
        count &= -(int64_t)(64 / sizeof(T_));                                                                          \
        __VA_ARGS__                                                                                                    \
    }                                                                                                                  \
    static type *const f[] = { f##_base, f##_avx2, f##_avx512 };
#else
#define AD__LEVELS_OF(type, f, T_, PARAMETERS, ...)                                                                    \
    static void f##_base PARAMETERS { __VA_ARGS__ }                                                                    \
    static type *const f[] = { f##_base };
#endif

#define AD__FROM(T_, p) ((const T_ *)(p) + from)

/* Runs the widest of the loops f[] that it can over n elements of so many bytes, and narrower ones for the rest. */
#define AD__RUN(f, n, size, ...)                                                                                       \
    for (int64_t level_ = ad__level(), from_ = 0, count_; from_ < (n); level_--, from_ += count_) {                    \
        count_ = (n) - from_;                                                                                          \
        if (level_ > 0) count_ &= -((int64_t)((size) == sizeof(float) ? 4 : 2) << level_);                             \
        if (count_ > 0) (f)[level_](from_, count_, __VA_ARGS__);                                                       \
    }

#endif
