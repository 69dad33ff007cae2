/* native.h: C source compiled by the system's compiler and loaded; private to this folder. */
#ifndef OPS_COMPILE_NATIVE_H
#define OPS_COMPILE_NATIVE_H

#include <stddef.h>

#include "ops/compile.h"

typedef struct ad__host ad__host;
struct ad__host {
    int (*call)(ad__host *h, long op, void **at);
    /* By dtype: C [n,m] = A B, or C + A B, row-major; see ops/kernels/linalg/gemm.h. */
    void (*gemm[2])(int ta, int tb, long n, long m, long k, const void *a, const void *b, int adds, void *c);
};
typedef int ad__native(const void *const *in, const void *const *leaf, void *const *out, unsigned char *work,
                       ad__host *host);

/* Compiles the source, or finds it in the cache, and loads its function ad_program_run. Returns NULL and writes the
   reason if it fails. *handle is for ad__native_close. */
ad__native *ad__native_load(const char *source, ad_compile_opts o, void **handle, char *reason, size_t size);
void ad__native_close(void *handle);

#endif
