"""networks.py: losses, normalisations, convolutions and pooling, by torch.nn.functional.

Attributes that are pairs are lists. An empty list is an attribute that the sample omits.
"""

import math

import torch
import torch.nn.functional as F

REDUCTIONS = ["mean", "sum", "none", "batchmean"]


def reduction(attrs):
    return REDUCTIONS[attrs["reduction"]]


# ---- elementwise losses -----------------------------------------------------------------------------


def pairwise(function, **names):
    """A loss of input and target. names maps our attributes to the arguments of torch."""

    def compute(inputs, attrs):
        arguments = {theirs: attrs[ours] for ours, theirs in names.items()}
        return function(inputs[0], inputs[1], reduction=reduction(attrs), **arguments)

    return compute


def smooth_l1_loss(inputs, attrs):
    """With beta 0 and equal input and target, the gradient of F.smooth_l1_loss is -1, that of F.l1_loss is 0."""
    if attrs["beta"] == 0:
        return F.l1_loss(inputs[0], inputs[1], reduction=reduction(attrs))
    return F.smooth_l1_loss(inputs[0], inputs[1], reduction=reduction(attrs), beta=attrs["beta"])


def binary_cross_entropy_with_logits(inputs, attrs):
    """In the tails by softplus without a threshold, as torch loses the digits of small losses there."""
    x, t = inputs[:2]
    weight = weight_of(inputs)
    if not is_far(x):
        return F.binary_cross_entropy_with_logits(x, t, pos_weight=weight, reduction=reduction(attrs))
    assert weight is None
    return reduced((1 - t) * F.softplus(x, threshold=1e9) + t * F.softplus(-x, threshold=1e9), attrs)


def is_far(x):
    return x.numel() > 0 and x.abs().max() > 30


class TimesLog(torch.autograd.Function):
    """t log t. Its derivative at 0 is -inf, as in the formula; that of torch.xlogy is NaN."""

    @staticmethod
    def forward(context, t):
        context.save_for_backward(t)
        return torch.xlogy(t, t)

    @staticmethod
    def backward(context, g):
        (t,) = context.saved_tensors
        return g * (t.log() + 1)


def kl_div(inputs, attrs):
    x, t = inputs
    if attrs["log_target"]:
        return F.kl_div(x, t, reduction=reduction(attrs), log_target=True)
    if (t > 0).all():
        return F.kl_div(x, t, reduction=reduction(attrs))
    assert reduction(attrs) == "none"
    return TimesLog.apply(t) - t * x


def hinge_loss(inputs, attrs):
    """torch has no such loss, so it is composed of elementwise ops. clamp has derivative 1 at its bound."""
    x, t = inputs
    return reduced((attrs["margin"] - t * x).clamp(min=0), attrs)


def reduced(losses, attrs):
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction(attrs)]()


def soft_margin_loss(inputs, attrs):
    """F.soft_margin_loss overflows for large arguments and has no gradient of the target; logaddexp is right in both."""
    x, t = inputs
    return reduced(torch.logaddexp(torch.zeros((), dtype=torch.float64), -t * x), attrs)


# ---- losses of classes ---------------------------------------------------------------------------------


def weight_of(inputs, i=2):
    return inputs[i] if len(inputs) > i else None


def cross_entropy_classes(inputs, attrs):
    x, classes = inputs[:2]
    return F.cross_entropy(x, classes.long(), weight_of(inputs), ignore_index=attrs["ignore_index"],
                           label_smoothing=attrs["label_smoothing"], reduction=reduction(attrs))


def cross_entropy_probs(inputs, attrs):
    x, p = inputs[:2]
    return F.cross_entropy(x, p, weight_of(inputs), label_smoothing=attrs["label_smoothing"],
                           reduction=reduction(attrs))


def nll_loss(inputs, attrs):
    x, classes = inputs[:2]
    return F.nll_loss(x, classes.long(), weight_of(inputs), ignore_index=attrs["ignore_index"],
                      reduction=reduction(attrs))


