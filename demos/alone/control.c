/* control.c: the controller of demos/control.c without the library: it needs cost.c and cost.h, which
   `control --export cost.c` writes, and libm. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "cost.h"

#include "demos/alone/pendulum.h"

static double cost_of_plan(void *data, const double state[2], const double plan[], double gradient[]) {
    double cost, of_state[2], work[COST_GRADIENT_WORK];
    cost_gradient(plan, state, &cost, gradient, of_state, work);
    ++*(long *)data;
    return cost;
}

int main(void) {
    enum { ROUNDS = 20 };
    long calls = 0;
    double away = 0;
    const clock_t start = clock();
    for (int i = 0; i < ROUNDS; i++) away = pendulum_swing(6, cost_of_plan, &calls, i == 0);
    const double took = (double)(clock() - start) / CLOCKS_PER_SEC, decisions = (double)calls / PENDULUM_ITERATIONS;
    printf("largest angle in the last second: %.4f rad\n%.0f decisions a second\n", away, decisions / took);
    return away < 0.1 ? 0 : 1;
}
