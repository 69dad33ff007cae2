/* test_malloc.c: malloc itself fails at each call in turn, also for other libraries and for threads: an error that can be
   cleared, no leak, nothing half changed. AD_TEST_ALL=1 tries every call, otherwise a sample of them. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include <errno.h>
#include <link.h>
#include <stdatomic.h>

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

#if defined(__GLIBC__) && !defined(SANITIZED) && !defined(__SANITIZE_THREAD__)
#define CAN_FAIL 1
#else
#define CAN_FAIL 0
#endif

/* ---- the allocator of the whole program -------------------------------------------------------------------- */

static struct {
    atomic_bool armed;
    atomic_long calls, failures, live; /* while armed; live: blocks, always counted */
    long at;                           /* the call that fails, counted from 0; -1: none */
    bool on;                           /* every later call fails too */
    bool small;                        /* no large blocks, so that the graph asks for each of its pieces */
    uintptr_t blas, blas_end;          /* the code of the BLAS */
} memory = { .at = -1 };

#if CAN_FAIL

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t), __libc_free(void *);

/* OpenBLAS's kernels for small matrices use what malloc returns without a look (0.3.21, on processors with AVX-512): its
   own calls do not fail. */
static int find_blas(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size, (void)data;
    if (strstr(info->dlpi_name, "blas") == NULL) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && end > memory.blas_end) memory.blas_end = end;
    }
    memory.blas = info->dlpi_addr;
    return 1;
}

static bool is_refused(size_t n, const void *caller) {
    enum { LARGE = 64 << 10 };
    if (!memory.armed || ((uintptr_t)caller >= memory.blas && (uintptr_t)caller < memory.blas_end)) return false;
    if (memory.small && n >= LARGE) return errno = ENOMEM, true;
    long call = memory.calls++;
    if (memory.at < 0 || (memory.on ? call < memory.at : call != memory.at)) return false;
    memory.failures++;
    errno = ENOMEM;
    return true;
}

static void *counted(void *block) {
    if (block != NULL) memory.live++;
    return block;
}

#define REFUSED(n) is_refused(n, __builtin_return_address(0))
void *malloc(size_t n) { return REFUSED(n) ? NULL : counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t size) { return REFUSED(n * size) ? NULL : counted(__libc_calloc(n, size)); }
void *aligned_alloc(size_t align, size_t n) { return REFUSED(n) ? NULL : counted(__libc_memalign(align, n)); }
void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n) { return aligned_alloc(align, n); }
int posix_memalign(void **to, size_t align, size_t n) {
    void *block = REFUSED(n) ? NULL : counted(__libc_memalign(align, n));
    if (block != NULL) *to = block;
    return block ? 0 : ENOMEM;
}
void free(void *block) {
    if (block != NULL) memory.live--;
    __libc_free(block);
}
void *realloc(void *block, size_t n) {
    if (block != NULL && n == 0) return free(block), NULL;
    if (REFUSED(n)) return NULL;
    return block ? __libc_realloc(block, n) : counted(__libc_malloc(n));
}

/* valgrind calls functions of its own instead of some of ours. */
static bool is_called(void) {
    void *(*volatile take)(size_t, size_t) = aligned_alloc; /* not to be inlined */
    long before = memory.live;
    void *block = take(64, 64);
    bool counted = memory.live > before;
    free(block);
    return counted;
}

static void get_ready(void) {
    if (!is_called()) skip();
    dl_iterate_phdr(find_blas, NULL);
}

#else
static void get_ready(void) { skip(); }
#endif

static void arm(long at, bool on) {
    memory.calls = memory.failures = 0;
    memory.at = at;
    memory.on = on;
    memory.armed = true;
}
static void disarm(void) { memory.armed = false; }

/* ---- work: what is tried ------------------------------------------------------------------------------------ */

/* Computes in a scope of g and returns a hash of the results. Whatever it finds half done, it reports by assertions,
   after disarm(). */
typedef uint64_t work_fn(ad_graph *g);

