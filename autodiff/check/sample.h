/* sample.h: what samples and checks agree on; private to the library. */
#ifndef AUTODIFF_CHECK_SAMPLE_H
#define AUTODIFF_CHECK_SAMPLE_H

#include "autodiff/graph/node.h"

enum { AD__SAMPLE_OPERANDS = 16 }; /* the most operands of a sample */

#endif
