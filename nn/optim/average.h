/* average.h: the parts of an average of weights; private to nn. */
#ifndef NN_OPTIM_AVERAGE_H
#define NN_OPTIM_AVERAGE_H

#include "nn/module/module_private.h"
#include "nn/optim.h"

typedef struct {
    nn_parameter of;
    ad_var *average;
} nn__averaged;

struct nn_average {
    nn__object object;
    nn_average_opts o;
    double count;        /* updates */
    bool swapped;        /* the module has the averages, and they are its weights */
    int n, n_parameters; /* arrays; the parameters are the first ones */
    nn__averaged each[];
};

/* nn_average_swap whatever the graph's state. */
void nn__average_exchange(nn_average *a);
/* 0 where a is open and of the arrays of m; otherwise an error of g. */
int nn__check_average(const nn_average *a, const nn_module *m, ad_graph *g, const char *caller);

#endif
