#!/usr/bin/python3
"""functions.py: values, first and second derivatives of the functions that are made of ops, by PyTorch in f64.

usage: functions.py RESULTS, the file that tests/test_functions.c reads. A case is a name of that test, the operands and
PyTorch's function of them. An operand is a shape, for random numbers in -2..2, or a list, which takes no gradient;
Between(lo, hi, shape) has numbers of another range, and Given(list) takes a gradient.
"""

import math
import pathlib
import random
import sys
import warnings

import torch
import torch.masked
import torch.nn.functional as F
from mpmath import mp

sys.dont_write_bytecode = True
import networks  # noqa: E402
import reference  # noqa: E402

warnings.simplefilter("ignore")
CASES = []


class Between:
    def __init__(self, lo, hi, *shape):
        self.lo, self.hi, self.shape = lo, hi, shape


class Given:
    def __init__(self, values):
        self.values = values


def case(name, *operands):
    """Decorates a function of PyTorch."""

    def add(f):
        CASES.append((name, operands, f))
        return f

    return add


def operand(given, source):
    if isinstance(given, Given):
        return torch.tensor(given.values, dtype=torch.float64).requires_grad_()
    if isinstance(given, list):
        return torch.tensor(given, dtype=torch.float64)
    lo, hi, shape = (given.lo, given.hi, given.shape) if isinstance(given, Between) else (-2, 2, given)
    values = [round(source.uniform(lo, hi), 3) for _ in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_()


def weighted(x):
    return (reference.weights(x.numel()).reshape(x.shape) * x).sum()


def gradients(y, takers):
    """The gradients of a scalar, zeros where it does not depend on an operand."""
    if not y.requires_grad:
        return [torch.zeros_like(x) for x in takers]
    grads = torch.autograd.grad(y, takers, allow_unused=True, create_graph=True)
    return [torch.zeros_like(x) + (0 if g is None else g) for x, g in zip(takers, grads)]


def line(word, tensor):
    shape = "[" + ",".join(str(n) for n in tensor.shape) + "]"
    return f"{word} {shape}{reference.numbers(tensor.detach())}"


def lines(name, operands, f):
    source = random.Random(name)
    inputs = [operand(given, source) for given in operands]
    takers = [x for x in inputs if x.requires_grad]
    y = f(*inputs).double()
    first = gradients(weighted(y), takers)
    second = gradients(sum(weighted(d) for d in first), takers) if takers else []
    yield f"function {name}"
    yield from (line("param" if x.requires_grad else "tensor", x) for x in inputs)
    yield line("value", y)
    yield from (line("grad", d) for d in first)
    yield from (line("second", d) for d in second)


# ---- indices ---------------------------------------------------------------------------------------------


@case("index_fill", (3, 4), [2, 0])
def _(x, index):
    return x.index_fill(0, index.long(), 2.5)


@case("index_fill_last", (2, 4), [-1])
def _(x, index):
    return x.index_fill(1, torch.tensor([3]), -1)


@case("put", (2, 3), [[0, 5], [-2, 2]], (2, 2))
def _(x, index, src):
    return x.put(index.long(), src)


@case("put_accumulate", (2, 3), [0, 5, 0], (3,))
def _(x, index, src):
    return x.put(index.long(), src, accumulate=True)


REDUCTIONS = ["sum", "mean", "prod", "amax", "amin"]
for how in REDUCTIONS:
    for self in (True, False):
        name = f"scatter_{how}" + ("" if self else "_alone")
        case(name, (2, 3), [[2, 0, 0, 2], [1, 1, 1, 1]], (2, 4))(
            lambda x, index, src, how=how, self=self: x.scatter_reduce(1, index.long(), src, how, include_self=self))
        if how != "sum":
            case(name.replace("scatter", "index"), (3, 2), [0, 2, 0], (3, 2))(
                lambda x, index, src, how=how, self=self:
                x.scatter_reduce(0, index.long().reshape(-1, 1).expand(3, 2), src, how, include_self=self))


@case("scatter_part", (3, 4), [[0, 2, 1]], (2, 4))
def _(x, index, src):
    return x.scatter(0, index.long(), src[:1, :3])


@case("embedding_with", (4, 2), [[1, 3], [-1, 0]])
def _(weight, index):
    return F.embedding(index.long() % 4, weight, padding_idx=3)


@case("masked_fill_wide", (3,), [[0, 1, 0], [1, 0, 0]])
def _(x, mask):
    return x.expand(2, 3).masked_fill(mask != 0, -2)


@case("nonzero", [[0, 1, 2], [3, 0, 0]])
def _(x):
    return torch.nonzero(x)


@case("masked_select", (2, 3), [[0, 1, 2], [3, 0, 0]])
def _(x, mask):
    return torch.masked_select(x, mask != 0)


@case("masked_select_wide", (3,), [[1], [0], [1]])
def _(x, mask):
    return torch.masked_select(x, mask != 0)


@case("masked_scatter", (2, 3), [0, 1, 2], (5,))
def _(x, mask, src):
    return x.masked_scatter(mask.expand(2, 3) != 0, src)


@case("index_two", (3, 4), [[0, 2], [-1, 1]], [3, -2])
def _(x, i, j):
    return x[i.long(), j.long()]


@case("index_apart", (3, 4, 2), [2, 0], [[1], [0], [1]])
def _(x, i, j):
    return x[i.long(), :, j.long()]


@case("index_inner", (2, 3, 4, 2), [[2, 0]], [[1], [-1]])
def _(x, i, j):
    return x[:, i.long(), j.long()]


@case("index_one", (2, 3), [2, -1, 0])
def _(x, i):
    return x[:, i.long()]


@case("index_put", (3, 4), [2, 0], [3, -2], (2,))
def _(x, i, j, values):
    return x.index_put((i.long(), j.long()), values)


@case("index_put_accumulate", (3, 4), [2, 2], [1, 1], (1,))
def _(x, i, j, values):
    return x.index_put((i.long(), j.long()), values, accumulate=True)


@case("index_put_apart", (3, 2, 4), [2, 0, 2], [3, -2, 1], (3, 2))
def _(x, i, j, values):
    y = x.clone()
    y[i.long(), :, j.long()] = values
    return y


def special_polynomial(x, f, n):
    """PyTorch 1.13 does not differentiate these: the polynomial through its values at n + 1 points."""
    points = torch.linspace(-1, 1, n + 1, dtype=torch.float64)
    coefficients = torch.linalg.solve(torch.linalg.vander(points), f(points, n))
    return sum(c * x**k for k, c in enumerate(coefficients))


# ---- joins, views, products, differences, distances ----------------------------------------------------


@case("atleast_1d", ())
def _(x):
    return torch.atleast_1d(x)


@case("atleast_2d", (3,))
def _(x):
    return torch.atleast_2d(x)


@case("atleast_3d", (3,))
def _(x):
    return torch.atleast_3d(x)


@case("atleast_3d_matrix", (2, 3))
def _(x):
    return torch.atleast_3d(x)


@case("hstack", (2, 3), (2, 1))
def _(x, y):
    return torch.hstack([x, y])


@case("hstack_vectors", (3,), ())
def _(x, y):
    return torch.hstack([x, y])


@case("vstack", (2, 3), (3,))
def _(x, y):
    return torch.vstack([x, y])


@case("dstack", (2, 3), (2, 3, 2))
def _(x, y):
    return torch.dstack([x, y])


@case("column_stack", (3,), (3, 2))
def _(x, y):
    return torch.column_stack([x, y])


@case("block_diag", (2, 3), (), (2,))
def _(x, y, z):
    return torch.block_diag(x, y, z)


@case("combinations", (4,))
def _(x):
    return torch.combinations(x, 3)


@case("combinations_again", (3,))
def _(x):
    return torch.combinations(x, 2, with_replacement=True)


@case("combinations_none", (2,))
def _(x):
    return torch.combinations(x, 3)


@case("equal", [1, 2, 3], [1, 2, 3], [1, 2, 4])
def _(a, b, c):
    return torch.tensor([torch.equal(a, b), torch.equal(a, c), torch.equal(a, a[:2])])


@case("cartesian_prod", (2,), (3,))
def _(x, y):
    return torch.cartesian_prod(x, y)


@case("meshgrid", (2,), (3,))
def _(x, y):
    return torch.stack(torch.meshgrid(x, y, indexing="ij"))


@case("meshgrid_xy", (2,), (3,), (2,))
def _(x, y, z):
    return torch.stack(torch.meshgrid(x, y, z, indexing="xy"))


@case("movedim", (2, 3, 4))
def _(x):
    return torch.movedim(x, 0, -1)


@case("movedim_back", (2, 3, 4, 1))
def _(x):
    return torch.movedim(x, 2, 0)


@case("swapaxes", (2, 3, 4))
def _(x):
    return torch.swapaxes(x, 0, -1)


@case("rot90", (2, 3))
def _(x):
    return torch.rot90(x, 1, (0, 1))


@case("rot90_back", (2, 3, 2))
def _(x):
    return torch.rot90(x, -1, (2, 0))


@case("rot90_half", (2, 3))
def _(x):
    return torch.rot90(x, 6, (0, 1))


@case("unflatten", (2, 6))
def _(x):
    return x.unflatten(1, (3, -1))


@case("unfold", (2, 7, 2))
def _(x):
    return x.unfold(1, 3, 2)


@case("unfold_last", (5,))
def _(x):
    return x.unfold(-1, 2, 1)


@case("as_strided", (3, 4))
def _(x):
    return torch.as_strided(x, (2, 3), (3, 1), 2)


@case("select_scatter", (2, 3, 2), (2, 2))
def _(x, y):
    return torch.select_scatter(x, y, 1, 2)


@case("diagonal_scatter", (2, 3, 4), (2, 2))
def _(x, y):
    return torch.diagonal_scatter(x, y, -1, 1, 2)


@case("diagonal_scatter_upper", (3, 4), (3,))
def _(x, y):
    return torch.diagonal_scatter(x, y, 1)


@case("diagflat", (2, 2))
def _(x):
    return torch.diagflat(x, 1)


@case("unbind", (2, 3))
def _(x):
    return torch.stack(torch.unbind(x, 1)[::-1])


@case("tensor_split", (7, 2))
def _(x):
    return torch.cat(torch.tensor_split(x, 3, 0)[::-1])


@case("inner", (2, 3), (4, 3))
def _(x, y):
    return torch.inner(x, y)


@case("inner_scalar", (2, 3), ())
def _(x, y):
    return torch.inner(x, y)


@case("vecdot", (2, 3), (3,))
def _(x, y):
    return torch.linalg.vecdot(x, y.expand(2, 3))


@case("tensordot", (2, 3, 4), (3, 4, 2))
def _(x, y):
    return torch.tensordot(x, y, 2)


@case("tensordot_none", (2,), (3,))
def _(x, y):
    return torch.tensordot(x, y, 0)


@case("tensordot_axes", (2, 3, 4), (4, 2, 2))
def _(x, y):
    return torch.tensordot(x, y, dims=([2, 0], [0, 2]))


@case("kron", (2, 3), (2, 2))
def _(x, y):
    return torch.kron(x, y)


@case("kron_mixed", (2,), (2, 1, 3))
def _(x, y):
    return torch.kron(x, y)


@case("cross", (2, 3), (2, 3))
def _(x, y):
    return torch.linalg.cross(x, y)


@case("cross_wide", (3, 1), (2, 3, 4))
def _(x, y):
    return torch.linalg.cross(x.expand(2, 3, 4), y, dim=1)


@case("multi_dot", (2, 3), (3, 4), (4, 1), (1, 3))
def _(x, y, z, w):
    return torch.linalg.multi_dot([x, y, z, w])


@case("multi_dot_vectors", (3,), (3, 4), (4,))
def _(x, y, z):
    return torch.linalg.multi_dot([x, y, z])


@case("addmm", (3,), (2, 4), (4, 3))
def _(x, y, z):
    return torch.addmm(x, y, z, beta=0.5, alpha=2)


@case("addmv", (2,), (2, 4), (4,))
def _(x, y, z):
    return torch.addmv(x, y, z, alpha=-1)


@case("baddbmm", (2, 2, 3), (2, 2, 4), (2, 4, 3))
def _(x, y, z):
    return torch.baddbmm(x, y, z, beta=0, alpha=2)


@case("addbmm", (2, 3), (2, 2, 4), (2, 4, 3))
def _(x, y, z):
    return torch.addbmm(x, y, z, beta=3, alpha=2)


@case("addr", (2, 3), (2,), (3,))
def _(x, y, z):
    return torch.addr(x, y, z, beta=3, alpha=2)


@case("vander", (2, 3))
def _(x):
    return torch.linalg.vander(x, N=4)


@case("vander_one", (3,))
def _(x):
    return torch.ones(3, 1) + x.unsqueeze(-1)


@case("cov", (2, 4))
def _(x):
    return torch.cov(x, correction=0)


@case("cov_vector", (4,))
def _(x):
    return torch.cov(x)


@case("corrcoef", (2, 4))
def _(x):
    return torch.corrcoef(x)


@case("dist", (2, 3), (3,))
def _(x, y):
    return torch.dist(x, y, 3)


@case("pairwise_distance", (2, 3), (2, 3))
def _(x, y):
    return F.pairwise_distance(x, y, keepdim=True)


@case("cdist", (2, 3, 2), (4, 2))
def _(x, y):
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), dim=-1)


