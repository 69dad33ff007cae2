/* trace.c: walks two expressions side by side. */
#include "nn/onnx/trace.h"

#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad_scope_alloc(w->t->g, size)
#define uthash_free(p, size) ((void)(p), (void)(size))
#include <uthash.h>

typedef struct {
    ad_var *var, *other; /* a Var that was met, and its counterpart */
    UT_hash_handle hh;
} met;

typedef struct {
    nn__trace *t;
    met *met;
    nn__pairs open; /* whose operands are being walked; the innermost is last */
    int *next;      /* for each of them, the operand to walk next */
} walk;

static void *grown(ad_graph *g, const void *old, int n, int more, size_t size) {
    void *to = ad_scope_alloc(g, (size_t)more * size);
    return to && n > 0 ? memcpy(to, old, (size_t)n * size) : to;
}

/* Returns whether there was memory. */
static bool put(ad_graph *g, nn__pairs *list, nn__pair v) {
    if (list->n == list->capacity) {
        int more = list->capacity ? 2 * list->capacity : 64;
        nn__pair *at = grown(g, list->at, list->n, more, sizeof *at);
        if (at == NULL) return false;
        list->at = at, list->capacity = more;
    }
    list->at[list->n++] = v;
    return true;
}

static bool open(walk *w, nn__pair v) {
    int before = w->open.capacity;
    if (!put(w->t->g, &w->open, v)) return false;
    if (w->open.capacity != before) w->next = grown(w->t->g, w->next, before, w->open.capacity, sizeof *w->next);
    if (w->next != NULL) w->next[w->open.n - 1] = 0;
    return w->next != NULL;
}

/* Whether v is met for the first time. An error if its counterpart was another one before. */
static bool is_new(walk *w, nn__pair v) {
    met *m = NULL;
    HASH_FIND_PTR(w->met, &v.at[0], m);
    if (m != NULL && m->other != v.at[1])
        ad_fail(w->t->g, AD_EVALUE, "%s: for one row more the network computes with other Vars", w->t->caller);
    if (m != NULL || (m = ad_scope_zalloc(w->t->g, sizeof *m)) == NULL) return false;
    m->var = v.at[0], m->other = v.at[1];
    HASH_ADD_PTR(w->met, var, m);
    return true;
}

static const char *maker(const ad_var *x) { return ad_creator(x) ? ad_op_name(ad_creator(x)) : "a constant"; }

static bool check_alike(const nn__trace *t, nn__pair v) {
    const ad_op *a = ad_creator(v.at[0]), *b = ad_creator(v.at[1]);
    const ad_shape shapes[] = { ad_shape_of(v.at[0]), ad_shape_of(v.at[1]) };
    if (strcmp(maker(v.at[0]), maker(v.at[1])) == 0 && shapes[0].ndim == shapes[1].ndim &&
        (a == NULL || ad_op_arity(a) == ad_op_arity(b)))
        return true;
    ad_fail(t->g, AD_EVALUE, "%s: for one row more the network computes %s %s in place of %s %s", t->caller,
            maker(v.at[1]), ad_shape_str(shapes[1]).text, maker(v.at[0]), ad_shape_str(shapes[0]).text);
    return false;
}

/* A leaf is listed at once, the result of an Op once its operands are. */
static bool meet(walk *w, nn__pair v) {
    if (!is_new(w, v)) return ad_ok(w->t->g);
    if (!check_alike(w->t, v)) return false;
    return ad_creator(v.at[0]) ? open(w, v) : put(w->t->g, &w->t->leaves, v);
}

static bool advance(walk *w) {
    nn__pair v = w->open.at[w->open.n - 1];
    const ad_op *op[] = { ad_creator(v.at[0]), ad_creator(v.at[1]) };
    int i = w->next[w->open.n - 1]++;
    if (i < ad_op_arity(op[0])) return meet(w, (nn__pair){ { ad_op_operand(op[0], i), ad_op_operand(op[1], i) } });
    w->open.n--;
    return put(w->t->g, &w->t->results, v);
}

int nn__trace_of(nn__trace *t, int n, const nn__pair *ys, int n_known, const nn__pair *known) {
    walk w = { .t = t };
    bool going = true;
    for (int i = 0; i < n_known && going; i++) going = is_new(&w, known[i]);
    for (int i = 0; i < n && going; i++)
        for (going = meet(&w, ys[i]); going && w.open.n > 0;) going = advance(&w);
    return ad_ok(t->g) ? AD_OK : ad_error_code(t->g);
}
