/* fann.c: the xor cases in FANN. An epoch of its batch training is one step of gradient descent. */
#include <floatfann.h>
#include <math.h>
#include <stdlib.h>

#include "bench/peers/serve.h"

typedef struct {
    struct fann *net;
    struct fann_train_data *data;
} xor_state;

/* The weights of mlp_new in bench/nets.c. A bias in FANN is a weight from a neuron that is always 1. */
static void set_weights(struct fann *net) {
    enum { BIAS_OF_INPUTS = 2, HIDDEN = 3, OUTPUT = 12 }; /* neurons: 0, 1 inputs; 2 bias; 3 to 10 hidden; 11 bias */
    float one[16], two[8];
    serve_fill(one, 16, 7), serve_fill(two, 8, 8);
    for (unsigned j = 0; j < 8; j++) {
        for (unsigned k = 0; k < 2; k++) fann_set_weight(net, k, HIDDEN + j, one[j * 2 + k] / sqrtf(2));
        fann_set_weight(net, BIAS_OF_INPUTS, HIDDEN + j, 0);
        fann_set_weight(net, HIDDEN + j, OUTPUT, two[j] / sqrtf(8));
    }
    fann_set_weight(net, HIDDEN + 8, OUTPUT, 0);
}

/* FANN moves by rate / rows * sum(error), which is half of the gradient of the mean squared error. */
static void set_rate(struct fann *net, float lr) { fann_set_learning_rate(net, 2 * lr); }

static void *setup(void) {
    xor_state *s = malloc(sizeof *s);
    s->net = fann_create_standard(3, 2, 8, 1);
    s->data = fann_create_train(4, 2, 1);
    for (int i = 0; i < 4; i++) {
        s->data->input[i][0] = (float)(i / 2), s->data->input[i][1] = (float)(i % 2);
        s->data->output[i][0] = (float)(i / 2 ^ i % 2);
    }
    fann_set_activation_function_hidden(s->net, FANN_SIGMOID_SYMMETRIC); /* tanh(steepness x) */
    fann_set_activation_steepness_hidden(s->net, 1);
    fann_set_activation_function_output(s->net, FANN_LINEAR);
    fann_set_activation_steepness_output(s->net, 1);
    fann_set_training_algorithm(s->net, FANN_TRAIN_BATCH);
    fann_set_train_error_function(s->net, FANN_ERRORFUNC_LINEAR);
    set_weights(s->net);
    set_rate(s->net, 1e-4f);
    return s;
}

static void work(void *state) {
    xor_state *s = state;
    fann_train_epoch(s->net, s->data);
}

static void result(void *state, double to[2]) {
    xor_state *s = state;
    set_rate(s->net, 0.1f);
    to[0] = fann_train_epoch(s->net, s->data);
    for (int i = 1; i < 100; i++) to[1] = fann_train_epoch(s->net, s->data);
}

static void teardown(void *state) {
    xor_state *s = state;
    fann_destroy_train(s->data);
    fann_destroy(s->net);
    free(s);
}

int main(void) {
    const served_case cases[] = { { "xor-rebuild", "-", 1, setup, work, result, teardown },
                                  { "xor-eval", "-", 1, setup, work, result, teardown } };
    return serve(2, cases);
}
