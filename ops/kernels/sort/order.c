/* order.c: the stable order of a row's elements, by radix sort, and places in sorted rows. */
#include "ops/kernels/sort/order.h"

#include <string.h>

/* Numbers of bits: 8 cost the least time to count in rows of middle length, 11 need fewer passes over long ones. */
enum { SHORT_ROW = 64, LONG_ROW = 4096, NARROW_DIGIT = 8, WIDE_DIGIT = 11 };

/* A number as an unsigned integer that is larger where the number is. */
typedef uint32_t key_f32;
typedef uint64_t key_f64;

static int digit_bits(int64_t n) { return n < LONG_ROW ? NARROW_DIGIT : WIDE_DIGIT; }
static int digits_of(int bits, size_t size) { return (8 * (int)size + bits - 1) / bits; }

/* Counts become the places at which the elements of each digit begin. */
static void to_places(int64_t n, int64_t *counts) {
    for (int64_t i = 0, before = 0; i < n; i++) {
        int64_t count = counts[i];
        counts[i] = before;
        before += count;
    }
}

#define KERNELS "ops/kernels/sort/order.inc"
#include "ops/kernels/base/each_dtype.h"
