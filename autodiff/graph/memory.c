/* memory.c: a graph's allocations: nodes, arrays, layouts, scratch, and memory that outlives the innermost scope. */
#include "autodiff/graph/memory.h"

#include <string.h>

/* Poisoned bytes after each array, so that AddressSanitizer detects writes past its end. */
#ifdef AD__ASAN
enum { RED_ZONE = AD__ALIGN };
#else
enum { RED_ZONE = 0 };
#endif

/* Ops are counted only when a block is full. A block holds fewer Ops than this, so ids cannot overflow in between. */
enum { SPARE_IDS = 1 << 24 };

void *ad__node_more(ad_graph *g, size_t size) {
    if (g->n_ops > UINT32_MAX - SPARE_IDS)
        return ad_fail(g, AD_ENOMEM, "too many ops: a graph holds at most %u at a time; close scopes with ad_end",
                       UINT32_MAX - SPARE_IDS), NULL;
    void *p = ad__arena_more(&g->nodes, size);
    if (p == NULL) ad_no_memory(g, "a node", size);
    return p;
}

void *ad_scope_alloc(ad_graph *g, size_t size) {
    if (g == NULL) return NULL;
    if (AD__UNLIKELY(size > PTRDIFF_MAX / 2)) return ad_no_memory(g, "an object", size), NULL;
    return ad__node_take(g, ad__round_up(size, 8));
}

void *ad_scope_zalloc(ad_graph *g, size_t size) {
    void *p = ad_scope_alloc(g, size);
    if (p != NULL) memset(p, 0, size);
    return p;
}

void *ad_scope_array(ad_graph *g, size_t bytes) {
    if (g == NULL) return NULL;
    if (bytes > PTRDIFF_MAX / 2) return ad_no_memory(g, "an array", bytes), NULL;
    size_t padded = ad__round_up(bytes, AD__ALIGN) + RED_ZONE;
    char *p = ad__arena_alloc(&g->arrays, padded);
    if (AD__UNLIKELY(p == NULL)) return ad_no_memory(g, "an array", bytes), NULL;
    AD__POISON(p + bytes, padded - bytes);
    return p;
}

int ad__depth_of(const ad_graph *g, const ad_var *x) {
    const ad__scope *s = g->scope;
    while (s != NULL && ad__arena_before(&g->nodes, s->nodes, x)) s = s->outer;
    return s ? s->mark.depth : 0;
}

enum { EXTRA_HEADER = (sizeof(ad__extra) + AD__ALIGN - 1) / AD__ALIGN * AD__ALIGN };

static void *add_extra(ad_graph *g, size_t bytes, int depth, ad_close_fn *close) {
    bool fits = bytes <= PTRDIFF_MAX / 2;
    ad__extra *e = fits ? ad__memory_take(&g->memory, AD__ALIGN, EXTRA_HEADER + bytes) : NULL;
    if (e == NULL) return ad_no_memory(g, "an array", bytes), NULL;
    *e = (ad__extra){ g->extras, EXTRA_HEADER + bytes, depth, close };
    g->extras = e;
    return (char *)e + EXTRA_HEADER;
}

static int depth_now(const ad_graph *g) { return g->scope ? g->scope->mark.depth : 0; }

void *ad__lasting_alloc(ad_graph *g, const ad_var *x, size_t bytes) {
    int depth = x ? ad__depth_of(g, x) : 0;
    return depth == depth_now(g) ? ad_scope_array(g, bytes) : add_extra(g, bytes, depth, NULL);
}

void *ad_scope_closing(ad_graph *g, size_t bytes, ad_close_fn *close) {
    return g ? add_extra(g, bytes, depth_now(g), close) : NULL;
}

void ad__extras_free(ad_graph *g, int depth) {
    for (ad__extra **link = &g->extras; *link != NULL;) {
        ad__extra *e = *link;
        if (e->depth < depth) {
            link = &e->next;
            continue;
        }
        *link = e->next;
        if (e->close != NULL) e->close((char *)e + EXTRA_HEADER);
        ad__memory_give(&g->memory, e, e->size);
    }
}

int ad__scratch_reserve(ad_graph *g, size_t bytes) {
    if (bytes <= g->scratch_size) return AD_OK;
    size_t size = bytes > 2 * g->scratch_size ? bytes : 2 * g->scratch_size, threads = (size_t)ad__team_size(g->team);
    size = ad__round_up(size, AD__ALIGN);
    if (size > PTRDIFF_MAX / threads) return ad_no_memory(g, "scratch", size);
    void *p = ad__memory_take(&g->memory, AD__ALIGN, size * threads);
    if (p == NULL) return ad_no_memory(g, "scratch", size * threads);
    if (g->scratch_size > 0) ad__memory_give(&g->memory, g->scratch, g->scratch_size * threads);
    g->scratch = p;
    g->scratch_size = size;
    return AD_OK;
}

int ad__scratch_share(ad_graph *g, int old_threads) {
    size_t threads = (size_t)ad__team_size(g->team), size = g->scratch_size;
    if (size == 0) return AD_OK;
    void *p = size > PTRDIFF_MAX / threads ? NULL : ad__memory_take(&g->memory, AD__ALIGN, size * threads);
    if (p == NULL) return ad_no_memory(g, "scratch for each thread", size);
    ad__memory_give(&g->memory, g->scratch, size * (size_t)old_threads);
    g->scratch = p;
    return AD_OK;
}

/* ---- layouts ------------------------------------------------------------------------------------- */

const ad__layout *ad__layout_make(ad_graph *g, ad_dtype t, const ad_shape *s) {
    if (s->ndim == 0) return &g->scalar[t];
    for (int i = 0; i < AD__RECENT; i++) {
        const ad__layout *r = g->recent[i].layout;
        if (r != NULL && r->dtype == t && ad__equal_shapes(&r->shape, s)) return r;
    }
    ad__layout *l = ad_scope_alloc(g, sizeof *l);
    if (l == NULL) return NULL;
    int64_t n = ad__numel_of(s);
    *l = (ad__layout){ g, n, (size_t)n * ad_dtype_size(t), t, *s };
    g->recent[g->recent_next++ % AD__RECENT] = (ad__recent){ l, g->scope ? g->scope->mark.depth : 0 };
    return l;
}
