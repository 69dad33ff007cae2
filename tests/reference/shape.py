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
    rows = x.index_select(axis, wrapped(index, x.shape[axis]).reshape(-1))
    return rows.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1:])


def index_add(inputs, attrs):
    x, index, src = inputs
    axis = attrs["axis"] % x.dim()
    rows = src.reshape(x.shape[:axis] + (index.numel(),) + x.shape[axis + 1:])
    return x.index_add(axis, wrapped(index, x.shape[axis]).reshape(-1), rows)


def wrapped(index, n):
    """The indices as PyTorch takes them: 0..n-1."""
    return torch.where(index < 0, index + n, index).long()


def replaced(x, places, src):
    """x with its elements at places replaced by those of src; of several for one place the last one stays."""
    flat, places = x.reshape(-1), places.reshape(-1).tolist()
    last = {p: k for k, p in enumerate(places)}
    kept = torch.tensor([last[p] == k for k, p in enumerate(places)], dtype=torch.bool)
    where = torch.tensor(places, dtype=torch.long)[kept]
    return flat.index_put((where,), src.reshape(-1)[kept]).reshape(x.shape)


def index_copy(inputs, attrs):
    x, index, src = inputs
    return replaced(x, take_axis([torch.arange(x.numel()).reshape(x.shape), index], attrs), src)


def scatter(inputs, attrs):
    x, index, src = inputs
    axis = attrs["axis"]
    places = torch.gather(torch.arange(x.numel()).reshape(x.shape), axis, wrapped(index, x.shape[axis]))
    return replaced(x, places, src)


def by_element(f):
    """A function of PyTorch with one index for each element."""

    def entry(inputs, attrs):
        x, index, *src = inputs
        return f(x, attrs["axis"], wrapped(index, x.shape[attrs["axis"]]), *src)

    return entry


def scatter_reduce(inputs, attrs):
    """A product or an extremum along a new axis; NaNs share the gradient of an extremum."""
    x, index, src = inputs
    axis, how = attrs["axis"] % x.dim(), attrs["how"]
    neutral = {2: 1, 3: -torch.inf, 4: torch.inf}[how]
    places = torch.arange(x.shape[axis]).reshape([-1] + [1] * (x.dim() - axis))
    here = wrapped(index, x.shape[axis]).unsqueeze(axis) == places
    theirs = torch.where(here, src.unsqueeze(axis), torch.full((), neutral).double())
    both = torch.cat([x.unsqueeze(axis + 1), theirs], axis + 1)
    if how == 2:
        return torch.prod(both, axis + 1)
    nans = both.isnan().sum(axis + 1)
    plain = torch.where(both.isnan(), torch.full((), neutral).double(), both)
    best = (torch.amax if how == 3 else torch.amin)(plain, axis + 1)
    of_nans = torch.where(both.isnan(), both, 0 * plain.detach().nan_to_num()).sum(axis + 1) / nans
    return torch.where(nans > 0, of_nans, best)


def ravel_multi_index(inputs, attrs):
    places = torch.arange(torch.Size(attrs["sizes"]).numel()).reshape(attrs["sizes"])
    return places[tuple(wrapped(i, n) for i, n in zip(inputs, attrs["sizes"]))].double()


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
    "gather": by_element(lambda x, axis, index: torch.gather(x, axis, index)),
    "scatter_add": by_element(lambda x, axis, index, src: x.scatter_add(axis, index, src)),
    "index_copy": index_copy,
    "scatter": scatter,
    "ravel_multi_index": ravel_multi_index,
    "nonzero_n": lambda inputs, attrs: torch.nonzero(inputs[0]).double(),
    "scatter_reduce": scatter_reduce,
    "masked_fill": lambda inputs, attrs: inputs[0].masked_fill(inputs[1] != 0, attrs["value"]),
    "im2col": each_image(lambda x, attrs, window: F.unfold(x, *window)),
    "col2im": each_image(lambda x, attrs, window: F.fold(x, attrs["size"], *window)),
}
