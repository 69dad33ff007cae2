/* sample.h: limits that samples and checks share; private to the library. */
#ifndef AUTODIFF_CHECK_SAMPLE_H
#define AUTODIFF_CHECK_SAMPLE_H

#include "autodiff/graph/node.h"

enum { AD__SAMPLE_OPERANDS = 16 }; /* the largest number of operands of a sample */

#endif
