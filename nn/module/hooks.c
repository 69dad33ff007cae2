/* hooks.c: functions called before and after a module's forward; modules with several inputs and results. */
#include "nn/module/module_private.h"

/* ---- hooks --------------------------------------------------------------------------------------------------- */

static void unlink_hook(const nn__hook *h) {
    for (nn__hook **at = &h->of->hooks; *at != NULL; at = &(*at)->next)
        if (*at == h) {
            *at = h->next; /* h keeps its own next: it may be running */
            return;
        }
}

/* An ad_close_fn: the scope ends in which the hook was made. That of the module ends later, or now. */
static void close_hook(void *memory) { unlink_hook(memory); }

static int check(const nn_module *m, const char *caller) {
    if (m == NULL) return AD_EVALUE; /* the error is that of the module's making */
    if (nn__check_open(&m->object, NULL, caller, "module")) return AD_EGRAPH;
    return ad_error_code(nn_graph_of(m));
}

static int add_hook(nn_module *m, nn__hook hook, const char *caller) {
    int rc = check(m, caller);
    if (rc != AD_OK) return rc;
    if (hook.before == NULL && hook.after == NULL)
        return ad_fail(nn_graph_of(m), AD_EVALUE, "%s: no function is given", caller);
    nn__hook *h = ad_scope_closing(nn_graph_of(m), sizeof *h, close_hook), **end = &m->hooks;
    if (h == NULL) return AD_ENOMEM;
    *h = hook;
    h->of = m;
    h->number = ++m->last_hook;
    while (*end != NULL) end = &(*end)->next;
    *end = h;
    return h->number;
}

int nn_hook_before(nn_module *m, nn_before_fn *f, void *data) {
    return add_hook(m, (nn__hook){ .before = f, .data = data }, "hook_before");
}
int nn_hook_after(nn_module *m, nn_after_fn *f, void *data) {
    return add_hook(m, (nn__hook){ .after = f, .data = data }, "hook_after");
}

int nn_unhook(nn_module *m, int hook) {
    int rc = check(m, "unhook");
    for (nn__hook *h = rc ? NULL : m->hooks; h != NULL; h = h->next)
        if (h->number == hook) return unlink_hook(h), AD_OK;
    return rc ? rc : ad_fail(nn_graph_of(m), AD_EVALUE, "unhook: %s has no hook of number %d", m->kind, hook);
}

/* Replaces NULL among the first n Vars by nil, after an error. */
static void refuse_null(nn_module *m, const char *what, int n, ad_var *x[]) {
    ad_graph *g = nn_graph_of(m);
    for (int i = 0; i < n; i++)
        if (x[i] == NULL) {
            ad_fail(g, AD_EVALUE, "apply: %s of %s set number %d to NULL", what, m->kind, i);
            x[i] = ad_nil(g);
        }
}

static void set_nil(ad_graph *g, int n, ad_var *y[]) {
    for (int i = 0; i < n; i++) y[i] = ad_nil(g);
}

ad_var *nn__call_hooked(nn_module *m, int n, ad_var *x[], int n_y, ad_var *y[], nn__call_fn *call, const void *data) {
    ad_graph *g = nn_graph_of(m);
    for (const nn__hook *h = m->hooks; h != NULL && ad_ok(g); h = h->next)
        if (h->before != NULL) {
            h->before(m, n, x, h->data);
            refuse_null(m, "a hook before", 1, x);
        }
    set_nil(g, n_y, y);
    if (ad_ok(g)) call(m, n, x, n_y, y, data);
    refuse_null(m, "the forward function", n_y, y);
    for (const nn__hook *h = m->hooks; h != NULL && ad_ok(g); h = h->next)
        if (h->after != NULL) {
            h->after(m, n, x, n_y, y, h->data);
            refuse_null(m, "a hook after", n_y, y);
        }
    if (!ad_ok(g)) set_nil(g, n_y, y);
    if (m->watched) m->shape = ad_shape_of(y[0]);
    return y[0];
}

/* ---- several inputs and results ------------------------------------------------------------------------------ */

/* The nn_forward_fn of such a module. */
static ad_var *forward_one(nn_module *m, ad_var *x) {
    ad_var *y = ad_nil(nn_graph_of(m));
    m->forward_n(m, 1, &x, 1, &y);
    return y;
}

nn_module *nn_module_new_n(ad_graph *g, const char *kind, nn_forward_n_fn *forward, size_t size) {
    nn_module *m = nn_module_new(g, kind, forward ? forward_one : NULL, size);
    if (m != NULL) m->forward_n = forward;
    return m;
}

bool nn__takes(const nn_module *m, int n, int most, int n_y, int most_y) {
    if (n <= most && n_y <= most_y) return true;
    ad_fail(nn_graph_of(m), AD_EVALUE, "apply_n: %s has up to %d inputs and %d results, not %d and %d", m->kind, most,
            most_y, n, n_y);
    return false;
}

/* An nn__call_fn. */
static void call_forward_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], const void *data) {
    (void)data;
    if (m->forward_n != NULL) m->forward_n(m, n, x, n_y, y);
    else y[0] = m->forward(m, x[0]);
}

static int check_apply_n(const nn_module *m, int n, ad_var *const x[], int n_y, ad_var *const y[]) {
    ad_graph *g = nn__graph_of_either(m, n > 0 && x != NULL ? x[0] : NULL);
    if (n < 1 || n > NN_MOST_INPUTS || n_y < 1 || n_y > NN_MOST_INPUTS || x == NULL || y == NULL)
        return ad_fail(g, AD_EVALUE, "apply_n: %d inputs and %d results: there are 1 to %d of both", n, n_y,
                       NN_MOST_INPUTS);
    int rc = nn__check_apply(m, x[0]);
    for (int i = 1; i < n && rc == AD_OK; i++)
        if (x[i] != NULL) rc = nn__check_apply(m, x[i]);
    if (rc != AD_OK || m->forward_n != NULL || (n == 1 && n_y == 1)) return rc;
    return ad_fail(g, AD_EVALUE, "apply_n: %s has one input and one result, not %d and %d", m->kind, n, n_y);
}

int nn_apply_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    ad_var *given[NN_MOST_INPUTS];
    ad_graph *g = nn__graph_of_either(m, n > 0 && x != NULL ? x[0] : NULL);
    int rc = check_apply_n(m, n, x, n_y, y);
    if (n_y >= 1 && n_y <= NN_MOST_INPUTS && y != NULL) set_nil(g, n_y, y);
    if (rc != AD_OK) return rc;
    for (int i = 0; i < n; i++) given[i] = x[i];
    nn__call_hooked(m, n, given, n_y, y, call_forward_n, NULL);
    return ad_error_code(g);
}
