/* fit.c: the training loop. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/module/module_private.h"
#include "nn/optim/average.h"
#include "nn/train/checkpoint.h"
#include "nn/train/options.h"
#include "nn/train/training.h"
#include "ops/ops.h"

typedef nn__run training;
typedef nn__rows_of_step minibatch;

/* ---- SIGINT ------------------------------------------------------------------------------------------ */

/* A signal handler can only set a global variable. Only trainings with catch_interrupt read it. */
static volatile sig_atomic_t interrupts;
static void note_interrupt(int signal) {
    (void)signal;
    interrupts = 1;
}

static void catch_interrupt(struct sigaction *before) {
    struct sigaction ours = { .sa_handler = note_interrupt, .sa_flags = SA_RESTART };
    sigemptyset(&ours.sa_mask);
    interrupts = 0;
    sigaction(SIGINT, &ours, before);
}

bool nn__interrupted(void) { return interrupts != 0; }

/* ---- checkpoints ------------------------------------------------------------------------------------- */

/* No training has more steps, nor a log more bytes: numbers of a damaged file that would overflow are refused. */
static const int64_t MOST = (int64_t)1 << 40;

typedef int checkpoint_fn(const nn__checkpoint *c, const char *path);

/* Of several ranks, the first one reads and writes files. */
static bool is_first(const training *t) { return t->ranks == NULL || t->ranks->rank == 0; }

/* Saves, loads or shares the state of t. */
static int with_checkpoint(training *t, checkpoint_fn *call, int (*accept)(void *t)) {
    ad_random_state r = ad_random_get(t->g);
    const nn__field fields[] = {
        { .name = "epoch", .whole = &t->s.epoch, .most = MOST },
        { .name = "epoch_open", .whole = &t->epoch_open, .most = 1 },
        { .name = "steps", .whole = &t->s.steps, .most = MOST },
        { .name = "rows", .whole = &t->rows, .most = t->all_rows },
        { .name = "sum", .real = &t->sum },
        { .name = "loss", .real = &t->s.loss },
        { .name = "validation_loss", .real = &t->s.validation_loss },
        { .name = "metric", .real = &t->s.metric },
        { .name = "metric2", .real = &t->s.more_metrics[0] },
        { .name = "metric3", .real = &t->s.more_metrics[1] },
        { .name = "metric4", .real = &t->s.more_metrics[2] },
        { .name = "metric5", .real = &t->s.more_metrics[3] },
        { .name = "lr", .real = &t->s.lr },
        { .name = "best", .real = &t->s.best },
        { .name = "best_epoch", .whole = &t->s.best_epoch, .most = MOST },
        { .name = "log_bytes", .whole = &t->log_bytes, .most = MOST },
        { .name = "random_seed", .bits = &r.seed },
        { .name = "random_counter", .bits = &r.counter },
        { .name = "epoch_seed", .bits = &t->place.before.seed },
        { .name = "epoch_counter", .bits = &t->place.before.counter },
        { .name = "at", .whole = &t->place.at, .most = t->all_rows },
        { .name = "averages", .whole = &t->averages, .most = MOST }, /* the last one: it may be left out */
    };
    int n_fields = (int)(sizeof fields / sizeof *fields) - (t->o->average == NULL);
    char data_rows[24] = "of a stream";
    if (t->o->stream == NULL) snprintf(data_rows, sizeof data_rows, "%" PRId64, t->all_rows);
    nn__checkpoint c = { .net = t->net,
                         .opt = t->opt,
                         .schedule = t->o->schedule,
                         .n_best = t->best ? nn__array_count(t->net) : 0,
                         .best = t->best,
                         .average = t->o->average,
                         .data_rows = data_rows,
                         .n_fields = n_fields,
                         .fields = fields,
                         .accept = accept, .data = t, .ranks = t->ranks };
    int rc = call(&c, t->o->checkpoint);
    if (rc == AD_OK) ad_random_set(t->g, r);
    return rc;
}

