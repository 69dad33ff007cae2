/* blas.h: the BLAS, kept to the thread that calls it. */
#ifndef OPS_KERNELS_LINALG_BLAS_H
#define OPS_KERNELS_LINALG_BLAS_H

#include <cblas.h>
#include <stdbool.h>

#ifdef OPENBLAS_VERSION

/* Before calls that an OpenBLAS would share among threads of its own: beside ours these are slow, and results
   would depend on their number. This holds for the whole process. */
static inline void ad__keep_blas_alone(void) {
    if (openblas_get_num_threads() > 1) openblas_set_num_threads(1);
}

/* Whether several threads may call it at once. A serial OpenBLAS takes its buffers without a lock. */
static inline bool ad__blas_is_reentrant(void) { return openblas_get_parallel() == OPENBLAS_THREAD; }

#else

static inline void ad__keep_blas_alone(void) {}
static inline bool ad__blas_is_reentrant(void) { return true; }

#endif
#endif