@case("cdist_value", [[1, 2], [3, 5]], [[1, 2], [0, 1]])
def _(x, y):
    return torch.cdist(x, y, 1)


@case("pdist", (4, 2))
def _(x):
    i, j = torch.triu_indices(4, 4, 1)
    return torch.linalg.vector_norm(x[i] - x[j], 1.5, dim=-1)


@case("pdist_value", [[1, 2], [3, 5], [0, 1]])
def _(x):
    return F.pdist(x)


@case("normalize", (2, 3))
def _(x):
    return F.normalize(x)


@case("normalize_small", (2, 3))
def _(x):
    return F.normalize(x, 3, 0, 10)


@case("renorm", (3, 2, 2))
def _(x):
    return torch.renorm(x, 2, 0, 2)


@case("diff", (2, 5))
def _(x):
    return torch.diff(x, 2)


@case("diff_all", (3, 2))
def _(x):
    return torch.diff(x, 3, dim=0)


@case("trapezoid", (2, 4))
def _(x):
    return torch.trapezoid(x, dx=0.5)


@case("trapezoid_places", (3, 2), (3,))
def _(x, y):
    return torch.trapezoid(x, y, dim=0)


@case("trapezoid_all", (2, 3), (2, 3))
def _(x, y):
    return torch.trapezoid(x, y, dim=1)


