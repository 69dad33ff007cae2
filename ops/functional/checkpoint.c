/* checkpoint.c: ad_checkpoint, which keeps only the result of a function and computes the rest again for a gradient. */
#include "autodiff/graph/memory.h"
#include "autodiff/pass/inner.h"
#include "autodiff/pass/pass.h"
#include "ops/base/gradient.h"
#include "ops/functional/recording.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* The operands are the xs, then the Vars that fn uses besides them, which are captured. */
typedef struct {
    ad_function *fn;
    void *user;
    int n;          /* of xs */
    ad_dtype dtype; /* of the result of fn */
    ad_shape shape;
    void *first_values;     /* the result of the first call of fn, until the op is evaluated; then NULL */
    ad_random_state random; /* the state of the generator before the last evaluation */
    bool draws;             /* fn drew random numbers */
    uint64_t print;         /* of what fn recorded: see recording.h */
    ad__tape tape;          /* the answers of ad_branch in fn */
} checkpoint_attrs;

static int checkpoint_shape(ad_call *c) {
    const checkpoint_attrs *a = c->attrs;
    c->dtype = a->dtype;
    c->shape = a->shape;
    return AD_OK;
}

static bool same_state(const ad_random_state *a, const ad_random_state *b) {
    return a->seed == b->seed && a->counter == b->counter;
}

/* ---- calling fn ---------------------------------------------------------------------------------------------- */

/* The result of fn; nil after an error. */
static ad_var *call_function(ad_graph *g, const checkpoint_attrs *a, int n, ad_var *const xs[], ad__tape *tape) {
    tape->outer = g->tape;
    g->tape = tape;
    ad_var *y = a->fn(n, xs, a->user);
    g->tape = tape->outer;
    if (g->code == AD_OK && (y == NULL || ad__absent(y) || ad__owner(y) != g))
        ad_fail(g, AD_EVALUE, "checkpoint: fn returned no Var in the graph of xs");
    if (g->code == AD_OK) ad__check_open(y, "checkpoint: fn");
    return g->code == AD_OK ? y : ad_nil(g);
}

/* While fn runs again, the captured Vars are leaves, so that no pass within fn goes beyond them. */
static ad_op **hide_creators(const ad_op *op, int n) {
    ad_graph *g = ad__owner(ad__out(op));
    ad_op **creators = ad_buffer_take(g, (size_t)(op->n_in - n + 1) * sizeof *creators);
    for (int i = n; i < op->n_in && creators != NULL; i++) {
        creators[i - n] = op->in[i]->creator;
        op->in[i]->creator = NULL;
    }
    return creators;
}

static void show_creators(const ad_op *op, int n, ad_op **creators) {
    if (creators == NULL) return;
    for (int i = n; i < op->n_in; i++) op->in[i]->creator = creators[i - n];
    ad_buffer_give(ad__owner(ad__out(op)), creators, (size_t)(op->n_in - n + 1) * sizeof *creators);
}

/* Calls fn again, and checks that it records what it recorded at first. */
static ad_var *call_again(const ad_op *op, ad_var *const xs[]) {
    const checkpoint_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(ad__out(op));
    ad__tape tape = { .answers = a->tape.answers, .n = a->tape.n, .replays = true };
    ad__recording r = ad__recording_begin(g, a->n, xs);
    ad_var *y = call_function(g, a, a->n, xs, &tape);
    if (g->code == AD_OK && (y->layout->dtype != a->dtype || !ad_shape_equal(y->layout->shape, a->shape)))
        ad_fail(g, AD_ESHAPE, "checkpoint: fn's result has changed its shape or dtype since it was first called");
    if (g->code == AD_OK && ad__recording_end(&r, y, false) == AD_OK && (r.print != a->print || tape.next != tape.n))
        ad_fail(g, AD_ESTALE,
                "checkpoint: fn no longer applies the ops, or uses the constants and Vars, that it did when "
                "it was first called; set modes and numbers back, or build the graph again");
    return g->code == AD_OK ? y : ad_nil(g);
}

