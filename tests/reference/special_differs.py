"""special_differs.py: where numbers at special points are not compared with PyTorch's.

Patterns are "LINE at OPERANDS", as special.py writes them; of an op that is not elementwise, OPERANDS is the number of an
operand and the value of its first element. The reasons stand in the descriptors of the ops.
"""

# Our numbers differ on purpose.
DIFFERS = {
    "abs": ["grad 0 at nan"],
    "sign": ["value at nan"],
    "log1p": ["second 0 0 at 1.79*"],
    "asinh": ["second 0 0 at 1.79*"],
    "acosh": ["* at -*", "second 0 0 at 1"],
    "atanh": ["second 0 0 at 1.79*"],
    "cbrt": ["* at 0", "* at -0", "* at nan", "* at inf", "* at -inf", "* at 1e-200", "* at 5e-324"],
    "erf": ["second 0 0 at 1.79*"],
    "erfc": ["second 0 0 at 1.79*"],
    "lgamma": ["second 0 0 at -*"],
    "digamma": ["* at -*", "second 0 0 at 0", "second 0 0 at inf"],
    "special": ["grad 0 at 0 inf", "second 0 at 0 inf"],
    "special_pair": ["* at 1 inf", "second 1 at 1 -0"],
    "lu_packed": ["grad 0 at 0 *inf", "second 0 at 0 *inf"],
    "polygamma": ["* at 0 -*", "* at 0 inf", "grad 0 at 0 0"],
    "elu": ["value at -0"],
    "selu": ["value at -0"],
    "gelu": ["second 0 0 at *"],
    "gelu_tanh": ["* at inf", "* at -inf", "second 0 0 at 1.79*"],
    "mish": ["second 0 0 at 1.79*"],
    "softsign": ["* at inf", "* at -inf"],
    "hardsigmoid": ["grad 0 at *"],
    "hardswish": ["grad 0 at 3", "grad 0 at -3", "second 0 0 at 3", "second 0 0 at -3", "second 0 0 at nan", "value at 1.79*"],
    "pows": ["second 0 0 at -inf"],
    "pow": ["grad 0 at -1 -*", "second 0 1 at * 0", "second 0 1 at * -0", *(f"second * at {p}" for p in (
        "0 *", "-0 *", "* inf", "* -inf", "* 1e+200", "* -1e+200", "nan *", "inf *", "-inf *", "1e+200 *", "-1e+200 *"))],
    "atan2": ["* at *1e+200*"],
    "fmod": ["grad 1 at * 0", "grad 1 at * -0", "grad 1 at *inf *", "grad 1 at *1e+200 *"],
    "heaviside": ["grad 1 at *"],
    "logaddexp": ["second * at *inf*", "second * at *1e+200*"],
    "logaddexp2": ["second * at *inf*", "second * at *1e+200*"],
    "copysign": ["grad 0 at *inf *", "second 0 0 at 0 *", "second 0 0 at -0 *", "second 0 0 at *inf *", "second 0 0 at nan *"],
    "relu6": ["grad 0 at nan"],
    "hardshrink": ["grad 0 at nan"],
    "softshrink": ["value at 0 nan"],
    "sinc": ["* at *1e+200", "* at 1.79*"],
    "logit": ["grad 0 at 0 nan", "second 0 at 0 *0", "second 0 at 0 1", "second 0 at 0 nan", "second 0 at 0 *inf"],
    "max": ["grad 0 at 0 nan"],
    "min": ["grad 0 at 0 nan"],
    "norm": ["* at 0 *1e+200", "second 0 at 0 *0"],
    "prod": ["* at 0 nan", "* at 0 inf", "* at 0 -inf"],
    "logcumsumexp": ["grad 0 at 0 *inf", "second 0 at 0 *inf", "grad 0 at 0 *1e+200", "second 0 at 0 *1e+200"],
    "scatter_reduce": ["grad * at * nan", "grad * at * *inf", "second * at * nan", "second * at * *inf",
                       "second * at * *1e+200"],
    "cumprod": ["* at 0 nan", "* at 0 inf", "* at 0 -inf"],
    "det": ["grad 0 at 0 *inf"],
    "slogdet_packed": ["value at 0 nan"],
    "batch_norm_train": ["value at 1 *inf", "second * at 1 *inf", "* at 0 *1e+200"],
    "batch_norm_eval": ["value at *inf"],
    "cross_entropy_probs": ["grad 1 at 0 inf"],
    "multi_margin": ["value at 0 nan"],
    "rms_norm": ["* at 0 *inf", "* at 0 *1e+200"],
    "attention": ["second 2 at * *inf", "* at 2 *inf", "* at 2 nan"],
    "attention_dropout": ["second 2 at * *inf"],
    # slopes that are 0 but for rounding
    "cosine_similarity": ["grad 0 at 0 0", "grad 0 at 0 -0", "grad 0 at 0 *1e+200", "grad 1 at 1 *1e+200"],
    "l1": ["grad * at * nan"],
    "bce": ["second * at 0 *"],
    "bce_logits": ["* at 0 nan", "* at 0 -inf", "* at 1 nan", "* at 1 *inf", "second 0 at 1 *1e+200"],
    "kl_div": ["* at 1 0", "* at 1 -0", "* at 1 *inf", "* at 0 -inf"],
    "soft_margin": ["* at * inf", "* at * -inf", "* at *1e+200"],
}

# PyTorch has no such function, and the entry composes one that fails at the point.
NOT_COMPARED = {
    "prelu": ["grad 1 at *inf *", "grad 1 at nan *", "second * at *inf *", "grad 0 at * nan", "grad 0 at * inf", "grad 0 at * -inf"],
    "hinge": ["* at * nan", "* at * inf", "* at * -inf"],
    "gru": ["* at *1e+200"],
    # 0 but for rounding
    "lu_packed": ["second 0 at 0 2"],
    # rounding errors of the huge element are all that is left of the others
    "svd_packed": ["* at *1e+200"],
    "svdvals": ["* at *1e+200"],
    # powers of a huge element: infinities, NaN and zeros in any order
    "matrix_exp": ["* at *1e+200", "* at *inf", "* at 0 nan"],
    # LAPACK spreads them over all columns of b
    "lstsq": ["* at 1 *inf", "* at 1 nan"],
    "cofactor": ["value at 0 *inf", "second 0 at 0 *inf", "second 0 at 0 nan"],
}

# Our op reports an error where PyTorch has a result, or LAPACKs choose different pivots (lu_packed of a NaN). Nothing is
# written.
REFUSED = {
    **{op: ["put at 0 *inf", "put at 0 nan"] for op in ("eigh_packed", "eigvalsh", "svd_packed", "svdvals", "pinv")},
    "solve_triangular": ["put at 0 0", "put at 0 -0"],
    "lstsq": ["put at 0 *inf", "put at 0 nan"],
    "lu_packed": ["put at 0 0", "put at 0 -0", "put at 0 nan"],
    "qr_packed": ["put at 0 0", "put at 0 -0"],
}
