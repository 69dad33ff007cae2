/* layers.h: the layers: linear, convolutional, normalising, recurrent, activations, and containers; included by nn.h.

   Names of parameters and buffers, their layouts and initial values are those of the module of the same name in
   torch.nn. In structs of options, a field that is 0 or false has the default that its comment gives; AD_ZERO stands
   for zero itself. */
#ifndef NN_LAYERS_H
#define NN_LAYERS_H

#include "nn/module.h"
#include "ops/ops.h"

#if defined __cplusplus && __cplusplus >= 201103L
#include <initializer_list>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- linear ------------------------------------------------------------------------------------- */

/* x [.., in] -> x W^T + b [.., out]; weight [out, in], bias [out]; both start uniform in +-1/sqrt(in). */
AD_API nn_module *nn_linear(ad_graph *g, ad_dtype t, int64_t in, int64_t out, bool bias);
/* The same with a parameter of another module as its weight [out, in], such as that of an nn_embedding. A module that
   has both lists, saves and trains it once. */
AD_API nn_module *nn_linear_shared(ad_graph *g, ad_var *weight, bool bias);
/* a [n, in_a], b [n, in_b] -> y [n, out], y_k = a^T W_k b + bias_k; weight [out, in_a, in_b]. */
AD_API nn_module *nn_bilinear(ad_graph *g, ad_dtype t, int64_t in_a, int64_t in_b, int64_t out, bool bias);
AD_API ad_var *nn_apply_bilinear(nn_module *m, ad_var *a, ad_var *b); /* nn_apply(m, x) takes x for both */
/* indices [..] -> [.., d]: rows of weight [n, d], which starts standard normal. */
AD_API nn_module *nn_embedding(ad_graph *g, ad_dtype t, int64_t n, int64_t d);
/* The same; the row at padding_idx, from the end if negative, starts as zeros and gets no gradient. */
AD_API nn_module *nn_embedding_with(ad_graph *g, ad_dtype t, int64_t n, int64_t d, int64_t padding_idx);

/* ---- convolutions and pooling: x [n, c, l], [n, c, h, w] or [n, c, d, h, w] ------------------------- */

/* weight [out, in / groups, kernel..], for transposed convolutions [in, out / groups, kernel..]; bias [out]. Fields
   without _w and _d hold for all axes; those with _w replace them along the width, those with _d along the depth. */
typedef struct {
    int64_t in, out, kernel;                      /* must be given */
    int64_t stride, padding, dilation, groups;    /* 1, 0, 1, 1 */
    int64_t kernel_w, stride_w, dilation_w;       /* as along the height */
    int64_t padding_w;                            /* as along the height; AD_ZERO for no padding */
    int64_t output_padding, output_padding_w;     /* 0, as along the height: rows and columns that a transposed
                                                     convolution adds at the end */
    bool no_bias;
    int64_t kernel_d, stride_d, dilation_d;       /* as along the height */
    int64_t padding_d, output_padding_d;          /* as along the height; AD_ZERO for none */
} nn_conv_opts;
AD_API nn_module *nn_conv1d(ad_graph *g, ad_dtype t, nn_conv_opts o);
AD_API nn_module *nn_conv2d(ad_graph *g, ad_dtype t, nn_conv_opts o);
AD_API nn_module *nn_conv_transpose1d(ad_graph *g, ad_dtype t, nn_conv_opts o);
AD_API nn_module *nn_conv_transpose2d(ad_graph *g, ad_dtype t, nn_conv_opts o);
AD_API nn_module *nn_conv3d(ad_graph *g, ad_dtype t, nn_conv_opts o);
AD_API nn_module *nn_conv_transpose3d(ad_graph *g, ad_dtype t, nn_conv_opts o);
/* Pools, as ad_max_pool2d and the like with their options: a stride of 0 is the size of the kernel. Adaptive ones have
   results of this size; lp ones take the norm of order p of each window. */
