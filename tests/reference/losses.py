#!/usr/bin/python3
"""losses.py: values and gradients of the losses of torch.nn.functional for fixed inputs, for tests/test_nn_loss.c.

Writes tests/reference/results_nn/losses.txt; needs python3-torch.

    /usr/bin/python3 tests/reference/losses.py

y [4,3] has elements cos(0.3 + 1.1 k), target has sin(0.7 + 0.8 k); the classes are 2, 0, 1, 1. A line is a name, the
loss, and its gradient with respect to y. The cosine losses take 10 y and 10 target, since torch adds 1e-12 to squared
lengths.
"""
import os
import torch
import torch.nn.functional as F

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn", "losses.txt")
torch.set_default_dtype(torch.float64)
k = torch.arange(12, dtype=torch.float64).reshape(4, 3)
target, classes = torch.sin(0.7 + 0.8 * k), torch.tensor([2, 0, 1, 1])
share, sign = torch.sigmoid(target), torch.sign(target)
weight = torch.tensor([0.5, 1.0, 2.0])
pair = torch.tensor([-1.0, 1.0, -1.0, -1.0])


def multi(y, **o):
    return F.multi_margin_loss(y, classes, **o)


LOSSES = {
    "mse": lambda y: F.mse_loss(y, target),
    "mse_sum": lambda y: F.mse_loss(y, target, reduction="sum"),
    "l1": lambda y: F.l1_loss(y, target),
    "l1_sum": lambda y: F.l1_loss(y, target, reduction="sum"),
    "huber": lambda y: F.huber_loss(y, target),
    "huber_with": lambda y: F.huber_loss(y, target, delta=0.4, reduction="sum"),
    "smooth_l1": lambda y: F.smooth_l1_loss(y, target),
    "smooth_l1_with": lambda y: F.smooth_l1_loss(y, target, beta=0.4, reduction="sum"),
    "bce": lambda y: F.binary_cross_entropy(torch.sigmoid(y), share),
    "bce_sum": lambda y: F.binary_cross_entropy(torch.sigmoid(y), share, reduction="sum"),
    "bce_logits": lambda y: F.binary_cross_entropy_with_logits(y, share),
    "bce_logits_with": lambda y: F.binary_cross_entropy_with_logits(y, share, pos_weight=weight, reduction="sum"),
    "bce_weighted": lambda y: F.binary_cross_entropy(torch.sigmoid(y), share, weight=weight),
    "bce_logits_weighted": lambda y: F.binary_cross_entropy_with_logits(y, share, weight, reduction="sum",
                                                                        pos_weight=weight),
    "multilabel_soft_margin": lambda y: F.multilabel_soft_margin_loss(y, share),
    "multilabel_soft_margin_with": lambda y: F.multilabel_soft_margin_loss(y, share, weight, reduction="sum"),
    "triplet_margin": lambda y: F.triplet_margin_loss(y, target, share),
    "triplet_margin_with": lambda y: F.triplet_margin_loss(y, target, share, 0.5, 3, 1e-3, swap=True, reduction="sum"),
    "margin_ranking": lambda y: F.margin_ranking_loss(y, target, sign),
    "margin_ranking_with": lambda y: F.margin_ranking_loss(y, target, sign, 0.5, reduction="sum"),
    "poisson_nll": lambda y: F.poisson_nll_loss(y, share),
    "poisson_nll_with": lambda y: F.poisson_nll_loss(y.exp(), 3 * share, False, True, eps=0.1, reduction="sum"),
    "gaussian_nll": lambda y: F.gaussian_nll_loss(y, target, share),
    "gaussian_nll_with": lambda y: F.gaussian_nll_loss(target, share, y.square(), True, 0.1, reduction="sum"),
    "ctc": lambda y: F.ctc_loss(F.log_softmax(y.unsqueeze(1), -1), torch.tensor([[1, 2]]), torch.tensor([4]),
                                torch.tensor([2])),
    "ctc_with": lambda y: F.ctc_loss(F.log_softmax(y.unsqueeze(1).repeat(1, 3, 1), -1),
                                     torch.tensor([[0, 0], [2, 0], [0, 0]]), torch.tensor([4, 3, 2]),
                                     torch.tensor([2, 1, 2]), 1, "sum", True),
    "hinge": lambda y: (1 - sign * y).clamp(min=0).mean(),
    "hinge_with": lambda y: (0.3 - sign * y).clamp(min=0).sum(),
    "hinge_embedding": lambda y: F.hinge_embedding_loss(y, sign),
    "hinge_embedding_with": lambda y: F.hinge_embedding_loss(y, sign, margin=0.3, reduction="sum"),
    "soft_margin": lambda y: F.soft_margin_loss(y, sign),
    "soft_margin_sum": lambda y: F.soft_margin_loss(y, sign, reduction="sum"),
    "cosine_embedding": lambda y: F.cosine_embedding_loss(10 * y, 10 * target, pair),
    "cosine_embedding_with": lambda y: F.cosine_embedding_loss(10 * y, 10 * target, pair, margin=-0.5, reduction="sum"),
    "cross_entropy": lambda y: F.cross_entropy(y, classes),
    "cross_entropy_with": lambda y: F.cross_entropy(y, classes, weight=weight, label_smoothing=0.1),
    "cross_entropy_sum": lambda y: F.cross_entropy(y, share, reduction="sum"),
    "nll": lambda y: F.nll_loss(F.log_softmax(y, -1), classes),
    "nll_with": lambda y: F.nll_loss(F.log_softmax(y, -1), classes, ignore_index=1, reduction="sum"),
    "multi_margin": lambda y: multi(y),
    "multi_margin_with": lambda y: multi(y, p=2, margin=0.5, weight=weight, reduction="sum"),
    "kl_div": lambda y: F.kl_div(F.log_softmax(y, -1), share),
    "kl_div_with": lambda y: F.kl_div(F.log_softmax(y, -1), F.log_softmax(share, -1), log_target=True,
                                      reduction="batchmean"),
}

if __name__ == "__main__":
    with open(HERE, "w") as f:
        f.write("# losses.txt: written by tests/reference/losses.py with torch %s\n" % torch.__version__)
        for name, loss_of in LOSSES.items():
            y = torch.cos(0.3 + 1.1 * k).requires_grad_()
            loss = loss_of(y)
            loss.backward()
            f.write("%s %s\n" % (name, " ".join("%.17g" % v for v in [loss.item()] + y.grad.reshape(-1).tolist())))
