/* test_ops_shape.c: shape and indexing ops: values, bounds, indices, failures, many operands; copy kernels. */
#include "common.h"

#include "ops/kernels/net/im2col.h"
#include "ops/kernels/shape/copy.h"

static ad_var *numbers(ad_graph *g, ad_dtype t, ad_shape s) {
    return ad_reshape(ad_arange(g, t, 0, (double)ad_shape_numel(s), 1), s);
}

static ad_var *index_of(ad_var *like, const double *values, ad_shape s) {
    ad_var *x = ad_tensor(ad_graph_of(like), ad_dtype_of(like), NULL, s);
    if (!ad_is_nil(x)) set_all(x, values);
    return x;
}

/* ---- PyTorch 1.13 on x = [[1,2,3],[4,5,6]]; dx is the gradient of sum(y * [1,2,...]) ----------------------------- */

static ad_var *tiled(ad_var *x) { return ad_tile(x, AD_SHAPE(2, 1, 2)); }
static ad_var *tiled_last(ad_var *x) { return ad_tile(x, AD_SHAPE(2)); }
static ad_var *interleaved_rows(ad_var *x) { return ad_repeat_interleave(x, 0, 2); }
static ad_var *interleaved(ad_var *x) { return ad_repeat_interleave(x, -1, 3); }
static ad_var *reflected(ad_var *x) { return ad_pad_reflect(x, AD_SHAPE(1, 2), AD_SHAPE(0, 1)); }
static ad_var *reflected_far(ad_var *x) { return ad_pad_reflect(x, AD_SHAPE(1, 2), AD_SHAPE(1, 2)); }
static ad_var *replicated(ad_var *x) { return ad_pad_replicate(x, AD_SHAPE(1, 2), AD_SHAPE(2, 1)); }
static ad_var *circular(ad_var *x) { return ad_pad_circular(x, AD_SHAPE(1, 2), AD_SHAPE(0, 3)); }
static ad_var *selected(ad_var *x) { return ad_select(x, 1, -1); }
static ad_var *narrowed(ad_var *x) { return ad_narrow(x, -1, 1, 2); }
static ad_var *taken(ad_var *x) { return ad_take(x, index_of(x, (double[]){ 5, 0, 1, 5 }, AD_SHAPE(2, 2))); }
static ad_var *index_selected(ad_var *x) {
    return ad_index_select(x, 1, index_of(x, (double[]){ 2, 2, 0 }, AD_SHAPE(3)));
}
static ad_var *embedded(ad_var *x) { return ad_embedding(x, index_of(x, (double[]){ 1, 1, 0, 1 }, AD_SHAPE(2, 2))); }
static ad_var *taken_along(ad_var *x) { return ad_take_along(x, 1, index_of(x, (double[]){ 2, 0 }, AD_SHAPE(2, 1))); }
static ad_var *taken_along_broadcast(ad_var *x) {
    return ad_take_along(x, 0, index_of(x, (double[]){ 1, 0, 1 }, AD_SHAPE(1, 3)));
}
static ad_var *gathered_part(ad_var *x) {
    return ad_gather(x, 1, index_of(x, (double[]){ 2, 0, 2, 1 }, AD_SHAPE(1, 4)));
}
static ad_var *scattered_part(ad_var *x) {
    ad_var *src = numbers(ad_graph_of(x), ad_dtype_of(x), AD_SHAPE(3, 4));
    return ad_scatter_add(x, 0, index_of(x, (double[]){ 1, 0, 1, 1, 0, 0 }, AD_SHAPE(3, 2)), src);
}
static ad_var *rolled_twice(ad_var *x) { return ad_roll(ad_roll(x, 0, 1), 1, -1); }
static ad_var *flipped_all(ad_var *x) { return ad_flip_axes(x, -1, NULL); }

static void values_and_gradients_as_in_pytorch(void **state) {
    (void)state;
    const struct {
        const char *name;
        ad_var *(*f)(ad_var *x);
        ad_shape shape;
        double y[32], dx[6];
    } cases[] = {
        { "tiled", tiled, { 3, { 2, 2, 6 } },
          { 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6 },
          { 34, 38, 42, 58, 62, 66 } },
        { "tiled_last", tiled_last, { 2, { 2, 6 } }, { 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6 },
          { 5, 7, 9, 17, 19, 21 } },
        { "interleaved_rows", interleaved_rows, { 2, { 4, 3 } }, { 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6 },
          { 5, 7, 9, 17, 19, 21 } },
        { "interleaved", interleaved, { 2, { 2, 9 } }, { 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6 },
          { 6, 15, 24, 33, 42, 51 } },
        { "reflected", reflected, { 2, { 3, 6 } }, { 6, 5, 4, 5, 6, 5, 3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5 },
          { 9, 30, 18, 18, 60, 36 } },
        { "reflected_far", reflected_far, { 2, { 4, 7 } },
          { 6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1, 6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1 },
          { 76, 108, 68, 48, 66, 40 } },
        { "replicated", replicated, { 2, { 5, 6 } },
          { 1, 1, 1, 2, 3, 3, 1, 1, 1, 2, 3, 3, 4, 4, 4, 5, 6, 6, 4, 4, 4, 5, 6, 6, 4, 4, 4, 5, 6, 6 },
          { 30, 14, 34, 180, 66, 141 } },
        { "circular", circular, { 2, { 3, 8 } },
          { 5, 6, 4, 5, 6, 4, 5, 6, 2, 3, 1, 2, 3, 1, 2, 3, 5, 6, 4, 5, 6, 4, 5, 6 },
          { 25, 36, 39, 50, 72, 78 } },
        { "selected", selected, { 1, { 2 } }, { 3, 6 },
          { 0, 0, 1, 0, 0, 2 } },
        { "narrowed", narrowed, { 2, { 2, 2 } }, { 2, 3, 5, 6 },
          { 0, 1, 2, 0, 3, 4 } },
        { "taken", taken, { 2, { 2, 2 } }, { 6, 1, 2, 6 },
          { 2, 3, 0, 0, 0, 5 } },
        { "index_selected", index_selected, { 2, { 2, 3 } }, { 3, 3, 1, 6, 6, 4 },
          { 3, 0, 3, 6, 0, 9 } },
        { "embedded", embedded, { 3, { 2, 2, 3 } }, { 4, 5, 6, 4, 5, 6, 1, 2, 3, 4, 5, 6 },
          { 7, 8, 9, 15, 18, 21 } },
        { "taken_along", taken_along, { 2, { 2, 1 } }, { 3, 4 },
          { 0, 0, 1, 2, 0, 0 } },
        { "taken_along_broadcast", taken_along_broadcast, { 2, { 1, 3 } }, { 4, 2, 6 },
          { 0, 2, 0, 1, 0, 3 } },
        { "gathered_part", gathered_part, { 2, { 1, 4 } }, { 3, 1, 3, 2 },
          { 2, 4, 4, 0, 0, 0 } },
        { "scattered_part", scattered_part, { 2, { 2, 3 } }, { 9, 12, 3, 8, 10, 6 },
          { 1, 2, 3, 4, 5, 6 } },
        { "rolled_twice", rolled_twice, { 2, { 2, 3 } }, { 5, 6, 4, 2, 3, 1 },
          { 6, 4, 5, 3, 1, 2 } },
        { "flipped_all", flipped_all, { 2, { 2, 3 } }, { 6, 5, 4, 3, 2, 1 },
          { 6, 5, 4, 3, 2, 1 } },
    };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int i = 0; i < COUNT(cases); i++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = param_of(g, (ad_dtype)t, (double[]){ 1, 2, 3, 4, 5, 6 }, AD_SHAPE(2, 3)), *y = cases[i].f(x);
            assert_ok(g);
            assert_shape(y, cases[i].shape);
            ad_var *w = ad_adds(numbers(g, (ad_dtype)t, cases[i].shape), 1);
            assert_int_equal(ad_backward_from(y, w), AD_OK);
            for (int64_t k = 0; k < ad_numel(y); k++) assert_close_in(cases[i].name, ad_at(y, k), cases[i].y[k], 0);
            for (int k = 0; k < 6; k++) assert_close_in(cases[i].name, ad_grad_at(x, k), cases[i].dx[k], 0);
            ad_graph_free(g);
        }
}

/* src is larger than index; the rest of src is not read. PyTorch cannot differentiate this case. */
static void scatter_add_with_a_larger_src(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *src = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(3, 4)));
    ad_var *y = ad_scatter_add(x, 0, index_of(x, (double[]){ 1, 0, 1, 1, 0, 0 }, AD_SHAPE(3, 2)), src);
    ad_backward_from(y, ad_adds(numbers(g, AD_F64, AD_SHAPE(2, 3)), 1));
    const double want[] = { 4, 2, 0, 0, 4, 5, 0, 0, 1, 2, 0, 0 };
    for (int k = 0; k < 12; k++) assert_close(ad_grad_at(src, k), want[k], 0);
    ad_graph_free(g);
}

