/* gradbench.c: a tool of GradBench: answers the messages of an eval, one JSON object a line, from stdin to stdout. */
#define _GNU_SOURCE /* getline */
#include "bench/gradbench/common.h"

#include "nn/file/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const gb_module *const modules[] = { &gb_hello, &gb_lse, &gb_llsq, &gb_ode,    &gb_det,      &gb_gmm,
                                            &gb_lstm,  &gb_ba,  &gb_ht,   &gb_kmeans, &gb_particle, &gb_saddle };

typedef struct {
    int64_t id;
    const char *kind, *module, *function;
    char *input; /* its JSON text; NULL if there is none */
} message;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static message message_of(char *at) {
    message m = { .id = -1, .kind = "", .module = "", .function = "" };
    for (bool more = nn__json_enter(&at); more; more = nn__json_more(&at)) {
        const char *key = nn__json_key(&at);
        bool text = nn__json_kind(&at) == '"';
        if (strcmp(key, "id") == 0) (void)nn__json_integer(&at, &m.id);
        else if (text && strcmp(key, "kind") == 0) m.kind = nn__json_string(&at);
        else if (text && strcmp(key, "module") == 0) m.module = nn__json_string(&at);
        else if (text && strcmp(key, "function") == 0) m.function = nn__json_string(&at);
        else {
            if (strcmp(key, "input") == 0) m.input = at;
            nn__json_skip(&at);
        }
    }
    return m;
}

static const gb_module *module_of(const char *name) {
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (strcmp(modules[i]->name, name) == 0) return modules[i];
    return NULL;
}

static const gb_function *function_of(const gb_module *m, const char *name) {
    for (int i = 0; m != NULL && i < GB_FUNCTIONS && m->functions[i].name != NULL; i++)
        if (strcmp(m->functions[i].name, name) == 0) return &m->functions[i];
    return NULL;
}

static void answer_error(int64_t id, const char *text) {
    printf("{\"id\": %lld, \"success\": false, \"error\": \"", (long long)id);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    printf("\"}\n");
}

/* Runs the function as often as the input asks for, then prints its output and the time of each run. */
static void run(const message *m, const gb_function *f, const gb_input *in, void *problem, double prepared) {
    double least = gb_number_or(in, "min_runs", 1), seconds = gb_number_or(in, "min_seconds", 0), total = 0;
    double *times = NULL;
    size_t runs = 0, capacity = 0;
    for (; (runs < 1 || (double)runs < least || total < 1e9 * seconds) && ad_ok(in->g); runs++) {
        if (runs == capacity) times = realloc(times, (capacity = 2 * capacity + 16) * sizeof *times);
        if (times == NULL) exit(1);
        double start = now();
        f->run(problem);
        total += times[runs] = now() - start;
    }
    if (!ad_ok(in->g)) answer_error(m->id, ad_error(in->g));
    else {
        printf("{\"id\": %lld, \"success\": true, \"output\": ", (long long)m->id);
        f->print(problem, stdout);
        printf(", \"timings\": [{\"name\": \"prepare\", \"nanoseconds\": %.0f}", prepared);
        for (size_t i = 0; i < runs; i++) printf(", {\"name\": \"evaluate\", \"nanoseconds\": %.0f}", times[i]);
        printf("]}\n");
    }
    free(times);
}

static void evaluate(const message *m) {
    const gb_module *module = module_of(m->module);
    const gb_function *f = function_of(module, m->function);
    if (f == NULL || m->input == NULL) {
        answer_error(m->id, module ? "there is no such function, or no input" : "there is no such module");
        return;
    }
    gb_input in = { .g = ad_graph_new() };
    if (in.g == NULL) exit(1);
    gb_read(m->input, &in);
    double start = now();
    ad_keep_grads(in.g, false);
    void *problem = ad_ok(in.g) ? module->open(&in) : NULL;
    if (problem == NULL) answer_error(m->id, ad_ok(in.g) ? "out of memory" : ad_error(in.g));
    else run(m, f, &in, problem, now() - start);
    ad_graph_free(in.g);
}

static void answer(const message *m) {
    if (strcmp(m->kind, "evaluate") == 0) evaluate(m);
    else if (strcmp(m->kind, "define") == 0)
        printf("{\"id\": %lld, \"success\": %s}\n", (long long)m->id, module_of(m->module) ? "true" : "false");
    else if (strcmp(m->kind, "start") == 0) printf("{\"id\": %lld, \"tool\": \"autodiff\"}\n", (long long)m->id);
    else printf("{\"id\": %lld}\n", (long long)m->id);
}

int main(void) {
    char *line = NULL;
    size_t size = 0;
    for (ssize_t n; (n = getline(&line, &size, stdin)) > 0;) {
        const char *fault = nn__json_fault(line, (size_t)n);
        char *at = line;
        if (fault == NULL && nn__json_kind(&at) == '{') {
            message m = message_of(line);
            answer(&m);
        } else answer_error(-1, fault ? fault : "a message is an object");
        fflush(stdout);
    }
    free(line);
    return 0;
}
