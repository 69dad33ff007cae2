/* node.h: how Vars, Ops and graphs lie in memory; private to the library. */
#ifndef AUTODIFF_GRAPH_NODE_H
#define AUTODIFF_GRAPH_NODE_H

#include "autodiff/base/arena.h"
#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "autodiff/base/parallel.h"
#include "autodiff/base/shape.h"

#define AD__LIKELY(x) __builtin_expect(!!(x), 1)
#define AD__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define AD__INLINE static inline __attribute__((always_inline))
#define AD__COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

/* What Vars of one graph, dtype and shape have in common. An op whose result is like its operand
   shares the operand's layout, so equal pointers settle graph, dtype and shape in one comparison;
   different pointers may still be equal layouts. Lives in the scope of the first Var that has it. */
typedef struct {
    ad_graph *graph;
    int64_t numel;
    size_t bytes; /* of the elements */
    ad_dtype dtype;
    ad_shape shape;
} ad__layout;

enum {
    AD__NIL = 1,       /* the graph's nil */
    AD__NEEDS = 2,     /* wants a gradient, or was made from a Var that does */
    AD__HAS_GRAD = 4,  /* grad holds numbers; otherwise it reads as zeros */
    AD__REACHED = 8,   /* the present walk is to visit this Var's creator */
    AD__BORROWED = 16, /* the caller's memory: ad_input */
    AD__POOLED = 32,   /* grad is lent by the pool until this pass is done with it */
    AD__KEEPS = 64,    /* grad's memory lasts as long as the Var */
    AD__CUT = 128,     /* made while gradients were disabled */
    AD__ON_PATH = 256, /* leads from the xs of a vjp pass to its y */
    AD__SAVED = 512,   /* its Op has a pointer to saved bytes */
    AD__NAMED = 1024   /* it has a name in the graph's list */
};

/* 40 bytes, and small values lie right behind: a scalar binary node takes 96 with its gradient. */
struct ad_var {
    const ad__layout *layout;
    void *data;
    void *grad;      /* NULL where there is no memory for one */
    ad_op *creator;  /* NULL: a leaf */
    /* the graph's clock when the value was written, 48 bits: see ad__stamp */
    uint32_t stamp_low;
    uint16_t stamp_high;
    uint16_t flags;
};

/* Always right behind its result, so no pointer back is needed: see ad__out. The attributes and
   the pointer to saved bytes stand behind the operands. */
struct ad_op {
    const ad_optype *type;
    ad_op *prev;     /* the Op made before this one in the graph */
    uint32_t id;     /* 1, 2, ... in the order of making: operands have smaller ones */
    int32_t n_in;
    ad_var *in[];
};

static inline uint64_t ad__stamp(const ad_var *x) { return (uint64_t)x->stamp_high << 32 | x->stamp_low; }
static inline void ad__set_stamp(ad_var *x, uint64_t clock) {
    x->stamp_low = (uint32_t)clock;
    x->stamp_high = (uint16_t)(clock >> 32);
}
static inline ad_var *ad__out(const ad_op *op) { return (ad_var *)(void *)op - 1; }
static inline void *ad__attrs_of(const ad_op *op) { return (void *)(op->in + op->n_in); }
static inline void **ad__saved_slot(const ad_op *op) {
    return (void **)((char *)ad__attrs_of(op) + ((op->type->attr_size + 7) & ~(size_t)7));
}
static inline bool ad__needs(const ad_var *x) { return (x->flags & AD__NEEDS) != 0; }
static inline ad_graph *ad__owner(const ad_var *x) { return x->layout->graph; }
static inline size_t ad__bytes(const ad_var *x) { return x->layout->bytes; }
/* Whether operand i never gets a gradient; the last bit stands for all operands from there on. */
static inline bool ad__takes_no_grad(unsigned no_grad, int i) { return no_grad >> (i < 31 ? i : 31) & 1; }
/* Whether operand i is to be given a gradient by backward. */
static inline bool ad__wants(const ad_op *op, int i) {
    return ad__needs(op->in[i]) && !ad__takes_no_grad(op->type->no_grad, i);
}

/* An open scope; the record lies in the arena as the scope's first thing. */
typedef struct ad__scope ad__scope;
struct ad__scope {
    ad__scope *outer;
    ad_mark mark;
    ad__arena_place nodes, arrays;
    ad_op *last;
    uint32_t n_ops;
};

