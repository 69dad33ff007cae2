/* loops.c: runs elementwise loops, by the widest vectors first. */
#include "ops/kernels/elementwise/loops.h"

#define KERNELS "ops/kernels/elementwise/one_by_one.inc"
#include "ops/kernels/base/each_dtype.h"

static void move(const void **at, size_t bytes) {
    if (*at != NULL) *at = (const char *)*at + bytes;
}

static void move_on(ad__arrays *p, size_t bytes) {
    for (int i = 0; i < AD__OPERANDS; i++) move(&p->in[i], bytes);
    if (p->y != NULL) p->y = (char *)p->y + bytes;
    move(&p->g, bytes), move(&p->base, bytes);
    if (p->to != NULL) p->to = (char *)p->to + bytes;
}

void ad__run_loops(ad__loop *const loops[], int64_t n, size_t size, ad__arrays *p) {
    for (int level = ad__level(); n > 0; level--) {
        int64_t count = level > 0 ? n & -(int64_t)(((size_t)AD__LEVEL_BYTES << level) / size) : n;
        if (count == 0) continue;
        loops[level](count, p);
        n -= count;
        if (n > 0) move_on(p, (size_t)count * size);
    }
}
