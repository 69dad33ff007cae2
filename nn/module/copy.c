/* copy.c: a second module with parameters of its own. */
#include <string.h>

#include "nn/module/module_private.h"

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad_scope_alloc(c->graph, size)
#define uthash_free(memory, size) ((void)(memory))
#define uthash_nonfatal_oom(entry) ((entry)->to = NULL)
#include <uthash.h>

/* MemorySanitizer is told that a word may be used, though it may be padding. */
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define KNOWN(word) __msan_unpoison(&(word), sizeof(word))
#endif
#endif
#ifndef KNOWN
#define KNOWN(word) (void)0
#endif

/* A Var or a module of the original, and its copy. */
typedef struct {
    const void *from;
    void *to;
    UT_hash_handle hh;
} part;

typedef struct {
    ad_graph *graph;
    part *parts; /* by address of the original */
} copies;

static void *copy_of(const copies *c, const void *from) {
    part *p = NULL;
    HASH_FIND_PTR(c->parts, &from, p);
    return p ? p->to : NULL;
}

static void remember(copies *c, const void *from, void *to) {
    part *p = to ? ad_scope_zalloc(c->graph, sizeof *p) : NULL;
    if (p == NULL) return; /* the graph has the error */
    p->from = from;
    p->to = to;
    HASH_ADD_PTR(c->parts, from, p);
}

/* What is used in two places is copied once. */
static ad_var *copy_var(copies *c, const ad_var *x) {
    ad_var *to = copy_of(c, x);
    if (to != NULL) return to;
    to = ad_tensor(c->graph, ad_dtype_of(x), ad_data(x), ad_shape_of(x));
    if (ad_requires_grad(x)) ad_require_grad(to);
    remember(c, x, to);
    return to;
}

static nn_module *copy_tree(copies *c, const nn_module *m);

static void copy_member(copies *c, const nn__member *m, nn_module *to) {
    if (m->module != NULL) nn_add_child(to, m->name, copy_tree(c, m->module));
    else if (m->kind == NN__BUFFERS) nn_add_buffer(to, m->name, copy_var(c, m->var));
    else if (ad_requires_grad(m->var)) nn_add_parameter(to, m->name, copy_var(c, m->var));
    else ad_set_requires_grad(nn_add_parameter(to, m->name, copy_var(c, m->var)), false); /* frozen */
}

/* Fields are read and written as bytes: their types are the user's. */
static void point_fields(const copies *c, nn_module *m) {
    for (const nn__reference *r = m->references; r != NULL; r = r->next) {
        void *field;
        memcpy(&field, (char *)m->self + r->offset, sizeof field);
        void *to = copy_of(c, field);
        if (to != NULL) memcpy((char *)m->self + r->offset, &to, sizeof to);
    }
}

void *nn__word_at(const nn_module *m, size_t at) {
    void *word;
    memcpy(&word, (const char *)m->self + at, sizeof word);
    KNOWN(word);
    return word;
}

/* A pointer to a part of the original that is still in the copy was not named by nn_add_reference. The copy would share
   that part with the original, which nobody would notice. */
static int check_fields(const copies *c, const nn_module *m) {
    for (size_t at = 0; at + sizeof(void *) <= m->size; at += sizeof(void *)) {
        if (copy_of(c, nn__word_at(m, at)) != NULL)
            return ad_fail(c->graph, AD_EVALUE,
                           "copy: byte %zu of %s's struct begins a pointer to a part of the module that "
                           "nn_add_reference was not told of", at, m->kind);
    }
    return AD_OK;
}

static void copy_self(copies *c, const nn_module *m, nn_module *to) {
    memcpy(to->self, m->self, m->size);
    to->training = m->training;
    for (const nn__reference *r = m->references; r != NULL; r = r->next)
        nn_add_reference(to, (char *)to->self + r->offset);
    point_fields(c, to);
    check_fields(c, to);
}

/* As deep as modules are nested. NULL after an error. */
static nn_module *copy_tree(copies *c, const nn_module *m) {
    nn_module *to = copy_of(c, m);
    if (to != NULL) return to;
    to = nn_module_new(c->graph, m->kind, m->forward, m->size);
    for (const nn__member *from = m->members; from != NULL && ad_ok(c->graph); from = from->next)
        copy_member(c, from, to);
    if (!ad_ok(c->graph)) return NULL;
    to->forward_n = m->forward_n;
    remember(c, m, to);
    copy_self(c, m, to);
    return ad_ok(c->graph) ? to : NULL;
}

nn_module *nn_copy(nn_module *m) {
    if (m == NULL || nn__check_open(&m->object, NULL, "copy", "module") || !ad_ok(m->object.graph)) return NULL;
    copies c = { .graph = m->object.graph };
    return copy_tree(&c, m);
}