def class_targets(inputs, attrs):
    """The weights of the log-probabilities in a cross-entropy with class targets: the negative gradient of nll_loss."""
    classes = inputs[0]
    shape = list(classes.shape)
    shape.insert(1 if shape else 0, attrs["n"])
    x = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    loss = F.nll_loss(x, classes.long(), weight_of(inputs, 1), ignore_index=attrs["ignore_index"],
                      reduction=reduction(attrs).replace("none", "sum"))
    if not classes.numel():
        return torch.zeros(shape, dtype=torch.float64)
    (hit,) = torch.autograd.grad(-loss, x)
    s, n = attrs["label_smoothing"], attrs["n"]
    axis = 1 if classes.ndim else 0
    weight = weight_of(inputs, 1)
    weight = torch.ones(n, dtype=torch.float64) if weight is None else weight
    # Label smoothing spreads a part of each row that is not ignored over all classes, times their weights.
    row = hit.sum(axis, keepdim=True)
    own = torch.where(classes == attrs["ignore_index"], torch.zeros(()), classes).long()
    row = row / weight[own].unsqueeze(axis)
    return (1 - s) * hit + s / n * row * weight.reshape([n] + [1] * (len(shape) - 1 - axis))


def multi_margin_loss(inputs, attrs):
    x, classes = inputs[:2]
    if x.numel() == 0:  # for no rows torch returns uninitialised memory
        return reduced(x.sum(1), attrs)
    return F.multi_margin_loss(x, classes.long(), p=attrs["p"], margin=attrs["margin"], weight=weight_of(inputs),
                               reduction=reduction(attrs))


def scaled_norm(v, dim):
    """The norm of v, whose squares may overflow: it is taken of v divided by its largest element."""
    if v.numel() == 0:
        return torch.linalg.vector_norm(v, dim=dim, keepdim=True)
    most = v.detach().abs().amax(dim, keepdim=True)
    most = torch.where(most == 0, torch.ones_like(most), most)
    return torch.linalg.vector_norm(v / most, dim=dim, keepdim=True) * most


def cosine_similarity(inputs, attrs):
    """Composed of other ops: where a length is below eps, the gradient of torch is not that of its value."""
    a, b = inputs
    dim, eps = attrs["axis"], attrs["eps"]
    lengths = [scaled_norm(v, dim).clamp(min=eps) for v in inputs]
    return (a / lengths[0] * (b / lengths[1])).sum(dim, keepdim=True).squeeze(dim)


# ---- normalisations ------------------------------------------------------------------------------------


def affine_operands(inputs, first, attrs):
    rest = list(inputs[first:])
    weight = rest.pop(0) if attrs["has_weight"] else None
    return weight, rest.pop(0) if attrs["has_bias"] else None


def layer_norm(inputs, attrs):
    weight, bias = affine_operands(inputs, 1, attrs)
    return F.layer_norm(inputs[0], attrs["normalized_shape"], weight, bias, attrs["eps"])


def batch_norm_train(inputs, attrs):
    weight, bias = affine_operands(inputs, 1, attrs)
    if inputs[0].shape[1] == 0:  # torch reads the first channel even if there is none
        return inputs[0] * 1
    return F.batch_norm(inputs[0], None, None, weight, bias, True, attrs["momentum"], attrs["eps"])


def batch_norm_eval(inputs, attrs):
    weight, bias = affine_operands(inputs, 3, attrs)
    if inputs[0].shape[1] == 0:
        return inputs[0] * 1
    return F.batch_norm(inputs[0], inputs[1], inputs[2], weight, bias, False, 0.1, attrs["eps"])


# ---- convolutions ----------------------------------------------------------------------------------------


def window(attrs, *names):
    return {name: attrs[name] for name in names}


def conv2d(inputs, attrs):
    return F.conv2d(inputs[0], inputs[1], weight_of(inputs), **window(attrs, "stride", "padding", "dilation", "groups"))


def conv_transpose2d(inputs, attrs):
    return F.conv_transpose2d(inputs[0], inputs[1], weight_of(inputs),
                              **window(attrs, "stride", "padding", "dilation", "groups", "output_padding"))


