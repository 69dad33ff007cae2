/* bytes.h: numbers as files hold them: integers and floating-point numbers of either byte order; private to nn. */
#ifndef NN_FILE_BYTES_H
#define NN_FILE_BYTES_H

#include "autodiff/autodiff.h"

/* An unsigned integer of `size` bytes. */
static inline uint64_t nn__uint_of(const unsigned char *p, int size, bool big_endian) {
    uint64_t v = 0;
    for (int i = 0; i < size; i++) v = v << 8 | p[big_endian ? i : size - 1 - i];
    return v;
}

/* v as `size` bytes, the lowest first. */
static inline void nn__put_little_endian(uint64_t v, int size, unsigned char *p) {
    for (int i = 0; i < size; i++, v >>= 8) p[i] = (unsigned char)v;
}

typedef struct {
    char kind; /* 'u' unsigned, 'i' signed integer, 'f' IEEE 754, 'b' bfloat16 */
    unsigned char size; /* bytes: 1, 2, 4 or 8; of 'f' 2, 4 or 8, of 'b' 2 */
    bool big_endian;
} nn__format;

/* Reads n numbers into array elements to[at] .. to[at+n-1], multiplied by scale. */
void nn__decode(nn__format f, const unsigned char *from, int64_t n, double scale, ad_dtype t, void *to, int64_t at);

/* Reads up to n bytes and returns their number: less than n only at the end of the source, negative after a fault. */
typedef int nn__read_fn(void *source, int n, void *to);
/* Fills a leaf with numbers, multiplied by scale; false where the source has too few of them. */
bool nn__read_numbers(nn__read_fn *read, void *source, nn__format f, double scale, ad_var *x);

#endif