/* A file with NaNs would take the place of the last good one. */
static int save(training *t) {
    const char *broken = nn__nonfinite_parameter(t->opt);
    if (broken != NULL && t->o->allow_nonfinite) return AD_OK;
    if (broken != NULL)
        return ad_fail(t->g, AD_EVALUE, "fit: %s is not finite after step %lld; take a smaller learning rate or "
                       "clip_norm, or set allow_nonfinite", broken, (long long)t->s.steps);
    if (t->o->checkpoint == NULL || !is_first(t)) return AD_OK;
    if (t->loader != NULL) t->place = nn__loader_where(t->loader);
    if (t->o->average != NULL) t->averages = nn_average_count(t->o->average);
    return with_checkpoint(t, nn__save_checkpoint, NULL);
}

static bool can_resume(const training *t) { return t->o->resume && access(t->o->checkpoint, F_OK) == 0; }

/* Whether the numbers of a checkpoint belong together, and its log is there: the last checks before the training is
   changed. */
static int accept(void *data) {
    training *t = data;
    const nn_training_state *s = &t->s;
    if (s->epoch > s->steps + t->epoch_open || s->best_epoch > s->epoch || s->epoch < t->epoch_open)
        return ad_fail(t->g, AD_EIO, "checkpoint: epoch %lld, best_epoch %lld and steps %lld contradict each other",
                       (long long)s->epoch, (long long)s->best_epoch, (long long)s->steps);
    return t->o->log != NULL ? nn__log_begin(t->g, t->o, &t->log_bytes, &t->log_renewed) : AD_OK;
}

static int resume(training *t) {
    training read = *t;
    int rc = with_checkpoint(&read, nn__load_checkpoint, accept);
    if (rc == AD_OK && t->loader != NULL) rc = nn__loader_go(t->loader, read.place);
    if (rc == AD_OK) *t = read;
    if (rc == AD_OK && t->o->average != NULL) t->o->average->count = (double)t->averages;
    return rc;
}

/* Resumes, or writes the first log and checkpoint: files that cannot be written are an error before the first epoch. */
static int open_files(training *t) {
    if (can_resume(t)) return resume(t);
    bool renewed;
    if (t->o->log != NULL && nn__log_begin(t->g, t->o, &t->log_bytes, &renewed) != AD_OK) return ad_error_code(t->g);
    return save(t);
}

/* Rank 0 opens the files; then all ranks have its state. */
static int begin_files(training *t) {
    if (t->ranks == NULL) return open_files(t);
    if (is_first(t)) open_files(t);
    if (t->loader != NULL) t->place = nn__loader_where(t->loader);
    if (t->o->average != NULL) t->averages = nn_average_count(t->o->average);
    if (with_checkpoint(t, nn__share_checkpoint, NULL) != AD_OK) return ad_error_code(t->g);
    if (is_first(t)) return AD_OK;
    if (t->o->average != NULL) t->o->average->count = (double)t->averages;
    return t->loader != NULL ? nn__loader_go(t->loader, t->place) : AD_OK;
}

/* ---- the best epoch ---------------------------------------------------------------------------------- */

static void copy(ad_var *to, const ad_var *from) { memcpy(ad_data_mut(to), ad_data(from), ad_bytes_of(to)); }

static bool validates(const training *t) { return !ad_is_nil(t->o->validation.x); }

static int keep_best(training *t) {
    if (!validates(t) || (t->o->patience == 0 && !t->o->restore_best)) return AD_OK;
    int n = nn__array_count(t->net);
    t->best = ad_scope_alloc(t->g, (size_t)n * sizeof *t->best);
    for (int i = 0; i < n && t->best != NULL; i++) {
        const ad_var *x = nn__array_at(t->net, i).var;
        t->best[i] = ad_tensor(t->g, ad_dtype_of(x), ad_data(x), ad_shape_of(x));
    }
    return ad_error_code(t->g);
}

static void restore_best(training *t) {
    for (int i = 0; t->best != NULL && t->s.best_epoch > 0 && i < nn__array_count(t->net); i++)
        copy(nn__array_at(t->net, i).var, t->best[i]);
}

/* Without gradients, more rows fit in memory. */
static int64_t validation_batch(const nn_fit_opts *o) { return o->batch < 256 ? 256 : o->batch; }

