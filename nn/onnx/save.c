/* save.c: nn_save_onnx: a network, or an expression, as an ONNX model. */
#include "nn/file.h"
#include "nn/module/module_private.h"

#ifdef AD_HAVE_PROTOBUF_C

#include <stdio.h>
#include <string.h>

#include "nn/onnx/form.h"
#include "nn/onnx/trace.h"
#include "ops/ops.h"

typedef struct {
    ad_graph *g;
    const char *caller;
    const nn_module *net; /* NULL for an expression */
    nn__model *m;
    nn__trace t;
    const ad_op **ops; /* of the first expression */
    int n_ys;
    const nn__pair *ys;
} saved;

static nn__count count_of(nn__pair v, int axis) {
    return (nn__count){ { ad_shape_of(v.at[0]).dim[axis], ad_shape_of(v.at[1]).dim[axis] } };
}

static int counts_of(nn__pair v, nn__count size[AD_MAX_NDIM]) {
    int n = ad_shape_of(v.at[0]).ndim;
    for (int i = 0; i < n; i++) size[i] = count_of(v, i);
    return n;
}

/* ---- leaves ------------------------------------------------------------------------------------------------------ */

/* The dotted name of a parameter or buffer of the network, or the Var's own. */
static const char *leaf_name(const saved *s, const ad_var *x) {
    for (int kind = NN__PARAMETERS; s->net && kind < NN__VAR_KINDS; kind++)
        for (int i = 0; i < s->net->lists[kind].count; i++) {
            nn_parameter p = nn__var_at(s->net, kind, i);
            if (p.var == x) return p.name;
        }
    return ad_name_of(x) ? ad_name_of(x) : "constant";
}

static bool all_equal(const ad_var *x, double v) {
    int64_t n = ad_numel(x);
    for (int64_t i = 0; i < n; i++)
        if (ad_at(x, i) != v) return false;
    return true;
}

static bool same_elements(nn__pair v) {
    return v.at[0] == v.at[1] || (ad_shape_equal(ad_shape_of(v.at[0]), ad_shape_of(v.at[1])) &&
                                  memcmp(ad_data(v.at[0]), ad_data(v.at[1]), ad_bytes_of(v.at[0])) == 0);
}

/* A constant whose shape depends on the batch must be one number, repeated. */
static int add_leaf(saved *s, nn__pair v) {
    nn__count size[AD_MAX_NDIM];
    nn__model_set_dtype(s->m, ad_dtype_of(v.at[0]));
    if (same_elements(v)) {
        nn__set_value(s->m, v.at[0], nn__add_array(s->m, leaf_name(s, v.at[0]), v.at[0]));
        return AD_OK;
    }
    double number = ad_numel(v.at[0]) > 0 ? ad_at(v.at[0], 0) : 0;
    if (!all_equal(v.at[0], number) || !all_equal(v.at[1], number))
        return ad_fail(s->g, AD_EVALUE, "%s: %s %s depends on the number of rows; compute it from x by ops",
                       s->caller, leaf_name(s, v.at[0]), ad_shape_str(ad_shape_of(v.at[0])).text);
    nn__value sizes = nn__counts(s->m, counts_of(v, size), size);
    nn__set_value(s->m, v.at[0], NN__NODE(s->m, "Expand", nn__number(s->m, number), sizes));
    return AD_OK;
}

/* ---- Ops --------------------------------------------------------------------------------------------------------- */

static int add_op(saved *s, nn__pair v) {
    nn__traced step = { .m = s->m, .op = { ad_creator(v.at[0]), ad_creator(v.at[1]) } };
    step.n = s->t.results.n, step.all = s->ops;
    const char *name = ad_op_name(step.op[0]);
    nn__model_set_dtype(s->m, ad_dtype_of(v.at[0]));
    step.type = ad_find_op(s->g, name);
    for (int i = 0; i < s->n_ys; i++) step.is_output |= s->ys[i].at[0] == v.at[0];
    nn__value y = step.type ? nn__form_of(&step) : NULL;
    if (y == NULL)
        return ad_fail(s->g, AD_EABSENT, "%s: %s, with a result %s, has no form in ONNX; see docs/onnx-models.md",
                       s->caller, name, ad_shape_str(ad_shape_of(v.at[0])).text);
    nn__set_value(s->m, v.at[0], y);
    return ad_ok(s->g) ? AD_OK : ad_error_code(s->g);
}

