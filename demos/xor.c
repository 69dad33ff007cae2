/* xor.c: a 2-8-1 network learns exclusive or, the smallest problem that needs a hidden layer. */
#include "demos/demo.h"
#include "nn/nn.h"

/* One step of training; returns the loss. The scope frees all that the step allocated. */
static double step(ad_graph *g, nn_module *net, nn_optim *opt, ad_var *x, ad_var *target) {
    ad_mark m = ad_begin(g);
    ad_var *loss = nn_bce_logits(nn_apply(net, x), target);
    nn_zero_grad(opt);
    ad_backward(loss);
    nn_step(opt);
    double value = ad_item(loss);
    ad_end(g, m);
    return value;
}

static void print_truth_table(ad_graph *g, nn_module *net, ad_var *x) {
    ad_mark m = ad_begin(g);
    ad_var *y = ad_sigmoid(nn_apply(net, x)); /* [4,1]: probability that the answer is 1 */
    printf(" a  b  a xor b\n");
    for (int i = 0; i < 4; i++)
        printf(" %g  %g  %.0f  (%.4f)\n", ad_at(x, 2 * i), ad_at(x, 2 * i + 1), ad_at(y, i), ad_at(y, i));
    ad_end(g, m);
}

int main(int argc, char **argv) {
    int64_t seed = 0, most = 5000;
    double lr = 0.5;
    demo_parse(argc, argv, "Trains a 2-8-1 network on exclusive or until its loss is below 0.001.",
               (demo_option[]){ DEMO_SEED(&seed),
                                { "steps", "maximum number of steps", DEMO_WHOLE, &most, 1, 1e9 },
                                { "lr", "learning rate", DEMO_REAL, &lr, 1e-6, 100 },
                                { 0 } });

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    ad_keep_grads(g, false); /* only the gradients of the parameters are needed */
    ad_var *x = ad_tensor(g, AD_F32, (float[]){ 0, 0, 0, 1, 1, 0, 1, 1 }, AD_SHAPE(4, 2));
    ad_var *target = ad_tensor(g, AD_F32, (float[]){ 0, 1, 1, 0 }, AD_SHAPE(4, 1));
    nn_module *net = nn_mlp(g, AD_F32, 3, (int64_t[]){ 2, 8, 1 }, ad_tanh);
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = lr, .momentum = 0.9 });

    double loss = 1;
    int64_t steps = 0;
    for (; loss >= 1e-3 && steps < most && ad_ok(g); steps++) loss = step(g, net, opt, x, target);
    if (ad_ok(g)) {
        printf("loss %.6f after %lld steps\n", loss, (long long)steps);
        print_truth_table(g, net, x);
    }
    int status = demo_end(argv, g);
    return loss < 1e-3 ? status : 1;
}