static void shapes_as_in_pytorch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(1, 2, 1, 3)));
    assert_shape(ad_squeeze(x), AD_SHAPE(2, 3));
    assert_shape(ad_squeeze_axis(x, 0), AD_SHAPE(2, 1, 3));
    assert_shape(ad_squeeze_axis(x, -2), AD_SHAPE(1, 2, 3));
    assert_shape(ad_squeeze_axis(x, 1), AD_SHAPE(1, 2, 1, 3)); /* NumPy raises an error */
    assert_shape(ad_squeeze(ad_ones(g, AD_F32, AD_SHAPE(1, 1))), AD_SCALAR);
    assert_shape(ad_unsqueeze(x, 0), AD_SHAPE(1, 1, 2, 1, 3));
    assert_shape(ad_unsqueeze(x, -1), AD_SHAPE(1, 2, 1, 3, 1));
    assert_shape(ad_unsqueeze(x, 2), AD_SHAPE(1, 2, 1, 1, 3));
    assert_shape(ad_unsqueeze(ad_ones(g, AD_F32, AD_SCALAR), -1), AD_SHAPE(1));
    assert_shape(ad_flatten(x, 0, -1), AD_SHAPE(6));
    assert_shape(ad_flatten(x, 1, 2), AD_SHAPE(1, 2, 3));
    assert_shape(ad_flatten(x, -1, 3), AD_SHAPE(1, 2, 1, 3));
    assert_shape(ad_flatten(ad_ones(g, AD_F32, AD_SCALAR), 0, -1), AD_SHAPE(1));
    assert_shape(ad_flatten(ad_ones(g, AD_F32, AD_SHAPE(3, 0, 2)), 0, 1), AD_SHAPE(0, 2));
    assert_shape(ad_tile(x, AD_SHAPE(0)), AD_SHAPE(1, 2, 1, 0));
    assert_shape(ad_tile(ad_ones(g, AD_F32, AD_SCALAR), AD_SHAPE(2, 3)), AD_SHAPE(2, 3));
    assert_shape(ad_tile(x, AD_SCALAR), AD_SHAPE(1, 2, 1, 3));
    assert_shape(ad_repeat_interleave(x, 1, 0), AD_SHAPE(1, 0, 1, 3));
    assert_shape(ad_index_select(x, 3, ad_zeros(g, AD_F64, AD_SCALAR)), AD_SHAPE(1, 2, 1, 1));
    assert_shape(ad_narrow(x, 1, -1, 1), AD_SHAPE(1, 1, 1, 3));
    assert_shape(ad_narrow(x, 1, 2, 0), AD_SHAPE(1, 0, 1, 3));
    ad_var *y = ad_flatten(ad_unsqueeze(ad_squeeze(x), 1), 0, 1);
    assert_int_equal(ad_backward(ad_sum(ad_mul(y, y))), AD_OK);
    for (int k = 0; k < 6; k++) assert_close(ad_grad_at(x, k), 2, 0);
    assert_ok(g);
    ad_graph_free(g);
}

/* expand preserves the sign of zero, infinities and NaNs. */
static void expand_copies_special_values(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_tensor(g, AD_F64, (double[]){ -0.0, INFINITY, NAN }, AD_SHAPE(3, 1)),
        *y = ad_expand(x, AD_SHAPE(3, 2));
    for (int k = 0; k < 2; k++) {
        assert_true(signbit(ad_at(y, k)));
        assert_true(isinf(ad_at(y, 2 + k)));
        assert_true(isnan(ad_at(y, 4 + k)));
    }
    ad_graph_free(g);
}

/* ---- slices: Python's rule --------------------------------------------------------------------------------------- */

static void slices_as_in_python(void **state) {
    (void)state;
    const int64_t bounds[] = { INT64_MIN, -7, -6, -5, -3, -1, 0, 1, 2, 4, 5, 6, INT64_MAX };
    const int64_t steps[] = { INT64_MIN, -6, -2, -1, 1, 2, 3, 5, INT64_MAX };
    ad_graph *g = ad_graph_new();
    ad_var *x = numbers(g, AD_F32, AD_SHAPE(5));
    for (int i = 0; i < COUNT(bounds); i++)
        for (int j = 0; j < COUNT(bounds); j++)
            for (int k = 0; k < COUNT(steps); k++) {
                ad_mark m = ad_begin(g);
                ad_var *y = ad_slice(x, 0, bounds[i], bounds[j], steps[k]);
                double step = (double)steps[k], start = (double)bounds[i], stop = (double)bounds[j];
                double first = step < 0 ? -1 : 0, last = step < 0 ? 4 : 5;
                start = fmin(fmax(start < 0 ? start + 5 : start, first), last);
                stop = fmin(fmax(stop < 0 ? stop + 5 : stop, first), last);
                int64_t n = 0;
                for (double at = start; step > 0 ? at < stop : at > stop; at += step)
                    assert_close(ad_at(y, n++), at, 0);
                assert_int_equal(ad_numel(y), n);
                ad_end(g, m);
            }
    assert_ok(g);
    ad_graph_free(g);
}

static void slices_of_several_axes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = numbers(g, AD_F64, AD_SHAPE(3, 4)), *s = ad_full(g, AD_F64, -1, AD_SHAPE(2, 2));
    const ad_range ranges[] = { { .axis = 1, .start = 3, .stop = INT64_MIN, .step = -2 },
                                { .axis = 0, .start = 1, .stop = 3 } };
    ad_var *y = ad_slice_axes(x, 2, ranges), *z = ad_slice_scatter_axes(x, s, 2, ranges);
    const double want[] = { 7, 5, 11, 9 }; /* x[1:3, 3::-2] */
    for (int k = 0; k < 4; k++) assert_close(ad_at(y, k), want[k], 0);
    for (int k = 0; k < 12; k++) assert_close(ad_at(z, k), k == 5 || k == 7 || k == 9 || k == 11 ? -1 : k, 0);
    assert_shape(ad_slice_axes(x, 0, NULL), AD_SHAPE(3, 4));
    ad_var *w = ad_slice_scatter(x, ad_zeros(g, AD_F64, AD_SHAPE(1, 4)), 0, -1, INT64_MAX, 1);
    assert_close(ad_at(w, 7), 7, 0);
    assert_close(ad_at(w, 8), 0, 0);
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- split and chunk: PyTorch's counts for sizes 0..8 and arguments 1..5 ----------------------------------------- */

static void split_and_chunk_as_in_pytorch(void **state) {
    (void)state;
    const int chunks[9][5] = { { 1, 2, 3, 4, 5 }, { 1, 1, 1, 1, 1 }, { 1, 2, 2, 2, 2 }, { 1, 2, 3, 3, 3 },
                               { 1, 2, 2, 4, 4 },
                               { 1, 2, 3, 3, 5 }, { 1, 2, 3, 3, 3 }, { 1, 2, 3, 4, 4 }, { 1, 2, 3, 4, 4 } };
    ad_graph *g = ad_graph_new();
    ad_var *parts[8], *again[8];
    for (int n = 0; n <= 8; n++)
        for (int k = 1; k <= 5; k++) {
            ad_mark m = ad_begin(g);
            ad_var *x = numbers(g, AD_F32, AD_SHAPE(n));
            int count = ad_chunk(x, 0, k, parts);
            assert_int_equal(count, chunks[n][k - 1]);
            for (int i = 0; i < count; i++) assert_int_equal(ad_numel(parts[i]), ad_numel(parts[0]) * (i + 1) <= n
                ? ad_numel(parts[0]) : n - ad_numel(parts[0]) * i);
            for (int i = count; i < k; i++) assert_true(ad_is_nil(parts[i]));
            if (n > 0) assert_close(ad_at(ad_concat(count, parts, 0), n - 1), n - 1, 0);
            assert_int_equal(ad_split(x, 0, k, 8, again), n == 0 ? 1 : (n + k - 1) / k);
            assert_int_equal(ad_numel(again[0]), n < k ? n : k);
            ad_end(g, m);
        }
    assert_ok(g);
    ad_graph_free(g);
}

static void gradients_of_split(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_ones(g, AD_F32, AD_SHAPE(2, 6))), *parts[4];
    assert_int_equal(ad_split_sizes(x, -1, 4, (int64_t[]){ 2, 0, 3, 1 }, parts), 4);
    assert_shape(parts[1], AD_SHAPE(2, 0));
    ad_var *y = ad_add(ad_sum(parts[0]), ad_muls(ad_sum(parts[2]), 3));
    ad_backward(y);
    const double want[] = { 1, 1, 3, 3, 3, 0 };
    for (int k = 0; k < 12; k++) assert_close(ad_grad_at(x, k), want[k % 6], 0);
    ad_graph_free(g);
}

