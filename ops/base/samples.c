/* samples.c: reads the shapes of samples from text. */
#include "ops/base/samples.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPERANDS = 8 };

/* Reads one shape and returns what follows it. */
static const char *read_shape(ad_shape *to, const char *text) {
    *to = AD_SCALAR;
    if (*text == '(') return text + 2;
    for (char *end = NULL;; text = end + 1) {
        assert(to->ndim < AD_MAX_NDIM);
        to->dim[to->ndim++] = strtoll(text, &end, 10);
        assert(end != text);
        if (*end != ',') return end;
    }
}

void ad__read_shapes(int n, ad_shape *to, const char *text) {
    for (int i = 0; i < n; i++) {
        text += strspn(text, " ;");
        text = read_shape(&to[i], text);
    }
    assert(*text == '\0'); /* as many as the array takes */
}

void ad__sample_text(ad_sampler *s, const void *attrs, int n, const char *shapes, const double *lo, const double *hi) {
    ad_shape read[MOST_OPERANDS];
    assert(n <= MOST_OPERANDS);
    ad__read_shapes(n, read, shapes);
    ad_sample(s, attrs, n, read, lo, hi);
}
