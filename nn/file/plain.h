/* plain.h: opens plain files only: a pipe may block for ever, and some devices never end; private to nn. */
#ifndef NN_FILE_PLAIN_H
#define NN_FILE_PLAIN_H

#include <stdio.h>

/* A descriptor for reading. -1 after a fault, whose text is *fault. */
int nn__plain_fd(const char *path, const char **fault);
FILE *nn__plain_open(const char *path, const char **fault); /* the same as a stream, or NULL */

#endif
