"""random_variables.py: reference values of the slopes of random numbers in their parameters, by mpmath."""

import functools

import numpy
import torch
from mpmath import mp

import exact


def slope(a, l):
    """The slope of l, the logarithm of a gamma-distributed x, in a. The series is that of minus the derivative of the
    distribution function over x times the density; distributions.py has that quotient itself."""
    if not (mp.isfinite(a) and a > 0) or mp.isnan(l):
        return mp.nan
    if l > 709.7827:  # x is infinite in f64
        return mp.mpf(0)
    x, term, bracket, total, k = mp.exp(l), 1 / a, mp.psi(0, a + 1) - l, mp.mpf(0), 0
    while True:
        total += term * bracket
        k += 1
        if k > x and abs(term * bracket) <= mp.eps * abs(total):
            return total
        term *= x / (a + k)
        bracket += 1 / (a + k)


@functools.lru_cache(maxsize=None)
def derivative(a, l, n, m):
    if n + m == 0 and l != -mp.inf:
        return slope(a, l)
    if not (mp.isfinite(a) and a > 0) or mp.isnan(l):
        return mp.nan
    if l == mp.inf:
        return mp.mpf(0)
    if l < -1e6:  # (psi(a+1) - l) / a, the first term
        by_l = (-1)**(n + 1) * mp.factorial(n) / a**(n + 1)
        return [-l * -by_l if l == -mp.inf else mp.diff(lambda b: (mp.psi(0, b + 1) - l) / b, a, n), by_l, 0, 0][m]
    with mp.workdps(60):
        return mp.diff(slope, (a, l), (n, m))


class Slope(torch.autograd.Function):
    """Differentiable any number of times: a derivative of the function is one of a higher order."""

    @staticmethod
    def forward(ctx, a, l, n, m):
        ctx.save_for_backward(a, l)
        ctx.orders = n, m
        with mp.workdps(exact.DIGITS):
            f = numpy.frompyfunc(lambda a, l: derivative(a, l, n, m), 2, 1)
            return exact.to_torch(f(exact.to_mp(a), exact.to_mp(l)))

    @staticmethod
    def backward(ctx, g):
        (a, l), (n, m) = ctx.saved_tensors, ctx.orders
        return g * Slope.apply(a, l, n + 1, m), g * Slope.apply(a, l, n, m + 1), None, None


OPS = {
    "standard_loggamma_grad": lambda inputs, attrs: Slope.apply(*inputs, attrs["n"], attrs["m"]),
}