static uint64_t hash(uint64_t h, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_values(uint64_t h, const ad_var *x) {
    return hash(h, ad_data(x), (size_t)ad_numel(x) * ad_dtype_size(ad_dtype_of(x)));
}

static uint64_t hash_net(uint64_t h, const nn_module *m) {
    for (int i = 0; m != NULL && i < nn_parameter_count(m); i++) h = hash_values(h, nn_parameter_at(m, i).var);
    return h;
}

/* ---- each op -------------------------------------------------------------------------------------------------- */

static const ad_sample_case *sample;
static bool sample_has_gradient;

static uint64_t apply_sample(ad_graph *g) {
    ad_var *in[16], *dx[16];
    for (int i = 0; i < sample->n; i++) {
        in[i] = sample_has_gradient ? ad_param(g, AD_F64, NULL, sample->shapes[i])
                                    : ad_tensor(g, AD_F64, NULL, sample->shapes[i]);
        if (!ad_is_nil(in[i]) && ad_numel(in[i]) > 0) ad_set(in[i], sample->values[i]);
    }
    ad_var *y = ad_apply(sample->type, sample->n, in, sample->attrs);
    uint64_t h = hash_values(0, y);
    if (!sample_has_gradient || !ad_ok(g)) return h;
    ad_var *s = ad_sum(y);
    ad_backward(s);
    for (int i = 0; i < sample->n; i++)
        if (ad_grad(in[i]) != NULL) h = hash(h, ad_grad(in[i]), (size_t)ad_numel(in[i]) * sizeof(double));
    if (ad_gradient(s, sample->n, in, dx) == AD_OK)
        for (int i = 0; i < sample->n; i++) h = hash_values(h, dx[i]);
    ad_eval(s);
    return h;
}

/* ---- functional forms -------------------------------------------------------------------------------------------- */

static ad_var *product(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(ad_sin(xs[0]), xs[0]);
}

static uint64_t derivatives(ad_graph *g) {
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 0.5, 2 }, AD_SHAPE(3)), *v = ad_ones(g, AD_F64, AD_SHAPE(3)),
           *out = NULL;
    ad_var *y = ad_sum(ad_exp(ad_square(x)));
    uint64_t h = hash_values(0, ad_hessian(y, x));
    if (ad_hvp(y, 1, &x, &v, &out) == AD_OK) h = hash_values(h, out);
    h = hash_values(h, ad_jvp(ad_exp(x), 1, &x, &v));
    h = hash_values(h, ad_jacobian(ad_exp(x), x));
    ad_var *s = ad_sum(ad_checkpoint(product, NULL, 1, &x));
    ad_backward(s);
    if (ad_gradient(s, 1, &x, &out) == AD_OK) h = hash_values(h, out);
    h = hash_values(h, ad_hessian(s, x));
    ad_objective *o = ad_objective_new(y, 1, &x);
    double at[] = { 0.25, 0.5, 1 }, d[3] = { 0 };
    if (o != NULL) ad_value_and_gradient(at, d, o);
    ad_residuals *r = ad_residuals_new(ad_exp(x), 1, &x);
    double values[3] = { 0 }, j[9] = { 0 };
    if (r != NULL) ad_values_and_jacobian(at, values, j, r);
    return hash(hash(h, d, sizeof d), j, sizeof j);
}

static uint64_t long_chain(ad_graph *g) {
    ad_var *x = param_item(g, AD_F64, 0.5), *y = x, *unused = x;
    for (int i = 0; i < 1000; i++) y = i % 3 ? ad_adds(ad_muls(y, 0.5), 1) : ad_add(y, ad_mul(x, y));
    for (int i = 0; i < 300; i++) unused = ad_sin(unused);
    y = ad_mul(ad_add(y, unused), x);
    ad_backward(y);
    ad_name(x, "x");
    FILE *none = fopen("/dev/null", "w");
    if (none != NULL) {
        ad_dump_dot(y, none);
        ad_print(y, none);
        fclose(none);
    }
    return hash(hash_values(0, y), ad_grad(x), ad_grad(x) ? sizeof(double) : 0);
}

