/* axon.h: a step of the squid axon of Hodgkin and Huxley, as Vars; for the lectures that show it. */
#ifndef DEMOS_LECTURES_AXON_H
#define DEMOS_LECTURES_AXON_H

#include "ops/ops.h"

/* Potentials in mV, times in ms, currents in uA/cm2, conductances in mS/cm2, 1 uF/cm2 (Hodgkin and Huxley 1952, at 6.3
   degrees, in the modern convention: rest at -65 mV). */
static const double AXON_DT = 0.01, AXON_NA = 50, AXON_K = -77, AXON_L = -54.387;
static const double AXON_G[3] = { 120, 36, 0.3 }; /* of sodium, potassium and the leak */

/* The membrane's potential, and the gates: m and h of sodium, n of potassium. */
typedef struct {
    ad_var *v, *m, *h, *n;
} axon_state;

static inline axon_state axon_rest(ad_graph *g, ad_shape s) {
    return (axon_state){ ad_full(g, AD_F64, -65, s), ad_full(g, AD_F64, 0.0529, s), ad_full(g, AD_F64, 0.5961, s),
                         ad_full(g, AD_F64, 0.3177, s) };
}

/* Rates of opening and closing: k exp(-(v - v0) / width), and k u / (1 - exp(-u)) with u = (v - v0) / width. */
static inline ad_var *axon_exponential(ad_var *v, double v0, double width, double k) {
    return ad_muls(ad_exp(ad_muls(ad_adds(v, -v0), -1 / width)), k);
}
static inline ad_var *axon_linear(ad_var *v, double v0, double width, double k) {
    ad_var *minus_u = ad_muls(ad_adds(v, -v0), -1 / width);
    return ad_muls(ad_div(minus_u, ad_expm1(minus_u)), k);
}

/* A step of dx/dt = opening (1 - x) - closing x. */
static inline ad_var *axon_gate(ad_var *x, ad_var *opening, ad_var *closing) {
    return ad_add(x, ad_muls(ad_sub(opening, ad_mul(ad_add(opening, closing), x)), AXON_DT));
}

/* A step of Euler's method with the conductances g[0..2] and the current: 59 Ops. */
static inline axon_state axon_step(axon_state s, ad_var *const g[3], ad_var *current) {
    ad_var *v = s.v;
    ad_var *sodium = ad_mul(ad_mul(g[0], ad_mul(ad_pows(s.m, 3), s.h)), ad_adds(v, -AXON_NA));
    ad_var *potassium = ad_mul(ad_mul(g[1], ad_pows(s.n, 4)), ad_adds(v, -AXON_K));
    ad_var *leak = ad_mul(g[2], ad_adds(v, -AXON_L));
    ad_var *out = ad_add(ad_add(sodium, potassium), leak);
    return (axon_state){ ad_add(v, ad_muls(ad_sub(current, out), AXON_DT)),
                         axon_gate(s.m, axon_linear(v, -40, 10, 1), axon_exponential(v, -65, 18, 4)),
                         axon_gate(s.h, axon_exponential(v, -65, 20, 0.07), ad_sigmoid(ad_muls(ad_adds(v, 35), 0.1))),
                         axon_gate(s.n, axon_linear(v, -55, 10, 0.1), axon_exponential(v, -65, 80, 0.125)) };
}

#endif
