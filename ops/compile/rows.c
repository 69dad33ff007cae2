/* rows.c: joins loops that go over the same rows, so that all work on a row is done while it is in the cache. */
#include <stdlib.h>
#include <string.h>

#include "ops/compile/source.h"

/* Rows that are shorter gain nothing: work on the numbers between them would not use vectors any more. */
enum { SHORTEST_ROW = 64 };

/* Steps that one loop over rows may run. */
typedef struct {
    ad_emit *e;
    ad__schedule *s;
    int64_t first, n;
    int64_t rows;
    ad__nest like; /* a nest over rows and along them, as it was before it was joined */
} joining;

static ad__step *step_at(const joining *j, int64_t i) { return &j->s->steps.at[i]; }
static ad__nest *member(const joining *j, const ad__step *step, int64_t k) {
    return &j->e->nests.at[j->s->members.at[step->first + k]];
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* The elements of a row that a nest reaches by a map, as offsets: those of the first row. */
static void range_of_row(const ad__nest *n, const ad__map *m, int64_t *from, int64_t *to) {
    *from = *to = ad__offset_of(m->at);
    for (int d = 1; d < n->ndim; d++) {
        int64_t reach = m->stride[d] * (n->dim[d] - 1);
        *(reach < 0 ? from : to) += reach;
    }
}

/* Whether at each row the two maps reach elements that neither reaches at other rows. */
static bool keep_to_rows(const ad__nest *a, const ad__map *ma, const ad__nest *b, const ad__map *mb) {
    int64_t from_a, to_a, from_b, to_b;
    if (ma->stride[0] != mb->stride[0] || ma->stride[0] <= 0) return false;
    range_of_row(a, ma, &from_a, &to_a), range_of_row(b, mb, &from_b, &to_b);
    int64_t from = from_a < from_b ? from_a : from_b, to = to_a > to_b ? to_a : to_b;
    return to - from < ma->stride[0];
}

static bool are_apart(const ad__nest *a, const ad__map *ma, const ad__nest *b, const ad__map *mb) {
    return ad__buffer_of(ma->at) != ad__buffer_of(mb->at) || keep_to_rows(a, ma, b, mb);
}

/* Whether b may run at a row when a has not run at the later ones. */
static bool runs_by_rows(const ad__nest *a, const ad__nest *b) {
    for (int i = 0; i <= b->n; i++)
        if (!are_apart(a, &a->out, b, ad__map_at((ad__nest *)b, i))) return false;
    for (int i = 0; i < a->n; i++)
        if (!are_apart(a, &a->in[i], b, &b->out)) return false;
    return true;
}

/* ---- which steps ------------------------------------------------------------------------------------------------- */

static bool has_rows(const joining *j, const ad__step *step) {
    const ad__nest *n = step->segment < 0 ? member(j, step, 0) : NULL;
    if (n == NULL || n->kind >= AD__CALL || n->ndim == 0) return false;
    return step->n > 1 || !ad__is_product(j->e, n);
}

/* Whether the nests of a step go over the rows, or can: a nest over all elements in a row gets the axes of `like`. */
static bool fits(const joining *j, const ad__step *step) {
    const ad__nest *n = member(j, step, 0);
    return n->dim[0] == j->rows || (n->ndim == 1 && n->dim[0] == ad__indices(&j->like));
}

/* The nest as it is when its step joins. */
static ad__nest as_joined(const joining *j, const ad__nest *n) {
    ad__nest x = *n;
    if (x.dim[0] != j->rows) ad__split_axis(&x, &j->like);
    return x;
}

static bool steps_run_by_rows(const joining *j, const ad__step *a, const ad__step *b) {
    for (int64_t k = 0; k < a->n; k++)
        for (int64_t i = 0; i < b->n; i++) {
            ad__nest x = as_joined(j, member(j, a, k)), y = as_joined(j, member(j, b, i));
            if (!runs_by_rows(&x, &y)) return false;
        }
    return true;
}

static bool joins(const joining *j, const ad__step *step) {
    if (step->begins || !has_rows(j, step) || !fits(j, step)) return false;
    for (int64_t i = j->first; i < j->first + j->n; i++)
        if (!steps_run_by_rows(j, step_at(j, i), step)) return false;
    return true;
}

/* A step whose loops go along rows, too. */
static bool is_long(const joining *j, const ad__step *step) {
    const ad__nest *n = member(j, step, 0);
    return ad__indices(n) >= j->rows * SHORTEST_ROW;
}

/* The rows from step `first` on: those of the first nest with two axes. */
static bool find_rows(joining *j) {
    for (int64_t i = j->first; i < j->s->steps.n && i < j->first + AD__JOINED && has_rows(j, step_at(j, i)); i++) {
        j->like = *member(j, step_at(j, i), 0), j->rows = j->like.dim[0];
        if (j->like.ndim > 1) return is_long(j, step_at(j, i));
    }
    return false;
}

/* Joins steps from j->first on. At both ends are steps that go along rows. */
static void join_from(joining *j) {
    if (!find_rows(j)) return;
    if (!fits(j, step_at(j, j->first)) || !is_long(j, step_at(j, j->first))) return;
    for (j->n = 1; j->n < AD__JOINED && j->first + j->n < j->s->steps.n; j->n++)
        if (!joins(j, step_at(j, j->first + j->n))) break;
    while (j->n > 1 && !is_long(j, step_at(j, j->first + j->n - 1))) j->n--;
    if (j->n < 2) return;
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        ad__step *step = step_at(j, i);
        step->joined = i > j->first;
        for (int64_t k = 0; k < step->n; k++) *member(j, step, k) = as_joined(j, member(j, step, k));
    }
}

