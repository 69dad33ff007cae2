"""order.py: reference values of ops that order elements, by PyTorch."""

import torch


def argsort(inputs, attrs):
    x, = inputs
    return torch.sort(x, dim=attrs["axis"], descending=bool(attrs["descending"]), stable=True)[1].double()


def searchsorted(inputs, attrs):
    return torch.searchsorted(*inputs, right=bool(attrs["right"])).double()


def run_starts(inputs, attrs):
    counts = torch.unique_consecutive(inputs[0], return_counts=True)[1]
    return (torch.cumsum(counts, 0) - counts).double()


OPS = {
    "argsort": argsort,
    "searchsorted": searchsorted,
    "run_starts": run_starts,
}
