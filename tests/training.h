/* training.h: the problem of tests/reference/training.py, which the tests of trainings share. */
#ifndef TESTS_TRAINING_H
#define TESTS_TRAINING_H

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

enum { ROWS = 22, EPOCHS = 3 };

static inline void set_parameters(nn_module *m) {
    for (int i = 0; i < nn_parameter_count(m); i++) {
        ad_var *x = nn_parameter_at(m, i).var;
        for (int64_t k = 0; k < ad_numel(x); k++)
            ad_write_element(ad_dtype_of(x), ad_data_mut(x), k, 0.5 * cos(0.3 + 1.1 * (double)k + i));
    }
}

static inline nn_module *net_new(ad_graph *g, ad_dtype t) {
    nn_module *m = nn_mlp(g, t, 3, (int64_t[]){ 3, 4, 3 }, ad_tanh);
    set_parameters(m);
    return m;
}

static inline nn_dataset data_new(ad_graph *g, ad_dtype t) {
    nn_dataset d = { ad_zeros(g, t, AD_SHAPE(ROWS, 3)), ad_zeros(g, t, AD_SHAPE(ROWS)) };
    for (int k = 0; k < 3 * ROWS; k++) ad_write_element(t, ad_data_mut(d.x), k, sin(1 + 0.7 * k));
    for (int i = 0; i < ROWS; i++) ad_write_element(t, ad_data_mut(d.y), i, 5 * i % 3);
    return d;
}

static inline nn_optim *sgd(nn_module *m) { return nn_sgd(m, (nn_sgd_opts){ .lr = 0.2, .momentum = 0.9 }); }
static inline nn_optim *adam(nn_module *m) { return nn_adam(m, (nn_adam_opts){ .lr = 0.05 }); }

static inline void compare(const char *name, const nn_module *m, double tol) {
    double want[200];
    int n = reference_row("training", name, want, COUNT(want)), at = 0;
    for (int i = 0; i < nn_parameter_count(m); i++)
        for (int64_t k = 0; k < ad_numel(nn_parameter_at(m, i).var); k++)
            assert_close_in(name, ad_at(nn_parameter_at(m, i).var, k), want[at++], tol);
    assert_true(at <= n);
}

static inline void assert_same_nets(const nn_module *a, const nn_module *b) {
    for (int i = 0; i < nn_parameter_count(a); i++) {
        ad_var *x = nn_parameter_at(a, i).var, *y = nn_parameter_at(b, i).var;
        assert_memory_equal(ad_data(x), ad_data(y), (size_t)ad_numel(x) * ad_dtype_size(ad_dtype_of(x)));
    }
}

static inline int stop_at(const nn_training_state *s, void *data) { return s->steps == *(int *)data; }

static inline nn_module *noisy_net(ad_graph *g) {
    return nn_sequential(g, nn_linear(g, AD_F32, 3, 4, true), nn_tanh(g), nn_dropout(g, 0.2),
                         nn_linear(g, AD_F32, 4, 3, true));
}

#endif
