/* serve.h: a program of cases that another one asks to check and to time, in turns with its peers. For C and C++.

   It says what it has: "cases NAME:UNIT ...", and then answers each line of its input:
       check NAME    the two numbers that tell whether it does the same work as others
       time NAME     nanoseconds for one item, over 30 ms of work or more  */
#ifndef BENCH_PEERS_SERVE_H
#define BENCH_PEERS_SERVE_H

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    const char *name, *unit; /* unit: as a reader wants it, "ns", "us" or "ms" */
    double items;            /* in one call of work */
    void *(*setup)(void);
    void (*work)(void *state);
    void (*result)(void *state, double to[2]); /* on a fresh state */
    void (*teardown)(void *state);
} served_case;

static inline double serve_now(void) { /* nanoseconds */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Starts this program with --first, and waits for its end; 0 where that is a good one. */
static inline int serve_first(void) {
    int status = 1;
    pid_t child = fork();
    if (child == 0) execl("/proc/self/exe", "peer", "--first", (char *)NULL), _exit(1);
    return waitpid(child, &status, 0) == child ? status : 1;
}

/* Nanoseconds a call. */
static inline double serve_timed(const served_case *c, void *state, int repeats) {
    double start = serve_now();
    for (int i = 0; i < repeats; i++) c->work(state);
    return (serve_now() - start) / repeats;
}

/* How often the work is done for a measurement; also warms caches and memory up. */
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

/* Answers until its input ends. The case timed last stays set up. */
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
            else if (repeats > 1) c->work(state); /* others had the caches meanwhile */
            printf("%.17g\n", serve_timed(c, state, repeats) / c->items);
        }
        fflush(stdout);
    }
    if (held != NULL) held->teardown(state);
    return 0;
}

#endif
