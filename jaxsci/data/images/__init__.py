"""Images of any number of classes, from .npz and HDF5 files, and from IDX pairs (the format of MNIST)."""

from jaxsci.data.images._files import PARTS, LabeledImages, parts, read, read_unlabeled, unused
from jaxsci.data.images._pixels import pixels

__all__ = ["PARTS", "LabeledImages", "parts", "pixels", "read", "read_unlabeled", "unused"]
