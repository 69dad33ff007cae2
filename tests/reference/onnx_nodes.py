#!/usr/bin/python3
"""onnx_nodes.py: ONNX's node tests: which of them have a function here, and their inputs and outputs.

usage: onnx_nodes.py docs/onnx.md tests/reference/onnx.txt. It needs python3-onnx (1.12.0). The page has a row for each
operator; tests/test_onnx.c runs the tests of the text file. Inputs and outputs are ONNX's own, computed by numpy.
"""

import collections
import fnmatch
import pathlib
import re
import sys
import warnings

sys.dont_write_bytecode = True


def load_onnx():
    """Imports ONNX, which only this script needs: reference.py imports all scripts of this folder."""
    global np, onnx, node_cases
    warnings.filterwarnings("ignore")
    import numpy as np
    for name, kind in (("object", object), ("bool", bool), ("int", int), ("float", float)):
        if name not in vars(np):
            setattr(np, name, kind)  # python3-onnx is older than numpy
    import onnx
    from onnx import numpy_helper  # noqa: F401
    from onnx.backend.test.case import node as node_cases, utils
    np.random.seed(0)
    utils.import_recursive(node_cases)


MOST = 1300  # numbers of a test that is in the text file

# An operator's expression here, and why some of its tests have none: patterns of names. a b c are inputs.
F16, STRINGS, SEVEN = "f16", "strings", "seven dimensions; arrays here have up to six"
BOUNDS = "coordinates by a scale that differs from the ratio of sizes, or another kernel"
GROUPS = {
    "Elementwise, one input": {
        "Abs": "`ad_abs`", "Acos": "`ad_acos`", "Acosh": "`ad_acosh`", "Asin": "`ad_asin`", "Asinh": "`ad_asinh`",
        "Atan": "`ad_atan`", "Atanh": "`ad_atanh`", "Ceil": "`ad_ceil`", "Cos": "`ad_cos`", "Cosh": "`ad_cosh`",
        "Erf": "`ad_erf`", "Exp": "`ad_exp`", "Floor": "`ad_floor`", "Log": "`ad_log`", "Neg": "`ad_neg`",
        "Reciprocal": "`ad_reciprocal`", "Round": "`ad_round`", "Sign": "`ad_sign`", "Sin": "`ad_sin`",
        "Sinh": "`ad_sinh`", "Sqrt": "`ad_sqrt`", "Tan": "`ad_tan`", "Tanh": "`ad_tanh`", "IsNaN": "`ad_isnan`",
        "IsInf": "`ad_isinf`, `ad_isposinf`, `ad_isneginf`", "Not": "`ad_logical_not`",
        "Identity": ("the Var itself", {"identity_*": "lists of arrays and optional arrays"}),
        "Cast": ("`ad_cast`", {"*STRING*": STRINGS, "*FLOAT16*": "f16 and bfloat16"}),
        "CastLike": ("`ad_cast(a, ad_dtype_of(b))`", {"*STRING*": STRINGS, "*FLOAT16*": "f16 and bfloat16"}),
    },
    "Activations": {
        "Celu": "`ad_celu`", "Elu": "`ad_elu`",
        "HardSigmoid": "`ad_clamp(ad_adds(ad_muls(x, alpha), beta), 0, 1)`",
        "HardSwish": "`ad_hardswish`", "LeakyRelu": "`ad_leaky_relu`",
        "PRelu": "`ad_where(ad_lt(x, 0), ad_mul(b, x), x)`",
        "Relu": "`ad_relu`", "Selu": "`ad_muls(ad_elu(x, alpha), gamma)`", "Sigmoid": "`ad_sigmoid`",
        "Softplus": "`ad_softplus`", "Softsign": "`ad_softsign`", "ThresholdedRelu": "`ad_threshold(x, alpha, 0)`",
        "Shrink": "`ad_hardshrink`, `ad_softshrink`", "Clip": "`ad_clamp`, or `ad_maximum` and `ad_minimum`",
        "Softmax": "`ad_softmax`", "LogSoftmax": "`ad_log_softmax`",
        "Hardmax": "`ad_one_hot(ad_argmax_axis(x, axis, false), n)`, then `ad_movedim`",
    },
    "Elementwise, several inputs": {
        "Add": "`ad_add`", "Sub": "`ad_sub`", "Mul": "`ad_mul`", "Div": "`ad_div`; of whole numbers `ad_floor_divide`",
        "Pow": "`ad_pow`; a whole result `ad_trunc` of that",
        "Max": ("`ad_maximum`", {"max_float16": F16}), "Min": ("`ad_minimum`", {"min_float16": F16}),
        "Mean": "`ad_mean_axis(ad_stack(n, xs, 0), 0, false)`", "Sum": "`ad_sum_axis(ad_stack(n, xs, 0), 0, false)`",
        "Mod": ("`ad_remainder`, `ad_fmod`", {"mod_mixed_sign_float16": F16}),
        "And": "`ad_logical_and`", "Or": "`ad_logical_or`", "Xor": "`ad_logical_xor`", "Equal": "`ad_eq`",
        "Greater": "`ad_gt`", "GreaterOrEqual": "`ad_ge`", "Less": "`ad_lt`", "LessOrEqual": "`ad_le`",
        "Where": "`ad_where`",
        "BitShift": "`ad_remainder(ad_ldexp(a, b), 2^bits)`, `ad_floor(ad_ldexp(a, ad_neg(b)))`",
    },
    "Reductions and scans": {
        "ReduceL1": "`ad_norm_axes(x, n, axes, 1, keepdims)`", "ReduceL2": "`ad_norm_axes(x, n, axes, 2, keepdims)`",
        "ReduceLogSum": "`ad_log(ad_sum_axes(x, n, axes, keepdims))`", "ReduceLogSumExp": "`ad_logsumexp_axes`",
        "ReduceMax": "`ad_max_axes`", "ReduceMean": "`ad_mean_axes`", "ReduceMin": "`ad_min_axes`",
        "ReduceProd": "`ad_prod_axes`", "ReduceSum": "`ad_sum_axes`",
        "ReduceSumSquare": "`ad_sum_axes(ad_square(x), n, axes, keepdims)`",
        "ArgMax": "`ad_argmax_axis`; the last of equal elements: of `ad_flip`",
        "ArgMin": "`ad_argmin_axis`; the last of equal elements: of `ad_flip`",
        "CumSum": "`ad_cumsum`; reverse: between two `ad_flip`; exclusive: `ad_sub` of x",
        "TopK": "`ad_topk`", "NonZero": "`ad_transpose(ad_nonzero(x))`",
        "Unique": ("`ad_unique`; the places of the parts by `ad_searchsorted` and `ad_argmax_axis`",
                   {"unique_sorted_with_*": "rows as elements"}),
    },
    "Shapes": {
        "Reshape": "`ad_reshape`", "Flatten": "`ad_reshape(x, AD_SHAPE(rows, -1))`", "Squeeze": "`ad_squeeze_axis`",
        "Unsqueeze": "`ad_unsqueeze`", "Transpose": "`ad_permute`, `ad_transpose`", "Expand": "`ad_expand`",
        "Tile": "`ad_tile`", "Concat": "`ad_concat`", "Split": "`ad_split_sizes`", "Slice": "`ad_slice_axes`",
        "Pad": "`ad_pad`, `ad_pad_reflect`, `ad_pad_replicate`", "Shape": "`ad_shape_of`", "Size": "`ad_numel`",
        "Trilu": "`ad_tril`, `ad_triu`",
        "DepthToSpace": "`ad_pixel_shuffle`; or `ad_reshape`, `ad_permute`, `ad_reshape`",
        "SpaceToDepth": "`ad_reshape`, `ad_permute`, `ad_reshape`",
        "ReverseSequence": "`ad_gather` with `ad_where(ad_lt(t, length), length - 1 - t, t)`",
    },
    "Arrays of constants": {
        "Constant": "`ad_tensor`", "ConstantOfShape": "`ad_full`", "Range": "`ad_arange`",
        "EyeLike": "`ad_eye_with`; another diagonal: `ad_tril(ad_triu(ones, k), k)`",
        "OneHot": "`ad_one_hot(ad_remainder(a, n), n)`, then `ad_movedim`, `ad_where`",
        "HannWindow": "`ad_cos` of `ad_arange`, with `ad_muls` and `ad_adds`",
        "HammingWindow": "`ad_cos` of `ad_arange`, with `ad_muls` and `ad_adds`",
        "BlackmanWindow": "`ad_cos` of `ad_arange`, with `ad_muls` and `ad_adds`",
        "Bernoulli": "`ad_bernoulli`",
    },
    "Indices": {
        "Gather": "`ad_take_axis`", "GatherElements": "`ad_gather`", "GatherND": "`ad_index`",
        "Scatter": "`ad_scatter`", "ScatterElements": "`ad_scatter`, `ad_scatter_add`",
        "ScatterND": "`ad_index_put`; a product: `ad_ravel_multi_index` and `ad_index_reduce`",
        "Compress": "`ad_take_axis(x, axis, ad_reshape(ad_nonzero(b), AD_SHAPE(-1)))`",
    },
    "Linear algebra": {
        "MatMul": "`ad_matmul`", "Gemm": "`ad_addmm`", "Det": "`ad_det`", "Einsum": "`ad_einsum_n`",
    },
    "Networks": {
        "Conv": "`ad_conv2d`; pads that differ at both ends: `ad_pad`",
        "ConvTranspose": "`ad_conv_transpose1d`, `ad_conv_transpose2d`, `ad_conv_transpose3d`, `ad_pad`",
        "AveragePool": "`ad_avg_pool1d`, `ad_avg_pool2d`, `ad_avg_pool3d`; pads that differ: by `ad_pad`, also of ones",
        "MaxPool": "`ad_max_pool1d`, `ad_max_pool2d`, `ad_max_pool3d`, `ad_max_pool2d_index`; also `ad_pad`",
        "MaxUnpool": "`ad_max_unpool2d`, `ad_pad`",
        "GlobalAveragePool": "`ad_mean_axes`", "GlobalMaxPool": "`ad_max_axes`",
        "BatchNormalization": "`ad_batch_norm`; averages by `ad_var_mean` and `ad_lerp`",
        "InstanceNormalization": "`ad_instance_norm`", "LRN": "`ad_local_response_norm`",
        "LayerNormalization": "`ad_layer_norm`, `ad_mean_axes`, `ad_rsqrt` of `ad_variance_axes`",
        "MeanVarianceNormalization": "`ad_div(ad_sub(x, mean), std)` by `ad_std_mean`",
        "RNN": "`ad_rnn(ad_affine(x, w, b), ..)`",
        "LSTM": ("`ad_lstm(ad_affine(x, w, b), ..)`, with the gates in the order i f g o",
                 {"lstm_with_peepholes": "peepholes"}),
        "GRU": "each step by `ad_affine`, `ad_sigmoid`, `ad_tanh`, `ad_lerp`; `ad_gru` has PyTorch's reset gate",
        "Dropout": "`ad_dropout`, `ad_dropout_mask`",
        "GridSample": ("`ad_grid_sample`", {"gridsample_bicubic": "bicubic"}),
        "Upsample": "`ad_interpolate`",
        "Resize": ("`ad_interpolate`; nearest elements by other roundings: `ad_take_axis`",
                   {p: BOUNDS for p in ("resize_downsample_scales_[lc]*", "resize_*exclude_outside",
                                        "resize_upsample_scales_cubic_asymmetric", "resize_tf_crop_and_resize",
                                        "resize_downsample_sizes_linear_pytorch_half_pixel")}),
        "RoiAlign": "`ad_grid_sample` at the points of each region, then `ad_avg_pool2d`",
    },
    "Losses": {
        "NegativeLogLikelihoodLoss": ("`ad_nll`", {"nllloss_NCd1d2d3d4d5*": SEVEN}),
        "SoftmaxCrossEntropyLoss": ("`ad_cross_entropy_with`, `ad_log_softmax`", {"sce_NCd1d2d3d4d5*": SEVEN}),
    },
    "Optimisers": {
        "Adagrad": "`nn_adagrad`, or its rule by `ad_addcmul` and `ad_div`",
        "Adam": ("`nn_adam`, or its rule by `ad_lerp`, `ad_square`, `ad_sqrt` and `ad_div`",
                 {"adam_multiple": "its results belong to an epsilon of 0.01, which its node lacks"}),
        "Momentum": "`nn_sgd`, or its rule by `ad_add` and `ad_muls`",
    },
    "Whole numbers and quantised numbers, as f32 or f64": {
        "ConvInteger": "`ad_conv2d(ad_sub(a, zero), b)`",
        "MatMulInteger": "`ad_matmul(ad_sub(a, zero_a), ad_sub(b, zero_b))`",
        "DequantizeLinear": "`ad_mul(ad_sub(a, zero), scale)`",
        "QuantizeLinear": "`ad_clamp(ad_add(ad_round(ad_div(a, scale)), zero), 0, 255)`",
        "DynamicQuantizeLinear": "the same with scale and zero by `ad_max`, `ad_min`, `ad_clamp`",
        "QLinearMatMul": "`ad_matmul` between the two above", "QLinearConv": "`ad_conv2d` between the two above",
    },
}
NONE = {
    "If": "control flow is C's", "Loop": "control flow is C's", "Scan": "control flow is C's",
    "DFT": "complex numbers", "STFT": "complex numbers", "MelWeightMatrix": "a table of a sound library",
    "NonMaxSuppression": "a choice of boxes, without a gradient",
    "OptionalGetElement": "optional arrays", "OptionalHasElement": "optional arrays",
    "SequenceInsert": "lists of arrays: C has them", "SequenceMap": "lists of arrays: C has them",
    "StringNormalizer": STRINGS, "TfIdfVectorizer": "counts of words",
}
# Tests that draw random numbers: numpy's differ.
RANDOM = ["bernoulli*", "training_dropout_default", "training_dropout_default_mask", "training_dropout",
          "training_dropout_mask", "dropout_random_old"]


