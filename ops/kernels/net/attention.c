/* attention.c: scaled dot product attention of one head, tile by tile with a running softmax. */
#include "ops/kernels/base/vector_math.h"

#include "ops/kernels/net/attention.h"

#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/gemm.h"
#include "ops/kernels/net/dropout.h"

#include <string.h>

enum { LANES = 16, ROWS = AD__ATTENTION_ROWS, KEYS = AD__ATTENTION_KEYS };

/* A block of queries and a tile of keys. */
typedef struct {
    int64_t row, rows, key, keys;
} tile;

/* The rows of the largest block, and the elements of its largest tile. */
static inline int64_t most_rows(const ad__attention_sizes *a) { return ad__lesser(ROWS, a->tq); }
static inline int64_t tile_size(const ad__attention_sizes *a) { return most_rows(a) * ad__lesser(KEYS, a->tk); }

/* The keys that the queries of a block have to look at, from the first on. */
static int64_t keys_seen(const ad__attention_sizes *a, int64_t row, int64_t rows) {
    int64_t end = a->offset + row + rows;
    if (!a->skips || end >= a->tk) return a->tk;
    return end > 0 ? end : 0;
}

/* How many of the tile's keys query r of its block sees, from the first on. */
static inline int64_t keys_before(const ad__attention_sizes *a, const tile *t, int64_t r) {
    if (!a->causal) return t->keys;
    int64_t end = a->offset + t->row + r + 1 - t->key;
    return end < 0 ? 0 : ad__lesser(end, t->keys);
}

#define KERNELS "ops/kernels/net/attention.inc"
#include "ops/kernels/base/each_dtype.h"

/* Scores, their gradients, weights after dropout; queries times the scale, gradients of queries, one number a row. */
size_t ad__attention_work(const ad__attention_sizes *a, ad_dtype t) {
    size_t tiles = 3 * (size_t)tile_size(a), rows = (size_t)most_rows(a) * (2 * (size_t)a->d + 1);
    return (tiles + rows) * ad_dtype_size(t);
}

size_t ad__attention_kept(const ad__attention_sizes *a, ad_dtype t) {
    return (size_t)a->tq * (ad__attention_is_whole(a) ? (size_t)a->tk : 2) * ad_dtype_size(t);
}