static void validate(training *t) {
    if (!validates(t)) return;
    nn__any_metric metrics[1 + NN_MORE_METRICS];
    double values[1 + NN_MORE_METRICS];
    for (int i = 0; i <= NN_MORE_METRICS; i++) metrics[i] = nn__metric_at(t->o, i);
    t->s.validation_loss = nn__metrics_of(t->net, &t->loss, 1 + NN_MORE_METRICS, metrics, t->o->validation,
                                          validation_batch(t->o), t->ranks, values);
    t->s.metric = values[0];
    memcpy(t->s.more_metrics, values + 1, sizeof t->s.more_metrics);
}

/* The value that decides whether an epoch is better than another. */
static double judged_by(const training *t) {
    return t->o->by_metric ? t->s.metric : validates(t) ? t->s.validation_loss : t->s.loss;
}

static void compare_with_best(training *t) {
    double now = judged_by(t), gain = t->o->by_metric ? now - t->s.best : t->s.best - now;
    if (!validates(t) || !ad_ok(t->g) || isnan(now) || (t->s.best_epoch > 0 && !(gain > t->o->min_delta))) return;
    t->s.best = now;
    t->s.best_epoch = t->s.epoch;
    for (int i = 0; t->best != NULL && i < nn__array_count(t->net); i++) copy(t->best[i], nn__array_at(t->net, i).var);
}

/* Validates the averages, if there are some, and keeps these if they are the best. */
static void judge_epoch(training *t) {
    nn_average *a = t->o->average;
    bool exchanged = a != NULL && a->count > 0 && validates(t);
    if (exchanged) nn__average_exchange(a);
    validate(t);
    compare_with_best(t);
    if (exchanged) nn__average_exchange(a);
}

static void update_average(training *t, bool of_epoch) {
    const nn_fit_opts *o = t->o;
    if (o->average != NULL && o->average_epochs == of_epoch && t->s.epoch > o->average_from)
        nn_average_update(o->average);
}

/* ---- steps and epochs -------------------------------------------------------------------------------- */

ad_var *nn__loss_of_rows(void *rows) {
    const minibatch *b = rows;
    ad_graph *g = b->t->g;
    ad_var *loss = nn__loss_of(&b->t->loss, nn_apply(b->t->net, b->x), b->y, b->w);
    if (loss == NULL) ad_fail(g, AD_EVALUE, "fit: the loss function returned NULL");
    return loss ? loss : ad_nil(g);
}

/* The gradients of the parameters that opt does not have are of this step alone, too. */
void nn__zero_gradients(training *t) {
    nn_zero_grad(t->opt);
    for (int i = 0; i < t->n_others; i++) ad_zero_grad(t->others[i]);
}

/* Whether the step can be taken. */
bool nn__is_usable(training *t, const char *what, double value) {
    if (isfinite(value) || t->o->allow_nonfinite || !ad_ok(t->g)) return ad_ok(t->g);
    ad_fail(t->g, AD_EVALUE, "fit: the %s of step %lld is %g, and the step is not taken; take a smaller learning rate "
            "or clip_norm, look for NaN in the data, or set allow_nonfinite", what, (long long)t->s.steps + 1, value);
    return false;
}

/* Clips; false where the gradient is not finite, and the step is not taken. */
bool nn__clip_step(training *t) {
    double norm;
    if (t->o->clip_norm == 0 || nn__clip_optim(t->opt, t->o->clip_norm, &norm)) return true;
    nn__is_usable(t, "norm of the gradient", norm);
    return false;
}

static ad_var *borrow(ad_var *x) { return nn__rows_of(x, 0, ad_shape_of(x).dim[0]); }

/* A program reads each minibatch through the leaves of the first one, which are rebound. Those of a loader can be; a
   stream or mix may give any Vars. */
double nn__compiled_rows(training *t, minibatch *b, bool *keep_scope) {
    if (t->o->stream != NULL || t->o->mix != NULL) b->x = borrow(b->x), b->y = borrow(b->y);
    return nn__compiled_step(&t->compiled, &(nn__minibatch){ b->x, b->y, nn__loss_of_rows, b }, keep_scope);
}

/* The loss, with its gradients. */
static double differentiate(training *t, minibatch *b, bool *keep_scope) {
    if (t->o->compile) return nn__compiled_rows(t, b, keep_scope);
    ad_var *loss = nn__loss_of_rows(b);
    nn__zero_gradients(t);
    ad_backward(loss);
    return ad_item(loss);
}