AD_API nn_module *nn_max_pool1d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_max_pool2d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_avg_pool1d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_avg_pool2d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_max_pool3d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_avg_pool3d(ad_graph *g, ad_pool_opts o);
AD_API nn_module *nn_adaptive_avg_pool1d(ad_graph *g, int64_t l);
AD_API nn_module *nn_adaptive_avg_pool2d(ad_graph *g, int64_t h, int64_t w);
AD_API nn_module *nn_adaptive_avg_pool3d(ad_graph *g, int64_t d, int64_t h, int64_t w);
AD_API nn_module *nn_adaptive_max_pool1d(ad_graph *g, int64_t l);
AD_API nn_module *nn_adaptive_max_pool2d(ad_graph *g, int64_t h, int64_t w);
AD_API nn_module *nn_adaptive_max_pool3d(ad_graph *g, int64_t d, int64_t h, int64_t w);
AD_API nn_module *nn_lp_pool1d(ad_graph *g, double p, ad_pool_opts o);
AD_API nn_module *nn_lp_pool2d(ad_graph *g, double p, ad_pool_opts o);

/* ---- images --------------------------------------------------------------------------------------------- */

/* ad_interpolate of all axes of x [n, c, ..] behind the first two, to a size, or by a factor: a size of in becomes
   floor(in scale), and where that is rounded, pixels are placed as for this size (recompute_scale_factor of
   PyTorch). */
typedef struct {
    ad_shape size; /* without dimensions: by scale */
    double scale;  /* above 0 */
    ad_resample mode;
    bool align_corners;
} nn_upsample_opts;
AD_API nn_module *nn_upsample(ad_graph *g, nn_upsample_opts o);
AD_API nn_module *nn_pixel_shuffle(ad_graph *g, int64_t r);   /* [.., c r^2, h, w] -> [.., c, h r, w r] */
AD_API nn_module *nn_pixel_unshuffle(ad_graph *g, int64_t r); /* the reverse */
AD_API nn_module *nn_channel_shuffle(ad_graph *g, int64_t groups); /* ad_channel_shuffle */
AD_API nn_module *nn_unfold(ad_graph *g, ad_window window); /* ad_im2col */
AD_API nn_module *nn_fold(ad_graph *g, int64_t height, int64_t width, ad_window window); /* ad_col2im */
/* x / (k + alpha mean)^beta, with the mean of the squares of `size` channels; PyTorch's defaults are 1e-4, 0.75, 1. */
AD_API nn_module *nn_local_response_norm(ad_graph *g, int64_t size, double alpha, double beta, double k);

/* ---- normalisation and dropout ---------------------------------------------------------------------------- */

typedef struct {
    double momentum, eps; /* 0.1, 1e-5 */
    bool no_affine;       /* without weight and bias */
} nn_batch_norm_opts;
/* x [n, features, ..], normalised over all axes but 1 (Ioffe and Szegedy 2015): by the statistics of the minibatch in
   training, otherwise by the running ones. weight, bias [features]; buffers running_mean, running_var [features] and
   num_batches_tracked [], which counts applications in training. */
AD_API nn_module *nn_batch_norm(ad_graph *g, ad_dtype t, int64_t features, nn_batch_norm_opts o);
/* Statistics anew, for weights that were not those of the training, such as averages: all batch_norms below m forget
   theirs and, until nn_statistics_end, keep the means over all minibatches that m is applied to in training mode. Data
   sets: nn_update_statistics in train.h. */
AD_API int nn_statistics_begin(nn_module *m);
AD_API int nn_statistics_end(nn_module *m);
/* Normalises over the last axes of x, which have this shape (Ba et al. 2016); weight and bias have it too. */
AD_API nn_module *nn_layer_norm(ad_graph *g, ad_dtype t, ad_shape normalized_shape);
/* x [.., features], divided by the root of the mean of its squares (Zhang and Sennrich 2019), eps 1e-5; weight
   [features]. */
AD_API nn_module *nn_rms_norm(ad_graph *g, ad_dtype t, int64_t features);
/* x [n, channels, ..], where each of `groups` parts of the channels is normalised (Wu and He 2018); weight, bias
   [channels]. */
AD_API nn_module *nn_group_norm(ad_graph *g, ad_dtype t, int64_t groups, int64_t channels);
/* x [n, channels, ..], where each channel of each x is normalised, in evaluation too. affine: with weight and bias
   [channels], which PyTorch leaves out by default. */
