/* attr.c: an op's attributes as text. */
#include "autodiff/op.h"

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