static uint64_t threads(ad_graph *g) {
    ad_set_threads(g, 3);
    ad_var *x = ad_full(g, AD_F32, 0.5, AD_SHAPE(80, 80));
    ad_require_grad(x);
    ad_var *y = ad_sum(ad_exp(ad_matmul(x, ad_muls(x, 0.01))));
    ad_backward(y);
    uint64_t h = hash_values(0, y);
    if (ad_grad(x) != NULL) h = hash(h, ad_grad(x), (size_t)ad_numel(x) * sizeof(float));
    ad_set_threads(g, 1);
    return h;
}

/* ---- training ------------------------------------------------------------------------------------------------------ */

enum { ROWS = 40 };

static nn_module *net_of(ad_graph *g) { return nn_mlp(g, AD_F64, 3, (int64_t[]){ 3, 8, 2 }, ad_tanh); }

static nn_dataset data_of(ad_graph *g) {
    return (nn_dataset){ ad_randn(g, AD_F64, AD_SHAPE(ROWS, 3)), ad_randn(g, AD_F64, AD_SHAPE(ROWS, 2)) };
}

/* A step that fails moves nothing. */
static uint64_t training_steps(ad_graph *g) {
    nn_module *net = net_of(g);
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.01, .amsgrad = true });
    nn_dataset d = data_of(g);
    for (int i = 0; i < 3 && ad_ok(g); i++) {
        ad_mark m = ad_begin(g);
        ad_var *loss = nn_mse(nn_apply(net, d.x), d.y);
        nn_zero_grad(opt);
        ad_backward(loss);
        uint64_t before = hash_net(0, net);
        if (nn_step(opt) != AD_OK) assert_true(hash_net(0, net) == before);
        ad_end(g, m);
    }
    return hash_net(0, net);
}

static ad_var *last_time(ad_var *x) { return ad_select(x, 1, -1); }

static uint64_t layers(ad_graph *g) {
    nn_conv_opts conv = { .in = 1, .out = 2, .kernel = 3, .padding = 1 };
    nn_module *image =
        nn_sequential(g, nn_conv2d(g, AD_F32, conv), nn_batch_norm(g, AD_F32, 2, (nn_batch_norm_opts){ 0 }), nn_relu(g),
                      nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }), nn_flatten(g), nn_dropout(g, 0.5),
                      nn_linear(g, AD_F32, 8, 3, true));
    nn_module *words = nn_sequential(g, nn_embedding(g, AD_F32, 5, 4),
                                     nn_lstm(g, AD_F32, (nn_rnn_opts){ .in = 4, .hidden = 3, .layers = 2 }),
                                     nn_function(g, last_time));
    nn_dataset d = { ad_randn(g, AD_F32, AD_SHAPE(6, 1, 4, 4)), ad_zeros(g, AD_F32, AD_SHAPE(6)) };
    nn_module *copy = nn_copy(image);
    ad_var *loss = nn_cross_entropy(nn_apply(copy, d.x), d.y);
    ad_backward(ad_add(loss, ad_sum(nn_apply(words, ad_zeros(g, AD_F32, AD_SHAPE(2, 3))))));
    uint64_t h = hash_values(hash_net(0, copy), nn_predict(image, d.x, 4));
    nn_evaluation e = nn_evaluate(image, nn_cross_entropy, nn_accuracy, d, 4);
    return hash(hash_values(h, loss), &e, sizeof e);
}

typedef struct {
    nn_module *net;
    nn_dataset d;
} problem;

static ad_var *loss_of(void *data) {
    const problem *p = data;
    return nn_mse(nn_apply(p->net, p->d.x), p->d.y);
}

static uint64_t lbfgs(ad_graph *g) {
    problem p = { net_of(g), data_of(g) };
    nn_optim *opt = nn_lbfgs(p.net, (nn_lbfgs_opts){ .max_iter = 4 });
    if (opt != NULL) nn_step_closure(opt, loss_of, &p, NULL);
    return hash_net(0, p.net);
}

static uint64_t loaders(ad_graph *g) {
    nn_dataset d = data_of(g);
    uint64_t h = 0;
    nn_loader *l = nn_loader_new(g, d, (nn_loader_opts){ .batch = 16, .prefetch = 2 });
    ad_var *x, *y;
    while (l != NULL && nn_loader_next(l, &x, &y)) h = hash_values(h, x);
    nn_parts parts = nn_split(d, (nn_split_opts){ .validation = 0.25, .seed = 1 });
    return hash_values(h, nn_scale(nn_fit_standard(parts.train.x), parts.train.x));
}

