/* form.c: finds the form of an Op, and reads the Op for it. */
#include "nn/onnx/form.h"

#include <stdlib.h>
#include <string.h>

nn__value nn__form_of(const nn__traced *s) {
    const nn__form *const tables[] = { nn__array_forms, nn__net_forms };
    for (int k = 0; k < 2; k++)
        for (const nn__form *f = tables[k]; f->op != NULL; f++)
            if (strcmp(f->op, s->type->name) == 0) return f->fn(s);
    for (const nn__text_form *f = nn__elementwise_forms; f->op != NULL; f++)
        if (strcmp(f->op, s->type->name) == 0) return nn__evaluate_text(s, f->text);
    return NULL;
}

/* ---- the parts of an Op ------------------------------------------------------------------------------------------ */

nn__value nn__in(const nn__traced *s, int i) {
    const ad_var *x = ad_op_operand(s->op[0], i);
    return x ? nn__find_value(s->m, x) : NULL;
}

static const ad_var *var(const nn__traced *s, int trace, int i) {
    return i < 0 ? ad_op_result(s->op[trace]) : ad_op_operand(s->op[trace], i);
}

int nn__ndim(const nn__traced *s, int i) { return ad_shape_of(var(s, 0, i)).ndim; }

nn__count nn__size(const nn__traced *s, int i, int axis) {
    return (nn__count){ { ad_shape_of(var(s, 0, i)).dim[axis], ad_shape_of(var(s, 1, i)).dim[axis] } };
}

nn__value nn__shape(const nn__traced *s, int i) {
    nn__count size[AD_MAX_NDIM];
    int n = nn__ndim(s, i);
    for (int k = 0; k < n; k++) size[k] = nn__size(s, i, k);
    return nn__counts(s->m, n, size);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static const ad_attr *find_attr(const nn__traced *s, const char *name) {
    const ad_attr *a = s->type->attrs;
    while (a != NULL && a->name != NULL && strcmp(a->name, name) != 0) a++;
    return a;
}

static const void *field(const nn__traced *s, int trace, const ad_attr *a) {
    return (const char *)ad_attrs(s->op[trace]) + a->offset;
}

double nn__attr(const nn__traced *s, const char *name) {
    const ad_attr *a = find_attr(s, name);
    const void *at = field(s, 0, a);
    switch (a->kind) {
    case AD_ATTR_INT: return *(const int *)at;
    case AD_ATTR_INT64: return (double)*(const int64_t *)at;
    case AD_ATTR_BOOL: return *(const bool *)at;
    default: return *(const double *)at;
    }
}

nn__count nn__attr_count(const nn__traced *s, const char *name, int i) {
    const ad_attr *a = find_attr(s, name);
    return (nn__count){ { ((const ad_shape *)field(s, 0, a))->dim[i], ((const ad_shape *)field(s, 1, a))->dim[i] } };
}

int nn__attr_length(const nn__traced *s, const char *name) {
    return ((const ad_shape *)field(s, 0, find_attr(s, name)))->ndim;
}

int nn__attr_axes(const nn__traced *s, const char *name, int64_t axes[AD_MAX_NDIM]) {
    const int *at = field(s, 0, find_attr(s, name)); /* the number, then the axes */
    int n = at[0] < 0 ? nn__ndim(s, 0) : at[0];
    for (int i = 0; i < n; i++) axes[i] = at[0] < 0 ? i : at[1 + i];
    return n;
}

/* ---- casts ------------------------------------------------------------------------------------------------------- */

static nn__value cast(nn__model *m, nn__value x, int type) {
    nn__value y = NN__NODE(m, "Cast", x);
    nn__int(m, "to", type);
    return y;
}

nn__value nn__as_index(nn__model *m, nn__value x) { return cast(m, x, NN__INT64); }

nn__value nn__as_number(nn__model *m, nn__value x) {
    bool single = nn__model_dtype(m) == AD_F32;
    return cast(m, x, single ? NN__FLOAT : NN__DOUBLE);
}

/* ---- forms as text ----------------------------------------------------------------------------------------------- */

/* TERM: a number; $NAME, the number of that attribute; x, y or z, an operand; or NODE(TERM, .., NAME=NUMBER, ..), where
   NAME=NUMBER is an attribute of the node. Bool(TERM) and Float(TERM) are casts, the second to the model's dtype. */
typedef struct {
    const nn__traced *s;
    const char *at;
} reader;

static void skip_blanks(reader *r) { r->at += strspn(r->at, " ,"); }

static double read_number(reader *r) {
    char name[32];
    if (*r->at != '$') {
        char *end;
        double v = strtod(r->at, &end);
        r->at = end;
        return v;
    }
    size_t n = strspn(++r->at, "abcdefghijklmnopqrstuvwxyz_");
    memcpy(name, r->at, n);
    name[n] = '\0';
    r->at += n;
    return nn__attr(r->s, name);
}

static nn__value made(const nn__traced *s, const char *type, int n, const nn__value *in) {
    if (strcmp(type, "Bool") == 0) return cast(s->m, in[0], NN__BOOL);
    return strcmp(type, "Float") == 0 ? nn__as_number(s->m, in[0]) : nn__node(s->m, type, n, in);
}

static nn__value read_term(reader *r);

/* What stands between parentheses; attributes come last. */
static nn__value read_node(reader *r, const char *type) {
    nn__value in[4], y = NULL;
    int n = 0;
    for (r->at++; skip_blanks(r), *r->at != ')';) {
        size_t name = strspn(r->at, "abcdefghijklmnopqrstuvwxyz");
        if (r->at[name] != '=') {
            in[n++] = read_term(r);
            continue;
        }
        char key[16] = "";
        memcpy(key, r->at, name);
        r->at += name + 1;
        if (y == NULL) y = made(r->s, type, n, in);
        double v = read_number(r);
        if (strcmp(key, "fmod") == 0) nn__int(r->s->m, key, (int64_t)v);
        else nn__float(r->s->m, key, v);
    }
    r->at++;
    return y ? y : made(r->s, type, n, in);
}

/* Texts nest a few nodes deep. */
static nn__value read_term(reader *r) {
    char type[24] = "";
    skip_blanks(r);
    if (*r->at >= 'x' && *r->at <= 'z') return nn__in(r->s, *r->at++ - 'x');
    size_t n = strspn(r->at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    if (n == 0) return nn__number(r->s->m, read_number(r));
    memcpy(type, r->at, n);
    r->at += n;
    return read_node(r, type);
}

nn__value nn__evaluate_text(const nn__traced *s, const char *text) {
    reader r = { s, text };
    return read_term(&r);
}
