/* compiled.c: loss and gradients of a minibatch by a compiled program, and when it cannot be used.

   What is recorded is what the forward function did once. So a program is made only if nothing read values meanwhile,
   and now and then a step is computed both ways. */
#include "nn/train/compiled.h"

#include <math.h>
#include <string.h>

enum { CHECK_EVERY = 256, MOST_PROGRAMS = 16 };

static int buffer_count(const nn__compiled *c) { return nn__array_count(c->net) - nn_parameter_count(c->net); }
static ad_var *buffer_at(const nn__compiled *c, int i) {
    return nn__array_at(c->net, nn_parameter_count(c->net) + i).var;
}

static void give_up(nn__compiled *c, const char *reason) {
    snprintf(c->how, c->how_size, "interpreted: %s", reason);
    c->off = true, c->program = NULL;
}

int nn__compiled_begin(nn__compiled *c, const nn_optim *opt, int n_others, ad_var *const others[]) {
    size_t n = (size_t)(opt->n + n_others);
    for (int i = 0; i < buffer_count(c); i++) c->buffer_bytes += ad_bytes_of(buffer_at(c, i));
    c->parameters = ad_scope_alloc(c->g, n * sizeof *c->parameters);
    c->xs = ad_scope_alloc(c->g, n * sizeof *c->xs);
    c->out = ad_scope_alloc(c->g, (n + 1) * sizeof *c->out);
    c->before = ad_scope_alloc(c->g, c->buffer_bytes + 1);
    c->counts = ad_scope_zalloc(c->g, ((size_t)buffer_count(c) + 1) * sizeof *c->counts);
    if (!c->parameters || !c->xs || !c->out || !c->before || !c->counts) return AD_ENOMEM;
    for (int i = 0; i < opt->n; i++) c->parameters[c->n++] = opt->slots[i].parameter.var;
    for (int i = 0; i < n_others; i++) c->parameters[c->n++] = others[i];
    if (opt->method->minimise != NULL) give_up(c, "the optimiser evaluates the loss several times a step");
    return AD_OK;
}

/* ---- what a step changes besides gradients: the network's buffers and the random numbers ------------------------- */

typedef void move_fn(char *kept, ad_var *x, size_t bytes);
static void keep(char *kept, ad_var *x, size_t bytes) { memcpy(kept, ad_data(x), bytes); }
static void restore(char *kept, ad_var *x, size_t bytes) { memcpy(ad_data_mut(x), kept, bytes); }

static void move_buffers(const nn__compiled *c, move_fn *move, char *kept) {
    for (int i = 0; i < buffer_count(c); i++) {
        size_t bytes = ad_bytes_of(buffer_at(c, i));
        if (bytes > 0) move(kept, buffer_at(c, i), bytes);
        kept += bytes;
    }
}

/* Counters such as num_batches_tracked. */
static void count(const nn__compiled *c) {
    for (int i = 0; i < buffer_count(c); i++) {
        ad_var *x = buffer_at(c, i);
        if (c->counts[i] != 0) ad_write_element(ad_dtype_of(x), ad_data_mut(x), 0, ad_item(x) + c->counts[i]);
    }
}

/* What the program leaves to code in C: the buffers of one element that it does not change. */
static void learn_counts(const nn__compiled *c, const char *before, const char *interpreted) {
    for (int i = 0; i < buffer_count(c); i++) {
        ad_var *x = buffer_at(c, i);
        bool unchanged = ad_numel(x) == 1 && ad_item(x) == ad_read_element(ad_dtype_of(x), before, 0);
        if (unchanged) c->counts[i] = ad_read_element(ad_dtype_of(x), interpreted, 0) - ad_item(x);
        before += ad_bytes_of(x), interpreted += ad_bytes_of(x);
    }
}

/* ---- comparing a step by the program with the interpreter's ------------------------------------------------------ */

/* A recorded graph that stands for something else shows in the loss; gradients may jump where a number is at the edge
   of a relu, so they are compared as a whole. */
