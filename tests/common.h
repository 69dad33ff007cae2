/* common.h: shared by the tests: comparisons, files, leaves, and an allocator that counts and fails on demand. */
#ifndef TESTS_COMMON_H
#define TESTS_COMMON_H

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "ops/ops.h"

/* SANITIZED: built with AddressSanitizer, which ADDRESS_SANITIZED says, or MemorySanitizer. The memory of a closed scope
   is then poisoned: reading it ends the program. GCC is asked first: its <sanitizer/asan_interface.h> defines
   __has_feature(x) as 0. */
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZED 1
#elif __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef ADDRESS_SANITIZED
#define SANITIZED 1
#endif

/* Addresses of 64 bits: an array has fewer than 2^59 elements, otherwise fewer than 2^27. */
#define BITS_64 (sizeof(size_t) == 8)

/* AD_TEST_QUICK=1 makes large tests small, for valgrind and qemu, which are many times slower. */
static inline bool test_quick(void) { return getenv("AD_TEST_QUICK") != NULL; }

static inline double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The number of elements of an array. */
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

/* ---- comparing ------------------------------------------------------------------------------- */

/* Whether |a - b| is at most tol max(1, |b|). Equal infinities are close, and so are two NaNs. */
static inline bool is_close(double a, double b, double tol) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= tol * fmax(1, fabs(b));
}

static inline void assert_close_at(double a, double b, double tol, const char *what, const char *file, int line) {
    if (is_close(a, b, tol)) return;
    print_error("%s: %.17g is not %.17g within %g\n", what, a, b, tol);
    _fail(file, line);
}
#define assert_close(a, b, tol) assert_close_at(a, b, tol, #a, __FILE__, __LINE__)
/* assert_close with the name of a table row in the message. */
#define assert_close_in(row, a, b, tol) assert_close_at(a, b, tol, row, __FILE__, __LINE__)

/* Fails with the error of the graph if it has one. */
static inline void assert_ok_at(const ad_graph *g, const char *file, int line) {
    if (ad_ok(g)) return;
    print_error("the graph has error %d: %s\n", ad_error_code(g), ad_error(g));
    _fail(file, line);
}
#define assert_ok(g) assert_ok_at(g, __FILE__, __LINE__)

static inline void assert_contains_at(const char *text, const char *part, const char *file, int line) {
    if (strstr(text, part) != NULL) return;
    print_error("\"%s\" is not in \"%s\"\n", part, text);
    _fail(file, line);
}
#define assert_contains(text, part) assert_contains_at(text, part, __FILE__, __LINE__)

/* The result y of a call is nil, and the graph has an error with this code and a sentence with this text. Clears it. */
static inline void assert_fails_at(ad_graph *g, const ad_var *y, int code, const char *text, const char *file,
                                   int line) {
    _assert_true(ad_is_nil(y), "ad_is_nil(y)", file, line);
    assert_contains_at(ad_error(g), text, file, line);
    _assert_int_equal((LargestIntegralType)ad_error_code(g), (LargestIntegralType)code, file, line);
    ad_clear_error(g);
}
#define assert_fails(g, y, code, text) assert_fails_at(g, y, code, text, __FILE__, __LINE__)

static inline void assert_shape_at(const ad_var *x, ad_shape want, const char *file, int line) {
    if (ad_shape_equal(ad_shape_of(x), want)) return;
    print_error("the shape is %s, not %s\n", ad_shape_str(ad_shape_of(x)).text, ad_shape_str(want).text);
    _fail(file, line);
}
#define assert_shape(x, want) assert_shape_at(x, want, __FILE__, __LINE__)

/* x, or its gradient, has these n values. A message begins with the name of a table row. */
static inline void assert_values_in(const char *row, const ad_var *x, int64_t n, const double *want, double tol) {
    assert_ok(ad_graph_of(x));
    assert_int_equal(ad_numel(x), n);
    for (int64_t k = 0; k < n; k++) assert_close_in(row, ad_at(x, k), want[k], tol);
}
static inline void assert_grads_in(const char *row, const ad_var *x, int64_t n, const double *want, double tol) {
    assert_int_equal(ad_numel(x), n);
    for (int64_t k = 0; k < n; k++) assert_close_in(row, ad_grad_at(x, k), want[k], tol);
}
static inline void assert_values(const ad_var *x, int64_t n, const double *want, double tol) {
    assert_values_in("a value", x, n, want, tol);
}
static inline void assert_grads(const ad_var *x, int64_t n, const double *want, double tol) {
    assert_grads_in("a slope", x, n, want, tol);
}

