/* schedule.c: learning rates that change during training. */
#include <math.h>
#include <string.h>

#include "nn/optim/state.h"

static const double PI = 3.14159265358979323846;

/* A rate is a function of t and of the group's initial rate. Only plateau's depends on the past. A schedule that
   does not set the momentum returns the present one. */
typedef struct {
    const char *name;
    double (*rate)(const nn_schedule *s, double t, double lr);             /* NULL: plateau */
    double (*momentum)(const nn_schedule *s, double t, double momentum);   /* NULL: it stays */
} kind;

/* What plateau remembers. */
typedef struct {
    double best, bad, cooldown; /* bad: steps without improvement; cooldown: steps of it that are left */
} past;

struct nn_schedule {
    nn__object object;
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
    ad_graph *g = opt->object.graph;
    nn_schedule *s = ad_scope_zalloc(g, sizeof *s);
    void *copy = s ? ad_scope_alloc(g, size) : NULL;
    if (copy == NULL) return NULL;
    *s = (nn_schedule){ .object = { g, &s->object }, .opt = opt, .kind = k, .self = memcpy(copy, self, size) };
    if (k->rate != NULL) set_rates(s);
    return s;
}

/* ---- options: each check reports its own error ---------------------------------------------------------- */

/* Whether opt can have a schedule. */
static bool accepts(const nn_optim *opt, const char *caller) {
    return opt != NULL && nn__check_optim(opt, caller) == AD_OK;
}

static bool is_count(const nn_optim *opt, const char *caller, const char *name, int64_t value) {
    return nn__check_number(opt->object.graph, caller, name, (double)value, 1, INFINITY) == AD_OK;
}

static bool is_not_negative(const nn_optim *opt, const char *caller, const char *name, double value) {
    return nn__check_number(opt->object.graph, caller, name, value, 0, INFINITY) == AD_OK;
}

static bool is_positive(const nn_optim *opt, const char *caller, const char *name, double value) {
    return nn__check_positive(opt->object.graph, caller, name, value) == AD_OK;
}

/* ---- steps, powers and lines ---------------------------------------------------------------------------- */

typedef struct {
    double size, gamma;
} step_decay;

static double step_decay_rate(const nn_schedule *s, double t, double lr) {
    const step_decay *o = s->self;
    return lr * pow(o->gamma, floor(t / o->size));
}

nn_schedule *nn_step_decay_lr(nn_optim *opt, int64_t step_size, double gamma) {
    static const kind k = { "step", step_decay_rate, NULL };
    if (!accepts(opt, "step_decay_lr") || !is_count(opt, "step_decay_lr", "step_size", step_size) ||
        !is_not_negative(opt, "step_decay_lr", "gamma", gamma))
        return NULL;
    return schedule_new(opt, &k, &(step_decay){ (double)step_size, gamma }, sizeof(step_decay));
}

nn_schedule *nn_exponential_lr(nn_optim *opt, double gamma) {
    static const kind k = { "exponential", step_decay_rate, NULL };
    if (!accepts(opt, "exponential_lr") || !is_not_negative(opt, "exponential_lr", "gamma", gamma)) return NULL;
    return schedule_new(opt, &k, &(step_decay){ 1, gamma }, sizeof(step_decay));
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
    if (!accepts(opt, "multistep_lr") || !is_count(opt, "multistep_lr", "number of milestones", milestones ? n : 0) ||
        !is_not_negative(opt, "multistep_lr", "gamma", gamma))
        return NULL;
    ad_graph *g = opt->object.graph;
    for (int i = 1; i < n; i++)
        if (milestones[i] < milestones[i - 1])
            return ad_fail(g, AD_EVALUE, "multistep_lr: milestone %lld comes after %lld; they must be in rising order",
                           (long long)milestones[i], (long long)milestones[i - 1]),
                   NULL;
    int64_t *copy = ad_scope_alloc(g, (size_t)n * sizeof *copy);
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
    if (!accepts(opt, "linear_lr") || !is_count(opt, "linear_lr", "steps", n) ||
        !is_not_negative(opt, "linear_lr", "start", start) || !is_not_negative(opt, "linear_lr", "end", end))
        return NULL;
    return schedule_new(opt, &k, &(linear){ start, end, (double)n }, sizeof(linear));
}