@case("cumulative_trapezoid", (2, 4))
def _(x):
    return torch.cumulative_trapezoid(x, dx=2)


@case("histc", [0.5, 2, 1, -1, 2.5, 3, 0, 3.5])
def _(x):
    return torch.histc(x, 3, 0, 3)


@case("histc_all", [0.5, 2, 1, -1, 2.5])
def _(x):
    return torch.histc(x, 4)


@case("histc_one", [2, 2])
def _(x):
    return torch.histc(x, 2)


@case("bincount", [3, 0, 3, 1])
def _(x):
    return torch.bincount(x.long(), minlength=5)


@case("bincount_weights", [3, 0, 3, 1], (4,))
def _(x, y):
    return torch.zeros(4).double().index_add(0, x.long(), y)


@case("aminmax", (2, 3))
def _(x):
    return torch.stack([torch.amin(x, 1), torch.amax(x, 1)])


@case("var_mean", (2, 3))
def _(x):
    return torch.stack(torch.var_mean(x, 1))


@case("std_mean", (2, 3))
def _(x):
    return torch.stack(torch.std_mean(x, 1))


@case("cummax", (2, 4))
def _(x):
    return torch.cummax(x, 1)[0]


@case("cummin", (2, 4))
def _(x):
    return torch.cummin(x, 1)[0]


