/* graph.c: making and freeing graphs, their modes, and scopes. */
#define _DEFAULT_SOURCE /* madvise */
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "autodiff/graph/flat.h"
#include "autodiff/graph/memory.h"
#include "autodiff/graph/name.h"
#include "autodiff/graph/plan.h"

const char *ad_version(void) {
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
    return TEXT(AD_VERSION_MAJOR) "." TEXT(AD_VERSION_MINOR) "." TEXT(AD_VERSION_PATCH);
#undef TEXT
#undef TEXT_
}

/* ---- making and freeing, modes -------------------------------------------------------------- */

enum { HUGE_PAGE = 2 << 20 };

/* Large blocks use huge pages where the system has them: with small pages, page faults would cost more than all other
   work on a scalar node. */
static void *system_alloc(void *data, size_t align, size_t size) {
    (void)data;
    bool large = size >= 2 * (size_t)HUGE_PAGE;
    void *p = aligned_alloc(large ? HUGE_PAGE : align, ad__round_up(size, large ? HUGE_PAGE : align));
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
    ad_graph *g = a.alloc && a.release ? a.alloc(a.data, AD__ALIGN, sizeof *g) : NULL;
    if (g == NULL) return NULL;
    *g = (ad_graph){ .memory = { .use = a, .held = sizeof *g, .allocs = 1 },
                     .grad_enabled = true,
                     .is_plain = true,
                     .fast_path = true,
                     .keep_grads = true,
                     .clock = 1 };
    g->nodes.memory = g->arrays.memory = g->pool.memory = &g->memory;
    for (int t = AD_F32; t <= AD_F64; t++)
        g->scalar[t] =
            (ad__layout){ .graph = g, .numel = 1, .bytes = ad_dtype_size((ad_dtype)t), .dtype = (ad_dtype)t };
    g->empty = (ad__layout){ .graph = g, .dtype = AD_F64, .shape = { 1, { 0 } } };
    g->nil = (ad_var){ .layout = &g->empty, .flags = AD__NIL };
    g->scratch = &g->nil; /* of no bytes, but an address */
    return g;
}

void ad_graph_free(ad_graph *g) {
    if (g == NULL) return;
    size_t scratch = g->scratch_size * (size_t)ad__team_size(g->team);
    ad__team_free(&g->memory, g->team);
    ad__extras_free(g, 0);
    ad__plan_free(g, &g->plan);
    if (g->heap != NULL) ad__pool_give(&g->pool, g->heap, g->heap_capacity * sizeof *g->heap);
    ad__pool_free(&g->pool);
    ad__arena_free(&g->nodes);
    ad__arena_free(&g->arrays);
    if (scratch > 0) ad__memory_give(&g->memory, g->scratch, scratch);
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
    ad__choose_paths(g);
    return was;
}

bool ad_recomputing(const ad_graph *g) { return g != NULL && g->recomputing > 0; }

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

/* Forgets the branches of a scope, and what others note of its Ops, whose ids are used again. */
static void drop_branches(ad_graph *g, uint32_t n_ops) {
    g->branches_ended = 0;
    for (; g->branch != NULL && g->branch->id > n_ops; g->branch = ad__branch_of(g->branch)->prev) g->plan.root = NULL;
    for (const ad_op *op = g->branch; op != NULL; op = ad__branch_of(op)->prev) {
        ad__branch_info *b = ad__branch_of(op);
        if (b->until == AD__ALWAYS) continue;
        if (b->until > n_ops) b->until = n_ops;
        if (b->until > g->branches_ended) g->branches_ended = b->until;
    }
}

/* closing is a copy: the record itself is in the memory that is released. Close functions run first. */
static void close_scope(ad_graph *g, ad__scope closing) {
    if (AD__UNLIKELY(g->flat != NULL) && g->flat->root->id > closing.n_ops) ad__flat_drop(g);
    if (g->plan.root != NULL && g->plan.root->id > closing.n_ops) g->plan.root = NULL;
    if (g->branch != NULL) drop_branches(g, closing.n_ops);
    while (g->derived != NULL && g->derived->until > closing.n_ops) g->derived = g->derived->prev;
    if (g->names != NULL) ad__names_drop(g, closing.mark.depth);
    if (g->extras != NULL) ad__extras_free(g, closing.mark.depth);
    for (int i = 0; i < AD__RECENT; i++)
        if (g->recent[i].depth >= closing.mark.depth) g->recent[i].layout = NULL;
    g->scope = closing.outer;
    g->last = closing.last;
    g->n_ops = closing.n_ops;
    if (g->ops_at_change > g->n_ops) g->ops_at_change = g->n_ops;
    ad__arena_rewind(&g->nodes, closing.nodes);
    ad__arena_rewind(&g->arrays, closing.arrays);
}

void ad_end(ad_graph *g, ad_mark m) {
    if (g == NULL || m.serial == 0) return; /* ad_begin failed: there is no scope */
    ad__scope *s = m.graph == g ? g->scope : NULL;
    while (s != NULL && s->mark.serial != m.serial) s = s->outer;
    if (s == NULL) {
        ad_fail(g, AD_EGRAPH, "end: this scope is %s", m.graph == g ? "closed already" : "another graph's");
        return;
    }
    close_scope(g, *s);
}

int ad__check_open(const ad_var *x, const char *caller) {
    ad_graph *g = ad__owner(x);
    bool in_use = ad__arena_before(&g->nodes, ad__arena_here(&g->nodes), x);
    if (in_use && (x->creator == NULL || x->creator->id <= g->n_ops)) return AD_OK;
    return ad_fail(g, AD_EGRAPH, "%s: a Var was given whose scope is closed; use it before ad_end", caller);
}
