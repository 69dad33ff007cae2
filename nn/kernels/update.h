/* update.h: the fused updates of optimisers: one pass over a parameter's memory.

   A rule takes the numbers of one step (a struct below), the gradient dx and the states that it keeps for each element:
   arrays like x, in the order of the enum above the struct. It moves x. In every rule with a decay, the gradient is
   d = dx + decay x. A state that a comment calls optional may be NULL. The names of the states are PyTorch's. */
#ifndef NN_KERNELS_UPDATE_H
#define NN_KERNELS_UPDATE_H

#include "autodiff/base/parallel.h"

enum { NN__RULE_STATES = 3 }; /* the most that a rule keeps */
typedef void nn__rule_fn(int64_t n, const void *numbers, const void *dx, void *const state[], void *x);
typedef struct {
    nn__rule_fn *run[2]; /* by dtype */
} nn__rule;
/* One step of a rule on n elements, which the team's threads share. */
void nn__update(ad_team *team, const nn__rule *rule, ad_dtype t, int64_t n, const void *numbers, const void *dx,
                void *const state[], void *x);

/* momentum_buffer = momentum momentum_buffer + undamped d; x -= lr (of_gradient d + of_buffer momentum_buffer).
   Without the optional momentum_buffer: x -= lr d. */
enum { NN__SGD_MOMENTUM_BUFFER };
typedef struct {
    double lr, decay, momentum;
    double undamped; /* 1 - dampening */
    double of_gradient, of_buffer;
} nn__sgd_numbers;
extern const nn__rule nn__rule_sgd;

/* x *= shrink; exp_avg and exp_avg_sq are the running means of d and d^2 by beta1 and beta2; max_exp_avg_sq, which is
   optional, is the largest exp_avg_sq so far;
   x -= (lr exp_avg + lr_gradient d) / (sqrt(max_exp_avg_sq or exp_avg_sq) correction + eps) */
enum { NN__ADAM_EXP_AVG, NN__ADAM_EXP_AVG_SQ, NN__ADAM_MAX_EXP_AVG_SQ };
typedef struct {
    double lr, lr_gradient, decay, shrink, beta1, beta2;
    double correction; /* 1 / sqrt(1 - beta2^step) */
    double eps;
} nn__adam_numbers;
extern const nn__rule nn__rule_adam;

/* square_avg and grad_avg (optional) are the running means of d^2 and d by alpha;
   u = d / (sqrt(square_avg - grad_avg^2) + eps); momentum_buffer (optional) = momentum momentum_buffer + u;
   x -= lr (momentum_buffer or u) */
enum { NN__RMSPROP_SQUARE_AVG, NN__RMSPROP_GRAD_AVG, NN__RMSPROP_MOMENTUM_BUFFER };
typedef struct {
    double lr, decay, alpha, momentum, eps;
} nn__rmsprop_numbers;
extern const nn__rule nn__rule_rmsprop;

/* sum += d^2; x -= lr d / (sqrt(sum) + eps) */
enum { NN__ADAGRAD_SUM };
typedef struct {
    double lr, decay, eps;
} nn__adagrad_numbers;
extern const nn__rule nn__rule_adagrad;

/* square_avg is the running mean of d^2 by rho; u = d sqrt(acc_delta + eps) / sqrt(square_avg + eps); acc_delta is the
   running mean of u^2 by rho; x -= lr u */
enum { NN__ADADELTA_SQUARE_AVG, NN__ADADELTA_ACC_DELTA };
typedef struct {
    double lr, decay, rho, eps;
} nn__adadelta_numbers;
extern const nn__rule nn__rule_adadelta;

/* exp_avg is the running mean of d by beta1; exp_inf = max(beta2 exp_inf, |d| + eps); x -= lr exp_avg / exp_inf */
enum { NN__ADAMAX_EXP_AVG, NN__ADAMAX_EXP_INF };
typedef struct {
    double lr, decay, beta1, beta2, eps;
} nn__adamax_numbers;
extern const nn__rule nn__rule_adamax;

/* x *= shrink; x -= lr sign(beta1 exp_avg + (1 - beta1) dx); exp_avg is the running mean of dx by beta2 */
enum { NN__LION_EXP_AVG };
typedef struct {
    double lr, shrink, beta1, beta2;
} nn__lion_numbers;
extern const nn__rule nn__rule_lion;

#endif
