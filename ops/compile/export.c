/* export.c: ad_export_c and ad_export_functions: recorded graphs as C files. */
#include "ops/compile/export.h"

#include <stdio.h>
#include <string.h>

#include "autodiff/graph/memory.h"
#include "autodiff/pass/pass.h"

/* ---- one function ------------------------------------------------------------------------------------------------ */

static int check_names(ad__file *x, const ad_export_function *f) {
    int rc = f->name ? ad__check_c_name(x->g, x->caller, f->name) : AD_OK;
    for (int i = 0; f->x_names && i < f->n && rc == AD_OK; i++) rc = ad__check_c_name(x->g, x->caller, f->x_names[i]);
    for (int i = 0; f->y_names && i < f->m && rc == AD_OK; i++) rc = ad__check_c_name(x->g, x->caller, f->y_names[i]);
    return rc;
}

static int check_function(ad__file *x, const ad_export_function *f) {
    if (ad__check_program(f->m, f->ys, f->n, f->xs, x->caller)) return ad_error_code(x->g);
    if (ad__owner(f->ys[0]) != x->g) return ad_fail(x->g, AD_EGRAPH, "%s: functions of two graphs", x->caller);
    if (f->gradient && f->m != 1)
        return ad_fail(x->g, AD_EVALUE, "%s: a gradient is of one y; %d are given", x->caller, f->m);
    if (f->gradient && ad__check_single(f->ys[0], x->caller)) return ad_error_code(x->g);
    return check_names(x, f);
}

static int allocate(ad__file *x, ad__exported *f) {
    size_t n = (size_t)f->n, m = (size_t)f->m;
    f->results = ad_scope_zalloc(x->g, (m + 1) * sizeof *f->results);
    f->arguments = ad_scope_zalloc(x->g, (2 * n + m + 1) * sizeof *f->arguments);
    f->x_seat = ad_scope_zalloc(x->g, (n + 1) * sizeof *f->x_seat);
    f->y_seat = ad_scope_zalloc(x->g, (m + 1) * sizeof *f->y_seat);
    return f->results && f->arguments && f->x_seat && f->y_seat ? AD_OK : AD_ENOMEM;
}

/* The gradients as Vars: their elements are what the file's own test expects. */
static int make_results(ad__exported *f) {
    const ad_export_function *given = f->given;
    memcpy(f->results, given->ys, (size_t)given->m * sizeof *f->results);
    if (!given->gradient) return AD_OK;
    bool grad = ad_enable_grad(f->e.g, true);
    int rc = ad_gradient(given->ys[0], f->n, f->xs, f->results + 1);
    ad_enable_grad(f->e.g, grad);
    return rc;
}

static int begin_function(ad__file *x, ad__exported *f, const ad_export_function *given, int part) {
    *f = (ad__exported){ .given = given, .caller = x->caller, .n = given->n, .xs = given->xs, .part = part };
    f->m = given->gradient ? 1 + given->n : given->m;
    f->e.g = f->body.g = x->g;
    snprintf(f->name, sizeof f->name, given->name ? "%s_%s" : "%s", x->name, given->name);
    if (allocate(x, f)) return AD_ENOMEM;
    int rc = make_results(f);
    return rc == AD_OK ? ad__make_arguments(f) : rc;
}

/* ---- lowering ---------------------------------------------------------------------------------------------------- */

static int *arrays_of(ad__exported *f, int n, const ad__seat *seats) {
    int *array = ad_scope_alloc(f->e.g, ((size_t)n + 1) * sizeof *array);
    for (int i = 0; array && i < n; i++) array[i] = seats[i].argument;
    return array;
}

/* The places of the arguments that results replace. */
static int find_replaced(ad__exported *f) {
    ad__place *into = ad_scope_alloc(f->e.g, ((size_t)f->m + 1) * sizeof *into);
    if (into == NULL) return AD_ENOMEM;
    for (int j = 0; j < f->m; j++) into[j] = AD__NOWHERE;
    for (int j = 0; j < f->m; j++)
        for (int i = 0; f->arguments[f->y_seat[j].argument].in && i < f->n; i++)
            if (f->x_seat[i].argument == f->y_seat[j].argument && f->x_seat[i].at == f->y_seat[j].at)
                into[j] = ad__value_of(&f->e, f->xs[i]).place;
    f->e.into = into;
    return f->e.code;
}

