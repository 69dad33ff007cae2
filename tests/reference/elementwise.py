"""elementwise.py: reference values of the elementwise ops: PyTorch, or mpmath where PyTorch loses digits."""

import torch
import torch.nn.functional as F
from mpmath import mp

import exact


def of_torch(f):
    return lambda inputs, attrs: f(*inputs)


def flag(f):
    return lambda inputs, attrs: f(*inputs).double()


def is_special(x):
    """Whether x is infinite or NaN."""
    return not mp.isfinite(x)


# ---- the gamma function -------------------------------------------------------------------------------


def is_pole(x):
    return mp.isfinite(x) and x <= 0 and x == mp.floor(x)


def lgamma(x):
    if is_pole(x) or mp.isinf(x):
        return mp.inf
    return mp.log(abs(mp.gamma(x)))


def polygamma(x, n):
    """At poles and at infinity the values are those of PyTorch."""
    n = int(n)
    if x == 0:
        return mp.inf if n % 2 else -mp.inf
    if is_pole(x):
        return mp.inf if n % 2 else mp.nan
    if x == mp.inf:
        return mp.mpf(0) if n else mp.inf
    return mp.psi(n, x)


# ---- special functions --------------------------------------------------------------------------------


def erfc_integral(x, n):
    """exp(x^2) times the n-th repeated integral of erfc: DLMF 7.18.7, from far more digits than are needed."""
    before, y = 2 / mp.sqrt(mp.pi), mp.exp(x * x) * mp.erfc(x)
    for k in range(1, n + 1):
        before, y = y, (before / 2 - x * y) / k
    return y


def ndtri(p):
    return mp.sqrt(2) * mp.erfinv(2 * p - 1)


SPECIAL = [  # in the order of ad_special_kind
    lambda x, n: erfc_integral(x, n), lambda x, n: ndtri(x),
    lambda x, n: mp.besselj(n, x), lambda x, n: mp.bessely(n, x),
    lambda x, n: mp.besseli(n, x), lambda x, n: mp.besseli(n, x) * mp.exp(-abs(x)),
    lambda x, n: mp.besselk(n, x), lambda x, n: mp.besselk(n, x) * mp.exp(x),
    lambda x, n: mp.airyai(x, derivative=n),
]


def zeta(s, q):
    """mp.zeta has fewer digits than asked for; q is made large by the definition first."""
    steps = max(0, 80 - int(q))
    return sum((q + k) ** -s for k in range(steps)) + mp.zeta(s, q + steps)


def density(a, x):
    return x ** (a - 1) * mp.exp(-x) / mp.gamma(a)


PAIR = [  # from AD_ZETA on, with the slopes in the second operand
    (zeta, lambda s, q: -s * zeta(s + 1, q)),
    (lambda a, x: mp.gammainc(a, 0, x, regularized=True), density),
    (lambda a, x: mp.gammainc(a, x, mp.inf, regularized=True), lambda a, x: -density(a, x)),
    (density, lambda a, x: density(a, x) * ((a - 1) / x - 1)),
]


def special(x, kind, n):
    return SPECIAL[int(kind)](x, int(n))


def special_slope(x, kind, n):
    """Difference quotients of so many digits take long: by the identities of the functions."""
    kind, n = int(kind), int(n)
    f = SPECIAL[kind]
    if kind < 2:
        return -2 * (n + 1) * f(x, n + 1) if kind == 0 else mp.sqrt(2 * mp.pi) * mp.exp(f(x, n) ** 2 / 2)
    if kind < 4:
        return f(x, n - 1) - n / x * f(x, n)
    bare = mp.besseli if kind < 6 else mp.besselk
    if kind < 8:
        slope = (1 if kind < 6 else -1) * bare(abs(n - 1), x) - n / x * bare(n, x)
        rate = {5: -mp.sign(x), 7: 1}.get(kind, 0)
        return (slope + rate * bare(n, x)) * mp.exp(rate * x)
    return mp.airyai(x, derivative=1) if n == 0 else x * mp.airyai(x)


def special_pair(a, x, kind, n):
    return PAIR[int(kind) - len(SPECIAL)][0](a, x)


def special_pair_slope(a, x, kind, n):
    return PAIR[int(kind) - len(SPECIAL)][1](a, x)


# ---- activations --------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def normal(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def gelu_tanh(x):
    return x * sigmoid(2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))


def softplus_beta(x, beta, threshold):
    return x if x * beta > threshold else mp.log1p(mp.exp(beta * x)) / beta


