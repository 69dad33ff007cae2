/* zip.c: reads the files in a zip archive. The directory at the end says where each one begins. */
#define _POSIX_C_SOURCE 200809L
#include "nn/file/zip.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "nn/file/bytes.h"
#include "nn/file/checksum.h"
#include "nn/file/fault.h"

static const char DAMAGED[] = "is damaged", NO_ARCHIVE[] = "is not an archive";

static uint64_t at(const unsigned char *record, int offset, int size) {
    return nn__uint_of(record + offset, size, false);
}

/* ---- the directory ----------------------------------------------------------------------------------- */

typedef struct {
    FILE *from;
    int64_t begin, end; /* of the directory, in the file */
    int64_t base;       /* bytes before the archive, such as a program that unpacks it */
    uint64_t entries;
} directory;

static bool read_at(FILE *f, int64_t place, void *to, size_t n) {
    return fseeko(f, (off_t)place, SEEK_SET) == 0 && fread(to, 1, n, f) == n;
}

static const char *reading_fault(FILE *f) { return ferror(f) ? ad__fault_of(errno) : DAMAGED; }

/* The place of the last record, which a comment of up to 65535 bytes may follow; -1 if there is none. */
static int64_t find_end(FILE *f, int64_t size, unsigned char end[NN__ZIP_END_SIZE]) {
    enum { STEP = 4096, FIXED = NN__ZIP_END_SIZE, COMMENT = 65535 };
    unsigned char window[STEP + FIXED];
    int64_t last = size - FIXED, first = last > COMMENT ? last - COMMENT : 0;
    for (int64_t high = last; high >= first; high -= STEP) {
        int64_t low = high - STEP + 1 > first ? high - STEP + 1 : first;
        if (!read_at(f, low, window, (size_t)(high - low + FIXED))) return -1;
        for (int64_t i = high; i >= low; i--) {
            memcpy(end, window + (i - low), FIXED);
            if (at(end, 0, 4) == NN__ZIP_END && (int64_t)at(end, 20, 2) == last - i) return i;
        }
    }
    return -1;
}

/* Large archives have a second record with wide numbers, and another that says where it is. */
static const char *find_wide(directory *d, int64_t end) {
    unsigned char place[NN__ZIP64_PLACE_SIZE], wide[NN__ZIP64_END_SIZE];
    int64_t before = end - (int64_t)sizeof place;
    if (before < 0 || !read_at(d->from, before, place, sizeof place) || at(place, 0, 4) != NN__ZIP64_PLACE)
        return DAMAGED;
    uint64_t where = at(place, 8, 8);
    if (where > (uint64_t)before || !read_at(d->from, (int64_t)where, wide, sizeof wide) ||
        at(wide, 0, 4) != NN__ZIP64_END)
        return DAMAGED;
    uint64_t begin = at(wide, 48, 8), size = at(wide, 40, 8);
    if (begin > where || size > where - begin) return DAMAGED;
    *d = (directory){ d->from, (int64_t)begin, (int64_t)(begin + size), 0, at(wide, 32, 8) };
    return NULL;
}

static const char *find_directory(directory *d) {
    unsigned char record[NN__ZIP_END_SIZE];
    struct stat about;
    if (fstat(fileno(d->from), &about) != 0) return ad__fault_of(errno);
    int64_t end = find_end(d->from, about.st_size, record);
    if (end < 0) return ferror(d->from) ? ad__fault_of(errno) : NO_ARCHIVE;
    uint64_t n = at(record, 10, 2), size = at(record, 12, 4), begin = at(record, 16, 4);
    if (n == UINT16_MAX || size == UINT32_MAX || begin == UINT32_MAX) return find_wide(d, end);
    if (begin + size > (uint64_t)end) return DAMAGED;
    d->base = end - (int64_t)(begin + size);
    d->begin = end - (int64_t)size;
    d->end = end;
    d->entries = n;
    return NULL;
}

/* ---- one entry --------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t packed, size, place; /* bytes in the archive, bytes of the file, place of its first record */
    uint32_t crc;
    int flags, method;
    int name, extra, comment; /* bytes behind the fixed part */
} entry;

