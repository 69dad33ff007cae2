/* schedule.c: learning rates that change as training goes on. */
#include <math.h>
#include <string.h>

#include "autodiff/graph/node.h"
#include "nn/optim/state.h"

static const double PI = 3.14159265358979323846;

/* A rate is a function of t and of the group's first rate, but for plateau's, which hangs on the past. A momentum that
   is not the schedule's affair is the one that was. */
typedef struct {
    const char *name;
    double (*rate)(const nn_schedule *s, double t, double lr);
    double (*momentum)(const nn_schedule *s, double t, double was); /* NULL: it stays */
} kind;

/* What plateau remembers. */
typedef struct {
    double best, bad, cooldown;
} past;

struct nn_schedule {
    nn_optim *opt;
    const kind *kind;
    double t;
    past past;
    void *self; /* the options */
};

static void set_rates(const nn_schedule *s) {
    for (int i = 0; i < s->opt->n_groups; i++) {
        nn__param_group *p = &s->opt->group[i];
        p->lr = s->kind->rate(s, s->t, p->initial_lr);
        if (s->kind->momentum != NULL) p->momentum = s->kind->momentum(s, s->t, p->momentum);
    }
}

static nn_schedule *schedule_new(nn_optim *opt, const kind *k, const void *self, size_t size) {
    nn_schedule *s = ad_scope_zalloc(opt->graph, sizeof *s);
    void *copy = s ? ad_scope_alloc(opt->graph, size) : NULL;
    if (copy == NULL) return NULL;
    *s = (nn_schedule){ .opt = opt, .kind = k, .self = memcpy(copy, self, size) };
    if (k->rate != NULL) set_rates(s);
    return s;
}

/* Whether a schedule of opt can be made: both numbers must be finite and not negative, the count at least 1. */
static bool accepts(const nn_optim *opt, const char *caller, int64_t count, double a, double b) {
    if (opt == NULL || !ad_ok(opt->graph)) return false;
    if (count < 1) ad_fail(opt->graph, AD_EVALUE, "%s: %lld steps: it must be at least 1", caller, (long long)count);
    else if (!(a >= 0 && a < INFINITY && b >= 0 && b < INFINITY))
        ad_fail(opt->graph, AD_EVALUE, "%s: %g and %g: both must be finite numbers, 0 or more", caller, a, b);
    return ad_ok(opt->graph);
}

/* ---- in stairs and in curves -------------------------------------------------------------------------- */

typedef struct {
    double size, gamma;
} steps;

static double step_rate(const nn_schedule *s, double t, double lr) {
    const steps *o = s->self;
    return lr * pow(o->gamma, floor(t / o->size));
}

nn_schedule *nn_step_lr(nn_optim *opt, int64_t step_size, double gamma) {
    static const kind k = { "step", step_rate, NULL };
    if (!accepts(opt, "step_lr", step_size, gamma, 0)) return NULL;
    return schedule_new(opt, &k, &(steps){ (double)step_size, gamma }, sizeof(steps));
}

nn_schedule *nn_exponential_lr(nn_optim *opt, double gamma) {
    static const kind k = { "exponential", step_rate, NULL };
    if (!accepts(opt, "exponential_lr", 1, gamma, 0)) return NULL;
    return schedule_new(opt, &k, &(steps){ 1, gamma }, sizeof(steps));
}

typedef struct {
    int n;
    const int64_t *milestones;
    double gamma;
} multistep;

static double multistep_rate(const nn_schedule *s, double t, double lr) {
    const multistep *o = s->self;
    int passed = 0;
    while (passed < o->n && (double)o->milestones[passed] <= t) passed++;
    return lr * pow(o->gamma, passed);
}

nn_schedule *nn_multistep_lr(nn_optim *opt, int n, const int64_t *milestones, double gamma) {
    static const kind k = { "multistep", multistep_rate, NULL };
    if (!accepts(opt, "multistep_lr", milestones != NULL ? n : 0, gamma, 0)) return NULL;
    for (int i = 1; i < n; i++)
        if (milestones[i] < milestones[i - 1])
            return ad_fail(opt->graph, AD_EVALUE, "multistep_lr: milestone %lld comes after %lld; they must rise",
                           (long long)milestones[i], (long long)milestones[i - 1]),
                   NULL;
    int64_t *copy = ad_scope_alloc(opt->graph, (size_t)n * sizeof *copy);
    if (copy == NULL) return NULL;
    memcpy(copy, milestones, (size_t)n * sizeof *copy);
    return schedule_new(opt, &k, &(multistep){ n, copy, gamma }, sizeof(multistep));
}

typedef struct {
    double start, end, steps;
} linear;

static double linear_rate(const nn_schedule *s, double t, double lr) {
    const linear *o = s->self;
    double share = t < o->steps ? t / o->steps : 1;
    return lr * (o->start + (o->end - o->start) * share);
}