static void assert_failure(ad_graph *g, int rc, int code, const char *text) {
    assert_int_equal(rc, code);
    assert_int_equal(ad_error_code(g), code);
    assert_contains(ad_error(g), text);
    ad_clear_error(g);
}

static void bad_splits_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 6)), *parts[4], *nil = ad_select(x, 0, 9);
    const int64_t few[] = { 4, 1 }, negative[] = { 7, -1 };
    ad_clear_error(g);
    assert_failure(g, ad_split(x, 1, 1, 4, parts), AD_EVALUE,
                   "split: [2,6]: 6 parts of 1 along axis 1 exceed the capacity of 4");
    assert_failure(g, ad_split(x, 1, 0, 4, parts), AD_EVALUE, "split: [2,6]: parts of 0 elements");
    assert_failure(g, ad_split(x, 2, 1, 4, parts), AD_ESHAPE, "axis 2 is not in -2..1");
    assert_failure(g, ad_split(x, 1, 1, 4, NULL), AD_EVALUE, "parts must not be NULL");
    assert_failure(g, ad_chunk(x, 1, 0, parts), AD_EVALUE, "chunk: [2,6]: 0 chunks");
    assert_failure(g, ad_chunk(x, 1, -1, parts), AD_EVALUE, "chunk: [2,6]");
    assert_failure(g, ad_chunk(x, -3, 3, parts), AD_ESHAPE, "axis -3");
    assert_failure(g, ad_split_sizes(x, 1, 2, few, parts), AD_EVALUE,
                   "split_sizes: [2,6]: the sizes must be >= 0 and add up to 6");
    assert_failure(g, ad_split_sizes(x, 1, 2, negative, parts), AD_EVALUE, "split_sizes");
    assert_failure(g, ad_split_sizes(x, 4, 2, few, parts), AD_ESHAPE, "axis 4");
    assert_failure(g, ad_chunk(nil, 0, 2, parts), AD_EVALUE, "chunk: the Var is nil");
    assert_failure(g, ad_split(nil, 0, 2, 4, parts), AD_EVALUE, "split: the Var is nil");
    assert_failure(g, ad_split_sizes(nil, 0, 2, few, parts), AD_EVALUE, "split_sizes: the Var is nil");
    ad_graph_free(g);
}

/* ---- many operands, one Var as several operands ------------------------------------------------------------------ */

static void concat_and_stack_of_many_operands(void **state) {
    (void)state;
    enum { N = 5000 };
    ad_graph *g = ad_graph_new();
    ad_var **xs = calloc(N, sizeof *xs), **dxs = calloc(N, sizeof *dxs);
    for (int i = 0; i < N; i++) xs[i] = ad_require_grad(ad_full(g, AD_F32, i, AD_SHAPE(2)));
    ad_var *y = ad_concat(N, xs, 0), *z = ad_stack(N, xs, 1);
    assert_shape(y, AD_SHAPE(2 * N)); /* y[j] = j / 2 */
    assert_shape(z, AD_SHAPE(2, N));  /* element j of z, in row-major order, is j % N */
    ad_var *loss = ad_sum(ad_mul(ad_square(y), ad_flatten(z, 0, 1)));
    assert_int_equal(ad_backward(loss), AD_OK);
    assert_int_equal(ad_gradient(loss, N, xs, dxs), AD_OK);
    for (int i = 0; i < N; i += 499)
        for (int k = 0; k < 2; k++) {
            int in_y = 2 * i + k, in_z = k * N + i;
            double want = 2.0 * i * (in_y % N) + pow(in_z / 2, 2);
            assert_close(ad_grad_at(xs[i], k), want, 1e-6);
            assert_close(ad_at(dxs[i], k), want, 1e-6);
        }
    free(xs);
    free(dxs);
    ad_graph_free(g);
}

static void assert_grad(ad_var *x, ad_var *y, const double *seed, const double *want) {
    ad_zero_grad(y);
    ad_backward_from(y, index_of(x, seed, ad_shape_of(y)));
    for (int64_t k = 0; k < ad_numel(x); k++) assert_close(ad_grad_at(x, k), want[k], 0);
}

static void one_var_as_several_operands(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 0, 2 }, AD_SHAPE(3)), *xs[] = { x, x, x };
    const double w[] = { 1, 10, 100, 2, 20, 200, 3, 30, 300 };
    assert_grad(x, ad_concat(3, xs, 0), w, (double[]){ 6, 60, 600 });
    assert_grad(x, ad_stack(3, xs, 1), w, (double[]){ 111, 222, 333 });
    assert_grad(x, ad_slice_scatter(x, x, 0, 2, INT64_MIN, -1), w, (double[]){ 100, 10, 1 });
    assert_grad(x, ad_index_add(x, 0, x, x), w, (double[]){ 1 + 10, 10 + 1, 100 + 100 }); /* x is also the index */
    assert_grad(x, ad_take_axis(x, 0, x), w, (double[]){ 10, 1, 100 });
    assert_grad(x, ad_scatter_add(x, 0, x, x), w, (double[]){ 11, 11, 200 });
    assert_grad(x, ad_masked_fill(x, x, 5), w, (double[]){ 0, 10, 0 });
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- second derivatives ------------------------------------------------------------------------------------------ */

typedef struct {
    ad_var *(*f)(ad_var *);
} inner;

/* The gradient of a smooth function of f(x). Its gradient tests the vjp rules of the family. */
static ad_var *gradient_of(int n, ad_var *const xs[], void *user) {
    const inner *it = user;
    ad_var *y = it->f(xs[0]), *dx = NULL;
    ad_gradient(ad_sum(ad_mul(ad_mul(y, ad_square(y)), ad_sin(y))), n, xs, &dx);
    return dx;
}

static ad_var *put_row(ad_var *x) { return ad_slice_scatter(x, ad_square(ad_slice(x, 0, 0, 1, 1)), 0, 1, 2, 1); }
static ad_var *added_rows(ad_var *x) {
    return ad_index_add(x, 1, index_of(x, (double[]){ 2, 2, 0 }, AD_SHAPE(3)), ad_square(x));
}
static ad_var *padded(ad_var *x) { return ad_pad(x, AD_SHAPE(-1, 2), AD_SHAPE(1, 0), 0.5); }
static ad_var *masked(ad_var *x) { return ad_masked_fill(x, index_of(x, (double[]){ 0, 1, 0 }, AD_SHAPE(3)), 2); }
static ad_var *windows(ad_var *x) {
    ad_window w = { .kernel = { 2, 2 }, .padding = { 1, 0 } };
    return ad_col2im(ad_square(ad_im2col(ad_reshape(x, AD_SHAPE(1, 1, 2, 3)), w)), 2, 3, w);
}
static ad_var *stacked(ad_var *x) { return ad_stack(2, (ad_var *[]){ x, ad_square(x) }, 1); }
static ad_var *flipped(ad_var *x) { return ad_mul(ad_flip(x, 1), ad_roll(x, 1, 2)); }

static void second_derivatives(void **state) {
    (void)state;
    ad_var *(*const fs[])(ad_var *) = { tiled, interleaved, reflected, replicated, circular, selected, narrowed, taken,
                                        embedded, taken_along, gathered_part, scattered_part, flipped_all, put_row,
                                        added_rows, padded, masked, windows, stacked, flipped };
    for (int i = 0; i < COUNT(fs); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_of(g, AD_F64, (double[]){ .3, -.2, .5, .7, .1, -.4 }, AD_SHAPE(2, 3));
        ad_check_report report;
        if (ad_gradcheck(gradient_of, &(inner){ fs[i] }, 1, &x, NULL, &report))
            fail_msg("function %d: %s", i, report.message);
        ad_graph_free(g);
    }
}

/* ---- indices ----------------------------------------------------------------------------------------------------- */

static void bad_indices_are_reported(void **state) {
    (void)state;
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_zeros(g, (ad_dtype)t, AD_SHAPE(3, 2)), *src = ad_zeros(g, (ad_dtype)t, AD_SHAPE(2, 2));
        const double bad[] = { 3, -4, 0.5, NAN, INFINITY, -INFINITY, 1e30 };
        for (int i = 0; i < COUNT(bad); i++) {
            const double each[] = { 0, 1, 2, bad[i] };
            ad_var *index = index_of(x, each + 2, AD_SHAPE(2)), *all = index_of(x, each, AD_SHAPE(2, 2));
            assert_fails(g, ad_take_axis(x, 0, index), AD_EVALUE, "take_axis: [3,2] x [2]: index ");
            assert_fails(g, ad_embedding(x, index), AD_EVALUE, "at element 1 is not one of -3..2");
            assert_fails(g, ad_index_add(x, 0, index, src), AD_EVALUE, "index_add: [3,2] x [2] x [2,2]: index ");
            assert_fails(g, ad_gather(x, 0, all), AD_EVALUE, "at element 3 is not one of -3..2");
            assert_fails(g, ad_scatter_add(x, 0, all, src), AD_EVALUE, "at element 3 is not one of -3..2");
        }
        ad_graph_free(g);
    }
}

