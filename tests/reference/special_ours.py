"""special_ours.py: our conventions at special points where they differ from PyTorch's, composed of PyTorch's ops."""

OPS = {
}