@case("addcdiv", (2, 3), (3,), Between(1, 2, 2, 1))
def _(x, y, z):
    return torch.addcdiv(x, y, z, value=0.5)


@case("rsub", (2,), (2,))
def _(x, y):
    return torch.rsub(x, y)


@case("ldexp", (3,), (3,))
def _(x, y):
    return torch.ldexp(x, y)


@case("signbit", [0, -0.0, -1, 2, math.inf, -math.inf])
def _(x):
    return torch.signbit(x)


@case("isposinf", [0, math.nan, math.inf, -math.inf])
def _(x):
    return torch.isposinf(x)


@case("isneginf", [0, math.nan, math.inf, -math.inf])
def _(x):
    return torch.isneginf(x)


@case("full_like", (2, 2))
def _(x):
    return torch.full_like(x, 3)


@case("zeros_like", (2, 2))
def _(x):
    return torch.zeros_like(x)


@case("ones_like", (2, 2))
def _(x):
    return torch.ones_like(x)


@case("xlog1py", (2, 3), Between(-0.5, 2, 3))
def _(x, y):
    return torch.special.xlog1py(x, y)


@case("xlog1py_zeros", [0, 0, 1, 0, math.nan], [-1, math.nan, -1, math.inf, 1])
def _(x, y):
    return torch.special.xlog1py(x, y)


@case("entr", Between(0.1, 2, 4))
def _(x):
    return torch.special.entr(x)


@case("entr_edges", [0, -1, -0.0, math.inf, math.nan, 1])
def _(x):
    return torch.special.entr(x)


@case("ndtr", (5,))
def _(x):
    return torch.special.ndtr(x)


@case("ndtr_tail", [-9, 9])
def _(x):
    return 0.5 * torch.erfc(-x / math.sqrt(2)) * 1e18


@case("lu", (2, 3, 3))
def _(x):
    p, l, u = torch.linalg.lu(x)
    return torch.cat([p, l, u], -1)


@case("lu_tall", (4, 2))
def _(x):
    p, l, u = torch.linalg.lu(x)
    return torch.cat([p.reshape(-1), l.reshape(-1), u.reshape(-1)])


@case("lu_solve", (2, 3, 3), (2, 3, 2))
def _(a, b):
    return torch.linalg.lu_solve(*torch.linalg.lu_factor(a), b)


@case("householder_product", (2, 4, 3), (2, 3))
def _(a, tau):
    return torch.linalg.householder_product(a, tau)


for side, back in ((True, False), (True, True), (False, False)):
    case("ormqr" + ("" if side else "_right") + ("_transposed" if back else ""),
         [[1, 0.5], [-2, 3], [0.25, 1.5]], [0.3, 0.7], [[1, 2, 3], [-1, 0.5, 4], [2, -2, 1]])(
        lambda a, tau, x, side=side, back=back: torch.ormqr(a, tau, x, side, back))


