/* test_compile_random.c: compiled programs beside ad_backward on random graphs: of numbers, to the bit, and of arrays.
   AD_COMPILE_GRAPHS=N in the environment runs N of each. */
#include "autodiff/extend.h"
#include "ops/compile.h"
#include "tests/common.h"

static const ad_compile_opts fresh = { .no_cache = true };

/* Under an emulator the system's compiler makes code for another processor, unless TEST_CC names one that does not. */
static void need_compiler(void) {
    if (getenv("TEST_UNDER") && !getenv("TEST_CC")) skip();
}

static int rounds(int usual) {
    const char *given = getenv("AD_COMPILE_GRAPHS");
    return given ? atoi(given) : test_quick() ? 3 : usual;
}

/* ---- graphs of numbers with repetitions, at random --------------------------------------------------------------- */

enum { LEAVES = 12, STEPS = 200, BODY = 12, MOST_OPS = 100000 };

static uint32_t draw(uint64_t *seed, uint32_t n) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % n;
}

/* One op of a random kind. */
static ad_var *random_op(uint32_t kind, ad_var *a, ad_var *b, double k) {
    switch (kind) {
    case 0: return ad_add(a, b);
    case 1: return ad_mul(a, b);
    case 2: return ad_sub(a, b);
    case 3: return ad_sin(a);
    case 4: return ad_tanh(a);
    case 5: return ad_muls(a, k);
    case 6: return ad_adds(ad_square(ad_tanh(a)), k);
    case 7: return ad_div(a, ad_adds(ad_square(b), 1));
    case 8: return ad_where(ad_gt(a, b), a, b);
    default: return ad_sigmoid(a);
    }
}

/* A body of random ops is repeated. Its operands are leaves, which go on by a stride or are drawn; results of the body;
   and results of the repetition before. */
typedef struct {
    uint32_t kind[BODY], from[BODY][2], at[BODY][2];
    double k[BODY];
} body;

static body draw_body(uint64_t *seed, int n) {
    body b;
    for (int i = 0; i < n; i++) {
        b.kind[i] = draw(seed, 10), b.k[i] = draw(seed, 3) ? 0.5 : 0.25 * draw(seed, 5);
        for (int o = 0; o < 2; o++) b.from[i][o] = draw(seed, 5), b.at[i][o] = draw(seed, LEAVES);
    }
    return b;
}

static ad_var *operand(const body *b, int i, int o, int r, ad_var *const x[], ad_var *const now[],
                       ad_var *const before[], int n, uint64_t *seed) {
    uint32_t at = b->at[i][o];
    switch (b->from[i][o]) {
    case 0: return x[at];
    case 1: return x[(at + (uint32_t)r) % LEAVES];
    case 2: return i > 0 ? now[at % (uint32_t)i] : x[at];
    case 3: return before[at % (uint32_t)n];
    default: return draw(seed, 8) ? x[at] : x[draw(seed, LEAVES)];
    }
}

static ad_var *random_graph(uint64_t *seed, ad_var *const x[]) {
    int n = 2 + (int)draw(seed, BODY - 2);
    int steps = 1 + (int)draw(seed, draw(seed, 8) ? STEPS : MOST_OPS / 2 / (uint32_t)n);
    ad_var *now[BODY], *before[BODY], *total = x[0];
    for (int i = 0; i < n; i++) before[i] = x[i % LEAVES];
    for (int part = 0; part < 2; part++) {
        body b = draw_body(seed, n);
        for (int r = 0; r < steps; r++) {
            for (int i = 0; i < n; i++)
                now[i] = random_op(b.kind[i], operand(&b, i, 0, r, x, now, before, n, seed),
                                   operand(&b, i, 1, r, x, now, before, n, seed), b.k[i]);
            for (int i = 0; i < n; i++) before[i] = now[i];
            total = ad_add(ad_muls(total, 0.75), now[n - 1]);
        }
    }
    return total;
}

