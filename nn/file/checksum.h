/* checksum.h: CRC-32, the checksum of zip archives and of our safetensors files; private to nn. */
#ifndef NN_FILE_CHECKSUM_H
#define NN_FILE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of bytes that follow those with the checksum `before`, which is 0 at the beginning. */
uint32_t nn__crc32(uint32_t before, const void *bytes, size_t n);

#endif
