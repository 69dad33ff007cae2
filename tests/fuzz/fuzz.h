/* fuzz.h: shared by the fuzz targets: the input as a file, and as a list of choices. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nn/nn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the program with a sentence; libFuzzer then keeps the input. */
static inline void fuzz_fail(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    abort();
}

/* An error has a sentence, and clearing it makes the graph usable. */
static inline void fuzz_check_error(ad_graph *g) {
    if (!ad_ok(g) && strlen(ad_error(g)) < 12) fuzz_fail("an error without a sentence", ad_error(g));
    ad_clear_error(g);
    ad_var *x = ad_param(g, AD_F64, (double[]){ 3 }, AD_SCALAR);
    if (ad_backward(ad_square(x)) != AD_OK || ad_grad_item(x) != 6) fuzz_fail("the graph does not work", ad_error(g));
}

/* The graph of the inputs, in a scope of this input alone. Making a graph anew takes ten times as long as reading a small
   file, so that is done for some inputs only. */
static ad_mark fuzz_mark;
static inline ad_graph *fuzz_begin(void) {
    enum { INPUTS = 1000 };
    static ad_graph *g;
    static int inputs;
    if (inputs++ % INPUTS == 0) {
        ad_graph_free(g);
        g = ad_graph_new();
    }
    ad_seed(g, 1);
    fuzz_mark = ad_begin(g);
    return g;
}
static inline int fuzz_end(ad_graph *g) {
    fuzz_check_error(g);
    ad_end(g, fuzz_mark);
    return 0;
}

/* The path of a file in memory with these bytes. */
static inline const char *fuzz_file(const uint8_t *data, size_t size) {
    static int file = -1;
    static char path[40];
    if (file < 0) file = memfd_create("fuzz", 0);
    if (file < 0 || pwrite(file, data, size, 0) != (ssize_t)size || ftruncate(file, (off_t)size) != 0) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return path;
}

/* The input as choices: bytes one after the other, then zeros. */
typedef struct {
    const uint8_t *at, *end;
} fuzz_choices;
static inline int fuzz_choose(fuzz_choices *c, int n) { return c->at < c->end ? *c->at++ % n : 0; }

#endif