def conv2d_weight(inputs, attrs):
    """The gradient of conv2d with respect to its weights, which is differentiable."""
    x, g = inputs
    w = torch.zeros(attrs["weight"], dtype=torch.float64, requires_grad=True)
    y = F.conv2d(x, w, None, **window(attrs, "stride", "padding", "dilation", "groups"))
    (dw,) = torch.autograd.grad(y, w, g, create_graph=True)
    return dw


# ---- pooling -----------------------------------------------------------------------------------------------


def planes(x):
    """Reshapes [..,h,w] to [1,n,h,w]. Also returns a function that restores the leading axes of a result."""
    lead = list(x.shape[:-2])
    n = 1
    for size in lead:
        n *= size
    return x.reshape([1, n] + list(x.shape[-2:])), lambda y: y.reshape(lead + list(y.shape[-2:]))


def no_planes(pool, x):
    """torch refuses an array without planes. The shape of the result is found with one plane."""
    y = pool(torch.zeros([1, 1] + list(x.shape[-2:]), dtype=torch.float64))
    return x.sum() + torch.zeros(list(x.shape[:-2]) + list(y.shape[-2:]), dtype=torch.float64)


def max_pooled(inputs, attrs):
    options = window(attrs, "stride", "padding", "dilation", "ceil_mode")
    x, back = planes(inputs[0])

    def pool(v):
        return F.max_pool2d(v, attrs["kernel"], return_indices=True, **options)

    if inputs[0].numel() == 0:
        empty = no_planes(lambda v: pool(v)[0], inputs[0])
        return empty, empty
    values, indices = pool(x)
    return back(values), back(indices)


def average(x, attrs):
    if attrs["output"]:
        return F.adaptive_avg_pool2d(x, attrs["output"])
    return F.avg_pool2d(x, attrs["kernel"], **window(attrs, "stride", "padding", "ceil_mode", "count_include_pad"))


def avg_pool2d(inputs, attrs):
    if inputs[0].numel() == 0:
        return no_planes(lambda v: average(v, attrs), inputs[0])
    x, back = planes(inputs[0])
    return back(average(x, attrs))


def avg_unpool2d(inputs, attrs):
    """The gradient of avg_pool2d, which is differentiable."""
    y = inputs[0]
    size = list(y.shape[:-2]) + attrs["size"]
    if y.numel() == 0:
        return y.sum() + torch.zeros(size, dtype=torch.float64)
    x = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    wide, back = planes(x)
    (dx,) = torch.autograd.grad(back(average(wide, attrs)), x, y, create_graph=True)
    return dx


# ---- recurrent nets: the cells of torch. x is the input part of the gates, so the input weights are the identity -----


def over_times(x, state, step, reverse):
    """The list of states that step, a function of input and state, gives for x [n,time,k]."""
    times = range(x.shape[1])
    states = [None for _ in times]
    for t in reversed(times) if reverse else times:
        states[t] = state = step(x[:, t], state)
    return states


def identity(x):
    return torch.eye(x.shape[2], dtype=x.dtype)


def rnn(inputs, attrs):
    x, w, h = inputs
    cell = torch.rnn_relu_cell if attrs["relu"] else torch.rnn_tanh_cell
    return torch.stack(over_times(x, h, lambda xt, h: cell(xt, h, identity(x), w), attrs["reverse"]), 1)


def lstm(inputs, attrs):
    x, w, h, c = inputs
    states = over_times(x, (h, c), lambda xt, s: torch.lstm_cell(xt, s, identity(x), w), attrs["reverse"])
    return torch.stack([torch.stack([s[i] for s in states], 1) for i in (0, 1)])


def gru(inputs, attrs):
    x, w, h, b = inputs
    step = lambda xt, h: torch.gru_cell(xt, h, identity(x), w, torch.zeros_like(b), b)
    return torch.stack(over_times(x, h, step, attrs["reverse"]), 1)


