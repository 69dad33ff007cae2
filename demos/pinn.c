/* pinn.c: a network solves a Poisson problem from the equation alone, through its own second derivatives. */
#include "demos/demo.h"
#include "nn/nn.h"

enum { EACH = 100 }; /* iterations of L-BFGS per line of the report */
static const double PI = 3.14159265358979323846;

/* The problem: u_xx + u_yy = f on the unit square, u = 0 on its edge. exact solves it; f = -5 pi^2 exact. */
static double exact(double x, double y) { return sin(PI * x) * sin(2 * PI * y); }

typedef struct {
    nn_module *net;
    ad_var *at; /* [n,2]: collocation points */
    ad_var *f;  /* [n] */
} problem;

/* The network's solution at points [n,2]: x (1 - x) y (1 - y) times its output, and so 0 on the edge. */
static ad_var *solution(nn_module *net, ad_var *at) {
    ad_var *hill = ad_prod_axis(ad_mul(at, ad_sub(ad_scalar(ad_graph_of(at), AD_F64, 1), at)), 1, false); /* [n] */
    return ad_mul(hill, ad_select(nn_apply(net, at), 1, 0));
}

/* u_xx + u_yy at each point [n]. Each u depends only on its own point, so row i of the gradient of their sum is the
   gradient of u_i. */
static ad_var *laplacian(ad_var *u, ad_var *at) {
    ad_var *slope, *bend, *sum = NULL;
    ad_gradient(ad_sum(u), 1, &at, &slope); /* [n,2]: u_x, u_y */
    for (int axis = 0; axis < 2; axis++) {
        ad_gradient(ad_sum(ad_select(slope, 1, axis)), 1, &at, &bend); /* [n,2]; for axis 0: u_xx, u_xy */
        ad_var *second = ad_select(bend, 1, axis);
        sum = sum ? ad_add(sum, second) : second;
    }
    return sum;
}

/* The loss: the mean squared residual of the equation. */
static ad_var *residual(void *data) {
    const problem *p = data;
    return nn_mse(laplacian(solution(p->net, p->at), p->at), p->f);
}

/* side x side points at the centres of grid cells, and f there. */
static problem pose(ad_graph *g, nn_module *net, int64_t side) {
    ad_var *at = ad_require_grad(ad_zeros(g, AD_F64, AD_SHAPE(side * side, 2)));
    ad_var *f = ad_zeros(g, AD_F64, AD_SHAPE(side * side));
    double *xy = ad_data_mut(at), *fs = ad_data_mut(f);
    for (int64_t i = 0; i < side * side && ad_ok(g); i++) {
        double x = ((double)(i % side) + 0.5) / (double)side, y = ((double)(i / side) + 0.5) / (double)side;
        xy[2 * i] = x, xy[2 * i + 1] = y;
        fs[i] = -5 * PI * PI * exact(x, y);
    }
    return (problem){ net, at, f };
}

/* The largest error of the network's solution at side x side points other than those of the training. */
static double largest_error(ad_graph *g, nn_module *net, int64_t side) {
    double worst = 0;
    ad_mark m = ad_begin(g);
    ad_var *at = pose(g, net, side).at, *u = solution(net, at);
    for (int64_t i = 0; i < ad_numel(u); i++)
        worst = fmax(worst, fabs(ad_at(u, i) - exact(ad_at(at, 2 * i), ad_at(at, 2 * i + 1))));
    ad_end(g, m);
    return worst;
}

/* Trains for EACH iterations and prints the result. */
static void train(ad_graph *g, nn_optim *opt, problem *p, int64_t iteration) {
    nn_step_closure(opt, residual, p, NULL);
    ad_mark m = ad_begin(g);
    double left = ad_item(residual(p)), error = largest_error(g, p->net, 23);
    if (ad_ok(g)) printf("iteration %4lld  residual %.2e  largest error %.1e\n", (long long)iteration, left, error);
    ad_end(g, m);
}

int main(int argc, char **argv) {
    int64_t seed = 0, rounds = 10, width = 16, side = 12;
    demo_parse(argc, argv,
               "Trains a network to solve u_xx + u_yy = -5 pi^2 sin(pi x) sin(2 pi y) on the unit square, u = 0\n"
               "on its edge, and prints its error, as the exact solution is sin(pi x) sin(2 pi y).",
               (demo_option[]){ DEMO_SEED(&seed),
                                { "rounds", "rounds of 100 iterations of L-BFGS", DEMO_WHOLE, &rounds, 1, 1e6 },
                                { "width", "width of the two hidden layers", DEMO_WHOLE, &width, 1, 200 },
                                { "side", "points along each axis", DEMO_WHOLE, &side, 2, 100 },
                                { 0 } });

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    ad_keep_grads(g, false);
    nn_module *net = nn_mlp(g, AD_F64, 4, (int64_t[]){ 2, width, width, 1 }, ad_tanh);
    problem p = pose(g, net, side);
    nn_optim *opt = nn_lbfgs(net, (nn_lbfgs_opts){ .max_iter = EACH });
    for (int64_t r = 1; r <= rounds && ad_ok(g); r++) train(g, opt, &p, r * EACH);
    return demo_end(argv, g);
}