# By mpmath: PyTorch's have ten digits, and no gradient; tests/test_ops_special.c has their slopes.
BESSEL = {
    "bessel_j0": lambda x: mp.besselj(0, x), "bessel_j1": lambda x: mp.besselj(1, x),
    "bessel_y0": lambda x: mp.bessely(0, x), "bessel_y1": lambda x: mp.bessely(1, x),
    "modified_bessel_k0": lambda x: mp.besselk(0, x), "modified_bessel_k1": lambda x: mp.besselk(1, x),
    "scaled_modified_bessel_k0": lambda x: mp.besselk(0, x) * mp.exp(x),
    "scaled_modified_bessel_k1": lambda x: mp.besselk(1, x) * mp.exp(x),
    "airy_ai": mp.airyai, "spherical_bessel_j0": lambda x: mp.sin(x) / x,
}
for name, f in BESSEL.items():
    case(name, [0.01, 0.4, 1.7, 3.5, 11.25])(
        lambda x, f=f: torch.tensor([float(f(mp.mpf(v))) for v in x.tolist()], dtype=torch.float64))
for name in ("i0", "i0e", "i1", "i1e"):
    case(name, Between(0.2, 4, 5))(getattr(torch.special, name))
for name in ("erfcx", "log_ndtr"):
    case(name, Between(-3, 3, 6))(getattr(torch.special, name))
case("log_ndtr_tail", [-40, -1.5, -0.99, 0, 8])(lambda x: torch.special.log_ndtr(x))
case("ndtri", Between(0.1, 0.9, 5))(torch.special.ndtri)
case("zeta", [2, 3.5], Between(0.5, 3, 3, 2))(torch.special.zeta)
case("gammainc", [0.5, 2, 7], Between(0.5, 8, 2, 3))(torch.special.gammainc)
case("gammaincc", [0.5, 2, 7], Between(0.5, 8, 2, 3))(torch.special.gammaincc)


@case("mvlgamma", Between(2, 4, 3))
def _(x):
    return torch.mvlgamma(x, 3)


@case("chebyshev_polynomial_t", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.chebyshev_polynomial_t, 4)


@case("chebyshev_polynomial_t_0", [0.25, -2, 1])
def _(x):
    return torch.special.chebyshev_polynomial_t(x, 0)


@case("chebyshev_polynomial_u", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.chebyshev_polynomial_u, 4)


@case("chebyshev_polynomial_u_0", [0.25, -2, 1])
def _(x):
    return torch.special.chebyshev_polynomial_u(x, 0)


@case("chebyshev_polynomial_v", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.chebyshev_polynomial_v, 4)


@case("chebyshev_polynomial_v_0", [0.25, -2, 1])
def _(x):
    return torch.special.chebyshev_polynomial_v(x, 0)


@case("chebyshev_polynomial_w", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.chebyshev_polynomial_w, 4)


@case("chebyshev_polynomial_w_0", [0.25, -2, 1])
def _(x):
    return torch.special.chebyshev_polynomial_w(x, 0)


@case("shifted_chebyshev_polynomial_t", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.shifted_chebyshev_polynomial_t, 4)


@case("shifted_chebyshev_polynomial_t_0", [0.25, -2, 1])
def _(x):
    return torch.special.shifted_chebyshev_polynomial_t(x, 0)


@case("shifted_chebyshev_polynomial_u", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.shifted_chebyshev_polynomial_u, 4)


@case("shifted_chebyshev_polynomial_u_0", [0.25, -2, 1])
def _(x):
    return torch.special.shifted_chebyshev_polynomial_u(x, 0)


@case("shifted_chebyshev_polynomial_v", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.shifted_chebyshev_polynomial_v, 4)


@case("shifted_chebyshev_polynomial_v_0", [0.25, -2, 1])
def _(x):
    return torch.special.shifted_chebyshev_polynomial_v(x, 0)


@case("shifted_chebyshev_polynomial_w", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.shifted_chebyshev_polynomial_w, 4)


@case("shifted_chebyshev_polynomial_w_0", [0.25, -2, 1])
def _(x):
    return torch.special.shifted_chebyshev_polynomial_w(x, 0)


@case("hermite_polynomial_h", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.hermite_polynomial_h, 4)


@case("hermite_polynomial_h_0", [0.25, -2, 1])
def _(x):
    return torch.special.hermite_polynomial_h(x, 0)


@case("hermite_polynomial_he", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.hermite_polynomial_he, 4)


@case("hermite_polynomial_he_0", [0.25, -2, 1])
def _(x):
    return torch.special.hermite_polynomial_he(x, 0)


@case("laguerre_polynomial_l", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.laguerre_polynomial_l, 4)


@case("laguerre_polynomial_l_0", [0.25, -2, 1])
def _(x):
    return torch.special.laguerre_polynomial_l(x, 0)


@case("legendre_polynomial_p", Between(-1, 1, 4))
def _(x):
    return special_polynomial(x, torch.special.legendre_polynomial_p, 4)


@case("legendre_polynomial_p_0", [0.25, -2, 1])
def _(x):
    return torch.special.legendre_polynomial_p(x, 0)


