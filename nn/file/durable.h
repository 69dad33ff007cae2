/* durable.h: files that are written completely or not at all; private to nn. */
#ifndef NN_FILE_DURABLE_H
#define NN_FILE_DURABLE_H

#include <stdio.h>

enum { NN__PATH = 4096 };

typedef struct {
    FILE *to;                 /* for the caller's writes. The stream keeps their faults: nn__durable_close tells them */
    char path[NN__PATH];      /* the file to be replaced: behind symbolic links */
    char temporary[NN__PATH]; /* a file of this call alone, in the same folder */
} nn__durable;

/* Opens a temporary file beside path, with the access rights of the file that it will replace, and removes those that
   killed writers of path left. NULL, or the text of a fault; then nothing is open. */
const char *nn__durable_open(nn__durable *d, const char *path);
/* Forces the file to disk and renames it to path, or removes it if this or an earlier write failed. NULL, or the text
   of the first fault. */
const char *nn__durable_close(nn__durable *d);
void nn__durable_drop(nn__durable *d); /* closes and removes it */

#endif
