/* durable.c: writes a file under a temporary name, forces it to disk and renames it. */
#define _POSIX_C_SOURCE 200809L
#include "nn/file/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

FILE *nn__durable_open(const char *path, char *temporary, size_t size) {
    int n = snprintf(temporary, size, "%s.tmp", path);
    if (n < 0 || (size_t)n >= size) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    FILE *f = fopen(temporary, "wb");
    if (f != NULL) errno = 0; /* a write that fails sets it: see nn__durable_close */
    return f;
}

void nn__durable_drop(FILE *f, const char *temporary) {
    fclose(f);
    unlink(temporary);
}

/* A rename is on disk once the folder is. Some file systems cannot sync a folder: that is no error. */
static void sync_folder(char *path) {
    char *slash = strrchr(path, '/');
    if (slash != NULL) slash[slash == path] = '\0';
    int fd = open(slash != NULL ? path : ".", O_RDONLY);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

int nn__durable_close(FILE *f, const char *temporary, const char *path) {
    char folder[4096];
    int fault = ferror(f) || fflush(f) != 0 || fsync(fileno(f)) != 0 ? (errno ? errno : EIO) : 0;
    if (fclose(f) != 0 && fault == 0) fault = errno;
    if (fault == 0 && rename(temporary, path) != 0) fault = errno;
    if (fault != 0) {
        unlink(temporary);
        return fault;
    }
    snprintf(folder, sizeof folder, "%s", path);
    sync_folder(folder);
    return 0;
}
