/* attr.c: an op's attributes as text. */
#include <string.h>

#include "autodiff/graph/node.h"

/* list is the attribute in memory: the number of axes, then the axes. */
static int axes_text(const int *list, char *to, size_t size) {
    if (*list < 0) return snprintf(to, size, "all");
    ad_shape s = { .ndim = *list };
    for (int i = 0; i < s.ndim && i < AD_MAX_NDIM; i++) s.dim[i] = list[1 + i];
    return ad_shape_text(s, to, size);
}

int ad_attr_text(const ad_attr *a, const void *attrs, char *to, size_t size) {
    if (to == NULL) size = 0;
    if (a == NULL || attrs == NULL) return snprintf(to, size, "?");
    const void *at = (const char *)attrs + a->offset;
    switch (a->kind) {
    case AD_ATTR_INT: return snprintf(to, size, "%d", *(const int *)at);
    case AD_ATTR_INT64: return snprintf(to, size, "%lld", (long long)*(const int64_t *)at);
    case AD_ATTR_BOOL: return snprintf(to, size, "%s", *(const bool *)at ? "true" : "false");
    case AD_ATTR_DOUBLE: return snprintf(to, size, "%.15g", *(const double *)at);
    case AD_ATTR_SHAPE: return ad_shape_text(*(const ad_shape *)at, to, size);
    case AD_ATTR_AXES: return axes_text(at, to, size);
    }
    return snprintf(to, size, "?");
}

/* Attribute number i of a type; NULL if there is none. */
static const ad_attr *attr_at(const ad_optype *type, int i) {
    if (type == NULL || type->attrs == NULL || i < 0) return NULL;
    const ad_attr *a = type->attrs;
    while (i > 0 && a->name != NULL) a++, i--;
    return a->name ? a : NULL;
}

/* The names of an attribute's values, separated by blanks; NULL if it is no enum. */
static const char *values_of(const ad_optype *type, const ad_attr *a) {
    for (const ad_attr_values *v = type->values; v != NULL && v->attr != NULL; v++)
        if (strcmp(v->attr, a->name) == 0) return v->values;
    return NULL;
}

int ad_attr_value_text(const ad_optype *type, int i, const void *attrs, char *to, size_t size) {
    const ad_attr *a = attr_at(type, i);
    const char *word = a != NULL && attrs != NULL && a->kind == AD_ATTR_INT ? values_of(type, a) : NULL;
    if (word == NULL) return ad_attr_text(a, attrs, to, size);
    int value = *(const int *)((const char *)attrs + a->offset);
    for (int k = 0; k < value && *word != '\0'; k++) {
        word += strcspn(word, " ");
        word += *word == ' ';
    }
    if (value < 0 || *word == '\0') return ad_attr_text(a, attrs, to, size);
    return snprintf(to, to ? size : 0, "%.*s", (int)strcspn(word, " "), word);
}

int ad_op_attr_text(const ad_op *op, int i, char *to, size_t size) {
    const ad_attr *a = op ? attr_at(op->type, i) : NULL;
    if (to == NULL) size = 0;
    if (a == NULL) return snprintf(to, size, "%s", "");
    int used = snprintf(to, size, "%s ", a->name);
    size_t left = (size_t)used < size ? size - (size_t)used : 0;
    return used + ad_attr_value_text(op->type, i, ad__attrs_of(op), left ? to + used : NULL, left);
}
