#!/usr/bin/python3
"""distributions.py: reference values of random variables: log-probabilities, entropies and divergences with their
gradients by torch.distributions, and quantiles and moments of distributions by SciPy, for tests/test_ops_random.c.

Writes tests/reference/results_nn/distributions.txt; needs python3-torch, python3-scipy and python3-mpmath.

    /usr/bin/python3 tests/reference/distributions.py

Lines:
    prob NAME N ARGUMENTS.. VALUE SLOPES..       a function of N numbers; the slope of x of a discrete one is nan
    row NAME N K ARGUMENTS.. VALUE SLOPES..      a function of N rows of K numbers
    quantiles NAME N PARAMETERS.. MEAN VARIANCE KURTOSIS Q1 .. Q49    Qi has the probability i / 50 below it
    counts NAME N PARAMETERS.. MEAN VARIANCE KURTOSIS P0 P1 .. PK     the probabilities of 0, 1, .., and of K and more
    gamma A L SLOPE TORCH                        the slope of log x in A at x = exp(L), by mpmath; that of x by torch
    critical DEGREES X                           chi-square is above X with the probability 1e-6
"""
import os

import torch
import torch.distributions as D
from mpmath import mp
from scipy import stats

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn", "distributions.txt")
torch.set_default_dtype(torch.float64)


def log_prob(make):
    return lambda x, *p: make(*p).log_prob(x)


def entropy(make):
    return lambda *p: make(*p).entropy()


def kl(make, n):
    return lambda *p: D.kl_divergence(make(*p[:n]), make(*p[n:]))


def free(make):
    return lambda *p: make(*p, validate_args=False)


normal, uniform, exponential, gamma, beta = map(free, [D.Normal, D.Uniform, D.Exponential, D.Gamma, D.Beta])
poisson, dirichlet = free(D.Poisson), free(D.Dirichlet)
bernoulli = lambda logits: D.Bernoulli(logits=logits)
categorical = lambda logits: D.Categorical(logits=logits)

NUMBERS = {
    "normal_log_prob": (log_prob(normal), [(0.3, -1, 2), (5, 0, 0.1)]),
    "normal_entropy": (entropy(lambda s: normal(torch.zeros(()), s)), [(2,), (0.01,)]),
    "normal_kl": (kl(normal, 2), [(0.3, 1, -1, 2), (5, 0.1, 5, 0.1)]),
    "uniform_log_prob": (log_prob(uniform), [(0.3, -1, 2), (-3, -1, 2), (2, -1, 2), (-1, -1, 2)]),
    "uniform_entropy": (entropy(uniform), [(-1, 2)]),
    "uniform_kl": (kl(uniform, 2), [(0, 1, -1, 2), (-0.5, 1.5, -0.5, 1.5)]),
    "exponential_log_prob": (log_prob(exponential), [(0.3, 2), (7, 0.1)]),
    "exponential_entropy": (entropy(exponential), [(2,), (0.1,)]),
    "exponential_kl": (kl(exponential, 1), [(2, 0.5), (0.1, 3)]),
    "bernoulli_log_prob": (log_prob(bernoulli), [(1, 0.7), (0, 0.7), (1, -30), (0, 0), (1, 3)]),
    "bernoulli_entropy": (entropy(bernoulli), [(0.7,), (0,), (-3,)]),
    "bernoulli_kl": (kl(bernoulli, 1), [(0.7, -1), (0, 2)]),
    "poisson_log_prob": (log_prob(poisson), [(3, 2.5), (0, 0.4), (40, 31)]),
    "poisson_kl": (kl(poisson, 1), [(2, 0.5), (0.1, 3)]),
    "gamma_log_prob": (log_prob(gamma), [(0.3, 2, 1.5), (0.01, 0.2, 1), (30, 40, 2)]),
    "gamma_entropy": (entropy(gamma), [(2, 1.5), (0.3, 1)]),
    "gamma_kl": (kl(gamma, 2), [(2, 1.5, 3, 0.7), (0.4, 1, 1, 2)]),
    "beta_log_prob": (log_prob(beta), [(0.3, 2, 1.5), (0.9, 0.4, 0.5)]),
    "beta_entropy": (entropy(beta), [(2, 1.5), (0.4, 0.5)]),
    "beta_kl": (kl(beta, 2), [(2, 1.5, 3, 0.7), (0.4, 1, 1, 2)]),
}
INF = float("inf")
ROWS = {
    "categorical_entropy": (entropy(categorical), [[(0.3, -1, 2, 0)], [(0, 0, 0, 0)]]),
    "categorical_kl": (kl(categorical, 1), [[(0.3, -1, 2, 0), (1, 1, -1, 0.5)]]),
    "dirichlet_log_prob": (log_prob(dirichlet), [[(0.1, 0.2, 0.4, 0.3), (0.5, 1.2, 2, 3)]]),
    "dirichlet_entropy": (entropy(dirichlet), [[(0.5, 1.2, 2, 3)]]),
    "dirichlet_kl": (kl(dirichlet, 1), [[(0.5, 1.2, 2, 3), (1, 1, 0.3, 4)]]),
}
DISCRETE = {"bernoulli_log_prob", "poisson_log_prob"}

