/* report.c: the progress of a training: a bar on a terminal, otherwise lines of text, and a CSV log. */
#define _POSIX_C_SOURCE 200809L
#include "nn/train/report.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "autodiff/op.h"
#include "nn/file/numbers.h"
#include "nn/file/path.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

nn__report nn__report_new(const nn_fit_opts *o, int64_t epoch_steps, int64_t first_step) {
    return (nn__report){ .o = o,
                         .to = o->progress,
                         .terminal = o->progress != NULL && isatty(fileno(o->progress)),
                         .start = now(),
                         .first_step = first_step,
                         .epoch_steps = epoch_steps };
}

/* ---- metrics: metric, then more_metrics -------------------------------------------------------------- */

enum { METRICS = 1 + NN_MORE_METRICS };

static const char *name_of(const nn_fit_opts *o, int i) {
    const char *name = i == 0 ? o->metric_name : o->more_metrics[i - 1].name;
    return name ? name : "metric";
}

static double value_of(const nn_training_state *s, int i) { return i == 0 ? s->metric : s->more_metrics[i - 1]; }

/* ---- progress ---------------------------------------------------------------------------------------- */

/* Seconds per step. */
static double step_seconds(const nn__report *r, const nn_training_state *s) {
    return (now() - r->start) / (double)(s->steps - r->first_step);
}

static double seconds_left(const nn__report *r, const nn_training_state *s) {
    return step_seconds(r, s) * (double)(s->epochs * r->epoch_steps - s->steps);
}

/* epoch 3/10 [=====     ] loss 0.1234  178000 samples/s  12 s left */
void nn__report_step(nn__report *r, const nn_training_state *s) {
    enum { WIDTH = 24 };
    double t = r->to ? now() : 0;
    if (!r->terminal || t - r->drawn < 0.1) return;
    r->drawn = t;
    int64_t in_epoch = s->steps - (s->epoch - 1) * r->epoch_steps;
    int filled = r->epoch_steps > 0 ? (int)(WIDTH * in_epoch / r->epoch_steps) : 0;
    filled = filled < 0 ? 0 : filled > WIDTH ? WIDTH : filled;
    fprintf(r->to, "\r\033[Kepoch %lld/%lld [%.*s%*s] loss %.4f  %.0f samples/s  %.0f s left", (long long)s->epoch,
            (long long)s->epochs, filled, "========================", WIDTH - filled, "", s->loss,
            (double)r->o->batch / step_seconds(r, s), seconds_left(r, s));
    fflush(r->to);
    r->bar = true;
}

void nn__report_epoch(nn__report *r, const nn_training_state *s) {
    if (r->to == NULL) return;
    fprintf(r->to, "%sepoch %lld/%lld  loss %.4f", r->terminal ? "\r\033[K" : "", (long long)s->epoch,
            (long long)s->epochs, s->loss);
    if (!isnan(s->validation_loss)) fprintf(r->to, "  validation loss %.4f", s->validation_loss);
    for (int i = 0; i < METRICS; i++)
        if (!isnan(value_of(s, i))) fprintf(r->to, "  %s %.4f", name_of(r->o, i), value_of(s, i));
    fprintf(r->to, "  %.0f samples/s  %.0f s left", (double)r->o->batch / step_seconds(r, s), seconds_left(r, s));
    fprintf(r->to, "%s\n", s->best_epoch == s->epoch && !isnan(s->validation_loss) ? "  best" : "");
    fflush(r->to);
    r->bar = false;
}

void nn__report_end(nn__report *r) {
    if (!r->bar) return;
    fprintf(r->to, "\n");
    fflush(r->to);
    r->bar = false;
}

/* ---- the CSV log ------------------------------------------------------------------------------------- */

static void write_number(FILE *f, const char *before, double v) {
    nn__locale l = nn__enter_plain_numbers();
    if (isnan(v)) fprintf(f, "%s", before); /* an empty field: no such value */
    else fprintf(f, "%s%.17g", before, v);
    nn__leave_plain_numbers(l);
}

static int fail(ad_graph *g, const char *path) {
    return ad_fail(g, AD_EIO, "fit: log %s: %s", nn__path_end(path), strerror(errno ? errno : EIO));
}

static bool is_logged(const nn_fit_opts *o, int i) { return i == 0 || o->more_metrics[i - 1].of != NULL; }

/* Sets *bytes to the size of the file. */
static int close_log(ad_graph *g, const nn_fit_opts *o, FILE *f, int64_t *bytes) {
    bool good = fflush(f) == 0 && (*bytes = ftell(f)) > 0;
    if (fclose(f) != 0) good = false;
    return good ? AD_OK : fail(g, o->log);
}

int nn__log_head(ad_graph *g, const nn_fit_opts *o, int64_t *bytes) {
    FILE *f = fopen(o->log, "wb");
    if (f == NULL) return fail(g, o->log);
    errno = 0;
    fprintf(f, "epoch,steps,lr,loss,validation_loss");
    for (int i = 0; i < METRICS; i++)
        if (is_logged(o, i)) fprintf(f, ",%s", name_of(o, i));
    fprintf(f, "\n");
    return close_log(g, o, f, bytes);
}

int nn__log_epoch(ad_graph *g, const nn_fit_opts *o, const nn_training_state *s, int64_t *bytes) {
    FILE *f = truncate(o->log, (off_t)*bytes) == 0 ? fopen(o->log, "ab") : NULL;
    if (f == NULL) return fail(g, o->log);
    errno = 0;
    fprintf(f, "%lld,%lld", (long long)s->epoch, (long long)s->steps);
    write_number(f, ",", s->lr);
    write_number(f, ",", s->loss);
    write_number(f, ",", s->validation_loss);
    for (int i = 0; i < METRICS; i++)
        if (is_logged(o, i)) write_number(f, ",", value_of(s, i));
    fprintf(f, "\n");
    return close_log(g, o, f, bytes);
}
