/* recurrent.h: rnn, lstm and gru over all time steps of a sequence, and their backward passes. */
#ifndef OPS_KERNELS_NET_RECURRENT_H
#define OPS_KERNELS_NET_RECURRENT_H

#include "ops/kernels/base/simd.h"

typedef enum { AD__RNN_TANH, AD__RNN_RELU, AD__LSTM, AD__GRU } ad__recurrent_kind;

/* Arguments. Shapes that begin with .. begin with [n,time]. m stands for hidden, and k for the size of all gates: m for
   rnn, 4 m for lstm (i f g o), 3 m for gru (r z n). */
typedef struct {
    ad_team *team;
    ad__recurrent_kind kind;
    int64_t n, time, hidden;
    bool reverse;        /* true: from the last time step to the first */
    const void *x;       /* [..,k]: the part of the gates' arguments that comes from the inputs */
    const void *w, *b;   /* the part that comes from the state is h w^T + b; w [k,m]; b [k] for gru, else NULL */
    const void *h0, *c0; /* [n,m], the state before the first step; c0 for lstm only */
    void *h, *c;         /* [..,m], the state after each step; c for lstm only */
    void *kept;          /* [..,4 m] for lstm and gru: values of each step that backward needs */
    void *scratch;       /* ad__recurrent_scratch bytes */
    /* For backward: the gradients of h and c, and the gradients to add to, NULL for those that are not needed. */
    const void *gh, *gc;
    void *gx, *gw, *gb, *gh0, *gc0;
    double beta_gx, beta_gw; /* 0: gx or gw is overwritten; 1: it is added to */
} ad__recurrent;

int64_t ad__recurrent_gates(ad__recurrent_kind kind); /* number of gates, k / m */
size_t ad__recurrent_scratch(const ad__recurrent *r, ad_dtype t);

void ad__recur_f32(const ad__recurrent *r);
void ad__recur_f64(const ad__recurrent *r);
void ad__recur_back_f32(const ad__recurrent *r);
void ad__recur_back_f64(const ad__recurrent *r);

#endif