ad_dtype ad__dtype_in_file(const ad__file *x, ad_dtype t) {
    return x->o.number == AD_EXPORT_AS_IS ? t : x->o.number == AD_EXPORT_FLOAT ? AD_F32 : AD_F64;
}

/* All that the function computes with has one dtype, as there is one array of work memory. */
static int set_dtype(const ad__file *x, ad__exported *f) {
    ad_emit *e = &f->e;
    bool used[2] = { false, false };
    for (int64_t i = 0; i < e->buffers.n; i++) {
        ad__buffer *b = &e->buffers.at[i];
        if (i == 0 || i == AD__NUMBER_BUFFER || i == AD__INDEX_BUFFER) continue;
        b->dtype = ad__dtype_in_file(x, b->dtype);
        used[b->dtype] = true;
    }
    for (int64_t i = 0; i < e->forms.n; i++) {
        e->forms.at[i].dtype = ad__dtype_in_file(x, e->forms.at[i].dtype);
        if (e->forms.at[i].n) used[e->forms.at[i].dtype] = true;
    }
    e->buffers.at[AD__NUMBER_BUFFER].dtype = used[AD_F32] ? AD_F32 : AD_F64;
    if (!used[AD_F32] || !used[AD_F64]) return AD_OK;
    return ad_fail(x->g, AD_EDTYPE, "%s: the graph of %s has Vars of f32 and of f64; choose one by .number", x->caller,
                   f->name);
}

/* Lowers the function. by_vars: its gradients are those that were recorded. Returns AD_EABSENT if they must be. */
static int lower_as(const ad__file *x, ad__exported *f, bool by_vars) {
    const ad_export_function *given = f->given;
    ad_emit *e = &f->e;
    int m = by_vars ? f->m : given->m;
    ad_var *const *ys = by_vars ? f->results : given->ys;
    bool reverse = given->gradient && !by_vars;
    *e = (ad_emit){ .g = x->g, .portable = true };
    e->x_array = arrays_of(f, f->n, f->x_seat), e->y_array = arrays_of(f, f->m, f->y_seat);
    if (e->x_array == NULL || e->y_array == NULL) return AD_ENOMEM;
    int rc = ad__lower(e, m, ys, f->n, f->xs);
    if (rc != AD_OK) return rc;
    if (e->refused)
        return ad_fail(x->g, AD_EABSENT, "%s: the op %s, which %s needs, has no form in C", x->caller, e->refused,
                       f->name);
    if (!given->gradient && find_replaced(f)) return e->code;
    ad__emit_outputs(e, m, ys);
    if (e->code == AD_OK && reverse) rc = ad__reverse(e, ad__value_of(e, ys[0]));
    if (rc == AD_OK) ad__emit_replaced(e, m, ys);
    if (rc != AD_OK || e->code != AD_OK) return rc != AD_OK ? rc : e->code;
    return set_dtype(x, f) ? AD_EDTYPE : ad__schedule_make(e, &f->s);
}

