#!/usr/bin/python3
"""pictures.py: values and gradients of functions on images and volumes that are made of other ops, by PyTorch, for
tests/test_ops_pictures.c.

Writes tests/reference/results_nn/pictures.txt; needs python3-torch.

    /usr/bin/python3 tests/reference/pictures.py

Element k of operand i is cos(0.3 + 1.1 k + i), and element k of the cotangent is cos(0.7 + 0.9 k). Lines of a case:
    case NAME OPERANDS
    in NDIM SIZES..             for each operand
    value NDIM SIZES.. NUMBERS..
    grad NUMBERS..              for each operand
"""
import os

import torch
import torch.nn.functional as F

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn", "pictures.txt")
torch.set_default_dtype(torch.float64)
VOLUME, IMAGE, SIGNAL = (1, 2, 4, 5, 3), (1, 4, 5, 6), (2, 3, 7)


def resized(size, mode, align=None):
    return lambda x: F.interpolate(x, size=size, mode=mode, align_corners=align)


def sampled(mode, padding, align):
    return lambda x, grid: F.grid_sample(x, 1.6 * grid, mode, padding, align)



def shuffled(x):
    """F.channel_shuffle(x, 2), which has no derivative."""
    y = x.reshape(1, 2, 2, 5, 6).transpose(1, 2).reshape(x.shape)
    assert bool((y == F.channel_shuffle(x.detach(), 2)).all())
    return y


