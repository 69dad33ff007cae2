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

/* ---- for these -------------------------------------------------------------------------------------- */

enum { AD__INSTRS_PER_STOP = 256 }; /* as many calls may lie on the stack */

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
/* Adds an instruction to code, before it one that returns if it is time for it, and returns where the next one goes. */
ad__instr *ad__flat_add(ad__instr *code, ad__instr *at, ad__instr i);
size_t ad__flat_code_size(size_t n_ops); /* bytes of code for so many Ops, at most */
void ad__flat_end(ad__instr *at);        /* the last instruction */
int ad__flat_run(ad__flat *p, const ad__instr *code);

#endif