static int lower(const ad__file *x, ad__exported *f) {
    int rc = lower_as(x, f, false);
    return rc == AD_EABSENT && ad_ok(x->g) ? lower_as(x, f, true) : rc;
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static int leaf_number(ad__file *x, const ad_var *leaf) {
    for (int64_t i = 0; i < x->leaves.n; i++)
        if (x->leaves.at[i] == leaf) return (int)i;
    return AD__PUSH(x->g, &x->leaves, leaf) ? (int)x->leaves.n - 1 : 0;
}

static ad__text *weights_text(ad__file *x) { return x->o.separate ? &x->weights : &x->constants; }

/* "static const double NAME_" or, with a file for weights, "const double NAME_" there and its declaration here. */
static void begin_constant(ad__file *x, ad_dtype t, const char *kind, int i, int64_t size) {
    ad__text *to = weights_text(x);
    const char *type = ad__c_type(ad__dtype_in_file(x, t));
    if (x->o.separate)
        ad__text_put(&x->constants, "extern const %s %s%s%d[%lld];\n", type, x->prefix, kind, i, (long long)size);
    ad__text_put(to, "%sconst %s %s%s%d[%lld] = ", x->o.separate ? "" : "static ", type, x->prefix, kind, i,
                 (long long)size);
}

/* The numbers of leaves of one element, of one dtype. */
static void write_scalars(ad__file *x, ad__exported *f, ad_dtype t) {
    ad_emit *e = &f->e;
    ad_var **vars = ad_scope_array(x->g, ((size_t)e->scalars.n + 1) * sizeof *vars);
    int n = 0;
    for (int64_t i = 0; vars && i < e->scalars.n; i++)
        if (e->scalars.at[i]->layout->dtype == t) vars[n++] = (ad_var *)e->scalars.at[i];
    if (n == 0) return;
    begin_constant(x, t, t == AD_F32 ? "f" : "d", f->part, n);
    ad__write_elements(x, weights_text(x), n, vars);
    ad__text_put(weights_text(x), ";\n");
}

static void write_leaves(ad__file *x, int64_t from) {
    for (int64_t i = from; i < x->leaves.n; i++) {
        ad_var *leaf = (ad_var *)x->leaves.at[i];
        begin_constant(x, leaf->layout->dtype, "w", (int)i, leaf->layout->numel);
        ad__write_elements(x, weights_text(x), 1, &leaf);
        ad__text_put(weights_text(x), ";\n");
    }
}

static void write_arrays(ad__file *x) {
    for (int i = 0; i < x->o.n_arrays; i++) {
        const ad_export_array *a = &x->o.arrays[i];
        ad__text *to = weights_text(x);
        ad__text_put(to, "const %s %s%s[] = ", ad__c_type(ad__dtype_in_file(x, a->vars[0]->layout->dtype)), x->prefix,
                     a->name);
        ad__write_elements(x, to, a->n, a->vars);
        ad__text_put(to, ";\n");
    }
}

/* ---- the C file -------------------------------------------------------------------------------------------------- */

static void write_seat(const ad__exported *f, ad__text *t, ad__seat s, int64_t offset) {
    ad__text_put(t, "%s + %lld", f->arguments[s.argument].name, (long long)(s.at + offset));
}

static ad__seat seat_of_output(const ad__exported *f, int64_t index) {
    if (index < f->e.first_y.n) return f->y_seat[f->e.first_y.at[index]];
    return f->y_seat[1 + f->e.first_x.at[index - f->e.first_y.n]];
}

static void write_address(const ad__writer *w, ad__text *t, ad__place at) {
    const ad__exported *f = w->context;
    const ad_emit *e = w->e;
    const ad__buffer *b = &e->buffers.at[ad__buffer_of(at)];
    long long offset = (long long)ad__offset_of(at);
    switch (b->kind) {
    case AD__ARGUMENT: write_seat(f, t, f->x_seat[e->first_x.at[b->index]], offset); break;
    case AD__OUTPUT: write_seat(f, t, seat_of_output(f, b->index), offset); break;
    case AD__LEAF: ad__text_put(t, "%sw%d + %lld", w->prefix, f->leaf[b->index], offset); break;
    case AD__SCALARS: ad__text_put(t, "%s%s%d + %lld", w->prefix, b->index ? "d" : "f", w->part, offset); break;
    case AD__NUMBERS: ad__text_put(t, "%snumbers%d + %lld", w->prefix, w->part, offset); break;
    default: ad__text_put(t, "work + %lld", (long long)b->index / (b->dtype == AD_F32 ? 4 : 8) + offset);
    }
}

/* Writes the body of function f, and its constants. */
static int write_function(ad__file *x, ad__writer *w, ad__exported *f) {
    int64_t before = x->leaves.n;
    f->leaf = ad_scope_alloc(x->g, ((size_t)f->e.leaves.n + 1) * sizeof *f->leaf);
    if (f->leaf == NULL) return AD_ENOMEM;
    for (int64_t i = 0; i < f->e.leaves.n; i++) f->leaf[i] = leaf_number(x, f->e.leaves.at[i]);
    w->context = f, w->part = f->part, w->calls.n = 0;
    ad__text_add(&w->calls, "", 0);
    int rc = ad__write_program(w, &f->e, &f->s);
    if (rc != AD_OK) return rc;
    ad__text_add(&f->body, w->calls.at, w->calls.n);
    ad__write_constants(w, &x->constants);
    write_leaves(x, before);
    write_scalars(x, f, AD_F32), write_scalars(x, f, AD_F64);
    return ad_error_code(x->g);
}

int64_t ad__work_of(const ad__file *x, const ad__exported *f) {
    int64_t size = ad__work_dtype(x) == AD_F32 ? 4 : 8;
    return f->s.work > 0 ? (f->s.work + size - 1) / size : 1;
}

ad_dtype ad__work_dtype(const ad__file *x) { return ad__dtype_in_file(x, x->f[0].arguments[0].dtype); }

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Adds lines with four blanks for each brace that is open. */
static void add_indented(ad__text *to, const ad__text *from, int depth) {
    const char *line = from->n ? from->at : "", *end = line + from->n;
    while (line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        if (*line == '}') depth--;
        for (int i = 0; i < depth && *line != '\n'; i++) ad__text_add(to, "    ", 4);
        ad__text_add(to, line, next - line);
        for (const char *p = line; p < next; p++) depth += *p == '{' ? 1 : *p == '}' && p > line ? -1 : 0;
        line = next;
    }
}

static void write_source(const ad__file *x, const ad__writer *w, ad__text *t) {
    const char *base = base_name(x->path);
    ad__text_put(t, "/* %s: made by autodiff %s from a recorded graph; see %.*sh. */\n", base, ad_version(),
                 (int)strlen(base) - 1, base);
    ad__text_put(t, "#include <float.h>\n#include <math.h>\n\n#include \"%.*sh\"\n\n", (int)strlen(base) - 1, base);
    ad__text_put(t, "#ifdef %s\n#include <cblas.h>\n#endif\n\n", x->cblas);
    ad__text_add(t, x->constants.at, x->constants.n);
    ad__write_macros(w, t);
    ad__text functions = { .g = x->g };
    ad__write_functions(w, &functions);
    add_indented(t, &functions, 0);
    for (int i = 0; i < x->k; i++) {
        ad__text_put(t, "\n");
        ad__write_signature(x, &x->f[i], t);
        ad__text_put(t, " {\n");
        add_indented(t, &x->f[i].body, 1);
        ad__text_put(t, "%s}\n", x->f[i].s.work == 0 ? "    (void)work;\n" : "");
    }
    if (!x->o.no_test) ad__write_test(x, t);
}

static int write_all(ad__file *x, const ad__writer *w) {
    ad__text texts[3] = { { .g = x->g }, { .g = x->g }, { .g = x->g } };
    size_t n = strlen(x->path);
    char *paths[3];
    for (int i = 0; i < 3; i++) {
        paths[i] = ad_scope_alloc(x->g, n + sizeof "_weights.c");
        if (paths[i] == NULL) return AD_ENOMEM;
        snprintf(paths[i], n + sizeof "_weights.c", "%.*s%s", (int)n - 2, x->path,
                 i == 0 ? ".c" : i == 1 ? ".h" : "_weights.c");
    }
    write_source(x, w, &texts[0]);
    ad__write_header(x, &texts[1]);
    if (x->o.separate) {
        ad__text_put(&texts[2], "/* %s: the constants of %s. */\n#include <math.h>\n\n#include \"%s\"\n\n",
                     base_name(paths[2]), base_name(x->path), base_name(paths[1]));
        ad__write_arrays_declared(x, &texts[2]);
        ad__text_add(&texts[2], x->weights.at, x->weights.n);
    }
    int files = x->o.separate ? 3 : 2;
    ad__write_number(x, files, texts);
    if (!ad_ok(x->g)) return ad_error_code(x->g);
    return ad__write_files(x->g, x->caller, files, paths, texts);
}

static int make_file(ad__file *x, const ad_export_function *given) {
    x->f = ad_scope_zalloc(x->g, (size_t)x->k * sizeof *x->f);
    ad__writer *w = ad__writer_new(x->g, x->prefix, write_address, NULL);
    if (x->f == NULL || w == NULL) return AD_ENOMEM;
    w->portable = true, w->cblas = x->cblas;
    int rc = AD_OK;
    for (int i = 0; i < x->k && rc == AD_OK; i++) {
        rc = begin_function(x, &x->f[i], &given[i], i);
        if (rc == AD_OK) rc = lower(x, &x->f[i]);
        if (rc == AD_OK) rc = write_function(x, w, &x->f[i]);
    }
    write_arrays(x);
    return rc == AD_OK ? write_all(x, w) : rc;
}

/* ---- public ------------------------------------------------------------------------------------------------------ */

static int check_path(const ad__file *x) {
    size_t n = x->path ? strlen(x->path) : 0;
    if (n > 2 && strcmp(x->path + n - 2, ".c") == 0) return AD_OK;
    return ad_fail(x->g, AD_EVALUE, "%s: the path \"%.200s\" does not end in .c", x->caller, x->path ? x->path : "");
}

static int check_arrays(const ad__file *x) {
    if (x->o.n_arrays > 0 && x->o.arrays == NULL)
        return ad_fail(x->g, AD_EVALUE, "%s: n_arrays is %d, but arrays is NULL", x->caller, x->o.n_arrays);
    for (int i = 0; i < x->o.n_arrays; i++) {
        const ad_export_array *a = &x->o.arrays[i];
        if (ad__check_c_name(x->g, x->caller, a->name)) return AD_EVALUE;
        if (a->vars == NULL)
            return ad_fail(x->g, AD_EVALUE, "%s: the Vars of the array %s are NULL", x->caller, a->name);
        for (int k = 0; k < a->n; k++)
            if (ad__absent(a->vars[k]))
                return ad_fail(x->g, AD_EVALUE, "%s: Var %d of the array %s is NULL or nil", x->caller, k, a->name);
        if (a->n < 1) return ad_fail(x->g, AD_EVALUE, "%s: the array %s has no Vars", x->caller, a->name);
    }
    return AD_OK;
}

/* The one dtype that what functions take and give has; as is, if there are two. Sums in f64 within an f32 network
   do not count. */
static ad_export_number number_of(int k, const ad_export_function *f) {
    bool used[2] = { false, false };
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < f[i].n; j++) used[f[i].xs[j]->layout->dtype] = true;
        for (int j = 0; j < f[i].m; j++) used[f[i].ys[j]->layout->dtype] = true;
    }
    return used[AD_F32] && used[AD_F64] ? AD_EXPORT_AS_IS : used[AD_F32] ? AD_EXPORT_FLOAT : AD_EXPORT_DOUBLE;
}

