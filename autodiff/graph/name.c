/* name.c: names that a program gives to Vars, for error messages and ad_dump_dot. */
#include "autodiff/graph/name.h"

#include <string.h>

#include "autodiff/graph/memory.h"

/* The link to x's entry in the list, or the last link if x has no name. */
static ad__name_entry **link_to(ad_graph *g, const ad_var *x) {
    ad__name_entry **link = &g->names;
    while (*link != NULL && (*link)->var != x) link = &(*link)->next;
    return link;
}

/* Takes x's name off the list. Its memory is freed with x, not before. */
static void remove_name(ad_graph *g, ad_var *x) {
    ad__name_entry **link = link_to(g, x);
    if (*link != NULL) *link = (*link)->next;
    x->flags &= (uint16_t)~AD__NAMED;
}

ad_var *ad_name(ad_var *x, const char *name) {
    if (ad__absent(x)) return x ? x : ad_nil(NULL);
    ad_graph *g = ad__owner(x);
    if (x->flags & AD__NAMED) remove_name(g, x);
    if (name == NULL) return x;
    size_t length = strlen(name) + 1;
    ad__name_entry *n = ad__lasting_alloc(g, x, sizeof *n + length);
    if (n == NULL) return &g->nil;
    *n = (ad__name_entry){ .next = g->names, .var = x, .depth = ad__depth_of(g, x) };
    memcpy(n->text, name, length);
    g->names = n;
    x->flags |= AD__NAMED;
    return x;
}

const char *ad_name_of(const ad_var *x) {
    if (x == NULL || !(x->flags & AD__NAMED)) return NULL;
    const ad__name_entry *n = ad__owner(x)->names;
    while (n != NULL && n->var != x) n = n->next;
    return n ? n->text : NULL;
}

void ad__names_drop(ad_graph *g, int depth) {
    for (ad__name_entry **link = &g->names; *link != NULL;)
        if ((*link)->depth >= depth) *link = (*link)->next;
        else link = &(*link)->next;
}
