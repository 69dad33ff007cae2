"""linalg.py: reference values of linear algebra: permutations, diagonals, triangles, and the ops that use LAPACK."""

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


OPS = {
    "permute": lambda inputs, attrs: inputs[0].permute(attrs["axes"]),
    "diagonal": diagonal,
    "diag_embed": diag_embed,
    "tril": lambda inputs, attrs: torch.tril(inputs[0], attrs["diagonal"]),
    "triu": lambda inputs, attrs: torch.triu(inputs[0], attrs["diagonal"]),
    "solve": solve,
    "solve_triangular": solve_triangular,
    "inverse": lambda inputs, attrs: torch.linalg.inv(*inputs),
    "cholesky": cholesky,
    "logdet": lambda inputs, attrs: torch.logdet(*inputs),
    "det": lambda inputs, attrs: torch.linalg.det(*inputs),
}

ROUNDING = (1e-12, 1e-14, "sums of numbers of either sign, in another order than PyTorch's")
TOLERANCE = {name: ROUNDING for name in ("solve", "solve_triangular", "inverse", "cholesky", "logdet", "det")}

DIFFERS = {
    "diagonal": "an offset beyond the matrix gives no elements, as NumPy has it; PyTorch refuses it",
    "solve_triangular": "a 0 on the diagonal is an error; PyTorch divides by it",
    "cholesky": "the symmetric part is factorised; PyTorch looks at the lower triangle alone",
    "det": "the gradient at a singular matrix is right; PyTorch's is 0 there",
    "logdet": "the gradient at a singular matrix is NaN; PyTorch's is infinities and NaN",
}
