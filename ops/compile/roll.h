/* roll.h: the order in which a program runs, with loops found among its instructions; private to this folder.

   roll.c finds the loops, homes.c decides where results are kept, redirect.c and gather.c change what nests write,
   fuse.c and rows.c join nests that run over the same indices or rows, and memory.c gives out the work memory. */
#ifndef OPS_COMPILE_ROLL_H
#define OPS_COMPILE_ROLL_H

#include "ops/compile/emit.h"

/* How an operand of an instruction in a loop follows from the number r of the repetition. */
typedef enum {
    AD__LOCAL,   /* the result of instruction q of the body, in this repetition */
    AD__CARRIED, /* the same in the repetition before; in the first one, the number at `first` */
    AD__AFFINE,  /* at first + r stride */
    AD__TABLE    /* at the place that a table has for r */
} ad__ref_kind;

typedef struct {
    ad__ref_kind kind;
    int32_t q;
    ad__place first; /* a place in memory; for an instruction's result, its home */
    int64_t stride;
    int64_t table; /* AD__TABLE: where its offsets begin in `tables`; the table is relative to first's buffer */
    bool absolute; /* AD__TABLE: offsets are from the beginning of the work memory, in elements */
} ad__ref;

/* A run of instructions, or one nest. */
typedef struct {
    int64_t nest;        /* the number of a nest, or -1 */
    int64_t start;       /* of the first instruction in `order` */
    int64_t period, n;   /* instructions of the body; repetitions. n is 1 for a run that is not a loop */
    int64_t refs;        /* of the body's operands and out places, in `refs`; only for loops */
    int64_t homes;       /* of the body's results, in `homes` */
} ad__segment;

/* Where a result is kept for others than its own body. */
typedef struct {
    ad__place at;  /* in the first repetition, the next ones follow; AD__NOWHERE: nobody else reads it */
    bool last_only; /* only that of the last repetition is kept */
} ad__home;

/* What becomes one function of the source: a segment of instructions, or nests that are one loop. */
typedef struct {
    int64_t segment;  /* or -1 */
    int64_t first, n; /* of the nests, in `members` */
    bool begins;      /* a repetition begins */
    bool joined;      /* the loop over axis 0 of the step before runs it, too */
    bool after;       /* it stands behind the step before in one function: one of them is a few elements only */
} ad__step;

enum { AD__MEMBERS = 64, AD__JOINED = 16 }; /* of one step, and steps of one loop, at most */

typedef struct {
    AD__VEC(int64_t) order;     /* instructions, in the order in which they run */
    AD__VEC(ad__segment) segments;
    AD__VEC(ad__ref) refs;      /* for each instruction of a loop's body: its operands, then its out place */
    AD__VEC(ad__home) homes;    /* for each instruction of a segment's body */
    AD__VEC(int32_t) tables;
    AD__VEC(ad__step) steps;
    AD__VEC(int64_t) members;   /* numbers of nests */
    bool *literal;              /* by number: it is written into the source; others are read from memory */
    bool *local;                /* by buffer: only one step reads and writes it, element by element: no memory */
    bool *row;                  /* by buffer: joined steps read and write it, by rows: it has the memory of a row */
    int64_t *position;          /* by instruction: its place in `order`; -1 if it is not needed */
    int32_t *segment_of;        /* by place in order */
    int64_t work;               /* bytes of work memory */
} ad__schedule;

int ad__schedule_make(ad_emit *e, ad__schedule *s);
static inline uint64_t ad__mix(uint64_t h, uint64_t x) { return (h ^ x) * 0x9e3779b97f4a7c15u + (h >> 29); }
/* By place: the next place whose key is probably the same; -1 if there is none. NULL if memory is short. */
int64_t *ad__next_alike(ad_graph *g, int64_t n, const uint64_t *key);

/* homes.c: gives homes to results that others read; when the work memory is given out, finds the operands of loops. */
int ad__find_homes(ad_emit *e, ad__schedule *s);
int ad__find_operands(ad_emit *e, ad__schedule *s);

/* redirect.c: how nests use a buffer. */
typedef struct {
    int64_t first_read, last_write; /* numbers of nests; -1 if there is none */
    int64_t reads, writes;          /* operands and results of nests */
    bool otherwise, stored;         /* instructions, or calls of Ops, use it too; they write it */
} ad__access;
ad__access *ad__find_accesses(const ad_emit *e); /* by buffer; NULL if memory is short */
/* Lets nests write to the place into which their result would be copied. */
int ad__redirect(ad_emit *e);
/* gather.c: makes one loop of nests that add to one array at shifted places. Sets *changed if there were some. */
int ad__join_sums(ad_emit *e, bool *changed);

/* fuse.c: brings the nests into a form in which those over the same elements are alike. */
void ad__normalise(ad_emit *e);
/* Makes the steps. */
int ad__fuse(ad_emit *e, ad__schedule *s);
/* Whether the nest sets, or adds to, each element at most once. */
bool ad__is_elementwise(const ad__nest *n);
bool ad__same_axes(const ad__nest *a, const ad__nest *b);
/* Whether two maps may reach one element: the ranges of their elements overlap. */
bool ad__overlap(const ad__nest *a, const ad__map *ma, const ad__nest *b, const ad__map *mb);
bool ad__same_place(const ad__nest *n, const ad__map *a, const ad__map *b); /* at each index of the nest */
/* Merges axes that can be traversed as one, of k nests over the same indices, */
void ad__merge_axes(int k, ad__nest *n, int from); /* from axis `from` on */
/* Gives a nest over one axis the axes of another one over as many indices. */
void ad__split_axis(ad__nest *n, const ad__nest *like);
bool ad__depends(const ad__nest *a, const ad__nest *b); /* b, which comes later, must wait for a */
int64_t ad__indices(const ad__nest *n);

/* rows.c: joins steps. */
void ad__join_rows(ad_emit *e, ad__schedule *s);

/* memory.c: gives each buffer that is not local its place in the work memory. */
int ad__place_work(ad_emit *e, ad__schedule *s);

/* A place in memory: that of an instruction's result is its home. */
ad__place ad__home_of(const ad__schedule *s, ad__place at);

#endif
