/* custom_module.c: a user-defined layer: a struct, a forward function, named parameters and children. */
#include "demos/demo.h"
#include "nn/nn.h"

/* ---- a highway layer (Srivastava et al. 2015): y = t h(x) + (1 - t) x, with t = sigmoid(W x + b) ---------- */

typedef struct {
    nn_module *h, *gate;
    ad_var *scale; /* [width]: multiplies y */
} highway;

static ad_var *highway_forward(nn_module *m, ad_var *x) {
    const highway *s = nn_self(m);
    ad_var *t = ad_sigmoid(nn_apply(s->gate, x)), *h = ad_tanh(nn_apply(s->h, x));
    return ad_mul(s->scale, ad_lerp(x, h, t));
}

static nn_module *highway_new(ad_graph *g, ad_dtype t, int64_t width) {
    nn_module *m = nn_module_new(g, "highway", highway_forward, sizeof(highway));
    if (m == NULL) return NULL; /* the graph has an error */
    highway *s = nn_self(m);
    s->h = nn_add_child(m, "h", nn_linear(g, t, width, width, true));
    s->gate = nn_add_child(m, "gate", nn_linear(g, t, width, width, true));
    s->scale = nn_add_parameter(m, "scale", ad_param(g, t, NULL, AD_SHAPE(width)));
    nn_add_reference(m, &s->h); /* nn_copy sets these fields of a copy to the copy's own parts */
    nn_add_reference(m, &s->gate);
    nn_add_reference(m, &s->scale);
    nn_init_constant(s->scale, 1);
    nn_init_constant(nn_find_parameter(s->gate, "bias"), -1); /* initially, mostly x is passed on */
    return ad_ok(g) ? m : NULL;
}

/* ---- training: as with any other layer --------------------------------------------------------------- */

static double step(ad_graph *g, nn_module *net, nn_optim *opt, ad_var *x, ad_var *target) {
    ad_mark m = ad_begin(g);
    ad_var *loss = nn_mse(nn_apply(net, x), target);
    nn_zero_grad(opt);
    ad_backward(loss);
    nn_step(opt);
    double value = ad_item(loss);
    ad_end(g, m);
    return value;
}

int main(int argc, char **argv) {
    int64_t seed = 0, steps = 1000;
    demo_parse(argc, argv, "Defines a highway layer, and fits sin(3 x) with a network that has two of them.",
               (demo_option[]){ DEMO_SEED(&seed),
                                { "steps", "training steps of Adam", DEMO_WHOLE, &steps, 1, 1e9 },
                                { 0 } });

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    nn_module *net = nn_sequential(g, nn_linear(g, AD_F32, 1, 16, true), highway_new(g, AD_F32, 16),
                                   highway_new(g, AD_F32, 16), nn_linear(g, AD_F32, 16, 1, true));
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.01 });
    ad_var *x = ad_reshape(ad_arange(g, AD_F32, -2, 2, 0.0625), AD_SHAPE(64, 1)), *target = ad_sin(ad_muls(x, 3));
    nn_summary(net, x, stdout);
    double loss = 0;
    for (int64_t i = 0; i < steps && ad_ok(g); i++) loss = step(g, net, opt, x, target);
    if (ad_ok(g)) printf("loss %.6f after %lld steps\n", loss, (long long)steps);
    return demo_end(argv, g);
}
