/* reinforce.c: a policy learns to balance a pole on a cart from nothing but the length of its attempts. */
#include "demos/demo.h"
#include "nn/nn.h"

enum { STATE = 4, ACTIONS = 2, MOST_STEPS = 200 };

/* ---- the cart: Barto, Sutton and Anderson 1983 ------------------------------------------------------------- */

/* Place and speed of the cart in m and m/s, angle and speed of the pole in rad and rad/s. */
typedef struct {
    double x, dx, angle, dangle;
    bool fallen;
    int64_t steps; /* until it fell */
} cart;

/* Pushes the cart to the left (0) or to the right (1) for 20 ms. */
static void push(cart *c, int action) {
    const double gravity = 9.8, mass_pole = 0.1, mass = 1.1, half_length = 0.5, force = action ? 10 : -10, dt = 0.02;
    double sine = sin(c->angle), cosine = cos(c->angle);
    double pull = (force + mass_pole * half_length * c->dangle * c->dangle * sine) / mass;
    double turn = (gravity * sine - cosine * pull) / (half_length * (4.0 / 3 - mass_pole * cosine * cosine / mass));
    double speedup = pull - mass_pole * half_length * turn * cosine / mass;
    c->x += dt * c->dx, c->dx += dt * speedup;
    c->angle += dt * c->dangle, c->dangle += dt * turn;
    c->fallen = fabs(c->x) > 2.4 || fabs(c->angle) > 0.2095;
}

/* Near the middle and upright. */
static void start(ad_graph *g, int64_t n, cart carts[]) {
    ad_var *u = ad_adds(ad_muls(ad_rand(g, AD_F32, AD_SHAPE(n, STATE)), 0.1), -0.05);
    for (int64_t i = 0; i < n; i++)
        carts[i] = (cart){ ad_at(u, 4 * i), ad_at(u, 4 * i + 1), ad_at(u, 4 * i + 2), ad_at(u, 4 * i + 3), false, 0 };
}

/* ---- attempts ------------------------------------------------------------------------------------------------- */

/* What was seen and done, one row for each step of each cart that had not fallen. */
typedef struct {
    int64_t rows, carts;
    float *states;                                 /* [rows, STATE] */
    float *actions, *cart_number, *time, *to_come; /* [rows]; to_come is the number of steps from here on */
} record;

static void write_state(const cart *c, float *to) {
    to[0] = (float)c->x, to[1] = (float)c->dx, to[2] = (float)(10 * c->angle), to[3] = (float)c->dangle;
}

/* One step of all carts that stand. Actions are drawn by the policy's probabilities. Returns how many stand. */
static int64_t step_all(ad_graph *g, nn_module *policy, cart carts[], int64_t t, record *r) {
    ad_mark m = ad_begin(g);
    bool enabled = ad_enable_grad(g, false);
    ad_var *states = ad_zeros(g, AD_F32, AD_SHAPE(r->carts, STATE));
    float *to = ad_data_mut(states);
    for (int64_t i = 0; i < r->carts && to != NULL; i++) write_state(&carts[i], to + STATE * i);
    ad_var *actions = ad_categorical(nn_apply(policy, states));
    int64_t standing = 0;
    for (int64_t i = 0; i < r->carts && ad_ok(g); i++) {
        if (carts[i].fallen) continue;
        write_state(&carts[i], r->states + STATE * r->rows);
        r->actions[r->rows] = (float)ad_at(actions, i);
        r->cart_number[r->rows] = (float)i, r->time[r->rows++] = (float)t;
        push(&carts[i], (int)ad_at(actions, i));
        carts[i].steps = t + 1, standing += !carts[i].fallen;
    }
    ad_enable_grad(g, enabled);
    ad_end(g, m);
    return standing;
}

/* Returns the mean number of steps. */
static double attempt(ad_graph *g, nn_module *policy, cart carts[], record *r) {
    start(g, r->carts, carts);
    r->rows = 0;
    for (int64_t t = 0; t < MOST_STEPS && step_all(g, policy, carts, t, r) > 0; t++) {}
    for (int64_t k = 0; k < r->rows; k++) r->to_come[k] = (float)carts[(int)r->cart_number[k]].steps - r->time[k];
    return (double)r->rows / (double)r->carts;
}

