/* stack.c: NumPy's ways to join arrays: hstack, vstack, dstack, column_stack, block_diag; meshgrid, combinations. */
#include "autodiff/extend.h"
#include "ops/base/attrs.h"
#include "ops/ops.h"

/* ---- more axes ---------------------------------------------------------------------------------------------- */

static ad_var *with_axes(const char *caller, ad_var *x, int before, int after) {
    if (ad__absent(x)) return ad__nil_result(x, caller);
    ad_shape old = x->layout->shape, s = { .ndim = old.ndim + before + after };
    if (s.ndim == old.ndim) return ad__unchanged(x);
    for (int i = 0; i < s.ndim; i++) s.dim[i] = i < before || i >= before + old.ndim ? 1 : old.dim[i - before];
    return ad_reshape(x, s);
}

ad_var *ad_atleast_1d(ad_var *x) { return with_axes("atleast_1d", x, ad_shape_of(x).ndim < 1, 0); }
ad_var *ad_atleast_2d(ad_var *x) {
    int ndim = ad_shape_of(x).ndim;
    return with_axes("atleast_2d", x, ndim < 2 ? 2 - ndim : 0, 0);
}
ad_var *ad_atleast_3d(ad_var *x) {
    int ndim = ad_shape_of(x).ndim;
    return with_axes("atleast_3d", x, ndim < 2 ? 2 - ndim : 0, ndim < 3);
}

