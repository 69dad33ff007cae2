/* error.c: a graph's error, which is the first that occurred, and the nil Var that failing calls return. */
#include "autodiff/graph/node.h"

static const ad__layout no_graph_layout = { .dtype = AD_F64, .shape = { 1, { 0 } } };
static const ad_var no_graph_nil = { .layout = &no_graph_layout, .flags = AD__NIL };

/* Nothing writes to nil, so casting away const is safe. */
ad_var *ad_nil(const ad_graph *g) { return (ad_var *)(g ? &g->nil : &no_graph_nil); }

bool ad_is_nil(const ad_var *x) { return ad__absent(x); }

bool ad_ok(const ad_graph *g) { return g != NULL && g->code == AD_OK; }

const char *ad_error(const ad_graph *g) {
    if (g == NULL) return "no graph: ad_graph_new ran out of memory, or NULL was given";
    return g->message;
}

int ad_error_code(const ad_graph *g) { return g ? g->code : AD_EGRAPH; }

void ad_clear_error(ad_graph *g) {
    if (g == NULL) return;
    g->code = AD_OK;
    ad__choose_paths(g);
    g->message[0] = '\0';
}

void ad_on_error(ad_graph *g, ad_error_fn *fn, void *data) {
    if (g == NULL) return;
    g->on_error = fn;
    g->on_error_data = data;
}

int ad_vfail(ad_graph *g, int code, const char *where, const char *format, va_list args) {
    if (code >= 0) code = AD_EVALUE;
    if (g == NULL || g->code != AD_OK) return code; /* keep the first: later errors are its consequences */
    g->code = code;
    ad__choose_paths(g);
    int n = snprintf(g->message, sizeof g->message, "%s", where ? where : "");
    if (n >= 0 && (size_t)n < sizeof g->message)
        vsnprintf(g->message + n, sizeof g->message - (size_t)n, format ? format : "an error without a sentence", args);
    if (g->on_error != NULL) g->on_error(g, code, g->message, g->on_error_data);
    return code;
}

int ad_fail(ad_graph *g, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    code = ad_vfail(g, code, "", format, args);
    va_end(args);
    return code;
}

int ad_no_memory(ad_graph *g, const char *what, size_t bytes) {
    return ad_fail(g, AD_ENOMEM, "out of memory: %zu bytes for %s", bytes, what ? what : "an object");
}

int ad_refuse_nil(const ad_var *x, const char *caller) {
    ad_graph *g = x ? ad__owner(x) : NULL;
    if (!ad_ok(g)) return ad_error_code(g);
    return ad_fail(g, AD_EVALUE, "%s: the Var is nil, left from an error that was cleared", caller ? caller : "a call");
}

ad_graph *ad__graph_among(int n, ad_var *const xs[]) {
    ad_graph *g = NULL;
    for (int i = 0; i < n && xs != NULL && g == NULL; i++) g = xs[i] ? ad__owner(xs[i]) : NULL;
    return g;
}

int ad__refuse_beside(const ad_var *x, int n, ad_var *const others[], const char *caller) {
    ad_graph *g = x && ad__owner(x) ? NULL : ad__graph_among(n, others);
    if (g == NULL) return ad_refuse_nil(x, caller);
    return ad_ok(g) ? ad_fail(g, AD_EVALUE, "%s: a Var is NULL or the nil of no graph", caller) : g->code;
}

/* Writes "op: W1 [2,3] x f32[4]: ": the op, and the name, dtype and shape of the first few operands. The dtype is left
   out if it is the first operand's. */
static void describe(char *to, size_t size, const ad_optype *type, int n, ad_var *const in[]) {
    enum { SHOWN = 4 };
    size_t at = (size_t)snprintf(to, size, "%s: ", type->name);
    for (int i = 0; i < n && i < SHOWN && at < size; i++) {
        const ad__layout *l = in[i]->layout;
        const char *name = ad_name_of(in[i]);
        const char *dtype = l->dtype != in[0]->layout->dtype ? ad_dtype_name(l->dtype) : "";
        at += (size_t)snprintf(to + at, size - at, "%s%s%s%s%s", i ? " x " : "", name ? name : "", name ? " " : "",
                               dtype, ad_shape_str(l->shape).text);
    }
    if (at < size) snprintf(to + at, size - at, "%s: ", n > SHOWN ? " x ..." : "");
}

int ad_call_fail(const ad_call *c, int code, const char *format, ...) {
    char where[400];
    if (c == NULL) return code < 0 ? code : AD_EVALUE;
    describe(where, sizeof where, c->type, c->n, c->in);
    va_list args;
    va_start(args, format);
    code = ad_vfail(c->graph, code, where, format, args);
    va_end(args);
    return code;
}

int ad_op_fail(const ad_op *op, int code, const char *format, ...) {
    char where[400];
    if (op == NULL) return code < 0 ? code : AD_EVALUE;
    describe(where, sizeof where, op->type, op->n_in, op->in);
    va_list args;
    va_start(args, format);
    code = ad_vfail(ad__owner(ad__out(op)), code, where, format, args);
    va_end(args);
    return code;
}
