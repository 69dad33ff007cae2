#!/usr/bin/python3
"""training.py: results of torch's training loops and averages, for tests/test_nn_train.c, test_data_streams.c and
test_data_mixes.c.

Writes training.txt of tests/reference/results_nn: a name and numbers a line; needs python3-torch, python3-numpy and
python3-sklearn.

    /usr/bin/python3 tests/reference/training.py

The net is Linear(3, 4), tanh, Linear(4, 3); element k of its parameter number i is 0.5 cos(0.3 + 1.1 k + i). x [22,3]
has elements sin(1 + 0.7 k), the classes are 5 i mod 3, the weights of rows 0.5 + (3 i mod 7) / 4. All is f64.
"""
import math
import os
import numpy
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn")
ROWS, EPOCHS = 22, 3
X = torch.sin(1 + 0.7 * torch.arange(ROWS * 3, dtype=torch.float64)).reshape(ROWS, 3)
Y = (5 * torch.arange(ROWS)) % 3
W = 0.5 + ((3 * torch.arange(ROWS)) % 7).double() / 4
CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 1.25], dtype=torch.float64)


def set_parameters(net):
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(0.5 * torch.cos(0.3 + 1.1 * torch.arange(p.numel(), dtype=torch.float64) + i).reshape(p.shape))
    return net


def make():
    return set_parameters(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double())


def batches(n):
    return [slice(at, min(at + n, ROWS)) for at in range(0, ROWS, n)]


def parameters(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()]).tolist()


def train(optimiser, loss, batch, after=None):
    """The parameters after some epochs; loss is a function of predictions and a slice of rows."""
    net = make()
    opt = optimiser(net.parameters())
    for _ in range(EPOCHS):
        for rows in batches(batch):
            opt.zero_grad()
            loss(net(X[rows]), rows).backward()
            opt.step()
            if after:
                after(net)
    return parameters(net)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.2, momentum=0.9)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.05)


def cross_entropy(**how):
    return lambda y, rows: nn.functional.cross_entropy(y, Y[rows], **how)


def by_rows(y, rows):
    losses = nn.functional.cross_entropy(y, Y[rows], reduction="none")
    return (W[rows] * losses).sum() / W[rows].sum()


def averages(avg_fn=None):
    net = make()
    averaged = AveragedModel(net, avg_fn=avg_fn)
    opt = sgd(net.parameters())
    for _ in range(EPOCHS):
        for rows in batches(8):
            opt.zero_grad()
            cross_entropy()(net(X[rows]), rows).backward()
            opt.step()
            averaged.update_parameters(net)
    return parameters(averaged.module)


def warmed(decay):
    """As with exponential averages of TensorFlow: the decay is at most (1 + t) / (10 + t)."""
    return lambda a, p, t: (d := min(decay, (1 + float(t)) / (10 + float(t)))) * a + (1 - d) * p


def normed():
    return set_parameters(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).double())


def statistics(use_buffers=False, anew=True):
    """Buffers and parameters of an average of a net with a batch norm; anew: after update_bn in minibatches of 8."""
    net = normed()
    averaged = AveragedModel(net, use_buffers=use_buffers, avg_fn=lambda a, p, t: 0.8 * a + 0.2 * p)
    opt = sgd(net.parameters())
    for _ in range(EPOCHS):
        for rows in batches(8):
            opt.zero_grad()
            cross_entropy()(net(X[rows]), rows).backward()
            opt.step()
            averaged.update_parameters(net)
    if anew:
        update_bn([X[rows] for rows in batches(8)], averaged)
    norm = averaged.module[1]
    return parameters(averaged.module) + norm.running_mean.tolist() + norm.running_var.tolist()


def rates(steps=60, start=1e-4, end=100.0, beta=0.8, divergence=4.0, batch=8):
    """fastai's LRFinder and its smoothed losses, of squared errors; the steepest descent is chosen as in Lightning."""
    net = make()
    opt = sgd(net.parameters())
    mean, best, tried, losses = 0.0, math.inf, [], []
    order = batches(batch)
    for i in range(steps):
        rate = start * (end / start) ** (i / (steps - 1))
        opt.param_groups[0]["lr"] = rate
        rows = order[i % len(order)]
        opt.zero_grad()
        loss = nn.functional.mse_loss(net(X[rows]), nn.functional.one_hot(Y[rows], 3).double())
        loss.backward()
        opt.step()
        mean = beta * mean + (1 - beta) * loss.item()
        smooth = mean / (1 - beta ** (i + 1))
        tried.append(rate)
        losses.append(smooth)
        best = min(best, smooth)
        if smooth > divergence * best:
            break
    skip = steps // 10
    steepest = skip + int(numpy.gradient(numpy.array(losses[skip:-1])).argmin())
    return [len(losses), tried[steepest], tried[int(numpy.argmin(losses))]] + losses


RUNS = {
    "sgd_8": train(sgd, cross_entropy(), 8),
    "adam_8": train(adam, cross_entropy(), 8),
    "adam_all": train(adam, cross_entropy(), ROWS),
    "sgd_smoothed": train(sgd, cross_entropy(label_smoothing=0.1), 8),
    "sgd_class_weights": train(sgd, cross_entropy(weight=CLASS_WEIGHTS, label_smoothing=0.2), 8),
    "sgd_weights": train(sgd, by_rows, 8),
    "adam_weights_5": train(adam, by_rows, 5),
    "swa": averages(),
    "ema": averages(lambda a, p, t: 0.9 * a + 0.1 * p),
    "ema_warm": averages(warmed(0.9)),
    "norm_parameters_then_update_bn": statistics(),
    "norm_buffers": statistics(use_buffers=True, anew=False),
    "rates": rates(),
    "balanced": compute_class_weight("balanced", classes=numpy.array([0, 1, 3]),
                                     y=numpy.array([0, 1, 1, 3, 3, 3, 1, 0, 3, 3])).tolist(),
}

if __name__ == "__main__":
    with open(os.path.join(HERE, "training.txt"), "w") as f:
        for name, values in RUNS.items():
            f.write(" ".join([name] + ["%.17g" % v for v in values]) + "\n")
