#!/usr/bin/python3
"""graphs.py: random expression graphs with loss and gradients by PyTorch in f64, for tests/test_graphs.c.

usage: graphs.py FILE

There are 200 graphs of up to 200 ops, drawn with a fixed seed. Nodes are used several times, and shapes broadcast.
A graph is drawn node by node, together with its values. The operands of an op must be in its domain and away from its
kinks; otherwise a squashing op is inserted, or another op is drawn. Graphs that amplify rounding errors are drawn
again, so that a large difference means a wrong derivative.
"""

import math
import random
import sys

import torch
import torch.nn.functional as F

from networks import OPS as NETWORKS, reduced
from reductions import linear_scan
from shape import OPS as SHAPE

GRAPHS = 200
MOST_OPS = 200
MOST_LEAVES = 12
MOST_ELEMENTS = 64
NEAR = 1e-6  # the least distance of a value from a kink
LARGE = 8.0  # larger results are scaled down
F64 = torch.float64
INF = math.inf


# ---- leaves: the numbers that tests/test_graphs.c draws too ---------------------------------------------


def words(state):
    """splitmix64 (Steele et al. 2014), which is next_word of tests/common.h."""
    mask = 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        yield z ^ z >> 31


def leaf_values(seed, shape, lo, hi):
    stream = words(seed)
    values = [lo + (hi - lo) * ((next(stream) >> 11) * 2.0**-53) for _ in range(math.prod(shape))]
    return torch.tensor(values, dtype=F64).reshape(shape)


# ---- ops of one operand: function, domain, kinks ---------------------------------------------------------


def kinks(*points):
    return lambda x, a: min([INF] + [away(x - p) for p in points])


def away(x):
    """The distance of x from 0: that of its nearest element."""
    return x.abs().min().item() if x.numel() else INF


def from_whole(x, a):
    return away(x - x.round())


def cbrt(x):
    return x.sign() * x.abs() ** (1 / 3)


def gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


def hardsigmoid(x):
    """torch.nn.functional.hardsigmoid has 1/6 in f32 precision only."""
    return (x + 3).clamp(0, 6) / 6


SMOOTH = kinks()
UNARY = {  # name: (function, lo, hi, distance from kinks)
    "neg": (torch.neg, -INF, INF, SMOOTH), "abs": (torch.abs, -INF, INF, kinks(0)),
    "sign": (torch.sign, -INF, INF, kinks(0)), "sqrt": (torch.sqrt, 0.05, INF, SMOOTH),
    "square": (torch.square, -3, 3, SMOOTH), "exp": (torch.exp, -INF, 2, SMOOTH),
    "expm1": (torch.expm1, -INF, 2, SMOOTH), "log": (torch.log, 0.05, INF, SMOOTH),
    "log1p": (torch.log1p, -0.9, INF, SMOOTH), "sin": (torch.sin, -INF, INF, SMOOTH),
    "cos": (torch.cos, -INF, INF, SMOOTH), "tanh": (torch.tanh, -INF, INF, SMOOTH),
    "tan": (torch.tan, -1.2, 1.2, SMOOTH), "asin": (torch.asin, -0.95, 0.95, SMOOTH),
    "acos": (torch.acos, -0.95, 0.95, SMOOTH), "atan": (torch.atan, -INF, INF, SMOOTH),
    "sinh": (torch.sinh, -2.5, 2.5, SMOOTH), "cosh": (torch.cosh, -2.5, 2.5, SMOOTH),
    "asinh": (torch.asinh, -INF, INF, SMOOTH), "acosh": (torch.acosh, 1.1, INF, SMOOTH),
    "atanh": (torch.atanh, -0.95, 0.95, SMOOTH), "exp2": (torch.exp2, -INF, 3, SMOOTH),
    "log2": (torch.log2, 0.05, INF, SMOOTH), "log10": (torch.log10, 0.05, INF, SMOOTH),
    "reciprocal": (torch.reciprocal, 0.2, INF, SMOOTH), "rsqrt": (torch.rsqrt, 0.1, INF, SMOOTH),
    "cbrt": (cbrt, 0.05, INF, SMOOTH), "erf": (torch.erf, -INF, INF, SMOOTH),
    "erfc": (torch.erfc, -INF, INF, SMOOTH), "lgamma": (torch.lgamma, 0.2, 6, SMOOTH),
    "sigmoid": (torch.sigmoid, -INF, INF, SMOOTH),
    "relu": (torch.relu, -INF, INF, kinks(0)), "softplus": (F.softplus, -INF, 15, SMOOTH),
    "selu": (F.selu, -INF, INF, kinks(0)), "gelu": (F.gelu, -INF, INF, SMOOTH),
    "gelu_tanh": (gelu_tanh, -INF, INF, SMOOTH), "silu": (F.silu, -INF, INF, SMOOTH),
    "mish": (F.mish, -INF, INF, SMOOTH), "softsign": (F.softsign, -INF, INF, SMOOTH),
    "hardsigmoid": (hardsigmoid, -INF, INF, kinks(-3, 3)), "hardswish": (F.hardswish, -INF, INF, kinks(-3, 3)),
    "logsigmoid": (F.logsigmoid, -INF, INF, SMOOTH), "floor": (torch.floor, -INF, INF, from_whole),
    "ceil": (torch.ceil, -INF, INF, from_whole), "trunc": (torch.trunc, -INF, INF, from_whole),
    "round": (torch.round, -INF, INF, lambda x, a: from_whole(x + 0.5, a)),
    "detach": (torch.detach, -INF, INF, SMOOTH),
}