/* [n] or a scalar -> [n,1] */
static ad_var *as_column(ad_var *x) {
    int ndim = ad_shape_of(x).ndim;
    return with_axes("column_stack", x, ndim < 1, ndim < 2);
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

/* A list of the open scope for n Vars; NULL, with the graph's error, if there is none, or no graph. */
static ad_var **list_of(ad_graph *g, int n) {
    return n > 0 && g ? ad_scope_alloc(g, (size_t)n * sizeof(ad_var *)) : NULL;
}

static ad_graph *graph_of(int n, ad_var *const xs[]) {
    ad_graph *g = NULL;
    for (int i = 0; xs != NULL && i < n && g == NULL; i++) g = ad_graph_of(xs[i]);
    return g;
}

/* The Vars, each prepared by a function, joined along an axis. */
static ad_var *join(const char *caller, int n, ad_var *const xs[], ad_var *prepare(ad_var *), int axis) {
    ad_graph *g = graph_of(n, xs);
    ad_var **all = list_of(g, n), *nil = all ? ad__unfit_result(caller, n, xs) : ad_nil(g);
    if (nil != NULL) return nil;
    for (int i = 0; i < n; i++) all[i] = prepare(xs[i]);
    return ad_concat(n, all, axis);
}

ad_var *ad_hstack(int n, ad_var *const xs[]) {
    bool vectors = n > 0 && xs != NULL && ad_shape_of(xs[0]).ndim < 2;
    return join("hstack", n, xs, ad_atleast_1d, vectors ? 0 : 1);
}
ad_var *ad_vstack(int n, ad_var *const xs[]) { return join("vstack", n, xs, ad_atleast_2d, 0); }
ad_var *ad_dstack(int n, ad_var *const xs[]) { return join("dstack", n, xs, ad_atleast_3d, 2); }
ad_var *ad_column_stack(int n, ad_var *const xs[]) { return join("column_stack", n, xs, as_column, 1); }

ad_var *ad_block_diag(int n, ad_var *const xs[]) {
    ad_graph *g = graph_of(n, xs);
    ad_var **rows = list_of(g, n), *nil = rows ? ad__unfit_result("block_diag", n, xs) : ad_nil(g);
    int64_t width = 0, at = 0;
    if (nil != NULL) return nil;
    for (int i = 0; i < n; i++) {
        const ad_call c = AD__CALL_AS("block_diag", xs[i]);
        if (c.shape.ndim > 2) return ad__refused_call(&c, AD_ESHAPE, "takes matrices, vectors and scalars");
        rows[i] = ad_atleast_2d(xs[i]);
        width += ad_shape_of(rows[i]).dim[1];
    }
    for (int i = 0; i < n && ad_ok(g); i++) {
        int64_t own = rows[i]->layout->shape.dim[1];
        rows[i] = ad_pad(rows[i], AD_SHAPE(0, at), AD_SHAPE(0, width - at - own), 0);
        at += own;
    }
    return ad_concat(n, rows, 0);
}

/* ---- grids --------------------------------------------------------------------------------------------------- */

static int grid(const char *caller, int n, ad_var *const xs[], bool xy, ad_var *parts[]) {
    ad_graph *g = graph_of(n, xs);
    ad_shape whole = { .ndim = n };
    for (int i = 0; i < n && parts != NULL; i++) parts[i] = ad_nil(g);
    if (n < 1 || n > AD_MAX_NDIM || xs == NULL || parts == NULL)
        return ad_fail(g, AD_EVALUE, "%s: %d vectors; takes 1 to %d, and as many parts", caller, n, AD_MAX_NDIM);
    if (ad__unfit_result(caller, n, xs) != NULL) return g ? ad_error_code(g) : AD_EGRAPH;
    for (int i = 0; i < n; i++) {
        const ad_call c = AD__CALL_AS(caller, xs[i]);
        if (c.shape.ndim > 1) return ad_call_fail(&c, AD_ESHAPE, "takes vectors and scalars");
        whole.dim[xy && n > 1 && i < 2 ? 1 - i : i] = ad_numel(xs[i]);
    }
    for (int i = 0; i < n; i++) {
        int at = xy && n > 1 && i < 2 ? 1 - i : i;
        ad_shape s = { .ndim = n - at, .dim = { ad_numel(xs[i]), 1, 1, 1, 1, 1 } };
        parts[i] = ad_expand(ad_reshape(xs[i], s), whole);
    }
    for (int i = 0; i < n && !ad_ok(g); i++) parts[i] = ad_nil(g);
    return ad_error_code(g);
}

int ad_meshgrid(int n, ad_var *const xs[], bool xy, ad_var *parts[]) { return grid("meshgrid", n, xs, xy, parts); }

/* vectors [n1], [n2], .. -> [n1 n2 .., how many]: every choice of one element of each; one vector stays as it is */
ad_var *ad_cartesian_prod(int n, ad_var *const xs[]) {
    ad_var *parts[AD_MAX_NDIM];
    ad_graph *g = graph_of(n, xs);
    if (n < 1 || xs == NULL || g == NULL) return ad_nil(g);
    if (n > AD_MAX_NDIM) return ad_fail(g, AD_EVALUE, "cartesian_prod: more than %d vectors", AD_MAX_NDIM), ad_nil(g);
    if (grid("cartesian_prod", n, xs, false, parts) != AD_OK) return ad_nil(g);
    for (int i = 0; i < n; i++) parts[i] = ad_reshape(parts[i], AD_SHAPE(-1));
    return n == 1 ? parts[0] : ad_stack(n, parts, 1);
}

/* ---- combinations --------------------------------------------------------------------------------------------- */

/* The number of rows of combinations, -1 if they have more than 2^31 elements. Every partial product is a whole
   number. */
static int64_t combination_count(int64_t n, int64_t r, bool repeat) {
    int64_t most = repeat ? n + r - 1 : n;
    double count = 1;
    if (most < r) return r == 0;
    for (int64_t i = 1; i <= r && count <= 0x1p31; i++) count = count * (double)(most - r + i) / (double)i;
    return count * (double)r <= 0x1p31 ? (int64_t)count : -1;
}

/* Row after row, in lexicographic order: the last place that can rise does, and those behind it follow. */
static void write_combinations(int64_t n, int64_t r, bool repeat, int64_t count, double *to) {
    for (int64_t i = 0; i < r && count > 0; i++) to[i] = repeat ? 0 : (double)i;
    for (int64_t row = 1; row < count; row++) {
        const double *last = to + (row - 1) * r;
        double *next = to + row * r;
        int64_t at = r - 1;
        while (last[at] == (double)(repeat ? n - 1 : n - r + at)) at--;
        for (int64_t i = 0; i < r; i++)
            next[i] = i < at ? last[i] : last[at] + 1 + (repeat ? 0 : (double)(i - at));
    }
}

ad_var *ad_combinations(ad_var *x, int64_t r, bool with_replacement) {
    if (ad__absent(x)) return ad__nil_result(x, "combinations");
    const ad_call c = AD__CALL_AS("combinations", x);
    if (c.shape.ndim != 1 || r < 1) return ad__refused_call(&c, AD_ESHAPE, "takes a vector, and 1 element or more");
    int64_t n = c.shape.dim[0], count = r > INT32_MAX ? -1 : combination_count(n, r, with_replacement);
    if (count < 0) return ad__refused_call(&c, AD_EVALUE, "%lld of them have too many combinations", (long long)r);
    ad_var *index = ad_zeros(c.graph, AD_F64, AD_SHAPE(count, r));
    if (!ad_ok(c.graph)) return ad_nil(c.graph);
    if (count > 0) write_combinations(n, r, with_replacement, count, ad_data_mut(index));
    return ad_take(x, index);
}
