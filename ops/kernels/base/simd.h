/* simd.h: how a kernel asks the compiler for vector code: clones for several processors, hints for loops. */
#ifndef OPS_KERNELS_BASE_SIMD_H
#define OPS_KERNELS_BASE_SIMD_H

#include "autodiff/autodiff.h"

/* Loops marked AD__CLONES are compiled for AVX-512, AVX2 and the baseline; the loader picks. GCC on
   x86-64 with glibc only: musl's loader cannot pick, clang 14's clones do not link across files, and
   thread sanitizer crashes in the resolvers. A build for one machine (-march=native) has its
   instructions already. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__) &&                          \
    !defined(__SANITIZE_THREAD__) && !defined(__AVX2__)
#define AD__LEVELS
#define AD__CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define AD__CLONES
#endif

/* A part of a kernel that must become part of each of its clones, to be compiled for their instructions. */
#define AD__INLINED static inline __attribute__((always_inline))

/* Before a loop whose arrays are apart or the very same: element i is read before it is written, and
   nothing else is. (restrict would forbid the same.) */
#if defined(__GNUC__) && !defined(__clang__) /* clang takes it for an order, and warns of loops with calls */
#define AD__IN_STEP _Pragma("GCC ivdep")
#else
#define AD__IN_STEP
#endif

/* Before the loop over the lanes of a sum, which are then kept in registers. */
#if defined(__clang__)
#define AD__UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define AD__UNROLL _Pragma("GCC unroll 32")
#else
#define AD__UNROLL
#endif

#endif
