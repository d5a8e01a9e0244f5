"""Convolution, its transpose and its patches for one, two and three spatial dimensions: three bilinear primitives, fast on a CPU."""

from jaxsci.ops.convolution._conv import conv, conv_patches, conv_transpose
from jaxsci.ops.convolution._sizes import conv_output_size, conv_transpose_output_size

__all__ = ["conv", "conv_output_size", "conv_patches", "conv_transpose", "conv_transpose_output_size"]
