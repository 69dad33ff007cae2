/* bytes.c: numbers as files hold them, converted to float and double. */
#include "nn/file/bytes.h"

#include <math.h>
#include <string.h>

static double from_f16_bits(uint32_t bits) { /* 1 sign, 5 exponent and 10 fraction bits */
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double v = exponent == 0    ? ldexp(fraction, -24)
               : exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                                : ldexp(fraction + 1024, exponent - 25);
    return bits >> 15 & 1 ? -v : v;
}

static double from_f32_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

static double from_f64_bits(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static double number_of(nn__format f, uint64_t bits) {
    int unused = 64 - 8 * f.size; /* high bits */
    switch (f.kind) {
    case 'u': return (double)bits;
    case 'i': return (double)((int64_t)(bits << unused) / ((int64_t)1 << unused));
    case 'b': return from_f32_bits((uint32_t)bits << 16);
    default: break;
    }
    if (f.size == 2) return from_f16_bits((uint32_t)bits);
    return f.size == 4 ? from_f32_bits((uint32_t)bits) : from_f64_bits(bits);
}

void nn__decode(nn__format f, const unsigned char *from, int64_t n, double scale, ad_dtype t, void *to, int64_t at) {
    for (int64_t i = at; i < at + n; i++, from += f.size) {
        uint64_t bits = f.size == 1 ? *from : nn__uint_of(from, f.size, f.big_endian);
        double v = scale * number_of(f, bits);
        if (t == AD_F32) ((float *)to)[i] = (float)v;
        else ((double *)to)[i] = v;
    }
}

bool nn__read_numbers(nn__read_fn *read, void *source, nn__format f, double scale, ad_var *x) {
    enum { CHUNK = 16 << 10 };
    unsigned char bytes[CHUNK];
    void *to = ad_data_mut(x);
    int64_t all = ad_numel(x);
    for (int64_t at = 0, n = CHUNK / f.size; at < all; at += n) {
        if (all - at < n) n = all - at;
        if (read(source, (int)n * f.size, bytes) != (int)n * f.size) return false;
        nn__decode(f, bytes, n, scale, ad_dtype_of(x), to, at);
    }
    return true;
}