static bool is_near(double a, double b, double tol) { return fabs(a - b) <= tol * fmax(1, fmax(fabs(a), fabs(b))); }

static bool same_loss(const nn__compiled *c, double loss, double interpreted) {
    return is_near(loss, interpreted, c->dtype == AD_F32 ? 1e-3 : 1e-6);
}

static bool same_gradients(const nn__compiled *c) {
    double difference = 0, norm = 0, rounding = c->dtype == AD_F32 ? 1e-4 : 1e-8;
    for (int i = 0; i < c->n_xs; i++) {
        ad_dtype t = ad_dtype_of(c->xs[i]);
        for (int64_t k = 0; k < ad_numel(c->xs[i]); k++) {
            double a = ad_read_element(t, c->out[1 + i], k), b = ad_grad_at(c->xs[i], k);
            difference += (a - b) * (a - b), norm += b * b;
        }
    }
    return !(difference > 0.01 * norm + rounding * rounding);
}

/* The name of a buffer that differs, or NULL. */
static const char *other_buffer(const nn__compiled *c, const char *interpreted) {
    for (int i = 0; i < buffer_count(c); i++) {
        ad_var *x = buffer_at(c, i);
        ad_dtype t = ad_dtype_of(x);
        double largest = 1;
        for (int64_t k = 0; k < ad_numel(x); k++) largest = fmax(largest, fabs(ad_at(x, k)));
        for (int64_t k = 0; k < ad_numel(x); k++)
            if (fabs(ad_read_element(t, interpreted, k) - ad_at(x, k)) > 1e-3 * largest)
                return nn__array_at(c->net, nn_parameter_count(c->net) + i).name;
        interpreted += ad_bytes_of(x);
    }
    return NULL;
}

