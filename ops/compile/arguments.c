/* arguments.c: the arrays that an exported function takes, and their names. */
#include <stdio.h>
#include <string.h>

#include "ops/compile/export.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Words of C and C++ that no argument can be named by, and the one that each function has. */
static bool is_taken(const char *name) {
    static const char words[] =
        " auto bool break case catch char class complex const continue default delete do double else enum explicit "
        "export extern false float for friend goto if imaginary inline int long main mutable namespace new operator "
        "private protected public register restrict return short signed sizeof static struct switch template this "
        "throw true try typedef typename union unsigned using virtual void volatile while work ";
    char word[AD__NAME_SIZE + 3];
    snprintf(word, sizeof word, " %s ", name);
    return strstr(words, word) != NULL;
}

static bool is_c_name(const char *name) {
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || n >= AD__NAME_SIZE - 8 || (name[0] >= '0' && name[0] <= '9') || name[0] == '_') return false;
    for (const char *p = name; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        if (!letter && !(*p >= '0' && *p <= '9')) return false;
    }
    return !is_taken(name);
}

int ad__check_c_name(ad_graph *g, const char *caller, const char *name) {
    if (is_c_name(name)) return AD_OK;
    return ad_fail(g, AD_EVALUE,
                   "%s: the name \"%.60s\" cannot stand in C: give letters, digits and _, not a word of C", caller,
                   name ? name : "");
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* The name that the caller gave Var i: in names, or by ad_name. NULL if it has none. */
static const char *name_of(ad_var *const vars[], const char *const *names, int i) {
    if (names) return names[i];
    const char *name = ad_name_of(vars[i]);
    return is_c_name(name) ? name : NULL;
}

static bool shares(ad_var *const vars[], const char *const *names, int i, const ad__argument *a) {
    const char *name = name_of(vars, names, i), *before = name_of(vars, names, i - 1);
    if (vars[i]->layout->dtype != a->dtype) return false;
    if (name || before) return names && name && before && strcmp(name, before) == 0;
    return vars[i]->layout->numel == 1 && vars[i - 1]->layout->numel == 1;
}

/* Seats Vars in arguments from f->n_arguments on, which are named later. */
static void seat(ad__exported *f, int n, ad_var *const vars[], const char *const *names, ad__seat *to) {
    for (int i = 0; i < n; i++) {
        ad__argument *a = i ? &f->arguments[f->n_arguments - 1] : NULL;
        if (i == 0 || !shares(vars, names, i, a)) {
            a = &f->arguments[f->n_arguments++];
            *a = (ad__argument){ .dtype = vars[i]->layout->dtype, .first = i };
            const char *name = name_of(vars, names, i);
            if (name) snprintf(a->name, sizeof a->name, "%s", name);
        }
        to[i] = (ad__seat){ f->n_arguments - 1, a->size };
        a->size += vars[i]->layout->numel, a->n++;
    }
}

/* Names the arguments from `first` on that have no name. */
static void number_names(ad__exported *f, int first, const char *base) {
    int nameless = 0, number = 0;
    for (int i = first; i < f->n_arguments; i++) nameless += f->arguments[i].name[0] == '\0';
    for (int i = first; i < f->n_arguments; i++) {
        ad__argument *a = &f->arguments[i];
        if (a->name[0]) continue;
        if (nameless == 1) snprintf(a->name, sizeof a->name, "%s", base);
        else snprintf(a->name, sizeof a->name, "%s%d", base, number++);
    }
}

static ad__argument *argument_named(ad__exported *f, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(f->arguments[i].name, name) == 0) return &f->arguments[i];
    return NULL;
}

static bool fits(const ad__exported *f, const ad__argument *in, const ad__argument *out) {
    if (in->dtype != out->dtype || in->size != out->size || in->n != out->n) return false;
    for (int i = 0; i < in->n; i++)
        if (ad__bytes(f->xs[in->first + i]) != ad__bytes(f->results[out->first + i])) return false;
    return true;
}

/* Results whose array has the name of one of the xs replace these. The arrays that are left follow the xs. */
static int join_arguments(ad__exported *f, int inputs) {
    int kept = inputs;
    for (int i = inputs; i < f->n_arguments; i++) {
        ad__argument a = f->arguments[i], *same = argument_named(f, inputs, a.name);
        if (same == NULL && argument_named(f, kept, a.name) == NULL) f->arguments[kept++] = a;
        else if (same == NULL || !fits(f, same, &a))
            return ad_fail(f->e.g, AD_EVALUE, "%s: two arrays are named %s; a result that replaces xs has their shapes",
                           f->caller, a.name);
        int to = (int)((same ? same : &f->arguments[kept - 1]) - f->arguments);
        f->arguments[to].out = true;
        for (int k = 0; k < a.n; k++) f->y_seat[a.first + k].argument = to;
    }
    f->n_arguments = kept;
    return AD_OK;
}

/* The gradients have the seats of their xs, in arrays of their own: dx for x. */
static void seat_gradients(ad__exported *f, int inputs) {
    int from = f->n_arguments;
    for (int i = 0; i < f->n; i++) f->y_seat[1 + i] = (ad__seat){ from + f->x_seat[i].argument, f->x_seat[i].at };
    for (int i = 0; i < inputs; i++) {
        ad__argument a = f->arguments[i];
        memmove(a.name + 1, a.name, sizeof a.name - 1);
        a.name[0] = 'd', a.name[sizeof a.name - 1] = '\0';
        a.in = false, a.first++;
        f->arguments[f->n_arguments++] = a;
    }
}

int ad__make_arguments(ad__exported *f) {
    seat(f, f->n, f->xs, f->given->x_names, f->x_seat);
    int inputs = f->n_arguments;
    number_names(f, 0, "x");
    for (int i = 0; i < inputs; i++) {
        f->arguments[i].in = true;
        if (argument_named(f, i, f->arguments[i].name))
            return ad_fail(f->e.g, AD_EVALUE, "%s: two arrays are named %s; Vars of one array follow each other",
                           f->caller, f->arguments[i].name);
    }
    seat(f, f->given->m, f->results, f->given->y_names, f->y_seat);
    number_names(f, inputs, "y");
    if (f->given->gradient) seat_gradients(f, inputs);
    return join_arguments(f, inputs);
}
