/* module_private.h: the parts of a module, and helpers that layers, optimisers and files share; private to nn. */
#ifndef NN_MODULE_MODULE_PRIVATE_H
#define NN_MODULE_MODULE_PRIVATE_H

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/module.h"

/* ---- objects that live in a scope: modules, optimisers, schedules -------------------------------------- */

/* The first field of such an object. */
typedef struct nn__object nn__object;
struct nn__object {
    ad_graph *graph;
    const nn__object *self; /* its own address, which memory of a closed scope loses when it is used again */
};
/* 0 while the object's scope is open. Otherwise AD_EGRAPH with the error "caller: the WHAT was made in a scope that is
   closed". g is a graph to report to where the object's own is unknown; it may be NULL. */
int nn__check_open(const nn__object *o, ad_graph *g, const char *caller, const char *what);

/* ---- the parts of a module ------------------------------------------------------------------------------- */

/* Lists of Vars. A parameter or buffer that several places share has one entry there, under its first name, and one
   among the aliases for each other name. */
enum { NN__PARAMETERS, NN__BUFFERS, NN__VAR_KINDS, NN__ALIASES = NN__VAR_KINDS, NN__LISTS };

/* What was added to a module, in the order of adding: a Var or a child. */
typedef struct nn__member nn__member;
struct nn__member {
    nn__member *next;
    const char *name;
    nn_module *module; /* NULL for a Var */
    ad_var *var;       /* NULL for a child */
    int kind;          /* of a Var: NN__PARAMETERS or NN__BUFFERS */
};

/* A field of self that points to a Var or a module. */
typedef struct nn__reference nn__reference;
struct nn__reference {
    nn__reference *next;
    size_t offset; /* in self */
};

/* A call before or after a module's forward. */
typedef struct nn__hook nn__hook;
struct nn__hook {
    nn__hook *next;
    nn_module *of;
    int number;
    nn_before_fn *before; /* one of the two is NULL */
    nn_after_fn *after;
    void *data;
};

/* The Vars of one kind below a module, in the order of adding. */
typedef struct nn__named nn__named;
typedef struct {
    nn__named **at;
    int count, capacity;
} nn__named_list;

/* Modules are built from the leaves of the tree upwards. A child takes no more members, so a module knows all
   parameters below it as soon as its children are added, and cycles cannot arise. */
struct nn_module {
    nn__object object;
    const char *kind;
    nn_forward_fn *forward;
    nn_forward_n_fn *forward_n; /* NULL: one input and one result */
    void *self;
    size_t size; /* of self */
    bool training, complete; /* complete: it has become a child */
    nn__member *members, **end;
    nn__reference *references;
    nn__hook *hooks;  /* in the order of their making */
    int last_hook;    /* the number of the newest */
    int uses;         /* in how many places it is a child, in modules that are alive or not */
    int mark;         /* for walks over modules; 0 between them */
    nn__named *table; /* by dotted name */
    nn__named_list lists[NN__LISTS];
    int evaluations; /* calls of nn__begin_evaluation that have not ended */
    bool was_training;
    bool watched;   /* nn_apply keeps the shape of its result, for nn_summary */
    ad_shape shape; /* ndim -1: not applied */
};

/* ---- names.c: dotted names of the Vars below a module ------------------------------------------------------ */

/* "prefix.name", or the name alone where the prefix is empty; NULL when memory is short. */
const char *nn__dotted(ad_graph *g, const char *prefix, const char *name);
/* Lists x under its dotted name, as an alias if it is listed already. */
int nn__list_var(nn_module *m, int kind, const char *prefix, const char *name, ad_var *x);
/* Lists all Vars of a child, or none when memory is short. */
int nn__list_vars_of(nn_module *m, const char *name, const nn_module *child);
/* Lists the Vars of m and its children anew. */
int nn__list_again(nn_module *m);
nn_parameter nn__var_at(const nn_module *m, int kind, int i); /* {NULL, NULL} out of range */
ad_var *nn__find_var(const nn_module *m, int kind, const char *name); /* by any of its names */

/* ---- copy.c -------------------------------------------------------------------------------------------------- */

/* The word at this offset of m's struct, whose fields are not known: it may be padding. */
void *nn__word_at(const nn_module *m, size_t at);

/* ---- module.c ------------------------------------------------------------------------------------------------ */