static void random_graphs_give_the_same_bits(void **state) {
    (void)state;
    need_compiler();
    uint64_t seed = 2026;
    int evaluated = 0;
    for (int round = 0; round < rounds(4); round++) {
        ad_graph *g = ad_graph_new();
        ad_var *x[LEAVES];
        double memory[LEAVES], y;
        void *out[LEAVES + 1] = { &y };
        for (int i = 0; i < LEAVES; i++) {
            double value = 0.1 * draw(&seed, 30) - 1.5;
            x[i] = ad_param(g, AD_F64, &value, AD_SCALAR);
            out[1 + i] = &memory[i];
        }
        ad_var *total = random_graph(&seed, x);
        ad_program *p = ad_compile_gradient(total, LEAVES, x, fresh);
        if (strcmp(ad_program_how(p), "compiled") != 0) {
            assert_string_equal(ad_program_how(p), "evaluated: too much code, as few loops were found in it");
            evaluated++;
            ad_graph_free(g);
            continue;
        }
        assert_int_equal(ad_run(p, NULL, out, NULL), AD_OK);
        assert_int_equal(ad_backward(total), AD_OK);
        if (y != ad_item(total) && !isnan(y)) fail_msg("round %d: %.17g, %.17g", round, y, ad_item(total));
        for (int i = 0; i < LEAVES; i++)
            if (memory[i] != ad_grad_item(x[i]) && !isnan(memory[i]))
                fail_msg("round %d, leaf %d: %.17g, %.17g", round, i, memory[i], ad_grad_item(x[i]));
        ad_graph_free(g);
    }
    assert_true(evaluated * 10 <= rounds(4)); /* large graphs in which little repeats */
}

/* ---- graphs of arrays -------------------------------------------------------------------------------------------- */

enum { ARRAYS = 40, GRAPHS = 6, PARAMETERS = 3 * GRAPHS };

/* An array of the list, of random shape at the beginning. */
typedef struct {
    uint64_t seed;
    ad_graph *g;
    ad_dtype t;
    ad_var *all[ARRAYS];
    int n;
} arrays;

static ad_var *any(arrays *a) { return a->all[draw(&a->seed, (uint32_t)a->n)]; }

static ad_shape random_shape(uint64_t *seed) {
    static const int64_t sizes[] = { 1, 2, 3, 5, 17, 40, 70 };
    ad_shape s = { .ndim = 1 + (int)draw(seed, 3) };
    for (int i = 0; i < s.ndim; i++) s.dim[i] = sizes[draw(seed, s.ndim == 3 ? 5 : 7)];
    return s;
}

/* An array that broadcasts with x: of its last axes, some of size 1. */
static ad_var *partner(arrays *a, ad_var *x) {
    ad_shape s = ad_shape_of(x), r = { .ndim = 0 };
    if (draw(&a->seed, 2) && a->n > 1)
        for (int i = a->n; i-- > 0;)
            if (ad_shape_equal(ad_shape_of(a->all[i]), s) && a->all[i] != x) return a->all[i];
    int from = s.ndim ? (int)draw(&a->seed, (uint32_t)s.ndim) : 0;
    for (int i = from; i < s.ndim; i++) r.dim[r.ndim++] = draw(&a->seed, 4) ? s.dim[i] : 1;
    ad_var *y = ad_zeros(a->g, a->t, r);
    for (int64_t k = 0; k < ad_numel(y); k++) ad_write_element(a->t, ad_data_mut(y), k, sin((double)(k + a->n)));
    return y;
}

/* x with elements that differ by their places: equal ones may be computed by a vector function and a scalar one, whose
   last bits differ, and which of them is the larger one would decide about the gradient. */
static ad_var *spread(arrays *a, ad_var *x) {
    ad_var *by = ad_zeros(a->g, a->t, ad_shape_of(x));
    for (int64_t k = 0; k < ad_numel(by); k++) ad_write_element(a->t, ad_data_mut(by), k, 0.37 * sin(2.7 * (double)k));
    return ad_add(x, by);
}

static ad_var *of_two(arrays *a, ad_var *x) {
    ad_var *y = partner(a, x);
    switch (draw(&a->seed, 5)) {
    case 0: return ad_add(x, y);
    case 1: return ad_mul(x, y);
    case 2: return ad_sub(y, x);
    case 3: return ad_where(ad_gt(spread(a, x), y), ad_expand(y, ad_shape_of(x)), x);
    default: return ad_div(x, ad_adds(ad_square(y), 1));
    }
}

static ad_var *of_one(arrays *a, ad_var *x) {
    switch (draw(&a->seed, 5)) {
    case 0: return ad_tanh(x);
    case 1: return ad_exp(ad_muls(ad_tanh(x), 0.3));
    case 2: return ad_sigmoid(ad_muls(x, 0.7));
    case 3: return ad_square(ad_sin(x));
    default: return ad_muls(x, 0.5);
    }
}