/* ---- a few elements ---------------------------------------------------------------------------------------------- */

enum { FEW_MEMBERS = 24 };

static bool is_loop(const joining *j, const ad__step *step) {
    const ad__nest *n = step->segment < 0 ? member(j, step, 0) : NULL;
    return n != NULL && n->kind < AD__CALL && step->n <= FEW_MEMBERS && !(step->n == 1 && ad__is_product(j->e, n));
}

/* Elements of an array apart from the others, such as the ends of a stencil. */
static bool is_ends(const joining *j, const ad__step *step) {
    const ad__nest *n = step->segment < 0 ? member(j, step, 0) : NULL;
    return is_loop(j, step) && n->ndim == 0 && j->e->buffers.at[ad__buffer_of(n->out.at)].size > 1;
}

static bool are_unrelated(const joining *j, const ad__step *a, const ad__step *b) {
    for (int64_t k = 0; k < a->n; k++)
        for (int64_t i = 0; i < b->n; i++)
            if (ad__depends(member(j, a, k), member(j, b, i))) return false;
    return true;
}

/* A call more would take as long as the elements themselves. They come before the loop if they can: the loop of the
   next step reads them as parts of vectors, for which a processor waits until they are in its cache. */
static void put_ends_to_loops(joining *j) {
    for (int64_t i = 1; i < j->s->steps.n; i++) {
        ad__step *step = step_at(j, i), *before = step_at(j, i - 1);
        if (step->begins || step->joined || before->joined || before->after) continue;
        if (!is_ends(j, step) || !is_loop(j, before)) continue;
        step->after = true;
        if (!are_unrelated(j, before, step)) continue;
        ad__step loop = *before;
        *before = *step, before->begins = loop.begins, before->after = false;
        *step = loop, step->begins = false, step->after = true;
    }
}

void ad__join_rows(ad_emit *e, ad__schedule *s) {
    joining j = { .e = e, .s = s };
    while (j.first < s->steps.n) {
        j.n = 1;
        join_from(&j);
        j.first += j.n;
    }
    put_ends_to_loops(&j);
}
