/* node.h: the structs of Vars, Ops and graphs; private to the library. */
#ifndef AUTODIFF_GRAPH_NODE_H
#define AUTODIFF_GRAPH_NODE_H

#include "autodiff/base/arena.h"
#include "autodiff/base/parallel.h"
#include "autodiff/base/shape.h"
#include "autodiff/extend.h"
#include "autodiff/op.h"

#define AD__LIKELY(x) __builtin_expect(!!(x), 1)
#define AD__UNLIKELY(x) __builtin_expect(!!(x), 0)
#ifdef AD__COUNTED /* see ops/kernels/base/simd.h */
#define AD__INLINE static inline
#else
#define AD__INLINE static inline __attribute__((always_inline))
#endif
#define AD__COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

/* Graph, dtype and shape, shared by Vars that have them in common. An op whose result has its operand's dtype and shape
   takes the operand's layout, so comparing two pointers usually compares graph, dtype and shape at once. Different
   pointers may still refer to equal layouts. A layout lives in the scope of the first Var that uses it. */
typedef struct {
    ad_graph *graph;
    int64_t numel;
    size_t bytes; /* of all elements */
    ad_dtype dtype;
    ad_shape shape;
} ad__layout;

enum {
    AD__NIL = 1,        /* the graph's nil */
    AD__NEEDS = 2,      /* requires a gradient, or was made from a Var that does */
    AD__HAS_GRAD = 4,   /* grad holds numbers; without this flag the gradient is zero, whatever grad holds */
    AD__REACHED = 8,    /* the current walk will visit this Var's creator */
    AD__BORROWED = 16,  /* data is the caller's memory: ad_input */
    AD__POOLED = 32,    /* grad is a buffer of the pool, held until this backward pass has used it */
    AD__KEEPS = 64,     /* the memory of grad lasts as long as the Var */
    AD__CUT = 128,      /* made while gradients were disabled */
    AD__ON_PATH = 256,  /* on a path from the xs of a vjp pass to its y */
    AD__SAVED = 512,    /* its Op has a pointer to saved bytes */
    AD__NAMED = 1024,   /* has an entry in the graph's list of names */
    AD__DRAWN = 2048,   /* a leaf with random numbers: ad_rand, ad_randn */
    AD__REPLAYS = 4096, /* its Op has an ad__replay */
    AD__PARKED = 8192,  /* AD__REACHED of a walk that waits: see ad__rule */
    AD__SHOWN = 16384   /* somebody keeps the address of its elements or gradient, so they must not move: see flat.h */
};

/* 40 bytes. The Op and small values follow it in memory: a scalar binary node takes 96 bytes with its gradient. */
struct ad_var {
    const ad__layout *layout;
    void *data;
    void *grad;     /* NULL if it has no memory for a gradient */
    ad_op *creator; /* NULL for a leaf */
    /* the graph's clock when the value was written, 48 bits: see ad__stamp */
    uint32_t stamp_low;
    uint16_t stamp_high;
    uint16_t flags;
};

/* An Op directly follows its result in memory, so it needs no pointer to it: see ad__out. The attributes follow the
   operands; the pointer to saved bytes, if any, follows the attributes. */
