#!/usr/bin/python3
"""modules.py: results and gradients of the modules of torch.nn for fixed inputs, for tests/test_nn_layers.c.

Writes tests/reference/results_nn/modules.txt; needs python3-torch.

    /usr/bin/python3 tests/reference/modules.py

Parameter number j has elements 0.5 sin(1 + j + 1.7 k), k = 0, 1, ..; x has cos(0.3 + 1.1 k) unless it holds indices.
The loss is the sum of the elements of y times sin(0.2 + 0.9 k). A case is a line `case NAME` and lines `WORD NAME
NUMBERS` with y, the gradients of x and of the parameters (with their names, in the order of j), and the buffers.
"""
import os
import torch
from torch import nn

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn", "modules.txt")
torch.set_default_dtype(torch.float64)


def wave(shape, start, step, f, scale=1.0):
    n = torch.Size(shape).numel()
    return scale * f(start + step * torch.arange(n, dtype=torch.float64)).reshape(shape)


def x_of(*shape):
    return wave(shape, 0.3, 1.1, torch.cos).requires_grad_()


def fill(module):
    for j, p in enumerate(module.parameters()):
        p.data = wave(p.shape, 1.0 + j, 1.7, torch.sin, 0.5)
    return module


def line(word, name, values):
    return "%s %s %s\n" % (word, name, " ".join("%.17g" % v for v in values.detach().reshape(-1).tolist()))


def case(name, module, x, apply=None, ready=False):
    module = module if ready else fill(module)
    y = (apply or (lambda m, x: m(x)))(module, x)
    (y * wave(y.shape, 0.2, 0.9, torch.sin)).sum().backward()
    text = "case %s\n" % name + line("y", "y", y)
    if x.requires_grad:
        text += line("dx", "x", x.grad)
    text += "".join(line("parameter", n, p.grad) for n, p in module.named_parameters())
    return text + "".join(line("buffer", n, b.double()) for n, b in module.named_buffers())


def trained_norm():
    m = fill(nn.BatchNorm2d(2))
    for i in range(3):
        m(x_of(4, 2, 3, 1) * (i + 1))
    return m.eval()


def with_state(steps):
    """Applies a recurrent module from an initial state that is not zero, and appends the final state to the results."""
    def apply(m, x):
        lstm = isinstance(m, nn.LSTM)
        parts = m.num_layers * (2 if m.bidirectional else 1)
        h = wave((parts, x.shape[0], m.hidden_size), 0.7, 0.4, torch.cos)
        c = wave((parts, x.shape[0], m.hidden_size), 0.1, 0.6, torch.cos)
        y, last = m(x, (h, c) if lstm else h)
        return torch.cat([k.reshape(-1) for k in (y, *(last if lstm else [last]))])
    return apply


def both_ways(kind, **more):
    return case(kind.__name__.lower() + "_both_ways", kind(3, 4, batch_first=True, bidirectional=True, **more),
                x_of(2, 5, 3), with_state(5))


def padding(n, time):
    """True for the last i keys of sequence i."""
    return torch.arange(time) >= time - torch.arange(n)[:, None]


def causal(time):
    return torch.ones(time, time).triu(1).bool()


def self_attention(**masks):
    return lambda m, x: m(x, x, x, need_weights=False, **masks)[0]


def cross_attention(m, x):
    """Queries, keys and values are three Vars; the mask of sequence i and head j hides key i + j from query 0."""
    keys, values = 0.5 * x[:, :3] + 0.1, x[:, 1:] - 0.2
    mask = torch.zeros(4, 4, 3)
    mask[:, 0] = 0.3 * torch.arange(3)
    mask[range(4), 0, [0, 1, 1, 2]] = -float("inf")
    return m(x, keys, values, attn_mask=mask, need_weights=False)[0]


def decoder_of(m, x):
    memory = torch.cat([0.5 * x, x[:, :1]], 1)
    return m(x, memory, tgt_mask=causal(4), memory_key_padding_mask=padding(2, 5))


def block(kind, **more):
    return kind(4, 2, dim_feedforward=6, dropout=0.0, batch_first=True, **more)


ENCODER, DECODER = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer

