"""Array kernels, closed under jvp, vjp, vmap and jit."""

from jaxsci.ops import sphere
from jaxsci.ops._pooling import average_pool, max_pool
from jaxsci.ops.convolution._conv import conv, conv_patches, conv_transpose
from jaxsci.ops.convolution._sizes import conv_output_size, conv_transpose_output_size

__all__ = [
    "average_pool",
    "conv",
    "conv_output_size",
    "conv_patches",
    "conv_transpose",
    "conv_transpose_output_size",
    "max_pool",
    "sphere",
]