/* In this order: with a checkpoint it resumes the training before, which is the same one. */
static uint64_t fit(ad_graph *g) {
    char text[400] = "";
    nn_module *net = net_of(g);
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.01 });
    nn_dataset d = data_of(g);
    nn_fit_opts o = { .epochs = 2, .batch = 16, .prefetch = 1, .clip_norm = 1, .validation = d, .patience = 5 };
    o.log = path_of("log.csv");
    o.checkpoint = path_of("checkpoint");
    if (opt != NULL) o.schedule = nn_exponential_lr(opt, 0.9);
    int rc = nn_fit(net, nn_mse, opt, d, o, NULL);
    disarm();
    FILE *f = fopen(o.log, "r");
    if (f != NULL) {
        size_t n = fread(text, 1, sizeof text - 1, f);
        assert_true(n == 0 || text[n - 1] == '\n'); /* whole rows */
        fclose(f);
    }
    assert_true(rc == AD_OK || rc == ad_error_code(g) || net == NULL || opt == NULL);
    unlink(o.log);
    unlink(o.checkpoint);
    return hash_net(0, net);
}

static ad_var *array(ad_graph *g, double start) { return ad_arange(g, AD_F64, start, start + 3000, 1); }

static void double_input(nn_module *m, int n, ad_var *x[], void *data) {
    (void)m, (void)n, (void)data;
    x[0] = ad_muls(x[0], 2);
}
static int count_module(nn_module *m, const char *path, void *data) {
    (void)m, (void)path;
    return ++*(int *)data, 0;
}

/* Hooks end with the scope; a replacement is made or not. */
static uint64_t parts_of_modules(ad_graph *g) {
    nn_module *net = net_of(g), *with = nn_mlp(g, AD_F64, 3, (int64_t[]){ 8, 4, 2 }, ad_tanh);
    int n = 0, rc = nn_replace_module(net, "2", with);
    if (net != NULL) assert_int_equal(nn_find_module(net, "2") == with && with != NULL, rc == AD_OK);
    nn_hook_before(net, double_input, NULL);
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3)), *y = NULL;
    nn_apply_n(net, 1, &x, 1, &y);
    nn_each_module(net, count_module, &n);
    return hash(hash_values(hash_net(0, net), y), &n, sizeof n);
}

/* After an error the net has its own weights, not the averages. */
static uint64_t averaged_fit(ad_graph *g) {
    nn_module *norm = nn_batch_norm(g, AD_F64, 8, (nn_batch_norm_opts){ 0 });
    nn_module *net = nn_sequential(g, nn_linear(g, AD_F64, 3, 8, true), norm, nn_linear(g, AD_F64, 8, 2, true));
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.01, .momentum = 0.9 });
    nn_average *a = nn_average_new(net, (nn_average_opts){ .decay = 0.5 });
    nn_dataset d = data_of(g);
    nn_mix mix = { .alpha = 0.5 };
    nn_fit_opts o = { .epochs = 1, .batch = 8, .accumulate = 2, .validation = d, .average = a };
    o.mix = nn_mixup, o.mix_data = &mix, o.checkpoint = path_of("averages");
    if (a != NULL) nn_fit(net, nn_mse, opt, d, o, NULL);
    uint64_t before = hash_net(0, net);
    nn_update_statistics(net, d.x, 16);
    nn_find_rate(net, nn_mse, opt, d, (nn_rate_opts){ .steps = 5, .batch = 8 }, NULL);
    assert_true(hash_net(0, net) == before);
    if (nn_average_swap(a) == AD_OK && ad_ok(g)) before = hash_net(before, net);
    disarm();
    unlink(path_of("averages"));
    return before;
}

static uint64_t stream(ad_graph *g) {
    nn_row_stream s = { nn_map_npy(g, path_of("rows")), nn_map_npy(g, path_of("rows")), .batch = 500 };
    ad_var *x, *y;
    uint64_t h = 0;
    for (int64_t i = 0; nn_stream_rows(g, 1, i, &x, &y, &s); i++) h = hash_values(h, x);
    return h;
}

