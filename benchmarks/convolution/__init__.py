"""Convolution and its derivatives under every transformation: ours against XLA's, plain columns, and PyTorch."""
