"""Jets: readers of files of jets, their images and features, and a generator."""

from jaxsci.data.jets.sample import JetSample, count, embedded, mass, read, require_both_classes, stream

__all__ = ["JetSample", "count", "embedded", "mass", "read", "require_both_classes", "stream"]