struct ad_op {
    const ad_optype *type;
    ad_op *prev; /* the Op made before this one in the graph */
    uint32_t id; /* 1, 2, ... in order of creation, which is a topological order: operands have smaller ids */
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
/* True if operand i never gets a gradient. Bit 31 of no_grad stands for operand 31 and all after it. */
static inline bool ad__takes_no_grad(unsigned no_grad, int i) { return no_grad >> (i < 31 ? i : 31) & 1; }
/* True if backward must compute a gradient for operand i. */
static inline bool ad__wants(const ad_op *op, int i) {
    return ad__needs(op->in[i]) && !ad__takes_no_grad(op->type->no_grad, i);
}

/* ---- computing again ------------------------------------------------------------------------- */

/* The attributes of an Op that ad_branch records. The branch holds for the Ops with an id greater than from and at most
   until, before it and after it: the program may choose among Vars that were there already. The Ops after until belong
   to an expression that was recorded again, because the branch failed or its condition had changed; those up to from,
   to an expression that this one replaces. It holds for the Ops before all branches too, which belong to none. */
typedef struct {
    ad_op *prev; /* the branch recorded before this one; NULL if there is none */
    double at;   /* the condition's value then */
    bool taken;  /* whether it was not 0 */
    uint32_t from, until;
    uint32_t first; /* the id of the oldest branch then */
    uint64_t clock; /* the graph's then */
} ad__branch_info;

#define AD__ALWAYS UINT32_MAX /* for until */

static inline ad__branch_info *ad__branch_of(const ad_op *op) { return ad__attrs_of(op); }
static inline bool ad__branch_holds(const ad_op *branch, uint32_t id) {
    const ad__branch_info *b = ad__branch_of(branch);
    return (b->from < id || id < b->first) && id <= b->until;
}

/* The answers of ad_branch while a function runs that will be called again, or is called again. */
typedef struct ad__tape ad__tape;
struct ad__tape {
    ad__tape *outer; /* of a call that this call is a part of */
    bool *answers;   /* from the pool while they are recorded */
    size_t n, capacity;
    size_t next; /* of the answers, the one to be given again */
    bool replays;
};

/* Set in the graph while a user's rule runs within a backward pass. The pass walks over Ops; a walk of the rule's own
   must not meet its flags, so it parks them first. */
typedef struct ad__rule ad__rule;
struct ad__rule {
    ad__rule *outer;
    const ad_op *op; /* whose rule runs; the pass has flags on older Ops only */
    uint32_t floor;  /* the number of Ops when it began: older ones belong to the pass, or to what is outside of it */
    bool parked;
};

/* Set in the graph while a function that drew random numbers is recorded again, as a part of a derivative. */
typedef struct {
    ad_var *source;               /* the result of the Op that called the function first */
    const ad_random_state *start; /* where its draws began when it was last evaluated */
} ad__repeat;

/* Where an Op that was recorded then starts drawing: `at.counter` blocks after *start. If start is NULL, at is the
   state itself. It follows the saved bytes' pointer in memory. */
typedef struct {
    const ad_random_state *start;
    ad_random_state at;
} ad__replay;

static inline ad__replay *ad__replay_of(const ad_op *op) {
    void **slot = ad__saved_slot(op);
    return (ad__replay *)(void *)(slot + (ad__out(op)->flags & AD__SAVED ? 1 : 0));
}
/* True if op stands for a leaf with random numbers, in an expression that repeats them. */
bool ad__is_draw(const ad_op *op);

/* An open scope. This record is the scope's first allocation, so rewinding to nodes and arrays frees it too. */
typedef struct ad__scope ad__scope;
struct ad__scope {
    ad__scope *outer;
    ad_mark mark;
    ad__arena_place nodes, arrays; /* where ad_end rewinds to */
    ad_op *last;                   /* the newest Op when the scope was opened */
    uint32_t n_ops;                /* Ops at that time */
};

/* A block outside the arenas: memory that must outlive the innermost scope, or that has a close function. The graph
   keeps them in a list, which is mostly empty. */
typedef struct ad__extra ad__extra;
struct ad__extra {
    ad__extra *next;
    size_t size;
    int depth;          /* freed when the scope of this depth closes */
    ad_close_fn *close; /* called before it is freed; may be NULL */
};

typedef void ad__draw_fn(ad_random_state *r, ad_dtype t, int64_t n, void *to);
/* Fills to with n numbers, on several threads. draw is ad_random_uniform or ad_random_normal; the numbers are those
   that one call of draw gives. */
void ad__random_draw(ad_team *team, ad_random_state *r, ad__draw_fn *draw, ad_dtype t, int64_t n, void *to);
/* The four words of the block that is next in r, in one of 2^32 lanes, for draws of unknown length. Lane 0 has the
   words of ad_random_bits. r does not advance. */
void ad__random_lane(const ad_random_state *r, uint32_t lane, uint32_t words[4]);

/* An entry of the list of names that ad_name gave to Vars. The list is short; AD__NAMED tells whether a Var is on
   it. */
typedef struct ad__name_entry ad__name_entry;
struct ad__name_entry {
    ad__name_entry *next;
    const ad_var *var;
    int depth; /* of the scope that the Var belongs to */
    char text[];
};

/* The Ops that a root depends on, oldest first. */
typedef struct {
    const ad_op *root; /* the root's creator; NULL if the plan is not valid */
    ad_op **ops;
    size_t n, capacity;
    bool random;        /* some Ops draw random numbers */
    uint64_t evaluated; /* the clock when all Ops were last evaluated; 0 if unknown */
    uint32_t runs;      /* evaluations since the plan was made or its flat program was dropped */
    uint32_t patience;  /* how many of them make a flat program worth its while, 0 for the usual number; more after
                           programs that were left soon, as where a user's loop evaluates two results in turns */
} ad__plan;

/* The Ops that a gradient pass recorded: those with an id greater than after, up to until. */
typedef struct ad__derived ad__derived;
struct ad__derived {
    ad__derived *prev; /* of an earlier pass */
    uint32_t after, until;
};

typedef struct ad__flat ad__flat; /* the flat program of a plan: see flat.h */

/* A layout made recently, with the depth of its scope. Most Vars made from a new shape can share one of these. */
enum { AD__RECENT = 4 };
typedef struct {
    const ad__layout *layout;
    int depth;
} ad__recent;

struct ad_graph {
    ad__memory memory;
    ad__arena nodes;  /* Vars, Ops, layouts, modules: small objects */
    ad__arena arrays; /* values and gradients, 64-byte aligned */
    ad__pool pool;
    ad__extra *extras;
    ad__name_entry *names;
    ad__scope *scope; /* the innermost open scope; NULL if none is open */
    uint64_t scope_serial;
    ad_op *last; /* the newest live Op */
    uint32_t n_ops;
    uint32_t ops_at_change; /* of the live Ops, how many existed when a leaf last changed */
    uint64_t clock;         /* advances when a leaf changes and when ad_eval runs */
    bool grad_enabled, keep_grads;
    bool anomalies; /* values and gradients that are not finite are errors: see anomaly.h */
    bool is_plain;  /* there is no error, and no look for anomalies */
    bool fast_path; /* is_plain, and gradients are enabled: see ad__fast_path */
    bool watched, was_read; /* see ad_watch_reads */
    int recomputing;         /* > 0: what runs has run before, so it moves no state: see ad_recomputing */
    ad_op *branch;           /* the newest branch; NULL if there is none */
    uint32_t branches_ended; /* the largest until of a branch, as far as it is set */
    ad__tape *tape;
    ad__rule *rule;
    const ad__repeat *repeat;
    int vjp_rules;  /* vjp rules that are running; a pass begun by one saves the outer pass's AD__ON_PATH flags */
    int code;       /* of the first error; 0 if there is none */
    char message[512];
    ad_error_fn *on_error;
    void *on_error_data;
    ad_random_state random;
    void *scratch;
    size_t scratch_size; /* bytes for each thread */
    ad_team *team;       /* threads for large loops; NULL if the calling thread works alone */
    ad__derived *derived; /* what gradient passes recorded, the last one first */
    ad__plan plan;       /* of the root last evaluated */
    ad__flat *flat;      /* of this plan, or of that of a pass that waits; NULL if there is none */
    bool no_flat;        /* make none: see ad__flat_enable */
    ad_op **heap;        /* of walks, see walk.c */
    size_t heap_capacity;
    ad_sum_fn *sum;       /* see ad_sum_over; NULL: none */
    void *sum_data;
    void *registry;       /* the table of ops by name, see ops/table.c */
    ad__layout scalar[2]; /* layouts of scalars, by dtype */
    ad__recent recent[AD__RECENT];
    unsigned recent_next;
    ad__layout empty; /* nil's layout */
    ad_var nil;
};

/* ---- small helpers ----------------------------------------------------------------- */

/* The team that an op's loops may use; NULL if there is none. */
static inline ad_team *ad__op_team(const ad_op *op) { return ad__owner(ad__out(op))->team; }
/* The scratch memory of one thread, as large as the op's shape rule asked for; worker 0's is ad_scratch. */
static inline void *ad__scratch_of(const ad_op *op, int worker) {
    const ad_graph *g = ad__owner(ad__out(op));
    return (char *)g->scratch + (size_t)worker * g->scratch_size;
}
/* After a change of what these two depend on. */
static inline void ad__choose_paths(ad_graph *g) {
    g->is_plain = g->code == AD_OK && !g->anomalies;
    g->fast_path = g->is_plain && g->grad_enabled;
}
/* True if x is nil or NULL. */
static inline bool ad__absent(const ad_var *x) { return x == NULL || x->flags & AD__NIL; }

/* AD_EGRAPH if x belongs to a closed scope. This is not detected once the scope's memory has been reused. */
int ad__check_open(const ad_var *x, const char *caller);
/* The graph of the first of the xs that has one; NULL if there is none, or if xs is NULL. */
ad_graph *ad__graph_among(int n, ad_var *const xs[]);
/* ad_refuse_nil for a call that was given other Vars beside x: where x has no graph, one of theirs gets the error. */
int ad__refuse_beside(const ad_var *x, int n, ad_var *const others[], const char *caller);
/* Returns 0 if x is a leaf and its graph has no error; otherwise the code of the graph's error. */
int ad__check_leaf(ad_var *x, const char *caller);
/* ad_apply for one and two operands. */
ad_var *ad__apply1(const ad_optype *type, ad_var *a, const void *attrs);
ad_var *ad__apply2(const ad_optype *type, ad_var *a, ad_var *b, const void *attrs);
/* Gives a leaf a new stamp, so that Ops made from its old value count as stale. */
void ad__leaf_changed(ad_var *x);

#endif
