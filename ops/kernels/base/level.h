/* level.h: compiles elementwise loops for several instruction sets, and runs the widest that the processor has. */
#ifndef OPS_KERNELS_BASE_LEVEL_H
#define OPS_KERNELS_BASE_LEVEL_H

#include "ops/kernels/base/simd.h"

/* 2 if this processor has AVX-512, 1 if it has AVX2, else 0. The function has a source file of its own, so that a test
   can replace it. */
#if defined(__GNUC__)
__attribute__((const))
#endif
int ad__level(void);

/* AD__LEVELS_OF(type, f, T, (parameters), body) defines f[], one loop of this type for each level. The body processes
   `count` elements beginning at `from`; both are parameters. The wide loops get whole vectors only (32 or 64 bytes).
   The masks state this to the compiler, which otherwise adds a remainder loop several times larger than the loop. */
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

/* Runs the loops f[] over n elements of the given size: the widest on whole vectors, narrower ones on the remainder. */
#define AD__RUN(f, n, size, ...)                                                                                       \
    for (int64_t level_ = ad__level(), from_ = 0, count_; from_ < (n); level_--, from_ += count_) {                    \
        count_ = (n) - from_;                                                                                          \
        if (level_ > 0) count_ &= -((int64_t)((size) == sizeof(float) ? 4 : 2) << level_);                             \
        if (count_ > 0) (f)[level_](from_, count_, __VA_ARGS__);                                                       \
    }

#endif
