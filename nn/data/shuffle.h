/* shuffle.h: random orders of rows; private to nn. */
#ifndef NN_DATA_SHUFFLE_H
#define NN_DATA_SHUFFLE_H

#include "autodiff/op.h"

/* 64 of the graph's random bits. */
static inline uint64_t nn__random_word(ad_graph *g) {
    uint32_t bits[2];
    ad_random_bits(g, 2, bits);
    return (uint64_t)bits[0] << 32 | bits[1];
}

/* order = a random permutation of 0 .. n-1 (Fisher and Yates): a function of the random numbers alone. The modulo's
   bias is at most n / 2^64. */
static inline void nn__shuffle(ad_graph *g, int64_t n, int64_t *order) {
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(nn__random_word(g) % (uint64_t)(i + 1)), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

/* order = n rows of 0 .. rows-1, each drawn in proportion to its weight. sums [rows]: the sums of the weights up to
   each row; the last is more than 0. A row of weight 0 is not drawn, as its sum is that of the row before. */
static inline void nn__draw(ad_graph *g, int64_t n, int64_t rows, const double *sums, int64_t *order) {
    for (int64_t i = 0; i < n; i++) {
        double at = (double)(nn__random_word(g) >> 11) * 0x1p-53 * sums[rows - 1];
        int64_t from = 0, to = rows - 1; /* the first row whose sum is above `at` is among from .. to */
        while (from < to) {
            int64_t middle = from + (to - from) / 2;
            if (sums[middle] > at) to = middle;
            else from = middle + 1;
        }
        order[i] = from;
    }
}

#endif
