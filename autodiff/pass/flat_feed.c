/* flat_feed.c: the leaves of a flat program as an objective sets them and reads their gradients: nodes and slots in one
   pass, where ad_set, ad_eval, ad_zero_grad and ad_backward pass over the nodes once each and more. */
#include "autodiff/pass/flat.h"

/* Finds the xs among the leaves of p. Returns false if some are no leaves of one f64. */
static bool link_leaves(ad__flat *p, int n, ad_var *const xs[], uint32_t *leaves) {
    bool all = true;
    size_t fed = 0;
    for (size_t i = 0; i < p->n_leaves; i++) p->leaves[i].fed = false;
    ad__flat_bind(p);
    for (int i = 0; i < n; i++) {
        bool is_leaf = ad__flat_holds(p, xs[i]) && xs[i]->layout->dtype == AD_F64;
        all &= is_leaf;
        if (!is_leaf) continue;
        leaves[i] = (uint32_t)((const ad__slot *)xs[i]->data - p->slots);
        fed += !p->leaves[leaves[i]].fed;
        p->leaves[leaves[i]].fed = true;
    }
    p->all_fed = fed == p->n_leaves;
    ad__flat_unbind(p);
    return all;
}

bool ad__flat_can_feed(ad_graph *g, const ad_var *y, int n, ad_var *const xs[], ad__flat_links *links) {
    ad__flat *p = g->flat;
    if (p == NULL || p->root != y->creator || p->doomed || p->running || g->rule != NULL) return false;
    if (p->links == links && links->program == p->made) return links->all;
    p->links = links;
    links->program = p->made;
    links->all = link_leaves(p, n, xs, links->leaves);
    return links->all;
}

void ad__flat_feed(ad__flat *p, int n, ad_var *const xs[], const ad__flat_links *links, const double *x) {
    ad_graph *g = p->graph;
    uint64_t clock = g->clock;
    for (int i = 0; i < n; i++) {
        ad__set_stamp(xs[i], ++clock);
        *(double *)xs[i]->data = p->slots[links->leaves[i]].value = x[i];
    }
    g->clock = p->fed = clock;
    if (n > 0) g->ops_at_change = g->n_ops;
}

/* Gradients that are not wanted read as zero; the slots of the others start with -0, as in load_leaves. */
static void clear(ad__flat *p) {
    for (size_t i = 0; i < p->n_leaves; i++) p->slots[i].grad = -0.0;
    for (size_t i = 0; i < p->n_leaves && !p->all_wanted; i++)
        if (!p->leaves[i].wanted) p->leaves[i].var->flags &= (uint16_t)~AD__HAS_GRAD;
}

bool ad__flat_gradient(ad_graph *g, const ad_var *y, int n, const ad__flat_links *links, double *grad) {
    ad__flat *p = g->flat;
    if (p->links != links || p->made != links->program || !links->all || !ad__flat_differentiates(g, y)) return false;
    if (!p->marked || !p->alone || !p->pure) return false;
    p->zeroed = false;
    clear(p);
    *(double *)y->grad = 1;
    ad__flat_run(p, p->slopes);
    for (size_t i = 0; i < p->n_leaves; i++) {
        if (!p->leaves[i].wanted) continue;
        ad_var *x = p->leaves[i].var;
        *(double *)x->grad = p->slots[i].grad;
        x->flags |= AD__HAS_GRAD;
    }
    for (int i = 0; i < n; i++) grad[i] = p->leaves[links->leaves[i]].wanted ? p->slots[links->leaves[i]].grad : 0;
    return true;
}