/* ---- files --------------------------------------------------------------------------------------------------- */

/* After a call that failed there is the old file or the new one, and nothing else. */
static void assert_whole(double old, double new, ad_var *load(ad_graph *g)) {
    ad_graph *g = ad_graph_new();
    ad_var *x = load(g);
    assert_ok(g);
    assert_true(ad_at(x, 0) == old || ad_at(x, 0) == new);
    assert_true(ad_at(x, 2999) == ad_at(x, 0) + 2999);
    assert_int_equal(files_in_folder(), 1);
    ad_graph_free(g);
}

static nn_module *holder(ad_graph *g, double start) {
    nn_module *m = nn_module_new(g, "holder", (nn_forward_fn *)nn_apply, 0);
    if (m != NULL) nn_add_parameter(m, "x", array(g, start));
    return m;
}

static ad_var *read_net(ad_graph *g) {
    nn_module *m = holder(g, 7);
    if (m == NULL || nn_load(m, path_of("a")) != AD_OK) return ad_nil(g);
    return nn_find_parameter(m, "x");
}
static ad_var *read_npy(ad_graph *g) { return nn_load_npy(g, AD_F64, path_of("a")); }
static ad_var *read_npz(ad_graph *g) { return nn_load_npz(g, AD_F64, path_of("a"), "x"); }

static uint64_t save_net(ad_graph *g) {
    nn_module *m = holder(g, 2);
    int rc = nn_save(m, path_of("a"));
    disarm();
    assert_whole(rc == AD_OK ? 2 : 1, 2, read_net);
    return 1;
}

static uint64_t save_npy(ad_graph *g) {
    int rc = nn_save_npy(array(g, 2), path_of("a"));
    disarm();
    assert_whole(rc == AD_OK ? 2 : 1, 2, read_npy);
    return 1;
}

static uint64_t save_npz(ad_graph *g) {
    ad_var *x[2] = { array(g, 2), ad_ones(g, AD_F32, AD_SHAPE(2, 2)) };
    int rc = nn_save_npz(path_of("a"), 2, (const char *[]){ "x", "y" }, x);
    disarm();
    assert_whole(rc == AD_OK ? 2 : 1, 2, read_npz);
    return 1;
}

/* A model has the elements of an array somewhere, as they are in memory: start, start + 1, .. */
static ad_var *read_onnx(ad_graph *g) {
    enum { BYTES = 1 << 16 };
    static char bytes[BYTES];
    double values[3000];
    FILE *f = fopen(path_of("a"), "rb");
    size_t n = f ? fread(bytes, 1, BYTES, f) : 0;
    if (f != NULL) fclose(f);
    for (size_t at = 0; at + sizeof values <= n; at++) {
        memcpy(values, bytes + at, sizeof values);
        if (values[0] >= 1 && values[2999] == values[0] + 2999) return ad_tensor(g, AD_F64, values, AD_SHAPE(3000));
    }
    return ad_full(g, AD_F64, NAN, AD_SHAPE(3000));
}

static ad_var *plus_x(nn_module *m, ad_var *x) { return ad_add(ad_tanh(x), nn_find_parameter(m, "x")); }

static uint64_t save_onnx(ad_graph *g) {
    nn_module *m = nn_module_new(g, "plus", plus_x, 0);
    if (m != NULL) nn_add_parameter(m, "x", array(g, 2));
    int rc = nn_save_onnx(m, ad_ones(g, AD_F64, AD_SHAPE(1, 1)), path_of("a"));
    disarm();
    if (rc != AD_EABSENT) assert_whole(rc == AD_OK ? 2 : 1, 2, read_onnx);
    return 1;
}

/* A load that fails changes nothing. */
static uint64_t load_net(ad_graph *g) {
    nn_module *m = nn_linear(g, AD_F64, 3, 2, true);
    if (m == NULL) return 0;
    uint64_t before = hash_net(0, m), h = 0;
    for (int i = 0; i < 2; i++) {
        int rc =
            nn_load(m, source_path(i ? "tests/fuzz/seeds/safetensors/notes" : "tests/fuzz/seeds/safetensors/plain"));
        h = hash_net(h, m);
        if (rc == AD_OK) before = hash_net(0, m);
        else assert_true(hash_net(0, m) == before);
    }
    return h;
}

