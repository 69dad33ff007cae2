/* demo.h: what all demos share: the command line and the exit status. */
#ifndef DEMOS_DEMO_H
#define DEMOS_DEMO_H

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/autodiff.h"

/* An option --name VALUE, stored in *to, which holds its default. A list of options ends with name NULL. */
typedef struct {
    const char *name, *help;
    enum { DEMO_WHOLE, DEMO_REAL, DEMO_TEXT } kind;
    void *to; /* int64_t, double or const char *, by kind */
    double lo, hi; /* the range of a number */
} demo_option;

#define DEMO_SEED(to)                                                                                                  \
    { "seed", "seed of the random numbers: the same seed gives the same result", DEMO_WHOLE, to, 0, 0x1p62 }

static const char *demo_program(char **argv) {
    const char *slash = strrchr(argv[0], '/');
    return slash ? slash + 1 : argv[0];
}

/* Prints the text of --help. */
static inline void demo_help(char **argv, const char *about, const demo_option *o) {
    static const char *const value[] = { "N", "X", "TEXT" };
    printf("usage: %s [options]\n%s\n\n  --help           this text\n", demo_program(argv), about);
    for (; o->name != NULL; o++) {
        char left[32];
        snprintf(left, sizeof left, "--%s %s", o->name, value[o->kind]);
        printf("  %-16s %s", left, o->help);
        if (o->kind == DEMO_WHOLE) printf(" (default %lld)\n", (long long)*(int64_t *)o->to);
        else if (o->kind == DEMO_REAL) printf(" (default %g)\n", *(double *)o->to);
        else if (*(const char **)o->to != NULL) printf(" (default %s)\n", *(const char **)o->to);
        else printf("\n");
    }
}

/* Prints an error about an argument and exits with status 2. */
static inline void demo_refuse(char **argv, const char *what, const char *fault) {
    fprintf(stderr, "%s: %s: %s; --help lists the options\n", demo_program(argv), what, fault);
    exit(2);
}

/* Stores the value of an option; exits if it is not valid. */
static inline void demo_store(char **argv, const demo_option *o, const char *text) {
    char *end, fault[96];
    errno = 0;
    if (o->kind == DEMO_TEXT) {
        *(const char **)o->to = text;
        return;
    }
    double value = o->kind == DEMO_REAL ? strtod(text, &end) : (double)strtoll(text, &end, 10);
    snprintf(fault, sizeof fault, "must be %s from %g to %g", o->kind == DEMO_REAL ? "a number" : "an integer",
             o->lo, o->hi);
    if (end == text || *end != '\0' || errno != 0 || !(value >= o->lo && value <= o->hi))
        demo_refuse(argv, o->name, fault);
    if (o->kind == DEMO_REAL) *(double *)o->to = value;
    else *(int64_t *)o->to = strtoll(text, &end, 10);
}

/* Reads the command line; exits with status 0 after --help, and with 2 after an error. */
static inline void demo_parse(int argc, char **argv, const char *about, const demo_option *options) {
    enum { MOST = 16, HELP = 256 };
    struct option longs[MOST + 2] = { { "help", no_argument, NULL, HELP } };
    for (int i = 0; options[i].name != NULL && i < MOST; i++)
        longs[i + 1] = (struct option){ options[i].name, required_argument, NULL, HELP + 1 + i };
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":", longs, NULL)) != -1;) {
        if (c == HELP) {
            demo_help(argv, about, options);
            exit(0);
        }
        if (c == ':') demo_refuse(argv, argv[optind - 1], "needs a value");
        if (c < HELP) { /* a short option, whose letter is in optopt, or an unknown long one */
            char letter[] = { '-', (char)optopt, '\0' };
            demo_refuse(argv, optopt > 0 && optopt < HELP ? letter : argv[optind - 1], "no such option");
        }
        demo_store(argv, &options[c - HELP - 1], optarg);
    }
    if (optind < argc) demo_refuse(argv, argv[optind], "unexpected argument");
}

/* Prints the graph's error, if it has one, and frees the graph. Returns the exit status of the program. */
static inline int demo_end(char **argv, ad_graph *g) {
    bool ok = ad_ok(g);
    if (!ok) fprintf(stderr, "%s: %s\n", demo_program(argv), ad_error(g));
    ad_graph_free(g);
    return ok ? 0 : 1;
}

#endif
