/* flat.h: making and running flat programs; private to the library. */
#ifndef AUTODIFF_PASS_FLAT_H
#define AUTODIFF_PASS_FLAT_H

#include "autodiff/graph/flat.h"

/* True if the graph's plan has a program. Makes one if the plan has been evaluated before, has enough one-element
   elementwise ops, and there is memory. */
bool ad__flat_ready(ad_graph *g);
/* What ad_eval does with the Ops of the plan, at the graph's clock. */
int ad__flat_evaluate(ad__flat *p);
/* True if ad__flat_differentiate can be called for y: its plan has a program, and was evaluated after the last change.
 */
bool ad__flat_differentiates(ad_graph *g, const ad_var *y);
/* The backward pass after the root's gradient has been set. */
int ad__flat_differentiate(ad__flat *p);

/* ---- for objectives: flat_feed.c ---------------------------------------------------------------------- */

/* The leaves that an objective's xs are in a program. */
typedef struct {
    uint64_t program; /* ad__flat's made; 0 if there is none */
    bool all;         /* each x is a leaf of one f64 */
    uint32_t *leaves; /* by x */
} ad__flat_links;

/* True if y's program can be fed: each of the n xs is a leaf of one f64. */
bool ad__flat_can_feed(ad_graph *g, const ad_var *y, int n, ad_var *const xs[], ad__flat_links *links);
/* Sets the leaves, in nodes and program. ad_eval follows. */
void ad__flat_feed(ad__flat *p, int n, ad_var *const xs[], const ad__flat_links *links, const double *x);
/* After that: what ad_zero_grad and ad_backward do, with the gradients by the xs. Returns false, and does nothing, if
   they must be called. */
bool ad__flat_gradient(ad_graph *g, const ad_var *y, int n, const ad__flat_links *links, double *grad);

/* ---- for these -------------------------------------------------------------------------------------- */

/* Evaluates one Op by its descriptor; leaves stamps alone. */
int ad__evaluate_op(const ad_op *op);
/* What a backward pass does at one Op: see differentiate() in backward.c. rc is an error of the pass so far. */
int ad__differentiate_op(ad_graph *g, const ad_op *op, int rc);
/* True if op runs as an instruction. The leaves' data must point to their slots: see ad__flat_bind. */
bool ad__flat_runs(const ad__flat *p, const ad_op *op);
void ad__flat_bind(ad__flat *p);
void ad__flat_unbind(ad__flat *p);
/* An instruction for an Op that ad__flat_runs, without run and how. */
ad__instr ad__flat_instr(const ad__flat *p, const ad_op *op, uint32_t parameters);
/* Code of n instructions, in a buffer of the pool. Their rows are the numbers of their Ops + 1, or 0 for an Op that is
   run by its descriptor. NULL if memory is short. */
ad__instr *ad__flat_pack(ad__flat *p, const ad__instr *items, size_t n, bool slopes, size_t *size);
int ad__flat_run(ad__flat *p, const ad__instr *code);

#endif
