/* fault.h: the error code for what went wrong with a file; private to nn. */
#ifndef NN_FILE_FAULT_H
#define NN_FILE_FAULT_H

#include "autodiff/autodiff.h"
#include "autodiff/base/fault.h"

extern const char nn__no_zlib[]; /* one more fault */

int nn__fault_code(const char *fault); /* AD_ENOMEM, AD_EABSENT or AD_EIO */

#endif
