"""shape.py: reference values of the ops that copy elements: slices, concatenation, padding, indexing, windows."""

import torch
import torch.nn.functional as F


def sliced(x, attrs):
    """By the indices of a Python slice, as PyTorch has no negative steps."""
    lists = zip(attrs["axes"], attrs["start"], attrs["stop"], attrs["step"])
    for axis, start, stop, step in lists:
        x = x.index_select(axis, torch.tensor(list(range(x.shape[axis])[start:stop:step]), dtype=torch.long))
    return x


def slice_scatter(inputs, attrs):
    x, src = inputs
    places = sliced(torch.arange(x.numel()).reshape(x.shape), attrs)
    return x.reshape(-1).scatter(0, places.reshape(-1), src.reshape(-1)).reshape(x.shape)


def flip(inputs, attrs):
    x, = inputs
    return torch.flip(x, list(range(x.dim())) if attrs["axes"] is None else attrs["axes"])


def pad(inputs, attrs):
    """Adds elements before it removes some, as PyTorch cannot remove more elements than there are."""
    x, = inputs
    pairs = [n for pair in zip(reversed(attrs["before"]), reversed(attrs["after"])) for n in pair]
    x = F.pad(x, [max(n, 0) for n in pairs], value=attrs["value"])
    return F.pad(x, [min(n, 0) for n in pairs])


def take_axis(inputs, attrs):
    x, index = inputs
    axis = attrs["axis"] % x.dim()
    rows = x.index_select(axis, index.long().reshape(-1))
    return rows.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1:])


def index_add(inputs, attrs):
    x, index, src = inputs
    axis = attrs["axis"] % x.dim()
    rows = src.reshape(x.shape[:axis] + (index.numel(),) + x.shape[axis + 1:])
    return x.index_add(axis, index.long().reshape(-1), rows)


def each_image(f):
    """PyTorch refuses an empty batch. The shape of the result is found with one image."""

    def entry(inputs, attrs):
        x, = inputs
        window = [attrs[name] for name in ("kernel", "dilation", "padding", "stride")]
        if x.shape[0] > 0:
            return f(x, attrs, window)
        one = f(x.new_zeros((1,) + x.shape[1:]), attrs, window)
        return x.reshape(-1).sum() * one[:0]

    return entry


OPS = {
    "slice": lambda inputs, attrs: sliced(inputs[0], attrs),
    "slice_scatter": slice_scatter,
    "concat": lambda inputs, attrs: torch.cat(inputs, attrs["axis"]),
    "stack": lambda inputs, attrs: torch.stack(inputs, attrs["axis"]),
    "flip": flip,
    "roll": lambda inputs, attrs: torch.roll(inputs[0], attrs["shift"], attrs["axis"]),
    "pad": pad,
    "take_axis": take_axis,
    "index_add": index_add,
    "gather": lambda inputs, attrs: torch.gather(inputs[0], attrs["axis"], inputs[1].long()),
    "scatter_add": lambda inputs, attrs: inputs[0].scatter_add(attrs["axis"], inputs[1].long(), inputs[2]),
    "masked_fill": lambda inputs, attrs: inputs[0].masked_fill(inputs[1] != 0, attrs["value"]),
    "im2col": each_image(lambda x, attrs, window: F.unfold(x, *window)),
    "col2im": each_image(lambda x, attrs, window: F.fold(x, attrs["size"], *window)),
}
