/* play_data.c: the playground's data sets, in -1 .. 1, and the user's own points. */
#include "demos/web/play.h"

#include <math.h>
#include <string.h>

/* ---- data sets ----------------------------------------------------------------------------------------------- */

static double sine(double x) { return 0.8 * sin(3 * x * 1.5); }
static double stairs(double x) { return 0.35 * (x > -0.5) + 0.35 * (x > 0) + 0.35 * (x > 0.5) - 0.55; }
static double packet(double x) { return 0.9 * exp(-3 * x * x) * cos(9 * x); }

/* x and y of n points of a kind. The scale of noise is that of the radius 1. */
static nn_dataset points_of(ad_graph *g, data_kind kind, int64_t n, double noise) {
    switch (kind) {
    case MOONS: return nn_moons_data(g, AD_F32, n, noise);
    case CIRCLES: return nn_circles_data(g, AD_F32, n, noise, 0.45);
    case XOR: return nn_xor_data(g, AD_F32, n, noise);
    case SINE: return nn_curve_data(g, AD_F32, n, -1, 1, sine, noise);
    case STEP: return nn_curve_data(g, AD_F32, n, -1, 1, stairs, noise);
    case PACKET: return nn_curve_data(g, AD_F32, n, -1, 1, packet, noise);
    default: return nn_spiral_data(g, AD_F32, n, 2, noise);
    }
}

/* Moves the points of a kind into -1 .. 1: x is k (x - middle). */
static void place(data_kind kind, int64_t n, float *x) {
    static const double middle[][2] = { [MOONS] = { 0.5, 0.25 }, [XOR] = { 0.5, 0.5 }, [DATA_KINDS] = { 0, 0 } };
    static const double scale[] = { [SPIRAL] = 0.92, [MOONS] = 0.6, [CIRCLES] = 0.85, [XOR] = 1.2, [DATA_KINDS] = 1 };
    if (kind > XOR) return;
    for (int64_t i = 0; i < 2 * n; i++) x[i] = (float)(scale[kind] * (x[i] - middle[kind][i % 2]));
}

/* The points to train on and those to test are drawn as one set and dealt out four by four, as classes and corners
   alternate. */
static void deal(play *p, nn_dataset drawn, int64_t width) {
    int64_t place[2] = { 0, p->n_train }, end[2] = { p->n_train, p->n };
    float *x = ad_data_mut(p->x), *y = ad_data_mut(p->y);
    for (int64_t i = 0; i < p->n; i++) {
        int part = (int)(i / 4 % 2);
        if (place[part] == end[part]) part = !part;
        for (int64_t k = 0; k < width; k++) x[width * place[part] + k] = (float)ad_at(drawn.x, width * i + k);
        y[place[part]++] = (float)ad_at(drawn.y, i);
    }
}

static void make_drawn(play *p) {
    data_kind kind = (data_kind)(int)p->set.data;
    int64_t n = 2 * (int64_t)p->set.points, width = kind > XOR ? 1 : 2;
    nn_dataset drawn = points_of(p->graph, kind, n, p->set.noise * (kind == SPIRAL ? 0.3 : kind == XOR ? 0.6 : 1));
    p->x = ad_zeros(p->graph, AD_F32, AD_SHAPE(n, width));
    p->y = ad_zeros(p->graph, AD_F32, AD_SHAPE(n, 1));
    p->n = (int)n, p->n_train = (int)(n / 2);
    if (!ad_ok(p->graph)) return;
    deal(p, drawn, width);
    place(kind, n, ad_data_mut(p->x));
}

static void make_own(play *p) {
    bool curve = play_is_curve(p);
    int width = curve ? 1 : 2;
    p->n = p->n_train = p->n_own;
    p->x = ad_zeros(p->graph, AD_F32, AD_SHAPE(p->n, width));
    p->y = ad_zeros(p->graph, AD_F32, AD_SHAPE(p->n, 1));
    if (!ad_ok(p->graph)) return;
    float *x = ad_data_mut(p->x), *y = ad_data_mut(p->y);
    for (int i = 0; i < p->n; i++) {
        memcpy(&x[width * i], p->own[i], (size_t)width * sizeof *x);
        y[i] = p->own[i][curve ? 1 : 2];
    }
}

void play_make_data(play *p) {
    if (p->set.data >= OWN_CLASSES) make_own(p);
    else make_drawn(p);
}

PAGE const float *play_points(const play *p) { return ad_data(p->x); }
PAGE const float *play_labels(const play *p) { return ad_data(p->y); }
PAGE int play_point_count(const play *p) { return p->n; }
PAGE int play_train_count(const play *p) { return p->n_train; }

/* ---- own points ---------------------------------------------------------------------------------------------- */

PAGE int play_own_count(const play *p) { return p->n_own; }
PAGE void play_own_clear(play *p) { p->n_own = 0; }
PAGE double play_own_at(const play *p, int i, int field) { return p->own[i][field]; }
PAGE void play_own_undo(play *p) { p->n_own -= p->n_own > 0; }

/* False where there is no room for one more. Places are whole thousandths, as an address has them. */
PAGE int play_own_add(play *p, double x, double y, int label) {
    if (p->n_own >= MOST_OWN) return 0;
    float *at = p->own[p->n_own++];
    at[0] = (float)(rint(1000 * x) / 1000), at[1] = (float)(rint(1000 * y) / 1000), at[2] = (float)label;
    return 1;
}

/* The present points to train on become the user's own. */
PAGE void play_own_take(play *p) {
    const float *x = ad_data(p->x), *y = ad_data(p->y);
    bool curve = play_is_curve(p);
    p->n_own = 0;
    for (int i = 0; i < p->n_train; i++)
        play_own_add(p, x[curve ? i : 2 * i], curve ? y[i] : x[2 * i + 1], curve ? 0 : (int)y[i]);
}
