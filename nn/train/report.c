/* report.c: the progress of a training: a bar on a terminal, otherwise lines of text, and a CSV log. */
#define _POSIX_C_SOURCE 200809L
#include "nn/train/report.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file/fault.h"
#include "nn/file/numbers.h"
#include "nn/file/path.h"
#include "nn/file/plain.h"

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
    const char *name = i == 0                      ? o->metric_name
                       : o->more_metrics[i - 1].of ? o->more_metrics[i - 1].name
                                                   : o->more_metrics_with[i - 1].name;
    return name ? name : "metric";
}

static double value_of(const nn_training_state *s, int i) { return i == 0 ? s->metric : s->more_metrics[i - 1]; }

/* ---- progress ---------------------------------------------------------------------------------------- */

/* Seconds per step. */
static double step_seconds(const nn__report *r, const nn_training_state *s) {
    return (now() - r->start) / (double)(s->steps - r->first_step);
}

static double samples_per_second(const nn__report *r) { return (double)r->rows / (now() - r->start); }

/* The number of steps in an epoch of a stream is known after the first one. */
static void print_time(const nn__report *r, const nn_training_state *s) {
    double left = step_seconds(r, s) * (double)(s->epochs * r->epoch_steps - s->steps);
    fprintf(r->to, "  %.0f samples/s", samples_per_second(r));
    if (r->epoch_steps > 0) fprintf(r->to, "  %.0f s left", left);
}

/* epoch 3/10 [=====     ] loss 0.1234  178000 samples/s  12 s left */
void nn__report_step(nn__report *r, const nn_training_state *s, int64_t rows) {
    enum { WIDTH = 24 };
    r->rows += rows;
    double t = r->to ? now() : 0;
    if (!r->terminal || t - r->drawn < 0.1) return;
    r->drawn = t;
    int64_t in_epoch = s->steps - (s->epoch - 1) * r->epoch_steps;
    int filled = r->epoch_steps > 0 ? (int)(WIDTH * in_epoch / r->epoch_steps) : 0;
    filled = filled < 0 ? 0 : filled > WIDTH ? WIDTH : filled;
    fprintf(r->to, "\r\033[Kepoch %lld/%lld [%.*s%*s] loss %.4f", (long long)s->epoch, (long long)s->epochs, filled,
            "========================", WIDTH - filled, "", s->loss);
    print_time(r, s);
    fflush(r->to);
    r->bar = true;
}

void nn__report_epoch(nn__report *r, const nn_training_state *s) {
    if (r->o->stream != NULL) r->epoch_steps = s->steps / s->epoch;
    if (r->to == NULL) return;
    fprintf(r->to, "%sepoch %lld/%lld  loss %.4f", r->terminal ? "\r\033[K" : "", (long long)s->epoch,
            (long long)s->epochs, s->loss);
    if (!isnan(s->validation_loss)) fprintf(r->to, "  validation loss %.4f", s->validation_loss);
    for (int i = 0; i < METRICS; i++)
        if (!isnan(value_of(s, i))) fprintf(r->to, "  %s %.4f", name_of(r->o, i), value_of(s, i));
    print_time(r, s);
    fprintf(r->to, "%s\n", s->best_epoch == s->epoch && !isnan(s->validation_loss) ? "  best" : "");
    fflush(r->to);
    r->bar = false;
}

void nn__report_renewed(nn__report *r) {
    if (r->to == NULL) return;
    fprintf(r->to, "log %s: its rows are gone, it begins again\n", nn__path_end(r->o->log));
    fflush(r->to);
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
    const char *fault = ad__fault_of(errno);
    return ad_fail(g, nn__fault_code(fault), "fit: log %s: %s", nn__path_end(path), fault);
}

static bool is_logged(const nn_fit_opts *o, int i) {
    return i == 0 || o->more_metrics[i - 1].of != NULL || o->more_metrics_with[i - 1].of != NULL;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* A comma and a field, quoted as RFC 4180 has it where readers would split or trim it. */
static char *put_field(char *to, const char *text) {
    size_t n = strlen(text);
    bool quoted = strpbrk(text, ",\"\r\n") != NULL || (n > 0 && (is_blank(text[0]) || is_blank(text[n - 1])));
    *to++ = ',';
    if (quoted) *to++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"') *to++ = '"';
        *to++ = *text;
    }
    if (quoted) *to++ = '"';
    return to;
}

