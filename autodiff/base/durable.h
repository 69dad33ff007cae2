/* durable.h: files that are written completely or not at all; private to the library. */
#ifndef AUTODIFF_BASE_DURABLE_H
#define AUTODIFF_BASE_DURABLE_H

#include <stdio.h>

enum { AD__PATH = 4096 };

typedef struct {
    FILE *to;                 /* for the caller's writes. The stream keeps their faults: ad__durable_close tells them */
    char path[AD__PATH];      /* the file to be replaced: behind symbolic links */
    char temporary[AD__PATH]; /* a file of this call alone, in the same folder */
} ad__durable;

/* Opens a temporary file beside path, with the access rights of the file that it will replace, and removes those that
   killed writers of path left. NULL, or the text of a fault; then nothing is open. */
const char *ad__durable_open(ad__durable *d, const char *path);
/* Forces the file to disk and renames it to path, or removes it if this or an earlier write failed. NULL, or the text
   of the first fault. */
const char *ad__durable_close(ad__durable *d);
/* The same for n files: all are on disk before one is renamed. After a fault of files[*at], those that are not renamed
   yet are removed. */
const char *ad__durable_close_all(int n, ad__durable files[], int *at);
void ad__durable_drop(ad__durable *d); /* closes and removes it */

#endif