static entry entry_of(const unsigned char *record) {
    return (entry){ .flags = (int)at(record, 8, 2),
                    .method = (int)at(record, 10, 2),
                    .crc = (uint32_t)at(record, 16, 4),
                    .packed = at(record, 20, 4),
                    .size = at(record, 24, 4),
                    .name = (int)at(record, 28, 2),
                    .extra = (int)at(record, 30, 2),
                    .comment = (int)at(record, 32, 2),
                    .place = at(record, 42, 4) };
}

/* Numbers that do not fit their field stand in a field of the kind 1 behind the name, in this order. */
static const char *read_wide(entry *e, FILE *f, int64_t place) {
    uint64_t *const wide[] = { &e->size, &e->packed, &e->place };
    unsigned char head[4], number[8];
    for (int64_t from = place, end = place + e->extra; from + 4 <= end; from += 4 + (int64_t)at(head, 2, 2)) {
        if (!read_at(f, from, head, sizeof head)) return reading_fault(f);
        int left = (int)at(head, 2, 2);
        if (at(head, 0, 2) != 1) continue;
        if (from + 4 + left > end) return DAMAGED;
        for (int i = 0; i < 3; i++) {
            if (*wide[i] != UINT32_MAX) continue;
            if ((left -= 8) < 0) return DAMAGED;
            if (fread(number, 1, sizeof number, f) != sizeof number) return reading_fault(f);
            *wide[i] = at(number, 0, 8);
        }
        return NULL;
    }
    return NULL;
}

/* Whether the name in the file, at its present place, is this one; *fault where it cannot be read. */
static bool has_name(FILE *f, const char *name, int n, const char **fault) {
    char bytes[256];
    if (strlen(name) != (size_t)n || n > (int)sizeof bytes) return false;
    if (fread(bytes, 1, (size_t)n, f) == (size_t)n) return memcmp(bytes, name, (size_t)n) == 0;
    *fault = reading_fault(f);
    return false;
}

static const char *find_entry(const directory *d, const char *name, entry *e) {
    unsigned char record[NN__ZIP_ENTRY_SIZE];
    const char *fault = NULL;
    int64_t from = d->begin, size = sizeof record;
    for (uint64_t i = 0; i < d->entries; i++, from += size + e->name + e->extra + e->comment) {
        if (from + size > d->end) return DAMAGED;
        if (!read_at(d->from, from, record, sizeof record)) return reading_fault(d->from);
        if (at(record, 0, 4) != NN__ZIP_ENTRY) return DAMAGED;
        *e = entry_of(record);
        if (has_name(d->from, name, e->name, &fault)) return read_wide(e, d->from, from + size + e->name);
        if (fault != NULL) return fault;
    }
    return "is not in the archive";
}

/* The record before the bytes must agree with the entry; *begin is where the bytes begin. */
static const char *check_local(const directory *d, const entry *e, const char *name, int64_t *begin) {
    unsigned char record[NN__ZIP_LOCAL_SIZE];
    const char *fault = NULL;
    uint64_t before = (uint64_t)(d->begin - d->base);
    if (e->place > before || e->packed > before - e->place) return DAMAGED;
    int64_t place = d->base + (int64_t)e->place;
    if (!read_at(d->from, place, record, sizeof record)) return reading_fault(d->from);
    if (at(record, 0, 4) != NN__ZIP_LOCAL || (int)at(record, 8, 2) != e->method) return DAMAGED;
    if (!has_name(d->from, name, (int)at(record, 26, 2), &fault)) return fault ? fault : DAMAGED;
    *begin = place + (int64_t)sizeof record + e->name + (int64_t)at(record, 28, 2);
    return (uint64_t)*begin + e->packed <= (uint64_t)d->begin ? NULL : DAMAGED;
}

/* ---- the bytes --------------------------------------------------------------------------------------- */

#ifdef AD_HAVE_ZLIB

static const char *inflate_begin(nn__member *m) {
    memset(&m->stream, 0, sizeof m->stream);
    int rc = inflateInit2(&m->stream, -MAX_WBITS);
    return rc == Z_OK ? NULL : rc == Z_MEM_ERROR ? ad__out_of_memory : DAMAGED;
}