# name: (function of operand and attributes, attributes to draw from, lo, hi, distance from kinks)
WITH_NUMBERS = {
    "adds": (lambda x, a: x + a["k"], {"k": [0.5, -1.25, 2.0]}, -INF, INF, SMOOTH),
    "muls": (lambda x, a: x * a["k"], {"k": [0.5, -1.5, 2.0]}, -INF, INF, SMOOTH),
    "pows": (lambda x, a: x ** a["k"], {"k": [0.5, 2.0, 3.0, -1.5]}, 0.2, 4, SMOOTH),
    "clamp": (lambda x, a: x.clamp(a["lo"], a["hi"]), {"lo": [-1.0, -0.25], "hi": [0.5, 2.0]}, -INF, INF,
              lambda x, a: kinks(a["lo"], a["hi"])(x, a)),
    "hardtanh": (lambda x, a: F.hardtanh(x, a["lo"], a["hi"]), {"lo": [-1.0, -0.5], "hi": [1.0, 1.5]}, -INF, INF,
                 lambda x, a: kinks(a["lo"], a["hi"])(x, a)),
    "leaky_relu": (lambda x, a: F.leaky_relu(x, a["slope"]), {"slope": [0.25, 0.0625]}, -INF, INF, kinks(0)),
    "elu": (lambda x, a: F.elu(x, a["alpha"]), {"alpha": [0.75, 1.5]}, -INF, INF, kinks(0)),
    "softplus_with": (lambda x, a: F.softplus(x, a["beta"], a["threshold"]),
                      {"beta": [0.5, 2.0], "threshold": [3.0, 20.0]}, -INF, INF,
                      lambda x, a: away(x * a["beta"] - a["threshold"])),
}


# ---- ops of two or three operands that broadcast ----------------------------------------------------------

ANY = (-INF, INF)
APART = (0.2, INF)  # the domain of divisors
COMPARED = ["eq", "ne", "gt", "ge", "lt", "le"]


def apart(a, b):
    return away(a - b) if broadcasts(a, b) else 0.0


def never(a, b):
    return INF


def prelu(x, w):
    return torch.where(x > 0, x, w * x)


BINARY = {  # name: (function, domain of each operand, distance from kinks)
    "add": (torch.add, ANY, ANY, never), "sub": (torch.sub, ANY, ANY, never), "mul": (torch.mul, ANY, ANY, never),
    "div": (torch.div, ANY, APART, never), "pow": (torch.pow, (0.2, 3), (-2, 2), never),
    "maximum": (torch.maximum, ANY, ANY, apart), "minimum": (torch.minimum, ANY, ANY, apart),
    "atan2": (torch.atan2, ANY, APART, never), "hypot": (torch.hypot, ANY, APART, never),
    "fmod": (torch.fmod, ANY, (0.5, INF), lambda a, b: away(a / b - (a / b).round())),
    "xlogy": (torch.xlogy, ANY, (0.05, INF), never),
    **{name: (lambda a, b, f=getattr(torch, name): f(a, b).to(F64), ANY, ANY, apart) for name in COMPARED},
}


