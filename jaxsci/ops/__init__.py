"""Array kernels, closed under jvp, vjp, vmap and jit."""

from jaxsci.ops import sphere
from jaxsci.ops._energy_flow import energy_flow_polynomials, flow_graphs
from jaxsci.ops._faddeeva import voigt
from jaxsci.ops._lorentz import PAIR_FEATURES, lorentz_products, pair_features
from jaxsci.ops._pairs import PAIR_MAPS, apply_pair_maps, nearest_neighbors, pair_maps, pair_means
from jaxsci.ops._pooling import average_pool, max_pool
from jaxsci.ops.convolution import conv, conv_output_size, conv_patches, conv_transpose, conv_transpose_output_size

__all__ = [
    "PAIR_FEATURES",
    "PAIR_MAPS",
    "apply_pair_maps",
    "average_pool",
    "conv",
    "conv_output_size",
    "conv_patches",
    "conv_transpose",
    "conv_transpose_output_size",
    "energy_flow_polynomials",
    "flow_graphs",
    "lorentz_products",
    "max_pool",
    "nearest_neighbors",
    "pair_features",
    "pair_maps",
    "pair_means",
    "sphere",
    "voigt",
]
