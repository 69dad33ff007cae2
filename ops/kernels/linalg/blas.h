/* blas.h: includes the BLAS and keeps it to the thread that calls it. */
#ifndef OPS_KERNELS_LINALG_BLAS_H
#define OPS_KERNELS_LINALG_BLAS_H

#include <cblas.h>
#include <stdbool.h>

#ifdef OPENBLAS_VERSION

/* Must be called before large products. It stops OpenBLAS from using threads of its own: these are slow beside the
   threads of a graph, and results would depend on their number. It affects the whole process. */
static inline void ad__keep_blas_alone(void) {
    if (openblas_get_num_threads() > 1) openblas_set_num_threads(1);
}

/* True if several threads may call the BLAS at once. A serial OpenBLAS takes its buffers without a lock. */
static inline bool ad__blas_is_reentrant(void) { return openblas_get_parallel() == OPENBLAS_THREAD; }

#else

static inline void ad__keep_blas_alone(void) {}
static inline bool ad__blas_is_reentrant(void) { return true; }

#endif
#endif