CASES = {
    "conv3d": (lambda x, w, b: F.conv3d(x, w, b), [VOLUME, (2, 2, 2, 3, 2), (2,)]),
    "conv3d_all": (lambda x, w, b: F.conv3d(x, w, b, (2, 1, 2), (1, 2, 0), (1, 2, 1), 2),
                   [(1, 4, 4, 4, 5), (4, 2, 2, 3, 2), (4,)]),
    "conv_transpose3d": (lambda x, w, b: F.conv_transpose3d(x, w, b), [(1, 2, 2, 3, 2), (2, 3, 2, 2, 3), (3,)]),
    "conv_transpose3d_all": (
        lambda x, w, b: F.conv_transpose3d(x, w, b, (2, 1, 2), (1, 0, 1), (1, 1, 0), 2, (1, 2, 2)),
        [(1, 4, 2, 3, 2), (4, 1, 2, 2, 3), (2,)]),
    "conv_transpose2d_extended": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, (2, 1), (1, 1), (2, 2), 1, (3, 3)),
        [(1, 2, 3, 2), (2, 3, 2, 3), (3,)]),
    "conv_transpose1d_extended": (lambda x, w: F.conv_transpose1d(x, w, None, 1, 1, 2, 1, 3),
                                  [(1, 2, 3), (2, 3, 2)]),
    "conv2d_cropped": (lambda x, w: F.conv2d(F.pad(x, (-1, -1)), w, None, 1, (1, 0)), [IMAGE, (2, 4, 2, 3)]),
    "conv_transpose2d_widened": (
        lambda x, w, b: F.pad(F.conv_transpose2d(x, w, None, 2), (2, 2, 1, 1)) + b[:, None, None],
        [(1, 2, 3, 2), (2, 3, 2, 3), (3,)]),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2), [VOLUME]),
    "max_pool3d_all": (lambda x: F.max_pool3d(x, (3, 2, 2), (1, 2, 1), (1, 1, 0), (1, 2, 1), True), [VOLUME]),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, (2, 3, 2), 1), [VOLUME]),
    "avg_pool3d_padded": (lambda x: F.avg_pool3d(x, 3, 2, 1, True, False), [VOLUME]),
    "avg_pool3d_counted": (lambda x: F.avg_pool3d(x, 3, 2, 1, True, True), [VOLUME]),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, (3, 2, 3)), [VOLUME]),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 3), [SIGNAL]),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (3, 4)), [IMAGE]),
    "adaptive_max_pool2d_more": (lambda x: F.adaptive_max_pool2d(x, (7, 2)), [IMAGE]),
    "adaptive_max_pool3d": (lambda x: F.adaptive_max_pool3d(x, (3, 2, 1)), [VOLUME]),
    "max_unpool1d": (lambda x: F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2, output_size=(7,)),
                     [SIGNAL]),
    "max_unpool2d": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(4, 6)),
                     [(2, 2, 4, 6)]),
    "lp_pool1d": (lambda x: F.lp_pool1d(x, 2, 3, 2), [SIGNAL]),
    "lp_pool2d": (lambda x: F.lp_pool2d(x.abs() + 1, 3, (2, 3), 2), [IMAGE]),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3, 0.4, 0.75, 1.5), [IMAGE]),
    "local_response_norm_even": (lambda x: F.local_response_norm(x, 2), [SIGNAL]),
    "local_response_norm_wide": (lambda x: F.local_response_norm(x, 1000, 70, 0.75, 1.5), [IMAGE]),
    "local_response_norm_wide_even": (lambda x: F.local_response_norm(x, 6, 0.4, 0.75, 1.5), [IMAGE]),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), [(2, 8, 2, 3)]),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 3), [(1, 2, 3, 6)]),
    "channel_shuffle": (shuffled, [IMAGE]),
    "unfold": (lambda x: F.unfold(x, (2, 3), (1, 2), (1, 0), (2, 1)), [IMAGE]),
    "fold": (lambda x: F.fold(x, (3, 4), (2, 2)), [(1, 8, 6)]),
    "nearest_1d": (resized(5, "nearest"), [SIGNAL]),
    "nearest_2d": (resized((3, 9), "nearest"), [IMAGE]),
    "nearest_3d": (resized((2, 7, 6), "nearest"), [VOLUME]),
    "nearest_exact": (resized((3, 9), "nearest-exact"), [IMAGE]),
    "linear_1d": (resized(10, "linear", False), [SIGNAL]),
    "bilinear": (resized((3, 9), "bilinear", False), [IMAGE]),
    "bilinear_aligned": (resized((1, 9), "bilinear", True), [IMAGE]),
    "trilinear": (resized((5, 5, 4), "trilinear", True), [VOLUME]),
    "bicubic": (resized((3, 9), "bicubic", False), [IMAGE]),
    "bicubic_aligned": (resized((8, 1), "bicubic", True), [IMAGE]),
    "area": (resized((3, 4), "area"), [IMAGE]),
    "affine_grid": (lambda theta: F.affine_grid(theta, (2, 1, 3, 4), False), [(2, 2, 3)]),
    "affine_grid_aligned": (lambda theta: F.affine_grid(theta, (2, 1, 5, 2), True), [(2, 2, 3)]),
    "affine_grid_3d": (lambda theta: F.affine_grid(theta, (1, 1, 2, 3, 2), False), [(1, 3, 4)]),
    "pad_reflect_cropped": (lambda x: F.pad(x, (-1, 2, 3, -2), "reflect"), [IMAGE]),
    "pad_replicate_cropped": (lambda x: F.pad(x, (-1, 2, 3, -2), "replicate"), [IMAGE]),
    "pad_circular_cropped": (lambda x: F.pad(x, (-1, 2, 3, -2), "circular"), [IMAGE]),
}
for mode in "bilinear", "nearest":
    for padding in "zeros", "border", "reflection":
        for align in False, True:
            name = f"grid_{mode}_{padding}" + ("_aligned" if align else "")
            CASES[name] = (sampled(mode, padding, align), [(2, 3, 4, 5), (2, 3, 4, 2)])


def numbers(tensor):
    return " ".join(repr(v) for v in tensor.reshape(-1).tolist())


def sizes(tensor):
    return " ".join(str(n) for n in [tensor.dim(), *tensor.shape])


def operand(i, shape):
    k = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.cos(0.3 + 1.1 * k + i).reshape(shape).requires_grad_()


def lines():
    for name, (f, shapes) in CASES.items():
        xs = [operand(i, s) for i, s in enumerate(shapes)]
        y = f(*xs)
        w = torch.cos(0.7 + 0.9 * torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape)
        grads = torch.autograd.grad(y, xs, w)
        yield f"case {name} {len(xs)}"
        yield from (f"in {sizes(x)}" for x in xs)
        yield f"value {sizes(y)} {numbers(y.detach())}"
        yield from (f"grad {numbers(g)}" for g in grads)


def main():
    with open(HERE, "w") as f:
        f.write("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
