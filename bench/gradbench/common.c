/* common.c: shared by the modules of GradBench: reading inputs, printing outputs, running expressions. */
#include "bench/gradbench/common.h"

#include "nn/file/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs ---------------------------------------------------------------------------------------------------- */

static bool is_number(char kind) { return kind == '-' || (kind >= '0' && kind <= '9') || kind == 't' || kind == 'f'; }

/* The shape of the value at the cursor, by its first elements. False if it holds no numbers. */
static bool shape_of(char *at, ad_shape *s) {
    *s = AD_SCALAR;
    while (nn__json_kind(&at) == '[' && s->ndim < AD_MAX_NDIM) {
        s->dim[s->ndim++] = nn__json_count(at);
        if (!nn__json_enter(&at)) return true;
    }
    return is_number(nn__json_kind(&at));
}

static double take_number(char **at) {
    char kind = nn__json_kind(at), *end = *at;
    double v = kind == 't';
    if (kind == '-' || (kind >= '0' && kind <= '9')) v = strtod(*at, &end), *at = end;
    else nn__json_skip(at);
    return v;
}

/* Fills `to` with the numbers of the value at the cursor, which must have the shape s from axis `axis` on. The depth is
   that of the shape. */
static bool take_array(char **at, const ad_shape *s, int axis, double **to) {
    char kind = nn__json_kind(at);
    if (axis == s->ndim) {
        if (!is_number(kind)) return false;
        *(*to)++ = take_number(at);
        return true;
    }
    if (kind != '[' || nn__json_count(*at) != s->dim[axis]) return false;
    bool good = true;
    for (bool more = nn__json_enter(at); more && good; more = good && nn__json_more(at))
        good = take_array(at, s, axis + 1, to);
    return good;
}

static void read_array(char **at, const char *name, gb_input *in) {
    ad_shape s;
    char *from = *at;
    nn__json_skip(at);
    if (!shape_of(from, &s)) return;
    int64_t n = ad_shape_numel(s);
    double *data = ad_scope_array(in->g, (size_t)(n + 1) * sizeof *data), *to = data;
    if (data == NULL) return;
    if (in->n == GB_ARRAYS) ad_fail(in->g, AD_EVALUE, "the input has more than %d arrays", GB_ARRAYS);
    else if (!take_array(&from, &s, 0, &to)) ad_fail(in->g, AD_EVALUE, "input %s: rows of unequal lengths", name);
    else in->array[in->n++] = (gb_array){ name, s, n, data };
}

/* Arrays of objects within are read like the others. JSON is nested at most 64 deep. */
static void read_object(char **at, gb_input *in) {
    for (bool more = nn__json_enter(at); more; more = nn__json_more(at)) {
        const char *name = nn__json_key(at);
        if (nn__json_kind(at) == '{') read_object(at, in);
        else read_array(at, name, in);
    }
}

void gb_read(char *json, gb_input *in) {
    if (nn__json_kind(&json) == '{') read_object(&json, in);
    else read_array(&json, "", in);
}

static const gb_array *find(const gb_input *in, const char *name) {
    for (int i = 0; i < in->n; i++)
        if (strcmp(in->array[i].name, name) == 0) return &in->array[i];
    return NULL;
}

const gb_array *gb_get(const gb_input *in, const char *name, int ndim) {
    static double nothing;
    static const gb_array none = { "", { 1, { 0 } }, 0, &nothing };
    const gb_array *a = find(in, name);
    if (a != NULL && (ndim < 0 || a->shape.ndim == ndim)) return a;
    ad_fail(in->g, AD_EVALUE, "input %s is missing, or has not %d axes", name, ndim);
    return &none;
}

double gb_number(const gb_input *in, const char *name) {
    const gb_array *a = gb_get(in, name, 0);
    return a->n > 0 ? a->data[0] : 0;
}

double gb_number_or(const gb_input *in, const char *name, double otherwise) {
    return find(in, name) ? gb_number(in, name) : otherwise;
}

ad_var *gb_constant(const gb_input *in, const char *name, int ndim) {
    const gb_array *a = gb_get(in, name, ndim);
    return ad_input(in->g, AD_F64, a->data, a->shape);
}

ad_var *gb_leaf(const gb_input *in, const char *name, int ndim) {
    return ad_require_grad(gb_constant(in, name, ndim));
}

/* ---- outputs --------------------------------------------------------------------------------------------------- */

static void print_axes(FILE *to, const ad_shape *s, int axis, const double **x) {
    if (axis == s->ndim) {
        if (isfinite(**x)) fprintf(to, "%.17g", **x);
        else fputs("null", to);
        ++*x;
        return;
    }
    fputc('[', to);
    for (int64_t i = 0; i < s->dim[axis]; i++) {
        if (i > 0) fputs(", ", to);
        print_axes(to, s, axis + 1, x);
    }
    fputc(']', to);
}

void gb_print(FILE *to, ad_shape s, const double *x) { print_axes(to, &s, 0, &x); }
void gb_print_var(FILE *to, const ad_var *x) { gb_print(to, ad_shape_of(x), ad_data(x)); }

/* ---- expressions ----------------------------------------------------------------------------------------------- */

gb_expression *gb_expression_new(ad_graph *g, int n, ad_var *const xs[], ad_var *value, ad_var *y) {
    gb_expression *e = ad_scope_alloc(g, sizeof *e);
    if (e == NULL || !ad_ok(g)) return NULL;
    *e = (gb_expression){ .n = n, .value = value, .y = y };
    for (int i = 0; i < n; i++) e->xs[i] = xs[i];
    return e;
}

void gb_evaluate(void *expression) { ad_eval(((gb_expression *)expression)->value); }

void gb_differentiate(void *expression) {
    gb_expression *e = expression;
    for (int i = 0; i < e->n; i++) ad_zero_grad(e->xs[i]);
    ad_eval(e->y);
    ad_backward(e->y);
}

void gb_print_value(const void *expression, FILE *to) { gb_print_var(to, ((const gb_expression *)expression)->value); }

static void print_flat(const gb_expression *e, FILE *to) {
    for (int i = 0; i < e->n; i++) {
        const double *d = ad_grad(e->xs[i]);
        for (int64_t k = 0; k < ad_numel(e->xs[i]); k++) fprintf(to, "%s%.17g", i + k > 0 ? ", " : "[", d[k]);
    }
    fputc(']', to);
}

void gb_print_gradient(const void *expression, FILE *to) {
    const gb_expression *e = expression;
    if (e->n == 1) gb_print(to, ad_shape_of(e->xs[0]), ad_grad(e->xs[0]));
    else if (e->names[0] == NULL) print_flat(e, to);
    else {
        for (int i = 0; i < e->n; i++) {
            fprintf(to, "%s\"%s\": ", i ? ", " : "{", e->names[i]);
            gb_print(to, ad_shape_of(e->xs[i]), ad_grad(e->xs[i]));
        }
        fputc('}', to);
    }
}