/* Each side alone fits into memory's addresses, and both together do not. */
static void pads_that_are_too_large_together(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const int64_t side = (int64_t)1 << 59;
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2));
    assert_fails(g, ad_pad(x, AD_SHAPE(side), AD_SHAPE(side), 0), AD_ESHAPE, "along axis 0 makes too many elements");
    assert_fails(g, ad_pad(x, AD_SHAPE(INT64_MAX), AD_SHAPE(INT64_MAX), 0), AD_ESHAPE, "along axis 0 makes too many elements");
    assert_fails(g, ad_pad(x, AD_SHAPE(INT64_MAX), AD_SHAPE(0), 0), AD_ESHAPE, "along axis 0 makes too many elements");
    assert_fails(g, ad_pad(x, AD_SHAPE(0), AD_SHAPE(INT64_MAX), 0), AD_ESHAPE, "along axis 0 makes too many elements");
    const ad_shape both = AD_SHAPE(side);
    assert_fails(g, ad_pad_replicate(x, both, both), AD_ESHAPE, "along axis 0 makes too many elements");
    ad_graph_free(g);
}

/* Indices in f64 for an array in f32, which holds no integer above 2^24 for certain. */
static void indices_above_2_24(void **state) {
    (void)state;
    if (test_quick()) skip();
    const int64_t n = ((int64_t)1 << 24) + 4;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(n));
    ((float *)ad_data_mut(x))[n - 3] = 7;
    double at = (double)(n - 3);
    ad_var *wide = ad_tensor(g, AD_F64, &at, AD_SHAPE(1)), *narrow = ad_cast(wide, AD_F32);
    ad_var *one = ad_ones(g, AD_F32, AD_SHAPE(1));
    assert_true(ad_at(narrow, 0) != at);
    assert_close(ad_item(ad_take(x, wide)), 7, 0);
    assert_close(ad_item(ad_gather(x, 0, wide)), 7, 0);
    assert_close(ad_at(ad_index_add(x, 0, wide, one), n - 3), 8, 0);
    assert_close(ad_at(ad_scatter(x, 0, wide, one), n - 3), 1, 0);
    assert_close(ad_item(ad_masked_select(x, x)), 7, 0);
    assert_close(ad_item(ad_index(x, 1, &wide)), 7, 0);
    const char *says = "f32 does not hold every integer from 2^24 on; give the indices as AD_F64";
    assert_fails(g, ad_take(x, narrow), AD_EVALUE, "index 16777216 at element 0: ");
    assert_fails(g, ad_gather(x, 0, narrow), AD_EVALUE, says);
    assert_fails(g, ad_scatter_add(x, 0, ad_neg(narrow), one), AD_EVALUE, says);
    assert_fails(g, ad_index_copy(x, 0, narrow, one), AD_EVALUE, says);
    ad_var *first = ad_full(g, AD_F32, -(double)n, AD_SHAPE(1));
    ad_var *before = ad_full(g, AD_F32, -(double)(n + 2), AD_SHAPE(1));
    assert_fails(g, ad_take(x, first), AD_EVALUE, says); /* the first element, counted from the end */
    assert_fails(g, ad_take(x, before), AD_EVALUE, "index -1.67772e+07 at element 0 is not one of -16777220..16777219");
    assert_fails(g, ad_nonzero(x), AD_ESHAPE, "f32 holds no index above 2^24");
    assert_fails(g, ad_index_add(x, 0, wide, ad_cast(one, AD_F64)), AD_EDTYPE, "x is f32 and src is f64");
    ad_graph_free(g);
}

/* An element of src that a later one replaces has no part in the result, and the slope 0. */
static void the_last_of_several_stays(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3));
    ad_var *src = ad_param(g, AD_F64, (double[]){ 4, 5, 6, 7 }, AD_SHAPE(4));
    ad_var *at = index_of(x, (double[]){ 2, 0, -1, 0 }, AD_SHAPE(4)), *d[2];
    ad_var *ys[] = { ad_index_copy(x, 0, at, src), ad_scatter(x, 0, at, src), ad_put_flat(x, at, src, false),
                     ad_index_put(x, 1, &at, src, false) };
    for (int i = 0; i < COUNT(ys); i++) {
        const double want[] = { 7, 2, 6 }, slopes[] = { 0, 0, 30, 10 };
        for (int k = 0; k < 3; k++) assert_close(ad_at(ys[i], k), want[k], 0);
        ad_var *w = ad_mul(ys[i], ad_tensor(g, AD_F64, (double[]){ 10, 20, 30 }, AD_SHAPE(3)));
        assert_int_equal(ad_gradient(ad_sum(w), 2, (ad_var *[]){ x, src }, d), AD_OK);
        for (int k = 0; k < 3; k++) assert_close(ad_at(d[0], k), k == 1 ? 20 : 0, 0);
        for (int k = 0; k < 4; k++) assert_close(ad_at(d[1], k), slopes[k], 0);
    }
    ad_graph_free(g);
}

/* The number of places is fixed when the graph is built. */
static void changed_masks_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, (float[]){ 1, 2, 3 }, AD_SHAPE(3)), *mask = ad_tensor(g, AD_F32, NULL, AD_SHAPE(3));
    set_all(mask, (double[]){ 1, 0, 1 });
    ad_var *y = ad_masked_select(x, mask), *s = ad_sum(y);
    assert_shape(y, AD_SHAPE(2));
    set_all(mask, (double[]){ 0, 5, 1 });
    assert_int_equal(ad_eval(s), AD_OK);
    assert_close(ad_item(s), 5, 0);
    set_all(mask, (double[]){ 0, 0, 1 });
    assert_int_equal(ad_eval(s), AD_EVALUE);
    assert_contains(ad_error(g), "1 elements are not 0, where 2 were; build the graph again");
    ad_graph_free(g);
}

/* ad_eval and ad_backward follow changed indices. A bad index is reported, and the graph works again after it. */
static void eval_after_changed_indices(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *w = param_of(g, AD_F32, (double[]){ 1, 2, 3, 4, 5, 6 }, AD_SHAPE(3, 2));
    ad_var *i = index_of(w, (double[]){ 0, 0 }, AD_SHAPE(2)), *y = ad_sum(ad_embedding(w, i));
    assert_close(ad_item(y), 6, 0);
    set_all(i, (double[]){ 2, 7 });
    assert_int_equal(ad_eval(y), AD_EVALUE);
    ad_clear_error(g);
    set_all(i, (double[]){ 2, 1 });
    assert_int_equal(ad_eval(y), AD_OK);
    assert_close(ad_item(y), 18, 0);
    assert_int_equal(ad_backward(y), AD_OK);
    for (int k = 0; k < 6; k++) assert_close(ad_grad_at(w, k), k < 2 ? 0 : 1, 0);
    ad_graph_free(g);
}

/* A naive f32 sum of 2e6 times 0.1f has a relative error of 1.5 %. */
static void long_f32_scatter_sums_are_accurate(void **state) {
    (void)state;
    int64_t n = test_quick() ? 20000 : 2000000;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_zeros(g, AD_F32, AD_SHAPE(2))), *src = ad_full(g, AD_F32, 0.1, AD_SHAPE(n));
    ad_var *index = ad_zeros(g, AD_F32, AD_SHAPE(n));
    double want = (double)0.1f * (double)n;
    assert_close(ad_at(ad_index_add(x, 0, index, src), 0), want, 1e-7);
    assert_close(ad_at(ad_scatter_add(x, 0, index, src), 0), want, 1e-7);
    ad_backward_from(ad_take_axis(x, 0, index), src);
    assert_close(ad_grad_at(x, 0), want, 1e-7);
    assert_close(ad_grad_at(x, 1), 0, 0);
    ad_graph_free(g);
}

static void mask_is_true_for_any_nonzero(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F64, (double[]){ NAN, 1, 2, INFINITY }, AD_SHAPE(4));
    ad_var *y = ad_masked_fill(x, index_of(x, (double[]){ 1, NAN, -0.0, 1e-300 }, AD_SHAPE(4)), -INFINITY);
    assert_close(ad_at(y, 0), -INFINITY, 0);
    assert_close(ad_at(y, 1), -INFINITY, 0); /* torch.tensor(nan).bool() is True */
    assert_close(ad_at(y, 2), 2, 0);
    assert_close(ad_at(y, 3), -INFINITY, 0);
    ad_backward_from(y, index_of(x, (double[]){ INFINITY, NAN, 3, 4 }, AD_SHAPE(4)));
    for (int k = 0; k < 4; k++) assert_close(ad_grad_at(x, k), k == 2 ? 3 : 0, 0);
    ad_graph_free(g);
}