/* ---- cosines ------------------------------------------------------------------------------------------- */

/* Half a period of a cosine, from a at share 0 to b at share 1. */
static double half_cosine(double a, double b, double share) { return b + (a - b) / 2 * (1 + cos(PI * share)); }

typedef struct {
    double steps, mult, eta_min;
} cosine;

static double cosine_rate(const nn_schedule *s, double t, double lr) {
    const cosine *o = s->self;
    return half_cosine(lr, o->eta_min, t / o->steps);
}

nn_schedule *nn_cosine_lr(nn_optim *opt, int64_t t_max, double eta_min) {
    static const kind k = { "cosine", cosine_rate, NULL };
    if (!accepts(opt, "cosine_lr") || !is_count(opt, "cosine_lr", "t_max", t_max) ||
        !is_not_negative(opt, "cosine_lr", "eta_min", eta_min))
        return NULL;
    return schedule_new(opt, &k, &(cosine){ (double)t_max, 1, eta_min }, sizeof(cosine));
}

static double restarts_rate(const nn_schedule *s, double t, double lr) {
    const cosine *o = s->self;
    double length = o->steps;
    if (o->mult == 1) t = fmod(t, length);
    for (; t >= length; length *= o->mult) t -= length;
    return half_cosine(lr, o->eta_min, t / length);
}

nn_schedule *nn_cosine_restarts_lr(nn_optim *opt, int64_t t_0, int64_t t_mult, double eta_min) {
    static const kind k = { "cosine_restarts", restarts_rate, NULL };
    if (!accepts(opt, "cosine_restarts_lr") || !is_count(opt, "cosine_restarts_lr", "t_0", t_0) ||
        !is_count(opt, "cosine_restarts_lr", "t_mult", t_mult) ||
        !is_not_negative(opt, "cosine_restarts_lr", "eta_min", eta_min))
        return NULL;
    return schedule_new(opt, &k, &(cosine){ (double)t_0, (double)t_mult, eta_min }, sizeof(cosine));
}

/* ---- one cycle -------------------------------------------------------------------------------------------- */

/* From a at t = from to b at t = to; b where a phase has no length. */
static double phase(const nn_one_cycle_opts *o, double t, double from, double to, double a, double b) {
    double share = to > from ? (t - from) / (to - from) : 1;
    return o->linear ? a + (b - a) * share : half_cosine(a, b, share);
}

/* From start to top and on to end; with three phases back to start before that. */
static double cycle(const nn_one_cycle_opts *o, double t, double start, double top, double end) {
    double last = (double)o->total_steps - 1, up = o->pct_start * (double)o->total_steps - 1, down = 2 * up;
    if (t > last) t = last;
    if (t <= up) return phase(o, t, 0, up, start, top);
    if (!o->three_phase) return phase(o, t, up, last, top, end);
    if (t <= down) return phase(o, t, up, down, top, start);
    return phase(o, t, down, last, start, end);
}

static double one_cycle_rate(const nn_schedule *s, double t, double lr) {
    const nn_one_cycle_opts *o = s->self;
    return cycle(o, t, lr / o->div_factor, lr, lr / o->div_factor / o->final_div_factor);
}

static double one_cycle_momentum(const nn_schedule *s, double t, double momentum) {
    const nn_one_cycle_opts *o = s->self;
    return o->keep_momentum ? momentum : cycle(o, t, o->max_momentum, o->base_momentum, o->max_momentum);
}

static nn_one_cycle_opts with_defaults(nn_one_cycle_opts o) {
    o.pct_start = ad_option(o.pct_start, 0.3);
    o.div_factor = ad_option(o.div_factor, 25), o.final_div_factor = ad_option(o.final_div_factor, 1e4);
    o.base_momentum = ad_option(o.base_momentum, 0.85), o.max_momentum = ad_option(o.max_momentum, 0.95);
    return o;
}

