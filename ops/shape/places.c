/* places.c: the places of the elements that are not 0, and indices into several axes at once, with what reads and
   writes by them: masked_select, masked_scatter, index, index_put. */
#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/kernels/shape/index.h"
#include "ops/compile.h"
#include "ops/ops.h"

#include <math.h>

/* ---- nonzero_n: the number of places is an attribute, since the shape of a result does not change ------------- */

static const ad_attr nonzero_list[] = { { "n", AD_ATTR_INT64, 0 }, { 0 } };

static int64_t count_places(const ad_var *x) {
    int64_t n = 0;
    for (int64_t i = 0; i < x->layout->numel; i++) n += ad__get(x, i) != 0;
    return n;
}

static int nonzero_n_shape(ad_call *c) {
    int64_t n = *(const int64_t *)c->attrs, most = c->in[0]->layout->numel;
    if (n < 0 || n > most)
        return ad_call_fail(c, AD_EVALUE, "%lld places of %lld elements", (long long)n, (long long)most);
    for (int i = 0; i < c->shape.ndim; i++)
        if (c->dtype == AD_F32 && c->shape.dim[i] > (int64_t)1 << 24)
            return ad_call_fail(c, AD_ESHAPE, "f32 holds no index above 2^24; cast x to AD_F64");
    c->shape = AD_SHAPE(n, c->shape.ndim);
    return AD_OK;
}

/* Writes the coordinates of element i of an array of shape s to row `row` of y. */
static void put_place(const ad_var *y, int64_t row, ad_shape s, int64_t i) {
    for (int a = s.ndim - 1; a >= 0; i /= s.dim[a--]) ad__put(y, row * s.ndim + a, (double)(i % s.dim[a]));
}

static int nonzero_n_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = y->layout->shape.dim[0], found = count_places(x);
    if (found != n)
        return ad_op_fail(op, AD_EVALUE, "%lld elements are not 0, where %lld were; build the graph again",
                          (long long)found, (long long)n);
    for (int64_t i = 0, row = 0; i < x->layout->numel; i++)
        if (ad__get(x, i) != 0) put_place(y, row++, x->layout->shape, i);
    return AD_OK;
}

static void nonzero_n_samples(ad_sampler *s) {
    const double x[] = { 0, 1, NAN, 0, -0.0, -2, INFINITY, 0, 0.25, 3, 0, 0 }, *values[] = { x };
    const struct {
        int64_t n;
        ad_shape shape;
    } cases[] = { { 6, AD_SHAPE(12) },   { 3, AD_SHAPE(2, 3) }, { 6, AD_SHAPE(2, 1, 6) },
                  { 0, AD_SHAPE(0, 3) }, { 0, AD_SHAPE(1) },    { 0, AD_SCALAR } };
    for (int i = 0; i < AD__COUNT(cases); i++) ad_sample_values(s, &cases[i].n, 1, &cases[i].shape, values, 0);
}

AD_OPTYPE(nonzero_n, .doc = "the coordinates [n,ndim] of the n elements that are not 0, in row-major order", .arity = 1,
          .formula = "y[k] = coordinates of the k-th element with x != 0",
          .special = "NaN is not 0; another number of places than n is an error, also in ad_eval",
          .flags = AD_OP_CONSTANT, .attr_size = sizeof(int64_t), .attrs = nonzero_list, .shape = nonzero_n_shape,
          .evaluate = { nonzero_n_evaluate, nonzero_n_evaluate });
ad_var *ad_nonzero_n(ad_var *x, int64_t n) { return ad__apply1(&ad_op_nonzero_n, x, &n); }

ad_var *ad_nonzero(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "nonzero");
    return ad_nonzero_n(x, count_places(x));
}

/* The places [n] of the flattened mask that are not 0, in f64, which holds them all. */
static ad_var *flat_places(ad_var *mask) {
    ad_var *flat = ad_reshape(ad_detach(mask), AD_SHAPE(-1));
    if (mask->layout->numel > (int64_t)1 << 24) flat = ad_cast(flat, AD_F64);
    return ad__absent(flat) ? flat : ad_reshape(ad_nonzero(flat), AD_SHAPE(-1));
}

/* x, or mask, expanded to the shape of both together; nil if they do not broadcast. */
static bool expand_both(const char *caller, ad_var **x, ad_var **mask) {
    ad_shape whole;
    if (ad__absent_result(caller, 2, (ad_var *[]){ *x, *mask }) != NULL) return false;
    const ad_call c = {
        .graph = ad__owner(*x), .type = &(const ad_optype){ .name = caller }, .n = 2, .in = (ad_var *[]){ *x, *mask }
    };
    if (ad__broadcast((*x)->layout->shape, (*mask)->layout->shape, &whole))
        return ad_call_fail(&c, AD_ESHAPE, "x and mask do not broadcast"), false;
    if (!ad_shape_equal((*x)->layout->shape, whole)) *x = ad_expand(*x, whole);
    if (!ad_shape_equal((*mask)->layout->shape, whole)) *mask = ad_expand(*mask, whole);
    return ad_ok(c.graph);
}