AD_API nn_module *nn_instance_norm(ad_graph *g, ad_dtype t, int64_t channels, bool affine);
/* In training, sets elements to 0 with probability p and multiplies the others by 1 / (1 - p). */
AD_API nn_module *nn_dropout(ad_graph *g, double p);

/* ---- activations ----------------------------------------------------------------------------------------- */

/* The ops of these names as modules; docs/ops.md has their formulas. */
AD_API nn_module *nn_function(ad_graph *g, nn_activation *f); /* any function, as a module without parameters */
AD_API nn_module *nn_identity(ad_graph *g); /* x itself */
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
AD_API nn_module *nn_softplus(ad_graph *g); /* beta 1, threshold 20 */
AD_API nn_module *nn_softplus_with(ad_graph *g, double beta, double threshold);
AD_API nn_module *nn_noisy_relu(ad_graph *g);
AD_API nn_module *nn_leaky_relu(ad_graph *g, double slope);
AD_API nn_module *nn_elu(ad_graph *g, double alpha);
AD_API nn_module *nn_celu(ad_graph *g, double alpha); /* PyTorch's default is 1 */
AD_API nn_module *nn_relu6(ad_graph *g);
AD_API nn_module *nn_threshold(ad_graph *g, double threshold, double value);
AD_API nn_module *nn_hardshrink(ad_graph *g, double lambda); /* PyTorch's default is 0.5 */
AD_API nn_module *nn_softshrink(ad_graph *g, double lambda); /* >= 0; PyTorch's default is 0.5 */
AD_API nn_module *nn_tanhshrink(ad_graph *g);
AD_API nn_module *nn_hardtanh(ad_graph *g, double lo, double hi);
AD_API nn_module *nn_rrelu(ad_graph *g, double lower, double upper); /* in training, slopes are random */
AD_API nn_module *nn_glu(ad_graph *g, int axis); /* halves the axis */
AD_API nn_module *nn_softmax(ad_graph *g, int axis);
AD_API nn_module *nn_log_softmax(ad_graph *g, int axis);
/* relu with a learnt slope below 0, for all channels (n 1) or for each of the n channels of axis 1: weight [n], which
   starts at 0.25. */
AD_API nn_module *nn_prelu(ad_graph *g, ad_dtype t, int64_t n);
/* x [.., in] -> [.., out]: each output is the largest of `pieces` linear functions (Goodfellow et al. 2013). weight
   [out pieces, in], where the pieces of an output are adjacent rows; bias [out pieces]. */
AD_API nn_module *nn_maxout(ad_graph *g, ad_dtype t, int64_t in, int64_t out, int64_t pieces);

/* ---- containers --------------------------------------------------------------------------------------------- */

/* One module after another. Parameters are named after the modules' places: "0.weight", "0.bias", ... */
AD_API nn_module *nn_sequential_n(ad_graph *g, int n, nn_module *const mods[]);
/* All modules applied to the same x, their results joined along an axis; names as for nn_sequential. */
AD_API nn_module *nn_parallel_n(ad_graph *g, int axis, int n, nn_module *const mods[]);
/* The same with the modules one by one: nn_sequential(g, a, b, c) and nn_parallel(g, axis, a, b, c). */
#if defined __cplusplus && __cplusplus >= 201103L
extern "C++" {
static inline nn_module *nn_sequential_of(ad_graph *g, std::initializer_list<nn_module *> mods) {
    return nn_sequential_n(g, (int)mods.size(), mods.begin());
}
static inline nn_module *nn_parallel_of(ad_graph *g, int axis, std::initializer_list<nn_module *> mods) {
    return nn_parallel_n(g, axis, (int)mods.size(), mods.begin());
}
}
#define nn_sequential(g, ...) nn_sequential_of(g, { __VA_ARGS__ })
#define nn_parallel(g, axis, ...) nn_parallel_of(g, axis, { __VA_ARGS__ })
#elif !defined __cplusplus
#define nn_sequential(g, ...)                                                                      \
    nn_sequential_n(g, (int)(sizeof((nn_module *[]){ __VA_ARGS__ }) / sizeof(nn_module *)),        \
                    (nn_module *[]){ __VA_ARGS__ })
