/* npy.h: the header of NumPy's array files; private to nn. */
#ifndef NN_FILE_NPY_H
#define NN_FILE_NPY_H

#include "autodiff/autodiff.h"

enum { NN__NPY_HEADER = 320 };
/* Writes the header of an array like x, with elements in this machine's byte order, and returns its size in bytes. */
int nn__npy_header(const ad_var *x, char to[NN__NPY_HEADER]);

#endif
