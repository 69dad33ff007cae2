#!/usr/bin/python3
"""torch_state.py: states of torch networks as safetensors files, and their predictions, for tests/test_nn_file.c.

Writes NAME.safetensors and NAME.txt for images, words, encoder_f32, encoder_f64, plain_f32 and plain_f64 to
tests/reference/results_nn; needs python3-torch. The safetensors files are written and read with json and struct only.

    /usr/bin/python3 tests/reference/torch_state.py
    /usr/bin/python3 tests/reference/torch_state.py --check FILE    # a state of one of the four from elsewhere

images and words are f32. They are trained for some steps, so that the buffers of batch norm have changed. images [2,1,6,6]
has elements cos(0.3 + 1.1 k), words [3,7] has the indices 5 k mod 11. The encoders take x [3,6,8] with the elements of
images, in causal order, without the last i time steps of sequence i; plain has another mask. The .txt files have the
predictions.
"""
import json
import os
import struct
import sys
try:
    import torch
    from torch import nn
except ImportError:
    sys.exit(77)  # tells the tests that there is nothing to compare with

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn")
FORMATS = {torch.float32: ("F32", "f"), torch.float64: ("F64", "d"), torch.int64: ("I64", "q")}


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


class Encoder(nn.TransformerEncoder):
    """With the masks of the tests."""

    def __init__(self):
        layer = nn.TransformerEncoderLayer(8, 2, 12, 0.1, "gelu", batch_first=True, norm_first=True)
        super().__init__(layer, 2, nn.LayerNorm(8))

    def forward(self, x):
        time = x.shape[1]
        causal = torch.ones(time, time).triu(1).bool()
        padding = torch.arange(time) >= time - torch.arange(x.shape[0])[:, None]
        return super().forward(x, causal, padding)


class Plain(nn.TransformerEncoder):
    """PyTorch's defaults: relu, normalised after each sum. A mask that is added, beside the padding."""

    def __init__(self):
        super().__init__(nn.TransformerEncoderLayer(8, 4, 12, batch_first=True), 2)

    def forward(self, x):
        time = torch.arange(x.shape[1])
        mask = -0.5 * (time[:, None] - time).abs().to(x.dtype)
        padding = time >= x.shape[1] - torch.arange(x.shape[0])[:, None]
        return super().forward(x, mask, padding)


def plain_f64():
    return Plain().double(), encoder_f64()[1]


def plain_f32():
    return Plain(), encoder_f64()[1].float()


def encoder_f64():
    x = torch.cos(0.3 + 1.1 * torch.arange(144, dtype=torch.float64)).reshape(3, 6, 8)
    return Encoder().double(), x


def encoder_f32():
    net, x = encoder_f64()
    return net.float(), x.float()


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


def read(path):
    with open(path, "rb") as f:
        length, = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(length)), f.read()
    header.pop("__metadata__", None)
    letters = {dtype: (kind, letter) for kind, (dtype, letter) in FORMATS.items()}
    state = {}
    for name, entry in header.items():
        kind, letter = letters[entry["dtype"]]
        piece = data[slice(*entry["data_offsets"])]
        values = struct.unpack("<%d%s" % (len(piece) // struct.calcsize(letter), letter), piece)
        state[name] = torch.tensor(values, dtype=kind).reshape(entry["shape"])
    return state


def predictions(net, x):
    with torch.enable_grad():  # not PyTorch's kernel for inference, which leaves out what is padding
        return net.eval()(x).reshape(-1).tolist()


def check(path):
    state = read(path)
    kind = "encoder" if "norm.weight" in state else "plain"
    name = kind + ("_f64" if next(iter(state.values())).dtype == torch.float64 else "_f32")
    net, x = globals()[name]()
    net.load_state_dict(state, strict=True)
    with open(os.path.join(HERE, name + ".txt")) as f:
        largest = max(abs(y - float(want)) for y, want in zip(predictions(net, x), f, strict=True))
    print("%s: torch loads %d arrays of %s; the largest difference is %g" % (name, len(state), path, largest))
    return largest < (1e-12 if name.endswith("f64") else 1e-5)


def write():
    for make in (images, words, encoder_f32, encoder_f64, plain_f32, plain_f64):
        torch.manual_seed(1)
        net, x = make()
        train(net, x)
        save(net.state_dict(), os.path.join(HERE, make.__name__ + ".safetensors"))
        form = "%.17g\n" if make in (encoder_f64, plain_f64) else "%.9g\n"
        with open(os.path.join(HERE, make.__name__ + ".txt"), "w") as f:
            f.write("".join(form % v for v in predictions(net, x)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        sys.exit(not all([check(path) for path in sys.argv[2:]]))
    write()