/* True if a and b differ by no more than rounding, relative to the largest element. */
static bool same_values(const ad_var *a, const ad_var *b) {
    double most = 0, tol = a->layout->dtype == AD_F32 ? 1e-4 : 1e-11;
    if (memcmp(a->data, b->data, ad__bytes(a)) == 0) return true;
    for (int64_t i = 0; i < a->layout->numel; i++)
        if (fabs(ad_at(b, i)) > most && isfinite(ad_at(b, i))) most = fabs(ad_at(b, i));
    for (int64_t i = 0; i < a->layout->numel; i++) {
        double x = ad_at(a, i), y = ad_at(b, i);
        if (x != y && !(isnan(x) && isnan(y)) && !(fabs(x - y) <= tol * most)) return false;
    }
    return true;
}

/* Calls fn again for a derivative: with the random numbers that it drew in the last evaluation, and without moving the
   state of ops and modules. */
static ad_var *call_as_before(const ad_op *op, ad_var *const xs[]) {
    const checkpoint_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(ad__out(op));
    ad_random_state now = g->random;
    g->random = a->random;
    g->recomputing++;
    ad_var *y = call_again(op, xs);
    g->recomputing--;
    g->random = now;
    if (g->code == AD_OK && !same_values(y, ad__out(op)))
        ad_fail(g, AD_ESTALE,
                "checkpoint: fn computes other values than when it was last evaluated, as after a change of "
                "something that it reads; call ad_eval first, or build the graph again");
    return g->code == AD_OK ? y : ad_nil(g);
}

/* Leaves with the values of the operands; NULL if memory is short. */
static ad_var **stand_ins(ad_graph *g, int n, ad_var *const in[]) {
    ad_var **xs = ad__inner_vars(g, n);
    for (int i = 0; i < n && xs != NULL; i++) xs[i] = ad__stand_in(in[i], ad__needs(in[i]));
    return g->code == AD_OK ? xs : NULL;
}

/* ---- the op -------------------------------------------------------------------------------------------------- */

/* If fn draws random numbers, earlier results that use this one become stale, as for any random op. */
static void mark_if_random(const ad_op *op) {
    ad_graph *g = ad__owner(ad__out(op));
    if (!((const checkpoint_attrs *)ad__attrs_of(op))->draws) return;
    g->ops_at_change = g->n_ops;
    ad__set_stamp(ad__out(op), g->clock);
}

static int checkpoint_evaluate(const ad_op *op) {
    checkpoint_attrs *a = ad__attrs_of(op);
    ad_var *out = ad__out(op);
    ad_graph *g = ad__owner(out);
    if (a->first_values != NULL) {
        memcpy(out->data, a->first_values, ad__bytes(out));
        a->first_values = NULL;
        return AD_OK;
    }
    a->random = g->random;
    ad__inner_pass in = ad__inner_begin(g);
    ad_op **creators = hide_creators(op, a->n);
    ad_var **xs = stand_ins(g, a->n, op->in);
    ad_var *y = xs && creators ? call_again(op, xs) : ad_nil(g);
    if (g->code == AD_OK) memcpy(out->data, y->data, ad__bytes(out));
    show_creators(op, a->n, creators);
    ad__inner_end(g, &in);
    if (g->code == AD_OK) mark_if_random(op);
    return g->code;
}

/* The gradients of captured Vars go straight to their places, those of the stand-ins are added. */
static void checkpoint_backward(const ad_op *op) {
    ad_var *out = ad__out(op);
    ad_graph *g = ad__owner(out);
    int n = ((const checkpoint_attrs *)ad__attrs_of(op))->n;
    ad__inner_pass in = ad__inner_begin(g);
    ad_op **creators = hide_creators(op, n);
    ad_var **xs = stand_ins(g, n, op->in);
    ad_var *y = xs && creators ? call_as_before(op, xs) : ad_nil(g);
    ad_var *seed = ad_input(g, out->layout->dtype, out->grad, out->layout->shape);
    if (g->code == AD_OK) ad__backward_inside(y, seed);
    for (int i = 0; i < n && g->code == AD_OK; i++)
        if (xs[i]->flags & AD__HAS_GRAD) ad__add_gradient(op, i, xs[i]->grad);
    show_creators(op, n, creators);
    ad__inner_end(g, &in);
}

