/* sets.h: sets of numbers below n that many places share, each a list or a row of bits, whichever is smaller; private
   to this folder. */
#ifndef OPS_SPARSE_SETS_H
#define OPS_SPARSE_SETS_H

#include "ops/compile/emit.h"

/* A set: 0 is empty, 1 + k has k alone, and larger numbers are records. Equal numbers are equal sets. */
typedef int32_t ad__subset;

typedef struct {
    int64_t at;    /* of the first number in `numbers`, or the first word in `words` */
    int32_t count;
    bool is_bits;
} ad__subset_record;

enum { AD__PAIRS = 4096 };

typedef struct {
    ad_graph *g;
    int32_t n; /* members are 0 .. n-1 */
    int64_t n_words;
    AD__VEC(ad__subset_record) records;
    AD__VEC(int32_t) numbers;
    AD__VEC(uint64_t) words;
    struct {
        ad__subset a, b, both;
    } pairs[AD__PAIRS]; /* unions made before */
    /* the union that is being made */
    uint32_t *mark, stamp;
    int32_t *list, count;
    uint64_t *bits;
    bool is_bits;
    ad__subset first, largest; /* the first set added, if it is the only one, else -1; the largest one */
    int code;               /* AD_ENOMEM, with the graph's error, if memory is short */
} ad__sets;

/* Sets s, in the memory of the open scope. */
int ad__sets_make(ad__sets *s, ad_graph *g, int32_t n);
/* Unions of any number of sets. */
void ad__union_begin(ad__sets *s);
void ad__union_add(ad__sets *s, ad__subset a);
ad__subset ad__union_end(ad__sets *s);
ad__subset ad__union_of(ad__sets *s, ad__subset a, ad__subset b);
int32_t ad__subset_count(const ad__sets *s, ad__subset a);
/* Writes the members, in any order. */
void ad__subset_list(const ad__sets *s, ad__subset a, int32_t *to);

#endif
