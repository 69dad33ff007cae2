/* extend.c: the short functions of extend.h: buffers, and access to fields of Vars and graphs. */
#include "autodiff/graph/memory.h"

bool ad_scope_is_older(const ad_graph *g, const void *memory) {
    return g != NULL && g->scope != NULL && ad__arena_before(&g->nodes, g->scope->nodes, memory);
}

bool ad_scope_is_open(const ad_graph *g, const void *memory) {
    return g != NULL && ad__arena_holds(&g->nodes, memory);
}

void *ad_buffer_take(ad_graph *g, size_t size) {
    if (g == NULL) return NULL;
    void *buffer = ad__pool_take(&g->pool, size);
    if (buffer == NULL) ad_no_memory(g, "a buffer", size);
    return buffer;
}

void ad_buffer_give(ad_graph *g, void *buffer, size_t size) {
    if (g != NULL && buffer != NULL) ad__pool_give(&g->pool, buffer, size);
}

void ad_sum_over(ad_graph *g, ad_sum_fn *f, void *data) {
    if (g != NULL) g->sum = f, g->sum_data = data;
}

size_t ad_bytes_of(const ad_var *x) { return x ? ad__bytes(x) : 0; }
ad_team *ad_team_of(const ad_graph *g) { return g ? g->team : NULL; }
