/* simd.h: attributes and pragmas that make the compiler vectorise a kernel for several instruction sets. */
#ifndef OPS_KERNELS_BASE_SIMD_H
#define OPS_KERNELS_BASE_SIMD_H

#include "autodiff/autodiff.h"
#include "autodiff/base/floating.h"

/* Functions marked AD__CLONES are compiled for AVX-512, AVX2 and the baseline, and the loader selects one. This needs
   GCC on x86-64 with glibc: musl's loader cannot select, clones of clang 14 do not link across files, and
   ThreadSanitizer crashes in the resolvers. A build for one machine (-march=native) needs no clones. With AD__COUNTED
   every function is compiled once, so that `make coverage` counts each of its branches once.
   Kernels that wait for memory, that copy single elements, or that few programs use in f64, are as fast with AVX2 and
   have no form for AVX-512: AD__NARROW_CLONES, and AD__K_CLONES for the f64 kernels alone. Functions that are not
   called where ad__level() is 0 have no other form than AD__WITH_AVX2. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__) &&                          \
    !defined(__SANITIZE_THREAD__) && !defined(__AVX2__) && !defined(AD__COUNTED)
#define AD__LEVELS
#define AD__CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define AD__NARROW_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#define AD__WITH_AVX2 __attribute__((target("arch=x86-64-v3")))
#else
#define AD__CLONES
#define AD__NARROW_CLONES
#define AD__WITH_AVX2
#endif

/* A function that must be inlined into each clone of a kernel, so that it is compiled for the clone's instructions. */
#ifdef AD__COUNTED
#define AD__INLINED static inline
#else
#define AD__INLINED static inline __attribute__((always_inline))
#endif

/* Put before a loop whose arrays are either disjoint or identical: each iteration reads element i before it writes it
   and accesses no other. Identical arrays rule out restrict. */
#if defined(__clang__)
#define AD__IN_STEP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define AD__IN_STEP _Pragma("GCC ivdep")
#else
#define AD__IN_STEP
#endif

/* The same before a loop that must be one of vectors where it has a form for one instruction set only. GCC's cost model
   of -O2 would leave it as it is, since the number of iterations may not be whole vectors. */
#if !defined(AD__LEVELS) && defined(AD_OMP_SIMD) && !defined(__clang__)
#define AD__SIMD_IN_STEP _Pragma("omp simd")
#else
#define AD__SIMD_IN_STEP AD__IN_STEP
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
