"""order.py: reference values of ops that order elements, by PyTorch."""

import torch


def argsort(inputs, attrs):
    x, = inputs
    return torch.sort(x, dim=attrs["axis"], descending=bool(attrs["descending"]), stable=True)[1].double()


OPS = {
    "argsort": argsort,
}
