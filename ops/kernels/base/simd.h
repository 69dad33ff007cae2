/* simd.h: attributes and pragmas that make the compiler vectorise a kernel for several instruction sets. */
#ifndef OPS_KERNELS_BASE_SIMD_H
#define OPS_KERNELS_BASE_SIMD_H

#include "autodiff/autodiff.h"
#include "autodiff/base/floating.h"

/* Functions marked AD__CLONES are compiled for AVX-512, AVX2 and the baseline, and the loader selects one. This needs
   GCC on x86-64 with glibc: musl's loader cannot select, clones of clang 14 do not link across files, and
   ThreadSanitizer crashes in the resolvers. A build for one machine (-march=native) needs no clones. With AD__COUNTED
   every function is compiled once, so that `make coverage` counts each of its branches once. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__) &&                          \
    !defined(__SANITIZE_THREAD__) && !defined(__AVX2__) && !defined(AD__COUNTED)
#define AD__LEVELS
#define AD__CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define AD__CLONES
#endif

/* A function that must be inlined into each clone of a kernel, so that it is compiled for the clone's instructions. */
#ifdef AD__COUNTED
#define AD__INLINED static inline
#else
#define AD__INLINED static inline __attribute__((always_inline))
#endif

/* Put before a loop whose arrays are either disjoint or identical: each iteration reads element i before it writes it
   and accesses no other. Identical arrays rule out restrict. */
#if defined(__GNUC__) && !defined(__clang__) /* clang warns if it cannot vectorise the loop */
#define AD__IN_STEP _Pragma("GCC ivdep")
#else
#define AD__IN_STEP
#endif

/* Put before the loop over the lanes of a sum, so that the lanes stay in registers. */
#if defined(__clang__)
#define AD__UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define AD__UNROLL _Pragma("GCC unroll 32")
#else
#define AD__UNROLL
#endif

#endif