def cases():
    """The tests of one node, by operator."""
    found = collections.defaultdict(list)
    for case in node_cases._NodeTestCases:
        if len(case.model.graph.node) == 1:
            found[case.model.graph.node[0].op_type].append(case)
    return found


def title(case):
    return case.name.removeprefix("test_")


def expression(op):
    """The expression of an operator, and the reasons against some of its tests."""
    given = next((group[op] for group in GROUPS.values() if op in group), (None, {"*": NONE.get(op)}))
    return given if isinstance(given, tuple) else (given, {})


def reason(op, test):
    """Why a test has no function here; None if it has one."""
    return next((why for pattern, why in expression(op)[1].items() if fnmatch.fnmatchcase(test, pattern)), None)


# ---- the text file ---------------------------------------------------------------------------------------


def numbers(x):
    x = np.asarray(x)
    form = "%.9g" if x.dtype == np.float32 else "%.17g" if x.dtype == np.float64 else "%d"
    return "".join(" " + form % v for v in x.reshape(-1))


def array(word, x):
    if x is None:
        return f"{word} none"
    x = np.asarray(x)
    kind = {"float32": "f32", "float64": "f64"}.get(x.dtype.name, x.dtype.name)
    return f"{word} {kind} [{','.join(map(str, x.shape))}]{numbers(x)}"


