/* program.c: ad_compile, ad_compile_gradient and ad_run. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autodiff/graph/memory.h"
#include "autodiff/pass/pass.h"
#include "ops/compile/native.h"
#include "ops/compile/source.h"
#include "ops/kernels/linalg/gemm.h"

/* An argument or output of the compiled function: one array, or consecutive numbers. */
typedef struct {
    int first, n;  /* of the caller's pointers */
    size_t size;   /* bytes of one of them */
    size_t buffer; /* where a copy is in the work memory */
} group;

struct ad_program {
    ad__host host; /* comes first, so that its address is the program's */
    ad_graph *g;
    ad__native *run; /* NULL: the graph is evaluated */
    void *handle;
    char how[400];
    int n, m;          /* xs; outputs: ys, or y and the gradients */
    ad_var **xs, **ys; /* ys: all outputs, if the graph is evaluated */
    void **saved;      /* elements of the xs while the graph is evaluated */
    /* of a compiled program: */
    char *source;
    int n_in, n_out, n_leaves, n_scalars[2];
    group *in, *out;
    const ad_var **leaves, **scalars[2];
    const ad_op **calls; /* by the number of a nest */
    const double *numbers;
    const int32_t *tables;
    size_t scalars_at[2], arrays_at, work; /* offsets in the work memory, and its size */
    void *own;
    /* for ad_run_flat: */
    bool is_gradient, is_f64; /* all xs and y are f64 */
    const void **flat_in;
    void **flat_out;
};

/* Memory that lasts as long as the program. */
static void *keep(ad_program *p, int64_t n, size_t size) {
    return ad__lasting_alloc(p->g, (const ad_var *)(const void *)p, (size_t)(n > 0 ? n : 1) * size);
}

static void *keep_copy(ad_program *p, const void *from, int64_t n, size_t size) {
    void *at = keep(p, n, size);
    if (at && n > 0) memcpy(at, from, (size_t)n * size);
    return at;
}

/* ---- what the compiled function takes ---------------------------------------------------------------------------- */

/* The groups that begin with the Vars that `starts` names. */
static int make_groups(int groups, const int *starts, int n, ad_var *const xs[], int first, group *to) {
    for (int i = 0; i < groups; i++) {
        int end = i + 1 < groups ? starts[i + 1] : n;
        to[i] = (group){ .first = first + starts[i], .n = end - starts[i], .size = ad__bytes(xs[starts[i]]) };
    }
    return groups;
}

enum { CONSTANTS = 4 }; /* after the leaves: their numbers by dtype, the parameters of ops, and tables */

static size_t up(size_t n) { return (n + 63) & ~(size_t)63; }

/* Lays out the work memory: pointers, copies of groups, numbers of leaves, then the arrays of the source. */
static void lay_out(ad_program *p, size_t arrays) {
    size_t at = up((size_t)(p->n_in + p->n_out + p->n_leaves + CONSTANTS) * sizeof(void *));
    for (int i = 0; i < p->n_in; i++)
        if (p->in[i].n > 1) p->in[i].buffer = at, at = up(at + p->in[i].size * (size_t)p->in[i].n);
    for (int i = 0; i < p->n_out; i++) p->out[i].buffer = at, at = up(at + p->out[i].size * (size_t)p->out[i].n);
    for (int t = 0; t < 2; t++) p->scalars_at[t] = at, at = up(at + (size_t)p->n_scalars[t] * sizeof(double));
    p->arrays_at = at;
    p->work = at + up(arrays);
}

static int keep_scalars(ad_program *p, const ad_emit *e) {
    for (int t = 0; t < 2; t++) {
        int64_t n = e->leaf_scalars[t] ? e->buffers.at[e->leaf_scalars[t]].size : 0;
        p->scalars[t] = keep(p, n, sizeof(ad_var *));
        if (p->scalars[t] == NULL) return AD_ENOMEM;
    }
    for (int64_t i = 0; i < e->scalars.n; i++) {
        ad_dtype t = e->scalars.at[i]->layout->dtype;
        p->scalars[t][p->n_scalars[t]++] = e->scalars.at[i];
    }
    return AD_OK;
}