static int export_functions(const char *path, const char *name, int k, const ad_export_function *f, ad_export_opts o,
                            const char *caller) {
    if (o.caller) caller = o.caller;
    if (k < 1 || f == NULL) return AD_EVALUE;
    int rc = ad__check_program(f[0].m, f[0].ys, f[0].n, f[0].xs, caller);
    if (rc != AD_OK) return rc;
    ad__file x = { .g = ad__owner(f[0].ys[0]), .caller = caller, .path = path, .name = name, .o = o, .k = k };
    x.constants.g = x.weights.g = x.g;
    rc = check_path(&x);
    if (rc == AD_OK) rc = ad__check_c_name(x.g, caller, name);
    if (rc == AD_OK) rc = check_arrays(&x);
    for (int i = 0; i < k && rc == AD_OK; i++) rc = check_function(&x, &f[i]);
    if (rc != AD_OK) return rc;
    if (o.number == AD_EXPORT_AS_IS) x.o.number = number_of(k, f);
    snprintf(x.prefix, sizeof x.prefix, "%s_", name);
    snprintf(x.cblas, sizeof x.cblas, "%s_CBLAS", name);
    for (char *p = x.cblas; *p; p++)
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
    ad_mark m = ad_begin(x.g);
    rc = make_file(&x, f);
    ad_end(x.g, m);
    return rc;
}

int ad_export_functions(const char *path, const char *name, int k, const ad_export_function *f, ad_export_opts o) {
    return export_functions(path, name, k, f, o, "export_functions");
}

int ad_export_c(const char *path, const char *name, ad_var *y, int n, ad_var *const xs[], ad_export_opts o) {
    ad_var *const ys[] = { y };
    const ad_export_function f[] = {
        { .m = 1, .ys = ys, .n = n, .xs = xs },
        { .name = "gradient", .m = 1, .ys = ys, .n = n, .xs = xs, .gradient = true },
    };
    return export_functions(path, name, o.gradient ? 2 : 1, f, o, "export_c");
}
