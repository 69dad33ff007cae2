/* layers.h: the layers: linear, convolutions, normalisation, recurrent nets, activations, and layers
   put together; included by nn.h.

   Names of parameters and buffers, their layouts and first values are those of the module of the same name in
   torch.nn. A field of options that is 0 has the default that stands behind it. */
#ifndef NN_LAYERS_H
#define NN_LAYERS_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- linear ------------------------------------------------------------------------------------- */

/* x [.., in] -> x W^T + b [.., out]; weight [out, in], bias [out]; both start uniform in
   +-1/sqrt(in), as torch.nn.Linear's do. */
AD_API nn_module *nn_linear(ad_graph *g, ad_dtype t, int64_t in, int64_t out, bool bias);
/* a [n, in_a], b [n, in_b] -> y [n, out], y_k = a^T W_k b + bias_k; weight [out, in_a, in_b]. */
AD_API nn_module *nn_bilinear(ad_graph *g, ad_dtype t, int64_t in_a, int64_t in_b, int64_t out, bool bias);
AD_API ad_var *nn_apply_bilinear(nn_module *m, ad_var *a, ad_var *b); /* nn_apply(m, x) takes x for both */
/* indices [..] -> [.., d]: rows of weight [n, d], which starts standard normal. */
AD_API nn_module *nn_embedding(ad_graph *g, ad_dtype t, int64_t n, int64_t d);

/* ---- convolutions and pooling: x [n, c, l] or [n, c, h, w] ------------------------------------------ */

/* weight [out, in / groups, kernel..], of transposed ones [in, out / groups, kernel..]; bias [out]. A number holds
   along both axes of an image unless that of the width, _w, is given too. */
typedef struct {
    int64_t in, out, kernel;                   /* must be given */
    int64_t stride, padding, dilation, groups; /* 1, 0, 1, 1 */
    int64_t kernel_w, stride_w, dilation_w;    /* 0: as along the height */
    int64_t padding_w;                         /* likewise; none where it is negative */
    int64_t output_padding, output_padding_w;  /* 0, of transposed ones: likewise rows and columns added at the end */
    bool no_bias;
} nn_conv_opts;
AD_API nn_module *nn_conv1d(ad_graph *g, ad_dtype t, nn_conv_opts o);
AD_API nn_module *nn_conv2d(ad_graph *g, ad_dtype t, nn_conv_opts o);
AD_API nn_module *nn_conv_transpose1d(ad_graph *g, ad_dtype t, nn_conv_opts o); /* the way back of a convolution */
AD_API nn_module *nn_conv_transpose2d(ad_graph *g, ad_dtype t, nn_conv_opts o);
/* o as of ad_max_pool2d: a stride of 0 is the kernel's size. */
AD_API nn_module *nn_max_pool1d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_max_pool2d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_avg_pool1d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_avg_pool2d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_adaptive_avg_pool1d(ad_graph *g, int64_t l);
AD_API nn_module *nn_adaptive_avg_pool2d(ad_graph *g, int64_t h, int64_t w);

/* ---- normalisation and noise -------------------------------------------------------------------------- */

typedef struct {
    double momentum, eps; /* 0.1, 1e-5 */
    bool no_affine;       /* without weight and bias */
} nn_batch_norm_opts;
/* x [n, features, ..]: over all axes but 1, by the batch in training and by what training has seen else.
   weight, bias [features]; buffers running_mean, running_var [features], num_batches_tracked [] (it counts
   applications in training). */
AD_API nn_module *nn_batch_norm(ad_graph *g, ad_dtype t, int64_t features, nn_batch_norm_opts o);
/* Over the last axes of x, which are of this shape; weight and bias have it too. */
AD_API nn_module *nn_layer_norm(ad_graph *g, ad_dtype t, ad_shape normalized_shape);
AD_API nn_module *nn_dropout(ad_graph *g, double p); /* in training, elements are 0 with probability p */

/* ---- activations ----------------------------------------------------------------------------------------- */

