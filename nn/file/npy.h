/* npy.h: what stands before an array's elements in NumPy's files; private to nn. */
#ifndef NN_FILE_NPY_H
#define NN_FILE_NPY_H

#include "autodiff/autodiff.h"

enum { NN__NPY_HEADER = 320 };
/* Writes the header of an array like x, elements of this machine's byte order, and returns its bytes. */
int nn__npy_header(const ad_var *x, char to[NN__NPY_HEADER]);

#endif
