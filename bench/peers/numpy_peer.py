"""numpy_peer.py: training steps in NumPy, with backpropagation written by hand."""
from functools import partial

import numpy as np

from serve import fill, layers, serve

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_T = np.array([[0], [1], [1], [0]], np.float32)


class Xor:
    items = 1

    def __init__(self):
        (self.w1, self.b1), (self.w2, self.b2) = layers(2, 8, 1)
        self.lr = np.float32(1e-4)

    def work(self):
        h = np.tanh(XOR_X @ self.w1.T + self.b1)
        d = h @ self.w2.T + self.b2 - XOR_T
        gy = d * np.float32(2 / 4)
        gh = gy @ self.w2 * (1 - h * h)
        self.w2 -= self.lr * (gy.T @ h)
        self.b2 -= self.lr * gy.sum(0)
        self.w1 -= self.lr * (gh.T @ XOR_X)
        self.b1 -= self.lr * gh.sum(0)
        return (d * d).mean()

    def result(self):
        self.lr = np.float32(0.1)
        losses = [self.work() for _ in range(100)]
        return losses[0], losses[99]


class LectureNet:
    items = 1

    def __init__(self):
        (self.w1, _), (self.w2, _) = layers(1000, 100, 10)
        self.x, self.t = fill(64 * 1000, 1).reshape(64, 1000), fill(64 * 10, 2).reshape(64, 10)
        self.lr = np.float32(1e-6)

    def work(self):
        h = 1 / (1 + np.exp(-(self.x @ self.w1.T)))
        d = h @ self.w2.T - self.t
        gy = 2 * d
        gh = gy @ self.w2
        gh *= h * (1 - h)
        self.w2 -= self.lr * (gy.T @ h)
        self.w1 -= self.lr * (gh.T @ self.x)
        return np.square(d).sum()

    def result(self):
        self.lr = np.float32(1e-4)
        losses = [self.work() for _ in range(20)]
        return losses[0], losses[19]


class Mnist:
    items = 1
    rows = 6400

    def __init__(self, batch, *widths):
        self.batch, self.at = batch, self.rows
        self.layers = [[w, b, np.zeros_like(w), np.zeros_like(b)] for w, b in layers(*widths)]
        self.x = fill(self.rows * 784, 3).reshape(self.rows, 784)
        self.t = np.arange(self.rows) * 7 % 10
        self.random = np.random.default_rng(0)

    def step(self, rows, lr):
        x, t = self.x[rows], self.t[rows]
        inputs, y = [], x
        for i, (w, b, _, _) in enumerate(self.layers):
            inputs.append(y)
            y = y @ w.T + b
            if i + 1 < len(self.layers):
                np.maximum(y, 0, out=y)
        y -= y.max(1, keepdims=True)
        g = np.exp(y)
        total = g.sum(1, keepdims=True)
        loss = (np.log(total[:, 0]) - y[np.arange(len(t)), t]).mean()
        g /= total
        g[np.arange(len(t)), t] -= 1
        g /= len(t)
        for (w, b, vw, vb), x in zip(reversed(self.layers), reversed(inputs)):
            gw, gb = g.T @ x, g.sum(0)
            if w is not self.layers[0][0]:
                g = g @ w * (x > 0)
            for value, v, gradient in (w, vw, gw), (b, vb, gb):
                v *= np.float32(0.9)
                v += gradient
                value -= np.float32(lr) * v
        return loss

    def work(self):
        if self.at + self.batch > self.rows:
            self.order, self.at = self.random.permutation(self.rows), 0
        self.step(self.order[self.at:self.at + self.batch], 1e-3)
        self.at += self.batch

    def result(self):
        losses = [self.step(np.arange(i * self.batch, (i + 1) * self.batch), 0.05) for i in range(5)]
        return losses[0], losses[4]


serve({"xor-rebuild": Xor, "xor-eval": Xor, "lecture-net": LectureNet, "mlp-128": partial(Mnist, 64, 784, 128, 10),
       "mlp-512-512": partial(Mnist, 128, 784, 512, 512, 10)})