/* Memory that must live as long as an older Var than the newest scope, or be closed before it goes: a list, mostly
   empty. */
typedef struct ad__extra ad__extra;
struct ad__extra {
    ad__extra *next;
    size_t size;
    int depth;           /* freed when the scope of this depth closes */
    ad_close_fn *close; /* called before that; NULL: nothing is to be done */
};

typedef void ad__draw_fn(ad_random_state *r, ad_dtype t, int64_t n, void *to);
/* Calls draw, which is ad_random_uniform or ad_random_normal, on several threads; the numbers are the same. */
void ad__random_draw(ad_team *team, ad_random_state *r, ad__draw_fn *draw, ad_dtype t, int64_t n, void *to);

/* The name that ad_name gave to a Var. The list is mostly empty and short, and a Var's flag says whether it is on it. */
typedef struct ad__name_entry ad__name_entry;
struct ad__name_entry {
    ad__name_entry *next;
    const ad_var *var;
    int depth; /* of the scope that the Var goes with */
    char text[];
};

/* Ops that a root depends on, oldest first. */
typedef struct {
    const ad_op *root;
    ad_op **ops;
    size_t n, capacity;
    bool random;        /* some of them draw random numbers */
    uint64_t evaluated; /* the clock when all of them were last evaluated in order; 0: unknown */
} ad__plan;

/* The layouts made last, with the depth of their scope: most new ones are like one of these. */
enum { AD__RECENT = 4 };
typedef struct {
    const ad__layout *layout;
    int depth;
} ad__recent;

struct ad_graph {
    ad__memory memory;
    ad__arena nodes;  /* Vars, Ops, layouts, modules: small things */
    ad__arena arrays; /* values and gradients, 64-byte aligned */
    ad__pool pool;
    ad__extra *extras;
    ad__name_entry *names;
    ad__scope *scope; /* the innermost open one */
    uint64_t scope_serial;
    ad_op *last; /* the newest live Op */
    uint32_t n_ops;
    uint32_t ops_at_change; /* live Ops that were there when a used leaf last changed */
    uint64_t clock;         /* ticks when a used leaf changes */
    bool grad_enabled, keep_grads;
    bool plain; /* gradients are enabled and there is no error: the short way of recording is open */
    int vjp_rules; /* that are running: a pass that one of them begins puts the marks of the outer pass aside */
    int code;    /* of the first error; 0 while there is none */
    char message[512];
    ad_error_fn *on_error;
    void *on_error_data;
    ad_random_state random;
    void *scratch;
    size_t scratch_size; /* of each thread */
    ad_team *team; /* threads of the large loops; NULL: the caller's alone */
    ad__plan plan;
    ad_op **heap; /* of the walk */
    size_t heap_capacity;
    void *registry; /* the table of ops by name, see ops/table.c */
    ad__layout scalar[2]; /* by dtype */
    ad__recent recent[AD__RECENT];
    unsigned recent_next;
    ad__layout empty;     /* nil's */
    ad_var nil;
};

/* ---- for the library's own parts ----------------------------------------------------------------- */

/* The threads that an op's loops may share. */
static inline ad_team *ad__op_team(const ad_op *op) { return ad__owner(ad__out(op))->team; }
/* What the op's shape rule asked for as scratch, of one of these threads; worker 0's is ad_scratch. */
static inline void *ad__scratch_of(const ad_op *op, int worker) {
    const ad_graph *g = ad__owner(ad__out(op));
    return (char *)g->scratch + (size_t)worker * g->scratch_size;
}
/* Whether x is nil, or NULL. */
static inline bool ad__absent(const ad_var *x) { return x == NULL || x->flags & AD__NIL; }

/* AD_EGRAPH for a Var of a closed scope. Where its memory is used again already, nobody can tell. */
int ad__check_open(const ad_var *x, const char *caller);
/* Like ad_apply for one and two operands. */
ad_var *ad__apply1(const ad_optype *type, ad_var *a, const void *attrs);
ad_var *ad__apply2(const ad_optype *type, ad_var *a, ad_var *b, const void *attrs);
void ad__leaf_changed(ad_var *x);

#endif
