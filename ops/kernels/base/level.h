/* level.h: compiles loops for several instruction sets, of which the widest that the processor has runs. */
#ifndef OPS_KERNELS_BASE_LEVEL_H
#define OPS_KERNELS_BASE_LEVEL_H

#include "ops/kernels/base/simd.h"

/* The level of the widest loops that this processor can run. Loops above level 0 process whole vectors only. The
   function has a source file of its own, so that a test can replace it. */
#if defined(__GNUC__)
__attribute__((const))
#endif
int ad__level(void);

/* AD__LEVELS_OF(type, f, T, parameter, body) defines f[], one loop of this type for each level, a function of `count`
   and of the parameter. The body processes count elements of type T. The masks state to the compiler that there are
   whole vectors only. It otherwise adds a remainder loop several times larger than the loop or, with the cost model of
   -O2, makes no vector loop at all, which is wanted at level 0 where there are others. */
#ifdef AD__LEVELS
enum { AD__HIGHEST_LEVEL = 2, AD__LEVEL_BYTES = 16 }; /* a vector of level i has AD__LEVEL_BYTES << i bytes */
#define AD__LOOP_BASE(f, PARAMETER, ...) static void f##_base(int64_t count, PARAMETER) { __VA_ARGS__ }
#define AD__LOOP_AVX2(f, T_, PARAMETER, ...)                                                                           \
    __attribute__((target("arch=x86-64-v3"))) static void f##_avx2(int64_t count, PARAMETER) {                         \
        count &= -(int64_t)(32 / sizeof(T_));                                                                          \
        __VA_ARGS__                                                                                                    \
    }
#define AD__LOOP_AVX512(f, T_, PARAMETER, ...)                                                                         \
    __attribute__((target("arch=x86-64-v4"))) static void f##_avx512(int64_t count, PARAMETER) {                       \
        count &= -(int64_t)(64 / sizeof(T_));                                                                          \
        __VA_ARGS__                                                                                                    \
    }
#define AD__LEVELS_OF(type, f, T_, PARAMETER, ...)                                                                     \
    AD__LOOP_BASE(f, PARAMETER, __VA_ARGS__)                                                                           \
    AD__LOOP_AVX2(f, T_, PARAMETER, __VA_ARGS__)                                                                       \
    AD__LOOP_AVX512(f, T_, PARAMETER, __VA_ARGS__)                                                                     \
    static type *const f[] = { f##_base, f##_avx2, f##_avx512 };
/* The same for loops that wait for memory: AVX-512 has no loops of its own. */
#define AD__NARROW_LEVELS_OF(type, f, T_, PARAMETER, ...)                                                              \
    AD__LOOP_BASE(f, PARAMETER, __VA_ARGS__)                                                                           \
    AD__LOOP_AVX2(f, T_, PARAMETER, __VA_ARGS__)                                                                       \
    static type *const f[] = { f##_base, f##_avx2, f##_avx2 };
/* Both with another function at level 0, which several share. */
#define AD__VECTOR_LEVELS_OF(type, f, T_, REST, PARAMETER, ...)                                                        \
    AD__LOOP_AVX2(f, T_, PARAMETER, __VA_ARGS__)                                                                       \
    AD__LOOP_AVX512(f, T_, PARAMETER, __VA_ARGS__)                                                                     \
    static type *const f[] = { REST, f##_avx2, f##_avx512 };
#define AD__NARROW_VECTOR_LEVELS_OF(type, f, T_, REST, PARAMETER, ...)                                                 \
    AD__LOOP_AVX2(f, T_, PARAMETER, __VA_ARGS__)                                                                       \
    static type *const f[] = { REST, f##_avx2, f##_avx2 };
#else
/* One loop, with the vectors of the instruction set that the whole library is compiled for. */
enum { AD__HIGHEST_LEVEL = 0, AD__LEVEL_BYTES = 16 };
#define AD__LEVELS_OF(type, f, T_, PARAMETER, ...)                                                                     \
    static void f##_base(int64_t count, PARAMETER) { __VA_ARGS__ }                                                     \
    static type *const f[] = { f##_base };
#define AD__NARROW_LEVELS_OF AD__LEVELS_OF
#define AD__VECTOR_LEVELS_OF(type, f, T_, REST, PARAMETER, ...) AD__LEVELS_OF(type, f, T_, PARAMETER, __VA_ARGS__)
#define AD__NARROW_VECTOR_LEVELS_OF AD__VECTOR_LEVELS_OF
#endif

#endif