/* |got - want| is at most rtol |want|, however small that is. Two NaNs agree. */
static inline void assert_within(double got, double want, double rtol, const char *name) {
    if (isnan(want) ? isnan(got) : got == want || fabs(got - want) <= rtol * fabs(want)) return;
    fail_msg("%s: %.17g is not %.17g", name, got, want);
}
#define assert_relative(got, want, rtol) assert_within(got, want, rtol, #got)

/* A bound of the rounding error after a few operations. */
static inline double tolerance(ad_dtype t) { return t == AD_F32 ? 1e-5 : 1e-12; }

/* ---- files ------------------------------------------------------------------------------------- */

/* A folder below TMPDIR, or /tmp, for a group of tests, which remove their own files. make_folder is the setup of the group,
   remove_folder its teardown. */
static char test_folder[96];

static inline int make_folder(void **state) {
    (void)state;
    const char *below = getenv("TMPDIR");
    snprintf(test_folder, sizeof test_folder, "%s/autodiff-XXXXXX", below ? below : "/tmp");
    return mkdtemp(test_folder) ? 0 : -1;
}

static inline int remove_folder(void **state) {
    (void)state;
    return rmdir(test_folder);
}

/* The path of a file in test_folder. The pointer is the same for the same name. */
static inline const char *path_of(const char *name) {
    enum { FILES = 64 };
    static char paths[FILES][128];
    char path[128];
    int i = 0;
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    while (paths[i][0] != '\0' && strcmp(paths[i], path) != 0) assert_true(++i < FILES);
    return strcpy(paths[i], path);
}

/* The number of files in test_folder. */
static inline int files_in_folder(void) {
    DIR *all = opendir(test_folder);
    assert_non_null(all);
    int n = -2; /* . and .. */
    while (readdir(all) != NULL) n++;
    closedir(all);
    return n;
}

/* The path of a file of the source tree, valid until the next call. */
static inline const char *source_path(const char *name) {
    static char path[1024];
    const char *source = getenv("AD_SOURCE");
    snprintf(path, sizeof path, "%s/%s", source ? source : ".", name);
    return path;
}

static inline FILE *open_source(const char *name) {
    FILE *f = fopen(source_path(name), "r");
    if (f == NULL)
        fail_msg("%s cannot be read: run this test in the source folder, or set AD_SOURCE to it", source_path(name));
    return f;
}

/* The path in the source tree of results_nn/NAME.ENDING, a file of reference values; valid until the next call. */
static inline const char *reference_file(const char *name, const char *ending) {
    static char path[256];
    snprintf(path, sizeof path, "tests/reference/results_nn/%s.%s", name, ending);
    return path;
}

/* y has the numbers of results_nn/NAME.txt, which has no others. */
static inline void assert_reference(const char *name, const ad_var *y, double tol) {
    FILE *f = open_source(reference_file(name, "txt"));
    double want;
    for (int64_t k = 0; k < ad_numel(y); k++) {
        assert_int_equal(fscanf(f, "%lf", &want), 1);
        assert_close_in(name, ad_at(y, k), want, tol);
    }
    assert_int_equal(fscanf(f, "%lf", &want), EOF);
    fclose(f);
}

/* The numbers behind the name of a line in results_nn/FILE.txt. Returns how many there are: at least 1, at most `most`. */
static inline int reference_row(const char *file, const char *name, double *to, int most) {
    char line[8192];
    FILE *in = open_source(reference_file(file, "txt"));
    size_t length = strlen(name);
    int n = 0;
    while (n == 0 && fgets(line, sizeof line, in) != NULL) {
        if (strncmp(line, name, length) != 0 || line[length] != ' ') continue;
        char *at = line + length, *end;
        for (double v = strtod(at, &end); end != at; at = end, v = strtod(at, &end)) {
            assert_true(n < most);
            to[n++] = v;
        }
    }
    fclose(in);
    if (n == 0) fail_msg("%s.txt has no line %s", file, name);
    return n;
}

/* CRC-32, the checksum of zip archives and of our safetensors files, bit by bit. */
static inline uint32_t crc32_of(const unsigned char *p, size_t n) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}

