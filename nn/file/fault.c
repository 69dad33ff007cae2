/* fault.c: faults of files as texts. */
#include "nn/file/fault.h"

#include <errno.h>
#include <string.h>

const char nn__no_memory[] = "out of memory";
const char nn__no_zlib[] = "is compressed, and this build has no zlib";

const char *nn__fault_of(int error) { return error == ENOMEM ? nn__no_memory : strerror(error ? error : EIO); }

int nn__fault_code(const char *fault) {
    return fault == nn__no_memory ? AD_ENOMEM : fault == nn__no_zlib ? AD_EABSENT : AD_EIO;
}