# ---- all other ops: function of operands and attributes -----------------------------------------------------


def over(f, **more):
    """A reduction. None for all axes becomes a list, as not every torch function takes None."""

    def entry(inputs, a):
        x = inputs[0]
        axes = list(range(x.dim())) if a["axes"] is None else a["axes"]
        return f(x, axes, keepdim=a["keepdims"], **{ours: a[ours] for ours in more})

    return entry


def prod(inputs, a):
    return inputs[0].prod() if a["axes"] is None else inputs[0].prod(a["axes"][0], keepdim=a["keepdims"])


def norm(inputs, a):
    x = inputs[0]
    axes = list(range(x.dim())) if a["axes"] is None else a["axes"]
    return torch.linalg.vector_norm(x, a["p"], axes, keepdim=a["keepdims"])


OTHERS = {
    "prelu": lambda i, a: prelu(*i),
    "where": lambda i, a: torch.where(i[0] != 0, i[1], i[2]),
    "lerp": lambda i, a: torch.lerp(*i),
    "sum": over(torch.sum), "mean": over(torch.mean), "max": over(torch.amax), "min": over(torch.amin),
    "variance": over(torch.var, correction=0), "std": over(torch.std, correction=0),
    "logsumexp": over(torch.logsumexp), "prod": prod, "norm": norm, "linear_scan": linear_scan,
    "cumsum": lambda i, a: i[0].cumsum(a["axis"]), "cumprod": lambda i, a: i[0].cumprod(a["axis"]),
    "softmax": lambda i, a: i[0].softmax(a["axis"]), "log_softmax": lambda i, a: i[0].log_softmax(a["axis"]),
    "matmul": lambda i, a: torch.matmul(*i), "affine": lambda i, a: F.linear(*i),
    "cross_entropy": lambda i, a: F.cross_entropy(i[0], i[1].long()),
    "reshape": lambda i, a: i[0].reshape(a["shape"]), "expand": lambda i, a: i[0].expand(a["shape"]),
    "transpose": lambda i, a: i[0].transpose(-1, -2), "permute": lambda i, a: i[0].permute(a["axes"]),
    "diagonal": lambda i, a: i[0].diagonal(a["offset"], -2, -1),
    "tril": lambda i, a: i[0].tril(a["diagonal"]), "triu": lambda i, a: i[0].triu(a["diagonal"]),
    "soft_margin": lambda i, a: reduced(torch.logaddexp(torch.zeros((), dtype=torch.float64), -i[0] * i[1]), a),
    **{name: SHAPE[name] for name in ("slice", "concat", "stack", "flip", "roll", "pad", "take_axis", "index_add",
                                      "gather", "scatter_add", "masked_fill", "im2col")},
    **{name: NETWORKS[name] for name in ("mse", "l1", "huber", "smooth_l1",
                                         "bce_logits", "layer_norm", "conv2d",
                                         "max_pool2d", "cosine_similarity")},
}


def value_of(name, inputs, attrs):
    if name in UNARY:
        return UNARY[name][0](inputs[0])
    if name in WITH_NUMBERS:
        return WITH_NUMBERS[name][0](inputs[0], attrs)
    return BINARY[name][0](*inputs) if name in BINARY else OTHERS[name](inputs, attrs)


# ---- a graph ------------------------------------------------------------------------------------------------


class Node:
    def __init__(self, kind, operands=(), attrs=None, shape=None, lo=0, hi=0):
        self.kind, self.operands, self.attrs = kind, list(operands), attrs or {}
        self.shape, self.lo, self.hi = shape, lo, hi
        self.uses = 0

    def is_leaf(self):
        return self.kind in ("param", "tensor", "index")


class Refused(Exception):
    """The op cannot be applied to the operands; another op is drawn."""


