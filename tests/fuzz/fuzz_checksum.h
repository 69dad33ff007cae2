/* fuzz_checksum.h: a safetensors file of any bytes, whose checksum is right. */
#ifndef TESTS_FUZZ_FUZZ_CHECKSUM_H
#define TESTS_FUZZ_FUZZ_CHECKSUM_H

#include "nn/file/checksum.h"
#include "tests/fuzz/fuzz.h"

static inline const char *fuzz_file_with_checksum(const uint8_t *data, size_t size) {
    static const char head[] = "{\"__metadata__\":{\"autodiff.crc32\":\"";
    enum { LENGTH = 8, DIGITS = 8, AT = LENGTH + sizeof head - 1 };
    static uint8_t copy[1 << 16];
    if (size > sizeof copy) size = sizeof copy;
    memcpy(copy, data, size);
    if (size >= AT + DIGITS && memcmp(copy + LENGTH, head, sizeof head - 1) == 0) {
        char digits[DIGITS + 1];
        uint32_t crc = nn__crc32(nn__crc32(0, copy, AT), "00000000", DIGITS);
        snprintf(digits, sizeof digits, "%08lx", (unsigned long)nn__crc32(crc, copy + AT + DIGITS, size - AT - DIGITS));
        memcpy(copy + AT, digits, DIGITS);
    }
    return fuzz_file(copy, size);
}

#endif