/* ---- learning --------------------------------------------------------------------------------------------------- */

/* REINFORCE (Williams 1992): actions become more probable by how much better than expected they went. The baseline
   learns what is to be expected of a state, which makes the gradient less noisy. */
static void learn(ad_graph *g, nn_module *policy, nn_module *baseline, nn_optim *const opts[2], const record *r) {
    ad_mark m = ad_begin(g);
    ad_var *states = ad_tensor(g, AD_F32, r->states, AD_SHAPE(r->rows, STATE));
    ad_var *actions = ad_tensor(g, AD_F32, r->actions, AD_SHAPE(r->rows));
    ad_var *returns = ad_muls(ad_tensor(g, AD_F32, r->to_come, AD_SHAPE(r->rows)), 1.0 / MOST_STEPS);
    ad_var *expected = ad_select(nn_apply(baseline, states), 1, 0), *logits = nn_apply(policy, states);
    ad_var *better = ad_sub(returns, ad_detach(expected)), *scale = ad_adds(ad_std(better, 1), 1e-3);
    ad_var *gain = ad_mean(ad_mul(ad_categorical_log_prob(actions, logits), ad_div(better, scale)));
    ad_var *reward = ad_add(gain, ad_muls(ad_mean(ad_categorical_entropy(logits)), 0.01));
    for (int i = 0; i < 2; i++) nn_zero_grad(opts[i]);
    ad_backward(ad_sub(nn_mse(expected, returns), reward));
    for (int i = 0; i < 2; i++) nn_step(opts[i]);
    ad_end(g, m);
}

static void train(ad_graph *g, cart carts[], record *r, int64_t updates, int64_t hidden, double lr) {
    nn_module *policy = nn_mlp(g, AD_F32, 3, (int64_t[]){ STATE, hidden, ACTIONS }, ad_tanh);
    nn_module *baseline = nn_mlp(g, AD_F32, 3, (int64_t[]){ STATE, hidden, 1 }, ad_tanh);
    nn_adam_opts o = { .lr = lr };
    nn_optim *opts[] = { nn_adam(policy, o), nn_adam(baseline, o) };
    double sum = 0;
    for (int64_t u = 1; u <= updates && ad_ok(g); u++) {
        sum += attempt(g, policy, carts, r);
        learn(g, policy, baseline, opts, r);
        if (u % 10 == 0 && ad_ok(g)) printf("update %lld  mean return %.1f\n", (long long)u, sum / 10), sum = 0;
    }
}

static void run(ad_graph *g, int64_t updates, int64_t n, int64_t hidden, double lr) {
    const int64_t most = n * MOST_STEPS;
    float *memory = ad_data_mut(ad_zeros(g, AD_F32, AD_SHAPE(most, STATE + 4)));
    cart *carts = calloc((size_t)n, sizeof *carts);
    if (memory != NULL && carts != NULL) {
        float *ends = memory + STATE * most;
        record r = { 0, n, memory, ends, ends + most, ends + 2 * most, ends + 3 * most };
        train(g, carts, &r, updates, hidden, lr);
    }
    free(carts);
}

int main(int argc, char **argv) {
    int64_t updates = 100, carts = 16, hidden = 32, seed = 0;
    double lr = 0.01;
    demo_parse(argc, argv,
               "Learns by REINFORCE to balance a pole on a cart by pushing the cart. The return of an attempt is the\n"
               "number of steps until the pole falls, at most 200; the program prints its mean over ten updates.",
               (demo_option[]){ { "updates", "updates of the policy", DEMO_WHOLE, &updates, 10, 1e6 },
                                { "carts", "attempts before each update", DEMO_WHOLE, &carts, 1, 1e4 },
                                { "hidden", "width of the hidden layers", DEMO_WHOLE, &hidden, 1, 1e5 },
                                { "lr", "learning rate of Adam", DEMO_REAL, &lr, 1e-9, 100 },
                                DEMO_SEED(&seed),
                                { 0 } });
    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    ad_keep_grads(g, false);
    run(g, updates, carts, hidden, lr);
    return demo_end(argv, g);
}
