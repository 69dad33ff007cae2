/* calls.c: finds loops among the calls that make up a program: calls that differ in whole numbers only, which go on by
   equal steps. */
#include <stdlib.h>
#include <string.h>

#include "ops/compile/source.h"

enum {
    CANDIDATES = 8, /* periods that are tried at a call */
    LONGEST = 512,  /* period */
    FEWEST = 3,     /* repetitions */
    LEAST = 8       /* calls in a loop, of all repetitions */
};

/* A call: its text without the whole numbers, as a hash, and the numbers. */
typedef struct {
    int64_t start, end; /* in the text */
    uint64_t key;
    int64_t first;      /* number */
    int n;
} call;

typedef struct {
    ad_graph *g;
    const char *text;
    call *calls;
    int64_t n, *next; /* by call: see ad__next_alike */
    AD__VEC(int64_t) numbers;
} rolling;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool in_word(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/* The end of the whole number at p, or p if there is none. Digits of names are none. */
static const char *number_end(const char *begin, const char *p, const char *end) {
    if (!is_digit(*p) || (p > begin && in_word(p[-1]))) return p;
    while (p < end && is_digit(*p)) p++;
    return p;
}

static bool read_call(rolling *r, call *c) {
    const char *begin = r->text + c->start, *end = r->text + c->end;
    c->key = 0xcbf29ce484222325u, c->first = r->numbers.n;
    for (const char *p = begin; p < end;) {
        const char *q = number_end(begin, p, end);
        if (q > p && !AD__PUSH(r->g, &r->numbers, strtoll(p, NULL, 10))) return false;
        c->key = (c->key ^ (q > p ? 1 : (unsigned char)*p)) * 0x100000001b3u;
        p = q > p ? q : p + 1;
    }
    c->n = (int)(r->numbers.n - c->first);
    return true;
}

/* Whether two calls differ in whole numbers only. */
static bool are_alike(const rolling *r, const call *a, const call *b) {
    const char *of_a = r->text + a->start, *of_b = r->text + b->start;
    if (a->key != b->key || a->n != b->n) return false;
    for (const char *p = of_a, *q = of_b, *end = r->text + a->end, *end_b = r->text + b->end; p < end || q < end_b;) {
        const char *to = p < end ? number_end(of_a, p, end) : p, *to_b = q < end_b ? number_end(of_b, q, end_b) : q;
        if (p == end || q == end_b || (to > p) != (to_b > q) || (to == p && *p != *q)) return false;
        p = to > p ? to : p + 1, q = to_b > q ? to_b : q + 1;
    }
    return true;
}

/* Whether call c is what call a becomes in repetition k, if b is what it becomes in repetition 1. */
static bool goes_on(const rolling *r, const call *a, const call *b, const call *c, int64_t k) {
    if (!are_alike(r, a, b) || !are_alike(r, a, c)) return false;
    for (int i = 0; i < a->n; i++) {
        int64_t first = r->numbers.at[a->first + i], step = r->numbers.at[b->first + i] - first;
        if (r->numbers.at[c->first + i] != first + k * step) return false;
    }
    return true;
}

static int64_t repetitions(const rolling *r, int64_t start, int64_t period) {
    int64_t k = 1;
    for (;; k++)
        for (int64_t i = start; i < start + period; i++) {
            if (i + k * period >= r->n) return k;
            if (!goes_on(r, &r->calls[i], &r->calls[i + period], &r->calls[i + k * period], k)) return k;
        }
}

/* The period that covers most calls from start on; 0 if none covers enough. */
static int64_t best_period(const rolling *r, int64_t start, int64_t *times) {
    int64_t best = 0, covered = LEAST - 1, at = r->next[start];
    for (int i = 0; i < CANDIDATES && at >= 0 && at - start <= LONGEST; i++, at = r->next[at]) {
        int64_t k = repetitions(r, start, at - start);
        if (k < FEWEST || k * (at - start) <= covered) continue;
        best = at - start, *times = k, covered = k * best;
    }
    return best;
}

/* Writes a call; in a loop, its numbers grow with q as they do from call a to call b. */
static void write_call(const rolling *r, const call *a, const call *b, ad__text *to) {
    const char *begin = r->text + a->start, *end = r->text + a->end, *written = begin;
    int i = 0;
    for (const char *p = begin; b && p < end;) {
        const char *q = number_end(begin, p, end);
        if (q == p) {
            p++;
            continue;
        }
        int64_t first = r->numbers.at[a->first + i], step = r->numbers.at[b->first + i] - first;
        if (step != 0) {
            ad__text_add(to, written, p - written);
            ad__text_put(to, "(%lld + %lld * q)", (long long)first, (long long)step);
            written = q;
        }
        p = q, i++;
    }
    ad__text_add(to, written, end - written);
}

static void write_rolled(const rolling *r, ad__text *to) {
    for (int64_t i = 0; i < r->n;) {
        int64_t times = 1, period = best_period(r, i, &times);
        if (period == 0) {
            write_call(r, &r->calls[i++], NULL, to);
            continue;
        }
        ad__text_put(to, "for (long q = 0; q < %lld; q++) {\n", (long long)times);
        for (int64_t k = i; k < i + period; k++) write_call(r, &r->calls[k], &r->calls[k + period], to);
        ad__text_put(to, "}\n");
        i += times * period;
    }
}

int ad__roll_calls(ad__writer *w) {
    rolling r = { .g = w->e->g, .text = w->calls.at, .n = w->starts.n };
    ad__text to = { .g = w->e->g };
    if (r.n == 0) return AD_OK;
    r.calls = ad_scope_closing(r.g, (size_t)r.n * sizeof *r.calls, NULL);
    uint64_t *key = ad_scope_closing(r.g, (size_t)r.n * sizeof *key, NULL);
    if (r.calls == NULL || key == NULL) return AD_ENOMEM;
    for (int64_t i = 0; i < r.n; i++) {
        r.calls[i] = (call){ .start = w->starts.at[i], .end = i + 1 < r.n ? w->starts.at[i + 1] : w->calls.n };
        if (!read_call(&r, &r.calls[i])) return AD_ENOMEM;
        key[i] = r.calls[i].key;
    }
    r.next = ad__next_alike(r.g, r.n, key);
    if (r.next == NULL) return AD_ENOMEM;
    write_rolled(&r, &to);
    w->calls = to;
    return ad_error_code(r.g);
}
