/* play.c: the playground's settings, and training step by step. */
#include "demos/web/play.h"

#include <stdlib.h>
#include <string.h>

/* ---- settings ------------------------------------------------------------------------------------------------ */

/* How far back a change goes: to the data and new weights, to the graphs and the optimiser, or nowhere. */
typedef enum { WEIGHTS, GRAPHS, AT_ONCE } reach;

#define SETTING(field, lo, hi, start, reach)                                                                           \
    { #field, offsetof(play_settings, field), lo, hi, start, reach }
#define WIDTH(i, start)                                                                                                \
    { "width" #i, offsetof(play_settings, width) + (i) * sizeof(double), 1, MOST_WIDTH, start, WEIGHTS }
static const struct {
    const char *name;
    size_t offset;
    double lo, hi, start;
    reach reach;
} settings[] = {
    SETTING(data, 0, DATA_KINDS - 1, SPIRAL, WEIGHTS),
    SETTING(points, 10, MOST_POINTS, 200, WEIGHTS),
    SETTING(noise, 0, 1, 0.1, WEIGHTS),
    SETTING(seed, 0, 1e9, 1, WEIGHTS),
    SETTING(layers, 0, MOST_LAYERS - 1, 2, WEIGHTS),
    WIDTH(0, 8),
    WIDTH(1, 8),
    WIDTH(2, 8),
    WIDTH(3, 8),
    WIDTH(4, 8),
    WIDTH(5, 8),
    SETTING(activation, 0, 11, 0, WEIGHTS),
    SETTING(dropout, 0, 0.9, 0, GRAPHS),
    SETTING(loss, 0, 4, 0, GRAPHS),
    SETTING(optimiser, 0, 9, 0, GRAPHS),
    SETTING(rate, 1e-6, 10, 0.01, AT_ONCE),
    SETTING(l1, 0, 1, 0, GRAPHS),
    SETTING(l2, 0, 1, 0, GRAPHS),
    SETTING(batch, 0, MOST_POINTS, 32, GRAPHS),
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static double *setting_at(play *p, int i) { return (double *)((char *)&p->set + settings[i].offset); }

PAGE int play_setting_count(void) { return SETTINGS; }
PAGE const char *play_setting_name(int i) { return settings[i].name; }
PAGE double play_get(play *p, int i) { return *setting_at(p, i); }

/* ---- making and changing ------------------------------------------------------------------------------------- */

/* The graphs and the optimiser, for the weights as they are. */
static void make_inner(play *p) {
    if (p->inner.graph != NULL) ad_end(p->graph, p->inner);
    p->inner = ad_begin(p->graph);
    play_make_graphs(p);
}

/* New data and weights, from the seed. */
PAGE int play_reset(play *p) {
    ad_graph_free(p->graph);
    p->graph = ad_graph_new();
    p->inner = (ad_mark){ 0 };
    p->steps = 0;
    ad_seed(p->graph, (uint64_t)p->set.seed);
    play_make_data(p);
    play_make_net(p);
    p->order_random = ad_random_get(p->graph);
    p->order_random.seed++;
    p->at = 0;
    for (int i = 0; i < p->n_train; i++) p->order[i] = i;
    make_inner(p);
    return ad_error_code(p->graph);
}

PAGE play *play_new(void) {
    play *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    for (int i = 0; i < SETTINGS; i++) *setting_at(p, i) = settings[i].start;
    play_reset(p);
    return p;
}

/* Changes a setting, which is put into its range. Returns how far back the change goes: 0 to data and weights, which
   play_reset makes anew; 1 to the optimiser, whose memory is lost; 2 nowhere. */
PAGE int play_set(play *p, int i, double value) {
    double lo = settings[i].lo, hi = settings[i].hi;
    *setting_at(p, i) = value >= lo ? value <= hi ? value : hi : lo;
    return settings[i].reach;
}

/* After changes that leave the weights alone. */
PAGE int play_change(play *p, int graphs) {
    if (graphs) make_inner(p);
    else nn_set_lr(p->optimiser, p->set.rate);
    return ad_error_code(p->graph);
}

PAGE const char *play_error(const play *p) { return ad_error(p->graph); }

/* ---- training ------------------------------------------------------------------------------------------------ */

/* n steps. The result is false after an error, such as a loss that is not a number. */
PAGE int play_train(play *p, int n) {
    for (int i = 0; i < n && p->n_train > 0 && ad_ok(p->graph); i++) {
        play_next_batch(p);
        ad_eval(p->loss);
        nn_zero_grad(p->optimiser);
        ad_backward(p->loss);
        nn_step(p->optimiser);
        p->steps++;
    }
    return ad_ok(p->graph);
}

PAGE double play_steps(const play *p) { return p->steps; }