def ctc_sum(log_probs, labels, times, lengths, blank, reduction):
    """By the recurrence in networks.py, as PyTorch's gradient has no derivative; PyTorch's values are compared."""
    attrs = {"blank": blank, "zero_infinity": True, "reduction": networks.REDUCTIONS.index(reduction)}
    y = networks.ctc([log_probs, labels, times, lengths], attrs)
    theirs = F.ctc_loss(log_probs, labels.long(), times.long(), lengths.long(), blank, reduction, True)
    assert torch.allclose(y, theirs)
    return y


def multi_margin(x, label, p, margin):
    """PyTorch's gradient has no derivative; its values are compared."""
    others = torch.cat([x[:label], x[label + 1:]])
    y = ((margin - x[label] + others).clamp(min=0) ** p).sum() / len(x)
    assert torch.allclose(y, F.multi_margin_loss(x, torch.tensor(label), p=p, margin=margin))
    return y


# ---- losses --------------------------------------------------------------------------------------------


@case("bce_weighted", Between(0.1, 0.9, 2, 3), Between(0.1, 0.9, 2, 3), Between(0.5, 2, 3))
def _(x, y, z):
    return (F.binary_cross_entropy(x, y, reduction="none") * z).mean()


@case("bce_logits_weighted", (2, 3), Between(0, 1, 2, 3), Between(0.5, 2, 2, 1), [2, 1, 0.5])
def _(x, y, z, w):
    return F.binary_cross_entropy_with_logits(x, y, pos_weight=w, reduction="none") * z


@case("multilabel_soft_margin", (2, 3), Between(0, 1, 2, 3), Between(0.5, 2, 3))
def _(x, y, z):
    return F.multilabel_soft_margin_loss(x, y, z, reduction="none")


@case("margin_ranking", (2, 3), (2, 3), [[1, -1, 1], [-1, -1, 1]])
def _(x, y, z):
    return F.margin_ranking_loss(x, y, z, 0.5, reduction="sum")


@case("triplet_margin", (4, 3), (4, 3), (4, 3))
def _(x, y, z):
    return F.triplet_margin_loss(x, y, z, reduction="none")


@case("triplet_margin_swap", (4, 3), (4, 3), (4, 3))
def _(x, y, z):
    return F.triplet_margin_loss(x, y, z, 2, 1, swap=True)


@case("poisson_nll", (2, 3), Between(0, 3, 2, 3))
def _(x, y):
    return F.poisson_nll_loss(x, y, full=True)


@case("poisson_nll_rates", Between(0.1, 2, 3), Between(0, 3, 3))
def _(x, y):
    return F.poisson_nll_loss(x, y, False, reduction="none")


@case("gaussian_nll", (2, 3), (2, 3), Between(0.2, 2, 2, 1))
def _(x, y, z):
    return F.gaussian_nll_loss(x, y, z, True)


@case("gaussian_nll_small", (3,), (3,), Given([0.01, 0.5, 0]))
def _(x, y, z):
    return F.gaussian_nll_loss(x, y, z, eps=0.1, reduction="none")


@case("hinge_embedding_wide", (2, 3), [1, -1, -1])
def _(x, y):
    return F.hinge_embedding_loss(x, y, 0.5, reduction="none")


@case("multi_margin_alone", (3,), [1])
def _(x, y):
    return multi_margin(x, 1, 1, 1)


@case("multi_margin_alone_each", (3,), [1])
def _(x, y):
    return multi_margin(x, 1, 2, 0.5)


@case("ctc", (5, 2, 3), [[1, 2], [2, 2]], [5, 4], [2, 2])
def _(x, y, z, w):
    return ctc_sum(F.log_softmax(x, -1), y, z, w, 0, "mean")


@case("ctc_infinite", (3, 2, 3), [[1, 1], [2, 2]], [3, 2], [2, 2])
def _(x, y, z, w):
    return ctc_sum(F.log_softmax(x, -1), y, z, w, 0, "none")


@case("ctc_alone", (4, 3), [0, 1], [4], [2])
def _(x, y, z, w):
    return ctc_sum(F.log_softmax(x, -1).unsqueeze(1), y.unsqueeze(0), z, w, 2, "none").reshape(())


# ---- linear algebra ------------------------------------------------------------------------------------


@case("einsum_three", (2, 3), (3, 4), (4, 2))
def _(x, y, z):
    return torch.einsum("ij,jk,kl->il", x, y, z)


@case("einsum_four", (2, 3), (3, 2), (2, 2, 2), (2,))
def _(x, y, z, w):
    return torch.einsum("ab,bc,dca,d->bd", x, y, z, w)


@case("einsum_implied", (2, 3), (3,), (2, 1))
def _(x, y, z):
    return torch.einsum("zb,b,az", x, y, z)


@case("einsum_dots", (2, 1, 3), (3, 2), (4, 2))
def _(x, y, z):
    return torch.einsum("...i,ij,...j->...", x, y, z)