static int view_shape(ad_call *c) { return (void)c, AD_OK; }
static void view_backward(const ad_op *op) { ad__add_gradient(op, 0, ad__out(op)->grad); }
static void view_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { (void)op, dx[0] = g; }

/* An operand of a checkpoint that draws. It depends on the checkpoint's result, so that ad_eval draws for that first.
   */
static const ad_optype view_type = { .name = "checkpoint_operand",
                                     .doc = "a view of a checkpoint's operand, for the function recorded again",
                                     .arity = 2,
                                     .flags = AD_OP_VIEW | AD_OP_MIXED,
                                     .no_grad = AD_NO_GRAD(1),
                                     .shape = view_shape,
                                     .backward = { view_backward, view_backward },
                                     .vjp = view_vjp };

static ad_var *view_of(const ad_op *op, int i) {
    const checkpoint_attrs *a = ad__attrs_of(op);
    return a->draws ? ad__apply2(&view_type, op->in[i], ad__out(op), NULL)
                    : ad_reshape(op->in[i], op->in[i]->layout->shape);
}

/* Puts older branches behind those in the graph. */
static void add_branches(ad_graph *g, ad_op *older) {
    ad_op **link = &g->branch;
    while (*link != NULL) link = &ad__branch_of(*link)->prev;
    *link = older;
}

/* Records fn again, for good. What it draws repeats the draws of op, also when it is evaluated again. */
static ad_var *record_again(const ad_op *op, ad_var *const xs[]) {
    const checkpoint_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(ad__out(op));
    const ad__repeat repeat = { ad__out(op), &a->random }, *outer = g->repeat;
    ad_op **creators = hide_creators(op, a->n), *branches = g->branch;
    g->repeat = &repeat;
    g->branch = NULL; /* the passes of fn need not look at branches of other expressions */
    ad_var *y = creators ? call_as_before(op, xs) : ad_nil(g);
    g->repeat = outer;
    add_branches(g, branches);
    show_creators(op, a->n, creators);
    return y;
}

/* The Vars of fn start at views of the operands, so that the pass ends there, and at the captured Vars, which are older
   than they are. */
static void checkpoint_vjp(const ad_op *op, ad_var *g_var, ad_var *dx[]) {
    const checkpoint_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(g_var);
    ad_var **xs = ad__inner_vars(g, 3 * op->n_in), **wanted = xs + op->n_in, **ds = wanted + op->n_in;
    if (xs == NULL) return;
    for (int i = 0; i < op->n_in; i++) xs[i] = i < a->n ? view_of(op, i) : op->in[i];
    int m = 0;
    uint32_t before = g->n_ops;
    for (int i = 0; i < op->n_in; i++)
        if (ad_vjp_wants(op, i)) wanted[m++] = xs[i];
    ad_var *y = g->code == AD_OK ? record_again(op, xs) : ad_nil(g);
    if (g->code != AD_OK || ad__vjp_of(1, &y, &g_var, m, wanted, ds, before)) return;
    for (int i = 0, k = 0; i < op->n_in; i++)
        if (k < m && wanted[k] == xs[i]) dx[i] = ds[k++];
}

/* A first call may stand within a function that is recorded again, so it is marked as an op with state. */
static const ad_optype checkpoint_type = { .name = "checkpoint",
                                           .doc = "a function whose inner Vars are computed again for a gradient",
                                           .arity = -1,
                                           .flags = AD_OP_MIXED | AD_OP_STATE,
                                           .attr_size = sizeof(checkpoint_attrs),
                                           .shape = checkpoint_shape,
                                           .evaluate = { checkpoint_evaluate, checkpoint_evaluate },
                                           .backward = { checkpoint_backward, checkpoint_backward },
                                           .vjp = checkpoint_vjp };