class Graph:
    """The nodes so far and their values, and methods that draw one more."""

    def __init__(self, number):
        self.number, self.random = number, random.Random(1000 + number)
        self.nodes, self.values = [], []
        self.target = MOST_OPS if number % 10 == 0 else self.random.randint(8, 125)

    # -- adding nodes

    def leaf(self, kind, shape, lo, hi):
        self.nodes.append(Node(kind, shape=list(shape), lo=lo, hi=hi))
        self.values.append(leaf_value(self, len(self.nodes) - 1))
        return len(self.nodes) - 1

    def new_leaf(self, shape):
        if sum(n.is_leaf() for n in self.nodes) >= MOST_LEAVES or math.prod(shape) > MOST_ELEMENTS:
            raise Refused
        lo, hi = self.random.choice([(-1, 1), (-2, 2), (0.25, 1.5)])
        return self.leaf(self.random.choices(["param", "tensor"], [4, 1])[0], shape, lo, hi)

    def indices(self, shape, n):
        if sum(n.is_leaf() for n in self.nodes) >= MOST_LEAVES:
            raise Refused
        return self.leaf("index", shape, 0, n)

    def append(self, name, operands, attrs):
        y = value_of(name, [self.values[i] for i in operands], attrs)
        for i in operands:
            self.nodes[i].uses += 1
        self.nodes.append(Node(name, operands, attrs))
        self.values.append(y)
        return len(self.nodes) - 1

    def op(self, name, operands, **attrs):
        """The result of the op, scaled down or squashed by another op if it is large."""
        try:
            at = self.append(name, operands, attrs)
        except (RuntimeError, IndexError):  # incompatible shapes
            raise Refused from None
        y = self.values[at]
        if y.numel() == 0 or y.numel() > MOST_ELEMENTS or not torch.isfinite(y).all():
            raise Refused
        if y.abs().max() > LARGE:
            return self.op("tanh", [at]) if self.random.random() < 0.3 else self.op("muls", [at], k=2.0**-4)
        return at

    def inside(self, i, lo, hi):
        """Node i, squashed by other ops if its values are not between lo and hi."""
        x = self.values[i]
        if x.min() >= lo and x.max() <= hi:
            return i
        if lo > 0:
            i = self.op("adds", [self.op("sigmoid", [i])], k=1.25 if lo > 1 else 0.5)
        else:
            i = self.op("muls", [self.op("tanh", [i])], k=0.75)
        return i if self.values[i].min() >= lo and self.values[i].max() <= hi else self.refuse()

    def refuse(self):
        raise Refused

    # -- choosing nodes

    def ops(self):
        return sum(not n.is_leaf() for n in self.nodes)

    def unused(self):
        return [i for i, n in enumerate(self.nodes) if n.uses == 0 and n.kind != "index"]

    def pick(self, fits=lambda x: True):
        """An unused node, a recent one, or any node."""
        way = self.random.random()
        pool = self.unused() if way < 0.45 else list(range(len(self.nodes)))[-12 if way < 0.75 else -9999:]
        pool = [i for i in pool if self.nodes[i].kind != "index" and fits(self.values[i])]
        return self.random.choice(pool) if pool else self.refuse()

    def axis(self, x):
        return self.random.randrange(-x.dim(), x.dim()) if x.dim() else self.refuse()

    def partner(self, i):
        """A node that broadcasts with node i, or a new leaf with a part of its shape."""
        x = self.values[i]
        if self.random.random() < 0.85:
            try:
                return self.pick(lambda v: broadcasts(x, v))
            except Refused:
                pass
        shape = [n if self.random.random() < 0.7 else 1 for n in x.shape]
        return self.new_leaf(shape[self.random.randint(0, len(shape)):] if self.random.random() < 0.5 else shape)


def broadcasts(a, b):
    try:
        return math.prod(torch.broadcast_shapes(a.shape, b.shape)) <= MOST_ELEMENTS
    except RuntimeError:
        return False


def leaf_value(graph, i):
    n = graph.nodes[i]
    x = leaf_values(graph.number * 1000 + i, n.shape, n.lo, n.hi)
    return x.floor() if n.kind == "index" else x


# ---- one more op ----------------------------------------------------------------------------------------------


CONSTANT = ["sign", "floor", "ceil", "trunc", "round", "detach", *COMPARED]  # drawn rarely: they stop gradients


def draw_name(g, names):
    name = g.random.choice(names)
    return name if name not in CONSTANT or g.random.random() < 0.25 else draw_name(g, names)