def elu_entry(inputs, attrs):
    return F.elu(inputs[0], attrs["alpha"])


def softplus_beta_slope(x, beta, threshold):
    return 1 if x * beta > threshold else sigmoid(beta * x)


def softsign(x):
    return x / (1 + abs(x))


def hardsigmoid(x):
    """Not by PyTorch, which has the slope 1/6 in f32 precision only. NaN gives NaN, as in PyTorch."""
    return x if mp.isnan(x) else max(mp.mpf(0), min(mp.mpf(1), (x + 3) / 6))


def hardsigmoid_slope(x):
    return mp.mpf(1) / 6 if abs(x) < 3 else 0


def hardswish(inputs, attrs):
    """NaN has slope NaN, as in PyTorch's loops over vectors; in its loop over single elements it has slope 1."""
    x, = inputs
    nans = torch.where(x.isnan(), x, torch.zeros_like(x))
    return torch.where(x.isnan(), nans * nans, F.hardswish(x))


def keeping_nan(x, y):
    """y, and x where it is NaN. PyTorch's softshrink of NaN is 0, and the slopes of some functions depend on the size."""
    return torch.where(x.isnan(), x, y)


def prelu(inputs, attrs):
    a, b = inputs
    return torch.where(a > 0, a, a * b)


# ---- two and three operands ------------------------------------------------------------------------------


def heaviside(inputs, attrs):
    a, b = inputs
    return torch.where(a == 0, b, (a > 0).double())


def logaddexp(a, b):
    return a + mp.ln(2) if a == b else max(a, b) + mp.log1p(mp.exp(-abs(a - b)))


def where(inputs, attrs):
    return torch.where(inputs[0] != 0, inputs[1], inputs[2])


# ---- functions with digits that PyTorch loses ---------------------------------------------------------------


def sinc(x):
    return mp.mpf(1) if x == 0 else mp.sinpi(x) / (mp.pi * x)


def sinc_slope(x):
    return mp.mpf(0) if x == 0 else (mp.cospi(x) - sinc(x)) / x


def erfinv(x):
    return x if mp.isnan(x) else mp.nan if abs(x) > 1 else mp.sign(x) * mp.inf if abs(x) == 1 else mp.erfinv(x)


def erfinv_slope(x):
    return mp.inf if abs(x) == 1 else mp.sqrt(mp.pi) / 2 * mp.exp(erfinv(x) ** 2)


def logit(x, eps):
    z = min(max(x, mp.mpf(eps)), 1 - mp.mpf(eps))
    return mp.log(z / (1 - z))


def logit_slope(x, eps):
    return 1 / (x * (1 - x)) if eps <= x <= 1 - mp.mpf(eps) else 0


def nan_to_num(inputs, attrs):
    return torch.nan_to_num(*inputs, **attrs)


