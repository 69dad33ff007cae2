/* recurrent.h: rnn, lstm and gru over all times of a sequence, and back. */
#ifndef OPS_KERNELS_NET_RECURRENT_H
#define OPS_KERNELS_NET_RECURRENT_H

#include "ops/kernels/base/simd.h"

typedef enum { AD__RNN_TANH, AD__RNN_RELU, AD__LSTM, AD__GRU } ad__recurrent_kind;

/* Arrays of T; [n,time,..] where nothing else is said. m stands for hidden, k for the gates' elements: m, of lstm
   4 m (i f g o), of gru 3 m (r z n). */
typedef struct {
    ad_team *team;
    ad__recurrent_kind kind;
    int64_t n, time, hidden;
    bool reverse;       /* from the last time to the first */
    const void *x;      /* [..,k]: the inputs' part of what the gates are functions of */
    const void *w, *b;  /* the state's part: h w^T + b; w [k,m], b [k] of gru alone, else NULL */
    const void *h0, *c0; /* [n,m] before the first step; c0 of lstm alone */
    void *h, *c;        /* [..,m] after each step; c of lstm alone */
    void *kept;         /* [..,4 m], of lstm and gru: what backward needs of each step */
    void *scratch;      /* ad__recurrent_scratch bytes */
    /* for backward: gradients of h and c, and what gradients are added to; NULL: not wanted */
    const void *gh, *gc;
    void *gx, *gw, *gb, *gh0, *gc0;
    double beta_gx, beta_gw; /* 0: they are overwritten */
} ad__recurrent;

int64_t ad__recurrent_gates(ad__recurrent_kind kind); /* 1, 4 or 3 */
size_t ad__recurrent_scratch(const ad__recurrent *r, ad_dtype t);

void ad__recur_f32(const ad__recurrent *r);
void ad__recur_f64(const ad__recurrent *r);
void ad__recur_back_f32(const ad__recurrent *r);
void ad__recur_back_f64(const ad__recurrent *r);

#endif
