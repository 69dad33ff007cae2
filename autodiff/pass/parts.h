/* parts.h: cotangents of Ops that read parts of one Var, such as slices, kept until all of them are there.

   Private to autodiff/pass/. One array of the Var's size for each part would make the gradient of n parts cost n times
   that size. */
#ifndef AUTODIFF_PASS_PARTS_H
#define AUTODIFF_PASS_PARTS_H

#include "autodiff/graph/node.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* One Op whose type has a join, and its result's cotangent. */
typedef struct ad__part ad__part;
struct ad__part {
    const ad_op *op;
    ad_var *cotangent;
    ad__part *next; /* of the same Var */
    ad_var *var;    /* the Var, and the table's entry, of the part that a list begins with */
    UT_hash_handle hh;
};

typedef struct {
    ad_graph *g;
    size_t n, capacity;
    ad__part *items, *table;
    const ad_op **ops; /* for ad__parts_take */
    ad_var **gs;
} ad__parts;

/* Takes memory for n parts, 1 or more. AD_ENOMEM if there is too little. */
int ad__parts_open(ad__parts *p, ad_graph *g, size_t n);
void ad__parts_close(ad__parts *p);
/* Adds the cotangent of op's result, newest Op first. */
int ad__parts_add(ad__parts *p, const ad_op *op, ad_var *cotangent);
/* Any Var that has parts; NULL if there is none. */
static inline ad_var *ad__parts_left(const ad__parts *p) { return p->table ? p->table->var : NULL; }
/* Moves v's parts of one type to p->ops and p->gs, in the order in which they were added. Returns their number. */
int ad__parts_take(ad__parts *p, ad_var *v);

#endif