def attribute(a):
    if a.type == onnx.AttributeProto.STRING:
        return f"attr {a.name} {a.s.decode()}"
    value = onnx.helper.get_attribute_value(a)
    values = value if isinstance(value, (list, tuple)) or hasattr(value, "__len__") else [value]
    return f"attr {a.name} " + " ".join("%.9g" % v for v in values)


def placed(names, values):
    """One value for each name, None for an absent one."""
    rest = iter(values)
    return [next(rest) if name else None for name in names]


def lines(case):
    node, (inputs, outputs) = case.model.graph.node[0], case.data_sets[0]
    yield f"test {title(case)} {node.op_type}"
    tensors = []
    for a in node.attribute:
        if a.type == onnx.AttributeProto.TENSOR:
            tensors.append(onnx.numpy_helper.to_array(a.t))
        else:
            yield attribute(a)
    yield from (array("in", x) for x in placed(node.input, inputs) + tensors)
    yield from (array("out", x) for x in placed(node.output, outputs))


def size(case):
    return sum(np.asarray(x).size for data in case.data_sets[0] for x in data)


def runs(op, case):
    test = title(case)
    if reason(op, test) is not None or any(fnmatch.fnmatchcase(test, p) for p in RANDOM):
        return False
    return size(case) <= MOST