static ad_var *reduced(arrays *a, ad_var *x) {
    int axis = (int)draw(&a->seed, (uint32_t)ad_shape_of(x).ndim);
    bool keep = draw(&a->seed, 2);
    switch (draw(&a->seed, 6)) {
    case 0: return ad_sum_axis(ad_tanh(x), axis, keep);
    case 1: return ad_mean_axis(x, axis, keep);
    case 2: return ad_max_axis(spread(a, x), axis, keep);
    case 3: return ad_logsumexp_axis(x, axis, keep);
    case 4: return ad_softmax(x, axis);
    default: return ad_log_softmax(x, axis);
    }
}

static ad_var *moved(arrays *a, ad_var *x) {
    ad_shape s = ad_shape_of(x);
    int axis = (int)draw(&a->seed, (uint32_t)s.ndim);
    int64_t n = s.dim[axis], from = draw(&a->seed, (uint32_t)n), step = 1 + (int64_t)draw(&a->seed, 2);
    ad_var *part = ad_slice(x, axis, from, n, step);
    switch (draw(&a->seed, 6)) {
    case 0: return part;
    case 1: return ad_slice_scatter(x, ad_tanh(part), axis, from, n, step);
    case 2: return s.ndim > 1 ? ad_permute(x, s.ndim == 2 ? AD_SHAPE(1, 0) : AD_SHAPE(2, 0, 1)) : x;
    case 3: return ad_concat(2, (ad_var *[]){ part, ad_muls(x, 0.5) }, axis);
    case 4: return ad_pad(x, AD_SHAPE(1), AD_SHAPE(2), 0.25);
    default: return ad_reshape(x, AD_SHAPE(ad_numel(x)));
    }
}

static ad_var *product(arrays *a, ad_var *x) {
    ad_shape s = ad_shape_of(x);
    ad_var *w = ad_zeros(a->g, a->t, AD_SHAPE(1 + draw(&a->seed, 20), s.dim[s.ndim - 1]));
    for (int64_t k = 0; k < ad_numel(w); k++) ad_write_element(a->t, ad_data_mut(w), k, 0.3 * sin(1.7 * (double)k));
    ad_var *b = ad_full(a->g, a->t, 0.1, AD_SHAPE(ad_shape_of(w).dim[0]));
    return draw(&a->seed, 2) ? ad_affine(x, w, draw(&a->seed, 2) ? b : NULL) : ad_matmul(x, ad_transpose(w));
}

static ad_var *random_array(arrays *a) {
    ad_var *x = any(a);
    if (ad_shape_of(x).ndim == 0 || ad_numel(x) > 20000) return of_one(a, a->all[0]);
    switch (draw(&a->seed, 6)) {
    case 0: return reduced(a, x);
    case 1: return moved(a, x);
    case 2: return product(a, x);
    case 3: return of_one(a, x);
    default: return of_two(a, x);
    }
}

/* The mean of the squares of some arrays that begin with three parameters. */
static ad_var *array_graph(arrays *a, ad_var *xs[3]) {
    ad_var *total = NULL;
    a->n = 0;
    for (int i = 0; i < 3; i++) {
        ad_shape s = i == 2 ? ad_shape_of(xs[1]) : random_shape(&a->seed);
        xs[i] = a->all[a->n++] = ad_param(a->g, a->t, NULL, s);
        for (int64_t k = 0; k < ad_numel(xs[i]); k++)
            ad_write_element(a->t, ad_data_mut(xs[i]), k, 0.01 * draw(&a->seed, 300) - 1.5);
    }
    while (a->n < ARRAYS) a->all[a->n] = random_array(a), a->n++;
    for (int i = 0; i < ARRAYS; i += 3) {
        ad_var *part = ad_mean(ad_square(a->all[ARRAYS - 1 - i]));
        total = total ? ad_add(total, part) : part;
    }
    return total;
}

/* Records a graph by the numbers that follow the seed, and sets xs to its parameters. */
typedef ad_var *build_fn(uint64_t *seed, ad_graph *g, ad_dtype t, ad_var *xs[]);

/* Several graphs are one program, so that the compiler is called less often. */
static ad_var *build_arrays(uint64_t *seed, ad_graph *g, ad_dtype t, ad_var *xs[]) {
    arrays a = { .seed = *seed, .g = g, .t = t };
    ad_var *total = NULL;
    for (int k = 0; k < GRAPHS; k++) {
        ad_var *part = array_graph(&a, xs + 3 * k);
        total = total ? ad_add(total, part) : part;
    }
    *seed = a.seed;
    return total;
}