/* ---- the first call --------------------------------------------------------------------------------------------- */

/* Takes what is needed of the result. first_values and the list of captured Vars are buffers of the pool, which the
   caller gives back. */
static int keep_result(ad__recording *r, checkpoint_attrs *a, ad_var *y) {
    ad_graph *g = r->g;
    if (ad__recording_end(r, y, true)) return g->code;
    a->print = r->print;
    a->dtype = y->layout->dtype;
    a->shape = y->layout->shape;
    a->draws = !same_state(&a->random, &g->random);
    a->first_values = ad__pool_take(&g->pool, ad__bytes(y));
    if (a->first_values == NULL) return ad_no_memory(g, "a checkpoint", ad__bytes(y));
    memcpy(a->first_values, y->data, ad__bytes(y));
    return AD_OK;
}

/* Runs fn for the first time, in a scope of its own. */
static int run_first(ad__recording *r, checkpoint_attrs *a, int n, ad_var *const xs[]) {
    ad_graph *g = ad__owner(xs[0]);
    ad__inner_pass in = ad__inner_begin(g);
    ad_var **own = stand_ins(g, n, xs);
    *r = ad__recording_begin(g, n, own);
    ad_var *y = own ? call_function(g, a, n, own, &a->tape) : ad_nil(g);
    if (g->code == AD_OK) keep_result(r, a, y);
    ad__inner_end(g, &in);
    return g->code;
}

/* Moves the answers of ad_branch to memory that lasts as long as the op. */
static int keep_answers(ad_graph *g, ad__tape *tape) {
    bool *answers = tape->n ? ad_scope_alloc(g, tape->n) : NULL, *list = tape->answers;
    if (answers != NULL) memcpy(answers, list, tape->n);
    if (list != NULL) ad__pool_give(&g->pool, list, tape->capacity);
    tape->answers = answers;
    return g->code;
}

/* Applies the op to the xs and the captured Vars. In a function that is recorded again, the op notes where its draws
   begin, so the generator is set back for a moment. */
static ad_var *apply_to_all(const ad__recording *r, const checkpoint_attrs *a, ad_var *const xs[]) {
    ad_graph *g = r->g;
    int n_in = a->n + r->n_captured;
    ad_var **in = ad_buffer_take(g, (size_t)n_in * sizeof *in);
    if (in == NULL) return ad_nil(g);
    memcpy(in, xs, (size_t)a->n * sizeof *in);
    if (r->n_captured > 0) memcpy(in + a->n, r->captured, (size_t)r->n_captured * sizeof *in);
    ad_random_state now = g->random;
    g->random = a->random;
    ad_var *y = ad_apply(&checkpoint_type, n_in, in, a);
    g->random = now;
    ad_buffer_give(g, in, (size_t)n_in * sizeof *in);
    return y;
}

ad_var *ad_checkpoint(ad_function *fn, void *user, int n, ad_var *const xs[]) {
    ad_graph *g = ad__owner_of_all(n, xs, "checkpoint");
    if (g == NULL || g->code != AD_OK) return ad_nil(g);
    if (fn == NULL) return ad_fail(g, AD_EVALUE, "checkpoint: fn is NULL"), ad_nil(g);
    checkpoint_attrs a = { .fn = fn, .user = user, .n = n, .random = g->random };
    ad__recording r = { .g = g };
    run_first(&r, &a, n, xs);
    keep_answers(g, &a.tape);
    ad_var *y = g->code == AD_OK ? apply_to_all(&r, &a, xs) : ad_nil(g);
    ad__recording_free(&r);
    ad_buffer_give(g, a.first_values, (size_t)ad_shape_numel(a.shape) * ad_dtype_size(a.dtype));
    return y;
}