# ---- the page --------------------------------------------------------------------------------------------

PAGE = """# ONNX's node tests and the functions here

ONNX tests each operator by small models. {all} of them have one node (onnx {version}). {have} of these can be computed
here, by a function or by a short expression of several. `tests/test_onnx.c` runs {run} and compares the results with
ONNX's. It leaves out those that draw random numbers and those of more than {most} numbers.

In the tables "tests" is the number of an operator's tests, "here" how many of them have an expression, and "run" how
many `tests/test_onnx.c` runs. Whole numbers and truth values are f32 or f64 here, which is exact up to 2^24 or 2^53.
The last section has each test by name. This page is written by `tests/reference/onnx_nodes.py`, and
`tests/onnx_names.sh` holds it true.
"""


def cell(op, found):
    text, against = expression(op)
    groups = collections.defaultdict(list)
    for case in found[op]:
        why = reason(op, title(case))
        if why is not None:
            groups[why].append(f"`{title(case)}`")
    if text is None:
        return next(iter(groups))
    return text + "".join(f". Not {', '.join(dict.fromkeys(names))}: {why}" for why, names in groups.items())


def counts(op, found):
    return len(found[op]), sum(reason(op, title(c)) is None for c in found[op]), sum(runs(op, c) for c in found[op])


def table(heading, ops, found):
    yield f"\n## {heading}\n\n| operator | tests | here | run | expression |\n|---|---|---|---|---|\n"
    for op in ops:
        yield "| {} | {} | {} | {} | {} |\n".format(op, *counts(op, found), cell(op, found))