static uint64_t load_arrays(ad_graph *g) {
    uint64_t h = hash_values(0, nn_load_npy(g, AD_F64, source_path("tests/fuzz/seeds/npy/f4.npy")));
    h = hash_values(h, nn_load_npz(g, AD_F64, source_path("tests/fuzz/seeds/npz/stored.npz"), "x"));
    h = hash_values(h, nn_load_idx(g, AD_F32, source_path("tests/fuzz/seeds/idx/u8"), 1));
#ifdef AD_HAVE_ZLIB
    h = hash_values(h, nn_load_npz(g, AD_F64, source_path("tests/fuzz/seeds/npz/deflated.npz"), "x"));
    h = hash_values(h, nn_load_idx(g, AD_F32, source_path("tests/fuzz/seeds/idx/u8.gz"), 1));
#endif
    return h;
}

static uint64_t load_table(ad_graph *g) {
#ifdef AD_HAVE_CSV
    nn_table *t = nn_read_csv(g, source_path("tests/fuzz/seeds/csv/plain.csv"), (nn_csv_opts){ 0 });
    const char *const names[] = { "a", "b" };
    uint64_t h = hash_values(0, nn_table_numbers(t, AD_F64, 2, names));
    int64_t classes = 0;
    h = hash_values(h, nn_table_classes(t, AD_F64, "kind", &classes));
    return hash(h, &classes, sizeof classes);
#else
    return ad_ok(g);
#endif
}

/* ---- trying ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    work_fn *run;
    const char *file; /* NULL, or what makes the file that a run may replace: "net", "npy", "npz", "onnx" */
} work;

static void make_file(const work *w) {
    if (w->file == NULL) return;
    ad_graph *g = ad_graph_new();
    ad_var *x = array(g, 1);
    if (strcmp(w->file, "net") == 0) nn_save(holder(g, 1), path_of("a"));
    else if (strcmp(w->file, "npy") == 0) nn_save_npy(x, path_of("a"));
    else if (strcmp(w->file, "onnx") == 0) nn_save_onnx_vars(path_of("a"), 1, &x, 0, NULL);
    else nn_save_npz(path_of("a"), 1, (const char *[]){ "x" }, &x);
    assert_ok(g);
    ad_graph_free(g);
}

static uint64_t run(ad_graph *g, const work *w) {
    ad_mark m = ad_begin(g);
    ad_seed(g, 1);
    uint64_t h = w->run(g);
    ad_end(g, m);
    return h;
}

/* Refuses call number `at`, and with `on` all later ones. Afterwards the same graph does the work right. The number of
   blocks that are left. */
static long blocks_left(const work *w, long at, bool on, uint64_t expected) {
    make_file(w);
    long before = memory.live;
    arm(at, on);
    ad_graph *g = ad_graph_new();
    if (g != NULL) {
        uint64_t h = run(g, w);
        disarm();
        if (!ad_ok(g) && (ad_error_code(g) != AD_ENOMEM || strlen(ad_error(g)) < 15))
            fail_msg("%s: allocation %ld%s: error %d: %s", w->name, at, on ? " and later ones" : "", ad_error_code(g),
                     ad_error(g));
        if (ad_ok(g) && h != expected) fail_msg("%s: allocation %ld: no error, and other results", w->name, at);
        ad_clear_error(g);
        make_file(w);
        h = run(g, w);
        if (!ad_ok(g)) fail_msg("%s: after allocation %ld: %s", w->name, at, ad_error(g));
        if (h != expected) fail_msg("%s: after allocation %ld: other results", w->name, at);
        ad_graph_free(g);
    }
    disarm();
    return memory.live - before;
}

/* Whether call number `at` was reached. The C library keeps the stacks of threads, so only what is left each time is a
   leak. */
static bool try_at(const work *w, long at, bool on, uint64_t expected) {
    enum { TRIES = 4 };
    long left = 1;
    for (int i = 0; i < TRIES && left > 0; i++) left = blocks_left(w, at, on, expected);
    if (left > 0) fail_msg("%s: allocation %ld: %ld blocks leaked", w->name, at, left);
    return memory.failures > 0;
}

