/* parameters.c: the parameters and buffers below a module, and what layers share to make theirs. */
#define _POSIX_C_SOURCE 200809L
#include <fnmatch.h>
#include <string.h>

#include "nn/module/module_private.h"

static bool is_open(const nn_module *m, const char *caller) {
    return m != NULL && nn__check_open(&m->object, NULL, caller, "module") == AD_OK;
}

int nn_parameter_count(const nn_module *m) {
    return is_open(m, "parameter_count") ? m->lists[NN__PARAMETERS].count : 0;
}
int nn_buffer_count(const nn_module *m) { return is_open(m, "buffer_count") ? m->lists[NN__BUFFERS].count : 0; }
nn_parameter nn_parameter_at(const nn_module *m, int i) { return nn__var_at(m, NN__PARAMETERS, i); }
nn_parameter nn_buffer_at(const nn_module *m, int i) { return nn__var_at(m, NN__BUFFERS, i); }
ad_var *nn_find_parameter(const nn_module *m, const char *name) {
    return is_open(m, "find_parameter") ? nn__find_var(m, NN__PARAMETERS, name) : NULL;
}
ad_var *nn_find_buffer(const nn_module *m, const char *name) {
    return is_open(m, "find_buffer") ? nn__find_var(m, NN__BUFFERS, name) : NULL;
}

int nn__array_count(const nn_module *m) { return nn_parameter_count(m) + nn_buffer_count(m); }
nn_parameter nn__array_at(const nn_module *m, int i) {
    int n = nn_parameter_count(m);
    return i < n ? nn_parameter_at(m, i) : nn_buffer_at(m, i - n);
}

int64_t nn_parameter_numel(const nn_module *m) {
    int64_t n = 0;
    for (int i = 0; i < nn_parameter_count(m); i++) n += ad_numel(nn_parameter_at(m, i).var);
    return n;
}

int64_t nn_trainable_numel(const nn_module *m) {
    int64_t n = 0;
    for (int i = 0; i < nn_parameter_count(m); i++)
        if (ad_requires_grad(nn_parameter_at(m, i).var)) n += ad_numel(nn_parameter_at(m, i).var);
    return n;
}

/* A gradient that arrived before the freezing is dropped: it must count neither in a step nor in a norm. */
int nn_freeze(nn_module *m, bool frozen) {
    if (m == NULL) return AD_EVALUE; /* the error is that of the module's making */
    ad_graph *g = nn_graph_of(m);
    if (nn__check_open(&m->object, NULL, "freeze", "module")) return AD_EGRAPH;
    for (int i = 0; i < nn_parameter_count(m) && ad_ok(g); i++) {
        ad_var *x = nn_parameter_at(m, i).var;
        if (frozen) ad_zero_grad(x);
        ad_set_requires_grad(x, !frozen);
    }
    return ad_error_code(g);
}

void nn__put_back(ad_var *x, const void *elements) {
    if (ad_bytes_of(x) > 0) memcpy((void *)(uintptr_t)ad_data(x), elements, ad_bytes_of(x));
}

bool nn__ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), e = ending ? strlen(ending) : 0;
    return n >= e && strcmp(name + n - e, ending ? ending : "") == 0;
}

bool nn__matches(const char *name, const char *patterns) {
    char one[256];
    for (const char *at = patterns; at != NULL; at += *at == '|') {
        size_t n = strcspn(at, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, at);
        if (n < sizeof one && fnmatch(one, name, FNM_NOESCAPE) == 0) return true;
        at += n;
        if (*at == '\0') return false;
    }
    return patterns == NULL;
}

/* ---- what layers share ------------------------------------------------------------------------------ */

void nn__zero_parameter(nn_module *m, ad_var **field, const char *name, ad_dtype t, ad_shape s) {
    *field = nn_add_parameter(m, name, ad_param(nn_graph_of(m), t, NULL, s));
    nn_add_reference(m, field);
}

void nn__uniform_parameter(nn_module *m, ad_var **field, const char *name, ad_dtype t, ad_shape s, double bound) {
    nn__zero_parameter(m, field, name, t, s);
    nn_init_uniform(*field, -bound, bound);
}

void nn__constant_parameter(nn_module *m, ad_var **field, const char *name, ad_dtype t, ad_shape s, double value) {
    nn__zero_parameter(m, field, name, t, s);
    nn_init_constant(*field, value);
}

void nn__buffer(nn_module *m, ad_var **field, const char *name, ad_var *x) {
    *field = nn_add_buffer(m, name, x);
    nn_add_reference(m, field);
}

/* An array has fewer elements than this, so sums and small multiples of sizes do not overflow. */
static const int64_t TOO_LARGE = (int64_t)1 << 59;

static void refuse_large(ad_graph *g, const char *caller, const char *name, int64_t size) {
    if (size >= TOO_LARGE)
        ad_fail(g, AD_ESHAPE, "%s: %s %lld: it is too large for an array", caller, name, (long long)size);
}

bool nn__is_size(ad_graph *g, const char *caller, const char *name, int64_t size) {
    if (size < 1) ad_fail(g, AD_ESHAPE, "%s: %s %lld: it must be at least 1", caller, name, (long long)size);
    refuse_large(g, caller, name, size);
    return ad_ok(g);
}

bool nn__is_not_negative(ad_graph *g, const char *caller, const char *name, int64_t size) {
    if (size < 0) ad_fail(g, AD_EVALUE, "%s: %s %lld: it must be 0 or more", caller, name, (long long)size);
    refuse_large(g, caller, name, size);
    return ad_ok(g);
}
