/* plain.c: opens files for reading, and refuses folders, devices, pipes and sockets. */
#define _POSIX_C_SOURCE 200809L
#include "nn/file/plain.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/file/fault.h"

/* Looks before it opens, since opening a pipe wakes its writer and opening a device may move it. The second look is
   for a file that was replaced in between. */
int nn__plain_fd(const char *path, const char **fault) {
    struct stat about;
    *fault = stat(path, &about) != 0 ? ad__fault_of(errno) : ad__mode_fault(about.st_mode);
    if (*fault != NULL) return -1;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    *fault = fd < 0 || fstat(fd, &about) != 0 ? ad__fault_of(errno) : ad__mode_fault(about.st_mode);
    if (*fault == NULL) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

FILE *nn__plain_open(const char *path, const char **fault) {
    int fd = nn__plain_fd(path, fault);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
    if (fd < 0 || f != NULL) return f;
    *fault = ad__fault_of(errno);
    close(fd);
    return NULL;
}
