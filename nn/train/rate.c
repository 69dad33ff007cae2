/* rate.c: looks for a learning rate by a few steps with ever larger ones (Smith 2017). */
#include <math.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/data/shuffle.h"
#include "nn/optim/state.h"
#include "nn/train.h"
#include "nn/train/evaluate.h"

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    nn__loss loss;
    const nn_rate_opts *o;
    nn_loader *loader;
    double *rates, *losses; /* [steps]; losses are smoothed */
    int64_t n;              /* steps done */
    double mean, best;      /* running mean, not corrected for its beginning; the least smoothed loss */
} search;

/* ---- what is put back: arrays of the net, arrays and numbers of the optimiser, random numbers ---------------- */

typedef struct {
    ad_var **arrays;
    double *numbers;
    nn__param_group groups[NN__GROUPS]; /* as they were; their rates are among the numbers too */
    ad_random_state random;
} kept;

static ad_var *array_at(const search *s, int i) {
    int n = nn__array_count(s->net);
    return i < n ? nn__array_at(s->net, i).var : nn__optim_state_at(s->opt, i - n).var;
}

static int array_count(const search *s) { return nn__array_count(s->net) + nn__optim_state_count(s->opt); }

/* In memory of the innermost scope; false when that is short. */
static bool keep(const search *s, kept *k) {
    int n = array_count(s), states = nn__optim_state_count(s->opt);
    k->arrays = ad_scope_zalloc(s->g, (size_t)n * sizeof *k->arrays);
    k->numbers = ad_scope_zalloc(s->g, (size_t)states * sizeof *k->numbers);
    if (k->arrays == NULL || k->numbers == NULL) return false;
    for (int i = 0; i < n; i++) {
        const ad_var *x = array_at(s, i);
        if (x != NULL) k->arrays[i] = ad_tensor(s->g, ad_dtype_of(x), ad_data(x), ad_shape_of(x));
    }
    for (int i = 0; i < states; i++) {
        const double *number = nn__optim_state_at(s->opt, i).number;
        if (number != NULL) k->numbers[i] = *number;
    }
    memcpy(k->groups, s->opt->group, sizeof k->groups);
    k->random = ad_random_get(s->g);
    return ad_ok(s->g);
}

/* Of the parameters that opt does not have, too. */
static void zero_gradients(const search *s) {
    nn_zero_grad(s->opt);
    for (int i = 0; i < nn_parameter_count(s->net); i++) ad_zero_grad(nn_parameter_at(s->net, i).var);
}

static void put_back(const search *s, const kept *k) {
    for (int i = 0; i < nn__array_count(s->net) && ad_ok(s->g); i++)
        ad_data_mut(array_at(s, i)); /* makes results stale */
    for (int i = 0; i < array_count(s); i++)
        if (k->arrays[i] != NULL) nn__put_back(array_at(s, i), ad_data(k->arrays[i]));
    for (int i = 0; i < nn__optim_state_count(s->opt); i++) {
        double *number = nn__optim_state_at(s->opt, i).number;
        if (number != NULL) *number = k->numbers[i];
    }
    ad_random_set(s->g, k->random);
    zero_gradients(s);
}

/* ---- the steps ----------------------------------------------------------------------------------------------- */

/* Groups keep the ratios of their rates. */
static void set_rate(const search *s, const kept *k, double rate) {
    for (int i = 0; i < s->opt->n_groups; i++) s->opt->group[i].lr = rate * (k->groups[i].lr / k->groups[0].lr);
}

/* The next minibatch; epochs follow one another. */
static bool next(const search *s, ad_var **x, ad_var **y) {
    return nn_loader_next(s->loader, x, y) || (ad_ok(s->g) && nn_loader_next(s->loader, x, y));
}

static double train(const search *s) {
    ad_mark m = ad_begin(s->g);
    ad_var *x, *y, *loss = NULL;
    if (next(s, &x, &y)) loss = nn__loss_of(&s->loss, nn_apply(s->net, x), y, NULL);
    if (loss == NULL && ad_ok(s->g)) ad_fail(s->g, AD_EVALUE, "find_rate: the loss function returned NULL");
    zero_gradients(s);
    if (ad_ok(s->g)) ad_backward(loss);
    double value = ad_ok(s->g) ? ad_item(loss) : (double)NAN;
    if (isfinite(value)) nn_step(s->opt);
    ad_end(s->g, m);
    return value;
}

/* Whether the search goes on after this loss. The running mean is corrected for having begun at 0. */
static bool take(search *s, double loss) {
    s->mean = s->o->smoothing * s->mean + (1 - s->o->smoothing) * loss;
    double smooth = s->mean / (1 - pow(s->o->smoothing, (double)(s->n + 1)));
    if (!isfinite(smooth)) return false;
    s->losses[s->n++] = smooth;
    if (s->n == 1 || smooth < s->best) s->best = smooth;
    return !(smooth - s->best > (s->o->divergence - 1) * fabs(s->best)); /* losses may be below 0 */
}

static void climb(search *s, const kept *k) {
    double all = (double)(s->o->steps - 1);
    for (bool more = true; more && s->n < s->o->steps && ad_ok(s->g);) {
        double rate = s->o->from * pow(s->o->to / s->o->from, (double)s->n / all);
        s->rates[s->n] = rate;
        set_rate(s, k, rate);
        more = take(s, train(s));
    }
}