/* One step of the optimiser; returns the loss before it. */
static double descend(training *t, minibatch *b, bool *keep_scope) {
    double value = NAN;
    if (t->opt->method->minimise != NULL) {
        nn__zero_gradients(t);
        nn_step_closure(t->opt, nn__loss_of_rows, b, &value);
        return value;
    }
    value = differentiate(t, b, keep_scope);
    if (nn__is_usable(t, "loss", value) && nn__clip_step(t)) nn_step(t->opt);
    return value;
}

void nn__after_step(training *t, double loss, int64_t rows) {
    const nn_fit_opts *o = t->o;
    t->sum += loss * (double)rows;
    t->rows += rows;
    t->s.steps++;
    t->s.loss = t->sum / (double)t->rows;
    t->s.lr = nn_lr(t->opt);
    update_average(t, false);
    if (o->schedule != NULL && o->schedule_by_step) nn_schedule_step(o->schedule, loss);
    nn__report_step(&t->report, &t->s, rows);
    if (o->on_step != NULL && o->on_step(&t->s, o->callback_data) != 0) t->s.stopped_early = true;
    if (o->on_step != NULL && nn__any_rank(t, t->s.stopped_early)) t->stop = t->s.stopped_early = true;
    if (t->ranks == NULL && o->catch_interrupt && interrupts) t->stop = t->s.interrupted = true;
    bool due = o->checkpoint_steps > 0 && t->s.steps % o->checkpoint_steps == 0;
    if (ad_ok(t->g) && (due || t->stop)) save(t);
}

/* ---- minibatches, and steps of several ---------------------------------------------------------------- */

static bool next_of_stream(training *t, minibatch *b) {
    ad_graph *g = t->g;
    b->x = b->y = ad_nil(g);
    if (!t->o->stream(g, t->s.epoch, t->place.at, &b->x, &b->y, t->o->stream_data) || !ad_ok(g)) {
        if (t->ranks != NULL) t->place.at++; /* others may have more */
        else if (ad_ok(g) && t->place.at == 0)
            ad_fail(g, AD_EVALUE, "fit: the stream has no minibatch in epoch %lld", (long long)t->s.epoch);
        return false;
    }
    ad_shape s = ad_shape_of(b->x);
    if (ad_is_nil(b->x) || ad_is_nil(b->y) || s.ndim < 1 || s.dim[0] < 1)
        return ad_fail(g, AD_EVALUE, "fit: minibatch %lld of the stream has no rows: x is %s", (long long)t->place.at,
                       ad_is_nil(b->x)   ? "nil"
                       : ad_is_nil(b->y) ? "there, y is nil"
                                         : ad_shape_str(s).text),
               false;
    t->place.at++;
    return true;
}

static void mix(training *t, minibatch *b) {
    t->o->mix(&b->x, &b->y, t->o->mix_data);
    if (ad_ok(t->g) && (ad_is_nil(b->x) || ad_is_nil(b->y)))
        ad_fail(t->g, AD_EVALUE, "fit: mix made x or y of a minibatch NULL or nil");
}

/* False at the end of the epoch and after an error. */
bool nn__next_rows(training *t, minibatch *b) {
    bool more = t->loader ? nn_loader_next(t->loader, &b->x, &b->y) : next_of_stream(t, b);
    if (more && t->o->weights != NULL) b->w = nn__loader_pick(t->loader, t->o->weights, ad_shape_of(b->x).dim[0]);
    if (more && t->o->mix != NULL) mix(t, b);
    return more && ad_ok(t->g);
}

/* The sums over the minibatches of a step. */
typedef struct {
    double loss, weight; /* losses times their weights; weights, or rows */
    int64_t rows;
    bool more, usable;
} group;

/* Adds the gradients of the next minibatch, weighted by its share of `full`. False where the step has to do with those
   that came before. */