/* The allocations of a run without failures, which also fills the caches of the C library. 0 if this build lacks a
   library that the run needs. */
static long count_calls(const work *w, uint64_t *expected) {
    for (int i = 0; i < 3; i++) {
        make_file(w);
        ad_graph *g = ad_graph_new();
        if (i == 2) arm(-1, false);
        *expected = run(g, w);
        disarm();
        bool absent = ad_error_code(g) == AD_EABSENT;
        if (!ad_ok(g) && !absent) fail_msg("%s: %s", w->name, ad_error(g));
        ad_graph_free(g);
        if (absent) return 0;
    }
    return memory.calls + 4; /* those of the graph */
}

static long points;

/* Every call from `step` on in turn; step 1 tries all. */
static void try_each(const work *w, long most) {
    uint64_t expected = 0;
    long calls = count_calls(w, &expected), step = getenv("AD_TEST_ALL") ? 1 : 1 + calls / most;
    if (test_quick()) step *= 7;
    for (int on = 0; on < 2 && calls > 0; on++)
        for (long at = 0; try_at(w, at, on, expected); at += step) points++;
    unlink(path_of("a"));
}

static void try_all(const work *w, long most) {
    try_each(w, most);
    memory.small = true;
    try_each(w, most);
    memory.small = false;
}

static void try_works(int n, const work *works) {
    get_ready();
    points = 0;
    for (int i = 0; i < n; i++) {
        long before = points;
        try_all(&works[i], 150);
        print_message("%s: %ld allocations failed\n", works[i].name, points - before);
    }
    print_message("%ld allocations failed\n", points);
    assert_true(points > (test_quick() ? 2 : 20) * n);
}

#define TRY(works) try_works(sizeof works / sizeof *works, works)

static int try_sample(const ad_sample_case *c, void *data) {
    work w = { c->type->name, apply_sample, NULL };
    (void)data;
    ad_graph *g = ad_graph_new();
    sample = c;
    sample_has_gradient = true;
    run(g, &w);
    sample_has_gradient = ad_ok(g);
    ad_graph_free(g);
    try_all(&w, 12);
    return 0;
}

static void the_samples_of_each_op(void **state) {
    (void)state;
    get_ready();
    points = 0;
    ad_graph *g = ad_graph_new();
    int ops = 0;
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++, ops++)
        assert_int_equal(ad_each_sample(g, *t, try_sample, NULL), AD_OK);
    print_message("%ld allocations failed, in the samples of %d ops\n", points, ops);
    assert_true(points > 20 * ops);
    ad_graph_free(g);
}

static void derivatives_and_long_graphs(void **state) {
    (void)state;
    static const work works[] = { { "derivatives", derivatives, NULL },
                                  { "a long chain", long_chain, NULL },
                                  { "threads", threads, NULL } };
    TRY(works);
}

static void trainings(void **state) {
    (void)state;
    static const work works[] = {
        { "steps", training_steps, NULL },  { "layers", layers, NULL }, { "lbfgs", lbfgs, NULL },
        { "loaders", loaders, NULL },       { "fit", fit, NULL },       { "parts of modules", parts_of_modules, NULL },
        { "averages", averaged_fit, NULL }, { "stream", stream, NULL }
    };
    get_ready();
    ad_graph *g = ad_graph_new();
    assert_int_equal(nn_save_npy(array(g, 1), path_of("rows")), AD_OK);
    ad_graph_free(g);
    TRY(works);
    unlink(path_of("rows"));
}

static void files(void **state) {
    (void)state;
    static const work works[] = { { "save", save_net, "net" },     { "save_npy", save_npy, "npy" },
                                  { "save_npz", save_npz, "npz" }, { "save_onnx", save_onnx, "onnx" },
                                  { "load", load_net, NULL },
                                  { "arrays", load_arrays, NULL }, { "tables", load_table, NULL } };
    TRY(works);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_of_each_op),
        cmocka_unit_test(derivatives_and_long_graphs),
        cmocka_unit_test(trainings),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
