/* update.h: the fused updates of optimisers: one pass over a parameter's memory.

   A rule takes the numbers of one step (a struct below), the gradient dx, the state that it keeps for
   each element (at most NN__RULE_STATES arrays like x) and moves x. The gradient of every rule with a
   decay is d = dx + decay x; state that a comment calls optional may be NULL. */
#ifndef NN_KERNELS_UPDATE_H
#define NN_KERNELS_UPDATE_H

#include "autodiff/base/parallel.h"

enum { NN__RULE_STATES = 3 };
typedef void nn__rule_fn(int64_t n, const void *numbers, const void *dx, void *const state[], void *x);
typedef struct {
    nn__rule_fn *run[2]; /* by dtype */
} nn__rule;
/* One step of a rule on n elements, which the team shares. */
void nn__update(ad_team *team, const nn__rule *rule, ad_dtype t, int64_t n, const void *numbers, const void *dx,
                void *const state[], void *x);

/* state: v, optional. v = momentum v + keep d; x -= lr (now d + later v) */
typedef struct {
    double lr, decay, momentum, keep, now, later;
} nn__sgd_numbers;
extern const nn__rule nn__rule_sgd;

/* state: m, v, top (optional, the largest v so far). x *= shrink; m and v are the running means of d and
   d^2 by beta1 and beta2; x -= (lr m + now d) / (sqrt(v or top) root + eps) */
typedef struct {
    double lr, now, decay, shrink, beta1, beta2, root, eps;
} nn__adam_numbers;
extern const nn__rule nn__rule_adam;

/* state: v, mean (optional), velocity (optional). v and mean are the running means of d^2 and d by alpha;
   u = d / (sqrt(v - mean^2) + eps); velocity = momentum velocity + u; x -= lr (velocity or u) */
typedef struct {
    double lr, decay, alpha, momentum, eps;
} nn__rmsprop_numbers;
extern const nn__rule nn__rule_rmsprop;

/* state: s. s += d^2; x -= lr d / (sqrt(s) + eps) */
typedef struct {
    double lr, decay, eps;
} nn__adagrad_numbers;
extern const nn__rule nn__rule_adagrad;

/* state: v, a. v is the running mean of d^2 by rho; u = d sqrt(a + eps) / sqrt(v + eps); a that of u^2;
   x -= lr u */
typedef struct {
    double lr, decay, rho, eps;
} nn__adadelta_numbers;
extern const nn__rule nn__rule_adadelta;

/* state: m, top. m is the running mean of d by beta1; top = max(beta2 top, |d| + eps); x -= lr m / top */
typedef struct {
    double lr, decay, beta1, beta2, eps;
} nn__adamax_numbers;
extern const nn__rule nn__rule_adamax;

/* state: m. x *= shrink; x -= lr sign(beta1 m + (1 - beta1) dx); m is the running mean of dx by beta2 */
typedef struct {
    double lr, shrink, beta1, beta2;
} nn__lion_numbers;
extern const nn__rule nn__rule_lion;

/* ---- gradients before the update ----------------------------------------------------------------- */

double nn__array_sum_squares_f32(int64_t n, const float *x); /* accumulated in f64 */
double nn__array_sum_squares_f64(int64_t n, const double *x);
void nn__array_scale_f32(int64_t n, double k, float *x);
void nn__array_scale_f64(int64_t n, double k, double *x);
void nn__array_limit_f32(int64_t n, double limit, float *x); /* to -limit .. limit; NaN stays */
void nn__array_limit_f64(int64_t n, double limit, double *x);
double nn__array_dot(int64_t n, const double *x, const double *y);
double nn__array_sum_sizes(int64_t n, const double *x); /* of magnitudes */
double nn__array_largest(int64_t n, const double *x); /* magnitude; 0 of none */

#endif