static int add_all(saved *s) {
    int rc = AD_OK;
    s->ops = ad_scope_alloc(s->g, (size_t)s->t.results.n * sizeof *s->ops + 1);
    if (s->ops == NULL) return AD_ENOMEM;
    for (int i = 0; i < s->t.results.n; i++) s->ops[i] = ad_creator(s->t.results.at[i].at[0]);
    for (int i = 0; i < s->t.leaves.n && rc == AD_OK; i++) rc = add_leaf(s, s->t.leaves.at[i]);
    for (int i = 0; i < s->t.results.n && rc == AD_OK; i++) rc = add_op(s, s->t.results.at[i]);
    return rc;
}

/* ---- inputs and outputs ------------------------------------------------------------------------------------------ */

static const char *name_of(const ad_var *x, const char *otherwise, int i, int n, char to[32]) {
    if (ad_name_of(x) != NULL) return ad_name_of(x);
    if (n == 1) return otherwise;
    snprintf(to, 32, "%s%d", otherwise, i);
    return to;
}

static void add_inputs(saved *s, int n, const nn__pair *xs) {
    nn__count size[AD_MAX_NDIM];
    char text[32];
    for (int i = 0; i < n; i++) {
        int ndim = counts_of(xs[i], size);
        nn__value name = nn__new_name(s->m, name_of(xs[i].at[0], "x", i, n, text));
        nn__set_value(s->m, xs[i].at[0], name);
        if (i == 0 && xs[0].at[0] != xs[0].at[1]) nn__model_set_batch(s->m, name, size[0]);
        nn__add_input(s->m, name, ad_dtype_of(xs[i].at[0]), ndim, size);
    }
}

/* An output has a name of its own, so that it may be an input or a constant too. */
static void add_outputs(saved *s) {
    nn__count size[AD_MAX_NDIM];
    char text[32];
    for (int i = 0; i < s->n_ys; i++) {
        const ad_var *y = s->ys[i].at[0];
        nn__value name = nn__node_called(s->m, name_of(y, "y", i, s->n_ys, text), nn__find_value(s->m, y));
        nn__add_output(s->m, name, ad_dtype_of(y), counts_of(s->ys[i], size), size);
    }
}

static int save(saved *s, const char *path, int n_xs, const nn__pair *xs) {
    s->t = (nn__trace){ .g = s->g, .caller = s->caller };
    int rc = nn__trace_of(&s->t, s->n_ys, s->ys, n_xs, xs);
    if (rc == AD_OK && (s->m = nn__model_new(s->g)) == NULL) rc = AD_ENOMEM;
    if (rc != AD_OK) return rc;
    add_inputs(s, n_xs, xs);
    rc = add_all(s);
    if (rc != AD_OK) return rc;
    add_outputs(s);
    return nn__write_model(s->m, s->caller, path);
}

/* ---- a network, and an expression ------------------------------------------------------------------------------- */

/* x with its first row once more at the end. */
static ad_var *one_row_more(ad_var *x) {
    ad_shape s = ad_shape_of(x);
    size_t bytes = ad_bytes_of(x), row = bytes / (size_t)s.dim[0];
    char *data = ad_scope_alloc(ad_graph_of(x), bytes + row);
    if (data == NULL) return ad_nil(ad_graph_of(x));
    memcpy(data, ad_data(x), bytes);
    memcpy(data + bytes, ad_data(x), row);
    s.dim[0]++;
    return ad_tensor(ad_graph_of(x), ad_dtype_of(x), data, s);
}

/* The network's results for x and for one row more. */
static int save_net(ad_graph *g, nn_module *net, ad_var *x, const char *path) {
    ad_var *more = one_row_more(x);
    nn__pair xs = { { ad_tensor(g, ad_dtype_of(x), ad_data(x), ad_shape_of(x)), more } }, ys;
    if (ad_name_of(x) != NULL) ad_name(xs.at[0], ad_name_of(x));
    nn__begin_evaluation(net);
    for (int i = 0; i < 2; i++) ys.at[i] = nn_apply(net, xs.at[i]);
    nn__end_evaluation(net);
    if (!ad_ok(g)) return ad_error_code(g);
    saved s = { .g = g, .caller = "save_onnx", .net = net, .n_ys = 1, .ys = &ys };
    return save(&s, path, 1, &xs);
}

