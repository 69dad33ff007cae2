"""torch_peer.py: the cases in PyTorch with Python, on one thread."""
import subprocess
import sys
from functools import partial

import torch
import torch.nn.functional as F

from serve import fill, layers, serve

torch.set_num_threads(1)


def filled(n, seed, *shape):
    return torch.from_numpy(fill(n, seed)).reshape(shape or (n,))


def backward(loss, *xs):
    for x in xs:
        x.grad = None
    loss.backward()


def gradients(loss, *xs):
    """The loss, and the sum of the squares of its gradient."""
    backward(loss, *xs)
    return loss.item(), sum(x.grad.double().square().sum().item() for x in xs)


def steps(step, n):
    losses = [step().item() for _ in range(n)]
    return losses[0], losses[-1]


class ScalarChain:
    """work runs a tenth of the chain, as the time per node does not depend on the length."""
    steps = 333333
    items = 3 * (steps // 10)

    def run(self, n):
        self.x, self.y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.5, 1e-6))
        x = self.x
        for _ in range(n):
            x = torch.sin(x) * self.y + x
        x.backward()
        return x.item()

    def work(self):
        self.run(self.steps // 10)

    def result(self):
        return self.run(self.steps), self.x.grad.item() + self.y.grad.item()


class Rosenbrock:
    """Written with one array of 1000 elements, as is usual in PyTorch, not with 1000 scalar variables."""
    items = 1

    def __init__(self):
        self.x = (1 + 0.1 * torch.sin(torch.arange(1000, dtype=torch.float64))).requires_grad_()

    def loss(self):
        a, b = self.x[:-1], self.x[1:]
        return (100 * (b - a * a).square() + (a - 1).square()).sum()

    def work(self):
        self.x.grad = None
        self.loss().backward()

    def result(self):
        return gradients(self.loss(), self.x)


class Add:
    items = 1

    def __init__(self):
        self.x, self.y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.5, 1e-6))

    def work(self):
        (self.x + self.y).backward()

    def result(self):
        z = self.x + self.y
        z.backward()
        return z.item(), self.x.grad.item() + 2 * self.y.grad.item()


def mlp(activation, *widths):
    parts = []
    for w, b in layers(*widths):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(w), torch.from_numpy(b)
        parts += [linear, activation()]
    return torch.nn.Sequential(*parts[:-1])


def descend(opt, loss):
    opt.zero_grad(set_to_none=True)
    loss.backward()
    opt.step()
    return loss


class Xor:
    items = 1

    def __init__(self):
        self.net = mlp(torch.nn.Tanh, 2, 8, 1)
        self.x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
        self.t = torch.tensor([[0.0], [1], [1], [0]])
        self.opt = torch.optim.SGD(self.net.parameters(), lr=1e-4)

    def work(self):
        return descend(self.opt, F.mse_loss(self.net(self.x), self.t))

    def result(self):
        self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)
        return steps(self.work, 100)


class LectureNet:
    items = 1

    def __init__(self):
        (w1, _), (w2, _) = layers(1000, 100, 10)
        self.w = [torch.from_numpy(w).requires_grad_() for w in (w1, w2)]
        self.x, self.t = filled(64 * 1000, 1, 64, 1000), filled(64 * 10, 2, 64, 10)
        self.opt = torch.optim.SGD(self.w, lr=1e-6)

    def work(self):
        y = torch.sigmoid(self.x @ self.w[0].t()) @ self.w[1].t()
        return descend(self.opt, (y - self.t).square().sum())

    def result(self):
        self.opt = torch.optim.SGD(self.w, lr=1e-4)
        return steps(self.work, 20)


class Mnist:
    items = 1
    rows = 6400

    def __init__(self, batch, *widths):
        self.batch, self.at = batch, self.rows
        self.net = mlp(torch.nn.ReLU, *widths)
        self.x = filled(self.rows * 784, 3, self.rows, 784)
        self.t = torch.arange(self.rows) * 7 % 10
        self.opt = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9)

    def step(self, x, t):
        return descend(self.opt, F.cross_entropy(self.net(x), t))

    def work(self):
        if self.at + self.batch > self.rows:
            self.order, self.at = torch.randperm(self.rows), 0
        rows = self.order[self.at:self.at + self.batch]
        self.step(self.x[rows], self.t[rows])
        self.at += self.batch

    def result(self):
        self.opt = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
        batches = iter(zip(self.x.split(self.batch), self.t.split(self.batch)))
        return steps(lambda: self.step(*next(batches)), 5)



class Matmul:
    items = 1

    def __init__(self):
        self.a, self.b = (filled(1 << 20, seed, 1024, 1024).requires_grad_() for seed in (1, 2))

    def work(self):
        return backward((self.a @ self.b).square().sum() * 0.5, self.a, self.b)

    def result(self):
        return gradients((self.a @ self.b).square().sum() * 0.5, self.a, self.b)