AD_API nn_module *nn_function(ad_graph *g, nn_activation *f); /* any function, as a module without parameters */
AD_API nn_module *nn_identity(ad_graph *g);
AD_API nn_module *nn_relu(ad_graph *g);
AD_API nn_module *nn_tanh(ad_graph *g);
AD_API nn_module *nn_sigmoid(ad_graph *g);
AD_API nn_module *nn_selu(ad_graph *g);
AD_API nn_module *nn_gelu(ad_graph *g);
AD_API nn_module *nn_gelu_tanh(ad_graph *g);
AD_API nn_module *nn_silu(ad_graph *g);
AD_API nn_module *nn_mish(ad_graph *g);
AD_API nn_module *nn_softsign(ad_graph *g);
AD_API nn_module *nn_hardsigmoid(ad_graph *g);
AD_API nn_module *nn_hardswish(ad_graph *g);
AD_API nn_module *nn_logsigmoid(ad_graph *g);
AD_API nn_module *nn_softplus(ad_graph *g);
AD_API nn_module *nn_noisy_relu(ad_graph *g);
AD_API nn_module *nn_leaky_relu(ad_graph *g, double slope);
AD_API nn_module *nn_elu(ad_graph *g, double alpha);
AD_API nn_module *nn_softplus_beta(ad_graph *g, double beta, double threshold); /* PyTorch: 1, 20 */
AD_API nn_module *nn_hardtanh(ad_graph *g, double lo, double hi);
AD_API nn_module *nn_rrelu(ad_graph *g, double lower, double upper); /* slopes drawn anew in training */
AD_API nn_module *nn_softmax(ad_graph *g, int axis);
AD_API nn_module *nn_log_softmax(ad_graph *g, int axis);
/* A slope for all (n 1) or one for each of n channels, axis 1: weight [n], learnt from 0.25 on. */
AD_API nn_module *nn_prelu(ad_graph *g, ad_dtype t, int64_t n);
/* The largest of `pieces` linear functions for each output (Goodfellow et al. 2013): weight [out pieces, in],
   pieces of one output lying together; bias [out pieces]. */
AD_API nn_module *nn_maxout(ad_graph *g, ad_dtype t, int64_t in, int64_t out, int64_t pieces);

/* ---- put together ------------------------------------------------------------------------------------------ */

/* One after another; parameters are named "0.weight", "0.bias", ... after the places. */
AD_API nn_module *nn_sequential_n(ad_graph *g, int n, nn_module *const mods[]);
#define nn_sequential(g, ...)                                                                      \
    nn_sequential_n(g, (int)(sizeof((nn_module *[]){ __VA_ARGS__ }) / sizeof(nn_module *)),        \
                    (nn_module *[]){ __VA_ARGS__ })
/* All of the same x, their results joined along an axis; named "0", "1", ... likewise. */
AD_API nn_module *nn_parallel_n(ad_graph *g, int axis, int n, nn_module *const mods[]);
#define nn_parallel(g, axis, ...)                                                                  \
    nn_parallel_n(g, axis, (int)(sizeof((nn_module *[]){ __VA_ARGS__ }) / sizeof(nn_module *)),    \
                  (nn_module *[]){ __VA_ARGS__ })
/* body(x) + shortcut(x), where shortcut may be NULL for x itself; named "body" and "shortcut". */
AD_API nn_module *nn_residual(ad_graph *g, nn_module *body, nn_module *shortcut);
AD_API nn_module *nn_flatten(ad_graph *g); /* [n, ..] -> [n, the product of the others] */
/* Linear layers of n widths (inputs first), act between them and not behind the last. */
AD_API nn_module *nn_mlp(ad_graph *g, ad_dtype t, int n, const int64_t *widths, nn_activation *act);

/* ---- recurrent: x [n, time, in], batch first --------------------------------------------------------------- */

/* What is carried from one time to the next: h, and of lstm c. Of a cell [n, hidden], of a sequence
   [layers, n, hidden], of two directions [2 layers, n, hidden], both of a layer together; NULL for zeros. */
typedef struct {
    ad_var *h, *c;
} nn_rnn_state;

typedef struct {
    int64_t in, hidden;  /* must be given */
    int layers;          /* 1: each on the results of the one below; a cell has one */
    double dropout;      /* 0: of the results of all layers but the last, in training */
    bool relu, no_bias;  /* of rnn: relu for tanh */
    bool bidirectional;  /* of a sequence: each layer also runs from the last time to the first */
} nn_rnn_opts;

/* One time: x [n, in] -> h [n, hidden]. Parameters weight_ih [k hidden, in], weight_hh [k hidden, hidden],
   bias_ih, bias_hh [k hidden], k = 1, 4 (gates i f g o) and 3 (r z n), uniform in +-1/sqrt(hidden). */
AD_API nn_module *nn_rnn_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_lstm_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_gru_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o);
/* All times: x [n, time, in] -> [n, time, hidden], the h of the last layer at each; of two directions
   [n, time, 2 hidden]. Parameters as of a cell with the layer behind: weight_ih_l0, ..., weight_ih_l0_reverse, ... */
AD_API nn_module *nn_rnn(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_lstm(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_gru(ad_graph *g, ad_dtype t, nn_rnn_opts o);
/* Applies one of the six from a state on; state becomes the one at the end. nn_apply starts from zeros. */
AD_API ad_var *nn_apply_rnn(nn_module *m, ad_var *x, nn_rnn_state *state);
/* Truncated backpropagation through time: nn_rnn_state_keep copies the values of `now` into leaves that
   nn_rnn_state_new made before the scope, from which the next piece of the sequence goes on. */
AD_API nn_rnn_state nn_rnn_state_new(const nn_module *m, int64_t n); /* zeros for batches of n */
AD_API int nn_rnn_state_keep(nn_rnn_state kept, nn_rnn_state now);

#ifdef __cplusplus
}
#endif
#endif