#define nn_parallel(g, axis, ...)                                                                  \
    nn_parallel_n(g, axis, (int)(sizeof((nn_module *[]){ __VA_ARGS__ }) / sizeof(nn_module *)),    \
                  (nn_module *[]){ __VA_ARGS__ })
#endif
/* body(x) + shortcut(x) (He et al. 2016); a shortcut of NULL is x itself. The children are named "body" and
   "shortcut". */
AD_API nn_module *nn_residual(ad_graph *g, nn_module *body, nn_module *shortcut);
AD_API nn_module *nn_flatten(ad_graph *g); /* [n, ..] -> [n, product of the other sizes] */
/* Linear layers between n widths, of which the first is the inputs', with act between the layers and not after the last
   one. act may be NULL where there is one layer. */
AD_API nn_module *nn_mlp(ad_graph *g, ad_dtype t, int n, const int64_t *widths, nn_activation *act);

/* ---- recurrent layers: x [n, time, in], batch first ---------------------------------------------------------- */

/* The state carried from one time step to the next: h, and c for lstm. Its shape is [n, hidden] for a cell,
   [layers, n, hidden] for a sequence, and [2 layers, n, hidden] for a bidirectional one, in which the two directions of
   a layer are adjacent. NULL stands for zeros. */
typedef struct {
    ad_var *h, *c;
} nn_rnn_state;

typedef struct {
    int64_t in, hidden;  /* must be given */
    int layers;          /* 1; each takes the results of the one before. A cell has one layer */
    double dropout;      /* 0; applied in training to the results of all layers but the last */
    bool relu;           /* rnn: relu in place of tanh */
    bool no_bias;
    bool bidirectional;  /* sequences: each layer also runs from the last time step to the first */
} nn_rnn_opts;

/* One time step: x [n, in] -> h [n, hidden]. Parameters weight_ih [k hidden, in], weight_hh [k hidden, hidden],
   bias_ih, bias_hh [k hidden] start uniform in +-1/sqrt(hidden). k is 1 for rnn, 4 for lstm (gates i f g o), 3 for
   gru (gates r z n). */
AD_API nn_module *nn_rnn_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_lstm_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_gru_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o);
/* A sequence: x [n, time, in] -> [n, time, hidden], the last layer's h at each time step; [n, time, 2 hidden] for a
   bidirectional one. The names of the parameters end in the layer and direction: weight_ih_l0, ...,
   weight_ih_l0_reverse, ... */