OPS = {
    "tan": exact.elementwise(mp.tan),
    "asin": of_torch(torch.asin),
    "acos": of_torch(torch.acos),
    "atan": of_torch(torch.atan),
    "sinh": of_torch(torch.sinh),
    "cosh": of_torch(torch.cosh),
    "asinh": of_torch(torch.asinh),
    "acosh": exact.elementwise(mp.acosh, lambda x: mp.inf if x == 1 else 0 if is_special(x) else 1 / mp.sqrt(x * x - 1)),
    "atanh": of_torch(torch.atanh),
    "exp2": of_torch(torch.exp2),
    "log2": of_torch(torch.log2),
    "log10": of_torch(torch.log10),
    "reciprocal": of_torch(torch.reciprocal),
    "rsqrt": of_torch(torch.rsqrt),
    "cbrt": exact.elementwise(
        lambda x: mp.sign(x) * mp.cbrt(abs(x)),
        lambda x: mp.inf if x == 0 else 0 if is_special(x) else 1 / (3 * mp.cbrt(abs(x)) ** 2),
    ),
    "erf": exact.elementwise(mp.erf, lambda x: 0 if is_special(x) else 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    "erfc": exact.elementwise(mp.erfc, lambda x: 0 if is_special(x) else -2 / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    "floor": of_torch(torch.floor),
    "ceil": of_torch(torch.ceil),
    "round": of_torch(torch.round),
    "trunc": of_torch(torch.trunc),
    "clamp": lambda inputs, attrs: torch.clamp(inputs[0], attrs["lo"], attrs["hi"]),
    "lgamma": exact.elementwise(lgamma, lambda x: polygamma(x, 0)),
    "digamma": exact.elementwise(lambda x: polygamma(x, 0), lambda x: polygamma(x, 1)),
    "special": exact.elementwise(special, special_slope),
    "special_pair": exact.elementwise(special_pair, lambda a, x, kind, n: mp.nan, special_pair_slope),
    "polygamma": exact.elementwise(polygamma, lambda x, n: polygamma(x, n + 1)),
    "logsigmoid": exact.elementwise(lambda x: -mp.log1p(mp.exp(-x)), lambda x: sigmoid(-x)),
    "softplus_with": exact.elementwise(softplus_beta, softplus_beta_slope),
    "frac": of_torch(torch.frac),
    "deg2rad": of_torch(torch.deg2rad),
    "rad2deg": of_torch(torch.rad2deg),
    "sinc": exact.elementwise(sinc, sinc_slope),
    "erfinv": exact.elementwise(erfinv, erfinv_slope),
    "logit": exact.elementwise(logit, logit_slope),
    "nan_to_num": nan_to_num,
    "leaky_relu": lambda inputs, attrs: F.leaky_relu(inputs[0], attrs["slope"]),
    "elu": elu_entry,
    "celu": lambda inputs, attrs: F.celu(inputs[0], attrs["alpha"]),
    "relu6": lambda inputs, attrs: keeping_nan(inputs[0], F.relu6(inputs[0])),
    "threshold": lambda inputs, attrs: F.threshold(inputs[0], attrs["threshold"], attrs["value"]),
    "hardshrink": lambda inputs, attrs: keeping_nan(inputs[0], F.hardshrink(inputs[0], attrs["lambda"])),
    "softshrink": lambda inputs, attrs: keeping_nan(inputs[0], F.softshrink(inputs[0], attrs["lambda"])),
    "tanhshrink": exact.elementwise(lambda x: x - mp.tanh(x), lambda x: mp.tanh(x) ** 2),
    "selu": of_torch(F.selu),
    "gelu": exact.elementwise(lambda x: x * normal(x)),
    "gelu_tanh": exact.elementwise(gelu_tanh),
    "silu": exact.elementwise(lambda x: x * sigmoid(x)),
    "mish": exact.elementwise(lambda x: x * mp.tanh(mp.log1p(mp.exp(x)))),
    "softsign": exact.elementwise(softsign, lambda x: 1 / (1 + abs(x)) ** 2),
    "hardtanh": lambda inputs, attrs: F.hardtanh(inputs[0], attrs["lo"], attrs["hi"]),
    "hardsigmoid": exact.elementwise(hardsigmoid, hardsigmoid_slope),
    "hardswish": hardswish,
    "prelu": prelu,
    "atan2": exact.elementwise(
        lambda a, b: mp.atan2(a, b),
        lambda a, b: mp.nan if a == b == 0 else b / (a * a + b * b),
        lambda a, b: mp.nan if a == b == 0 else -a / (a * a + b * b),
    ),
    "hypot": of_torch(torch.hypot),
    "fmod": of_torch(torch.fmod),
    "xlogy": of_torch(torch.xlogy),
    "heaviside": heaviside,
    "floor_divide": lambda inputs, attrs: torch.div(*inputs, rounding_mode="floor"),
    "remainder": of_torch(torch.remainder),
    "logaddexp": exact.elementwise(logaddexp, lambda a, b: sigmoid(a - b), lambda a, b: sigmoid(b - a)),
    "logaddexp2": exact.elementwise(
        lambda a, b: logaddexp(a * mp.ln(2), b * mp.ln(2)) / mp.ln(2),
        lambda a, b: sigmoid((a - b) * mp.ln(2)),
        lambda a, b: sigmoid((b - a) * mp.ln(2)),
    ),
    "fmax": of_torch(torch.fmax),
    "fmin": of_torch(torch.fmin),
    "copysign": of_torch(torch.copysign),
    "where": where,
    "lerp": of_torch(torch.lerp),
    "addcmul": of_torch(torch.addcmul),
    "isfinite": flag(torch.isfinite),
    "isinf": flag(torch.isinf),
    "isnan": flag(torch.isnan),
    "logical_not": flag(torch.logical_not),
    "logical_and": flag(torch.logical_and),
    "logical_or": flag(torch.logical_or),
    "logical_xor": flag(torch.logical_xor),
    "isclose": lambda inputs, attrs: torch.isclose(
        *torch.broadcast_tensors(*inputs), attrs["rtol"], attrs["atol"], bool(attrs["equal_nan"])).double(),
}
