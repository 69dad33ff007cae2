/* checkpoint.c: the complete state of a training as named arrays and numbers in one safetensors file. */
#define _POSIX_C_SOURCE 200809L
#include "nn/train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file/numbers.h"
#include "nn/file/safetensors.h"
#include "nn/module/module_private.h"
#include "nn/optim/average.h"
#include "nn/optim/state.h"

/* ---- the contents of the file ------------------------------------------------------------------------ */

/* A number as text. Reals are hexadecimal, which is exact. */
typedef struct {
    nn__note note;
    nn__field field;
    const char *constant; /* text that must be the same in the file; NULL for a number */
    bool count, finite;   /* of a real: 0, 1, 2 ..; neither infinite nor NaN */
} number;

typedef struct {
    ad_graph *graph;
    nn_parameter *arrays;
    number *numbers;
    int n_arrays, n_numbers;
    bool failed;
} contents;

static const char *joined(contents *c, const char *part, const char *name) {
    size_t size = strlen(part) + strlen(name) + 1;
    char *to = ad_scope_alloc(c->graph, size);
    if (to != NULL) snprintf(to, size, "%s%s", part, name);
    else c->failed = true;
    return to;
}

static void add_array(contents *c, const char *part, const char *name, ad_var *x) {
    c->arrays[c->n_arrays++] = (nn_parameter){ joined(c, part, name), x };
}

static void add_number(contents *c, const char *part, const char *name, nn__field f, const char *constant) {
    enum { SIZE = 40 };
    char *text = constant ? (char *)constant : ad_scope_alloc(c->graph, SIZE);
    if (text == NULL) c->failed = true;
    else if (f.real) snprintf(text, SIZE, "%a", *f.real);
    else if (f.whole) snprintf(text, SIZE, "%" PRId64, *f.whole);
    else if (f.bits) snprintf(text, SIZE, "%" PRIu64, *f.bits);
    c->numbers[c->n_numbers++] = (number){ { joined(c, part, name), text }, f, constant, false, false };
}

/* Whether the last word of a state's name is one of the words, which end with NULL. */
static bool is_called(const char *name, const char *const *words) {
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    for (; *words != NULL; words++)
        if (strcmp(last, *words) == 0) return true;
    return false;
}

static void add_state(contents *c, const char *part, nn__state s) {
    static const char *const counts[] = { "step", "pushed", "n_iter", "last_epoch", "num_bad_epochs",
                                          "cooldown_counter", NULL };
    static const char *const rates[] = { "lr", "initial_lr", "momentum", "mu_product", NULL };
    if (s.var != NULL) {
        add_array(c, part, s.name, s.var);
        return;
    }
    add_number(c, part, s.name, (nn__field){ .real = s.number }, NULL);
    number *added = &c->numbers[c->n_numbers - 1];
    added->count = is_called(s.name, counts);
    added->finite = is_called(s.name, rates);
}

/* In memory of the innermost scope. */
static contents list(const nn__checkpoint *c) {
    int n = nn__array_count(c->net), states = nn__optim_state_count(c->opt);
    int schedule = c->schedule ? nn__schedule_state_count(c->schedule) : 0, averages = c->average ? c->average->n : 0;
    contents all = { .graph = nn_graph_of(c->net) };
    all.arrays = ad_scope_alloc(all.graph, (size_t)(n + c->n_best + averages + states + schedule) * sizeof *all.arrays);
    all.numbers = ad_scope_alloc(all.graph, (size_t)(c->n_fields + states + schedule + 4) * sizeof *all.numbers);
    if (all.arrays == NULL || all.numbers == NULL) return all.failed = true, all;
    add_number(&all, "", "format", (nn__field){ 0 }, "autodiff checkpoint 1");
    add_number(&all, "", "optimiser", (nn__field){ 0 }, nn__optim_kind(c->opt));
    add_number(&all, "", "schedule", (nn__field){ 0 }, c->schedule ? nn__schedule_kind(c->schedule) : "none");
    add_number(&all, "", "data_rows", (nn__field){ 0 }, c->data_rows);
    for (int i = 0; i < n; i++) add_array(&all, "model.", nn__array_at(c->net, i).name, nn__array_at(c->net, i).var);
    for (int i = 0; i < c->n_best; i++) add_array(&all, "best.", nn__array_at(c->net, i).name, c->best[i]);
    for (int i = 0; i < averages; i++)
        add_array(&all, "average.", c->average->each[i].of.name, c->average->each[i].average);
    for (int i = 0; i < states; i++) add_state(&all, "optimiser.", nn__optim_state_at(c->opt, i));
    for (int i = 0; i < schedule; i++) add_state(&all, "schedule.", nn__schedule_state_at(c->schedule, i));
    for (int i = 0; i < c->n_fields; i++) add_number(&all, "", c->fields[i].name, c->fields[i], NULL);
    return all;
}

/* ---- writing and reading ----------------------------------------------------------------------------- */

int nn__save_checkpoint(const nn__checkpoint *c, const char *path) {
    ad_graph *g = nn_graph_of(c->net);
    nn__locale l = nn__enter_plain_numbers();
    ad_mark m = ad_begin(g);
    contents all = list(c);
    nn__note *notes = all.failed ? NULL : ad_scope_alloc(g, (size_t)all.n_numbers * sizeof *notes);
    for (int i = 0; notes != NULL && i < all.n_numbers; i++) notes[i] = all.numbers[i].note;
    int rc =
        notes ? nn__write_tensors(g, "checkpoint", path, all.n_arrays, all.arrays, all.n_numbers, notes) : AD_ENOMEM;
    ad_end(g, m);
    nn__leave_plain_numbers(l);
    return rc;
}

