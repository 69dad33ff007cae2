/* assemble.c: a plan's pattern in the format that was asked for. */
#include <string.h>

#include "autodiff/graph/memory.h"
#include "ops/sparse/plan.h"

void *ad__plan_keep(ad_sparse_plan *p, const void *from, int64_t n, size_t size) {
    size_t bytes = (size_t)(n > 0 ? n : 1) * size;
    void *at = ad__lasting_alloc(p->g, (const ad_var *)(const void *)p, bytes);
    if (at && from && n > 0) memcpy(at, from, (size_t)n * size);
    else if (at) memset(at, 0, bytes);
    return at;
}

static bool wanted(const ad_sparse_plan *p, int32_t i, int32_t j) {
    return p->opts.triangle == AD_TRIANGLE_BOTH || (p->opts.triangle == AD_TRIANGLE_LOWER ? i >= j : i <= j);
}

/* By element of a: its number in the order of the format; -1 if it is not wanted. */
static int64_t number_elements(ad_sparse_plan *p, const ad__sparsity *a, int64_t *number) {
    int64_t n = 0;
    int64_t *start = p->opts.format == AD_CSC ? ad__filled(p->g, a->columns + 1, sizeof *start, 0) : NULL;
    if (p->opts.format == AD_CSC && start == NULL) return -1;
    for (int32_t i = 0; i < a->rows; i++)
        for (int64_t k = a->start[i]; k < a->start[i + 1]; k++) {
            number[k] = wanted(p, i, a->column[k]) ? n++ : -1;
            if (start && number[k] >= 0) start[a->column[k] + 1]++;
        }
    if (start == NULL) return n;
    for (int32_t j = 0; j < a->columns; j++) start[j + 1] += start[j];
    for (int64_t k = 0; k < ad__sparsity_count(a); k++)
        if (number[k] >= 0) number[k] = start[a->column[k]]++;
    return n;
}

/* The element of row i in column j, which there is. */
static int64_t element_at(const ad__sparsity *a, int32_t i, int32_t j) {
    int64_t low = a->start[i], high = a->start[i + 1];
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (a->column[middle] <= j) low = middle;
        else high = middle;
    }
    return low;
}

/* By substitution, elements below the diagonal are found. An element above it equals the one below it, or is found in
   its place if only those above are wanted. */
static void mirror(const ad_sparse_plan *p, const ad__sparsity *a, ad__colours *c, int64_t *number) {
    for (int32_t i = 0; i < a->rows; i++)
        for (int64_t k = a->start[i]; k < a->start[i + 1]; k++) {
            if (a->column[k] <= i) continue;
            int64_t below = element_at(a, a->column[k], i);
            if (p->opts.triangle == AD_TRIANGLE_UPPER) {
                number[below] = number[k], number[k] = -1;
            } else if (number[k] >= 0) c->at[k] = (int32_t)number[below];
        }
}

static int keep_order(ad_sparse_plan *p, const ad__colours *c, const int64_t *number) {
    if (c->order == NULL) return AD_OK;
    for (int64_t i = 0; i < c->n_order; i++) c->order[i] = number[c->order[i]];
    for (int64_t i = 0; i < c->start[c->n_order]; i++) c->minus[i] = number[c->minus[i]];
    p->reads.n_order = c->n_order;
    p->reads.order = ad__plan_keep(p, c->order, c->n_order, sizeof *c->order);
    p->reads.start = ad__plan_keep(p, c->start, c->n_order + 1, sizeof *c->start);
    p->reads.minus = ad__plan_keep(p, c->minus, c->start[c->n_order], sizeof *c->minus);
    return p->reads.order && p->reads.start && p->reads.minus ? AD_OK : AD_ENOMEM;
}

