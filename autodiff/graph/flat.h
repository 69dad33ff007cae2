/* flat.h: the flat program of a plan, which runs its one-element elementwise ops as packed instructions; private to the
   library. docs/design.md, "Flat programs", tells how and why.

   The values and gradients of one-element results live in the slots of the program while it exists: data and grad of
   these Vars point there. So all other code sees them as usual. What a program owes to the nodes is settled when
   somebody may look: stamps (ad__flat_settle) and cleared gradients (ad__flat_show_grads). */
#ifndef AUTODIFF_GRAPH_FLAT_H
#define AUTODIFF_GRAPH_FLAT_H

#include <string.h>

#include "autodiff/graph/node.h"

/* An instruction does its work on the slots and calls the next one, as its last act, which compilers turn into a jump.
   It returns where to go on, or NULL at the end. Only some instructions return without calling the next one, so that
   the stack stays small where a call is no jump. */
typedef struct ad__instr ad__instr;
typedef const ad__instr *ad__instr_fn(const ad__instr *at, ad__flat *frame);

/* What a slope instruction does with the slope by an operand. */
enum { AD__NO_SLOPE, AD__FIRST_SLOPE, AD__NEXT_SLOPE }; /* nothing; stores it; adds it */

/* 32 bytes. Offsets are in bytes from the program. */
struct ad__instr {
    ad__instr_fn *run;
    union {
        struct {
            uint32_t y, in[3]; /* the slots of result and operands; in[2] of up to two operands: the parameters */
        };
        struct {
            const ad_op *op; /* an Op that is run by its descriptor */
            uint32_t first, n; /* its shared operands */
        };
    };
    uint8_t how[3]; /* by operand */
    uint32_t rows;  /* of an instruction with rows: how many; the next one has the steps from row to row in y and in */
};

/* One instruction of many repetitions: for f64, the values, and the slopes by one of up to two operands. */
typedef struct {
    ad__instr_fn *value, *slopes[2];
} ad__flat_rows;

/* What an elementwise op's descriptor gives to programs: instructions by dtype. slopes are NULL without a gradient,
   *rows is NULL for most ops. */
typedef struct {
    ad__instr_fn *value[2], *slopes[2];
    const ad__flat_rows *const *rows;
} ad__flat_code;
static inline const ad__flat_code *ad__flat_code_of(const ad_op *op) { return op->type->flat; }

/* A value and its gradient, each in the first bytes of a double. */
typedef struct {
    double value, grad;
} ad__slot;

/* A leaf of the plan. Its value is copied to its slot before each run; its gradient before and after. */
typedef struct {
    ad_var *var;
    bool changed;  /* it was changed before the evaluation at flat->pending */
    bool wanted;   /* instructions add to its gradient */
    bool fed;      /* by ad__flat_feed: its slot has its value already */
    uint8_t bytes; /* of its element; 0 if it has not one element */
} ad__flat_leaf;

/* What a leaf has while something else stands in its place. */
typedef union {
    void *data;     /* while code is made, data points to the slot */
    uint64_t stamp; /* see ad__flat_settle_stamps */
} ad__flat_aside;

/* An operand of an Op that is run by its descriptor, whose gradient other instructions add to. */
typedef struct {
    ad_var *var;
    uint32_t leaf; /* its number + 1; 0 if it is no leaf */
    bool had;      /* instructions have added to it before */
} ad__flat_share;

struct ad__flat {
    ad_graph *graph;
    const ad_op *root;
    ad_op **ops; /* of the plan */
    size_t n_ops, own_ops; /* own_ops: the capacity of ops if the plan has left them to the program, else 0 */
    size_t n_leaves;
    ad__flat_leaf *leaves; /* leaf i has slots[i] */
    ad__flat_aside *aside; /* by leaf */
    size_t size; /* bytes of the program with slots, parameters and leaves */
    uint32_t parameters_end;
    ad__instr *values;
    size_t values_size;

    ad__instr *slopes; /* NULL if not made */
    ad__flat_share *shares;
    ad_var **reached; /* the results with slots whose gradients the slopes compute */
    size_t n_reached, slopes_size, shares_size; /* shares_size: bytes of shares and reached */
    bool no_slopes; /* could not be made */

    uint64_t made;      /* the clock when it was made, which no other program of the graph has */
    uint64_t fed;       /* the clock after the last ad__flat_feed */
    const void *links;  /* of the objective that has marked the leaves that it feeds */
    bool pure;          /* all Ops are instructions on f64 */
    bool all_fed, all_changed, all_wanted; /* as all leaves are */
    uint64_t evaluated; /* the clock when it last ran to its end; 0 if stamps must be compared: see note_stamps */
    uint64_t pending;   /* the stamp that results which depend on changed leaves are still to get; 0 if none */
    bool random;        /* some Ops draw random numbers */
    bool stamped;       /* an Op gave itself a stamp */
    bool marked;        /* the Vars of reached have AD__HAS_GRAD */
    bool alone;         /* no other results of the plan have it */
    bool zeroed;        /* but read as zero since ad_zero_grad */
    bool running, doomed; /* doomed: to be dropped once nothing runs */
    int code;             /* with which a run stopped early */
    const ad_op *at;      /* and where */
    _Alignas(16) ad__slot slots[];
};

static inline void ad__flat_copy(size_t bytes, const void *from, void *to) {
    if (bytes == sizeof(double)) memcpy(to, from, sizeof(double));
    else memcpy(to, from, sizeof(float));
}

static inline bool ad__flat_holds(const ad__flat *p, const ad_var *x) {
    return (const char *)x->data >= (const char *)p->slots && (const char *)x->data < (const char *)p + p->size;
}

/* True if op's result may have a slot; moves a result, or a leaf while code is made, to a slot or to its node. */
bool ad__flat_may_hold(const ad_op *op);
void ad__flat_move(ad_var *x, void *to);

/* Restores the nodes and frees the program, now or when nothing runs that uses it. */
void ad__flat_drop(ad_graph *g);
/* The same before the plan changes. */
void ad__flat_leave(ad_graph *g, ad__plan *plan);
/* Writes the stamps that nodes lack. */
void ad__flat_settle_stamps(ad__flat *p);
void ad__flat_settle_grads(ad__flat *p);
/* Gives the stale ones of the first n results the stamp now. */
void ad__flat_stamp(const ad__flat *p, size_t n, uint64_t now);
/* ad_zero_grad of the root, if no node of a result has to be changed for it now; else returns false. */
bool ad__flat_zero(ad__flat *p);
/* The address of x's elements for those who keep it: they stay there. */
void *ad__lasting_data(const ad_var *x);
void *ad__lasting_grad(const ad_var *x);
/* Switches programs off or on; for tests. */
void ad__flat_enable(ad_graph *g, bool on);

/* Before somebody reads stamps. */
static inline void ad__flat_settle(const ad_graph *g) {
    if (AD__UNLIKELY(g->flat != NULL) && g->flat->pending) ad__flat_settle_stamps(g->flat);
}
/* Before somebody reads or changes the gradients of results outside of the program. */
static inline void ad__flat_show_grads(const ad_graph *g) {
    if (AD__UNLIKELY(g->flat != NULL) && g->flat->zeroed) ad__flat_settle_grads(g->flat);
}

#endif