/* ---- leaves ------------------------------------------------------------------------------------ */

static inline int set_all(ad_var *x, const double *values) {
    int64_t n = ad_numel(x);
    if (ad_dtype_of(x) == AD_F64) return ad_set(x, values);
    float *narrow = malloc((size_t)(n ? n : 1) * sizeof *narrow);
    if (narrow == NULL) return AD_ENOMEM;
    for (int64_t i = 0; i < n; i++) narrow[i] = (float)values[i];
    int rc = ad_set(x, narrow);
    free(narrow);
    return rc;
}

static inline int set_item(ad_var *x, double value) { return set_all(x, &value); }

static inline ad_var *param_of(ad_graph *g, ad_dtype t, const double *values, ad_shape s) {
    ad_var *x = ad_param(g, t, NULL, s);
    if (!ad_is_nil(x)) set_all(x, values);
    return x;
}

/* A parameter with the values cos(0.3 + 1.1 k), as in tests/reference/. */
static inline ad_var *wave_of(ad_graph *g, ad_dtype t, ad_shape s) {
    ad_var *x = ad_param(g, t, NULL, s);
    for (int64_t k = 0; k < ad_numel(x); k++) ad_write_element(t, ad_data_mut(x), k, cos(0.3 + 1.1 * (double)k));
    return x;
}

static inline ad_var *param_item(ad_graph *g, ad_dtype t, double value) { return param_of(g, t, &value, AD_SCALAR); }

/* ---- random numbers for the tests (splitmix64, Steele et al. 2014) ----------------------------- */

static inline uint64_t next_word(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline int next_below(uint64_t *state, int n) { return (int)(next_word(state) % (uint64_t)n); }

static inline double next_between(uint64_t *state, double lo, double hi) {
    return lo + (hi - lo) * (double)(next_word(state) >> 11) * 0x1p-53;
}

/* ---- an allocator that counts, checks and fails on demand -------------------------------------- */

typedef struct {
    int64_t live, blocks; /* bytes and blocks that are not released yet */
    int64_t calls;        /* calls of test_alloc, including failed ones */
    int64_t fail_at;      /* the call that fails, counted from 0; -1: none */
    bool fail_on;         /* every later call fails too */
    int64_t failures;
    int64_t wrong; /* releases with another size than was allocated */
} test_memory;

enum { TEST_HEAD = 64 }; /* bytes before each block; they hold its size */
/* The largest block: 2^36 bytes, or 2^30 with 32-bit pointers. */
#define TEST_MOST (SIZE_MAX / 4 >> (sizeof(size_t) > 4 ? 26 : 0))

static inline void *test_alloc(void *data, size_t align, size_t size) {
    test_memory *m = data;
    int64_t call = m->calls++;
    void *p = NULL;
    bool fail = m->fail_at >= 0 && (m->fail_on ? call >= m->fail_at : call == m->fail_at);
    if (fail || align > TEST_HEAD || size > TEST_MOST || posix_memalign(&p, TEST_HEAD, TEST_HEAD + size) != 0) {
        m->failures++;
        return NULL;
    }
    memcpy(p, &size, sizeof size);
    m->live += (int64_t)size;
    m->blocks++;
    return (char *)p + TEST_HEAD;
}

static inline void test_release(void *data, void *memory, size_t size) {
    test_memory *m = data;
    char *block = (char *)memory - TEST_HEAD;
    if (memcmp(block, &size, sizeof size) != 0) m->wrong++;
    m->live -= (int64_t)size;
    m->blocks--;
    free(block);
}

/* A graph that allocates from m. Set fail_at before: with 0 the first allocation fails. */
static inline ad_graph *test_graph(test_memory *m) {
    return ad_graph_new_with((ad_allocator){ test_alloc, test_release, m });
}

static inline void assert_all_released(const test_memory *m) {
    assert_int_equal(m->live, 0);
    assert_int_equal(m->blocks, 0);
    assert_int_equal(m->wrong, 0);
}

/* The text of a file, to be freed; NULL if it cannot be read. */
static inline char *whole_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return NULL;
    char *text = NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        long size = ftell(f);
        rewind(f);
        text = size >= 0 ? calloc((size_t)size + 1, 1) : NULL;
        if (text != NULL && fread(text, 1, (size_t)size, f) != (size_t)size) text[0] = '\0';
    }
    fclose(f);
    return text;
}

#endif
