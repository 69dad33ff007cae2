/* archive.h: lets minizip read and write a stream that is open already; private to nn. */
#ifndef NN_FILE_ARCHIVE_H
#define NN_FILE_ARCHIVE_H

#include <stdio.h>

#include <ioapi.h>

static inline voidpf ZCALLBACK nn__archive_open(voidpf stream, const void *name, int mode) {
    (void)name, (void)mode;
    return stream;
}
static inline int ZCALLBACK nn__archive_keep(voidpf stream, voidpf opened) { return (void)stream, (void)opened, 0; }

/* minizip's functions for this stream. It is neither opened nor closed. */
static inline zlib_filefunc64_def nn__archive_calls(FILE *stream) {
    zlib_filefunc64_def calls;
    fill_fopen64_filefunc(&calls);
    calls.zopen64_file = nn__archive_open;
    calls.zclose_file = nn__archive_keep;
    calls.opaque = stream;
    return calls;
}

#endif
