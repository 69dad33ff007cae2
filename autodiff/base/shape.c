/* shape.c: shapes and dtypes: size, comparison, text, broadcasting. */
#include "autodiff/base/shape.h"

size_t ad_dtype_size(ad_dtype t) { return t == AD_F32 ? sizeof(float) : sizeof(double); }
const char *ad_dtype_name(ad_dtype t) { return t == AD_F32 ? "f32" : t == AD_F64 ? "f64" : "no dtype"; }

ad_shape ad_shape_scalar(void) { return AD_SCALAR; }

ad_shape ad_shape_of_dims(int ndim, const int64_t *dim) {
    if (ndim < 0 || ndim > AD_MAX_NDIM || (dim == NULL && ndim > 0)) return (ad_shape){ .ndim = -1 };
    ad_shape s = { .ndim = ndim };
    for (int i = 0; i < ndim; i++) s.dim[i] = dim[i];
    return s;
}

/* Sizes of 0 do not hide that the others have too many elements. */
int64_t ad__numel_of(const ad_shape *s) {
    if (s->ndim < 0 || s->ndim > AD_MAX_NDIM) return -1;
    int64_t n = 1;
    bool empty = false, huge = false;
    for (int i = 0; i < s->ndim; i++) {
        if (s->dim[i] < 0) return -1;
        if (s->dim[i] == 0) empty = true;
        else huge = huge || __builtin_mul_overflow(n, s->dim[i], &n) || n >> AD__NUMEL_BITS != 0;
    }
    return huge ? -1 : empty ? 0 : n;
}

int64_t ad_shape_numel(ad_shape s) { return ad__numel_of(&s); }
bool ad_shape_equal(ad_shape a, ad_shape b) { return ad__equal_shapes(&a, &b); }

ad_shape_string ad_shape_str(ad_shape s) {
    ad_shape_string to = { "[" };
    int at = 1;
    for (int i = 0; i < s.ndim && i < AD_MAX_NDIM; i++)
        at += snprintf(to.text + at, sizeof to.text - (size_t)at, "%s%lld", i ? "," : "", (long long)s.dim[i]);
    snprintf(to.text + at, sizeof to.text - (size_t)at, "]");
    return to;
}

int ad_shape_text(ad_shape s, char *to, size_t size) {
    return snprintf(to, to ? size : 0, "%s", ad_shape_str(s).text);
}

int ad__broadcast(ad_shape a, ad_shape b, ad_shape *out) {
    *out = a.ndim >= b.ndim ? a : b;
    for (int i = 1; i <= out->ndim; i++) {
        int64_t da = i <= a.ndim ? a.dim[a.ndim - i] : 1;
        int64_t db = i <= b.ndim ? b.dim[b.ndim - i] : 1;
        if (da != db && da != 1 && db != 1) return -1;
        out->dim[out->ndim - i] = da == 1 ? db : da;
    }
    return 0;
}
