/* common.c: shared by the programs of the AD benchmark: files, timing, checks against a complex step. */
#include "bench/adbench/common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double sample_seconds = 0.5;

static void stop(const char *what, const char *detail) {
    fprintf(stderr, "adbench: %s%s\n", what, detail);
    exit(1);
}

double adbench_number(FILE *from) {
    double v;
    if (fscanf(from, "%lf", &v) != 1) stop("the file is too short, or has text that is not a number", "");
    return v;
}

void adbench_numbers(FILE *from, int64_t n, double *to) {
    for (int64_t i = 0; i < n; i++) to[i] = adbench_number(from);
}

double *adbench_array(int64_t n) {
    double *p = calloc(n > 0 ? (size_t)n : 1, sizeof *p);
    if (p == NULL) stop("out of memory", "");
    return p;
}

/* splitmix64, Steele et al. 2014 */
double adbench_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1;
}

void adbench_ok(const ad_graph *g) {
    if (!ad_ok(g)) stop("", ad_error(g));
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The seconds of one run of F or, unless gradient is NULL, of value and gradient. */
static double once(const adbench_program *p, void *problem, double *values, double *gradient) {
    double start = now();
    if (gradient) p->gradient(problem, values, gradient);
    else p->objective(problem, values);
    return now() - start;
}

/* The two alternate, so that other load on the machine slows both. */
static void time_both(const adbench_program *p, void *problem, double *values, double *gradient) {
    double f = INFINITY, both = INFINITY, start = now();
    int runs = 0;
    do {
        f = fmin(f, once(p, problem, values, NULL));
        both = fmin(both, once(p, problem, values, gradient));
        runs++;
    } while (now() - start < 2 * sample_seconds);
    fprintf(stderr, "bench adbench-%s ours %.4g ms floor %.4g ms ratio %.2f (%d runs)\n", p->name, 1e3 * both, 1e3 * f,
            both / f, runs);
}

static void print(int64_t n, const double *x) {
    for (int64_t i = 0; i < n; i++) printf("%.17e\n", x[i]);
}

/* The largest |a - b|, or |a| if b is NULL. */
static double largest(int64_t n, const double *a, const double *b) {
    double d = 0;
    for (int64_t i = 0; i < n; i++) d = fmax(d, fabs(a[i] - (b ? b[i] : 0)));
    return d;
}

/* 0 if values and gradient of a small problem agree with the plain C, 1 if not, -1 after the last problem. */
static int check(const adbench_program *p, int number) {
    void *problem = p->small(number);
    if (problem == NULL) return -1;
    int64_t n = p->n_values(problem), m = p->n_gradient(problem);
    double *values = adbench_array(n), *plain = adbench_array(n);
    double *ours = adbench_array(m), *expected = adbench_array(m);
    p->objective(problem, plain);
    p->expected(problem, expected);
    double off = 0;
    for (int round = 0; round < 2; round++) {
        p->gradient(problem, values, ours);
        off = fmax(off, largest(n, values, plain) / largest(n, plain, NULL));
        off = fmax(off, largest(m, ours, expected) / largest(m, expected, NULL));
    }
    printf("%s: problem %d: %lld values, %lld derivatives, largest relative difference %.1e\n", p->name, number,
           (long long)n, (long long)m, off);
    free(values), free(plain), free(ours), free(expected);
    p->release(problem);
    return off < 1e-12 ? 0 : 1;
}

static int check_all(const adbench_program *p) {
    int wrong = 0;
    for (int i = 0, rc; (rc = check(p, i)) >= 0; i++) wrong += rc;
    return wrong ? 1 : 0;
}

static void run(const adbench_program *p, const char *file, bool output, bool times) {
    FILE *from = fopen(file, "r");
    if (from == NULL) stop("cannot read ", file);
    void *problem = p->read(from);
    fclose(from);
    double *values = adbench_array(p->n_values(problem)), *gradient = adbench_array(p->n_gradient(problem));
    double first = once(p, problem, values, gradient);
    if (times && p->gradient == p->compiled) fprintf(stderr, "compiled in %.2f s\n", first);
    if (output) print(p->n_values(problem), values), print(p->n_gradient(problem), gradient);
    if (times) time_both(p, problem, values, gradient);
    free(values), free(gradient);
    p->release(problem);
}

int adbench_main(int argc, char **argv, const adbench_program *p) {
    const char *file = NULL;
    bool output = true, times = true;
    adbench_program by_program = *p;
    char name[64];
    snprintf(name, sizeof name, "%s-compiled", p->name);
    by_program.name = name, by_program.gradient = p->compiled;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0) return check_all(p);
        if (strcmp(argv[i], "--compiled") == 0) p = &by_program;
        else
        if (strcmp(argv[i], "--no-time") == 0) times = false;
        else if (strcmp(argv[i], "--no-output") == 0) output = false;
        else file = argv[i];
    }
    if (file == NULL) {
        fprintf(stderr, "usage: %s [--compiled] [--no-time] [--no-output] FILE, or [--compiled] --check\n", argv[0]);
        return 2;
    }
    run(p, file, output, times);
    return 0;
}