static int keep_colours(ad_sparse_plan *p, const ad__sparsity *a, const ad__colours *c) {
    p->n_columns = c->n_columns, p->n_rows = c->n_rows;
    if (c->column) p->column_colour = ad__plan_keep(p, c->column, a->columns, sizeof *c->column);
    if (c->row) p->row_colour = ad__plan_keep(p, c->row, a->rows, sizeof *c->row);
    return (c->column && !p->column_colour) || (c->row && !p->row_colour) ? AD_ENOMEM : AD_OK;
}

/* Row and column of each wanted element; they are those of the transposed matrix where mirror put it. */
static int keep_elements(ad_sparse_plan *p, const ad__sparsity *a, ad__colours *c, int64_t *number) {
    int64_t n = number_elements(p, a, number);
    if (n < 0) return AD_ENOMEM;
    int32_t *product = ad__plan_keep(p, NULL, n, sizeof *product), *at = ad__plan_keep(p, NULL, n, sizeof *at);
    p->row = ad__plan_keep(p, NULL, n, sizeof *p->row), p->column = ad__plan_keep(p, NULL, n, sizeof *p->column);
    if (!product || !at || !p->row || !p->column) return AD_ENOMEM;
    for (int32_t i = 0; i < a->rows; i++)
        for (int64_t k = a->start[i]; k < a->start[i + 1]; k++)
            if (number[k] >= 0) p->row[number[k]] = i, p->column[number[k]] = a->column[k];
    if (c->order) mirror(p, a, c, number);
    for (int64_t k = 0; k < ad__sparsity_count(a); k++)
        if (number[k] >= 0) product[number[k]] = c->product[k], at[number[k]] = c->at[k];
    p->reads = (ad__reads){ .n = n, .product = product, .at = at };
    return keep_order(p, c, number);
}

static int assemble(ad_sparse_plan *p, const ad__sparsity *a, ad__colours *c) {
    int64_t *number = ad__filled(p->g, ad__sparsity_count(a), sizeof *number, 0);
    if (number == NULL || keep_elements(p, a, c, number)) return AD_ENOMEM;
    return keep_colours(p, a, c);
}

/* ---- sources ----------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const ad_var *v) {
    uint64_t h = 0xcbf29ce484222325u, word;
    const char *data = v->data;
    for (size_t i = 0, n = v->layout->bytes; i < n; i += sizeof word) {
        word = 0;
        memcpy(&word, data + i, n - i < sizeof word ? n - i : sizeof word);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

static int keep_sources(ad_sparse_plan *p, const ad__pattern_source *list) {
    for (const ad__pattern_source *s = list; s; s = s->next) p->n_sources++;
    p->sources = ad__plan_keep(p, NULL, p->n_sources, sizeof *p->sources);
    if (p->sources == NULL) return AD_ENOMEM;
    ad__source *to = p->sources;
    for (const ad__pattern_source *s = list; s; s = s->next) *to++ = (ad__source){ s->var, hash_of(s->var) };
    return AD_OK;
}

int ad__plan_check_sources(const ad_sparse_plan *p) {
    for (int i = 0; i < p->n_sources; i++)
        if (hash_of(p->sources[i].var) != p->sources[i].hash)
            return ad_fail(p->g, AD_ESTALE,
                           "sparse_eval: indices %s that the pattern was taken from have changed; make the plan again",
                           ad_shape_str(p->sources[i].var->layout->shape).text);
    return AD_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

int ad__plan_pattern(ad_sparse_plan *p) {
    ad__sparsity found, both, *a = &found;
    ad__colours c;
    ad__pattern_source *sources = NULL;
    int rc = ad__pattern_find(p->g, p->y, p->x, &found, &sources);
    if (rc == AD_OK && p->symmetric) rc = ad__sparsity_symmetric(p->g, &found, &both), a = &both;
    if (rc == AD_OK) rc = ad__plan_colours(p, a, &c);
    if (rc == AD_OK) rc = assemble(p, a, &c);
    if (rc == AD_OK) rc = keep_sources(p, sources);
    return rc;
}