CASES = [
    case("linear", nn.Linear(3, 4), x_of(2, 3)),
    case("linear_no_bias", nn.Linear(3, 4, bias=False), x_of(2, 3)),
    case("bilinear", nn.Bilinear(3, 3, 2), x_of(4, 3), lambda m, x: m(x, 2 * x)),
    case("embedding", nn.Embedding(5, 3), torch.tensor([[1, 4, 1], [0, 2, 4]])),
    case("conv1d", nn.Conv1d(2, 3, 3, stride=2, padding=1), x_of(2, 2, 7)),
    case("conv2d", nn.Conv2d(2, 3, 3), x_of(2, 2, 5, 4)),
    case("conv3d", nn.Conv3d(2, 4, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 2), groups=2), x_of(1, 2, 3, 4, 2)),
    case("conv_transpose3d", nn.ConvTranspose3d(2, 3, (3, 2, 1), stride=2, output_padding=(1, 0, 1)),
         x_of(1, 2, 2, 3, 2)),
    case("max_pool3d", nn.MaxPool3d((1, 2, 3), (1, 2, 1)), x_of(1, 2, 2, 4, 3)),
    case("adaptive_max_pool2d", nn.AdaptiveMaxPool2d((2, 3)), x_of(1, 2, 5, 4)),
    case("upsample", nn.Upsample(scale_factor=2, mode="bilinear"), x_of(1, 2, 3, 4)),
    case("upsample_cubic", nn.Upsample((5, 3), mode="bicubic", align_corners=True), x_of(1, 2, 3, 4)),
    case("pixel_shuffle", nn.PixelShuffle(2), x_of(1, 4, 2, 3)),
    case("local_response_norm", nn.LocalResponseNorm(3, 0.5, 0.75, 2), x_of(2, 4, 3, 2)),
    case("conv2d_groups", nn.Conv2d(4, 2, 2, stride=2, padding=1, dilation=2, groups=2, bias=False), x_of(1, 4, 5, 5)),
    case("conv2d_oblong", nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1), groups=2),
         x_of(2, 2, 5, 6)),
    case("conv_transpose1d", nn.ConvTranspose1d(2, 3, 4, stride=3, padding=1, output_padding=2), x_of(2, 2, 5)),
    case("conv_transpose2d", nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=2),
         x_of(2, 4, 3, 2)),
    case("conv_transpose2d_oblong",
         nn.ConvTranspose2d(2, 3, (2, 3), stride=(3, 2), padding=(1, 0), output_padding=(2, 1), dilation=(1, 2),
                            bias=False), x_of(1, 2, 3, 4)),
    case("max_pool1d", nn.MaxPool1d(2), x_of(1, 2, 7)),
    case("max_pool2d", nn.MaxPool2d(2), x_of(1, 2, 4, 5)),
    case("avg_pool1d", nn.AvgPool1d(3, stride=1), x_of(1, 2, 7)),
    case("avg_pool2d", nn.AvgPool2d(2, padding=1), x_of(1, 2, 4, 4)),
    case("adaptive_avg_pool1d", nn.AdaptiveAvgPool1d(3), x_of(2, 2, 7)),
    case("adaptive_avg_pool2d", nn.AdaptiveAvgPool2d((2, 1)), x_of(2, 2, 4, 3)),
    case("batch_norm", nn.BatchNorm1d(3), x_of(5, 3)),
    case("batch_norm_eval", trained_norm(), x_of(2, 2, 3, 2), ready=True),
    case("layer_norm", nn.LayerNorm((3, 2)), x_of(4, 3, 2)),
    case("group_norm", nn.GroupNorm(2, 4), x_of(2, 4, 3)),
    case("group_norm_image", nn.GroupNorm(3, 6), x_of(2, 6, 2, 2)),
    case("instance_norm", nn.InstanceNorm1d(3), x_of(2, 3, 5)),
    case("instance_norm_affine", nn.InstanceNorm2d(2, affine=True), x_of(2, 2, 3, 2)),
    case("attention", nn.MultiheadAttention(4, 2, batch_first=True), x_of(2, 5, 4), self_attention()),
    case("attention_no_bias", nn.MultiheadAttention(6, 3, bias=False, batch_first=True), x_of(2, 3, 6),
         self_attention()),
    case("attention_masked", nn.MultiheadAttention(4, 2, batch_first=True), x_of(3, 4, 4),
         self_attention(attn_mask=causal(4), key_padding_mask=padding(3, 4))),
    case("attention_cross", nn.MultiheadAttention(4, 2, batch_first=True), x_of(2, 4, 4), cross_attention),
    case("encoder_layer", block(ENCODER), x_of(2, 3, 4)),
    case("encoder_layer_first", block(ENCODER, norm_first=True, activation="gelu"), x_of(2, 3, 4)),
    case("encoder", nn.TransformerEncoder(block(ENCODER), 2, nn.LayerNorm(4)), x_of(3, 4, 4),
         lambda m, x: m(x, mask=causal(4), src_key_padding_mask=padding(3, 4))),
    case("decoder_layer", block(DECODER), x_of(2, 4, 4), decoder_of),
    case("decoder", nn.TransformerDecoder(block(DECODER, norm_first=True, activation="gelu"), 2), x_of(2, 4, 4),
         decoder_of),
    case("prelu", nn.PReLU(3), x_of(2, 3, 2)),
    case("sequential", nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 2), nn.PReLU())), x_of(2, 3)),
    case("rnn", nn.RNN(3, 4, num_layers=2, batch_first=True), x_of(2, 5, 3), with_state(5)),
    case("rnn_relu", nn.RNN(3, 4, nonlinearity="relu", bias=False, batch_first=True), x_of(2, 3, 3), with_state(3)),
    case("lstm", nn.LSTM(3, 4, num_layers=2, batch_first=True), x_of(2, 5, 3), with_state(5)),
    case("gru", nn.GRU(3, 4, num_layers=2, batch_first=True), x_of(2, 5, 3), with_state(5)),
    both_ways(nn.RNN),
    both_ways(nn.LSTM, num_layers=2),
    both_ways(nn.GRU, num_layers=2, bias=False),
    case("rnn_cell", nn.RNNCell(3, 2), x_of(4, 3)),
    case("lstm_cell", nn.LSTMCell(3, 2), x_of(4, 3), lambda m, x: m(x)[0]),
    case("gru_cell", nn.GRUCell(3, 2), x_of(4, 3)),
]

if __name__ == "__main__":
    with open(HERE, "w") as f:
        f.write("# modules.txt: written by tests/reference/modules.py with torch %s\n" % torch.__version__)
        f.writelines(CASES)
