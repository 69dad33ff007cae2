/* same.c: what a training was given, as lines of text, which ranks compare. */
#define _POSIX_C_SOURCE 200809L
#include "nn/train/same.h"

#include <stdlib.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/module/module_private.h"
#include "nn/optim/average.h"

/* ---- the description --------------------------------------------------------------------------------------------- */

static const char *shape_and_type(const ad_var *x, char text[200]) {
    if (ad_is_nil(x)) return "none";
    snprintf(text, 200, "%s %s", ad_dtype_name(ad_dtype_of(x)), ad_shape_str(ad_shape_of(x)).text);
    return text;
}

static void describe_net(FILE *f, const nn__run *t) {
    char text[200];
    int parameters = nn_parameter_count(t->net);
    for (int i = 0; i < nn__array_count(t->net); i++) {
        nn_parameter p = nn__array_at(t->net, i);
        fprintf(f, "%s %s %s%s\n", i < parameters ? "parameter" : "buffer", p.name, shape_and_type(p.var, text),
                i < parameters && !ad_requires_grad(p.var) ? " frozen" : "");
    }
}

static void describe_optimiser(FILE *f, const nn__run *t) {
    fprintf(f, "optimiser %s\nparameters of the optimiser %d\n", nn__optim_kind(t->opt), t->opt->n);
    for (int i = 0; i < nn__optim_state_count(t->opt); i++) {
        nn__state s = nn__optim_state_at(t->opt, i);
        fprintf(f, "%s %.17g\n", s.name, s.number ? *s.number : 0);
    }
    for (int i = 0; i < t->opt->n; i++)
        fprintf(f, "%s is in group %d\n", t->opt->slots[i].parameter.name, t->opt->slots[i].group);
    for (int i = 0; i < t->opt->n_groups; i++) {
        double numbers[NN__STEP_NUMBERS];
        nn__optim_numbers(t->opt, i, numbers);
        fprintf(f, "group %d has the numbers", i);
        for (int k = 0; k < NN__STEP_NUMBERS; k++) fprintf(f, " %.17g", numbers[k]);
        fprintf(f, "\n");
    }
}

static void describe_average(FILE *f, const nn_average *a) {
    fprintf(f, "average over weights with decay %.17g, warm_up %d, buffers %d, after %.17g updates\n", a->o.decay,
            a->o.warm_up, a->o.buffers, a->count);
}

static void describe_schedule(FILE *f, nn_schedule *s) {
    fprintf(f, "schedule %s\n", s ? nn__schedule_kind(s) : "none");
    for (int i = 0; s != NULL && i < nn__schedule_state_count(s); i++) {
        nn__state state = nn__schedule_state_at(s, i);
        fprintf(f, "schedule's %s %.17g\n", state.name, *state.number);
    }
    if (s != NULL) fprintf(f, "rates of the schedule, a hash %016llx\n", (unsigned long long)nn__schedule_hash(s));
}

/* Some of the elements, so that other data is found without reading all of it. */
static uint64_t hash_of(const ad_var *x) {
    enum { LOOKED_AT = 4096 };
    int64_t n = ad_numel(x), step = n / LOOKED_AT + 1;
    size_t size = ad_dtype_size(ad_dtype_of(x));
    const unsigned char *data = ad_data(x);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < n; i += step)
        for (size_t k = 0; k < size; k++) hash = (hash ^ data[(size_t)i * size + k]) * 0x100000001b3u;
    return hash;
}

static void describe_array(FILE *f, const char *name, const ad_var *x) {
    char text[200];
    fprintf(f, "%s %s\n", name, shape_and_type(x, text));
    if (!ad_is_nil(x)) fprintf(f, "elements of %s, a hash %016llx\n", name, (unsigned long long)hash_of(x));
}

static void describe_data(FILE *f, const char *x, const char *y, nn_dataset d) {
    for (int i = 0; i < nn_input_count(d.x); i++) describe_array(f, x, nn_input_at(d.x, i));
    describe_array(f, y, d.y);
}

