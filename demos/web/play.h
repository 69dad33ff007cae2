/* play.h: the network of the playground: settings, data, training, and what the page draws of it.

   The page calls the functions marked PAGE through WebAssembly. It owns one `play`, a pointer that it passes to each of
   them. Settings are numbers with names, so that the page needs no copy of the struct's layout. */
#ifndef DEMOS_WEB_PLAY_H
#define DEMOS_WEB_PLAY_H

#include "demos/web/page.h"
#include "autodiff/extend.h"
#include "nn/nn.h"

enum {
    MOST_LAYERS = 7,    /* linear layers: six hidden ones and the output */
    MOST_WIDTH = 16,    /* neurons of a hidden layer */
    MOST_POINTS = 1000, /* to train on */
    MOST_OWN = 400,     /* of them, those that a user can set */
    MAP_SIDE = 64,      /* the maps of neurons have MAP_SIDE^2 pixels; */
    CURVE_POINTS = 200  /* in regression, so many places of the one input */
};

typedef enum { SPIRAL, MOONS, CIRCLES, XOR, SINE, STEP, PACKET, OWN_CLASSES, OWN_CURVE, DATA_KINDS } data_kind;

/* All are double, so that one table has them: see play_settings in play.c. */
typedef struct {
    double data, points, noise, seed;      /* points: those to train on, and as many to test */
    double layers, width[MOST_LAYERS - 1]; /* hidden layers and their neurons */
    double activation, dropout;
    double loss, optimiser, rate, l1, l2, batch; /* batch: 0 for all points */
} play_settings;

/* What is built again when a setting changes that leaves the weights alone stands in an inner scope. */
typedef struct {
    ad_graph *graph;
    play_settings set;
    /* the outer scope: data and weights */
    ad_var *x, *y; /* [n,inputs], [n,1]: points to train on, then points to test */
    int n, n_train;
    nn_module *layer[MOST_LAYERS], *net; /* linear layers, and all of them as one module */
    /* the inner scope */
    ad_mark inner;
    nn_optim *optimiser;
    ad_var *batch_x, *batch_y, *loss;      /* the graph that is trained: evaluated again at each step */
    ad_var *all_y;                         /* the net's result for all points */
    ad_var *train_loss, *test_loss;        /* without penalties; nil where there are no points */
    ad_var *hidden[MOST_LAYERS - 1], *map; /* values of neurons and of the net at the places of the maps */
    /* the order of the minibatches */
    ad_random_state order_random;
    int order[MOST_POINTS], at;
    double steps;
    /* the user's own points: x, y and label */
    float own[MOST_OWN][3];
    int n_own;
} play;

static inline bool play_is_curve(const play *p) {
    int d = (int)p->set.data;
    return d == SINE || d == STEP || d == PACKET || d == OWN_CURVE;
}
static inline int play_layer_count(const play *p) { return (int)p->set.layers + 1; }

/* Makes the points of the settings: x, y, n and n_train. */
void play_make_data(play *p);
/* Makes the layers; and, in the inner scope, the graphs and the optimiser. */
void play_make_net(play *p);
void play_make_graphs(play *p);
/* Fills the minibatch with the next points. */
void play_next_batch(play *p);

#endif
