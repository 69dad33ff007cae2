/* fit.h: a training that test_nn_fit.c and test_nn_checkpoint.c share. */
#ifndef TESTS_FIT_H
#define TESTS_FIT_H

#include "nn/nn.h"
#include "tests/common.h"

enum { TEXT_SIZE = 16384 };
static inline char *text_of(const char *path) {
    static char text[TEXT_SIZE];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

typedef struct {
    ad_graph *g;
    nn_parts data;
    nn_module *net;
    nn_optim *opt;
    nn_fit_opts o;
} problem;

/* Noise in the network, so that it draws random numbers between shuffles. */
static inline ad_var *noisy(ad_var *x) { return ad_dropout(x, 0.1, true); }

static inline problem problem_new(void) {
    problem p = { .g = ad_graph_new() };
    ad_seed(p.g, 4);
    p.data = nn_split(nn_moons_data(p.g, AD_F32, 90, 0.1), (nn_split_opts){ .validation = 0.3 });
    p.net = nn_sequential(p.g, nn_linear(p.g, AD_F32, 2, 6, true), nn_tanh(p.g), nn_function(p.g, noisy),
                          nn_linear(p.g, AD_F32, 6, 2, true));
    p.opt = nn_adam(p.net, (nn_adam_opts){ .lr = 0.02 });
    p.o = (nn_fit_opts){ .epochs = 5,
                         .batch = 10,
                         .validation = p.data.validation,
                         .metric = nn_accuracy,
                         .metric_name = "accuracy",
                         .schedule = nn_exponential_lr(p.opt, 0.9) };
    return p;
}

static inline int fit(problem *p, nn_training_state *end) {
    return nn_fit(p->net, nn_cross_entropy, p->opt, p->data.train, p->o, end);
}

static inline void assert_same_net(const problem *a, const problem *b) {
    for (int i = 0; i < nn_parameter_count(a->net); i++) {
        ad_var *x = nn_parameter_at(a->net, i).var, *y = nn_parameter_at(b->net, i).var;
        assert_memory_equal(ad_data(x), ad_data(y), (size_t)ad_numel(x) * ad_dtype_size(ad_dtype_of(x)));
    }
}

static inline void shake(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *data) {
    (void)data;
    assert_true(t == AD_F32 && row.ndim == 1 && row.dim[0] == 2);
    for (int i = 0; i < 2; i++) ((float *)to)[i] = ((const float *)from)[i] + (float)(0.1 * nn_random_normal(r));
}

static inline int stop_at(const nn_training_state *s, void *data) { return s->steps == *(int *)data; }

static inline double falling(const ad_var *y, const ad_var *target) {
    (void)target;
    return -fabs(ad_at(y, 0));
}

#endif