static bool add_minibatch(training *t, double full, group *sums) {
    ad_mark m = ad_begin(t->g);
    minibatch b = { .t = t };
    sums->more = nn__next_rows(t, &b);
    if (sums->more) {
        int64_t rows = ad_shape_of(b.x).dim[0];
        double weight = b.w ? ad_item(ad_sum(b.w)) : (double)rows;
        if (!(weight > 0)) ad_fail(t->g, AD_EVALUE, "fit: the weights of the rows of a minibatch are all 0");
        ad_var *loss = nn__loss_of_rows(&b);
        ad_backward(ad_muls(loss, weight / full));
        sums->loss += ad_item(loss) * weight;
        sums->usable = nn__is_usable(t, "loss", ad_item(loss));
        sums->weight += weight, sums->rows += rows;
    }
    ad_end(t->g, m);
    return sums->more && sums->usable;
}

/* A step on several minibatches, or with weights. `full` is what the weights mostly add up to; another sum scales the
   gradients. */
static bool step_of_group(training *t) {
    double full = (double)t->o->accumulate * (double)t->o->batch;
    group sums = { 0 };
    bool more = true;
    nn__zero_gradients(t);
    for (int64_t i = 0; i < t->o->accumulate && more; i++) {
        if (i > 0 && t->loader != NULL && !nn__loader_has_more(t->loader)) break;
        more = add_minibatch(t, full, &sums);
    }
    if (sums.rows == 0 || !ad_ok(t->g)) return false;
    if (sums.weight != full) nn__scale_optim(t->opt, full / sums.weight);
    if (sums.usable && nn__clip_step(t)) nn_step(t->opt);
    if (ad_ok(t->g)) nn__after_step(t, sums.loss / sums.weight, sums.rows);
    return sums.more && ad_ok(t->g);
}

/* Trains on the next minibatch; false at the end of the epoch and after an error. */
static bool step(training *t) {
    if (t->ranks != NULL) return nn__ranks_step(t);
    if (t->o->accumulate > 1 || t->o->weights != NULL) return step_of_group(t);
    ad_mark m = ad_begin(t->g);
    minibatch b = { .t = t };
    bool more = nn__next_rows(t, &b), keep_scope = false;
    double loss = NAN;
    int64_t rows = 0;
    if (more) {
        rows = ad_shape_of(b.x).dim[0];
        loss = descend(t, &b, &keep_scope);
    }
    if (!keep_scope) ad_end(t->g, m);
    if (more && ad_ok(t->g)) nn__after_step(t, loss, rows);
    return more && ad_ok(t->g);
}

static void begin_epoch(training *t) {
    if (t->epoch_open) return; /* resumed within an epoch */
    t->epoch_open = 1;
    t->place.at = 0;
    t->s.epoch++;
    t->sum = 0;
    t->rows = 0;
    t->s.loss = NAN;
}

static void end_epoch(training *t) {
    const nn_fit_opts *o = t->o;
    t->epoch_open = 0;
    update_average(t, true);
    judge_epoch(t);
    if (o->schedule != NULL && !o->schedule_by_step) nn_schedule_step(o->schedule, judged_by(t));
    if (!ad_ok(t->g)) return;
    if (o->log != NULL && is_first(t) && nn__log_epoch(t->g, o, &t->s, &t->log_bytes) != AD_OK) return;
    nn__report_epoch(&t->report, &t->s);
    if (o->on_epoch != NULL && o->on_epoch(&t->s, o->callback_data) != 0) t->s.stopped_early = true;
    if (o->on_epoch != NULL && nn__any_rank(t, t->s.stopped_early)) t->stop = t->s.stopped_early = true;
    save(t);
}

static bool out_of_patience(const training *t) {
    return t->o->patience > 0 && validates(t) && t->s.epoch - t->s.best_epoch >= t->o->patience && !t->epoch_open;
}

static void run(training *t) {
    while (ad_ok(t->g) && !t->stop && (t->epoch_open || t->s.epoch < t->o->epochs)) {
        if (out_of_patience(t)) {
            t->s.stopped_early = true;
            break;
        }
        begin_epoch(t);
        while (!t->stop && step(t)) {}
        if (!t->stop && ad_ok(t->g)) end_epoch(t);
    }
    if (ad_ok(t->g) && !t->s.interrupted) restore_best(t);
}

/* ---- options ----------------------------------------------------------------------------------------- */