/* An array longer than a chunk of the loop, with a broadcast mask. */
static void broadcast_mask_longer_than_a_chunk(void **state) {
    (void)state;
    enum { N = 37, M = 61 };
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_ones(g, AD_F32, AD_SHAPE(N, M))), *rows = ad_zeros(g, AD_F32, AD_SHAPE(N, 1));
    for (int i = 0; i < N; i += 3) ((float *)ad_data_mut(rows))[i] = 1;
    ad_var *y = ad_masked_fill(x, rows, 5);
    ad_backward(ad_sum(y));
    for (int k = 0; k < N * M; k++) {
        assert_close(ad_at(y, k), k / M % 3 ? 1 : 5, 0);
        assert_close(ad_grad_at(x, k), k / M % 3 ? 1 : 0, 0);
    }
    ad_graph_free(g);
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void bad_shapes_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *s = ad_zeros(g, AD_F64, AD_SCALAR),
        *v = ad_zeros(g, AD_F64, AD_SHAPE(4));
    ad_var *six = ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 1, 1, 1)), *f = ad_zeros(g, AD_F32, AD_SHAPE(2, 3));
    ad_var *mixed[] = { x, v }, *types[] = { x, f }, *scalars[] = { s, s }, *sixes[] = { six, six };
    const ad_range twice[] = { { 0, 0, 1, 1 }, { -2, 0, 1, 1 } };
    assert_fails(g, ad_slice(x, 2, 0, 1, 1), AD_ESHAPE, "slice: [2,3]: axis 2 is not in -2..1");
    assert_fails(g, ad_slice(s, 0, 0, 1, 1), AD_ESHAPE, "slice: []: axis 0 of a scalar");
    assert_fails(g, ad_slice(x, 1, 0, 1, 0), AD_EVALUE, "slice: [2,3]: the step along axis 1 must not be 0");
    assert_fails(g, ad_slice_axes(x, 2, twice), AD_ESHAPE, "axis 0 is named twice");
    assert_fails(g, ad_slice_axes(x, 7, twice), AD_ESHAPE, "7 axes given");
    assert_fails(g, ad_slice_axes(x, -1, twice), AD_EVALUE, "slice: [2,3]: the list of slices is NULL");
    assert_fails(g, ad_slice_axes(x, 1, NULL), AD_EVALUE, "slice: [2,3]: the list of slices is NULL");
    assert_fails(g, ad_slice_scatter(x, x, 1, 0, 2, 1), AD_ESHAPE, "slice_scatter: [2,3] x [2,3]: the slice is [2,2]");
    assert_fails(g, ad_slice_scatter(x, x, 1, 0, 2, 0), AD_EVALUE, "the step along axis 1 must not be 0");
    assert_fails(g, ad_select(x, 1, 3), AD_EVALUE, "select: [2,3]: index 3 is not in -3..2 of axis 1");
    assert_fails(g, ad_select(x, 1, -4), AD_EVALUE, "index -4");
    assert_fails(g, ad_select(s, 0, 0), AD_ESHAPE, "select: []: axis 0 of a scalar");
    assert_fails(g, ad_narrow(x, 1, 2, 2), AD_EVALUE,
                 "narrow: [2,3]: 2 elements from 2 on are outside axis 1 of size 3");
    assert_fails(g, ad_narrow(x, 1, 0, -1), AD_EVALUE, "narrow");
    assert_fails(g, ad_narrow(x, 1, -4, 1), AD_EVALUE, "narrow");
    assert_fails(g, ad_narrow(x, 1, 1, INT64_MAX), AD_EVALUE, "narrow");
    assert_fails(g, ad_narrow(x, 5, 0, 1), AD_ESHAPE, "narrow: [2,3]: axis 5");
    assert_fails(g, ad_squeeze_axis(x, 2), AD_ESHAPE, "squeeze: [2,3]: axis 2");
    assert_fails(g, ad_unsqueeze(x, 3), AD_ESHAPE, "unsqueeze: [2,3]: axis 3 is not in -3..2");
    assert_fails(g, ad_unsqueeze(six, 0), AD_ESHAPE, "unsqueeze: [1,1,1,1,1,1]: the result has more than 6");
    assert_fails(g, ad_flatten(x, 1, 0), AD_ESHAPE, "flatten: [2,3]: the start axis 1");
    assert_fails(g, ad_flatten(x, 0, 2), AD_ESHAPE, "flatten: [2,3]: axis 2");
    assert_fails(g, ad_tile(x, AD_SHAPE(2, -1)), AD_EVALUE, "tile: [2,3]: axis 1 cannot repeat -1 times");
    assert_fails(g, ad_tile(x, AD_SHAPE(INT64_MAX, 2)), AD_ESHAPE,
                 "tile: [2,3]: the result would have too many elements");
    assert_fails(g, ad_tile(x, (ad_shape){ .ndim = 7 }), AD_ESHAPE, "tile: [2,3]: cannot repeat along 7 axes");
    assert_fails(g, ad_repeat_interleave(x, 0, -2), AD_EVALUE, "repeat_interleave: [2,3]: axis 0 cannot repeat -2 times");
    assert_fails(g, ad_repeat_interleave(x, 0, INT64_MAX / 4), AD_ESHAPE, "too many elements");
    assert_fails(g, ad_repeat_interleave(x, 2, 2), AD_ESHAPE, "axis 2");
    assert_fails(g, ad_concat(2, mixed, 0), AD_ESHAPE,
                 "concat: [2,3] x [4]: operand 1 is [4]: all sizes but that of axis 0");
    assert_fails(g, ad_concat(2, scalars, 0), AD_ESHAPE, "concat: [] x []: axis 0 of a scalar");
    assert_fails(g, ad_concat(2, types, 0), AD_EDTYPE, "ad_cast");
    assert_fails(g, ad_stack(2, mixed, 0), AD_ESHAPE, "stack: [2,3] x [4]: operand 1 is [4]: all shapes must be equal");
    assert_fails(g, ad_stack(2, sixes, 0), AD_ESHAPE, "more than 6 dimensions");
    assert_fails(g, ad_stack(2, scalars, 1), AD_ESHAPE, "axis 1");
    assert_true(ad_is_nil(ad_concat(0, mixed, 0)));
    assert_fails(g, ad_flip(x, 2), AD_ESHAPE, "flip: [2,3]: axis 2");
    assert_fails(g, ad_flip_axes(x, 2, (int[]){ 1, -1 }), AD_ESHAPE, "axis 1 is named twice");
    assert_fails(g, ad_roll(x, -3, 1), AD_ESHAPE, "roll: [2,3]: axis -3");
    ad_graph_free(g);
}

static void bad_padding_is_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *none = ad_zeros(g, AD_F64, AD_SHAPE(0));
    assert_fails(g, ad_pad(x, AD_SHAPE(1), AD_SHAPE(1, 1), 0), AD_ESHAPE,
                 "pad: [2,3]: padding before 1 axes and after 2");
    assert_fails(g, ad_pad(x, AD_SHAPE(1, 1, 1), AD_SHAPE(1, 1, 1), 0), AD_ESHAPE, "at most 2");
    assert_fails(g, ad_pad(x, AD_SHAPE(-2), AD_SHAPE(-2), 0), AD_ESHAPE,
                 "padding of -2 and -2 leaves no size for axis 1, of 3");
    assert_fails(g, ad_pad(x, AD_SHAPE(INT64_MIN), AD_SHAPE(INT64_MAX), 0), AD_ESHAPE, "leaves no size");
    assert_fails(g, ad_pad(x, AD_SHAPE(INT64_MAX / 16), AD_SHAPE(0), 0), AD_ESHAPE, "too many elements");
    assert_fails(g, ad_pad_reflect(x, AD_SHAPE(2, 0), AD_SHAPE(0, 0)), AD_ESHAPE,
                 "pad_reflect: [2,3]: padding of 2 and 0 along axis 0 is not in 0..1");
    assert_fails(g, ad_pad_circular(x, AD_SHAPE(0), AD_SHAPE(4)), AD_ESHAPE, "is not in 0..3");
    assert_fails(g, ad_pad_replicate(x, AD_SHAPE(-1), AD_SHAPE(-3)), AD_ESHAPE,
                 "pad_replicate: [2,3]: padding of -1 and -3 leaves no size for axis 1");
    assert_fails(g, ad_pad_circular(x, AD_SHAPE(INT64_MIN), AD_SHAPE(0)), AD_ESHAPE, "leaves no size for axis 1");
    assert_fails(g, ad_pad_replicate(none, AD_SHAPE(1), AD_SHAPE(0)), AD_ESHAPE, "is not in 0..0");
    assert_fails(g, ad_pad_replicate(x, AD_SHAPE(1), AD_SCALAR), AD_ESHAPE,
                 "pad_replicate: [2,3]: padding before 1 axes and after 0");
    assert_fails(g, ad_pad_replicate(x, AD_SHAPE(INT64_MAX), AD_SHAPE(0)), AD_ESHAPE,
                 "pad_replicate: [2,3]: padding of 9223372036854775807 and 0 along axis 1 makes too many elements");
    assert_fails(g, ad_pad_replicate(x, AD_SHAPE(1), AD_SHAPE(INT64_MAX / 2)), AD_ESHAPE, "makes too many elements");
    ad_graph_free(g);
}

