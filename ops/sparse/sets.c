/* sets.c: sets of numbers that many places share. */
#include "ops/sparse/sets.h"

#include <string.h>

int ad__sets_make(ad__sets *s, ad_graph *g, int32_t n) {
    *s = (ad__sets){ .g = g, .n = n, .n_words = ((int64_t)n + 63) / 64 };
    s->mark = ad_scope_closing(g, ((size_t)n + 1) * sizeof *s->mark, NULL);
    s->list = ad_scope_closing(g, ((size_t)n + 1) * sizeof *s->list, NULL);
    s->bits = ad_scope_closing(g, ((size_t)s->n_words + 1) * sizeof *s->bits, NULL);
    if (s->mark == NULL || s->list == NULL || s->bits == NULL) return s->code = AD_ENOMEM;
    memset(s->mark, 0, ((size_t)n + 1) * sizeof *s->mark);
    return AD_OK;
}

static const ad__subset_record *record_of(const ad__sets *s, ad__subset a) { return &s->records.at[a - s->n - 1]; }

int32_t ad__subset_count(const ad__sets *s, ad__subset a) { return a <= s->n ? a != 0 : record_of(s, a)->count; }

static int32_t list_bits(int64_t n_words, const uint64_t *words, int32_t *to) {
    int32_t n = 0;
    for (int64_t w = 0; w < n_words; w++)
        for (uint64_t rest = words[w]; rest; rest &= rest - 1) to[n++] = (int32_t)(64 * w + __builtin_ctzll(rest));
    return n;
}

void ad__subset_list(const ad__sets *s, ad__subset a, int32_t *to) {
    if (a == 0) return;
    if (a <= s->n) {
        *to = a - 1;
        return;
    }
    const ad__subset_record *r = record_of(s, a);
    if (r->is_bits) list_bits(s->n_words, s->words.at + r->at, to);
    else memcpy(to, s->numbers.at + r->at, (size_t)r->count * sizeof *to);
}

/* ---- unions ------------------------------------------------------------------------------------------------------ */

void ad__union_begin(ad__sets *s) {
    if (++s->stamp == 0) {
        memset(s->mark, 0, ((size_t)s->n + 1) * sizeof *s->mark);
        s->stamp = 1;
    }
    s->count = 0, s->is_bits = false, s->first = s->largest = 0;
}

static void set_bit(ad__sets *s, int32_t k) { s->bits[k / 64] |= (uint64_t)1 << k % 64; }

/* From 32 bits for each number on, a row of bits is the smaller. */
static bool suits_bits(const ad__sets *s, int64_t count) { return 32 * count > s->n && s->n > 64; }

static void become_bits(ad__sets *s) {
    memset(s->bits, 0, (size_t)s->n_words * sizeof *s->bits);
    for (int32_t i = 0; i < s->count; i++) set_bit(s, s->list[i]);
    s->is_bits = true;
}

static void add_number(ad__sets *s, int32_t k) {
    if (s->is_bits) set_bit(s, k);
    else if (s->mark[k] != s->stamp) s->mark[k] = s->stamp, s->list[s->count++] = k;
}

static void add_members(ad__sets *s, ad__subset a) {
    if (a <= s->n) {
        add_number(s, a - 1);
        return;
    }
    ad__subset_record r = *record_of(s, a);
    if (!s->is_bits && (r.is_bits || suits_bits(s, (int64_t)s->count + r.count))) become_bits(s);
    if (r.is_bits)
        for (int64_t w = 0; w < s->n_words; w++) s->bits[w] |= s->words.at[r.at + w];
    else
        for (int32_t i = 0; i < r.count; i++) add_number(s, s->numbers.at[r.at + i]);
}

void ad__union_add(ad__sets *s, ad__subset a) {
    if (a == 0 || a == s->first || a == s->largest) return;
    if (s->first == 0) {
        s->first = s->largest = a;
        return;
    }
    if (s->first > 0) add_members(s, s->first), s->first = -1;
    add_members(s, a);
    if (ad__subset_count(s, a) > ad__subset_count(s, s->largest)) s->largest = a;
}

static int32_t count_bits(const ad__sets *s) {
    int32_t n = 0;
    for (int64_t w = 0; w < s->n_words; w++) n += __builtin_popcountll(s->bits[w]);
    return n;
}

static ad__subset keep_list(ad__sets *s) {
    ad__subset_record r = { .at = s->numbers.n, .count = s->count };
    if (!AD__RESERVE(s->g, &s->numbers, s->count) || !AD__PUSH(s->g, &s->records, r)) return s->code = AD_ENOMEM, 0;
    memcpy(s->numbers.at + r.at, s->list, (size_t)s->count * sizeof *s->list);
    s->numbers.n += s->count;
    return (ad__subset)(s->n + s->records.n);
}

static ad__subset keep_bits(ad__sets *s) {
    ad__subset_record r = { .at = s->words.n, .count = s->count, .is_bits = true };
    if (!AD__RESERVE(s->g, &s->words, s->n_words) || !AD__PUSH(s->g, &s->records, r)) return s->code = AD_ENOMEM, 0;
    memcpy(s->words.at + r.at, s->bits, (size_t)s->n_words * sizeof *s->bits);
    s->words.n += s->n_words;
    return (ad__subset)(s->n + s->records.n);
}

ad__subset ad__union_end(ad__sets *s) {
    if (s->first >= 0) return s->first;
    if (s->is_bits) s->count = count_bits(s);
    if (s->count == ad__subset_count(s, s->largest)) return s->largest; /* which has all others within it */
    if (s->records.n >= INT32_MAX - s->n - 1) {
        s->code = ad_no_memory(s->g, "a pattern with more than 2^31 sets", SIZE_MAX);
        return 0;
    }
    if (s->is_bits && !suits_bits(s, s->count)) s->count = list_bits(s->n_words, s->bits, s->list), s->is_bits = false;
    return s->is_bits ? keep_bits(s) : keep_list(s);
}

ad__subset ad__union_of(ad__sets *s, ad__subset a, ad__subset b) {
    if (a == b || b == 0) return a;
    if (a == 0) return b;
    uint32_t slot = ((uint32_t)a * 0x9e3779b1u ^ (uint32_t)b * 0x85ebca6bu) >> 20;
    if (s->pairs[slot].a == a && s->pairs[slot].b == b) return s->pairs[slot].both;
    ad__union_begin(s);
    ad__union_add(s, a);
    ad__union_add(s, b);
    ad__subset both = ad__union_end(s);
    s->pairs[slot].a = a, s->pairs[slot].b = b, s->pairs[slot].both = both;
    return both;
}