ad_var *ad_masked_select(ad_var *x, ad_var *mask) {
    ad_graph *g = ad__graph_among(2, (ad_var *[]){ x, mask });
    if (!expand_both("masked_select", &x, &mask)) return ad_nil(g);
    return ad_take_axis(ad_reshape(x, AD_SHAPE(-1)), 0, flat_places(mask));
}

ad_var *ad_masked_scatter(ad_var *x, ad_var *mask, ad_var *src) {
    ad_var *nil = ad__absent_result("masked_scatter", 3, (ad_var *[]){ x, mask, src });
    if (nil != NULL) return nil;
    if (!expand_both("masked_scatter", &x, &mask)) return ad_nil(ad_graph_of(x));
    ad_var *places = flat_places(mask);
    ad_shape s = x->layout->shape;
    const ad_call c = AD__CALL_AS("masked_scatter", x);
    if (ad_numel(places) > src->layout->numel) {
        ad_call_fail(&c, AD_ESHAPE, "the mask has %lld elements that are not 0, and src has %lld elements",
                     (long long)ad_numel(places), (long long)src->layout->numel);
        return ad_nil(c.graph);
    }
    ad_var *from = ad_narrow(ad_reshape(src, AD_SHAPE(-1)), 0, 0, ad_numel(places));
    return ad_reshape(ad_index_copy(ad_reshape(x, AD_SHAPE(-1)), 0, places, from), s);
}

/* ---- ravel_multi_index: coordinates, one array for each axis, as places in the flattened array ---------------- */

typedef struct {
    ad_shape sizes;
} ravel_attrs;
static const ad_attr ravel_list[] = { { "sizes", AD_ATTR_SHAPE, 0 }, { 0 } };

static int ravel_multi_index_shape(ad_call *c) {
    const ad_shape *sizes = &((const ravel_attrs *)c->attrs)->sizes;
    if (sizes->ndim != c->n || ad_shape_numel(*sizes) < 0)
        return ad_call_fail(c, AD_EVALUE, "%d arrays of indices and sizes %s; takes one valid size for each", c->n,
                            ad_shape_str(*sizes).text);
    for (int i = 1; i < c->n; i++)
        if (ad__broadcast(c->shape, c->in[i]->layout->shape, &c->shape))
            return ad_call_fail(c, AD_ESHAPE, "the arrays of indices do not broadcast");
    c->dtype = AD_F64;
    return AD_OK;
}

enum { RAVEL_CHUNK = 256 };

/* y = y size + index, for elements from .. from+n of operand i. Returns n, or the number of good ones. */
static int64_t ravel_chunk(const ad_op *op, int i, const ad__broadcast_map *map, int64_t from, int64_t n) {
    int64_t at[RAVEL_CHUNK], size = ((const ravel_attrs *)ad__attrs_of(op))->sizes.dim[i], good;
    double buffer[RAVEL_CHUNK], *y = (double *)ad__out(op)->data + from;
    const ad_var *x = op->in[i];
    if (x->layout->dtype == AD_F32)
        good = ad__read_indices_f32(n, ad__broadcast_read_f32(map, from, n, x->data, (float *)buffer), size, at);
    else good = ad__read_indices_f64(n, ad__broadcast_read_f64(map, from, n, x->data, buffer), size, at);
    for (int64_t k = 0; k < good; k++) y[k] = (i ? y[k] * (double)size : 0) + (double)at[k];
    return good;
}

static int ravel_multi_index_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    for (int i = 0; i < op->n_in; i++) {
        ad__broadcast_map map = ad__broadcast_map_of(op->in[i]->layout->shape, y->layout->shape);
        for (int64_t from = 0; from < y->layout->numel; from += RAVEL_CHUNK) {
            int64_t n = ad__lesser(RAVEL_CHUNK, y->layout->numel - from), good = ravel_chunk(op, i, &map, from, n);
            int64_t size = ((const ravel_attrs *)ad__attrs_of(op))->sizes.dim[i];
            if (good < n)
                return ad_op_fail(op, AD_EVALUE,
                                  "at element %lld, the index of axis %d is not one of %lld..%lld, or is "
                                  "2^24 or more in f32",
                                  (long long)(from + good), i, (long long)-size, (long long)size - 1);
        }
    }
    return AD_OK;
}