/* Whether there is a momentum to change, and the values that it takes are valid. */
static bool check_momentum(const nn_optim *opt, const nn_one_cycle_opts *o) {
    ad_graph *g = opt->object.graph;
    if (o->keep_momentum) return true;
    if (!opt->method->has_beta1 && opt->group[0].momentum == 0) {
        ad_fail(g, AD_EVALUE, "one_cycle_lr: %s has no momentum to change; give it one, or set keep_momentum",
                opt->method->name);
        return false;
    }
    return nn__check_number(g, "one_cycle_lr", "base_momentum", o->base_momentum, 0, 1) == AD_OK &&
           nn__check_number(g, "one_cycle_lr", "max_momentum", o->max_momentum, 0, 1) == AD_OK;
}

nn_schedule *nn_one_cycle_lr(nn_optim *opt, nn_one_cycle_opts o) {
    static const kind k = { "one_cycle", one_cycle_rate, one_cycle_momentum };
    o = with_defaults(o);
    if (!accepts(opt, "one_cycle_lr") || !is_count(opt, "one_cycle_lr", "total_steps", o.total_steps) ||
        !is_positive(opt, "one_cycle_lr", "div_factor", o.div_factor) ||
        !is_positive(opt, "one_cycle_lr", "final_div_factor", o.final_div_factor) || !check_momentum(opt, &o))
        return NULL;
    double most = o.three_phase ? 0.5 : 1;
    if (o.pct_start > 0 && o.pct_start < most) return schedule_new(opt, &k, &o, sizeof o);
    ad_fail(opt->object.graph, AD_EVALUE, "one_cycle_lr: pct_start %g: it must be above 0 and below %g", o.pct_start,
            most);
    return NULL;
}

/* ---- one schedule after another ----------------------------------------------------------------------------- */

typedef struct {
    const nn_schedule *first, *then;
    double milestone;
} sequence;

static double sequence_rate(const nn_schedule *s, double t, double lr) {
    const sequence *o = s->self;
    if (t < o->milestone) return o->first->kind->rate(o->first, t, lr);
    return o->then->kind->rate(o->then, t - o->milestone, lr);
}

static double sequence_momentum(const nn_schedule *s, double t, double momentum) {
    const sequence *o = s->self;
    const nn_schedule *now = t < o->milestone ? o->first : o->then;
    if (now->kind->momentum == NULL) return momentum;
    return now->kind->momentum(now, now == o->first ? t : t - o->milestone, momentum);
}

/* Tells the graph of the other schedule, if there is one, that one of two is NULL. */
static void refuse_null(const nn_schedule *other) {
    if (other == NULL || nn__check_open(&other->object, NULL, "sequential_lr", "schedule")) return;
    ad_graph *g = other->object.graph;
    if (ad_ok(g)) ad_fail(g, AD_EVALUE, "sequential_lr: one of the two schedules is NULL");
}

nn_schedule *nn_sequential_lr(nn_schedule *first, nn_schedule *then, int64_t milestone) {
    static const kind k = { "sequential", sequence_rate, sequence_momentum };
    if (first == NULL || then == NULL) return refuse_null(first ? first : then), NULL;
    if (nn__check_open(&first->object, NULL, "sequential_lr", "schedule") ||
        nn__check_open(&then->object, NULL, "sequential_lr", "schedule") || !accepts(first->opt, "sequential_lr") ||
        !is_count(first->opt, "sequential_lr", "milestone", milestone))
        return NULL;
    ad_graph *g = first->object.graph;
    if (first->opt != then->opt)
        return ad_fail(g, AD_EVALUE, "sequential_lr: the two schedules belong to two optimisers"), NULL;
    if (first->kind->rate == NULL || then->kind->rate == NULL)
        return ad_fail(g, AD_EVALUE, "sequential_lr: plateau cannot be part of it; call nn_schedule_step on both"),
               NULL;
    return schedule_new(first->opt, &k, &(sequence){ first, then, (double)milestone }, sizeof(sequence));
}