def ctc_path(log_probs, labels, blank):
    """Minus the log of the probability of labels [s], of log_probs [t,c], by a recurrence over times; None: no path."""
    states = [blank] + [c for label in labels for c in (label, blank)]
    if not len(log_probs):
        return None if len(states) > 1 else log_probs.sum()
    alpha = [log_probs[0, c] if k < 2 else None for k, c in enumerate(states)]
    for row in log_probs[1:]:
        ways = [[alpha[k - d] for d in range(3) if k >= d and (d < 2 or (k % 2 and states[k] != states[k - 2]))]
                for k in range(len(states))]
        ways = [[w for w in all_ways if w is not None] for all_ways in ways]
        alpha = [row[c] + torch.logsumexp(torch.stack(w), 0) if w else None for c, w in zip(states, ways)]
    last = [a for a in alpha[-2:] if a is not None]
    return -torch.logsumexp(torch.stack(last), 0) if last else None


def ctc(inputs, attrs):
    """With the gradient of log_probs as they are; PyTorch's own values are compared with these."""
    x, labels, times, lengths = inputs
    losses = []
    for i in range(x.shape[1]):
        t, n = int(times[i]), int(lengths[i])
        loss = ctc_path(x[:t, i], labels[i, :n].long().tolist(), attrs["blank"])
        infinite = torch.tensor(0.0 if attrs["zero_infinity"] else math.inf).double() + 0 * x[0, i].detach().sum()
        losses.append(infinite if loss is None else loss)
    losses = torch.stack(losses)
    if x.isfinite().all() and labels.shape[1] > 0:
        theirs = F.ctc_loss(x, labels.long(), times.long(), lengths.long(), attrs["blank"], "none",
                            bool(attrs["zero_infinity"]))
        assert torch.allclose(losses, theirs)
    mean = attrs["reduction"] == 0
    return reduced(losses / lengths.clamp_min(1) if mean else losses, attrs)
def rms_norm(inputs, attrs):
    """PyTorch 1.13 has no function for it."""
    x = inputs[0]
    y = x * (x.square().mean(-1, keepdim=True) + attrs["eps"]).rsqrt()
    return y * inputs[1] if len(inputs) > 1 else y


OPS = {
    "ctc": ctc,
    "mse": pairwise(F.mse_loss),
    "l1": pairwise(F.l1_loss),
    "huber": pairwise(F.huber_loss, delta="delta"),
    "smooth_l1": smooth_l1_loss,
    "bce": pairwise(F.binary_cross_entropy),
    "bce_logits": binary_cross_entropy_with_logits,
    "kl_div": kl_div,
    "hinge": hinge_loss,
    "hinge_embedding": pairwise(F.hinge_embedding_loss, margin="margin"),
    "soft_margin": soft_margin_loss,
    "cross_entropy_classes": cross_entropy_classes,
    "cross_entropy_probs": cross_entropy_probs,
    "nll": nll_loss,
    "class_targets": class_targets,
    "multi_margin": multi_margin_loss,
    "cosine_similarity": cosine_similarity,
    "rms_norm": rms_norm,
    "layer_norm": layer_norm,
    "batch_norm_train": batch_norm_train,
    "batch_norm_eval": batch_norm_eval,
    "rnn": rnn,
    "lstm": lstm,
    "gru": gru,
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "conv2d_weight": conv2d_weight,
    "max_pool2d": lambda inputs, attrs: max_pooled(inputs, attrs)[0],
    "max_pool2d_index": lambda inputs, attrs: max_pooled(inputs, attrs)[1].double(),
    "avg_pool2d": avg_pool2d,
    "avg_unpool2d": avg_unpool2d,
}

TOLERANCE = {
    "rnn": (1e-12, 1e-15, "1 - y^2 of a state near 1 is a difference, which cancels"),
    "lstm": (1e-12, 1e-15, "1 - y and 1 - y^2 of gates near 1 are differences, which cancel"),
    "gru": (1e-12, 1e-15, "1 - y and 1 - y^2 of gates near 1 are differences, which cancel"),
    "cosine_similarity": (1e-12, 1e-15, "of a row of one element the slope is 0 but for rounding"),
    "rms_norm": (1e-12, 1e-15, "of a row of one element the slope is 0 but for eps and rounding"),
    "layer_norm": (1e-12, 1e-14, "differences from a mean, which cancel"),
    "batch_norm_train": (1e-12, 1e-14, "differences from a mean, which cancel"),
}