/* The first line, in memory of the innermost scope; NULL after an error. */
static char *head_of(ad_graph *g, const nn_fit_opts *o) {
    static const char always[] = "epoch,steps,lr,loss,validation_loss";
    size_t size = sizeof always + 1;
    for (int i = 0; i < METRICS; i++) size += 2 * strlen(name_of(o, i)) + 3;
    char *text = ad_scope_alloc(g, size), *to = text;
    if (text == NULL) return NULL;
    memcpy(text, always, sizeof always - 1);
    to += sizeof always - 1;
    for (int i = 0; i < METRICS; i++)
        if (is_logged(o, i)) to = put_field(to, name_of(o, i));
    memcpy(to, "\n", 2);
    return text;
}

/* Whether the file begins with this line, and its first `bytes` bytes are whole lines. */
static bool has_rows(FILE *f, const char *head, int64_t bytes) {
    bool same = true;
    rewind(f);
    for (; *head != '\0' && same; head++) same = getc(f) == (unsigned char)*head;
    return same && fseeko(f, (off_t)bytes - 1, SEEK_SET) == 0 && getc(f) == '\n';
}

/* Cuts the file to its rows, or begins it again. */
static int make_ready(ad_graph *g, const nn_fit_opts *o, FILE *f, int64_t *bytes) {
    struct stat about;
    const char *head = head_of(g, o);
    if (head == NULL) return ad_error_code(g);
    if (fstat(fileno(f), &about) != 0) return fail(g, o->log);
    if (*bytes > 0 && about.st_size == 0) *bytes = 0;
    if (about.st_size < *bytes || (*bytes > 0 && !has_rows(f, head, *bytes)))
        return ad_fail(g, AD_EIO, "fit: log %s: is not the log of this training, or was cut: move it away to begin a "
                       "new one", nn__path_end(o->log));
    if (ftruncate(fileno(f), (off_t)*bytes) != 0 || fseeko(f, (off_t)*bytes, SEEK_SET) != 0) return fail(g, o->log);
    errno = 0;
    if (*bytes == 0) fputs(head, f);
    return AD_OK;
}

/* What is no plain file is refused before it is opened: a pipe would block. */
static FILE *open_log(ad_graph *g, const char *path) {
    struct stat about;
    const char *fault = stat(path, &about) == 0 ? ad__mode_fault(about.st_mode) : NULL;
    if (fault != NULL) return ad_fail(g, AD_EIO, "fit: log %s: %s", nn__path_end(path), fault), NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r+b");
    if (f == NULL) fail(g, path);
    if (f == NULL && fd >= 0) close(fd);
    return f;
}

/* Sets *bytes to the size of the file. On disk before a checkpoint counts its rows. */
static int close_log(ad_graph *g, const nn_fit_opts *o, FILE *f, int64_t *bytes) {
    bool good = fflush(f) == 0 && (o->checkpoint == NULL || fsync(fileno(f)) == 0) && (*bytes = ftello(f)) > 0;
    if (!good) fail(g, o->log);
    if (fclose(f) != 0 && good) fail(g, o->log);
    return ad_error_code(g);
}

/* The log at the end of its rows; NULL after an error. */
static FILE *continue_log(ad_graph *g, const nn_fit_opts *o, int64_t *bytes) {
    FILE *f = open_log(g, o->log);
    if (f == NULL) return NULL;
    ad_mark m = ad_begin(g);
    int rc = make_ready(g, o, f, bytes);
    ad_end(g, m);
    if (rc == AD_OK) return f;
    fclose(f);
    return NULL;
}

int nn__log_begin(ad_graph *g, const nn_fit_opts *o, int64_t *bytes, bool *renewed) {
    int64_t before = *bytes;
    FILE *f = continue_log(g, o, bytes);
    if (f == NULL) return ad_error_code(g);
    *renewed = before > 0 && *bytes == 0;
    return close_log(g, o, f, bytes);
}

int nn__log_epoch(ad_graph *g, const nn_fit_opts *o, const nn_training_state *s, int64_t *bytes) {
    FILE *f = continue_log(g, o, bytes);
    if (f == NULL) return ad_error_code(g);
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