@case("einsum_repeated", (3, 3), (3,), (2, 3, 2))
def _(x, y, z):
    return torch.einsum("ii,i,aia->", x, y, z)


@case("einsum_shared", (2, 3), (2, 3), (2, 3))
def _(x, y, z):
    return torch.einsum("ij,ij,ij->i", x, y, z)


@case("einsum_one", (2, 3))
def _(x):
    return torch.einsum("ij->ji", x)


@case("einsum_many", (2, 2), (2, 3), (3, 2), (2,))
def _(x, y, z, w):
    return torch.einsum("ab,bc,cd,d,ab,bc->a", x, y, z, w, x, y)


@case("matrix_norm_fro", (2, 3, 2))
def _(x):
    return torch.linalg.matrix_norm(x)


@case("matrix_norm_nuc", (2, 3, 2))
def _(x):
    return torch.linalg.matrix_norm(x, "nuc", keepdim=True)


@case("matrix_norm_2", (2, 3, 2))
def _(x):
    return torch.linalg.matrix_norm(x, 2)


@case("matrix_norm_minus_2", (2, 3))
def _(x):
    return torch.linalg.matrix_norm(x, -2, keepdim=True)


@case("matrix_norm_1", (2, 3, 2))
def _(x):
    return torch.linalg.matrix_norm(x, 1)


@case("matrix_norm_minus_1", (2, 3))
def _(x):
    return torch.linalg.matrix_norm(x, -1, keepdim=True)


@case("matrix_norm_inf", (2, 3, 2))
def _(x):
    return torch.linalg.matrix_norm(x, math.inf)


@case("matrix_norm_minus_inf", (2, 3))
def _(x):
    return torch.linalg.matrix_norm(x, -math.inf)


@case("cond_2", (2, 3, 3))
def _(x):
    return torch.linalg.cond(x)


@case("cond_minus_2", (3, 3))
def _(x):
    return torch.linalg.cond(x, -2)


@case("cond_1", (3, 3))
def _(x):
    return torch.linalg.matrix_norm(x, 1) * torch.linalg.matrix_norm(torch.linalg.inv(x), 1)


@case("cond_fro", (2, 3, 3))
def _(x):
    return torch.linalg.matrix_norm(x, "fro") * torch.linalg.matrix_norm(torch.linalg.inv(x), "fro")


@case("cond_nuc", (3, 3))
def _(x):
    return torch.linalg.matrix_norm(x, "nuc") * torch.linalg.matrix_norm(torch.linalg.inv(x), "nuc")


@case("cholesky_solve", (3, 2), Between(1, 2, 3, 3))
def _(x, y):
    return torch.cholesky_solve(x, y.tril())


@case("cholesky_solve_upper", (3, 2), Between(1, 2, 3, 3))
def _(x, y):
    return torch.cholesky_solve(x, y.triu(), upper=True)


@case("cholesky_inverse", Between(1, 2, 3, 3))
def _(x):
    return torch.linalg.inv(x.tril() @ x.tril().T)


@case("cholesky_inverse_upper", Between(1, 2, 2, 2))
def _(x):
    return torch.linalg.inv(x.triu().T @ x.triu())


@case("tensorinv", (2, 3, 6))
def _(x):
    return torch.linalg.tensorinv(x)


@case("tensorinv_one", (4, 2, 2))
def _(x):
    return torch.linalg.tensorinv(x, 1)


@case("tensorsolve", (2, 3, 6), (2, 3))
def _(x, y):
    return torch.linalg.tensorsolve(x, y)


# ---- masks, order --------------------------------------------------------------------------------------


