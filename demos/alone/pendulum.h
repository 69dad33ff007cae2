/* pendulum.h: a pendulum with a weak motor, and a controller that plans: plain C, which needs the gradient of a plan's
   cost. demos/control.c takes it from the library, demos/alone/control.c from a file that the library wrote. */
#ifndef DEMOS_ALONE_PENDULUM_H
#define DEMOS_ALONE_PENDULUM_H

#include <math.h>
#include <stdio.h>

/* The angle is 0 where the pendulum stands on its head; the motor's torque is too weak to lift it there at once. The
   gravity term is G sin(angle), in 1/s^2, for a length of 1 m and a mass of 1 kg. */
#define PENDULUM_G 9.81
#define PENDULUM_TORQUE 4.0  /* the largest, N m */
#define PENDULUM_FRICTION 0.1
#define PENDULUM_DT 0.04     /* s, of a step of the plan and between two decisions */
enum { PENDULUM_PLAN = 50 }; /* steps of the plan: 2 s */

/* One decision: the controller improves its plan by some steps of Adam (Kingma and Ba 2015) and uses its beginning. */
enum { PENDULUM_ITERATIONS = 40 };

typedef struct {
    double state[2];            /* angle, rad; velocity, rad/s */
    double plan[PENDULUM_PLAN]; /* a step's torque is PENDULUM_TORQUE tanh(plan) */
} pendulum;

/* The cost of a plan from a state, and its gradient. */
typedef double pendulum_cost(void *data, const double state[2], const double plan[], double gradient[]);

static inline void pendulum_step(double state[2], double torque) {
    const double pull = PENDULUM_G * sin(state[0]) + torque - PENDULUM_FRICTION * state[1];
    state[1] += PENDULUM_DT * pull;
    state[0] += PENDULUM_DT * state[1];
}

static inline void pendulum_improve(pendulum *p, pendulum_cost *cost, void *data) {
    double m[PENDULUM_PLAN] = { 0 }, v[PENDULUM_PLAN] = { 0 }, g[PENDULUM_PLAN];
    for (int k = 1; k <= PENDULUM_ITERATIONS; k++) {
        const double rate = 0.1 * (1 - (k - 1.0) / PENDULUM_ITERATIONS);
        cost(data, p->state, p->plan, g);
        for (int i = 0; i < PENDULUM_PLAN; i++) {
            m[i] = 0.9 * m[i] + 0.1 * g[i], v[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
            p->plan[i] -= rate * (m[i] / (1 - pow(0.9, k))) / (sqrt(v[i] / (1 - pow(0.99, k))) + 1e-8);
        }
    }
}

/* The torque now; the rest of the plan moves up. */
static inline double pendulum_decide(pendulum *p, pendulum_cost *cost, void *data) {
    pendulum_improve(p, cost, data);
    const double torque = PENDULUM_TORQUE * tanh(p->plan[0]);
    for (int i = 0; i + 1 < PENDULUM_PLAN; i++) p->plan[i] = p->plan[i + 1];
    return torque;
}

/* Swings the pendulum up from its lowest point for a time in s. Prints its angle as the place of a mark, 0 in the
   middle, every eighth decision. Returns the largest distance from 0 in the last second. */
static inline double pendulum_swing(double seconds, pendulum_cost *cost, void *data, int shown) {
    pendulum p = { { 3.14159265358979, 0 }, { 0 } };
    double away = 0;
    for (int i = 0; i < PENDULUM_PLAN; i++) p.plan[i] = 0.01;
    for (int i = 0; i * PENDULUM_DT < seconds; i++) {
        const double torque = pendulum_decide(&p, cost, data), angle = remainder(p.state[0], 2 * 3.14159265358979);
        if (shown && i % 8 == 0)
            printf("%5.2f s  %+6.2f N m  |%*s%*s|\n", i * PENDULUM_DT, torque, 21 + (int)(angle * 6.3), "o",
                   20 - (int)(angle * 6.3), "");
        if (i * PENDULUM_DT >= seconds - 1 && fabs(angle) > away) away = fabs(angle);
        pendulum_step(p.state, torque);
    }
    return away;
}

#endif
