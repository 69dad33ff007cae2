/* fault.c: the error codes of faults. */
#include "nn/file/fault.h"

const char nn__no_zlib[] = "is compressed, and this build has no zlib";

int nn__fault_code(const char *fault) {
    return fault == ad__out_of_memory ? AD_ENOMEM : fault == nn__no_zlib ? AD_EABSENT : AD_EIO;
}
