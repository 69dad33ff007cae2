"""linalg.py: reference values of linear algebra: permutations, diagonals, triangles, and the ops that use LAPACK."""

import itertools

import torch


def diag_embed(inputs, attrs):
    """torch.diag_embed, padded with zeros to the rows and columns of the attributes, if these are not negative."""
    y = torch.diag_embed(*inputs, attrs["offset"])
    more = [0 if attrs[k] < 0 else attrs[k] - y.shape[-1] for k in ("columns", "rows")]
    return torch.nn.functional.pad(y, (0, more[0], 0, more[1]))


def diagonal(inputs, attrs):
    """PyTorch refuses offsets beyond the matrix. In NumPy, and here, the result is then empty."""
    x, = inputs
    k = max(-x.shape[-2], min(x.shape[-1], attrs["offset"]))
    return torch.diagonal(x, k, -2, -1)


def solve(inputs, attrs):
    """A vector is passed as a column: PyTorch 1.13 gives the gradient of a vector for many matrices a wrong shape."""
    a, b = inputs
    if attrs["transpose"]:
        vectors = b.dim() == 1 or b.shape == a.shape[:-1]
        a = a.transpose(-1, -2)
        return torch.linalg.solve(a, b[..., None])[..., 0] if vectors else torch.linalg.solve(a, b)
    return torch.linalg.solve(a, b[:, None])[..., 0] if b.dim() == 1 else torch.linalg.solve(a, b)


def solve_triangular(inputs, attrs):
    a, b = inputs
    upper = attrs["upper"] != attrs["transpose"]
    if attrs["transpose"]:
        a = a.transpose(-1, -2)
    x = torch.linalg.solve_triangular(a, b if b.dim() > 1 else b[:, None], upper=upper, left=not attrs["right"],
                                      unitriangular=attrs["unitriangular"])
    return x if b.dim() > 1 else x[..., 0]


def cholesky(inputs, attrs):
    x, = inputs
    return torch.linalg.cholesky((x + x.transpose(-1, -2)) / 2)


def sum_over_permutations(x):
    """det x by its definition, a polynomial, so that autograd differentiates it to any order at any rank."""
    n = x.shape[-1]
    total = torch.zeros(x.shape[:-2], dtype=x.dtype)
    if n == 0:
        total = total + x.sum((-1, -2))  # autograd wants an operand
    for p in itertools.permutations(range(n)):
        sign = (-1) ** sum(p[i] > p[j] for i in range(n) for j in range(i + 1, n))
        term = torch.full(x.shape[:-2], float(sign), dtype=x.dtype)
        for i in range(n):
            term = term * x[..., i, p[i]]
        total = total + term
    return total


def det(inputs, attrs):
    """PyTorch 1.13 gives the gradient 0 at singular matrices."""
    x, = inputs
    return sum_over_permutations(x) if x.shape[-1] <= 4 else torch.linalg.det(x)


def grad_of(y, x):
    slope = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)[0] if y.requires_grad else None
    return torch.zeros_like(x) if slope is None else slope


def cofactor(inputs, attrs):
    """The gradient in x of the derivative of det x along the further operands."""
    x, *directions = inputs
    if x.numel() == 0:
        return 0 * sum(inputs)
    x = x if x.requires_grad else x.clone().requires_grad_()
    slope = grad_of(sum_over_permutations(x), x)
    for g in directions:
        slope = grad_of(slope * g, x)
    return slope + 0 * sum(i.nan_to_num(0, 0, 0) for i in inputs)


def inverse(inputs, attrs):
    """NaN, with the gradient NaN, for a singular matrix, and for logdet 0 for a negative determinant."""
    if not attrs["for_logdet"] and not attrs["nan_if_singular"]:
        return torch.linalg.inv(*inputs)
    x, = inputs
    d = torch.linalg.det(x.detach())[..., None, None]
    d = d if attrs["for_logdet"] else d.abs()
    good = torch.where(d > 0, x, torch.eye(x.shape[-1], dtype=x.dtype))
    y = torch.where(d > 0, torch.linalg.inv(good), 0 * x)
    return y * torch.where(d == 0, torch.full_like(d, float("nan")), torch.ones_like(d))


def symmetric(x):
    return (x + x.transpose(-1, -2)) / 2


def signs(v):
    """-1 for columns whose first element of the largest size, to within 1 %, is negative."""
    size = v.detach().abs()
    first = (size >= 0.99 * size.amax(-2, keepdim=True)).to(torch.int8).argmax(-2, keepdim=True)
    return torch.where(v.detach().gather(-2, first) < 0, -1.0, 1.0).double()