/* More bytes of the archive, where all were used. */
static bool fill(nn__member *m) {
    if (m->stream.avail_in > 0 || m->left == 0) return true;
    size_t n = m->left < (int64_t)sizeof m->packed ? (size_t)m->left : sizeof m->packed;
    if (fread(m->packed, 1, n, m->from) != n) return m->fault = reading_fault(m->from), false;
    m->left -= (int64_t)n;
    m->stream.next_in = m->packed;
    m->stream.avail_in = (uInt)n;
    return true;
}

static int inflate_some(nn__member *m, int n, void *to) {
    m->stream.next_out = to;
    m->stream.avail_out = (uInt)n;
    while (m->stream.avail_out > 0 && !m->ended) {
        if (!fill(m)) return -1;
        int rc = inflate(&m->stream, Z_NO_FLUSH);
        m->ended = rc == Z_STREAM_END;
        if (rc != Z_OK && rc != Z_STREAM_END) return m->fault = rc == Z_MEM_ERROR ? ad__out_of_memory : DAMAGED, -1;
    }
    return n - (int)m->stream.avail_out;
}

static void inflate_end(nn__member *m) { inflateEnd(&m->stream); }

#else
static const char *inflate_begin(nn__member *m) { return (void)m, nn__no_zlib; }
static int inflate_some(nn__member *m, int n, void *to) { return (void)m, (void)n, (void)to, -1; }
static void inflate_end(nn__member *m) { (void)m; }
#endif

static int read_stored(nn__member *m, int n, void *to) {
    if (n > m->left) n = (int)m->left;
    if (fread(to, 1, (size_t)n, m->from) != (size_t)n) return m->fault = reading_fault(m->from), -1;
    m->left -= n;
    m->ended = m->left == 0;
    return n;
}

int nn__member_read(void *member, int n, void *to) {
    nn__member *m = member;
    if (m->fault != NULL) return -1;
    int got = m->deflated ? inflate_some(m, n, to) : read_stored(m, n, to);
    if (got > 0) m->crc = nn__crc32(m->crc, to, (size_t)got);
    return got;
}

/* ---- the calls --------------------------------------------------------------------------------------- */

/* A size that its bytes can make: deflate makes at most 1032 of one. So a small file asks for no large memory. */
static bool is_possible(const entry *e) {
    enum { STORED = 0, MOST = 1032 };
    return e->method == STORED ? e->size == e->packed : e->size / MOST <= e->packed;
}

const char *nn__member_open(nn__member *m, FILE *archive, const char *name) {
    enum { STORED = 0, DEFLATED = 8, ENCRYPTED = 1 };
    directory d = { .from = archive };
    entry e = { 0 };
    int64_t begin = 0;
    errno = 0;
    const char *fault = find_directory(&d);
    if (fault == NULL) fault = find_entry(&d, name, &e);
    if (fault != NULL) return fault;
    if (e.flags & ENCRYPTED) return "is encrypted";
    if (e.method != STORED && e.method != DEFLATED) return "is compressed with another method than deflate";
    fault = is_possible(&e) ? check_local(&d, &e, name, &begin) : DAMAGED;
    if (fault != NULL) return fault;
    m->from = archive;
    m->size = (int64_t)e.size;
    m->left = (int64_t)e.packed;
    m->expected = e.crc;
    m->crc = 0;
    m->fault = NULL;
    m->deflated = e.method == DEFLATED;
    m->ended = !m->deflated && m->left == 0;
    if (fseeko(archive, (off_t)begin, SEEK_SET) != 0) return ad__fault_of(errno);
    return m->deflated ? inflate_begin(m) : NULL;
}

const char *nn__member_close(nn__member *m) {
    char more;
    const char *fault = NULL;
    int got = m->fault == NULL ? nn__member_read(m, 1, &more) : -1;
    if (got != 0 || !m->ended || m->crc != m->expected) fault = m->fault ? m->fault : DAMAGED;
    if (m->deflated) inflate_end(m);
    return fault;
}