AD_COLD static int ravel_multi_index_emit(ad_emit *e, const ad_op *op) {
    const ad__layout *l = ad__out(op)->layout;
    ad_shape sizes = ((const ravel_attrs *)ad__attrs_of(op))->sizes;
    ad_emit_array y = { 0 };
    if (l->numel == 0) return AD_EABSENT;
    for (int i = 0; i < op->n_in; i++) {
        ad_emit_loop loop = { .dtype = AD_F64, .shape = l->shape, .names = "x n",
                              .value = "x >= -n && x < n && x == floor(x) ? x < 0 ? x + n : x : NAN", .n = 1,
                              .in = { ad_emit_operand(e, op, i) }, .n_parameters = 1,
                              .parameter = { (double)sizes.dim[i] } };
        ad_emit_array at = ad_emit_run(e, &loop);
        loop.names = "y x n", loop.value = "y * n + x", loop.n = 2, loop.in[0] = y, loop.in[1] = at;
        y = i == 0 ? at : ad_emit_run(e, &loop);
    }
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void ravel_multi_index_samples(ad_sampler *s) {
    const double a[] = { 0, 1, -1, 1, -2, 0 }, b[] = { 2, -3, 0, 1, 2, -1 }, c[] = { 3, -4, 0, 1, 2, -1 };
    const double *values[] = { a, b, c };
    const ad_shape sizes = AD_SHAPE(2, 3, 4), three[] = { AD_SHAPE(6), AD_SHAPE(6), AD_SHAPE(6) };
    ad_shape grid[3];
    AD__SHAPES(grid, "6,1,1 3,1 2");
    ad_sample_values(s, &sizes, 3, three, values, 0);
    ad_sample_values(s, &sizes, 3, grid, values, 0);
    ad_sample_values(s, &AD_SHAPE(2, 3), 2, (ad_shape[]){ AD_SCALAR, AD_SHAPE(0) }, values, 0);
    ad_sample_values(s, &AD_SHAPE(2), 1, (ad_shape[]){ AD_SHAPE(2, 3) }, values, 0);
}

AD_OPTYPE(ravel_multi_index,
          .doc = "coordinates, one array for each axis of an array with these sizes, as indices into the "
                 "flattened array; the arrays broadcast; the result is f64",
          .formula = "y = (x0 sizes[1] + x1) sizes[2] + ..", .special = "-1 is the last of an axis", .arity = -1,
          .flags = AD_OP_CONSTANT | AD_OP_MIXED, .attr_size = sizeof(ravel_attrs), .attrs = ravel_list,
          .shape = ravel_multi_index_shape, .evaluate = { ravel_multi_index_evaluate, ravel_multi_index_evaluate },
          .emit = ravel_multi_index_emit);
ad_var *ad_ravel_multi_index(int n, ad_var *const index[], ad_shape sizes) {
    return ad_apply(&ad_op_ravel_multi_index, n, index, &(ravel_attrs){ sizes });
}

/* ---- index and index_put: several arrays of indices ----------------------------------------------------------- */

/* x with the indexed axes as one axis, `axis`, and their places along it. In `order`, the axes of x are permuted first:
   if axes that are not indexed stand between the indexed ones, these go to the front, as in PyTorch. */
typedef struct {
    ad_var *x, *places;
    int axis;
    bool permuted;
    ad_shape order, back, arranged; /* arranged: the shape after the permutation */
} indexing;

/* The indexed axes of n, the first of them, and whether they stand together. */
static unsigned indexed_axes(int n, ad_var *const index[], int *first, bool *together) {
    unsigned mask = 0;
    for (int i = 0; i < n; i++) mask |= (unsigned)(index[i] != NULL) << i;
    for (*first = 0; mask && !(mask >> *first & 1);) ++*first;
    unsigned run = mask >> *first;
    *together = (run & (run + 1)) == 0;
    return mask;
}

static void order_axes(indexing *to, unsigned mask, bool together) {
    ad_shape s = to->x->layout->shape;
    to->order = to->back = to->arranged = (ad_shape){ .ndim = s.ndim };
    to->permuted = !together;
    for (int pass = 0, k = 0; pass < 2; pass++)
        for (int a = 0; a < s.ndim; a++)
            if (together ? pass == 0 : (mask >> a & 1) == (pass == 0)) to->order.dim[k] = a, to->back.dim[a] = k++;
    for (int a = 0; a < s.ndim; a++) to->arranged.dim[a] = s.dim[to->order.dim[a]];
}

/* Multiplies the sizes of the m indexed axes from to->axis on to one, and moves their places there. */
static void join_axes(indexing *to, int m, ad_var *const chosen[]) {
    ad_shape s = to->arranged, sizes = { .ndim = m }, joined = { .ndim = s.ndim - m + 1 };
    for (int i = 0; i < m; i++) sizes.dim[i] = s.dim[to->axis + i];
    for (int i = 0; i < joined.ndim; i++) joined.dim[i] = s.dim[i <= to->axis ? i : i + m - 1];
    joined.dim[to->axis] = ad_shape_numel(sizes);
    to->places = m == 1 ? chosen[0] : ad_ravel_multi_index(m, chosen, sizes);
    if (to->permuted) to->x = ad_permute(to->x, to->order);
    if (m > 1) to->x = ad_reshape(to->x, joined);
}

/* The error of the first that is nil of x, the arrays of indices and the values, which are NULL where none are read. */
static void refuse_absent(ad_var *x, int n, ad_var *const index[], ad_var *values, const char *caller) {
    ad_var *all[AD_MAX_NDIM + 2] = { x };
    int m = 1;
    for (int i = 0; index != NULL && i < n && i < AD_MAX_NDIM; i++)
        if (index[i] != NULL) all[m++] = index[i];
    all[m++] = values;
    ad__nil_beside(m, all, caller);
}

static bool open_indexing(const char *caller, ad_var *x, int n, ad_var *const index[], ad_var *values, indexing *to) {
    ad_var *chosen[AD_MAX_NDIM];
    int first, m = 0;
    bool together;
    if (ad__absent(x)) return refuse_absent(x, n, index, values, caller), false;
    const ad_call c = AD__CALL_AS(caller, x);
    if (n < 0 || n > c.shape.ndim || (n > 0 && index == NULL))
        return ad_call_fail(&c, AD_EVALUE, "%d arrays of indices for %d axes", index ? n : 0, c.shape.ndim), false;
    unsigned mask = indexed_axes(n, index, &first, &together);
    if (mask == 0) return ad_call_fail(&c, AD_EVALUE, "no array of indices is given"), false;
    for (int i = 0; i < n; i++)
        if (index[i] != NULL) chosen[m++] = index[i];
    for (int i = 0; i < m; i++)
        if (ad__absent(chosen[i])) return refuse_absent(x, n, index, values, caller), false;
    *to = (indexing){ .x = x, .axis = together ? first : 0 };
    order_axes(to, mask, together);
    join_axes(to, m, chosen);
    return ad_ok(c.graph);
}

ad_var *ad_index(ad_var *x, int n, ad_var *const index[]) {
    indexing i;
    if (!open_indexing("index", x, n, index, NULL, &i)) return ad_nil(ad_graph_of(x));
    return ad_take_axis(i.x, i.axis, i.places);
}

/* The shape of what ad_index reads: x's, with the joined axis replaced by the axes of the places. */
static ad_shape indexed_shape(const indexing *i) {
    ad_shape x = i->x->layout->shape, at = i->places->layout->shape, s = { 0 };
    for (int a = 0; a < i->axis; a++) s.dim[s.ndim++] = x.dim[a];
    for (int a = 0; a < at.ndim && s.ndim < AD_MAX_NDIM; a++) s.dim[s.ndim++] = at.dim[a];
    for (int a = i->axis + 1; a < x.ndim && s.ndim < AD_MAX_NDIM; a++) s.dim[s.ndim++] = x.dim[a];
    return s;
}

ad_var *ad_index_put(ad_var *x, int n, ad_var *const index[], ad_var *values, bool accumulate) {
    indexing i;
    ad_shape whole;
    if (!open_indexing("index_put", x, n, index, values, &i)) return ad_nil(ad_graph_of(x));
    if (ad__absent(values)) return ad__nil_beside(2, (ad_var *[]){ x, values }, "index_put");
    const ad_call c = AD__CALL_AS("index_put", x);
    ad_shape s = indexed_shape(&i);
    if (ad__broadcast(values->layout->shape, s, &whole) || !ad_shape_equal(whole, s)) {
        ad_call_fail(&c, AD_ESHAPE, "values %s do not broadcast to the indexed part %s",
                     ad_shape_str(values->layout->shape).text, ad_shape_str(s).text);
        return ad_nil(c.graph);
    }
    if (!ad_shape_equal(values->layout->shape, s)) values = ad_expand(values, s);
    ad_var *y = accumulate ? ad_index_add(i.x, i.axis, i.places, values) : ad_index_copy(i.x, i.axis, i.places, values);
    y = ad_reshape(y, i.arranged);
    return i.permuted ? ad_permute(y, i.back) : y;
}