static nn_fit_opts with_defaults(nn_fit_opts o) {
    o.epochs = ad_option_int(o.epochs, 0);
    o.batch = ad_option_int(o.batch, 32);
    o.prefetch = ad_option_int(o.prefetch, 0);
    o.accumulate = ad_option_int(o.accumulate, 1);
    o.average_from = ad_option_int(o.average_from, 0);
    o.patience = ad_option_int(o.patience, 0);
    o.checkpoint_steps = ad_option_int(o.checkpoint_steps, 0);
    o.clip_norm = ad_option(o.clip_norm, 0);
    o.min_delta = ad_option(o.min_delta, 0);
    return o;
}

static int check_numbers(ad_graph *g, const nn_fit_opts *o) {
    if (o->epochs < 1) return ad_fail(g, AD_EVALUE, "fit: epochs %lld: at least 1", (long long)o->epochs);
    if (o->batch < 1) return ad_fail(g, AD_EVALUE, "fit: batch %lld: at least 1", (long long)o->batch);
    if (o->patience < 0 || o->checkpoint_steps < 0 || !(o->clip_norm >= 0) || !(o->min_delta >= 0))
        return ad_fail(g, AD_EVALUE, "fit: patience, checkpoint_steps, clip_norm and min_delta are 0 or more");
    return AD_OK;
}

static bool has_metric(const nn_fit_opts *o) {
    for (int i = 0; i <= NN_MORE_METRICS; i++) {
        const nn__any_metric m = nn__metric_at(o, i);
        if (nn__has_metric(&m)) return true;
    }
    return false;
}

static bool has_compiler(ad_compile_opts o) {
    return o.cc != NULL || o.flags != NULL || o.cache != NULL || o.no_cache || o.no_cc;
}

/* Options that need another one, without which they would do nothing. */
static int check_pairs(ad_graph *g, const nn_fit_opts *o) {
    bool validates = !ad_is_nil(o->validation.x);
    if (o->checkpoint == NULL && (o->resume || o->checkpoint_steps > 0))
        return ad_fail(g, AD_EVALUE, "fit: resume and checkpoint_steps need the name of a checkpoint");
    if ((o->patience > 0 || o->by_metric) && !validates)
        return ad_fail(g, AD_EVALUE, "fit: patience and by_metric need validation data");
    if ((o->restore_best || o->min_delta > 0 || has_metric(o)) && !validates)
        return ad_fail(g, AD_EVALUE, "fit: restore_best, min_delta and metrics need validation data");
    if (o->by_metric && o->metric == NULL && o->metric_with == NULL)
        return ad_fail(g, AD_EVALUE, "fit: by_metric needs a metric");
    if (o->schedule_by_step && o->schedule == NULL)
        return ad_fail(g, AD_EVALUE, "fit: schedule_by_step needs a schedule");
    if (has_compiler(o->compiler) && !o->compile) return ad_fail(g, AD_EVALUE, "fit: compiler needs compile");
    return AD_OK;
}

/* A plateau must look for the direction in which its values are better. */
static int check_schedule(ad_graph *g, const nn_optim *opt, const nn_fit_opts *o) {
    if (o->schedule == NULL) return AD_OK;
    if (nn__check_schedule(o->schedule, "fit") != AD_OK) /* whose graph may be unknown */
        return ad_fail(g, AD_EGRAPH, "fit: the schedule was made in a scope that is closed");
    if (nn__schedule_optim(o->schedule) != opt)
        return ad_fail(g, AD_EVALUE, "fit: the schedule is that of another optimiser");
    int wanted = nn__schedule_direction(o->schedule), given = o->by_metric && !o->schedule_by_step ? 1 : -1;
    if (wanted == 0 || wanted == given) return AD_OK;
    return ad_fail(g, AD_EVALUE, given > 0 ? "fit: plateau_lr gets the metric, of which larger values are better: set "
                                             "its maximise"
                                           : "fit: plateau_lr gets the loss, of which smaller values are better: do "
                                             "not set its maximise");
}

