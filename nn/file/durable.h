/* durable.h: files that are there whole or not at all; private to nn. */
#ifndef NN_FILE_DURABLE_H
#define NN_FILE_DURABLE_H

#include <stdio.h>

/* Opens PATH.tmp for writing; NULL, with errno, where that fails. temporary has room for size characters. */
FILE *nn__durable_open(const char *path, char *temporary, size_t size);
/* Forces what was written to the disk and renames it to path; where that or an earlier write failed, removes it.
   0, or the errno of the first fault. */
int nn__durable_close(FILE *f, const char *temporary, const char *path);
void nn__durable_drop(FILE *f, const char *temporary); /* gives up: removes it */

#endif