/* How far numbers are from the gradient of x, as a part of its largest element, or of 1. got NULL: those of y. */
static double distance(ad_var *x, ad_dtype t, const void *got, ad_var *y) {
    double largest = 1, far = 0;
    for (int64_t k = 0; k < ad_numel(x); k++) {
        double is = got ? ad_read_element(t, got, k) : ad_grad_at(y, k), wanted = ad_grad_at(x, k);
        largest = fmax(largest, fabs(wanted));
        if (!(fabs(is - wanted) <= far)) far = fabs(is - wanted);
    }
    return far / largest;
}

/* In some graphs, rounding errors grow. Then the program may be as far from the graph in f64 as backward is. */
static void compare_in_f64(build_fn *build, uint64_t seed, int n, ad_var *const xs[], void *const got[], int round) {
    ad_graph *g = ad_graph_new();
    ad_var *zs[PARAMETERS];
    assert_int_equal(ad_backward(build(&seed, g, AD_F64, zs)), AD_OK);
    for (int i = 0; i < n; i++) {
        double program = distance(zs[i], AD_F32, got[i], NULL), backward = distance(zs[i], AD_F32, NULL, xs[i]);
        if (!(program <= 3 * backward + 2e-5))
            fail_msg("round %d, gradient %d: the program is wrong by %g, backward by %g", round, i, program, backward);
    }
    ad_graph_free(g);
}

/* A program of the graph beside ad_backward. Sums of f32 may overflow in a program, so huge results are passed over. */
static void compare_with_backward(build_fn *build, uint64_t *seed, int n, ad_dtype t, void *const memory[], int round) {
    const uint64_t first = *seed;
    const double tol = t == AD_F32 ? 2e-5 : 1e-13;
    ad_graph *g = ad_graph_new();
    ad_var *xs[PARAMETERS], *total = build(seed, g, t, xs);
    double y;
    void *out[1 + PARAMETERS] = { &y };
    memcpy(out + 1, memory, (size_t)n * sizeof *out);
    assert_ok(g);
    ad_program *p = ad_compile_gradient(total, n, xs, fresh);
    assert_ok(g);
    assert_string_equal(ad_program_how(p), "compiled");
    assert_null(strstr(ad_program_source(p), "host->call("));
    assert_int_equal(ad_run(p, NULL, out, NULL), AD_OK);
    assert_int_equal(ad_backward(total), AD_OK);
    if (fabs(ad_item(total)) < 1e30) {
        double far = 0;
        for (int i = 0; i < n; i++) far = fmax(far, distance(xs[i], t, memory[i], NULL));
        if (t == AD_F32 && far > tol) {
            compare_in_f64(build, first, n, xs, memory, round);
        } else {
            assert_close(ad_read_element(t, &y, 0), ad_item(total), tol);
            if (!(far <= tol)) fail_msg("round %d: a gradient is wrong by %g", round, far);
        }
    }
    ad_graph_free(g);
}

static void random_arrays_have_the_same_gradients(void **state) {
    (void)state;
    need_compiler();
    static char memory[PARAMETERS][40 * 40 * 17 * sizeof(double)];
    void *to[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++) to[i] = memory[i];
    uint64_t seed = 1918;
    for (int round = 0; round < rounds(3); round++) {
        memset(memory, 0xff, sizeof memory);
        compare_with_backward(build_arrays, &seed, PARAMETERS, round % 2 ? AD_F32 : AD_F64, to, round);
    }
}

/* ---- stencils: arrays computed again and again from parts of themselves at shifted places ------------------------ */

enum { MOST_POINTS = 110 };

/* A formula of parts of u of m elements, which begin at up to `reach`. */
static ad_var *of_parts(uint64_t *seed, ad_var *u, int64_t m, uint32_t reach) {
    ad_var *y = NULL;
    for (int k = 2 + (int)draw(seed, 3); k > 0; k--) {
        int64_t from = draw(seed, reach + 1);
        ad_var *part = ad_slice(u, 0, from, from + m, 1);
        if (draw(seed, 2)) part = ad_muls(part, 0.25 + 0.1 * draw(seed, 3));
        if (draw(seed, 6) == 0) part = ad_tanh(part);
        if (y == NULL) y = part;
        else if (draw(seed, 5) == 0) y = ad_muls(ad_mul(y, part), 0.4);
        else y = draw(seed, 2) ? ad_add(y, part) : ad_sub(y, part);
    }
    return draw(seed, 2) ? ad_muls(y, 0.4) : y;
}