class Convolution:
    items = 1

    def __init__(self, images, channels, side):
        self.x = filled(images * channels * side**2, 1, images, channels, side, side).requires_grad_()
        self.w = filled(9 * channels**2, 2, channels, channels, 3, 3).requires_grad_()

    def loss(self):
        return F.conv2d(self.x, self.w, padding=1).square().sum() * 0.5

    def work(self):
        backward(self.loss(), self.x, self.w)

    def result(self):
        return gradients(self.loss(), self.x, self.w)


class Tanh20:
    items = 1

    def __init__(self):
        self.x = filled(1000000, 5).requires_grad_()

    def loss(self):
        y = self.x
        for _ in range(20):
            y = torch.tanh(y)
        return y.sum()

    def work(self):
        backward(self.loss(), self.x)

    def result(self):
        return gradients(self.loss(), self.x)


class SoftmaxCe:
    items = 1

    def __init__(self):
        self.x = filled(4096 * 1000, 9, 4096, 1000).requires_grad_()
        self.t = torch.arange(4096) * 31 % 1000

    def work(self):
        backward(F.cross_entropy(self.x, self.t), self.x)

    def result(self):
        return gradients(F.cross_entropy(self.x, self.t), self.x)


class Adam:
    items = 1
    count = 10000000

    def __init__(self):
        self.x = filled(self.count, 4).requires_grad_()
        self.x.grad = filled(self.count, 1)
        self.opt = torch.optim.Adam([self.x], lr=1e-6)

    def work(self):
        self.opt.step()

    def result(self):
        start, self.opt = self.x.detach().clone(), torch.optim.Adam([self.x], lr=0.01)
        for _ in range(5):
            self.opt.step()
        return (self.x.detach().double() - start.double()).square().sum().item(), self.x[-1].item()


FIRST = """
import torch
x, y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.5, 4.2))
(torch.sin(x) + x * y).backward()
assert y.grad.item() == 0.5
"""


class Block(torch.nn.Module):
    """A layer of a transformer with causal attention, written with as few calls as possible."""

    def __init__(self):
        super().__init__()
        self.projection, self.out = torch.nn.Linear(128, 384), torch.nn.Linear(128, 128)
        self.linear1, self.linear2 = torch.nn.Linear(128, 512), torch.nn.Linear(512, 128)
        self.norm1, self.norm2 = torch.nn.LayerNorm(128), torch.nn.LayerNorm(128)
        self.hidden = torch.ones(64, 64).triu(1).bool()

    def attend(self, x):
        q, k, v = (p.view(12, 64, 4, 32).transpose(1, 2) for p in self.projection(x).split(128, 2))
        scores = (q @ k.transpose(2, 3) * 32**-0.5).masked_fill(self.hidden, float("-inf"))
        return self.out((torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(12, 64, 128))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


class Gpt:
    items = 1

    def __init__(self):
        self.net = torch.nn.Sequential(torch.nn.Embedding(65, 128), torch.nn.Embedding(64, 128),
                                       *(Block() for _ in range(4)), torch.nn.LayerNorm(128))
        for j, (name, p) in enumerate(self.net.named_parameters(), 1):
            one = 1 if ("norm" in name or name.startswith("6")) and "weight" in name else 0
            p.data = one + 0.05 * filled(p.numel(), j, *p.shape)
        self.opt = torch.optim.AdamW(self.net.parameters(), 1e-3, (0.9, 0.99), weight_decay=0.1)
        self.x, self.t = ((torch.arange(768) * step % 65).reshape(12, 64) for step in (7, 11))

    def work(self):
        characters, positions, *rest = self.net
        h = characters(self.x) + positions.weight
        for part in rest:
            h = part(h)
        return descend(self.opt, F.cross_entropy((h @ characters.weight.t()).flatten(0, 1), self.t.flatten()))

    def result(self):
        return steps(self.work, 10)


class StartUp:
    items = 1

    def work(self):
        subprocess.run([sys.executable, "-c", FIRST], check=True)

    def result(self):
        self.work()
        return 1, 1


serve({"scalar-chain": ScalarChain, "rosenbrock": Rosenbrock, "add-1x1": Add, "xor-rebuild": Xor, "xor-eval": Xor,
       "lecture-net": LectureNet, "mlp-128": partial(Mnist, 64, 784, 128, 10),
       "mlp-512-512": partial(Mnist, 128, 784, 512, 512, 10), "matmul-1024": Matmul,
       "conv-64": partial(Convolution, 32, 64, 28), "conv-256": partial(Convolution, 16, 256, 14), "tanh-20": Tanh20,
       "softmax-ce": SoftmaxCe, "adam": Adam, "gpt": Gpt, "start-up": StartUp})
