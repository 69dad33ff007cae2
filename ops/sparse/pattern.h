/* pattern.h: who depends on whom in a lowered graph; private to this folder. */
#ifndef OPS_SPARSE_PATTERN_H
#define OPS_SPARSE_PATTERN_H

#include "ops/sparse/matrix.h"
#include "ops/sparse/sets.h"

/* What each number of the program depends on: a set of elements of x. */
struct ad_pattern {
    ad_emit *e;
    ad__sets sets;
    ad__subset *results; /* by instruction */
    ad__subset **arrays; /* by buffer, then by element; NULL: nothing in it depends on x */
    bool *moves;      /* by id of an Op, less e->first_id: its value depends on x */
    const ad_var *x;
    ad__pattern_source *sources;
    /* the Op whose pattern function runs, and its nest */
    const ad_op *op;
    const ad__nest *nest;
};

/* What the elements of buffer b depend on, made if nothing does yet. NULL if memory is short. */
ad__subset *ad__pattern_array(ad_pattern *p, int b);
/* Adds what a loop and a call say. */
void ad__pattern_nest(ad_pattern *p, const ad__nest *n);
void ad__pattern_call(ad_pattern *p, const ad__nest *n);

#endif