@case("masked_sum", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.sum(x, 1, keepdim=True, mask=y != 0)


@case("masked_sum_all", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.sum(x, None, mask=y != 0)


@case("masked_prod", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.where(y != 0, x, 1.0).prod(0)


@case("masked_amax", (2, 3), [[1, 0, 1], [0, 0, 0]])
def _(x, y):
    return torch.masked.amax(x, 1, mask=y != 0)


@case("masked_amin", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.amin(x, 1, mask=y != 0)


@case("masked_mean", (2, 3), [1, 0, 1])
def _(x, y):
    return torch.masked.mean(x, 1, mask=(y != 0).expand(2, 3))


@case("masked_logsumexp", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.logsumexp(x, 1, mask=y != 0)


@case("masked_norm", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.norm(x, 3, 1, mask=y != 0)


@case("masked_norm_least", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.norm(x, -math.inf, 1, mask=y != 0)


@case("masked_var", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.var(x, 1, True, mask=y != 0)


@case("masked_std", (2, 4), [[1, 0, 1, 1], [1, 1, 0, 1]])
def _(x, y):
    return torch.masked.std(x, 1, False, keepdim=True, mask=y != 0)


@case("masked_argmax", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.argmax(x, 1, mask=y != 0)


@case("masked_argmin", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.argmin(x, 1, mask=y != 0)


@case("masked_median", (2, 4), [[1, 0, 1, 1], [1, 1, 0, 0]])
def _(x, y):
    return torch.masked.median(x, 1, mask=y != 0)


@case("masked_softmax", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.softmax(x, 1, mask=y != 0)


@case("masked_log_softmax", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.where(y != 0, torch.masked.log_softmax(x, 1, mask=y != 0), 0.0)


@case("masked_softmin", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.softmin(x, 1, mask=y != 0)


@case("masked_cumsum", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.cumsum(x, 1, mask=y != 0)


@case("masked_cumprod", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return torch.masked.cumprod(x, 1, mask=y != 0)


@case("masked_normalize", (2, 3), [[1, 0, 1], [1, 1, 0]])
def _(x, y):
    return F.normalize(torch.where(y != 0, x, 0.0), 2, 1)


@case("softmin", (2, 3))
def _(x):
    return F.softmin(x, 0)


@case("nanmedian", Given([[3, math.nan, 1], [2, 5, math.nan]]))
def _(x):
    return torch.nanmedian(x)


@case("nanmedian_axis", Given([[3, math.nan, 1, 7], [2, 5, 4, 0]]))
def _(x):
    return torch.nanmedian(x, 1, keepdim=True)[0]


@case("nanmedian_none", [[math.nan, math.nan], [1, math.nan]])
def _(x):
    return torch.nanmedian(x, 1)[0]


@case("nanquantile", Given([[3, math.nan, 1], [2, 5, math.nan]]))
def _(x):
    return torch.nanquantile(x, 0.3)


@case("nanquantile_axis", Given([[3, math.nan, 1, 7], [2, 5, 4, 0]]))
def _(x):
    return torch.nanquantile(x, 0.25, 0)


@case("nanquantile_none", [[math.nan, math.nan], [1, math.nan]])
def _(x):
    return torch.nanquantile(x, 0.75, 1)


@case("unique_consecutive", [2, 2, 1, 1, 1, 2, 0])
def _(x):
    return torch.stack(torch.unique_consecutive(x, return_counts=True))


@case("isin", [[0, 1, 2], [3, 4, -1]], [3, 1, 9])
def _(x, y):
    return torch.isin(x, y)


@case("allclose", [1, 2], [1, 2.00001])
def _(x, y):
    return torch.tensor([torch.allclose(x, y), torch.allclose(x, y, 0, 0)])


@case("dropout_channels", (2, 3))
def _(x):
    return F.dropout2d(x, 0.5, False)


@case("embedding_bag", (4, 2), [[1, 3], [3, 0], [2, 2]])
def _(x, y):
    return F.embedding(y.long(), x).mean(1)


@case("embedding_bag_value", [[1, 2], [3, 0], [2, 2]], [[1, 2], [0, 0]])
def _(x, y):
    return F.embedding_bag(y.long(), x, mode="sum")


@case("embedding_bag_max", [[1, 2], [3, 0], [2, 2]], [[1, 2], [0, 0]])
def _(x, y):
    return F.embedding_bag(y.long(), x, mode="max")


@case("multilabel_margin_value", [[1, 0.5, -1, 2], [0, 1, 2, -0.5]], [[3, 0, -1, 1], [1, -1, 2, 0]])
def _(x, y):
    return F.multilabel_margin_loss(x, y.long(), reduction="none")


@case("multilabel_margin", (4,), [3, 0, -1, 1])
def _(x, y):
    return sum((1 - x[i] + x[j]).clamp(min=0) for i in (3, 0) for j in (1, 2)) / 4


# ---- leaves --------------------------------------------------------------------------------------------


@case("linspace", [0])
def _(x):
    return torch.linspace(-1, 2, 7, dtype=torch.float64)


@case("linspace_one", [0])
def _(x):
    return torch.linspace(3, 5, 1, dtype=torch.float64)


@case("logspace", [0])
def _(x):
    return torch.logspace(-1, 2, 4, dtype=torch.float64)


@case("logspace_base_2", [0])
def _(x):
    return torch.logspace(0, 5, 6, 2, dtype=torch.float64)


@case("eye_with", [0])
def _(x):
    return torch.eye(2, 4)


@case("eye_with_tall", [0])
def _(x):
    return torch.eye(3, 2)


@case("tril_indices", [0])
def _(x):
    return torch.tril_indices(3, 4, 1)


@case("triu_indices", [0])
def _(x):
    return torch.triu_indices(3, 4, -1)


def main():
    texts = [text for given in CASES for text in lines(*given)]
    head = f"# by tests/reference/functions.py (PyTorch {torch.__version__}); `make reference-values` updates it"
    pathlib.Path(sys.argv[1]).write_text("\n".join([head, *texts]) + "\n")
    print(f"reference-values: {len(CASES)} cases written to {sys.argv[1]}")


if __name__ == "__main__":
    main()