/* Every function that takes a shape gets shapes with too few or too many dimensions and with sizes that are negative
   or too large. */
static void bad_shape_arguments_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3));
    const int64_t huge = (int64_t)1 << 40;
    const ad_shape bad[] = { { .ndim = 7 },       { .ndim = 100000 },        { .ndim = INT32_MAX },
                             { .ndim = -1 },      { .ndim = INT32_MIN },       { 2, { 2, -5 } },
                             { 3, { -7, 2, 3 } }, { 3, { huge, huge, -1 } }, { 4, { huge, huge, 2, 3 } } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(g, ad_sum_to(x, bad[i]), AD_ESHAPE, "sum_to: [2,3]: to ");
        assert_fails(g, ad_reshape(x, bad[i]), AD_ESHAPE, "reshape: [2,3]: 6 elements do not fit");
        assert_fails(g, ad_expand(x, bad[i]), AD_ESHAPE, "expand: [2,3]: ");
        assert_fails(g, ad_permute(x, bad[i]), AD_ESHAPE, "permute: [2,3]: ");
        if (bad[i].ndim >= 0 && bad[i].ndim <= AD_MAX_NDIM) continue;
        assert_fails(g, ad_tile(x, bad[i]), AD_ESHAPE, "tile: [2,3]: cannot repeat along");
        assert_fails(g, ad_pad(x, bad[i], bad[i], 0), AD_ESHAPE, "pad: [2,3]: padding before");
        assert_fails(g, ad_pad_reflect(x, bad[i], bad[i]), AD_ESHAPE, "pad_reflect: [2,3]: padding before");
    }
    assert_fails(g, ad_sum_to(x, AD_SHAPE(4, 2, 3)), AD_ESHAPE, "sum_to: [2,3]: [4,2,3] does not broadcast to it");
    assert_fails(g, ad_sum_to(x, bad[0]), AD_ESHAPE, "of 7 dimensions; a shape has 0 to 6 of them");
    ad_graph_free(g);
}

/* After an error, ops that could return their operand must return nil too. */
static void every_op_is_nil_after_an_error(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3));
    const ad_shape none = AD_SHAPE(0, 0);
    assert_true(ad_pad_circular(x, none, none) == x && ad_sum_to(x, AD_SHAPE(2, 3)) == x);
    assert_true(ad_is_nil(ad_slice(x, 5, 0, 1, 1)));
    ad_var *const made[] = {
        ad_sum_to(x, AD_SHAPE(2, 3)),  ad_sum_to(x, AD_SCALAR),        ad_pad_reflect(x, none, none),
        ad_pad(x, none, none, 0),      ad_pad_circular(x, none, none), ad_pad_replicate(x, none, none),
        ad_squeeze(x),                 ad_squeeze_axis(x, 0),          ad_unsqueeze(x, 0),
        ad_flatten(x, 0, 0),           ad_tile(x, AD_SHAPE(1)),        ad_repeat_interleave(x, 0, 1),
        ad_expand(x, AD_SHAPE(2, 3)),  ad_reshape(x, AD_SHAPE(2, 3)),  ad_permute(x, AD_SHAPE(0, 1)),
        ad_cast(x, AD_F64),            ad_concat(1, &x, 0),            ad_narrow(x, 0, 0, 2),
        ad_select(x, 0, 0),            ad_roll(x, 0, 0),               ad_flip_axes(x, 0, (int[]){ 0 }),
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) assert_true(ad_is_nil(made[i]));
    assert_fails(g, made[0], AD_ESHAPE, "slice: [2,3]: axis 5");
    ad_graph_free(g);
}

/* An array without elements may have a NULL pointer. */
static void empty_arrays_without_memory(void **state) {
    (void)state;
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_require_grad(ad_input(g, (ad_dtype)t, NULL, AD_SHAPE(2, 0, 3)));
        ad_var *index = ad_zeros(g, (ad_dtype)t, AD_SHAPE(2)), *each = ad_zeros(g, (ad_dtype)t, AD_SHAPE(2, 0, 3));
        ad_var *const made[] = { ad_transpose(x),
                                 ad_permute(x, AD_SHAPE(2, 1, 0)),
                                 ad_expand(ad_reshape(x, AD_SHAPE(2, 1, 0, 3)), AD_SHAPE(2, 4, 0, 3)),
                                 ad_tile(x, AD_SHAPE(2, 1)),
                                 ad_cast(x, AD_F32),
                                 ad_cast(x, AD_F64),
                                 ad_slice(x, 0, 1, INT64_MIN, -1),
                                 ad_slice_scatter(x, ad_slice(x, 0, 0, 1, 1), 0, 1, 2, 1),
                                 ad_concat(2, (ad_var *[]){ x, x }, 2),
                                 ad_stack(2, (ad_var *[]){ x, x }, 1),
                                 ad_pad(x, AD_SHAPE(1, 1), AD_SHAPE(0, 1), 2),
                                 ad_flip_axes(x, -1, NULL),
                                 ad_roll(x, 2, 1),
                                 ad_take_axis(x, 0, index),
                                 ad_index_add(x, 0, index, x),
                                 ad_gather(x, 0, each),
                                 ad_scatter_add(x, 0, each, x),
                                 ad_masked_fill(x, ad_zeros(g, (ad_dtype)t, AD_SHAPE(3)), 1),
                                 ad_diagonal(x, 0),
                                 ad_diag_embed(x, 1),
                                 ad_tril(x, 0),
                                 ad_sum_axis(x, 0, false),
                                 ad_sum_axis(x, 1, false),
                                 ad_mean(x),
                                 ad_prod_axis(x, 2, true) };
        for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
            if (!ad_ok(g)) fail_msg("case %d: %s", (int)i, ad_error(g));
            assert_int_equal(ad_backward_from(made[i], ad_ones(g, ad_dtype_of(made[i]), ad_shape_of(made[i]))), AD_OK);
            assert_int_equal(ad_eval(made[i]), AD_OK);
        }
        ad_graph_free(g);
    }
}