def by_name(found):
    yield "\n## Each test by name\n\nA test in parentheses has no expression here.\n\n"
    for op in sorted(found):
        names = [title(c) if reason(op, title(c)) is None else f"({title(c)})" for c in found[op]]
        yield f"- {op}: {', '.join(names)}\n"


def main():
    load_onnx()
    found = cases()
    known = {op for group in GROUPS.values() for op in group} | set(NONE)
    if known != set(found):
        sys.exit(f"onnx_nodes.py: operators without a row, or rows without tests: {known ^ set(found)}")
    sums = [sum(column) for column in zip(*(counts(op, found) for op in found))]
    page = PAGE.format(version=onnx.__version__, all=sums[0], have=sums[1], run=sums[2], most=MOST)
    for heading, group in GROUPS.items():
        page += "".join(table(heading, group, found))
    page += "".join(table("Absent", NONE, found)) + "".join(by_name(found))
    pathlib.Path(sys.argv[1]).write_text(page)
    head = f"# by tests/reference/onnx_nodes.py (onnx {onnx.__version__}, one run of it)\n"
    text = "\n".join(line for op in sorted(found) for case in found[op] if runs(op, case) for line in lines(case))
    pathlib.Path(sys.argv[2]).write_text(head + text + "\n")
    print(f"reference-values: {sums[1]} of {sums[0]} node tests have an expression here, {sums[2]} are run")


if __name__ == "__main__":
    main()
