/* graph.c: a graph's life, its scopes and its memory. */
#define _DEFAULT_SOURCE /* madvise */
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "autodiff/graph/record.h"

const char *ad_version(void) {
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
    return TEXT(AD_VERSION_MAJOR) "." TEXT(AD_VERSION_MINOR) "." TEXT(AD_VERSION_PATCH);
#undef TEXT
#undef TEXT_
}

/* ---- life ------------------------------------------------------------------------------------ */

static size_t round_up(size_t size, size_t to) { return size ? (size + to - 1) / to * to : to; }

enum { HUGE_PAGE = 2 << 20 };

/* Large blocks in huge pages where there are such: the first touch of small ones costs more than all
   else that is done with a scalar node. */
static void *system_alloc(void *data, size_t align, size_t size) {
    (void)data;
    bool large = size >= 2 * (size_t)HUGE_PAGE;
    void *p = aligned_alloc(large ? HUGE_PAGE : align, round_up(size, large ? HUGE_PAGE : align));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (large && p != NULL) (void)madvise(p, size, MADV_HUGEPAGE);
#endif
    return p;
}

static void system_release(void *data, void *memory, size_t size) {
    (void)data, (void)size;
    free(memory);
}

ad_graph *ad_graph_new(void) {
    return ad_graph_new_with((ad_allocator){ system_alloc, system_release, NULL });
}

ad_graph *ad_graph_new_with(ad_allocator a) {
    ad_graph *g = a.alloc(a.data, AD__ALIGN, sizeof *g);
    if (g == NULL) return NULL;
    *g = (ad_graph){ .memory = { .use = a, .held = sizeof *g, .allocs = 1 },
                     .grad_enabled = true,
                     .plain = true,
                     .keep_grads = true,
                     .clock = 1 };
    g->nodes.memory = g->arrays.memory = g->pool.memory = &g->memory;
    for (int t = AD_F32; t <= AD_F64; t++)
        g->scalar[t] = (ad__layout){ .graph = g, .numel = 1, .bytes = ad_dtype_size((ad_dtype)t), .dtype = (ad_dtype)t };
    g->empty = (ad__layout){ .graph = g, .dtype = AD_F64, .shape = { 1, { 0 } } };
    g->nil = (ad_var){ .layout = &g->empty, .flags = AD__NIL };
    return g;
}

static void free_extras(ad_graph *g, int depth);

void ad_graph_free(ad_graph *g) {
    if (g == NULL) return;
    size_t scratch = g->scratch_size * (size_t)ad__team_size(g->team);
    ad__team_free(&g->memory, g->team);
    free_extras(g, 0);
    ad__plan_free(g, &g->plan);
    if (g->heap != NULL) ad__pool_give(&g->pool, g->heap, g->heap_capacity * sizeof *g->heap);
    ad__pool_free(&g->pool);
    ad__arena_free(&g->nodes);
    ad__arena_free(&g->arrays);
    ad__memory_give(&g->memory, g->scratch, scratch);
    ad_allocator use = g->memory.use;
    use.release(use.data, g, sizeof *g);
}

ad_stats ad_graph_stats(const ad_graph *g) {
    if (g == NULL) return (ad_stats){ 0 };
    return (ad_stats){ .ops = g->n_ops,
                       .bytes_held = g->memory.held,
                       .bytes_used = (int64_t)(ad__arena_used(&g->nodes) + ad__arena_used(&g->arrays)),
                       .allocs = g->memory.allocs };
}

bool ad_enable_grad(ad_graph *g, bool on) {
    if (g == NULL) return false;
    bool was = g->grad_enabled;
    g->grad_enabled = on;
    g->plain = on && g->code == AD_OK;
    return was;
}

bool ad_keep_grads(ad_graph *g, bool on) {
    if (g == NULL) return false;
    bool was = g->keep_grads;
    g->keep_grads = on;
    return was;
}

/* ---- scopes ---------------------------------------------------------------------------------- */

ad_mark ad_begin(ad_graph *g) {
    if (g == NULL) return (ad_mark){ 0 };
    ad__arena_place nodes = ad__arena_here(&g->nodes), arrays = ad__arena_here(&g->arrays);
    ad__scope *s = ad_scope_alloc(g, sizeof *s);
    if (s == NULL) return (ad_mark){ 0 };
    *s = (ad__scope){ .outer = g->scope,
                      .mark = { g, g->scope ? g->scope->mark.depth + 1 : 1, ++g->scope_serial },
                      .nodes = nodes,
                      .arrays = arrays,
                      .last = g->last,
                      .n_ops = g->n_ops };
    g->scope = s;
    return s->mark;
}

void ad_end(ad_graph *g, ad_mark m) {
    if (g == NULL || m.serial == 0) return; /* the scope was never opened */
    ad__scope *s = m.graph == g ? g->scope : NULL;
    while (s != NULL && s->mark.serial != m.serial) s = s->outer;
    if (s == NULL) {
        ad_fail(g, AD_EGRAPH, m.graph == g ? "end: this scope is closed already" : "end: this scope is another graph's");
        return;
    }
    ad__scope closing = *s;
    if (g->plan.root != NULL && g->plan.root->id > closing.n_ops) g->plan.root = NULL;
    if (g->extras != NULL) free_extras(g, closing.mark.depth);
    for (int i = 0; i < AD__RECENT; i++)
        if (g->recent[i].depth >= closing.mark.depth) g->recent[i].layout = NULL;
    g->scope = closing.outer;
    g->last = closing.last;
    g->n_ops = closing.n_ops;
    if (g->ops_at_change > g->n_ops) g->ops_at_change = g->n_ops;
    ad__arena_rewind(&g->nodes, closing.nodes);
    ad__arena_rewind(&g->arrays, closing.arrays);
}

