/* declare.c: what surrounds the functions of an exported file: the header, the elements of constants, and the test. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ops/compile/export.h"

/* ---- elements ---------------------------------------------------------------------------------------------------- */

void ad__write_elements(const ad__file *x, ad__text *t, int n, ad_var *const vars[]) {
    int64_t at = 0;
    ad__text_put(t, "{");
    for (int k = 0; k < n; k++) {
        ad_dtype dtype = ad__dtype_in_file(x, ad_dtype_of(vars[k]));
        for (int64_t i = 0; i < ad_numel(vars[k]); i++, at++) {
            ad__text_put(t, at == 0 ? "\n" : at % 8 ? ", " : ",\n");
            ad__text_number(t, dtype, ad_at(vars[k], i));
        }
    }
    ad__text_put(t, "\n}");
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

static void write_upper(ad__text *t, const char *name) {
    for (const char *p = name; *p; p++) {
        char c = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        ad__text_add(t, &c, 1);
    }
}

void ad__write_signature(const ad__file *x, const ad__exported *f, ad__text *t) {
    ad__text_put(t, "void %s(", f->name);
    for (int i = 0; i < f->n_arguments; i++) {
        const ad__argument *a = &f->arguments[i];
        ad__text_put(t, "%s%s *%s, ", a->out ? "" : "const ", ad__c_type(ad__dtype_in_file(x, a->dtype)), a->name);
    }
    ad__text_put(t, "%s *work)", ad__c_type(ad__work_dtype(x)));
}

static ad_var *var_in(const ad__exported *f, const ad__argument *a, int i) {
    return a->in ? f->xs[a->first + i] : f->results[a->first + i];
}

/* "x [3,4]", or "weights [56]: 0.weight [8,4], 0.bias [8], .." where several Vars lie in one array. */
static void write_shape(const ad__file *x, const ad__exported *f, const ad__argument *a, ad__text *t) {
    bool scalars = a->n > 1;
    (void)x;
    ad__text_put(t, "   %s ", a->name);
    for (int i = 0; i < a->n; i++) scalars = scalars && ad_shape_of(var_in(f, a, i)).ndim == 0;
    if (a->n == 1 || scalars) {
        ad__text_put(t, "%s", a->n > 1 ? ad_shape_str(AD_SHAPE(a->size)).text
                                       : ad_shape_str(ad_shape_of(var_in(f, a, 0))).text);
    } else {
        ad__text_put(t, "[%lld]:", (long long)a->size);
        for (int i = 0; i < a->n; i++) {
            const char *name = a->in && f->given->x_labels ? f->given->x_labels[a->first + i]
                                                           : ad_name_of(var_in(f, a, i));
            ad__text_put(t, "%s %s%s%s", i ? "," : "", name ? name : "", name ? " " : "",
                         ad_shape_str(ad_shape_of(var_in(f, a, i))).text);
        }
    }
    ad__text_put(t, a->in && a->out ? ", updated" : a->out ? ", a result" : "");
}

static void write_size(const ad__exported *f, const char *what, int64_t size, const char *comment, ad__text *t) {
    ad__text_put(t, "#define ");
    write_upper(t, f->name);
    ad__text_put(t, "_");
    write_upper(t, what);
    ad__text_put(t, " %lld%s\n", (long long)size, comment);
}

static void write_declaration(const ad__file *x, const ad__exported *f, ad__text *t) {
    ad__text_put(t, "\n/* %s\n", f->given->gradient ? "A value and its gradient." : "Row-major arrays:");
    for (int i = 0; i < f->n_arguments; i++) {
        write_shape(x, f, &f->arguments[i], t);
        ad__text_put(t, i + 1 < f->n_arguments ? ";\n" : " */\n");
    }
    for (int i = 0; i < f->n_arguments; i++)
        if (f->arguments[i].size > 1) write_size(f, f->arguments[i].name, f->arguments[i].size, "", t);
    write_size(f, "work", ad__work_of(x, f), " /* elements, which need no values before the call */", t);
    ad__write_signature(x, f, t);
    ad__text_put(t, ";\n");
}

void ad__write_arrays_declared(const ad__file *x, ad__text *t) {
    for (int i = 0; i < x->o.n_arrays; i++) {
        const ad_export_array *a = &x->o.arrays[i];
        int64_t size = 0;
        for (int k = 0; k < a->n; k++) size += ad_numel(a->vars[k]);
        ad__text_put(t, "extern const %s %s%s[%lld];\n", ad__c_type(ad__dtype_in_file(x, ad_dtype_of(a->vars[0]))),
                     x->prefix, a->name, (long long)size);
    }
}

void ad__write_header(const ad__file *x, ad__text *t) {
    ad__text_put(t, "/* %s: made by autodiff %s from a recorded graph. Functions are re-entrant. The arrays\n"
                    "   of a call must not overlap. */\n#ifndef ",
                 x->name, ad_version());
    write_upper(t, x->name);
    ad__text_put(t, "_H\n#define ");
    write_upper(t, x->name);
    ad__text_put(t, "_H\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    if (x->o.n_arrays) ad__text_put(t, "\n");
    ad__write_arrays_declared(x, t);
    for (int i = 0; i < x->k; i++) write_declaration(x, &x->f[i], t);
    ad__text_put(t, "\n#ifdef __cplusplus\n}\n#endif\n");
}

/* ---- which files belong together --------------------------------------------------------------------------------- */

/* FNV-1a. */
static uint32_t number_of(int n, const ad__text texts[]) {
    uint32_t h = 2166136261u;
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < texts[k].n; i++) h = (h ^ (unsigned char)texts[k].at[i]) * 16777619u;
    return h;
}

/* A kill between two renames leaves files of two exports, which must not be compiled together. */
void ad__write_number(const ad__file *x, int n, ad__text texts[]) {
    unsigned long number = number_of(n, texts);
    for (int i = 0; i < n; i++) {
        ad__text *t = &texts[i];
        ad__text_put(t, i == 1 ? "\n#define " : "\n#if ");
        write_upper(t, x->name);
        if (i == 1) ad__text_put(t, "_EXPORT 0x%08lx /* this export: its files belong together */\n#endif\n", number);
        else ad__text_put(t, "_EXPORT != 0x%08lx\n#error \"the header is of another export\"\n#endif\n", number);
    }
}

/* ---- the test ---------------------------------------------------------------------------------------------------- */

/* Results are compared with the largest of their array: rounding errors grow with it. */
static const char differ[] =
    "static int differ(const %s *got, const %s *expected, long n) {\n"
    "    double largest = 0;\n"
    "    int differs = 0;\n"
    "    for (long i = 0; i < n; i++)\n"
    "        if (fabs((double)expected[i]) > largest && fabs((double)expected[i]) < HUGE_VAL)\n"
    "            largest = fabs((double)expected[i]);\n"
    "    for (long i = 0; i < n; i++) {\n"
    "        const double a = (double)got[i], b = (double)expected[i];\n"
    "        if (a != b && (a == a || b == b) && !(fabs(a - b) <= %s * largest)) differs = 1;\n"
    "    }\n"
    "    return differs;\n"
    "}\n";

static void write_test_array(const ad__file *x, const ad__exported *f, const ad__argument *a, bool expected,
                             ad__text *t) {
    const char *type = ad__c_type(ad__dtype_in_file(x, a->dtype));
    if (!expected && !a->in) {
        ad__text_put(t, "static %s got_%d_%s[%lld];\n", type, f->part, a->name, (long long)(a->size ? a->size : 1));
        return;
    }
    ad__text_put(t, "static %s%s %s_%d_%s[] = ", a->out && !expected ? "" : "const ", type,
                 expected ? "expected" : a->out ? "got" : "given", f->part, a->name);
    ad_var *const *vars = expected ? f->results : f->xs;
    int first = a->first;
    for (int j = 0; expected && a->in && j < f->m; j++)
        if (&f->arguments[f->y_seat[j].argument] == a && f->y_seat[j].at == 0) first = j;
    ad__write_elements(x, t, a->n, vars + first);
    ad__text_put(t, ";\n");
}

static void write_check(const ad__exported *f, ad__text *t) {
    ad__text_put(t, "    %s(", f->name);
    for (int i = 0; i < f->n_arguments; i++)
        ad__text_put(t, "%s_%d_%s, ", f->arguments[i].out ? "got" : "given", f->part, f->arguments[i].name);
    ad__text_put(t, "test_work);\n");
    for (int i = 0; i < f->n_arguments; i++) {
        const ad__argument *a = &f->arguments[i];
        if (!a->out) continue;
        ad__text_put(t, "    failed |= differ(got_%d_%s, expected_%d_%s, %lld);\n", f->part, a->name, f->part, a->name,
                     (long long)a->size);
    }
}

void ad__write_test(const ad__file *x, ad__text *t) {
    const char *type = ad__c_type(ad__work_dtype(x));
    int64_t work = 1;
    for (int i = 0; i < x->k; i++) work = ad__work_of(x, &x->f[i]) > work ? ad__work_of(x, &x->f[i]) : work;
    ad__text_put(t, "\n#ifdef ");
    write_upper(t, x->name);
    ad__text_put(t, "_TEST\n/* Elements of the arguments, and results for them as the library had them. */\n");
    for (int i = 0; i < x->k; i++)
        for (int k = 0; k < x->f[i].n_arguments; k++) {
            const ad__argument *a = &x->f[i].arguments[k];
            write_test_array(x, &x->f[i], a, false, t);
            if (a->out) write_test_array(x, &x->f[i], a, true, t);
        }
    ad__text_put(t, "static %s test_work[%lld];\n\n", type, (long long)work);
    bool is_f32 = ad__work_dtype(x) == AD_F32 || ad_dtype_of(x->f[0].results[0]) == AD_F32;
    ad__text_put(t, differ, type, type, is_f32 ? "1e-4" : "1e-9");
    ad__text_put(t, "\nint main(void) {\n    int failed = 0;\n");
    for (int i = 0; i < x->k; i++) write_check(&x->f[i], t);
    ad__text_put(t, "    return failed;\n}\n#endif\n");
}