static int save_vars(ad_graph *g, const char *path, int n_ys, ad_var *const ys[], int n_xs, ad_var *const xs[]) {
    nn__pair *all = ad_scope_alloc(g, (size_t)(n_ys + n_xs) * sizeof *all);
    if (all == NULL) return AD_ENOMEM;
    for (int i = 0; i < n_ys + n_xs; i++) {
        ad_var *v = i < n_ys ? ys[i] : xs[i - n_ys];
        all[i] = (nn__pair){ { v, v } };
    }
    saved s = { .g = g, .caller = "save_onnx_vars", .n_ys = n_ys, .ys = all };
    return save(&s, path, n_xs, all + n_ys);
}

#else

static int absent(ad_graph *g, const char *caller) {
    return ad_fail(g, AD_EABSENT, "%s: this build of autodiff has no protobuf-c, which ONNX files need", caller);
}

static int save_net(ad_graph *g, nn_module *net, ad_var *x, const char *path) {
    (void)net, (void)x, (void)path;
    return absent(g, "save_onnx");
}

static int save_vars(ad_graph *g, const char *path, int n_ys, ad_var *const ys[], int n_xs, ad_var *const xs[]) {
    (void)path, (void)n_ys, (void)ys, (void)n_xs, (void)xs;
    return absent(g, "save_onnx_vars");
}

#endif

/* ---- the calls --------------------------------------------------------------------------------------------------- */

static int check_example(ad_graph *g, const ad_var *x) {
    ad_shape s = ad_shape_of(x);
    if (nn_input_count(x) > 1)
        return ad_fail(g, AD_EVALUE, "save_onnx: x is %d inputs; give the result for them to save_onnx_vars",
                       nn_input_count(x));
    if (s.ndim > 0 && ad_numel(x) > 0) return AD_OK;
    return ad_fail(g, AD_ESHAPE, "save_onnx: x %s is no batch; it needs a row or more", ad_shape_str(s).text);
}

int nn_save_onnx(nn_module *net, ad_var *x, const char *path) {
    ad_graph *g = nn__graph_of_either(net, x);
    if (g == NULL) return AD_EGRAPH;
    if (!ad_ok(g)) return ad_error_code(g);
    if (net == NULL || path == NULL) return ad_fail(g, AD_EVALUE, "save_onnx: the module or the path is NULL");
    int rc = nn__check_apply(net, x);
    if (rc == AD_OK) rc = check_example(g, x);
    if (rc != AD_OK) return rc;
    ad_mark mark = ad_begin(g);
    rc = save_net(g, net, x, path);
    ad_end(g, mark);
    return rc;
}

/* The graph of the first Var that has one. For a negative number it looks at one Var. */
static ad_graph *graph_among(int n_ys, ad_var *const ys[], int n_xs, ad_var *const xs[]) {
    ad_graph *g = NULL;
    for (int i = 0; ys && g == NULL && i < (n_ys < 0 ? 1 : n_ys); i++) g = ad_graph_of(ys[i]);
    for (int i = 0; xs && g == NULL && i < (n_xs < 0 ? 1 : n_xs); i++) g = ad_graph_of(xs[i]);
    return g;
}

static int check_vars(ad_graph *g, int n, ad_var *const xs[], const char *what) {
    for (int i = 0; i < n; i++) {
        if (xs == NULL || xs[i] == NULL || ad_graph_of(xs[i]) != g || ad_is_nil(xs[i]))
            return ad_fail(g, AD_EVALUE, "save_onnx_vars: %s[%d] is NULL, nil or of another graph", what, i);
    }
    return AD_OK;
}

static int check_call(ad_graph *g, const char *path, int n_ys, ad_var *const ys[], int n_xs, ad_var *const xs[]) {
    if (!ad_ok(g)) return ad_error_code(g);
    if (path == NULL) return ad_fail(g, AD_EVALUE, "save_onnx_vars: the path is NULL");
    if (n_ys < 1 || n_xs < 0)
        return ad_fail(g, AD_EVALUE, "save_onnx_vars: %d results of %d inputs; it takes 1 or more of 0 or more", n_ys,
                       n_xs);
    int rc = check_vars(g, n_ys, ys, "ys");
    return rc == AD_OK ? check_vars(g, n_xs, xs, "xs") : rc;
}

int nn_save_onnx_vars(const char *path, int n_ys, ad_var *const ys[], int n_xs, ad_var *const xs[]) {
    ad_graph *g = graph_among(n_ys, ys, n_xs, xs);
    if (g == NULL) return AD_EGRAPH;
    int rc = check_call(g, path, n_ys, ys, n_xs, xs);
    if (rc != AD_OK) return rc;
    ad_mark mark = ad_begin(g);
    rc = save_vars(g, path, n_ys, ys, n_xs, xs);
    ad_end(g, mark);
    return rc;
}