/* What address sanitizer is to notice behind an array. */
#ifdef AD__ASAN
enum { RED_ZONE = AD__ALIGN };
#else
enum { RED_ZONE = 0 };
#endif

/* ---- memory ---------------------------------------------------------------------------------- */

int ad_no_memory(ad_graph *g, const char *what, size_t bytes) {
    return ad_fail(g, AD_ENOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

/* A block holds fewer Ops than are kept free here, so that new Ops need not look at their number. */
enum { SPARE_IDS = 1 << 24 };

void *ad__node_more(ad_graph *g, size_t size) {
    if (g->n_ops > UINT32_MAX - SPARE_IDS)
        return ad_fail(g, AD_ENOMEM, "a graph holds at most %u live ops", UINT32_MAX - SPARE_IDS), NULL;
    void *p = ad__arena_more(&g->nodes, size);
    if (p == NULL) ad_no_memory(g, "a node", size);
    return p;
}

void *ad_scope_alloc(ad_graph *g, size_t size) { return ad__node_take(g, round_up(size, 8)); }

void *ad_scope_zalloc(ad_graph *g, size_t size) {
    void *p = ad_scope_alloc(g, size);
    if (p != NULL) memset(p, 0, size);
    return p;
}

void *ad_scope_array(ad_graph *g, size_t bytes) {
    if (bytes > PTRDIFF_MAX / 2) return ad_no_memory(g, "an array", bytes), NULL;
    size_t room = round_up(bytes, AD__ALIGN) + RED_ZONE;
    char *p = ad__arena_alloc(&g->arrays, room);
    if (AD__UNLIKELY(p == NULL)) return ad_no_memory(g, "an array", bytes), NULL;
    AD__POISON(p + bytes, room - bytes);
    return p;
}

/* The depth of the scope that x was made in; 0 outside all scopes. */
static int depth_of(const ad_graph *g, const ad_var *x) {
    const ad__scope *s = g->scope;
    while (s != NULL && ad__arena_before(&g->nodes, s->nodes, x)) s = s->outer;
    return s ? s->mark.depth : 0;
}

int ad__check_open(const ad_var *x, const char *caller) {
    ad_graph *g = ad__owner(x);
    bool live = ad__arena_before(&g->nodes, ad__arena_here(&g->nodes), x) && (!x->creator || x->creator->id <= g->n_ops);
    return live ? AD_OK : ad_fail(g, AD_EGRAPH, "%s: a Var was given whose scope is closed: ad_end took it away", caller);
}

enum { EXTRA_HEADER = (sizeof(ad__extra) + AD__ALIGN - 1) / AD__ALIGN * AD__ALIGN };

static void *add_extra(ad_graph *g, size_t bytes, int depth, ad_close_fn *close) {
    ad__extra *e = ad__memory_take(&g->memory, AD__ALIGN, EXTRA_HEADER + bytes);
    if (e == NULL) return ad_no_memory(g, "an array", bytes), NULL;
    *e = (ad__extra){ g->extras, EXTRA_HEADER + bytes, depth, close };
    g->extras = e;
    return (char *)e + EXTRA_HEADER;
}

static int depth_now(const ad_graph *g) { return g->scope ? g->scope->mark.depth : 0; }

void *ad__lasting_alloc(ad_graph *g, const ad_var *x, size_t bytes) {
    int depth = x ? depth_of(g, x) : 0;
    return depth == depth_now(g) ? ad_scope_array(g, bytes) : add_extra(g, bytes, depth, NULL);
}

void *ad_scope_closing(ad_graph *g, size_t bytes, ad_close_fn *close) {
    return add_extra(g, bytes, depth_now(g), close);
}

/* Closes and frees the extras of the scopes from depth on inwards. */
static void free_extras(ad_graph *g, int depth) {
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
    size = round_up(size, AD__ALIGN);
    if (size > PTRDIFF_MAX / threads) return ad_no_memory(g, "scratch", size);
    void *p = ad__memory_take(&g->memory, AD__ALIGN, size * threads);
    if (p == NULL) return ad_no_memory(g, "scratch", size * threads);
    ad__memory_give(&g->memory, g->scratch, g->scratch_size * threads);
    g->scratch = p;
    g->scratch_size = size;
    return AD_OK;
}

int ad__scratch_share(ad_graph *g, int had) {
    size_t threads = (size_t)ad__team_size(g->team), size = g->scratch_size;
    if (size == 0) return AD_OK;
    void *p = size > PTRDIFF_MAX / threads ? NULL : ad__memory_take(&g->memory, AD__ALIGN, size * threads);
    if (p == NULL) return ad_no_memory(g, "scratch of each thread", size);
    ad__memory_give(&g->memory, g->scratch, size * (size_t)had);
    g->scratch = p;
    return AD_OK;
}
