#!/usr/bin/python3
"""names.py: writes docs/names.md, which says for each op of PyTorch's own tests what it is called here, or why not.

usage: names.py docs/names.md. A function whose name is PyTorch's needs no line below: it is found in the headers.
"""

import pathlib
import re
import sys
import types

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]

# Functions with other names here. The text may name several.
OURS = {
    "__getitem__": "ad_index, ad_slice, ad_select", "__radd__": "ad_add", "__rdiv__": "ad_div",
    "__rmatmul__": "ad_matmul",
    "__rmod__": "ad_remainder", "__rmul__": "ad_mul", "__rpow__": "ad_pow", "__rsub__": "ad_rsub",
    "addmv": "ad_addmm", "amax": "ad_max_axes", "amin": "ad_min_axes", "argwhere": "ad_nonzero", "baddbmm": "ad_addmm",
    "bmm": "ad_matmul", "broadcast_to": "ad_expand", "bucketize": "ad_searchsorted", "cat": "ad_concat",
    "clamp_max": "ad_clamp", "clamp_min": "ad_clamp", "constant_pad_nd": "ad_pad", "double": "ad_cast",
    "dsplit": "ad_tensor_split", "empty": "ad_zeros", "empty_like": "ad_zeros_like", "eye": "ad_eye, ad_eye_with",
    "expand_as": "ad_expand", "fliplr": "ad_flip", "flipud": "ad_flip", "float": "ad_cast", "float_power": "ad_pow",
    "H": "ad_transpose", "hsplit": "ad_tensor_split", "linalg.cholesky_ex": "ad_cholesky", "linalg.inv": "ad_inverse",
    "linalg.inv_ex": "ad_inverse", "linalg.norm": "ad_norm_axes, ad_matrix_norm", "linalg.solve_ex": "ad_solve",
    "linalg.vector_norm": "ad_norm_axes", "masked.amax": "ad_masked_amax", "masked.amin": "ad_masked_amin",
    "mH": "ad_transpose", "mT": "ad_transpose", "mm": "ad_matmul", "msort": "ad_sort", "mv": "ad_matmul",
    "narrow_copy": "ad_narrow", "native_batch_norm": "ad_batch_norm", "native_layer_norm": "ad_layer_norm",
    "new_empty": "ad_zeros", "new_full": "ad_full", "new_ones": "ad_ones", "new_zeros": "ad_zeros",
    "nn.functional.bilinear": "nn_apply_bilinear", "nn.functional.binary_cross_entropy": "ad_bce, ad_bce_weighted",
    "nn.functional.binary_cross_entropy_with_logits": "ad_bce_logits, ad_bce_logits_weighted",
    "nn.functional.cosine_embedding_loss": "nn_cosine_embedding",
    "nn.functional.cross_entropy": "ad_cross_entropy_with",
    "nn.functional.dropout2d": "ad_dropout_channels", "nn.functional.dropout3d": "ad_dropout_channels",
    "nn.functional.embedding": "ad_embedding, ad_embedding_with", "nn.functional.linear": "ad_affine",
    "nn.functional.normalize": "ad_normalize_axis", "nn.functional.one_hot": "ad_one_hot",
    "nn.functional.pad": "ad_pad, ad_pad_reflect, ad_pad_replicate, ad_pad_circular",
    "nn.functional.softplus": "ad_softplus_with", "nn.functional.gelu": "ad_gelu, ad_gelu_tanh",
    "nn.functional.unfold": "ad_unfold", "normal": "ad_randn", "pinverse": "ad_pinv", "put": "ad_put_flat",
    "ravel": "ad_flatten", "repeat": "ad_tile", "reshape_as": "ad_reshape", "sgn": "ad_sign",
    "split_with_sizes": "ad_split_sizes", "sum_to_size": "ad_sum_to", "symeig": "ad_eigh", "T": "ad_transpose",
    "t": "ad_transpose", "take_along_dim": "ad_take_along", "to": "ad_cast", "transpose": "ad_swapaxes, ad_transpose",
    "trapz": "ad_trapezoid", "triangular_solve": "ad_solve_triangular", "true_divide": "ad_div", "uniform": "ad_rand",
    "unfold": "ad_unfold_axis", "var": "ad_variance", "vdot": "ad_dot", "view": "ad_reshape", "view_as": "ad_reshape",
    "vsplit": "ad_tensor_split", "add": "ad_add, ad_adds", "mul": "ad_mul, ad_muls", "pow": "ad_pow, ad_pows",
    "div": "ad_div, ad_floor_divide", "max": "ad_max, ad_max_axis, ad_argmax_axis, ad_maximum",
    "min": "ad_min, ad_min_axis, ad_argmin_axis, ad_minimum", "fill": "ad_full_like",
    "nn.functional._scaled_dot_product_attention": "ad_attention",
    "nn.functional.upsample_bilinear": "ad_interpolate", "nn.functional.upsample_nearest": "ad_interpolate",
    "lu": "ad_lu_factor", "linalg.lu_factor_ex": "ad_lu_factor",
    "igamma": "ad_gammainc", "igammac": "ad_gammaincc", "special.modified_bessel_i0": "ad_i0",
    "special.modified_bessel_i1": "ad_i1",
}

