"""attention.py: attention as its definition, by PyTorch's matrix products and softmax, and dropout masks by Philox.

PyTorch 1.13 has no public function for attention. Here the weights of hidden keys are 0 whatever the scores are, and so
are all weights of a query that sees no key, where a softmax gives NaN.
"""

import math

import torch

WORD = 2**32


def philox(counter, key):
    """Philox 4x32-10 (Salmon et al. 2011): four words."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b // WORD ^ c[1] ^ k[0], b % WORD, a // WORD ^ c[3] ^ k[1], a % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


def words(row, n, key):
    return [w for block in range((n + 3) // 4) for w in philox((block, row % WORD, row // WORD, 0), key)][:n]


def dropout_mask(key, shape, p):
    """key: four numbers of 16 bits. Each row of the last axis has words of its own."""
    half = [int(v) if 0 <= v < 65536 else 0 for v in key.tolist()]
    whole = [half[0] + half[1] * 65536, half[2] + half[3] * 65536]
    rows = math.prod(shape[:-1])
    kept = 1 / (1 - p) if p < 1 else 0
    values = [[0.0 if w < p * WORD else kept for w in words(r, shape[-1], whole)] for r in range(rows)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def attention(q, k, v, mask, attrs, thin):
    scale = attrs["scale"] or (1 / math.sqrt(q.shape[-1]))
    scores = q * scale @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    hidden = torch.zeros(scores.shape[-2:], dtype=torch.bool)
    if attrs["causal"]:
        hidden = torch.ones(scores.shape[-2:]).triu(attrs["offset"] + 1).bool()
        scores = scores.masked_fill(hidden, -math.inf)
    blind = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(blind, 0), -1).masked_fill(blind | hidden, 0)
    return thin(weights.expand(torch.broadcast_shapes(scores.shape[:-2], v.shape[:-2]) + scores.shape[-2:])) @ v


def plain(inputs, attrs):
    return attention(*inputs[:3], inputs[3] if len(inputs) > 3 else None, attrs, lambda weights: weights)


def with_dropout(inputs, attrs):
    q, k, v, key, *mask = inputs
    return attention(q, k, v, mask[0] if mask else None, attrs,
                     lambda weights: weights * dropout_mask(key, weights.shape, attrs["p"]))


OPS = {
    "attention": plain,
    "attention_dropout": with_dropout,
    "keyed_dropout_mask": lambda inputs, attrs: dropout_mask(inputs[0], attrs["shape"], attrs["p"]),
}

CANCELS = (1e-12, 1e-14, "the slopes of a softmax add up to 0")
TOLERANCE = {"attention": CANCELS, "attention_dropout": CANCELS}
