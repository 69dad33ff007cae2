/* zip.h: reads the files in a zip archive, stored or deflated, after PKWARE's APPNOTE.TXT; private to nn. */
#ifndef NN_FILE_ZIP_H
#define NN_FILE_ZIP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef AD_HAVE_ZLIB
#include <zlib.h>
#endif

/* Signatures of the records, and the bytes of their fixed parts. */
enum {
    NN__ZIP_LOCAL = 0x04034b50,
    NN__ZIP_ENTRY = 0x02014b50,
    NN__ZIP_END = 0x06054b50,
    NN__ZIP64_END = 0x06064b50,
    NN__ZIP64_PLACE = 0x07064b50,
    NN__ZIP_LOCAL_SIZE = 30,
    NN__ZIP_ENTRY_SIZE = 46,
    NN__ZIP_END_SIZE = 22,
    NN__ZIP64_END_SIZE = 56,
    NN__ZIP64_PLACE_SIZE = 20
};

/* One file of an archive, open for reading. */
typedef struct {
    FILE *from;
    int64_t size;           /* bytes of the file */
    const char *fault;      /* of reading; NULL: none */
    int64_t left;           /* bytes of the archive that were not read yet */
    uint32_t crc, expected; /* checksums: of what was read, and of the archive */
    bool deflated, ended;
#ifdef AD_HAVE_ZLIB
    z_stream stream;
    unsigned char packed[4 << 10];
#endif
} nn__member;

/* Finds a file by its name. NULL, or a fault; then nothing is open. Faults are texts of fault.h or static ones. */
const char *nn__member_open(nn__member *m, FILE *archive, const char *name);
/* An nn__read_fn. */
int nn__member_read(void *member, int n, void *to);
/* NULL if the file was read to its end and its checksum is right, otherwise a fault. */
const char *nn__member_close(nn__member *m);

#endif