AD_API nn_module *nn_rnn(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_lstm(ad_graph *g, ad_dtype t, nn_rnn_opts o);
AD_API nn_module *nn_gru(ad_graph *g, ad_dtype t, nn_rnn_opts o);
/* Applies one of the six to x, starting from *state, and sets *state to the state after the last time step. nn_apply
   starts from zeros. */
AD_API ad_var *nn_apply_rnn(nn_module *m, ad_var *x, nn_rnn_state *state);
/* Truncated backpropagation through time: make the leaves of `kept` with nn_rnn_state_new (zeros, for minibatches of n)
   before the scope of a step. At the end of the step, nn_rnn_state_keep copies the values of `now` into them; the next
   piece of the sequence starts from `kept`. */
AD_API nn_rnn_state nn_rnn_state_new(const nn_module *m, int64_t n);
AD_API int nn_rnn_state_keep(nn_rnn_state kept, nn_rnn_state now);

/* ---- attention and transformers: x [n, time, width], batch first --------------------------------------------- */

typedef struct {
    int64_t embed, heads; /* must be given; embed is a multiple of heads */
    double dropout;       /* 0; of the weights, in training */
    bool no_bias;
    bool causal; /* a time step sees itself and those before it only, whatever masks are given */
    bool rotary; /* turns queries and keys by their positions: ad_rotary with base 10000 */
} nn_attention_opts;

/* Which keys a query does not see. All zeros: it sees all keys. */
typedef struct {
    ad_var *mask;    /* NULL, or [tq, tk], or [n heads, tq, tk] as in PyTorch, or what broadcasts to
                        [n, heads, tq, tk]. It is added to the scores: -inf hides */
    ad_var *padding; /* NULL, or [n, tk]: keys whose number is not 0 are hidden, as by PyTorch's key_padding_mask */
    bool boolean_mask; /* mask hides where it is not 0, as PyTorch's bool masks do here; it is not added */
    bool causal;       /* query i sees the keys up to i only */
} nn_attention_masks;

/* Multi-head attention (Vaswani et al. 2017). Parameters in_proj_weight [3 embed, embed] and in_proj_bias [3 embed] of
   queries, keys and values, and out_proj.weight, out_proj.bias. nn_apply is self-attention without masks. A query that
   sees no key has zeros in place of a mean, where PyTorch 1.13 has NaN. */
AD_API nn_module *nn_multihead_attention(ad_graph *g, ad_dtype t, nn_attention_opts o);
/* query [n, tq, embed], key and value [n, tk, embed] -> [n, tq, embed] */
AD_API ad_var *nn_apply_attention(nn_module *m, ad_var *query, ad_var *key, ad_var *value, nn_attention_masks masks);

typedef struct {
    int64_t width, heads; /* must be given; width is a multiple of heads */
    int64_t feedforward;  /* 2048; the width of the layer between linear1 and linear2 */
    int layers;           /* of a stack; must be given there */
    double dropout;       /* 0.1; AD_ZERO for none */
    bool gelu;            /* in place of relu */
    bool norm_first;      /* normalises what goes into each part, and not each sum */
    bool causal, rotary;  /* of self_attn, as in nn_attention_opts */
    bool final_norm;      /* of a stack: a layer_norm "norm" at its end */
} nn_transformer_opts;

/* Self-attention and two linear layers, each added to its input. Parameters self_attn.*, linear1.*, linear2.*, norm1.*,
   norm2.*. */
AD_API nn_module *nn_transformer_encoder_layer(ad_graph *g, ad_dtype t, nn_transformer_opts o);
/* A stack of them: layers.0.self_attn.in_proj_weight, .. Each has initial values of its own, where PyTorch copies those
   of one layer. */
AD_API nn_module *nn_transformer_encoder(ad_graph *g, ad_dtype t, nn_transformer_opts o);
/* Applies either with masks. nn_apply is the same without. */
AD_API ad_var *nn_apply_encoder(nn_module *m, ad_var *x, nn_attention_masks masks);
/* The same with attention to memory [n, tk, width] between, which is an encoder's result: multihead_attn.*, norm3.*.
   PyTorch's nn.TransformerDecoder with a causal mask of x is .causal. nn_apply takes x as its own memory. */
AD_API nn_module *nn_transformer_decoder_layer(ad_graph *g, ad_dtype t, nn_transformer_opts o);
AD_API nn_module *nn_transformer_decoder(ad_graph *g, ad_dtype t, nn_transformer_opts o);
AD_API ad_var *nn_apply_decoder(nn_module *m, ad_var *x, ad_var *memory, nn_attention_masks masks,
                                nn_attention_masks memory_masks);

/* x [.., time, d] plus a row for each time step; time is at most length. Learned: weight [length, d], which starts
   standard normal as nn_embedding's. Sinusoidal: a buffer pe [length, d], columns of sines and cosines in turn. */
AD_API nn_module *nn_learned_positions(ad_graph *g, ad_dtype t, int64_t length, int64_t d);
AD_API nn_module *nn_sinusoidal_positions(ad_graph *g, ad_dtype t, int64_t length, int64_t d);
AD_API nn_module *nn_rotary(ad_graph *g, double base); /* ad_rotary, for queries or keys; base 0 is 10000 */

/* Generating step by step. After nn_cache_begin, nn_apply(m, x) takes only the time steps of x [n, time, ..] that
   follow those of the calls before. Self-attentions below m keep the keys and values of up to `capacity` steps and look
   at them in causal order, and positions go on. Results are those that one call with all steps gives. There are no
   masks and no gradients meanwhile: call nn_train(m, false) and ad_enable_grad(g, false) before. It ends with
   nn_cache_end, or with the scope that was open at nn_cache_begin. Calling both again begins a new sequence. A module
   must not be copied meanwhile. */
AD_API int nn_cache_begin(nn_module *m, int64_t n, int64_t capacity);
AD_API int nn_cache_end(nn_module *m);

#ifdef __cplusplus
}
#endif
#endif