def draw_unary(g):
    name = draw_name(g, list(UNARY))
    _, lo, hi, distance = UNARY[name]
    i = g.inside(g.pick(), lo, hi)
    return g.op(name, [i]) if distance(g.values[i], None) > NEAR else g.refuse()


def draw_with_numbers(g):
    name = g.random.choice(list(WITH_NUMBERS))
    _, choices, lo, hi, distance = WITH_NUMBERS[name]
    attrs = {key: g.random.choice(values) for key, values in choices.items()}
    i = g.inside(g.pick(), lo, hi)
    return g.op(name, [i], **attrs) if distance(g.values[i], attrs) > NEAR else g.refuse()


def draw_binary(g):
    name = draw_name(g, ["add", "mul", "sub"] if g.random.random() < 0.3 else list(BINARY))
    _, da, db, distance = BINARY[name]
    a = g.pick()
    b = g.partner(a)
    if g.random.random() < 0.5:
        a, b = b, a
    a, b = g.inside(a, *da), g.inside(b, *db)
    return g.op(name, [a, b]) if distance(g.values[a], g.values[b]) > NEAR else g.refuse()


def draw_ternary(g):
    name = g.random.choice(["where", "lerp", "masked_fill", "prelu"])
    a = g.pick()
    if name == "prelu":
        return g.op(name, [a, g.partner(a)]) if away(g.values[a]) > NEAR else g.refuse()
    b, c = g.partner(a), g.partner(a)
    if name == "lerp":
        return g.op(name, [a, b, g.inside(c, -3, 3)])
    flag = g.op("gt", [b, c]) if apart(g.values[b], g.values[c]) > NEAR else g.refuse()
    if name == "masked_fill":
        x = g.values[a]
        return g.op(name, [a, flag], value=-0.75) if broadcasts(x, g.values[flag]) and torch.broadcast_shapes(
            x.shape, g.values[flag].shape) == x.shape else g.refuse()
    return g.op(name, [flag, a, g.partner(a)])


def gap(x, axes, keepdims=False):
    """The difference of the largest and the second largest element over axes, which must not be near 0."""
    axes = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in axes]
    rest = [n for n in range(x.dim()) if n not in axes]
    rows = x.permute(rest + axes).reshape([x.shape[n] for n in rest] + [-1])
    if rows.shape[-1] < 2:
        return INF
    top = rows.topk(2, -1).values
    return away(top[..., 0] - top[..., 1])


def draw_reduction(g):
    name = g.random.choice(["sum", "mean", "max", "min", "variance", "std", "logsumexp", "prod", "norm"])
    i = g.pick(lambda x: x.dim() > 0)
    x, attrs = g.values[i], {"axes": None, "keepdims": g.random.random() < 0.5}
    if g.random.random() < 0.8:
        several = 1 if name == "prod" or g.random.random() < 0.7 else g.random.randint(1, x.dim())
        attrs["axes"] = g.random.sample(range(x.dim()), several)
    if name in ("variance", "std"):
        attrs["correction"] = 0
    if name == "norm":
        attrs["p"] = g.random.choice([1.0, 2.0, 3.0, INF])
    safe = {"max": lambda: gap(x, attrs["axes"]) > NEAR, "min": lambda: gap(-x, attrs["axes"]) > NEAR,
            "norm": lambda: away(x) > 0.01 and gap(x.abs(), attrs["axes"]) > NEAR, "prod": lambda: away(x) > 0.05,
            "std": lambda: value_of("std", [x], attrs).min() > 0.05}
    return g.op(name, [i], **attrs) if name not in safe or safe[name]() else g.refuse()


def draw_along(g):
    name = g.random.choice(["softmax", "log_softmax", "cumsum", "cumprod", "linear_scan"])
    i = g.pick(lambda x: x.dim() > 0)
    x = g.values[i]
    axis = g.axis(x)
    if name == "linear_scan":
        j = g.pick(lambda v: v.shape == x.shape)
        return g.op(name, [g.inside(i, -1.5, 1.5), j], axis=axis, reverse=g.random.random() < 0.5,
                    init=g.random.choice([0.0, 0.5]))
    return g.op(name, [i], axis=axis) if name != "cumprod" or away(x) > 0.05 else g.refuse()


