"""One forward and one backward pass from which every quantity of per-example gradients follows."""

from jaxsci.gradients._capture.capture import Capture, Records, capture
from jaxsci.gradients._capture.leaf import LeafProduct, explain, product_of, weighted_sum

__all__ = ["Capture", "LeafProduct", "Records", "capture", "explain", "product_of", "weighted_sum"]
