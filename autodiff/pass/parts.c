/* parts.c: lists of the parts that Ops read of a Var. */
#include "autodiff/graph/node.h"

/* uthash takes its memory from the pool, so that repeated passes call no allocator. */
#define uthash_malloc(size) ad__pool_take(&g->pool, size)
#define uthash_free(p, size) ad__pool_give(&g->pool, p, size)
#define uthash_nonfatal_oom(part) ((part)->var = NULL)
#include "autodiff/pass/parts.h"

static size_t bytes_of_part(void) { return sizeof(ad__part) + sizeof(ad_op *) + sizeof(ad_var *); }

int ad__parts_open(ad__parts *p, ad_graph *g, size_t n) {
    *p = (ad__parts){ .g = g, .capacity = n };
    p->items = ad__pool_take(&g->pool, p->capacity * bytes_of_part());
    if (p->items == NULL) return ad_no_memory(g, "a gradient pass", p->capacity * bytes_of_part());
    p->ops = (const ad_op **)(void *)(p->items + p->capacity);
    p->gs = (ad_var **)(void *)(p->ops + p->capacity);
    return AD_OK;
}

void ad__parts_close(ad__parts *p) {
    ad_graph *g = p->g;
    HASH_CLEAR(hh, p->table);
    if (p->items != NULL) ad__pool_give(&g->pool, p->items, p->capacity * bytes_of_part());
}

int ad__parts_add(ad__parts *p, const ad_op *op, ad_var *cotangent) {
    ad_graph *g = p->g;
    ad__part *part = &p->items[p->n++], *head;
    ad_var *v = op->in[0];
    *part = (ad__part){ .op = op, .cotangent = cotangent, .var = v };
    HASH_FIND_PTR(p->table, &v, head);
    if (head != NULL) {
        part->next = head->next, head->next = part;
        return AD_OK;
    }
    HASH_ADD_PTR(p->table, var, part);
    return part->var == NULL ? ad_no_memory(g, "a gradient table", sizeof *part) : AD_OK;
}

int ad__parts_take(ad__parts *p, ad_var *v) {
    ad_graph *g = p->g;
    ad__part *head, *rest = NULL;
    int n = 0;
    if (p->table == NULL) return 0;
    HASH_FIND_PTR(p->table, &v, head);
    if (head == NULL) return 0;
    HASH_DEL(p->table, head);
    for (ad__part *at = head, *next; at != NULL; at = next) {
        next = at->next;
        if (at->op->type == head->op->type) p->ops[n] = at->op, p->gs[n++] = at->cotangent;
        else at->next = rest, rest = at;
    }
    if (rest == NULL) return n;
    rest->var = v;
    HASH_ADD_PTR(p->table, var, rest);
    return rest->var == NULL ? ad_no_memory(g, "a gradient table", sizeof *rest) : n;
}
