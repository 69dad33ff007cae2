/* optim.c: optimisers: what moves parameters against their gradients. */
#include "autodiff/node.h"
#include "nn/nn.h"
#include "ops/kernels/optim.h"

typedef struct {
    ad_var *x;
    ad_var *velocity; /* like x; NULL without momentum */
    bool moving;      /* velocity holds what an earlier step left */
} slot;

struct nn_optim {
    ad_graph *graph;
    nn_sgd_opts opts;
    int n;
    slot slots[];
};

static int check_sgd(ad_graph *g, nn_sgd_opts o) {
    if (!(o.lr > 0) || o.lr > 1e300)
        return ad_fail(g, AD_EVALUE, "sgd: lr %g: it must be a finite number above 0", o.lr);
    if (!(o.momentum >= 0) || !(o.weight_decay >= 0))
        return ad_fail(g, AD_EVALUE, "sgd: momentum %g and weight_decay %g: neither may be below 0", o.momentum,
                       o.weight_decay);
    if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
        return ad_fail(g, AD_EVALUE, "sgd: nesterov needs a momentum above 0, and no dampening");
    return AD_OK;
}

nn_optim *nn_sgd(nn_module *m, nn_sgd_opts o) {
    ad_graph *g = nn_graph_of(m);
    if (!ad_ok(g) || check_sgd(g, o)) return NULL;
    int n = nn_parameter_count(m);
    nn_optim *opt = ad__node_zalloc(g, sizeof *opt + (size_t)n * sizeof *opt->slots);
    if (opt == NULL) return NULL;
    *opt = (nn_optim){ .graph = g, .opts = o, .n = n };
    for (int i = 0; i < n; i++) {
        slot *s = &opt->slots[i];
        s->x = nn_parameter_at(m, i).var;
        if (o.momentum != 0) s->velocity = ad_zeros(g, ad_dtype_of(s->x), ad_shape_of(s->x));
    }
    return ad_ok(g) ? opt : NULL;
}

/* As torch.optim.SGD: decay is part of the gradient, and the first velocity is the gradient whole. */
static void sgd_update(const nn_sgd_opts *o, slot *s) {
    ad__sgd k = { .lr = o->lr,
                  .decay = o->weight_decay,
                  .momentum = o->momentum,
                  .keep = 1 - o->dampening,
                  .now = o->nesterov ? 1 : 0,
                  .later = o->nesterov ? o->momentum : 1 };
    if (!s->moving) k.momentum = 0, k.keep = 1;
    s->moving = true;
    void *x = ad_data_mut(s->x), *v = s->velocity ? ad_data_mut(s->velocity) : NULL;
    if (ad_dtype_of(s->x) == AD_F32) ad__sgd_f32(ad_numel(s->x), &k, ad_grad(s->x), v, x);
    else ad__sgd_f64(ad_numel(s->x), &k, ad_grad(s->x), v, x);
}

int nn_step(nn_optim *opt) {
    if (opt == NULL) return AD_EVALUE;
    if (!ad_ok(opt->graph)) return ad_error_code(opt->graph);
    for (int i = 0; i < opt->n; i++)
        if (opt->slots[i].x->flags & AD__HAS_GRAD) sgd_update(&opt->opts, &opt->slots[i]);
    return AD_OK;
}

void nn_zero_grad(nn_optim *opt) {
    for (int i = 0; opt != NULL && i < opt->n; i++) ad_zero_grad(opt->slots[i].x);
}

void nn_set_lr(nn_optim *opt, double lr) {
    if (opt == NULL) return;
    if (lr >= 0 && lr < 1e300) opt->opts.lr = lr;
    else ad_fail(opt->graph, AD_EVALUE, "set_lr: lr %g: it must be a finite number, 0 or more", lr);
}

double nn_lr(const nn_optim *opt) { return opt ? opt->opts.lr : 0; }