/* Copies what running needs out of the memory of the compilation. gradient: the outputs are y and the gradients of the
   xs in groups; else they are p->ys. */
static int keep_layout(ad_program *p, const ad_emit *e, const ad__schedule *s, bool gradient) {
    p->in = keep(p, p->n, sizeof *p->in), p->out = keep(p, p->n + p->m, sizeof *p->out);
    p->leaves = keep_copy(p, e->leaves.at, e->leaves.n, sizeof *p->leaves);
    p->calls = keep(p, e->nests.n, sizeof *p->calls);
    p->numbers = keep_copy(p, e->numbers.at, e->numbers.n, sizeof *p->numbers);
    p->tables = keep_copy(p, s->tables.at, s->tables.n, sizeof *p->tables);
    if (!p->numbers || !p->tables || !p->in || !p->out || !p->leaves || !p->calls) return AD_ENOMEM;
    if (keep_scalars(p, e)) return AD_ENOMEM;
    for (int64_t k = 0; k < e->nests.n; k++) p->calls[k] = e->nests.at[k].op;
    p->n_leaves = (int)e->leaves.n;
    p->n_in = make_groups((int)e->first_x.n, e->first_x.at, p->n, p->xs, 0, p->in);
    p->n_out = make_groups((int)e->first_y.n, e->first_y.at, p->m, p->ys, 0, p->out);
    if (gradient) p->n_out += make_groups((int)e->first_x.n, e->first_x.at, p->n, p->xs, 1, p->out + 1);
    lay_out(p, (size_t)s->work);
    p->own = ad__lasting_alloc(p->g, (const ad_var *)(const void *)p, p->work + 64);
    return p->own ? AD_OK : AD_ENOMEM;
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

enum { MOST_SOURCE = 1500000 }; /* bytes: a compiler takes many seconds for more */

static int refuse(ad_program *p, const char *reason, const char *what) {
    snprintf(p->how, sizeof p->how, "evaluated: %s%s", reason, what);
    return AD_OK;
}

static int load(ad_program *p, const ad__text *source, ad_compile_opts o) {
    char reason[360];
    void **handle = p->handle;
    p->source = keep_copy(p, source->at, source->n + 1, 1);
    if (p->source == NULL) return AD_ENOMEM;
    p->run = ad__native_load(p->source, o, handle, reason, sizeof reason);
    if (p->run == NULL) return refuse(p, reason, "");
    snprintf(p->how, sizeof p->how, "compiled");
    return AD_OK;
}

/* Writes and compiles the source. Returns AD_EABSENT if the gradient must be given as Vars. */
static int compile(ad_program *p, bool gradient, ad_compile_opts o) {
    ad_emit e = { .g = p->g };
    ad__schedule s = { 0 };
    ad__text source = { .g = p->g };
    int rc = ad__lower(&e, p->m, p->ys, p->n, p->xs);
    if (rc != AD_OK) return rc;
    if (e.refused) return refuse(p, "there is no form in C of the op ", e.refused);
    ad__emit_outputs(&e, p->m, p->ys);
    if (e.code == AD_OK && gradient) rc = ad__reverse(&e, ad__value_of(&e, p->ys[0]));
    if (rc != AD_OK || e.code != AD_OK) return rc != AD_OK ? rc : e.code;
    rc = ad__schedule_make(&e, &s);
    if (rc == AD_OK) rc = ad__source_write(&e, &s, "ad_program_run", &source);
    if (rc == AD_OK && source.n > MOST_SOURCE) return refuse(p, "too much code, as few loops were found in it", "");
    if (rc == AD_OK) rc = keep_layout(p, &e, &s, gradient);
    return rc == AD_OK ? load(p, &source, o) : rc;
}

static int compile_in_scope(ad_program *p, bool gradient, ad_compile_opts o) {
    if (o.no_cc) return refuse(p, "no_cc was given", "");
    ad_mark m = ad_begin(p->g);
    int rc = compile(p, gradient, o);
    ad_end(p->g, m);
    return rc;
}

static int call_op(ad__host *host, long k, void **at) {
    ad_program *p = (ad_program *)(void *)host;
    const ad_op *op = p->calls[k];
    ad_var *out = ad__out(op);
    void *before[64];
    for (int i = 0; i < op->n_in; i++) before[i] = op->in[i]->data, op->in[i]->data = at[i];
    void *result = out->data;
    out->data = at[op->n_in];
    int rc = op->type->evaluate[out->layout->dtype](op);
    out->data = result;
    for (int i = op->n_in; i-- > 0;) op->in[i]->data = before[i];
    return rc;
}

static void gemm_f32(int ta, int tb, long n, long m, long k, const void *a, const void *b, int adds, void *c) {
    ad__gemm_f32(ta, tb, n, m, k, a, b, (float)adds, c);
}

static void gemm_f64(int ta, int tb, long n, long m, long k, const void *a, const void *b, int adds, void *c) {
    ad__gemm_f64(ta, tb, n, m, k, a, b, adds, c);
}

static void close_program(void *memory) { ad__native_close(*(void **)memory); }

static ad_program *program_new(int m, ad_var *const ys[], int n, ad_var *const xs[]) {
    ad_graph *g = ad__owner(ys[0]);
    ad_program *p = ad_scope_zalloc(g, sizeof *p);
    if (p == NULL) return NULL;
    *p = (ad_program){ .host = { call_op, { gemm_f32, gemm_f64 } }, .g = g, .n = n, .m = m };
    p->handle = ad_scope_closing(g, sizeof(void *), close_program);
    if (p->handle) *(void **)p->handle = NULL;
    p->xs = keep_copy(p, xs, n, sizeof *xs), p->ys = keep(p, m + n, sizeof *ys), p->saved = keep(p, n, sizeof(void *));
    if (!p->handle || !p->xs || !p->ys || !p->saved) return NULL;
    memcpy(p->ys, ys, (size_t)m * sizeof *ys);
    for (int i = 0; i < n; i++)
        if ((p->saved[i] = keep(p, 1, ad__bytes(xs[i]))) == NULL) return NULL;
    return p;
}

ad_program *ad_compile(int m, ad_var *const ys[], int n, ad_var *const xs[], ad_compile_opts o) {
    if (ad__check_program(m, ys, n, xs, "compile")) return NULL;
    ad_program *p = program_new(m, ys, n, xs);
    return p == NULL || compile_in_scope(p, false, o) ? NULL : p;
}

/* The gradient as Vars, which a program without a form of its own computes as further ys. */
static int add_gradient_vars(ad_program *p) {
    bool grad = ad_enable_grad(p->g, true);
    int rc = ad_gradient(p->ys[0], p->n, p->xs, p->ys + 1);
    ad_enable_grad(p->g, grad);
    p->m = 1 + p->n;
    return rc;
}

static int keep_vectors(ad_program *p) {
    p->is_gradient = true, p->is_f64 = p->ys[0]->layout->dtype == AD_F64;
    p->flat_in = keep(p, p->n, sizeof(void *)), p->flat_out = keep(p, 1 + p->n, sizeof(void *));
    if (!p->flat_in || !p->flat_out) return AD_ENOMEM;
    for (int i = 0; i < p->n; i++) {
        p->is_f64 = p->is_f64 && p->xs[i]->layout->dtype == AD_F64;
        p->flat_in[i] = keep(p, 1, ad__bytes(p->xs[i])), p->flat_out[1 + i] = keep(p, 1, ad__bytes(p->xs[i]));
        if (!p->flat_in[i] || !p->flat_out[1 + i]) return AD_ENOMEM;
    }
    return AD_OK;
}

ad_program *ad_compile_gradient(ad_var *y, int n, ad_var *const xs[], ad_compile_opts o) {
    if (ad__check_program(1, &y, n, xs, "compile_gradient")) return NULL;
    if (ad__check_single(y, "compile_gradient")) return NULL;
    ad_program *p = program_new(1, &y, n, xs);
    if (p == NULL || keep_vectors(p)) return NULL;
    int rc = compile_in_scope(p, true, o);
    if (rc == AD_OK && p->run) return p;
    if (rc != AD_OK && rc != AD_EABSENT) return NULL;
    if (add_gradient_vars(p)) return NULL;
    return rc == AD_EABSENT && compile_in_scope(p, false, o) ? NULL : p;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static bool in_a_row(void *const at[], const group *g) {
    const char *first = at[g->first];
    if (first == NULL) return false;
    for (int k = 1; k < g->n; k++)
        if ((const char *)at[g->first + k] != first + (size_t)k * g->size) return false;
    return true;
}

/* The argument of a group: the caller's memory, or a copy. An x that is not given is the leaf's own. */
static const void *argument(const ad_program *p, const group *g, const void *const in[], char *work) {
    if (in && in_a_row((void *const *)in, g)) return in[g->first];
    if (g->n == 1) return in && in[g->first] ? in[g->first] : p->xs[g->first]->data;
    for (int k = 0; k < g->n; k++) {
        int i = g->first + k;
        memcpy(work + g->buffer + (size_t)k * g->size, in && in[i] ? in[i] : p->xs[i]->data, g->size);
    }
    return work + g->buffer;
}

static void copy_scalars(const ad_program *p, char *work) {
    float *f32 = (void *)(work + p->scalars_at[AD_F32]);
    double *f64 = (void *)(work + p->scalars_at[AD_F64]);
    for (int i = 0; i < p->n_scalars[AD_F32]; i++) f32[i] = *(const float *)p->scalars[AD_F32][i]->data;
    for (int i = 0; i < p->n_scalars[AD_F64]; i++) f64[i] = *(const double *)p->scalars[AD_F64][i]->data;
}

/* The pointers that the compiled function takes, at the beginning of the work memory. */
static const void **args_in(char *work) { return (void *)work; }
static void **outs_in(const ad_program *p, char *work) {
    return (void **)(void *)work + p->n_in + p->n_leaves + CONSTANTS;
}

/* Runs the function with the arguments and outputs that are set. */
static int call_native(ad_program *p, char *work) {
    const void **args = args_in(work), **leaves = args + p->n_in;
    for (int i = 0; i < p->n_leaves; i++) leaves[i] = p->leaves[i]->data;
    for (int t = 0; t < 2; t++) leaves[p->n_leaves + t] = work + p->scalars_at[t];
    leaves[p->n_leaves + 2] = p->numbers, leaves[p->n_leaves + 3] = p->tables;
    copy_scalars(p, work);
    return p->run(args, leaves, outs_in(p, work), (unsigned char *)work + p->arrays_at, &p->host);
}

/* Whether n bytes are in the memory of an argument, which the function may read after it wrote them. */
static bool is_argument(const ad_program *p, const void *const args[], const char *at, size_t n) {
    for (int i = 0; i < p->n_in; i++) {
        const char *from = args[i];
        if (at < from + p->in[i].size * (size_t)p->in[i].n && from < at + n) return true;
    }
    return false;
}

static int run_compiled(ad_program *p, const void *const in[], void *const out[], char *work) {
    const void **args = args_in(work);
    void **outs = outs_in(p, work);
    for (int i = 0; i < p->n_in; i++) args[i] = argument(p, &p->in[i], in, work);
    for (int i = 0; i < p->n_out; i++) {
        const group *g = &p->out[i];
        bool direct = in_a_row(out, g) && !is_argument(p, args, out[g->first], g->size * (size_t)g->n);
        outs[i] = direct ? out[g->first] : work + g->buffer;
    }
    int rc = call_native(p, work);
    for (int i = 0; i < p->n_out && rc == AD_OK; i++) {
        const group *g = &p->out[i];
        for (int k = 0; outs[i] == work + g->buffer && k < g->n; k++)
            if (out[g->first + k]) memcpy(out[g->first + k], work + g->buffer + (size_t)k * g->size, g->size);
    }
    return rc;
}

/* Writes the xs that are given to their leaves, and keeps what was there. */
static void set_leaves(ad_program *p, const void *const in[]) {
    for (int i = 0; i < p->n; i++) {
        if (in == NULL || in[i] == NULL) continue;
        ad_var *x = p->xs[i];
        memcpy(p->saved[i], x->data, ad__bytes(x));
        memmove(x->data, in[i], ad__bytes(x));
        ad__leaf_changed(x);
    }
}

static void restore_leaves(ad_program *p, const void *const in[]) {
    for (int i = 0; i < p->n; i++) {
        if (in == NULL || in[i] == NULL) continue;
        memcpy(p->xs[i]->data, p->saved[i], ad__bytes(p->xs[i]));
        ad__leaf_changed(p->xs[i]);
    }
}

static int run_evaluated(ad_program *p, const void *const in[], void *const out[]) {
    int rc = AD_OK;
    set_leaves(p, in);
    for (int i = 0; i < p->m && rc == AD_OK; i++) {
        rc = ad_eval(p->ys[i]);
        if (rc == AD_OK && out[i]) memcpy(out[i], p->ys[i]->data, ad__bytes(p->ys[i]));
    }
    restore_leaves(p, in);
    return rc;
}

int ad_run(ad_program *p, const void *const in[], void *const out[], void *work) {
    if (p == NULL) return AD_EVALUE;
    if (p->g->code != AD_OK) return p->g->code;
    if (out == NULL) return ad_fail(p->g, AD_EVALUE, "run: out is NULL");
    return p->run ? run_compiled(p, in, out, work ? work : p->own) : run_evaluated(p, in, out);
}

/* ---- as a callback of optimisers --------------------------------------------------------------------------------- */

/* Runs on the caller's vectors as they are. The outputs are y, and the gradients in the order of the xs. */
static double run_on_vectors(ad_program *p, const double *x, double *grad) {
    const void **args = args_in(p->own);
    void **outs = outs_in(p, p->own);
    double y = NAN;
    for (int i = 0; i < p->n_in; i++) {
        args[i] = x, outs[1 + i] = grad ? (void *)grad : (char *)p->own + p->out[1 + i].buffer;
        int64_t n = (int64_t)(p->in[i].size / sizeof *x) * p->in[i].n;
        x += n;
        if (grad) grad += n;
    }
    outs[0] = &y;
    return call_native(p, p->own) == AD_OK ? y : NAN;
}

static double run_on_copies(ad_program *p, const double *x, double *grad) {
    double y = NAN;
    for (int i = 0; i < p->n; i++) {
        const ad__layout *l = p->xs[i]->layout;
        for (int64_t k = 0; k < l->numel; k++) ad_write_element(l->dtype, (void *)p->flat_in[i], k, *x++);
    }
    p->flat_out[0] = &y;
    if (ad_run(p, p->flat_in, p->flat_out, NULL) != AD_OK) return NAN;
    for (int i = 0; grad && i < p->n; i++) {
        const ad__layout *l = p->xs[i]->layout;
        for (int64_t k = 0; k < l->numel; k++) *grad++ = ad_read_element(l->dtype, p->flat_out[1 + i], k);
    }
    return ad_read_element(p->ys[0]->layout->dtype, &y, 0);
}

double ad_run_flat(const double *x, double *grad, void *program) {
    ad_program *p = program;
    if (p == NULL || p->g->code != AD_OK) return NAN;
    if (!p->is_gradient) return ad_fail(p->g, AD_EVALUE, "run_flat: the program is not of ad_compile_gradient"), NAN;
    if (x == NULL && p->n > 0) return ad_fail(p->g, AD_EVALUE, "run_flat: x is NULL"), NAN;
    bool in_groups = p->run && p->is_f64 && p->n_out == 1 + p->n_in;
    return in_groups ? run_on_vectors(p, x, grad) : run_on_copies(p, x, grad);
}

size_t ad_program_work(const ad_program *p) { return p ? p->work : 0; }
const char *ad_program_how(const ad_program *p) { return p ? p->how : ""; }
ad_var *ad_program_leaf(const ad_program *p, int i) {
    if (p == NULL || i < 0) return NULL;
    if (i < p->n_leaves) return (ad_var *)p->leaves[i];
    i -= p->n_leaves;
    for (int t = 0; t < 2; i -= p->n_scalars[t++])
        if (i < p->n_scalars[t]) return (ad_var *)p->scalars[t][i];
    return NULL;
}
const char *ad_program_source(const ad_program *p) { return p && p->source ? p->source : ""; }