CONTINUOUS = {
    "exponential_like": [((), stats.expon())],
    "exponential": [((2.5,), stats.expon(scale=1 / 2.5))],
    "normal": [((-1, 0.5), stats.norm(-1, 0.5))],
    "uniform": [((-1, 2), stats.uniform(-1, 3))],
    "gamma": [((a, r), stats.gamma(a, scale=1 / r)) for a, r in [(0.1, 1), (0.7, 2), (1, 1), (4.5, 0.5), (300, 1)]],
    "beta": [((a, b), stats.beta(a, b)) for a, b in [(0.3, 0.2), (1, 1), (2, 5), (0.05, 3)]],
    "standard_loggamma": [((a,), stats.loggamma(a)) for a in [0.02, 1, 30]],
}
COUNTS = {
    "bernoulli": [((0.3,), stats.bernoulli(0.3), 2), ((1e-3,), stats.bernoulli(1e-3), 2)],
    "poisson": [((r,), stats.poisson(r), k) for r, k in [(0.3, 4), (4, 13), (9.9, 22), (10, 22), (40, 64)]],
}


def text(values):
    return " ".join(repr(float(v)).replace(".0 ", " ") for v in values)


def differentiate(f, rows):
    xs = [torch.tensor(r, dtype=torch.float64, requires_grad=True) for r in rows]
    y = f(*xs)
    grads = torch.autograd.grad(y.sum(), xs, allow_unused=True) if y.requires_grad else [None] * len(xs)
    return y.detach(), [torch.zeros_like(x) if g is None else g for x, g in zip(xs, grads)]


def flat(tensors):
    return [v for t in tensors for v in t.reshape(-1).tolist()]


def moments(d):
    return [float(v) for v in d.stats(moments="mvk")]


def slope(a, l):
    """By the definition: minus the derivative of the distribution function over x times the density."""
    with mp.workdps(50):
        a, l = mp.mpf(a), mp.mpf(l)
        x = mp.exp(l)
        p = mp.diff(lambda q: mp.gammainc(q, 0, x, regularized=True), a)
        return -p / (mp.exp(a * l - x) / mp.gamma(a))


def lines():
    for name, (f, cases) in NUMBERS.items():
        for case in cases:
            y, grads = differentiate(f, case)
            slopes = flat(grads)
            if name in DISCRETE:
                slopes[0] = float("nan")
            if name == "uniform_log_prob" and y == -INF:
                slopes = [0, 0, 0]
            yield f"prob {name} {len(case)} {text(case)} {text([y])} {text(slopes)}"
    for name, (f, cases) in ROWS.items():
        for rows in cases:
            y, grads = differentiate(f, rows)
            yield f"row {name} {len(rows)} {len(rows[0])} {text(sum(rows, ()))} {text([y])} {text(flat(grads))}"
    for name, cases in CONTINUOUS.items():
        for p, d in cases:
            quantiles = [d.ppf(i / 50) for i in range(1, 50)]
            yield f"quantiles {name} {len(p)} {text(p)} {text(moments(d))} {text(quantiles)}".replace("  ", " ")
    for name, cases in COUNTS.items():
        for p, d, k in cases:
            probabilities = [d.pmf(i) for i in range(k)] + [d.sf(k - 1)]
            yield f"counts {name} {len(p)} {text(p)} {text(moments(d))} {text(probabilities)}"
    for a in [0.01, 0.3, 1.0, 2.5, 12.0, 29.9, 30.1, 400.0]:
        for q in [1e-6, 0.02, 0.5, 0.9, 0.9999]:
            l = float((mp.log(q) + mp.loggamma(a + 1)) / a)  # of small x, which may underflow
            l = l if l < -20 else float(stats.loggamma(a).ppf(q))
            theirs = torch._standard_gamma_grad(torch.tensor(a), torch.tensor(l).exp())
            yield f"gamma {text([a, l, slope(a, l), theirs])}"
    for degrees in range(1, 70):
        yield f"critical {degrees} {text([stats.chi2.isf(1e-6, degrees)])}"


def main():
    with open(HERE, "w") as f:
        f.write("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