def draw_product(g):
    i = g.pick(lambda x: x.dim() >= 1)
    x, n = g.values[i], g.random.randint(1, 4)
    if g.random.random() < 0.5:
        more = [g.new_leaf([n])] if g.random.random() < 0.6 else []
        return g.op("affine", [i, g.new_leaf([n, x.shape[-1]])] + more) if x.dim() >= 2 else g.refuse()

    def fits(v):
        try:
            return v.dim() >= 1 and torch.matmul(x, v).numel() <= MOST_ELEMENTS
        except RuntimeError:
            return False

    try:
        return g.op("matmul", [i, g.pick(fits)])
    except Refused:
        return g.op("matmul", [i, g.new_leaf([x.shape[-1], n])])


def divisions(n):
    return [k for k in range(1, n + 1) if n % k == 0]


def draw_shape(g):
    name = g.random.choice(["reshape", "expand", "transpose", "permute", "diagonal", "tril", "triu"])
    i = g.pick(lambda x: x.dim() >= (2 if name in ("transpose", "diagonal", "tril", "triu") else 1))
    x = g.values[i]
    if name == "reshape":
        k = g.random.choice(divisions(x.numel()))
        m = g.random.choice(divisions(x.numel() // k))
        return g.op(name, [i], shape=g.random.choice([[k, -1], [k, m, -1], [-1]]))
    if name == "expand":
        return g.op(name, [i], shape=[g.random.randint(1, 3)] + [n if n > 1 else 3 for n in x.shape])
    if name == "permute":
        return g.op(name, [i], axes=g.random.sample(range(x.dim()), x.dim()))
    offset = g.random.randint(-1, 1)
    return g.op(name, [i], **{"transpose": {}, "diagonal": {"offset": offset}}.get(name, {"diagonal": offset}))


def draw_part(g):
    name = g.random.choice(["slice", "flip", "roll", "pad", "concat", "stack"])
    i = g.pick(lambda x: x.dim() > 0)
    x = g.values[i]
    axis = g.axis(x)
    n = x.shape[axis]
    if name == "slice":
        start = g.random.randrange(n)
        backward = g.random.random() < 0.3
        stop = -(2**63) if backward else g.random.randint(start + 1, n)
        return g.op(name, [i], axes=[axis % x.dim()], start=[start], stop=[stop],
                    step=[-1 if backward else g.random.randint(1, 2)])
    if name == "flip":
        return g.op(name, [i], axes=g.random.choice([None, [axis]]))
    if name == "roll":
        return g.op(name, [i], shift=g.random.randint(-2, 2), axis=axis)
    if name == "pad":
        return g.op(name, [i], before=[g.random.randint(0, 1) for _ in x.shape],
                    after=[g.random.randint(0, 1) for _ in x.shape], value=0.5)
    others = [g.pick(lambda v: v.shape == x.shape) for _ in range(g.random.randint(1, 2))]
    return g.op(name, [i] + others, axis=axis)


def draw_by_index(g):
    name = g.random.choice(["take_axis", "index_add", "gather", "scatter_add"])
    i = g.pick(lambda x: x.dim() > 0)
    x = g.values[i]
    axis = g.axis(x)
    n, rows = x.shape[axis], g.random.randint(1, 4)
    shape = list(x.shape)
    shape[axis] = rows
    if name in ("take_axis", "index_add"):
        at = g.indices([rows], n)
        return g.op(name, [i, at] + ([g.new_leaf(shape)] if name == "index_add" else []), axis=axis)
    at = g.indices(shape, n)
    return g.op(name, [i, at] + ([g.new_leaf(shape)] if name == "scatter_add" else []), axis=axis)


def draw_loss(g):
    name = g.random.choice(["mse", "l1", "huber", "smooth_l1", "soft_margin",
                            "bce_logits", "cross_entropy", "cosine_similarity"])
    i = g.pick(lambda x: x.dim() > 0)
    x = g.values[i]
    if name == "cross_entropy":
        return g.op(name, [i, g.indices([x.shape[0]], x.shape[1])]) if x.dim() == 2 else g.refuse()
    try:
        j = g.pick(lambda v: v.shape == x.shape)
    except Refused:
        j = g.new_leaf(list(x.shape))
    if name == "cosine_similarity":
        lengths = torch.stack([x.norm(dim=-1).min(), g.values[j].norm(dim=-1).min()])
        return g.op(name, [i, j], axis=-1, eps=1e-8) if lengths.min() > 0.05 else g.refuse()
    attrs, d = {"reduction": g.random.randrange(3)}, (x - g.values[j]).abs()
    if name in ("huber", "smooth_l1"):
        attrs["delta" if name == "huber" else "beta"] = 0.75
    bad = away(d) < NEAR or away(d - 0.75) < NEAR
    return g.refuse() if bad and name in ("l1", "huber", "smooth_l1") else g.op(name, [i, j], **attrs)


def image(g):
    """A node as [images, channels, height, width]."""
    i = g.pick(lambda x: x.numel() >= 4)
    x = g.values[i]
    if x.dim() == 4 and x.shape[2] > 1 and x.shape[3] > 1:
        return i
    area = g.random.choice([k for k in divisions(x.numel()) if k > 3] or [0])
    heights = [k for k in divisions(area) if 1 < k < area] if area else []
    if not heights:
        raise Refused
    h, rest = g.random.choice(heights), x.numel() // area
    channels = g.random.choice(divisions(rest))
    return g.op("reshape", [i], shape=[rest // channels, channels, h, area // h])


def draw_image(g):
    name = g.random.choice(["conv2d", "max_pool2d", "im2col", "layer_norm"])
    if name == "layer_norm":
        i = g.pick(lambda x: x.dim() > 0 and x.shape[-1] > 1 and x.var(-1, False).min() > 0.01)
        width = g.values[i].shape[-1:]
        more = [g.new_leaf(width), g.new_leaf(width)] if g.random.random() < 0.7 else []
        return g.op(name, [i] + more, normalized_shape=list(width), eps=1e-5, has_weight=bool(more),
                    has_bias=bool(more))
    i = image(g)
    x = g.values[i]
    if name == "conv2d":
        more = [g.new_leaf([2])] if g.random.random() < 0.5 else []
        return g.op(name, [i, g.new_leaf([2, x.shape[1], 2, 2])] + more, stride=[1, g.random.randint(1, 2)],
                    padding=[g.random.randint(0, 1), 0], dilation=[1, 1], groups=1)
    attrs = {"kernel": [2, 2], "stride": [1, g.random.randint(1, 2)], "padding": [0, 0], "dilation": [1, 1]}
    if name == "im2col":
        return g.op(name, [i], **attrs)
    windows = F.unfold(x, [2, 2], stride=attrs["stride"]).unflatten(1, (x.shape[1], 4))
    return g.op(name, [i], ceil_mode=False, **attrs) if gap(windows, [2]) > NEAR else g.refuse()


DRAWS = [(draw_unary, 9), (draw_binary, 12), (draw_with_numbers, 3), (draw_ternary, 3), (draw_reduction, 3),
         (draw_along, 3), (draw_product, 4), (draw_shape, 3), (draw_part, 3), (draw_by_index, 2), (draw_loss, 2),
         (draw_image, 3)]


# ---- a whole graph ----------------------------------------------------------------------------------------------


def close(g):
    """Adds the loss: the weighted sum of all unused nodes."""
    flat = [i if g.values[i].dim() == 1 else g.op("reshape", [i], shape=[-1]) for i in g.unused()]
    joined = g.append("concat", flat, {"axis": 0})
    weight = g.leaf("tensor", [g.values[joined].numel()], 0.25, 1.75)
    weighed = g.append("mul", [joined, weight], {})
    g.append("sum", [weighed], {"axes": None, "keepdims": False})


def draw(number, attempt):
    g = Graph(number)
    g.random.seed(1000003 * attempt + number)
    for _ in range(g.random.randint(2, 5)):
        g.new_leaf([g.random.randint(1, 4) for _ in range(g.random.randint(0, 3))])
    while g.ops() + len(g.unused()) + 3 < g.target - 5:
        kept = len(g.nodes), [n.uses for n in g.nodes]
        try:
            g.random.choices([d for d, _ in DRAWS], [k for _, k in DRAWS])[0](g)
        except Refused:
            g.nodes, g.values = g.nodes[:kept[0]], g.values[:kept[0]]
            for n, uses in zip(g.nodes, kept[1]):
                n.uses = uses
    close(g)
    return g


def run(g, noise=0.0):
    """The loss and the gradients of the parameters. noise is a relative error that is added to each node."""
    values, params = [], []
    generator = torch.Generator().manual_seed(g.number)
    for i, n in enumerate(g.nodes):
        if n.is_leaf():
            y = leaf_value(g, i).requires_grad_(n.kind == "param")
            params += [i] if n.kind == "param" else []
        else:
            y = value_of(n.kind, [values[k] for k in n.operands], n.attrs)
        if noise and n.kind != "index" and not n.is_leaf():
            y = y * (1 + noise * (2 * torch.rand(y.shape, generator=generator, dtype=F64) - 1))
        values.append(y)
    if not values[-1].requires_grad:
        return values[-1].item(), {}
    grads = torch.autograd.grad(values[-1], [values[i] for i in params], allow_unused=True)
    found = [torch.zeros_like(values[i]) if d is None else d for i, d in zip(params, grads)]
    return values[-1].item(), dict(zip(params, found))


def steady(g, loss, grads):
    """Whether errors of 1e-13 in each node cause errors below 1e-11 in every gradient, and few gradients are 0."""
    noisy_loss, noisy = run(g, 1e-13)
    if not math.isfinite(loss) or abs(noisy_loss - loss) > 1e-11 * max(abs(loss), 1e-3):
        return False
    sizes = {i: d.abs().max().item() for i, d in grads.items()}
    return all(math.isfinite(s) and (s == 0 or 1e-6 < s < 1e6) for s in sizes.values()) and all(
        (noisy[i] - d).abs().max() <= 1e-11 * sizes[i] for i, d in grads.items()) and sum(
            s > 0 for s in sizes.values()) >= 0.7 * len(sizes)


# ---- writing ------------------------------------------------------------------------------------------------------


def text_of(value):
    if value is None:
        return "all"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(str(int(v)) for v in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(int(value))


def line_of(n):
    if n.is_leaf():
        return f"{n.kind} {text_of(n.shape)} {n.lo:g} {n.hi:g}"
    attrs = [f"{key}={text_of(value)}" for key, value in n.attrs.items() if value is None or value]  # zeros are omitted
    return " ".join([n.kind] + [str(i) for i in n.operands] + attrs)


def weighed(d):
    """A weighted sum that changes with every element. The weights are 1, 1 1/8, ... 1 7/8, 1, ..."""
    return sum((1 + k % 8 / 8) * v for k, v in enumerate(d.reshape(-1).tolist()))


def lines_of(g, loss, grads):
    yield f"graph {g.number} nodes {len(g.nodes)}"
    yield from map(line_of, g.nodes)
    yield f"loss {loss:.12g}"
    for i, d in grads.items():
        flat = d.reshape(-1)
        largest, n = flat.abs().max().item(), len(flat)
        parts = (weighed(d), flat[0].item(), flat[n // 2].item())[:1 if n == 1 else 3]
        yield f"grad {i} {largest:.3g} " + " ".join(f"{v:.12g}" for v in parts)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines = ["# Random graphs with loss and gradients by PyTorch; `make reference-values` updates them",
             "# grad NODE LARGEST WEIGHED FIRST MIDDLE: graphs.py says of which elements"]
    torch.set_num_threads(1)
    ops, kinds = 0, set()
    for number in range(GRAPHS):
        for attempt in range(1000):
            g = draw(number, attempt)
            loss, grads = run(g)
            if grads and steady(g, loss, grads):
                break
        else:
            sys.exit(f"graphs.py: graph {number}: 1000 attempts gave no graph that is stable")
        lines.extend(lines_of(g, loss, grads))
        ops += g.ops()
        kinds |= {n.kind for n in g.nodes if not n.is_leaf()}
    with open(sys.argv[1], "w", encoding="ascii") as to:
        to.write("\n".join(lines) + "\n")
    never_drawn = {*UNARY, *WITH_NUMBERS, *BINARY, *OTHERS} - kinds
    if never_drawn:
        sys.exit(f"graphs.py: no graph contains {' '.join(sorted(never_drawn))}")
    print(f"reference-values: {GRAPHS} graphs of {ops} ops of {len(kinds)} kinds written to {sys.argv[1]}")


if __name__ == "__main__":
    main()