/* ---- plateau -------------------------------------------------------------------------------------------------- */

static const kind plateau = { "plateau", NULL, NULL };

static nn_plateau_opts plateau_with_defaults(nn_plateau_opts o) {
    o.factor = ad_option(o.factor, 0.1), o.threshold = ad_option(o.threshold, 1e-4);
    o.patience = ad_option_int(o.patience, 10), o.cooldown = ad_option_int(o.cooldown, 0);
    o.min_lr = ad_option(o.min_lr, 0), o.eps = ad_option(o.eps, 1e-8);
    return o;
}

nn_schedule *nn_plateau_lr(nn_optim *opt, nn_plateau_opts o) {
    o = plateau_with_defaults(o);
    if (!accepts(opt, "plateau_lr") || !is_not_negative(opt, "plateau_lr", "patience", (double)o.patience) ||
        !is_not_negative(opt, "plateau_lr", "threshold", o.threshold) ||
        !is_not_negative(opt, "plateau_lr", "cooldown", (double)o.cooldown) ||
        !is_not_negative(opt, "plateau_lr", "min_lr", o.min_lr) || !is_not_negative(opt, "plateau_lr", "eps", o.eps))
        return NULL;
    if (!(o.factor > 0 && o.factor < 1)) {
        ad_fail(opt->object.graph, AD_EVALUE, "plateau_lr: factor %g: it must be above 0 and below 1", o.factor);
        return NULL;
    }
    nn_schedule *s = schedule_new(opt, &plateau, &o, sizeof o);
    if (s != NULL) s->past.best = o.maximise ? -INFINITY : INFINITY;
    return s;
}

static bool is_better(const nn_plateau_opts *o, double metric, double best) {
    double margin = o->absolute || isinf(best) ? o->threshold : o->threshold * fabs(best);
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
    int rc = nn__check_open(&s->object, NULL, "schedule_step", "schedule");
    if (rc != AD_OK) return rc;
    if (!ad_ok(s->object.graph)) return ad_error_code(s->object.graph);
    s->t++;
    if (s->kind == &plateau) observe(s, metric);
    else set_rates(s);
    return AD_OK;
}

int nn__check_schedule(const nn_schedule *s, const char *caller) {
    return nn__check_open(&s->object, NULL, caller, "schedule");
}

const nn_optim *nn__schedule_optim(const nn_schedule *s) { return s->opt; }

int nn__schedule_direction(const nn_schedule *s) {
    const nn_plateau_opts *o = s->self;
    return s->kind != &plateau ? 0 : o->maximise ? 1 : -1;
}

const char *nn__schedule_kind(const nn_schedule *s) { return s->kind->name; }

int nn__schedule_state_count(const nn_schedule *s) { return s->kind == &plateau ? 4 : 1; }

static uint64_t add_to_hash(uint64_t hash, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (hash ^ (bits ^ bits >> 32)) * 0x100000001b3u;
}

uint64_t nn__schedule_hash(const nn_schedule *s) {
    enum { STEPS = 10000 };
    uint64_t hash = 0xcbf29ce484222325u;
    if (s->kind == &plateau) {
        const nn_plateau_opts *o = s->self;
        const double all[] = { o->factor, (double)o->patience, o->threshold, (double)o->cooldown, o->min_lr, o->eps,
                               o->maximise, o->absolute };
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) hash = add_to_hash(hash, all[i]);
        return hash;
    }
    for (int t = 0; t < STEPS; t++) {
        hash = add_to_hash(hash, s->kind->rate(s, s->t + t, 1));
        if (s->kind->momentum != NULL) hash = add_to_hash(hash, s->kind->momentum(s, s->t + t, 0));
    }
    return hash;
}

nn__state nn__schedule_state_at(nn_schedule *s, int i) {
    const nn__state all[] = { { "last_epoch", NULL, &s->t },
                              { "best", NULL, &s->past.best },
                              { "num_bad_epochs", NULL, &s->past.bad },
                              { "cooldown_counter", NULL, &s->past.cooldown } };
    return all[i];
}