static void bad_operands_of_indexing_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *v = ad_zeros(g, AD_F64, AD_SHAPE(4)),
        *s = ad_zeros(g, AD_F64, AD_SCALAR);
    ad_var *four = ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 1)), *deep = ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 2));
    ad_var *nil = ad_slice(x, 9, 0, 0, 1);
    ad_clear_error(g);
    assert_fails(g, ad_take_axis(x, 2, v), AD_ESHAPE, "take_axis: [2,3] x [4]: axis 2");
    assert_fails(g, ad_take_axis(deep, 0, four), AD_ESHAPE, "7 dimensions, more than 6");
    assert_fails(g, ad_take(x, ad_full(g, AD_F64, 6, AD_SCALAR)), AD_EVALUE, "not one of -6..5");
    assert_fails(g, ad_index_select(x, 0, x), AD_ESHAPE, "index_select: [2,3]: index has 2 dimensions, not 1");
    assert_fails(g, ad_embedding(v, v), AD_ESHAPE, "embedding: [4]: the weight must be [n,d]");
    assert_fails(g, ad_index_add(x, 1, v, x), AD_ESHAPE, "index_add: [2,3] x [4] x [2,3]: src must be [2,4]");
    assert_fails(g, ad_index_add(x, 2, v, x), AD_ESHAPE, "axis 2");
    assert_fails(g, ad_gather(x, 0, v), AD_ESHAPE, "gather: [2,3] x [4]: index must have x's dimensions");
    assert_fails(g, ad_gather(x, 0, ad_zeros(g, AD_F64, AD_SHAPE(2, 4))), AD_ESHAPE,
                 "and be no larger except along axis 0");
    assert_fails(g, ad_gather(x, 7, x), AD_ESHAPE, "axis 7");
    assert_fails(g, ad_gather(s, 0, s), AD_ESHAPE, "scalar");
    assert_fails(g, ad_scatter_add(x, 0, x, v), AD_ESHAPE,
                 "scatter_add: [2,3] x [2,3] x [4]: src must have the shape of index");
    assert_fails(g, ad_scatter_add(x, 0, v, v), AD_ESHAPE, "index must have x's dimensions");
    assert_fails(g, ad_take_along(x, 0, v), AD_ESHAPE, "take_along: [2,3]: index must have as many dimensions");
    assert_fails(g, ad_take_along(x, 0, ad_zeros(g, AD_F64, AD_SHAPE(1, 2))), AD_ESHAPE,
                 "broadcast with x except along axis 0");
    assert_fails(g, ad_take_along(x, 2, x), AD_ESHAPE, "take_along: [2,3]: axis 2");
    assert_fails(g, ad_masked_fill(x, v, 0), AD_ESHAPE, "masked_fill: [2,3] x [4]: x and the mask must broadcast");
    assert_shape(ad_masked_fill(v, ad_zeros(g, AD_F64, AD_SHAPE(2, 4)), 0), AD_SHAPE(2, 4));
    assert_fails(g, ad_index_copy(x, 1, v, x), AD_ESHAPE, "index_copy: [2,3] x [4] x [2,3]: src must be [2,4]");
    assert_fails(g, ad_scatter(x, 0, x, v), AD_ESHAPE, "scatter: [2,3] x [2,3] x [4]: src must have the shape");
    assert_fails(g, ad_scatter_reduce(x, 0, x, x, (ad_scatter_kind)5, true), AD_EVALUE, "5 is no reduction");
    assert_fails(g, ad_index_reduce(x, 0, v, x, AD_SCATTER_PROD, true), AD_ESHAPE, "index_reduce: [2,3]: src must be");
    assert_fails(g, ad_index_fill(x, 2, v, 0), AD_ESHAPE, "index_fill: [2,3]: axis 2");
    assert_fails(g, ad_put_flat(x, v, x, true), AD_ESHAPE, "put_flat: [2,3]: src must have the shape of index");
    assert_fails(g, ad_index(x, 3, (ad_var *[]){ v, v, v }), AD_EVALUE, "index: [2,3]: 3 arrays of indices for 2 axes");
    assert_fails(g, ad_index(x, 2, (ad_var *[]){ NULL, NULL }), AD_EVALUE, "no array of indices is given");
    assert_fails(g, ad_index(x, 2, (ad_var *[]){ v, ad_zeros(g, AD_F64, AD_SHAPE(3)) }), AD_ESHAPE, "do not broadcast");
    assert_fails(g, ad_index(x, 2, (ad_var *[]){ ad_ones(g, AD_F64, AD_SHAPE(2)), ad_full(g, AD_F64, 3, AD_SHAPE(2)) }),
                 AD_EVALUE, "the index of axis 1 is not one of -3..2");
    assert_fails(g, ad_index_put(x, 1, &s, v, false), AD_ESHAPE, "values [4] do not broadcast to the indexed part [3]");
    assert_fails(g, ad_masked_select(x, v), AD_ESHAPE, "masked_select: [2,3] x [4]: x and mask do not broadcast");
    assert_fails(g, ad_masked_scatter(x, ad_ones(g, AD_F64, AD_SHAPE(2, 3)), v), AD_ESHAPE, "6 elements that are not");
    assert_fails(g, ad_embedding_with(x, v, 2), AD_EVALUE, "embedding_with: [2,3]: padding_idx 2 is not one of -2..1");
    ad_var *(*const fs[])(ad_var *) = { ad_squeeze, tiled, interleaved, reflected, selected, narrowed };
    for (int i = 0; i < COUNT(fs); i++) assert_fails(g, fs[i](nil), AD_EVALUE, ": the Var is nil");
    assert_fails(g, ad_gather(x, 0, nil), AD_EVALUE, "gather: the Var is nil");
    assert_fails(g, ad_scatter_add(x, 0, x, nil), AD_EVALUE, "scatter_add: the Var is nil");
    assert_fails(g, ad_take_along(nil, 0, x), AD_EVALUE, "take_along: the Var is nil");
    assert_fails(g, ad_index_select(x, 0, nil), AD_EVALUE, "index_select: the Var is nil");
    assert_fails(g, ad_embedding(nil, x), AD_EVALUE, "embedding: the Var is nil");
    assert_fails(g, ad_unsqueeze(nil, 0), AD_EVALUE, "unsqueeze: the Var is nil");
    assert_fails(g, ad_flatten(nil, 0, 0), AD_EVALUE, "flatten: the Var is nil");
    assert_fails(g, ad_squeeze_axis(nil, 0), AD_EVALUE, "squeeze: the Var is nil");
    assert_true(ad_is_nil(ad_squeeze(NULL)));
    ad_graph_free(g);
}

static void bad_windows_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(1, 1, 4, 4)), *m = ad_zeros(g, AD_F32, AD_SHAPE(4, 9));
    const ad_window two = { .kernel = { 2, 2 } };
    assert_fails(g, ad_im2col(m, two), AD_ESHAPE, "im2col: [4,9]: takes images [n,c,h,w]");
    assert_fails(g, ad_im2col(x, (ad_window){ .kernel = { 0, 2 } }), AD_EVALUE,
                 "im2col: [1,1,4,4]: kernel 0 is not in 1..2147483647");
    assert_fails(g, ad_im2col(x, (ad_window){ .kernel = { 2, 2 }, .stride = { 1, -1 } }), AD_EVALUE,
                 "stride -1 is not in 1..2147483647");
    assert_fails(g, ad_im2col(x, (ad_window){ .kernel = { 2, 2 }, .padding = { -1, 0 } }), AD_EVALUE,
                 "padding -1 is not in 0..2147483647");
    assert_fails(g, ad_im2col(x, (ad_window){ .kernel = { 2, 2 }, .dilation = { 1, (int64_t)1 << 40 } }), AD_EVALUE,
                 "dilation 1099511627776 is not in 1..2147483647");
    assert_fails(g, ad_im2col(x, (ad_window){ .kernel = { 5, 2 } }), AD_ESHAPE,
                 "a window of 5 by 2, with its dilation, does not fit");
    assert_fails(g, ad_im2col(x, (ad_window){ .kernel = { 2, 2 }, .dilation = { 1, 4 } }), AD_ESHAPE, "does not fit");
    assert_fails(g, ad_im2col(x, (ad_window){ .kernel = { INT32_MAX, INT32_MAX },
                                              .padding = { INT32_MAX, INT32_MAX } }),
                 AD_ESHAPE, "too many elements");
    assert_fails(g, ad_col2im(x, 4, 4, two), AD_ESHAPE, "col2im: [1,1,4,4]: takes columns");
    assert_fails(g, ad_col2im(m, 4, -4, two), AD_EVALUE, "an image's size -4 is not in 0..2147483647");
    assert_fails(g, ad_col2im(m, 4, 5, two), AD_ESHAPE,
                 "col2im: [4,9]: the window makes columns [c*4, 12] of such an image");
    assert_fails(g, ad_col2im(m, 1, 1, two), AD_ESHAPE, "does not fit");
    assert_fails(g, ad_col2im(m, 4, 4, (ad_window){ .kernel = { 3, 3 }, .padding = { 1, 0 } }), AD_ESHAPE, "[c*9, 8]");
    ad_graph_free(g);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

/* A strided view of x: permuted axes, steps that may be negative or 0, and the offset of its first element. */
typedef struct {
    ad_shape box, big;
    int64_t from[AD_MAX_NDIM], to[AD_MAX_NDIM], at;
} view;

static view random_view(uint64_t *seed) {
    view r = { .big.ndim = next_below(seed, 5) };
    int64_t own[AD_MAX_NDIM];
    bool flat = r.big.ndim <= 2; /* large enough for several tiles */
    for (int i = 0; i < r.big.ndim; i++) r.big.dim[i] = 1 + next_below(seed, flat ? 70 : 9);
    ad__row_major(r.big, own);
    r.box = r.big;
    for (int i = 0, turn = next_below(seed, 4); i < r.big.ndim; i++) {
        int axis = (i + turn) % r.big.ndim, step = 1 + next_below(seed, 4) / 3;
        bool reversed = next_below(seed, 3) == 0, repeated = next_below(seed, 8) == 0;
        r.box.dim[i] = (r.big.dim[axis] + step - 1) / step;
        r.from[i] = repeated ? 0 : own[axis] * (reversed ? -step : step);
        if (reversed) r.at += own[axis] * (r.big.dim[axis] - 1);
    }
    ad__row_major(r.box, r.to);
    return r;
}

/* The index in x of element k of the view. */
static int64_t place_in(const view *r, int64_t k) {
    int64_t place = r->at;
    for (int i = r->box.ndim - 1; i >= 0; k /= r->box.dim[i--]) place += k % r->box.dim[i] * r->from[i];
    return place;
}