static int check(ad_graph *g, const nn_module *net, nn_loss_fn *loss, const nn_optim *opt, const nn_fit_opts *o) {
    if (!ad_ok(g)) return ad_error_code(g);
    if (opt == NULL) return ad_fail(g, AD_EVALUE, "fit: the loss or the optimiser is NULL");
    if (nn__check_functions(g, loss, o)) return ad_error_code(g);
    if (nn__check_open(&net->object, NULL, "fit", "network") || nn__check_open(&opt->object, g, "fit", "optimiser"))
        return AD_EGRAPH;
    if (opt->object.graph != g) return ad_fail(g, AD_EGRAPH, "fit: network and optimiser belong to two graphs");
    if (check_numbers(g, o) || check_pairs(g, o) || check_schedule(g, opt, o)) return ad_error_code(g);
    if (o->average != NULL && nn__check_average(o->average, net, g, "fit")) return ad_error_code(g);
    if (nn_training(net)) return AD_OK;
    return ad_fail(g, AD_EVALUE, "fit: the network is in evaluation mode; call nn_train(net, true)");
}

/* ---- validation data ------------------------------------------------------------------------------------ */

/* Fails with the graph's error as the reason. */
static int blame_validation(ad_graph *g) {
    char reason[400];
    int code = ad_error_code(g);
    snprintf(reason, sizeof reason, "%s", ad_error(g));
    ad_clear_error(g);
    return ad_fail(g, code, "fit: validation data: %s", reason);
}

/* Uses the first batch, so that data that does not fit is an error before the first epoch. */
static int try_validation(const training *t) {
    nn_dataset d = t->o->validation;
    if (!validates(t)) return ad_is_nil(d.y) ? AD_OK : ad_fail(t->g, AD_EVALUE, "fit: validation data: y without x");
    ad_random_state r = ad_random_get(t->g);
    ad_mark m = ad_begin(t->g);
    training part = { .g = t->g, .net = t->net, .loss = t->loss };
    nn_fit_opts o = *t->o;
    part.o = &o;
    nn_take_rows(d, 0, NULL); /* checks the rows */
    if (ad_ok(t->g) && ad_shape_of(d.x).dim[0] == 0) ad_fail(t->g, AD_EVALUE, "there are no rows");
    if (ad_ok(t->g)) o.validation = nn__first_rows(d, validation_batch(&o)), validate(&part);
    ad_end(t->g, m);
    ad_random_set(t->g, r);
    return ad_ok(t->g) ? AD_OK : blame_validation(t->g);
}

/* ---- the call ---------------------------------------------------------------------------------------- */

static bool moves(const nn_optim *opt, const ad_var *x) {
    for (int i = 0; i < opt->n; i++)
        if (opt->slots[i].parameter.var == x) return true;
    return false;
}

static int list_others(training *t) {
    int n = nn_parameter_count(t->net);
    t->others = ad_scope_alloc(t->g, (size_t)n * sizeof *t->others + 1);
    if (t->others == NULL) return AD_ENOMEM;
    for (int i = 0; i < n; i++) {
        ad_var *x = nn_parameter_at(t->net, i).var;
        if (!moves(t->opt, x)) t->others[t->n_others++] = x;
    }
    if (n == 0 || t->n_others < n) return AD_OK;
    return ad_fail(t->g, AD_EVALUE, "fit: the optimiser has no parameter of the network");
}

static int begin_compiled(training *t) {
    if (!t->o->compile) return AD_OK;
    if (t->o->accumulate > 1 || t->o->weights != NULL) {
        snprintf(t->s.how, sizeof t->s.how, "interpreted: steps with accumulate or weights have no program");
        return AD_OK;
    }
    int64_t rows = t->loader ? t->all_rows : t->o->batch;
    t->compiled = (nn__compiled){ .g = t->g,
                                  .net = t->net,
                                  .opts = t->o->compiler,
                                  .rows = rows < t->o->batch ? rows : t->o->batch,
                                  .how = t->s.how,
                                  .how_size = sizeof t->s.how };
    return nn__compiled_begin(&t->compiled, t->opt, t->n_others, t->others);
}