static void describe_options(FILE *f, const nn_fit_opts *o) {
    const struct {
        const char *name;
        int64_t value;
    } wholes[] = {
        { "epochs", o->epochs },
        { "batch", o->batch },
        { "accumulate", o->accumulate },
        { "patience", o->patience },
        { "checkpoint_steps", o->checkpoint_steps },
        { "average_from", o->average_from },
        { "in_order", o->in_order },
        { "drop_last", o->drop_last },
        { "draws", o->draws },
        { "draw_once", o->draw_once },
        { "transform", o->transform != NULL },
        { "mix", o->mix != NULL },
        { "stream", o->stream != NULL },
        { "loss_with", o->loss_with != NULL },
        { "allow_nonfinite", o->allow_nonfinite },
        { "schedule_by_step", o->schedule_by_step },
        { "metric", o->metric != NULL || o->metric_with != NULL },
        { "by_metric", o->by_metric },
        { "restore_best", o->restore_best },
        { "average", o->average != NULL },
        { "average_epochs", o->average_epochs },
        { "checkpoint", o->checkpoint != NULL },
        { "resume", o->resume },
        { "log", o->log != NULL },
        { "catch_interrupt", o->catch_interrupt },
        { "on_step", o->on_step != NULL },
        { "on_epoch", o->on_epoch != NULL },
        { "compile", o->compile },
    };
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++)
        fprintf(f, "%s %lld\n", wholes[i].name, (long long)wholes[i].value);
    fprintf(f, "clip_norm %.17g\nmin_delta %.17g\n", o->clip_norm, o->min_delta);
}

static void describe(FILE *f, const nn__run *t, nn_dataset data) {
    fprintf(f, "version %d.%d.%d\nblocks %lld\nbatch_norm over all ranks %d\n", AD_VERSION_MAJOR, AD_VERSION_MINOR,
            AD_VERSION_PATCH, (long long)t->ranks->blocks, t->ranks->batch_norm);
    describe_net(f, t);
    describe_optimiser(f, t);
    describe_schedule(f, t->o->schedule);
    if (t->o->average != NULL) describe_average(f, t->o->average);
    describe_options(f, t->o);
    if (t->o->stream == NULL) describe_data(f, "x", "y", data);
    if (t->o->weights != NULL) describe_array(f, "weights", t->o->weights);
    if (t->o->draw_weights != NULL) describe_array(f, "draw_weights", t->o->draw_weights);
    describe_data(f, "the validation's x", "the validation's y", t->o->validation);
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* The length of the first line. */
static int line(const char *text) { return (int)strcspn(text, "\n"); }

static int compare(const nn__run *t, const char *mine, const char *first) {
    while (*mine != '\0' && line(mine) == line(first) && strncmp(mine, first, (size_t)line(mine)) == 0) {
        mine += line(mine), first += line(first);
        mine += *mine == '\n', first += *first == '\n';
    }
    if (*mine == '\0' && *first == '\0') return AD_OK;
    return ad_fail(t->g, AD_EVALUE,
                   "fit: rank %d has \"%.*s\" where rank 0 has \"%.*s\"; all ranks need the same "
                   "network, optimiser, options and data",
                   t->ranks->rank, line(mine), mine, line(first), first);
}

static int compare_with_first(const nn__run *t, const char *mine, uint64_t size) {
    const nn_ranks *r = t->ranks;
    uint64_t bytes = size;
    if (r->broadcast(t->g, sizeof bytes, &bytes, r->data) != AD_OK) return ad_error_code(t->g);
    char *first = ad_scope_zalloc(t->g, bytes + 1);
    if (first != NULL && r->rank == 0) memcpy(first, mine, bytes);
    if (r->broadcast(t->g, bytes, first, r->data) == AD_OK) compare(t, mine, first);
    return r->sum(t->g, 0, NULL, r->data);
}

int nn__check_same(nn__run *t, nn_dataset data) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (f != NULL) describe(f, t, data);
    bool good = f != NULL && fclose(f) == 0;
    if (!good) ad_no_memory(t->g, "the description of a training", size);
    ad_mark m = ad_begin(t->g);
    int rc = compare_with_first(t, good ? text : "", good ? size : 0);
    ad_end(t->g, m);
    free(text);
    return rc;
}