nn_schedule *nn_linear_lr(nn_optim *opt, double start, double end, int64_t n) {
    static const kind k = { "linear", linear_rate, NULL };
    if (!accepts(opt, "linear_lr", n, start, end)) return NULL;
    return schedule_new(opt, &k, &(linear){ start, end, (double)n }, sizeof(linear));
}

/* ---- cosines ------------------------------------------------------------------------------------------- */

/* Half a cosine from a at share 0 to b at share 1. */
static double half_cosine(double a, double b, double share) { return b + (a - b) / 2 * (1 + cos(PI * share)); }

typedef struct {
    double steps, mult, least;
} cosine;

static double cosine_rate(const nn_schedule *s, double t, double lr) {
    const cosine *o = s->self;
    return half_cosine(lr, o->least, t / o->steps);
}

nn_schedule *nn_cosine_lr(nn_optim *opt, int64_t t_max, double eta_min) {
    static const kind k = { "cosine", cosine_rate, NULL };
    if (!accepts(opt, "cosine_lr", t_max, eta_min, 0)) return NULL;
    return schedule_new(opt, &k, &(cosine){ (double)t_max, 1, eta_min }, sizeof(cosine));
}

static double restarts_rate(const nn_schedule *s, double t, double lr) {
    const cosine *o = s->self;
    double length = o->steps;
    if (o->mult == 1) t = fmod(t, length);
    for (; t >= length; length *= o->mult) t -= length;
    return half_cosine(lr, o->least, t / length);
}

nn_schedule *nn_cosine_restarts_lr(nn_optim *opt, int64_t t_0, int64_t t_mult, double eta_min) {
    static const kind k = { "cosine_restarts", restarts_rate, NULL };
    if (!accepts(opt, "cosine_restarts_lr", t_0 < t_mult ? t_0 : t_mult, eta_min, 0)) return NULL;
    return schedule_new(opt, &k, &(cosine){ (double)t_0, (double)t_mult, eta_min }, sizeof(cosine));
}

/* ---- one cycle -------------------------------------------------------------------------------------------- */

static double between(const nn_one_cycle_opts *o, double a, double b, double share) {
    return o->linear ? a + (b - a) * share : half_cosine(a, b, share);
}

/* From start to top, and on to end; in three phases back to start before that. */
static double cycle(const nn_one_cycle_opts *o, double t, double start, double top, double end) {
    double last = (double)o->total_steps - 1, up = o->pct_start * (double)o->total_steps - 1, down = 2 * up;
    if (t > last) t = last;
    if (t <= up) return between(o, start, top, t / up);
    if (!o->three_phase) return between(o, top, end, (t - up) / (last - up));
    if (t <= down) return between(o, top, start, (t - up) / (down - up));
    return between(o, start, end, (t - down) / (last - down));
}

static double one_cycle_rate(const nn_schedule *s, double t, double lr) {
    const nn_one_cycle_opts *o = s->self;
    return cycle(o, t, lr / o->div_factor, lr, lr / o->div_factor / o->final_div_factor);
}

static double one_cycle_momentum(const nn_schedule *s, double t, double was) {
    const nn_one_cycle_opts *o = s->self;
    return o->keep_momentum ? was : cycle(o, t, o->max_momentum, o->base_momentum, o->max_momentum);
}

/* Whether there is a momentum to move, and whereto. */
static int check_momentum(const nn_optim *opt, const nn_one_cycle_opts *o) {
    if (o->keep_momentum) return AD_OK;
    if (opt->group[0].momentum == 0)
        return ad_fail(opt->graph, AD_EVALUE, "one_cycle_lr: %s has no momentum to move; give it one, or set "
                       "keep_momentum", opt->method->name);
    int rc = nn__check_number(opt->graph, "one_cycle_lr", "base_momentum", o->base_momentum, 0, 1);
    return rc ? rc : nn__check_number(opt->graph, "one_cycle_lr", "max_momentum", o->max_momentum, 0, 1);
}

nn_schedule *nn_one_cycle_lr(nn_optim *opt, nn_one_cycle_opts o) {
    static const kind k = { "one_cycle", one_cycle_rate, one_cycle_momentum };
    if (o.pct_start == 0) o.pct_start = 0.3;
    if (o.div_factor == 0) o.div_factor = 25;
    if (o.final_div_factor == 0) o.final_div_factor = 1e4;
    if (o.base_momentum == 0) o.base_momentum = 0.85;
    if (o.max_momentum == 0) o.max_momentum = 0.95;
    if (!accepts(opt, "one_cycle_lr", o.total_steps, o.div_factor, o.final_div_factor)) return NULL;
    if (check_momentum(opt, &o) != AD_OK) return NULL;
    double most = o.three_phase ? 0.5 : 1;
    if (o.pct_start > 0 && o.pct_start < most) return schedule_new(opt, &k, &o, sizeof o);
    return ad_fail(opt->graph, AD_EVALUE, "one_cycle_lr: pct_start %g: it must be above 0 and below %g", o.pct_start,
                   most),
           NULL;
}