static int make_loader(training *t, nn_dataset data) {
    const nn_fit_opts *o = t->o;
    t->all_rows = MOST;
    if (o->stream != NULL) return AD_OK;
    t->loader = nn_loader_new(t->g, data,
                              (nn_loader_opts){ .batch = o->batch,
                                                .in_order = o->in_order,
                                                .drop_last = o->drop_last,
                                                .transform = o->transform,
                                                .transform_data = o->transform_data,
                                                .prefetch = o->prefetch,
                                                .draw_weights = o->draw_weights,
                                                .draws = o->draws,
                                                .draw_once = o->draw_once });
    if (t->loader != NULL && nn_loader_batches(t->loader) == 0)
        return ad_fail(t->g, AD_EVALUE, "fit: %lld samples make no minibatch of %lld; take a smaller batch",
                       (long long)ad_shape_of(data.x).dim[0], (long long)o->batch);
    if (t->loader == NULL) return ad_error_code(t->g);
    t->all_rows = o->draws > 0 ? o->draws : ad_shape_of(data.x).dim[0];
    nn__ranks_split(t);
    return AD_OK;
}

static int64_t steps_of_epoch(const training *t) {
    int64_t n = t->loader ? nn_loader_batches(t->loader) : 0;
    return n / t->o->accumulate + (n % t->o->accumulate != 0);
}

static int prepare(training *t, nn_dataset data) {
    const nn_fit_opts *o = t->o;
    if (nn__ranks_begin(t, data) != AD_OK || list_others(t) != AD_OK ||
        nn__check_sources(t->g, data, t->opt, o) != AD_OK || try_validation(t) != AD_OK ||
        nn__check_weights(t->g, data, o->weights) != AD_OK || make_loader(t, data) != AD_OK)
        return ad_error_code(t->g);
    if (keep_best(t) != AD_OK || begin_compiled(t) != AD_OK || begin_files(t) != AD_OK)
        return ad_error_code(t->g);
    t->report = nn__report_new(o, steps_of_epoch(t), t->s.steps);
    if (t->log_renewed) nn__report_renewed(&t->report);
    return AD_OK;
}

/* The graph of a training without a network: that of the optimiser, unless its memory is used again, or of the data. */
static ad_graph *graph_of(const nn_optim *opt, nn_dataset data) {
    ad_graph *g = opt != NULL && opt->object.self == &opt->object ? opt->object.graph : ad_graph_of(data.x);
    return g ? g : ad_graph_of(data.y);
}

/* Prepared and run in a scope; all ranks agree about the end. */
static void fit(training *t, nn_dataset data) {
    ad_graph *g = t->g;
    struct sigaction before;
    t->s.lr = nn_lr(t->opt);
    if (t->o->catch_interrupt) catch_interrupt(&before);
    ad_mark m = ad_begin(g);
    bool kept = ad_keep_grads(g, false);
    if (prepare(t, data) == AD_OK) run(t);
    nn__report_end(&t->report);
    nn__ranks_agree(t);
    ad_keep_grads(g, kept);
    ad_end(g, m);
    if (t->o->catch_interrupt) sigaction(SIGINT, &before, NULL);
}

int nn_fit_ranks(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_fit_opts o,
                 const nn_ranks *ranks, nn_training_state *end) {
    ad_graph *g = nn_graph_of(net);
    o = with_defaults(o);
    training t = { .g = g,
                   .net = net,
                   .loss = { loss, o.loss_with, o.loss_data, o.weights != NULL },
                   .opt = opt,
                   .o = &o,
                   .s = { .epochs = o.epochs, .loss = NAN, .validation_loss = NAN, .metric = NAN, .best = NAN },
                   .ranks = ranks };
    for (int i = 0; i < NN_MORE_METRICS; i++) t.s.more_metrics[i] = NAN;
    if (end != NULL) *end = t.s;
    if (nn__check_functions_of(g ? g : graph_of(opt, data), ranks) != AD_OK) return AD_EVALUE;
    if (g == NULL) {
        int rc = ad_fail(graph_of(opt, data), AD_EVALUE, "fit: the network is NULL");
        if (ranks != NULL) ranks->sum(graph_of(opt, data), 0, NULL, ranks->data);
        return rc;
    }
    if (ranks != NULL && ranks->rank > 0) o.progress = NULL;
    if (check(g, net, loss, opt, &o) == AD_OK && nn__check_ranks(&t) == AD_OK) fit(&t, data);
    else nn__ranks_agree(&t);
    if (end != NULL) *end = t.s;
    return ad_error_code(g);
}

int nn_fit(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_fit_opts o, nn_training_state *end) {
    return nn_fit_ranks(net, loss, opt, data, o, NULL, end);
}