/* ---- what the losses tell ------------------------------------------------------------------------------------ */

/* The slope of the smoothed losses over the steps from .. to-1, as numpy.gradient of them has it. */
static double slope(const search *s, int64_t i, int64_t from, int64_t to) {
    const double *l = s->losses;
    if (i == from) return l[i + 1] - l[i];
    return i == to - 1 ? l[i] - l[i - 1] : (l[i + 1] - l[i - 1]) / 2;
}

/* The first tenth of the steps is left out, and the last step, where the loss has diverged. */
static int judge(const search *s, nn_rates *found) {
    int64_t from = s->o->steps / 10, to = s->n - 1, steepest = from, least = 0;
    found->steps = s->n;
    if (to - from < 2)
        return ad_fail(s->g, AD_EVALUE,
                       "find_rate: the loss was too large after %lld steps of %lld; take a smaller "
                       "`from`, or more steps",
                       (long long)s->n, (long long)s->o->steps);
    for (int64_t i = from; i < to; i++)
        if (slope(s, i, from, to) < slope(s, steepest, from, to)) steepest = i;
    for (int64_t i = 0; i < s->n; i++)
        if (s->losses[i] < s->losses[least]) least = i;
    found->steepest = s->rates[steepest];
    found->minimum = s->rates[least];
    return AD_OK;
}

/* ---- the call ------------------------------------------------------------------------------------------------ */

static nn_rate_opts with_defaults(nn_rate_opts o) {
    o.from = ad_option(o.from, 1e-7);
    o.to = ad_option(o.to, 10);
    o.steps = ad_option_int(o.steps, 100);
    o.batch = ad_option_int(o.batch, 32);
    o.smoothing = ad_option(o.smoothing, 0.98);
    o.divergence = ad_option(o.divergence, 4);
    return o;
}

static int check(ad_graph *g, const nn_module *net, nn_loss_fn *loss, const nn_optim *opt, const nn_rate_opts *o) {
    if (!ad_ok(g)) return g ? ad_error_code(g) : AD_EVALUE;
    if (net == NULL || opt == NULL) return ad_fail(g, AD_EVALUE, "find_rate: the network or the optimiser is NULL");
    if (nn__check_open(&net->object, g, "find_rate", "network") ||
        nn__check_open(&opt->object, g, "find_rate", "optimiser"))
        return AD_EGRAPH;
    if (opt->object.graph != g) return ad_fail(g, AD_EGRAPH, "find_rate: network and optimiser belong to two graphs");
    if ((loss == NULL) == (o->loss_with == NULL))
        return ad_fail(g, AD_EVALUE, "find_rate: one of loss and loss_with must be given");
    if (opt->method->rule == NULL)
        return ad_fail(g, AD_EVALUE, "find_rate: %s has no steps of a given rate", opt->method->name);
    if (!(o->from > 0 && o->to > o->from && o->to < INFINITY) || o->steps < 3)
        return ad_fail(g, AD_EVALUE,
                       "find_rate: %lld steps from %g to %g: at least 3, from a rate above 0 to a larger one",
                       (long long)o->steps, o->from, o->to);
    if (!(o->smoothing >= 0 && o->smoothing < 1 && o->divergence > 1))
        return ad_fail(g, AD_EVALUE,
                       "find_rate: smoothing %g and divergence %g: smoothing is 0 or more and below 1, "
                       "divergence above 1",
                       o->smoothing, o->divergence);
    if (!(opt->group[0].lr > 0)) return ad_fail(g, AD_EVALUE, "find_rate: the optimiser's rate is 0");
    return nn_training(net) ? AD_OK
                            : ad_fail(g, AD_EVALUE, "find_rate: the network is in evaluation mode; call nn_train");
}

static int run(search *s, nn_dataset data, nn_rates *found) {
    kept k;
    s->loader = nn_loader_new(s->g, data, (nn_loader_opts){ .batch = s->o->batch, .in_order = s->o->in_order });
    s->rates = ad_scope_alloc(s->g, (size_t)s->o->steps * sizeof *s->rates);
    s->losses = ad_scope_alloc(s->g, (size_t)s->o->steps * sizeof *s->losses);
    if (s->loader == NULL || s->rates == NULL || s->losses == NULL || !keep(s, &k)) return ad_error_code(s->g);
    climb(s, &k);
    put_back(s, &k);
    if (s->o->rates != NULL) memcpy(s->o->rates, s->rates, (size_t)s->n * sizeof *s->rates);
    if (s->o->losses != NULL) memcpy(s->o->losses, s->losses, (size_t)s->n * sizeof *s->losses);
    return ad_ok(s->g) ? judge(s, found) : ad_error_code(s->g);
}

double nn_find_rate(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_rate_opts o, nn_rates *found) {
    nn_rates result = { NAN, NAN, 0 };
    ad_graph *g = net ? nn_graph_of(net) : ad_graph_of(data.x);
    o = with_defaults(o);
    search s = { .g = g, .net = net, .opt = opt, .loss = { loss, o.loss_with, o.loss_data, false }, .o = &o };
    if (check(g, net, loss, opt, &o) == AD_OK) {
        ad_mark m = ad_begin(g);
        bool kept_grads = ad_keep_grads(g, false);
        run(&s, data, &result);
        ad_keep_grads(g, kept_grads);
        ad_end(g, m);
    }
    if (found != NULL) *found = result;
    return result.steepest;
}