# Why there is none: patterns of names.
WHY = [
    (r"fft\..*|stft|istft|view_as_\w*|complex|conj\w*|resolve_\w*|real|imag|angle|polar|isreal|chalf"
     r"|linalg\.eig(vals)?",
     "complex numbers"),
    (r"bitwise_\w*|__r(and|or|xor)__|gcd|lcm|bool|byte|char|int|long|short|randint_like", "integers"),
    (r"half|bfloat16", "f16"),
    (r"sparse\..*|to_sparse", "sparse arrays"),
    (r"jiterator_\w*", "kernels of a GPU"),
    (r"zero_|resize_\w*|new_empty_strided|as_strided_scatter|clone|contiguous|positive",
     "in place or about memory: Vars keep their values, and arrays are contiguous"),
    (r"broadcast_shapes|broadcast_tensors", "ops broadcast by themselves; ad_expand does it for one array"),
    (r"gradient", "the name has another meaning here; ad_diff has the differences"),
    (r"svd_lowrank|pca_lowrank|geqrf|linalg\.ldl\w*",
     "not yet: ad_svd, ad_qr, ad_lu and ad_cholesky replace it in most uses"),
    (r".*", "not yet"),
]


def op_names():
    """The names of op_db. torch.testing imports a package for which a stub is enough here."""
    stub = types.ModuleType("expecttest")
    stub.ACCEPT, stub.TestCase = False, __import__("unittest").TestCase
    stub.assert_expected_inline = None
    sys.modules.setdefault("expecttest", stub)
    from torch.testing._internal.common_methods_invocations import op_db
    return sorted({op.name for op in op_db}, key=lambda name: (name.lower(), name))


def declared():
    text = (ROOT / "ops/ops.def").read_text()
    names = {"ad_" + name for name in re.findall(r"^AD_(?:OP|FN)\((\w+),", text, re.M)}
    for header in [*ROOT.glob("autodiff/*.h"), *ROOT.glob("ops/*.h"), *ROOT.glob("nn/*.h")]:
        names |= set(re.findall(r"^AD_API [^(]*?\b((?:ad|nn)_\w+)\(", header.read_text(), re.M))
    return names


def ours(name, known):
    """The function of the same name, without its module and without _loss."""
    if name in OURS:
        return OURS[name]
    base = name.replace("masked.", "masked_") if name.startswith("masked.") else name.split(".")[-1]
    if name.startswith("fft.") or name == "gradient":
        return None
    tries = ["ad_" + base.removeprefix("_"), "ad_" + re.sub("_loss$", "", base)]
    return next((t for t in tries if t in known), None)


def why(name):
    return next(reason for pattern, reason in WHY if re.fullmatch(pattern, name))


def row(name, function):
    cell = ", ".join(f"`{f}`" for f in function.split(", ")) if function else f"{why(name)}"
    return f"| `{name}` | {cell} |"


PAGE = """# Names: PyTorch's and ours

PyTorch's own tests list its differentiable ops by name (`op_db`, PyTorch {version}). For each of these {all} names, the
table has the function of this library, or why there is none. {have} have one. `docs/ops.md` describes the functions;
arguments are in the order that it shows.

This page is written by `tests/reference/names.py`, and `tests/pytorch_names.sh` holds it true. "Not yet" means that
nothing stands against it.

| PyTorch | here |
|---|---|
{rows}
"""


def main():
    import torch
    known, names = declared(), op_names()
    functions = {name: ours(name, known) for name in names}
    unknown = [f for text in OURS.values() for f in text.split(", ") if f not in known]
    if unknown:
        sys.exit(f"names.py: not in the headers: {' '.join(unknown)}")
    rows = "\n".join(row(name, functions[name]) for name in names)
    have = sum(f is not None for f in functions.values())
    version = torch.__version__.split("a")[0].split("+")[0]
    pathlib.Path(sys.argv[1]).write_text(PAGE.format(version=version, all=len(names), have=have, rows=rows))
    print(f"reference-values: {have} of {len(names)} names have a function here")


if __name__ == "__main__":
    main()
