/* durable.h: files that are written completely or not at all; private to nn. */
#ifndef NN_FILE_DURABLE_H
#define NN_FILE_DURABLE_H

#include <stdio.h>

/* Opens PATH.tmp for writing and writes that name to temporary [size]. NULL, with errno, after a fault. */
FILE *nn__durable_open(const char *path, char *temporary, size_t size);
/* Forces the file to disk and renames it to path, or removes it if this or an earlier write failed. 0, or the errno of
   the first fault. */
int nn__durable_close(FILE *f, const char *temporary, const char *path);
void nn__durable_drop(FILE *f, const char *temporary); /* closes and removes it */

#endif
