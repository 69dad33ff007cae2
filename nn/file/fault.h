/* fault.h: what went wrong with a file, as a text, and the error code for it; private to nn. */
#ifndef NN_FILE_FAULT_H
#define NN_FILE_FAULT_H

#include "autodiff/autodiff.h"

/* A fault is the text of an errno, or one of these. NULL: no fault. */
extern const char nn__no_memory[];
extern const char nn__no_zlib[];

const char *nn__fault_of(int error);   /* the fault of an errno; 0 counts as EIO */
int nn__fault_code(const char *fault); /* AD_ENOMEM, AD_EABSENT or AD_EIO */

#endif
