/* table.c: the table of all ops by name: those of ops.def and those registered with a graph. */
#include "autodiff/graph/memory.h"
#include "autodiff/graph/node.h"
#include "ops/ops.h"

#include <string.h>

/* The graph owns the memory of its table and frees it. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad__lasting_alloc(g, NULL, size)
#define uthash_free(p, size) ((void)(p), (void)(size))
#define uthash_nonfatal_oom(entry) ((entry)->type = NULL)
#include <uthash.h>

static const ad_optype *const all[] = {
#define AD_OP(name, parameters) &ad_op_##name,
#define AD_FN(name, parameters)
#include "ops/ops.def"
#undef AD_OP
#undef AD_FN
    NULL
};

const ad_optype *const *ad_optypes(void) { return all; }

typedef struct {
    const ad_optype *type;
    UT_hash_handle hh;
} named;

static int enter(ad_graph *g, const ad_optype *type, named *entry) {
    named *table = g->registry;
    entry->type = type;
    HASH_ADD_KEYPTR(hh, table, type->name, strlen(type->name), entry);
    if (entry->type == NULL) return ad_no_memory(g, "the table of ops", sizeof *entry);
    g->registry = table;
    return AD_OK;
}

static int fill(ad_graph *g) {
    if (g->registry != NULL) return AD_OK;
    int n = AD__COUNT(all) - 1;
    named *entries = ad__lasting_alloc(g, NULL, (size_t)n * sizeof *entries);
    if (entries == NULL) return AD_ENOMEM;
    for (int i = 0; i < n; i++)
        if (enter(g, all[i], &entries[i])) {
            g->registry = NULL; /* the table is incomplete; the next call builds it again */
            return AD_ENOMEM;
        }
    return AD_OK;
}

static named *find(ad_graph *g, const char *name) {
    named *table = g->registry, *entry;
    HASH_FIND_STR(table, name, entry);
    return entry;
}

const ad_optype *ad_find_op(ad_graph *g, const char *name) {
    if (g == NULL || name == NULL || fill(g)) return NULL;
    named *entry = find(g, name);
    return entry ? entry->type : NULL;
}

int ad_register_op(ad_graph *g, const ad_optype *type) {
    if (g == NULL || type == NULL || type->name == NULL)
        return ad_fail(g, AD_EVALUE, "register_op: the op or its name is NULL");
    if (fill(g)) return AD_ENOMEM;
    if (find(g, type->name)) return ad_fail(g, AD_EVALUE, "register_op: an op named %s exists already", type->name);
    named *entry = ad__lasting_alloc(g, NULL, sizeof *entry);
    return entry ? enter(g, type, entry) : AD_ENOMEM;
}
