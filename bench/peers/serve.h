/* serve.h: makes a program, in C or C++, answer the requests of compare.py, which alternates between programs.

   The program first prints its cases, "cases NAME:UNIT ...", and then answers each line of its input:
       check NAME    two numbers that must be the same in all programs
       time NAME     nanoseconds per item, measured over at least 30 ms  */
#ifndef BENCH_PEERS_SERVE_H
#define BENCH_PEERS_SERVE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    const char *name, *unit; /* unit: of printed times, "ns", "us" or "ms"; "-" in peers */
    double items;            /* number of items in one call of work */
    void *(*setup)(void);
    void (*work)(void *state);
    void (*result)(void *state, double to[2]); /* on a fresh state */
    void (*teardown)(void *state);
} served_case;

/* The numbers that cases start from, uniform in -1 .. 1: a linear congruential generator. */
static inline void serve_fill(float *x, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
}

static inline double serve_now(void) { /* nanoseconds */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Runs this program with the argument --first and returns its exit status. */
static inline int serve_first(void) {
    int status = 1;
    pid_t child = fork();
    if (child == 0) execl("/proc/self/exe", "peer", "--first", (char *)NULL), _exit(1);
    return waitpid(child, &status, 0) == child ? status : 1;
}

/* Nanoseconds per call. */
static inline double serve_timed(const served_case *c, void *state, int repeats) {
    double start = serve_now();
    for (int i = 0; i < repeats; i++) c->work(state);
    return (serve_now() - start) / repeats;
}

/* The number of calls in a measurement. Finding it also warms up caches and memory. */
static inline int serve_repeats(const served_case *c, void *state) {
    const double sample = 3e7;
    double once = serve_timed(c, state, 1);
    if (once < sample) once = serve_timed(c, state, 3);
    return once > sample ? 1 : (int)(sample / (once + 1)) + 1;
}

static inline const served_case *serve_find(int n, const served_case *cases, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(cases[i].name, name) == 0) return &cases[i];
    return NULL;
}

static inline void serve_check(const served_case *c) {
    double to[2] = { 0, 0 };
    void *state = c->setup();
    c->result(state, to);
    c->teardown(state);
    printf("%.17g %.17g\n", to[0], to[1]);
}

/* Answers requests until the input ends. The case that was timed last keeps its state. */
static inline int serve(int n, const served_case *cases) {
    const served_case *held = NULL;
    void *state = NULL;
    int repeats = 0;
    char verb[16], name[64];
    printf("cases");
    for (int i = 0; i < n; i++) printf(" %s:%s", cases[i].name, cases[i].unit);
    printf("\n");
    fflush(stdout);
    while (scanf("%15s %63s", verb, name) == 2) {
        const served_case *c = serve_find(n, cases, name);
        if (c == NULL) return 1;
        if (held != NULL && (c != held || strcmp(verb, "time") != 0)) held->teardown(state), held = NULL;
        if (strcmp(verb, "check") == 0) serve_check(c);
        else {
            if (held == NULL) held = c, state = c->setup(), repeats = serve_repeats(c, state);
            else if (repeats > 1) c->work(state); /* warms up caches that other programs have used since */
            printf("%.17g\n", serve_timed(c, state, repeats) / c->items);
        }
        fflush(stdout);
    }
    if (held != NULL) held->teardown(state);
    return 0;
}

#ifdef __cplusplus
#include <stdexcept>

/* A case of a class with work() and result(to). */
template <class Case> served_case served(const char *name, double items) {
    return { name, "-", items, []() -> void * { return new Case; }, [](void *c) { ((Case *)c)->work(); },
             [](void *c, double to[2]) { ((Case *)c)->result(to); }, [](void *c) { delete (Case *)c; } };
}

/* Runs this program with --first, with which it computes one gradient. */
struct serve_start {
    void work() const {
        if (serve_first() != 0) throw std::runtime_error("the program fails with --first");
    }
    void result(double to[2]) const { work(), to[0] = to[1] = 1; }
};
#endif

#endif