/* Reads a number into a field; false where the text is not a number. */
static bool parse(nn__field f, const char *text) {
    char *end = NULL;
    errno = 0;
    if (f.real) *f.real = strtod(text, &end);
    else if (f.whole) *f.whole = strtoll(text, &end, 10);
    else *f.bits = strtoull(text, &end, 10);
    return end != text && *end == '\0' && (errno == 0 || f.real);
}

/* Whether a training can have written these values. */
static bool is_possible(const number *n, double real, int64_t whole) {
    if (n->field.whole != NULL) return whole >= 0 && whole <= n->field.most;
    if (n->count) return real >= 0 && real <= 0x1p53 && real == floor(real);
    return !n->finite || isfinite(real);
}

static int check_number(ad_graph *g, const number *n, const char *text) {
    double real = 0;
    int64_t whole = 0;
    uint64_t bits;
    nn__field probe = { .real = n->field.real ? &real : NULL,
                        .whole = n->field.whole ? &whole : NULL,
                        .bits = n->field.bits ? &bits : NULL };
    if (text == NULL) return ad_fail(g, AD_EIO, "checkpoint: the file has no %s", n->note.name);
    if (n->constant != NULL && strcmp(n->constant, text) != 0)
        return ad_fail(g, AD_EVALUE, "checkpoint: %s is %.60s in the file and %s here", n->note.name, text,
                       n->constant);
    if (n->constant == NULL && !parse(probe, text))
        return ad_fail(g, AD_EIO, "checkpoint: %s is not a number: %.60s", n->note.name, text);
    if (n->constant == NULL && !is_possible(n, real, whole))
        return ad_fail(g, AD_EIO, "checkpoint: %s is out of its range: %.60s", n->note.name, text);
    return AD_OK;
}

static int check(const contents *all, const nn__tensor_file *f) {
    int rc = AD_OK;
    for (int i = 0; i < all->n_numbers && rc == AD_OK; i++)
        rc = check_number(all->graph, &all->numbers[i], nn__note_text(f, all->numbers[i].note.name));
    for (int i = 0; i < all->n_arrays && rc == AD_OK; i++)
        rc = nn__check_tensor(f, all->arrays[i].name, all->arrays[i].var);
    if (rc == AD_OK && nn__tensor_count(f) != all->n_arrays)
        rc = ad_fail(all->graph, AD_EVALUE, "checkpoint: the file has %d arrays and this training has %d",
                     nn__tensor_count(f), all->n_arrays);
    return rc;
}

static void set_numbers(const contents *all, const nn__tensor_file *f, int from, int to) {
    for (const number *n = &all->numbers[from]; n < &all->numbers[to]; n++)
        if (n->constant == NULL) parse(n->field, nn__note_text(f, n->note.name));
}

int nn__load_checkpoint(const nn__checkpoint *c, const char *path) {
    ad_graph *g = nn_graph_of(c->net);
    nn__tensor_file *f = NULL;
    nn__locale l = nn__enter_plain_numbers();
    ad_mark m = ad_begin(g);
    contents all = list(c);
    int rc = all.failed ? AD_ENOMEM : nn__open_tensors(g, "checkpoint", path, &f);
    if (rc == AD_OK) rc = check(&all, f);
    int states = all.n_numbers - c->n_fields; /* the fields are the last of the numbers */
    if (rc == AD_OK) set_numbers(&all, f, states, all.n_numbers);
    if (rc == AD_OK && c->accept != NULL) rc = c->accept(c->data);
    if (rc == AD_OK) set_numbers(&all, f, 0, states);
    for (int i = 0; rc == AD_OK && i < all.n_arrays; i++) nn__read_tensor(f, all.arrays[i].name, all.arrays[i].var);
    ad_end(g, m);
    nn__leave_plain_numbers(l);
    return rc;
}

/* ---- the state for other ranks ------------------------------------------------------------------------------- */

static size_t put_number(const nn__field *f, char *to) {
    if (to == NULL) return sizeof(double);
    if (f->real != NULL) memcpy(to, f->real, sizeof *f->real);
    else if (f->whole != NULL) memcpy(to, f->whole, sizeof *f->whole);
    else if (f->bits != NULL) memcpy(to, f->bits, sizeof *f->bits);
    return sizeof(double);
}

static void get_number(const nn__field *f, const char *from) {
    if (f->real != NULL) memcpy(f->real, from, sizeof *f->real);
    else if (f->whole != NULL) memcpy(f->whole, from, sizeof *f->whole);
    else if (f->bits != NULL) memcpy(f->bits, from, sizeof *f->bits);
}

/* All numbers are 8 bytes. */
static int share_numbers(const contents *all, const nn_ranks *r) {
    size_t bytes = (size_t)all->n_numbers * sizeof(double), at = 0;
    char *packed = ad_scope_zalloc(all->graph, bytes);
    for (int i = 0; i < all->n_numbers && packed != NULL; i++) at += put_number(&all->numbers[i].field, packed + at);
    int rc = r->broadcast(all->graph, bytes, packed, r->data);
    for (int i = 0; i < all->n_numbers && rc == AD_OK; i++)
        get_number(&all->numbers[i].field, packed + (size_t)i * sizeof(double));
    return rc;
}

int nn__share_checkpoint(const nn__checkpoint *c, const char *path) {
    (void)path;
    ad_graph *g = nn_graph_of(c->net);
    ad_mark m = ad_begin(g);
    contents all = ad_ok(g) ? list(c) : (contents){ .graph = g };
    int rc = share_numbers(&all, c->ranks);
    for (int i = 0; i < all.n_arrays && rc == AD_OK; i++) {
        ad_var *x = all.arrays[i].var;
        rc = c->ranks->broadcast(g, ad_bytes_of(x), ad_data_mut(x), c->ranks->data);
    }
    ad_end(g, m);
    return rc;
}
