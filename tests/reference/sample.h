/* sample.h: what the dump and the test must agree on: attributes as JSON, the weights, the checksum. */
#ifndef TESTS_REFERENCE_SAMPLE_H
#define TESTS_REFERENCE_SAMPLE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "autodiff/op.h"

/* ---- weights: the gradients are those of sum(w * result) ------------------------------------------ */

/* Odd multiples of 1/512 between -1 and 1: exact in f32 too, short as text, and never 0. Fibonacci
   hashing of the index (Knuth, volume 3, section 6.4), as reference.py has it. */
static inline double sample_weight(int64_t k) {
    uint32_t word = (uint32_t)((uint64_t)k * 2654435769u + 12345u);
    return (2.0 * (word >> 23) - 511) / 512;
}

/* ---- attributes ------------------------------------------------------------------------------------- */

static inline int number_json(double v, char *to, size_t size) {
    if (isnan(v)) return snprintf(to, size, "NaN");
    if (isinf(v)) return snprintf(to, size, v > 0 ? "Infinity" : "-Infinity");
    return snprintf(to, size, "%.17g", v);
}

static inline int axes_json(const int *axes, char *to, size_t size) {
    if (*axes < 0) return snprintf(to, size, "null");
    ad_shape list = { .ndim = *axes };
    for (int i = 0; i < list.ndim && i < AD_MAX_NDIM; i++) list.dim[i] = axes[1 + i];
    return ad_shape_text(list, to, size);
}

/* An attribute's value as JSON: ad_attr_text, but with every digit. */
static inline int attr_json(const ad_attr *a, const void *attrs, char *to, size_t size) {
    const char *at = (const char *)attrs + a->offset;
    if (a->kind == AD_ATTR_DOUBLE) return number_json(*(const double *)(const void *)at, to, size);
    if (a->kind == AD_ATTR_AXES) return axes_json((const int *)(const void *)at, to, size);
    return ad_attr_text(a, attrs, to, size);
}

/* ---- checksum of a sample ------------------------------------------------------------------------------ */

/* FNV-1a, 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/). */
static inline uint32_t hash_bytes(uint32_t hash, const void *data, size_t size) {
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 16777619u;
    return hash;
}

/* The first 24 bits of v: another compiler may round the last bit of a sample's values differently. */
static inline uint32_t hash_number(uint32_t hash, double v) {
    char text[48];
    int exponent = 0;
    double fraction = isfinite(v) ? frexp(v, &exponent) : v;
    if (isnan(v)) snprintf(text, sizeof text, "nan");
    else snprintf(text, sizeof text, "%.9g %d;", (double)(float)fraction, exponent);
    return hash_bytes(hash, text, strlen(text));
}

static inline uint32_t sample_checksum(const ad_sample_case *c) {
    char text[256];
    uint32_t hash = 2166136261u;
    for (const ad_attr *a = c->type->attrs; a != NULL && a->name != NULL; a++) {
        hash = hash_bytes(hash, a->name, strlen(a->name));
        attr_json(a, c->attrs, text, sizeof text);
        hash = hash_bytes(hash, text, strlen(text));
    }
    for (int i = 0; i < c->n; i++) {
        ad_shape_text(c->shapes[i], text, sizeof text);
        hash = hash_bytes(hash, text, strlen(text));
        for (int64_t k = 0, n = ad_shape_numel(c->shapes[i]); k < n; k++) hash = hash_number(hash, c->values[i][k]);
    }
    return hash;
}

#endif
