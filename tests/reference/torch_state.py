#!/usr/bin/python3
"""torch_state.py: states of torch networks as safetensors files, and their predictions, for tests/test_nn_file.c.

Writes images.safetensors, images.txt, words.safetensors and words.txt to tests/reference/results_nn; needs
python3-torch. The safetensors files are written with json and struct only.

    /usr/bin/python3 tests/reference/torch_state.py

The networks are f32. They are trained for some steps, so that the buffers of batch norm have changed. images [2,1,6,6]
has elements cos(0.3 + 1.1 k), words [3,7] has the indices 5 k mod 11. The .txt files have the predictions.
"""
import json
import os
import struct
import torch
from torch import nn

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn")
FORMATS = {torch.float32: ("F32", "f"), torch.int64: ("I64", "q")}


class Words(nn.Module):
    """Names its modules like nn.Sequential, which does not take modules with two results."""

    def __init__(self):
        super().__init__()
        self.add_module("0", nn.Embedding(11, 4))
        self.add_module("1", nn.LSTM(4, 5, num_layers=2, batch_first=True, bidirectional=True))
        self.add_module("2", nn.GRU(10, 6, batch_first=True))
        self.add_module("3", nn.Linear(6, 3))

    def forward(self, x):
        embedding, lstm, gru, linear = self.children()
        return linear(gru(lstm(embedding(x))[0])[0])


def images():
    x = torch.cos(0.3 + 1.1 * torch.arange(72, dtype=torch.float64)).float().reshape(2, 1, 6, 6)
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                         nn.ConvTranspose2d(3, 2, (2, 3), stride=(2, 1)), nn.Flatten(), nn.Linear(60, 16),
                         nn.LayerNorm(16), nn.PReLU(), nn.Linear(16, 4)), x


def words():
    return Words(), (5 * torch.arange(21) % 11).reshape(3, 7)


def train(net, x):
    opt = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(20):
        opt.zero_grad()
        net(x).square().mean().backward()
        opt.step()


def save(state, path):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in state.items():
        dtype, letter = FORMATS[tensor.dtype]
        values = tensor.reshape(-1).tolist()
        piece = struct.pack("<%d%s" % (len(values), letter), *values)
        offsets = [len(data), len(data) + len(piece)]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        data += piece
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    for make in (images, words):
        torch.manual_seed(1)
        net, x = make()
        train(net, x)
        save(net.state_dict(), os.path.join(HERE, make.__name__ + ".safetensors"))
        with open(os.path.join(HERE, make.__name__ + ".txt"), "w") as f:
            f.write("".join("%.9g\n" % v for v in net.eval()(x).reshape(-1).tolist()))