/* ---- one after the other ------------------------------------------------------------------------------------ */

typedef struct {
    const nn_schedule *first, *then;
    double milestone;
} sequence;

static double sequence_rate(const nn_schedule *s, double t, double lr) {
    const sequence *o = s->self;
    if (t < o->milestone) return o->first->kind->rate(o->first, t, lr);
    return o->then->kind->rate(o->then, t - o->milestone, lr);
}

static double sequence_momentum(const nn_schedule *s, double t, double was) {
    const sequence *o = s->self;
    const nn_schedule *now = t < o->milestone ? o->first : o->then;
    if (now->kind->momentum == NULL) return was;
    return now->kind->momentum(now, now == o->first ? t : t - o->milestone, was);
}

nn_schedule *nn_sequential_lr(nn_schedule *first, nn_schedule *then, int64_t milestone) {
    static const kind k = { "sequential", sequence_rate, sequence_momentum };
    if (first == NULL || then == NULL || !accepts(first->opt, "sequential_lr", milestone, 0, 0)) return NULL;
    ad_graph *g = first->opt->graph;
    if (first->opt != then->opt)
        return ad_fail(g, AD_EVALUE, "sequential_lr: the two schedules belong to two optimisers"), NULL;
    if (first->kind->rate == NULL || then->kind->rate == NULL)
        return ad_fail(g, AD_EVALUE, "sequential_lr: plateau cannot be part of it; call nn_schedule_step on both"),
               NULL;
    return schedule_new(first->opt, &k, &(sequence){ first, then, (double)milestone }, sizeof(sequence));
}

/* ---- plateau -------------------------------------------------------------------------------------------------- */

static const kind plateau = { "plateau", NULL, NULL };

nn_schedule *nn_plateau_lr(nn_optim *opt, nn_plateau_opts o) {
    if (o.factor == 0) o.factor = 0.1;
    if (o.patience == 0) o.patience = 10;
    if (o.patience < 0) o.patience = 0;
    if (o.threshold == 0) o.threshold = 1e-4;
    if (o.eps == 0) o.eps = 1e-8;
    if (!accepts(opt, "plateau_lr", 1, o.threshold, o.min_lr)) return NULL;
    if (!(o.factor > 0 && o.factor < 1))
        return ad_fail(opt->graph, AD_EVALUE, "plateau_lr: factor %g: it must be above 0 and below 1", o.factor), NULL;
    nn_schedule *s = schedule_new(opt, &plateau, &o, sizeof o);
    if (s != NULL) s->past.best = o.maximise ? -INFINITY : INFINITY;
    return s;
}

static bool is_better(const nn_plateau_opts *o, double metric, double best) {
    double margin = o->absolute || isinf(best) ? o->threshold : o->threshold * best;
    return o->maximise ? metric > best + margin : metric < best - margin;
}

static void reduce_rates(const nn_schedule *s) {
    const nn_plateau_opts *o = s->self;
    for (int i = 0; i < s->opt->n_groups; i++) {
        nn__param_group *p = &s->opt->group[i];
        double lr = fmax(p->lr * o->factor, o->min_lr);
        if (p->lr - lr > o->eps) p->lr = lr;
    }
}

static void observe(nn_schedule *s, double metric) {
    const nn_plateau_opts *o = s->self;
    past *p = &s->past;
    if (is_better(o, metric, p->best)) p->best = metric, p->bad = 0;
    else p->bad++;
    if (p->cooldown > 0) p->cooldown--, p->bad = 0;
    if (p->bad <= (double)o->patience) return;
    reduce_rates(s);
    p->cooldown = (double)o->cooldown;
    p->bad = 0;
}

/* ---- stepping -------------------------------------------------------------------------------------------------- */

int nn_schedule_step(nn_schedule *s, double metric) {
    if (s == NULL) return AD_EVALUE;
    if (!ad_ok(s->opt->graph)) return ad_error_code(s->opt->graph);
    s->t++;
    if (s->kind == &plateau) observe(s, metric);
    else set_rates(s);
    return AD_OK;
}

const char *nn__schedule_kind(const nn_schedule *s) { return s->kind->name; }

int nn__schedule_state_count(const nn_schedule *s) { return s->kind == &plateau ? 4 : 1; }

nn__state nn__schedule_state_at(nn_schedule *s, int i) {
    const nn__state all[] = { { "last_epoch", NULL, &s->t },
                              { "best", NULL, &s->past.best },
                              { "num_bad_epochs", NULL, &s->past.bad },
                              { "cooldown_counter", NULL, &s->past.cooldown } };
    return all[i];
}