/* The graph of x, or of m where x has none; NULL where neither has one. */
ad_graph *nn__graph_of_either(const nn_module *m, const ad_var *x);
/* The checks of nn_apply, for modules that take more than x: 0, or the code of the graph's error. */
int nn__check_apply(const nn_module *m, const ad_var *x);
/* The result of a call whose module is NULL: nil, after an error of the graph of the first of n Vars that has one. */
ad_var *nn__without_module(const char *caller, int n, ad_var *const xs[]);
/* A call of a module between its hooks. */
typedef void nn__call_fn(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], const void *data);
/* Calls `call` between m's hooks, for modules that take more than x; hooks may change x and y. Returns y[0]. */
ad_var *nn__call_hooked(nn_module *m, int n, ad_var *x[], int n_y, ad_var *y[], nn__call_fn *call, const void *data);
/* Whether a call with n inputs and n_y results is one that m knows; an error otherwise. */
bool nn__takes(const nn_module *m, int n, int most, int n_y, int most_y);
/* nn_apply without these checks, for the forward functions of containers: a child lives as long as its parent. */
ad_var *nn__apply_child(nn_module *m, ad_var *x);
/* The same for an x that is several inputs: see inputs.c. */
ad_var *nn__apply_to_inputs(nn_module *m, ad_var *x);

/* Puts m and all modules below it into evaluation mode until the call that ends it, which restores each module's own
   mode. Calls nest. */
void nn__begin_evaluation(nn_module *m);
void nn__end_evaluation(nn_module *m);

/* ---- walk.c: the modules below one --------------------------------------------------------------------------- */

typedef struct {
    nn_module *module;
    const char *path; /* the first one */
} nn__place;
typedef struct {
    nn__place *at; /* a parent before its children; NULL when memory is short */
    int64_t n;
    size_t bytes; /* of the buffer of the graph that it is */
} nn__places_of;
nn__places_of nn__list_modules(nn_module *m);
void nn__give_list(ad_graph *g, nn__places_of *l);

/* ---- layers/norm.c: running averages as Vars, for programs that move them ------------------------------------- */

/* Until nn__next_end, a module that is a batch_norm leaves its running averages and their count as they are, and
   records what they become. Other modules are passed over. */
void nn__next_begin(nn_module *m);
void nn__next_end(nn_module *m);
/* What buffer, one of m's own, became since nn__next_begin; NULL if it was not moved. It lives in the scope in which m
   was applied. */
ad_var *nn__next_of(const nn_module *m, const ad_var *buffer);

/* ---- parameters.c ---------------------------------------------------------------------------------------------- */

/* Adds a parameter, sets *field, a field of m's struct, to it and registers the field with nn_add_reference. Elements
   are 0, drawn uniformly in +-bound, or all of one value. */
void nn__zero_parameter(nn_module *m, ad_var **field, const char *name, ad_dtype t, ad_shape s);
void nn__uniform_parameter(nn_module *m, ad_var **field, const char *name, ad_dtype t, ad_shape s, double bound);
void nn__constant_parameter(nn_module *m, ad_var **field, const char *name, ad_dtype t, ad_shape s, double value);
/* The same for a buffer that exists. */
void nn__buffer(nn_module *m, ad_var **field, const char *name, ad_var *x);

/* Parameters, then buffers. */
int nn__array_count(const nn_module *m);
nn_parameter nn__array_at(const nn_module *m, int i);

/* A leaf's elements, for putting back what they were: after an error of the graph too, where ad_data_mut gives nothing.
   The leaf must have been changed by ad_data_mut, which notes that results are stale, since they were that. */
void nn__put_back(ad_var *x, const void *elements);

/* Whether a size is valid, and below 2^59; otherwise the error "caller: name size: it must be at least 1" (or "0 or
   more", or "it is too large"). False after any error of the graph. */
bool nn__is_size(ad_graph *g, const char *caller, const char *name, int64_t size);
bool nn__is_not_negative(ad_graph *g, const char *caller, const char *name, int64_t size);

bool nn__ends_with(const char *name, const char *ending); /* true where ending is NULL */
/* Whether one of the patterns, which | separates, matches name as fnmatch does; true where patterns is NULL. */
bool nn__matches(const char *name, const char *patterns);

#endif
