/* pattern.c: the pattern of a Jacobian, read off the program that the graph is lowered to.

   Each number of the program gets the set of elements of x that it depends on. */
#include "ops/sparse/pattern.h"

#include <string.h>

ad__subset *ad__pattern_array(ad_pattern *p, int b) {
    if (p->arrays[b]) return p->arrays[b];
    size_t bytes = ((size_t)p->e->buffers.at[b].size + 1) * sizeof(ad__subset);
    p->arrays[b] = ad_scope_closing(p->e->g, bytes, NULL);
    if (p->arrays[b]) memset(p->arrays[b], 0, bytes);
    else p->sets.code = AD_ENOMEM;
    return p->arrays[b];
}

static ad__subset set_at(const ad_pattern *p, ad__place at) {
    int b = ad__buffer_of(at);
    const ad__subset *array = b == 0 ? p->results : p->arrays[b];
    return array ? array[ad__offset_of(at)] : 0;
}

static void insn(ad_pattern *p, int64_t i) {
    const ad__insn *in = &p->e->insns.at[i];
    const ad__form *f = &p->e->forms.at[in->form];
    ad__subset s = 0;
    for (int k = 0; k < in->n && k < AD__COUNT(f->slope); k++)
        if (f->slope[k] != AD__ZERO_SLOPE) s = ad__union_of(&p->sets, s, set_at(p, p->e->places.at[in->in + k]));
    p->results[i] = s;
}

/* ---- the parts of the program in order --------------------------------------------------------------------------- */

static void *zeros(ad_graph *g, int64_t n, size_t size) {
    void *at = ad_scope_closing(g, ((size_t)n + 1) * size, NULL);
    return at ? memset(at, 0, ((size_t)n + 1) * size) : NULL;
}

static int begin(ad_pattern *p) {
    ad_emit *e = p->e;
    if (ad__sets_make(&p->sets, e->g, (int32_t)p->x->layout->numel)) return AD_ENOMEM;
    p->results = zeros(e->g, e->insns.n, sizeof *p->results);
    p->arrays = zeros(e->g, e->buffers.n, sizeof *p->arrays);
    p->moves = zeros(e->g, e->n_ids, sizeof *p->moves);
    if (p->results == NULL || p->arrays == NULL || p->moves == NULL) return AD_ENOMEM;
    for (int64_t k = 0; k < e->ops.n; k++) {
        const ad_op *op = e->ops.at[k];
        bool *moves = &p->moves[op->id - e->first_id];
        for (int i = 0; i < op->n_in; i++) {
            const ad_op *made = op->in[i]->creator;
            *moves |= op->in[i] == p->x || (made && p->moves[made->id - e->first_id]);
        }
    }
    return AD_OK;
}

static int run(ad_pattern *p) {
    ad_emit *e = p->e;
    int64_t i = 0;
    for (int64_t b = 0; b < e->buffers.n; b++) {
        if (e->buffers.at[b].kind != AD__ARGUMENT) continue;
        ad__subset *x = ad__pattern_array(p, (int)b);
        for (int64_t k = 0; x && k < e->buffers.at[b].size; k++) x[k] = (ad__subset)k + 1;
    }
    for (int64_t k = 0; k <= e->nests.n && p->sets.code == AD_OK; k++) {
        for (int64_t end = k < e->nests.n ? e->nests.at[k].at : e->insns.n; i < end; i++) insn(p, i);
        if (k == e->nests.n) break;
        const ad__nest *n = &e->nests.at[k];
        if (n->kind == AD__CALL) ad__pattern_call(p, n);
        else if (n->kind != AD__NOTHING) ad__pattern_nest(p, n);
    }
    return p->sets.code;
}

/* ---- the matrix -------------------------------------------------------------------------------------------------- */

/* The members of the sets of y, which are in row-major order, in rows whose columns do not ascend yet. */
static int list_rows(ad_pattern *p, const ad__subset *y, int64_t rows, ad__sparsity *to) {
    int64_t count = 0;
    for (int64_t i = 0; i < rows; i++) count += y ? ad__subset_count(&p->sets, y[i]) : 0;
    if (ad__sparsity_make(p->e->g, rows, p->x->layout->numel, count, to)) return AD_ENOMEM;
    for (int64_t i = 0; i < rows && y; i++) {
        ad__subset_list(&p->sets, y[i], to->column + to->start[i]);
        to->start[i + 1] = to->start[i] + ad__subset_count(&p->sets, y[i]);
    }
    return AD_OK;
}

static int find(ad_emit *e, ad_var *y, ad_var *x, ad__sparsity *to, ad__pattern_source **sources) {
    ad_pattern p = { .e = e, .x = x, .sources = *sources };
    ad__sparsity unsorted, columns;
    if (ad__lower(e, 1, &y, 1, &x) != AD_OK) return e->code;
    if (e->buffers.n == 0) return AD_OK;
    ad__place at = ad_emit_contiguous(e, ad__value_of(e, y)).place;
    if (e->code != AD_OK || begin(&p) != AD_OK || run(&p) != AD_OK) return e->code ? e->code : AD_ENOMEM;
    int b = ad__buffer_of(at);
    const ad__subset *sets = b == 0 ? p.results : p.arrays[b];
    int rc = list_rows(&p, sets ? sets + ad__offset_of(at) : NULL, y->layout->numel, &unsorted);
    if (rc == AD_OK) rc = ad__sparsity_transpose(e->g, &unsorted, &columns);
    if (rc == AD_OK) rc = ad__sparsity_transpose(e->g, &columns, to);
    *sources = p.sources;
    return rc;
}

/* What x was made from is hidden, so that walks end at it as at a leaf. */
int ad__pattern_find(ad_graph *g, ad_var *y, ad_var *x, ad__sparsity *to, ad__pattern_source **sources) {
    ad_emit e = { .g = g, .patterns = true };
    ad_op *creator = x->creator;
    x->creator = NULL;
    int rc = find(&e, y, x, to, sources);
    x->creator = creator;
    return g->code ? g->code : rc;
}