/* Every second element of u is replaced. What replaces them is read at shifted places, too. */
static ad_var *with_every_second(ad_var *u, int64_t lo) {
    int64_t n = ad_numel(u);
    ad_var *v = ad_muls(ad_slice(u, 0, lo, n, 2), 0.9);
    int64_t m = ad_numel(v) - 2;
    ad_var *w = ad_add(ad_muls(ad_slice(v, 0, 0, m, 1), 0.3), ad_slice(v, 0, 2, m + 2, 1));
    u = ad_add(ad_muls(u, 0.6), ad_pad(ad_muls(w, 0.2), AD_SHAPE(lo), AD_SHAPE(n - lo - m), 0));
    return ad_slice_scatter(u, v, 0, lo, n, 2);
}

/* u with a new middle, from element lo on; hi elements are left at the end. */
static ad_var *with_middle(uint64_t *seed, ad_var *u, ad_var *middle, int64_t lo, int64_t hi) {
    int64_t n = ad_numel(u);
    switch (draw(seed, 7)) {
    case 0:
        if (lo == 0 || hi == 0) return ad_slice_scatter(u, middle, 0, lo, n - hi, 1);
        return ad_concat(3, (ad_var *[]){ ad_slice(u, 0, 0, lo, 1), middle, ad_slice(u, 0, n - hi, n, 1) }, 0);
    case 1: return ad_pad(middle, AD_SHAPE(lo), AD_SHAPE(hi), 0.25);
    case 2: return ad_add(ad_muls(u, 0.7), ad_pad(middle, AD_SHAPE(hi), AD_SHAPE(lo), 0));
    case 3: return with_every_second(u, lo);
    default: return ad_slice_scatter(u, middle, 0, lo, n - hi, 1);
    }
}

/* Steps of a few kinds in turn, so that they repeat. */
static ad_var *stencil_graph(uint64_t *seed, ad_var *u) {
    int kinds = 1 + (int)draw(seed, 2), steps = draw(seed, 3) ? 1 + (int)draw(seed, 8) : 50;
    uint64_t kind[2] = { draw(seed, 1u << 30), draw(seed, 1u << 30) };
    ad_var *y = ad_sum(ad_square(u));
    for (int t = 0; t < steps; t++) {
        uint64_t own = kind[t % kinds];
        int64_t lo = draw(&own, 5), hi = draw(&own, 5), m = ad_numel(u) - lo - hi;
        u = with_middle(&own, u, of_parts(&own, u, m, (uint32_t)(lo + hi)), lo, hi);
        if (draw(&own, 4) == 0) y = ad_add(y, ad_mean(ad_tanh(ad_slice(u, 0, lo, lo + m, 1))));
        if (draw(seed, 16) == 0) y = ad_add(y, ad_mean(u));
    }
    return ad_add(y, ad_mean(ad_square(u)));
}

static ad_var *build_stencils(uint64_t *seed, ad_graph *g, ad_dtype t, ad_var *xs[]) {
    ad_var *total = NULL;
    for (int i = 0; i < GRAPHS; i++) {
        xs[i] = ad_param(g, t, NULL, AD_SHAPE(12 + draw(seed, MOST_POINTS - 12)));
        for (int64_t k = 0; k < ad_numel(xs[i]); k++)
            ad_write_element(t, ad_data_mut(xs[i]), k, 0.01 * draw(seed, 300) - 1.5);
        ad_var *part = stencil_graph(seed, xs[i]);
        total = total ? ad_add(total, part) : part;
    }
    return total;
}

static void random_stencils_have_the_same_gradients(void **state) {
    (void)state;
    need_compiler();
    double memory[GRAPHS][MOST_POINTS];
    void *to[GRAPHS];
    for (int i = 0; i < GRAPHS; i++) to[i] = memory[i];
    uint64_t seed = 500;
    for (int round = 0; round < rounds(3); round++)
        compare_with_backward(build_stencils, &seed, GRAPHS, round % 2 ? AD_F32 : AD_F64, to, round);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_give_the_same_bits),
        cmocka_unit_test(random_arrays_have_the_same_gradients),
        cmocka_unit_test(random_stencils_have_the_same_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
