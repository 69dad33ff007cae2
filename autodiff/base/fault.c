/* fault.c: faults of files as texts. */
#define _POSIX_C_SOURCE 200809L
#include "autodiff/base/fault.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

const char ad__out_of_memory[] = "out of memory";

const char *ad__fault_of(int error) { return error == ENOMEM ? ad__out_of_memory : strerror(error ? error : EIO); }

const char *ad__mode_fault(unsigned mode) {
    if (S_ISREG(mode)) return NULL;
    return S_ISDIR(mode) ? "is a folder, not a plain file" : "is a device, pipe or socket, not a plain file";
}
