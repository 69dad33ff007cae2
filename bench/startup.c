/* startup.c: the time to run a program that computes one gradient, and programs that do nothing. */
#include "bench/common.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void start(const char *program) {
    pid_t child;
    int status;
    char *argv[] = { (char *)program, NULL };
    if (posix_spawn(&child, program, NULL, NULL, argv, environ) == 0 && waitpid(child, &status, 0) == child &&
        status == 0)
        return;
    fprintf(stderr, "bench: %s failed\n", program);
    exit(1);
}

/* The programs of bench/start. Paths are relative to the folder of this program. */
static void shared(void *state) { (void)state, start("start/shared"); }
static void archive(void *state) { (void)state, start("start/archive"); }
static void empty(void *state) { (void)state, start("start/empty"); }
static void empty_blas(void *state) { (void)state, start("start/empty_blas"); }

static void *nothing(void) { return NULL; }
static void no_teardown(void *state) { (void)state; }

/* The program exits with 0 only if its gradient is right. */
static void result(void *state, double to[2]) {
    shared(state);
    to[0] = to[1] = 1;
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "start-up", "ms", 1, 0, nothing, shared, empty, no_teardown, result },
        { "start-up-blas", "ms", 1, 0, nothing, shared, empty_blas, no_teardown, NULL },
        { "start-up-archive", "ms", 1, 0, nothing, archive, empty, no_teardown, NULL },
    };
    char *slash = strrchr(argv[0], '/');
    if (slash != NULL) {
        *slash = '\0';
        if (chdir(argv[0]) != 0) return perror(argv[0]), 1;
    }
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