/* What differs from the interpreter's step: "" if nothing does. */
static void compare(const nn__compiled *c, double loss, double interpreted, ad_random_state drawn, const char *buffers,
                    char *reason, size_t size) {
    ad_random_state now = ad_random_get(c->g);
    const char *buffer = other_buffer(c, buffers);
    if (now.counter != drawn.counter || now.seed != drawn.seed)
        snprintf(reason, size, "random numbers are drawn outside of ops");
    else if (buffer) snprintf(reason, size, "the buffer %s is changed outside of ops", buffer);
    else if (!same_loss(c, loss, interpreted))
        snprintf(reason, size, "the recorded step has the loss %g where the network has %g: its functions depend on "
                 "more than Vars", loss, interpreted);
    else if (!same_gradients(c)) snprintf(reason, size, "the gradients of the recorded step differ from the network's");
    else *reason = '\0';
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static double loss_of(const nn__compiled *c) { return ad_read_element(c->dtype, &c->loss, 0); }

static double run(nn__compiled *c, const nn__minibatch *s) {
    for (int i = 0; i < nn_input_count(c->x); i++)
        ad_rebind(nn_input_at(c->x, i), (void *)ad_data(nn_input_at(s->x, i)));
    ad_rebind(c->y, (void *)ad_data(s->y));
    c->out[0] = &c->loss;
    if (ad_run(c->program, NULL, c->out, NULL) != AD_OK) return NAN;
    count(c);
    return loss_of(c);
}

static double run_into_gradients(nn__compiled *c, const nn__minibatch *s) {
    for (int i = 0, k = 0; i < c->n; i++) {
        if (k < c->n_xs && c->parameters[i] == c->xs[k]) c->out[++k] = ad_grad_mut(c->parameters[i]);
        else ad_zero_grad(c->parameters[i]);
    }
    return run(c, s);
}

static double backward(const nn__compiled *c, ad_var *loss) {
    for (int i = 0; i < c->n; i++) ad_zero_grad(c->parameters[i]);
    ad_backward(loss);
    return ad_item(loss);
}

double nn__interpreted_step(const nn__compiled *c, const nn__minibatch *s) { return backward(c, s->loss(s->data)); }

/* Where the graph's random numbers and the buffers stand: what a step changes besides gradients. */
typedef struct {
    ad_random_state random;
    char *buffers;
} place;

static place here(const nn__compiled *c, char *buffers) {
    move_buffers(c, keep, buffers);
    return (place){ ad_random_get(c->g), buffers };
}

static void go(const nn__compiled *c, place p) {
    move_buffers(c, restore, p.buffers);
    ad_random_set(c->g, p.random);
}

static size_t up(size_t bytes) { return (bytes + AD_ALIGNMENT - 1) / AD_ALIGNMENT * AD_ALIGNMENT; }

/* The bytes of all gradients; memory, unless NULL, becomes where the program writes them. */
static size_t place_gradients(nn__compiled *c, char *memory) {
    size_t at = 0;
    for (int i = 0; i < c->n_xs; at += up(ad_bytes_of(c->xs[i++])))
        if (memory) c->out[1 + i] = memory + at;
    return at;
}

/* The step by the program after the interpreter's, from the same place. memory is for the gradients, and for the
   buffers as the interpreter left them. Without a difference the program's numbers stay, so that a resumed training has
   the same ones. */
static double run_again(nn__compiled *c, const nn__minibatch *s, double interpreted, place before, char *memory,
                        char *reason, size_t size) {
    place after = here(c, memory + place_gradients(c, memory));
    go(c, before);
    double loss = run(c, s);
    if (!ad_ok(c->g)) return NAN;
    if (c->runs == 0) learn_counts(c, before.buffers, after.buffers), count(c);
    *reason = '\0';
    if (isfinite(loss)) compare(c, loss, interpreted, after.random, after.buffers, reason, size);
    if (*reason == '\0' && isfinite(loss)) {
        for (int i = 0; i < c->n_xs; i++) memcpy(ad_grad_mut(c->xs[i]), c->out[1 + i], ad_bytes_of(c->xs[i]));
        return loss;
    }
    go(c, after);
    return interpreted;
}

/* Both ways. A difference in the first step of a program leaves the training to the interpreter; later, the steps since
   the last comparison are in doubt. */
static double run_both(nn__compiled *c, const nn__minibatch *s, double interpreted, place before) {
    char reason[200] = "";
    size_t bytes = place_gradients(c, NULL) + c->buffer_bytes;
    char *memory = ad_ok(c->g) ? ad_buffer_take(c->g, bytes) : NULL;
    if (memory == NULL) return NAN;
    double loss = run_again(c, s, interpreted, before, memory, reason, sizeof reason);
    ad_buffer_give(c->g, memory, bytes);
    if (*reason != '\0' && c->runs > 0)
        ad_fail(c->g, AD_ECHECK, "fit: %s, as the comparison after %lld compiled steps shows; train without compile",
                reason, (long long)c->runs);
    else if (*reason != '\0') give_up(c, reason);
    c->runs++;
    return loss;
}

static double run_alone(nn__compiled *c, const nn__minibatch *s) {
    place before = here(c, c->before);
    double loss = run_into_gradients(c, s);
    c->runs++;
    if (isfinite(loss) || !ad_ok(c->g)) return loss;
    go(c, before); /* the interpreter says what is wrong, such as a class that does not exist */
    return nn__interpreted_step(c, s);
}

/* ---- making a program -------------------------------------------------------------------------------------------- */

static uint64_t add(uint64_t hash, bool bit) { return (hash ^ (bit ? 2 : 1)) * 0x100000001b3u; }

/* As deep as modules are nested, like nn_apply's recursion. */
static uint64_t add_modes(uint64_t hash, const nn_module *m) {
    hash = add(hash, m->training);
    for (const nn__member *k = m->members; k != NULL; k = k->next)
        if (k->module != NULL) hash = add_modes(hash, k->module);
    return hash;
}

static bool looks_for_anomalies(ad_graph *g) {
    bool on = ad_detect_anomaly(g, false);
    ad_detect_anomaly(g, on);
    return on;
}

/* What a callback may change that a program does not read: which parameters are frozen, the modules' modes, the look
   for anomalies. */
static uint64_t setting_of(const nn__compiled *c) {
    uint64_t hash = add(add_modes(0xcbf29ce484222325u, c->net), looks_for_anomalies(c->g));
    for (int i = 0; i < c->n; i++) hash = add(hash, ad_requires_grad(c->parameters[i]));
    return hash;
}

static bool is_parameter(const nn__compiled *c, const ad_var *x) {
    for (int i = 0; i < c->n; i++)
        if (c->parameters[i] == x) return true;
    return false;
}

/* Whether backward adds to a leaf that only the program of the user knows. */
static bool has_other_leaves(const nn__compiled *c) {
    const ad_var *x;
    for (int i = 0; (x = ad_program_leaf(c->program, i)) != NULL; i++)
        if (ad_requires_grad(x) && !is_parameter(c, x)) return true;
    return false;
}

/* After the gradients of the interpreter have arrived. */
static void compile(nn__compiled *c, const nn__minibatch *s, ad_var *loss) {
    c->x = s->x, c->y = s->y, c->dtype = ad_dtype_of(loss), c->setting = setting_of(c);
    c->n_xs = 0, c->runs = 0;
    memset(c->counts, 0, (size_t)buffer_count(c) * sizeof *c->counts);
    for (int i = 0; i < c->n; i++)
        if (nn__moves(c->parameters[i])) c->xs[c->n_xs++] = c->parameters[i];
    c->program = ad_compile_gradient(loss, c->n_xs, c->xs, c->opts);
    const char *how = c->program ? ad_program_how(c->program) : ad_error(c->g);
    if (strcmp(how, "compiled") == 0) {
        c->programs++;
        if (has_other_leaves(c)) give_up(c, "the loss depends on a leaf that requires a gradient and is no parameter");
        return;
    }
    give_up(c, strncmp(how, "evaluated: ", 11) == 0 ? how + 11 : how);
    ad_clear_error(c->g);
}

/* Records the step, and makes a program of it if nothing speaks against that. */
static double record(nn__compiled *c, const nn__minibatch *s, bool *keep_scope) {
    place before = here(c, c->before);
    ad_watch_reads(c->g, true);
    ad_var *loss = s->loss(s->data);
    bool was_read = ad_watch_reads(c->g, false);
    double value = backward(c, loss);
    if (!ad_ok(c->g)) return NAN;
    if (was_read) give_up(c, "the network or the loss reads values while it is recorded (ad_item, ad_data, ad_branch)");
    else if (looks_for_anomalies(c->g)) give_up(c, "ad_detect_anomaly is on");
    else if (c->programs == MOST_PROGRAMS) give_up(c, "parameters or modes change too often");
    else compile(c, s, loss);
    if (c->off) return value;
    snprintf(c->how, c->how_size, "compiled");
    value = run_both(c, s, value, before);
    *keep_scope = !c->off;
    return value;
}

static bool is_alike(const ad_var *a, const ad_var *b) {
    return ad_shape_equal(ad_shape_of(a), ad_shape_of(b)) && ad_dtype_of(a) == ad_dtype_of(b);
}

static bool is_full(const nn__compiled *c, const nn__minibatch *s) {
    if (c->program == NULL) return ad_shape_of(s->x).dim[0] == c->rows;
    bool alike = is_alike(s->y, c->y) && nn_input_count(s->x) == nn_input_count(c->x);
    for (int i = 0; i < nn_input_count(c->x) && alike; i++)
        alike = is_alike(nn_input_at(s->x, i), nn_input_at(c->x, i));
    return alike;
}

double nn__compiled_step(nn__compiled *c, const nn__minibatch *s, bool *keep_scope) {
    if (c->off || !is_full(c, s)) return nn__interpreted_step(c, s);
    if (c->program == NULL || setting_of(c) != c->setting) return record(c, s, keep_scope);
    bool due = c->runs % CHECK_EVERY == 0 || (c->runs < CHECK_EVERY && (c->runs & (c->runs - 1)) == 0);
    if (!due) return run_alone(c, s);
    place before = here(c, c->before);
    double interpreted = nn__interpreted_step(c, s);
    return run_both(c, s, interpreted, before);
}
