/* attention.h: scaled dot product attention of one head, tile by tile with a running softmax. */
#ifndef OPS_KERNELS_NET_ATTENTION_H
#define OPS_KERNELS_NET_ATTENTION_H

#include "autodiff/base/shape.h"

/* Queries are worked on in blocks of so many rows, keys in tiles of so many. */
enum { AD__ATTENTION_ROWS = 64, AD__ATTENTION_KEYS = 128 };

/* What all heads have in common. Heads have q [tq,d], k [tk,d], v [tk,dv] and y [tq,dv]. */
typedef struct {
    int64_t tq, tk, d, dv;
    double scale; /* of the products of q and k */
    bool causal;  /* query i sees the keys up to offset + i only; |offset| is at most tq + tk */
    bool skips;   /* tiles of keys that no query of a block sees need not be computed: all elements are finite */
    int64_t offset;
    int64_t mask_row, mask_column; /* the steps of the mask from a query to the next and from a key to the next: 0 where
                                      it repeats */
    double dropout;                /* the probability that a weight is set to 0; 0 without dropout */
    uint32_t key[2];               /* of the random numbers */
} ad__attention_sizes;

/* All keys are in one tile. Then the weights are kept for backward, fewer than AD__ATTENTION_KEYS for each query;
   otherwise they are computed again. */
static inline bool ad__attention_is_whole(const ad__attention_sizes *a) { return a->tk <= AD__ATTENTION_KEYS; }

/* The arrays of one head. Pointers to gradients are NULL where none is wanted. */
typedef struct {
    const void *q, *k, *v, *mask; /* mask NULL: none */
    void *y;
    void
        *kept; /* the weights, or [tq,2] for each row of scores: its maximum, and 1 / the sum of exp(score - maximum) */
    int64_t row; /* the number of the first query among those of all heads, for random numbers */
    const void *gy;
    void *gq, *gk, *gv, *gmask; /* these are added to, or, if new, overwritten */
    bool new_q, new_k, new_v;
    void *work; /* ad__attention_work bytes */
} ad__attention_head;

bool ad__attention_is_finite_f32(int64_t n, const float *x); /* whether all elements are finite, for skips */
bool ad__attention_is_finite_f64(int64_t n, const double *x);
size_t ad__attention_kept(const ad__attention_sizes *a, ad_dtype t); /* bytes of kept for one head */
size_t ad__attention_work(const ad__attention_sizes *a, ad_dtype t);
/* Computes rows from .. to of y and of kept. from is a multiple of AD__ATTENTION_ROWS. The result of a query that sees
   no key is 0. */
void ad__attend_f32(const ad__attention_sizes *a, const ad__attention_head *h, int64_t from, int64_t to);
void ad__attend_f64(const ad__attention_sizes *a, const ad__attention_head *h, int64_t from, int64_t to);
/* Adds the gradients of a head. Reads y and kept. */
void ad__attend_back_f32(const ad__attention_sizes *a, const ad__attention_head *h);
void ad__attend_back_f64(const ad__attention_sizes *a, const ad__attention_head *h);

#endif