def packed(lead, *parts):
    return torch.cat([p.reshape(*lead, -1) if p.numel() else p.new_zeros(*lead, 0) for p in parts], -1)


def nothing(x, *sizes):
    """Zeros that depend on x, which has no elements: autograd wants an operand."""
    return x.sum() + torch.zeros(*x.shape[:-2], *sizes, dtype=x.dtype)


def eigh_packed(inputs, attrs):
    x, = inputs
    if x.numel() == 0:
        return nothing(x, x.shape[-1] + x.shape[-1]**2)
    w, v = torch.linalg.eigh(symmetric(x))
    return packed(x.shape[:-2], w, v * signs(v))


def svd_packed(inputs, attrs):
    x, = inputs
    n, m = x.shape[-2:]
    if x.numel() == 0:
        return nothing(x, min(n, m) * (n + 1 + m))
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    sign = signs(u)
    return packed(x.shape[:-2], u * sign, s, vh * sign.transpose(-1, -2))


def qr_packed(inputs, attrs):
    x, = inputs
    n, m = x.shape[-2:]
    if x.numel() == 0:
        return nothing(x, min(n, m) * (n + m))
    return packed(x.shape[:-2], *torch.linalg.qr(x))


def lu_packed(inputs, attrs):
    """PyTorch's pivots are exchanges; P has the order of the rows."""
    x, = inputs
    n, m = x.shape[-2:]
    if x.numel() == 0:
        order = torch.arange(n, dtype=x.dtype).expand(*x.shape[:-2], n)
        return torch.cat([nothing(x, n * m), order], -1)
    lu, pivots = torch.linalg.lu_factor(x)
    order = torch.lu_unpack(lu, pivots)[0].detach().argmax(-2).double()
    return packed(x.shape[:-2], lu, order)


def slogdet_packed(inputs, attrs):
    sign, log = torch.linalg.slogdet(*inputs)
    return torch.stack([sign.detach(), log], -1)


def rcond(x, attrs):
    """AD_ZERO means 0, and 0 the default."""
    given = attrs["rcond"]
    return max(x.shape[-2:]) * torch.finfo(x.dtype).eps if given == 0 else 0.0 if given == -2**31 else given


def pinv(inputs, attrs):
    x, = inputs
    if x.numel() == 0:
        return nothing(x, x.shape[-1], x.shape[-2])
    return torch.linalg.pinv(x, rtol=rcond(x, attrs))


def lstsq(inputs, attrs):
    """As a product with the pseudoinverse: torch.linalg.lstsq differentiates without the rank."""
    a, b = inputs
    return pinv([a], attrs) @ b if a.numel() else nothing(a, a.shape[-1], b.shape[-1]) + b.sum() * 0


OPS = {
    "permute": lambda inputs, attrs: inputs[0].permute(attrs["axes"]),
    "diagonal": diagonal,
    "diag_embed": diag_embed,
    "tril": lambda inputs, attrs: torch.tril(inputs[0], attrs["diagonal"]),
    "triu": lambda inputs, attrs: torch.triu(inputs[0], attrs["diagonal"]),
    "solve": solve,
    "solve_triangular": solve_triangular,
    "inverse": inverse,
    "cholesky": cholesky,
    "logdet": lambda inputs, attrs: torch.logdet(*inputs),
    "det": det,
    "cofactor": cofactor,
    "eigh_packed": eigh_packed,
    "eigvalsh": lambda inputs, attrs: torch.linalg.eigvalsh(symmetric(*inputs)),
    "svd_packed": svd_packed,
    "svdvals": lambda inputs, attrs: torch.linalg.svdvals(*inputs),
    "qr_packed": qr_packed,
    "lu_packed": lu_packed,
    "slogdet_packed": slogdet_packed,
    "matrix_exp": lambda inputs, attrs: torch.matrix_exp(*inputs),
    "pinv": pinv,
    "lstsq": lstsq,
}

ROUNDING = (1e-12, 1e-14, "sums of numbers of either sign, in another order than PyTorch's")
TOLERANCE = {name: ROUNDING for name in ("solve", "solve_triangular", "inverse", "cholesky", "logdet", "det",
                                       "cofactor")}
TOLERANCE |= {name: (1e-11, 1e-12, "as the condition number multiplies rounding errors") for name in (
    "eigh_packed", "eigvalsh", "svd_packed", "svdvals", "qr_packed", "lu_packed",
    "slogdet_packed", "pinv", "lstsq", "matrix_exp")}
