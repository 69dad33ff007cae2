/* summary.c: a table of the modules below one, with their results' shapes and numbers of parameters. */
#include "nn/module/module_private.h"

enum { NAME_WIDTH = 30, SHAPE_WIDTH = 20, COUNT_WIDTH = 12 };

/* Makes m and all modules below it keep the shapes of their results, or stops that. */
static void watch(nn_module *m, bool on) {
    m->watched = on;
    if (on) m->shape = (ad_shape){ .ndim = -1 };
    for (nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) watch(c->module, on);
}

/* Elements of the parameters that are m's own, not its children's. */
static int64_t own_numel(const nn_module *m) {
    int64_t n = 0;
    for (const nn__member *c = m->members; c != NULL; c = c->next)
        if (c->var != NULL && c->kind == NN__PARAMETERS) n += ad_numel(c->var);
    return n;
}

static void print_row(const nn_module *m, int depth, const char *name, FILE *to) {
    char layer[96];
    snprintf(layer, sizeof layer, "%*s%s%s%s%s", 2 * depth, "", name, *name ? " (" : "", m->kind, *name ? ")" : "");
    fprintf(to, "%-*s %-*s %*lld\n", NAME_WIDTH, layer, SHAPE_WIDTH,
            m->shape.ndim >= 0 ? ad_shape_str(m->shape).text : "not used", COUNT_WIDTH, (long long)own_numel(m));
}

/* As deep as modules are nested. */
static void print_tree(const nn_module *m, int depth, const char *name, FILE *to) {
    print_row(m, depth, name, to);
    for (const nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) print_tree(c->module, depth + 1, c->name, to);
}

static void print_rule(FILE *to) {
    for (int i = 0; i < NAME_WIDTH + SHAPE_WIDTH + COUNT_WIDTH + 2; i++) fputc('=', to);
    fputc('\n', to);
}

static void print_table(const nn_module *m, FILE *to) {
    fprintf(to, "%-*s %-*s %*s\n", NAME_WIDTH, "Layer", SHAPE_WIDTH, "Output shape", COUNT_WIDTH, "Parameters");
    print_rule(to);
    print_tree(m, 0, "", to);
    print_rule(to);
    fprintf(to, "Parameters: %lld, of these trained: %lld\n", (long long)nn_parameter_numel(m),
            (long long)nn_trainable_numel(m));
}

int nn_summary(nn_module *m, ad_var *x, FILE *to) {
    ad_graph *g = nn__graph_of_either(m, x);
    if (nn__check_apply(m, x)) return ad_error_code(g);
    if (to == NULL) return ad_fail(g, AD_EVALUE, "summary: no file is given to write to");
    ad_mark mark = ad_begin(g);
    nn__begin_evaluation(m);
    watch(m, true);
    nn_apply(m, x);
    watch(m, false);
    nn__end_evaluation(m);
    ad_end(g, mark);
    if (!ad_ok(g)) return ad_error_code(g);
    print_table(m, to);
    return ferror(to) ? ad_fail(g, AD_EIO, "summary: the text could not be written") : AD_OK;
}
