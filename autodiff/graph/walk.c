/* walk.c: visiting the Ops that a root depends on, newest first, at a cost linear in their number.

   Order of creation is topological order, so the walk follows the prev links and visits the Ops that have been reached.
   If it skips too many unreached Ops, it jumps: it puts the Ops reached from the current segment on a heap and
   continues at the newest. Dense graphs never use the heap. */
#include "autodiff/graph/walk.h"

enum { SKIPS_ALLOWED = 64 };

/* ---- a binary heap of Ops, the newest at the top -------------------------------------------------- */

static int heap_push(ad_graph *g, size_t n, ad_op *op) {
    if (n == g->heap_capacity) {
        size_t more = n ? 2 * n : 256;
        ad_op **heap = ad__pool_resize(&g->pool, g->heap, n * sizeof *heap, more * sizeof *heap);
        if (heap == NULL) return AD_ENOMEM;
        g->heap = heap;
        g->heap_capacity = more;
    }
    size_t i = n;
    for (; i > 0 && g->heap[(i - 1) / 2]->id < op->id; i = (i - 1) / 2) g->heap[i] = g->heap[(i - 1) / 2];
    g->heap[i] = op;
    return AD_OK;
}

static ad_op *heap_pop(ad_graph *g, size_t n) {
    ad_op **h = g->heap, *top = h[0], *last = h[--n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && h[child + 1]->id > h[child]->id) child++;
        if (h[child]->id <= last->id) break;
        h[i] = h[child];
    }
    h[i] = last;
    return top;
}

static bool reached(const ad_op *op) { return (ad__out(op)->flags & AD__REACHED) != 0; }

/* Puts on the heap the Ops that were reached from the segment, which runs from its start to w->at. */
static int heap_frontier(ad__walk *w) {
    for (const ad_op *op = w->segment; op != w->at; op = op->prev)
        for (int i = 0; i < op->n_in; i++) {
            ad_op *creator = op->in[i]->creator;
            if (creator == NULL || !reached(creator)) continue;
            if (heap_push(w->graph, w->heaped, creator)) return AD_ENOMEM;
            w->heaped++;
        }
    return AD_OK;
}

static void move_flag(const ad__rule *r, unsigned from, unsigned to) {
    uint32_t outside = r->outer ? r->outer->floor : 0;
    for (const ad_op *op = r->op->prev; op != NULL && op->id > outside; op = op->prev)
        if (ad__out(op)->flags & from) ad__out(op)->flags ^= (uint16_t)(from | to);
}

void ad__walk_park(ad_graph *g) {
    if (g->rule->parked) return;
    g->rule->parked = true;
    move_flag(g->rule, AD__REACHED, AD__PARKED);
}

void ad__walk_unpark(ad__rule *rule) {
    if (rule->parked) move_flag(rule, AD__PARKED, AD__REACHED);
}

/* Nothing in a segment may lead to the root, so it is put on the heap at once. */
void ad__walk_add(ad__walk *w, ad_var *root) {
    if (!ad__walk_reach(w, root)) return;
    if (heap_push(w->graph, w->heaped, root->creator)) w->no_jumps = true;
    else w->heaped++;
}

ad__walk ad__walk_with_branches(ad_var *root) {
    ad_op *op = root->creator, *b = ad__owner(root)->branch;
    while (b != NULL && !ad__branch_holds(b, op->id)) b = ad__branch_of(b)->prev;
    bool after = b != NULL && b->id > op->id; /* the walk begins at the newest Op */
    ad__walk w = ad__walk_from(after ? ad__out(b) : root);
    ad__walk_add(&w, root);
    for (b = w.graph->branch; b != NULL; b = ad__branch_of(b)->prev)
        if (ad__branch_holds(b, op->id)) ad__walk_add(&w, ad__out(b));
        else if (ad__branch_of(b)->until < op->id) w.late = true;
    return w;
}

void ad__walk_late(ad__walk *w, const ad_op *op) {
    for (ad_op *b = w->graph->branch; b != NULL; b = ad__branch_of(b)->prev)
        if (b->id < op->id && ad__branch_holds(b, op->id)) ad__walk_add(w, ad__out(b));
}

/* Moves to the newest Op that is still to be visited. If there is no memory for the heap, it does nothing: following
   prev is correct too, but slower. The heap may hold an Op twice, or one that has been visited since. */
static void jump(ad__walk *w) {
    w->no_jumps = heap_frontier(w) != AD_OK;
    if (!w->no_jumps) {
        ad_op *next;
        do next = heap_pop(w->graph, w->heaped--);
        while (!reached(next));
        w->at = w->segment = next;
    }
    w->skipped = 0;
}

/* Ids are consecutive along prev, so their difference gives the number of Ops visited in this segment. */
ad_op *ad__walk_skip(ad__walk *w) {
    int64_t visited = (int64_t)w->segment->id - w->at->id - w->skipped;
    while (!reached(w->at)) {
        if (++w->skipped > SKIPS_ALLOWED + visited && !w->no_jumps) jump(w);
        else w->at = w->at->prev;
    }
    return w->at;
}
