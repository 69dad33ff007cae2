/* checksum.c: CRC-32, through zlib where the build has it. */
#include "nn/file/checksum.h"

#ifdef AD_HAVE_ZLIB
#include <zlib.h>

/* In pieces, since zlib counts bytes in an unsigned. */
uint32_t nn__crc32(uint32_t before, const void *bytes, size_t n) {
    enum { PIECE = 1 << 30 };
    const unsigned char *at = bytes;
    uLong crc = before;
    if (n == 0) return before; /* zlib takes NULL for a new beginning */
    for (; n > PIECE; n -= PIECE, at += PIECE) crc = crc32(crc, at, PIECE);
    return (uint32_t)crc32(crc, at, (uInt)n);
}

#else

/* Four bits at a time: the remainders of 0 to 15 by the polynomial 0xedb88320. */
uint32_t nn__crc32(uint32_t before, const void *bytes, size_t n) {
    static const uint32_t of[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                     0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                     0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };
    const unsigned char *at = bytes;
    uint32_t crc = ~before;
    for (; n > 0; n--, at++) {
        crc = crc >> 4 ^ of[(crc ^ *at) & 15];
        crc = crc >> 4 ^ of[(crc ^ (uint32_t)(*at >> 4)) & 15];
    }
    return ~crc;
}

#endif