/* Copies of both dtypes in both directions, with random sizes. All numbers are integers, so sums are exact. */
static void strided_copies_against_plain_indexing(void **state) {
    (void)state;
    uint64_t seed = 5;
    enum { MOST = 40000 };
    static float x[MOST], y[MOST], back[MOST], want[MOST];
    static double x64[MOST], y64[MOST], back64[MOST];
    for (int trial = 0; trial < 3000; trial++) {
        view r = random_view(&seed);
        int64_t n = ad_shape_numel(r.box), whole = ad_shape_numel(r.big);
        for (int64_t i = 0; i < whole; i++) {
            x64[i] = x[i] = (float)(i + 1);
            back64[i] = back[i] = want[i] = 1;
        }
        for (int64_t k = 0; k < n; k++) y64[k] = y[k] = (float)(k % 5);
        ad__copy_plan p = ad__copy_plan_of(r.big.ndim, r.box.dim, r.from, r.to), reverse = ad__copy_plan_back(&p);
        ad__copy_add(&p, AD_F32, x, r.at, y, 0), ad__copy_add(&p, AD_F64, x64, r.at, y64, 0);
        for (int64_t k = 0; k < n; k++)
            if (y[k] != x[place_in(&r, k)] + (float)(k % 5) || y64[k] != (double)y[k])
                fail_msg("trial %d, copy_add: element %d is %g (f32) and %g (f64)", trial, (int)k, y[k], y64[k]);
        ad__copy(&p, AD_F32, x, r.at, y, 0), ad__copy(&p, AD_F64, x64, r.at, y64, 0);
        for (int64_t k = 0; k < n; k++) {
            int64_t place = place_in(&r, k);
            if (y[k] != x[place] || y64[k] != x64[place])
                fail_msg("trial %d: element %d is %g (f32) and %g (f64), not %g", trial, (int)k, y[k], y64[k], x[place]);
            y[k] = (float)(k % 3), y64[k] = y[k], want[place] += y[k];
        }
        ad__copy_add(&reverse, AD_F32, y, 0, back, r.at), ad__copy_add(&reverse, AD_F64, y64, 0, back64, r.at);
        assert_memory_equal(back, want, (size_t)whole * sizeof *want);
        for (int64_t i = 0; i < whole; i++) assert_true(back64[i] == (double)want[i]);
    }
}

/* The arrays of an empty box may be NULL. A box of sizes 1 has one element. */
static void copies_of_empty_and_one_element_boxes(void **state) {
    (void)state;
    const ad__copy_plan none = ad__copy_plan_of(2, (int64_t[]){ 3, 0 }, (int64_t[]){ 0, 1 }, (int64_t[]){ 0, 1 });
    const ad__copy_plan one = ad__copy_plan_of(2, (int64_t[]){ 1, 1 }, (int64_t[]){ 5, 1 }, (int64_t[]){ 7, 1 });
    double x[] = { 1, 2 }, y[] = { 3, 4 };
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad__copy(&none, (ad_dtype)t, NULL, 8, NULL, 8);
        ad__copy_add(&none, (ad_dtype)t, NULL, 8, NULL, 8);
    }
    ad__copy(&one, AD_F64, x, 1, y, 0);
    ad__copy_add(&one, AD_F64, x, 0, y, 1);
    assert_true(y[0] == 2 && y[1] == 5);
}

/* im2col and col2im are adjoint: <im2col(x), y> = <x, col2im(y)>. im2col_add adds to its result. */
static void im2col_and_col2im_are_adjoint(void **state) {
    (void)state;
    uint64_t seed = 11;
    for (int trial = 0; trial < 300; trial++) {
        ad__window_of w = { .c = 1 + next_below(&seed, 3) };
        for (int i = 0; i < 2; i++)
            do {
                w.in[i] = 1 + next_below(&seed, 20), w.kernel[i] = 1 + next_below(&seed, 4),
                    w.stride[i] = 1 + next_below(&seed, 3);
                w.padding[i] = next_below(&seed, 4), w.dilation[i] = 1 + next_below(&seed, 3);
                w.out[i] = ad__window_places(w.in[i], w.kernel[i], w.stride[i], w.padding[i], w.dilation[i]);
            } while (w.out[i] < 1);
        int64_t n = w.c * w.in[0] * w.in[1], m = w.c * w.kernel[0] * w.kernel[1] * w.out[0] * w.out[1];
        double *x = calloc((size_t)n, sizeof *x), *sum = calloc((size_t)n, sizeof *sum), left = 0, right = 0;
        double *columns = calloc((size_t)m, sizeof *columns), *y = calloc((size_t)m, sizeof *y);
        for (int64_t i = 0; i < n; i++) x[i] = next_below(&seed, 9) - 4;
        for (int64_t i = 0; i < m; i++) y[i] = next_below(&seed, 9) - 4, columns[i] = NAN;
        ad__image_im2col_f64(&w, x, columns);
        ad__image_col2im_add_f64(&w, y, sum);
        for (int64_t i = 0; i < m; i++) left += columns[i] * y[i];
        for (int64_t i = 0; i < n; i++) right += x[i] * sum[i];
        assert_close(left, right, 0);
        for (int64_t i = 0; i < m; i++) y[i] += columns[i];
        ad__image_im2col_add_f64(&w, x, columns); /* columns become twice as large */
        for (int64_t i = 0; i < m; i++) left -= (columns[i] / 2) * (y[i] - columns[i] / 2);
        assert_close(left, 0, 0);
        free(x), free(sum), free(columns), free(y);
    }
}

/* An array of the most axes there are, by the definition: y[i0, i1, ..] = x at those indices in the order of x's axes. */
static void permute_of_the_most_axes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const ad_shape s = AD_SHAPE(2, 3, 1, 2, 2, 3);
    ad_var *x = ad_arange(g, AD_F64, 0, 72, 1), *whole = ad_reshape(x, s);
    uint64_t seed = 1;
    for (int round = 0; round < 50; round++) {
        ad_shape order = { .ndim = 6, .dim = { 0, 1, 2, 3, 4, 5 } };
        for (int i = 5; i > 0; i--) {
            int j = next_below(&seed, i + 1);
            int64_t held = order.dim[i];
            order.dim[i] = order.dim[j], order.dim[j] = held;
        }
        ad_var *y = ad_permute(whole, order);
        for (int64_t at = 0; at < 72; at++) {
            int64_t index[6], rest = at, from = 0;
            for (int i = 5; i >= 0; i--) {
                index[order.dim[i]] = rest % s.dim[order.dim[i]];
                rest /= s.dim[order.dim[i]];
            }
            for (int i = 0; i < 6; i++) from = from * s.dim[i] + index[i];
            assert_close(ad_at(y, at), (double)from, 0);
        }
    }
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permute_of_the_most_axes),
        cmocka_unit_test(values_and_gradients_as_in_pytorch),
        cmocka_unit_test(scatter_add_with_a_larger_src),
        cmocka_unit_test(shapes_as_in_pytorch),
        cmocka_unit_test(expand_copies_special_values),
        cmocka_unit_test(slices_as_in_python),
        cmocka_unit_test(slices_of_several_axes),
        cmocka_unit_test(split_and_chunk_as_in_pytorch),
        cmocka_unit_test(gradients_of_split),
        cmocka_unit_test(bad_splits_are_reported),
        cmocka_unit_test(concat_and_stack_of_many_operands),
        cmocka_unit_test(one_var_as_several_operands),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(bad_indices_are_reported),
        cmocka_unit_test(pads_that_are_too_large_together),
        cmocka_unit_test(indices_above_2_24),
        cmocka_unit_test(the_last_of_several_stays),
        cmocka_unit_test(changed_masks_are_reported),
        cmocka_unit_test(eval_after_changed_indices),
        cmocka_unit_test(long_f32_scatter_sums_are_accurate),
        cmocka_unit_test(mask_is_true_for_any_nonzero),
        cmocka_unit_test(broadcast_mask_longer_than_a_chunk),
        cmocka_unit_test(bad_shapes_are_reported),
        cmocka_unit_test(bad_padding_is_reported),
        cmocka_unit_test(bad_shape_arguments_are_reported),
        cmocka_unit_test(every_op_is_nil_after_an_error),
        cmocka_unit_test(empty_arrays_without_memory),
        cmocka_unit_test(bad_operands_of_indexing_are_reported),
        cmocka_unit_test(bad_windows_are_reported),
        cmocka_unit_test(strided_copies_against_plain_indexing),
        cmocka_unit_test(copies_of_empty_and_one_element_boxes),
        cmocka_unit_test(im2col_and_col2im_are_adjoint),
    };
    return cmocka_run_group_tests_name("shape ops", tests, NULL, NULL);
}
