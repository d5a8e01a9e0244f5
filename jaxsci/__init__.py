"""Machine learning for the natural sciences as pure functions in JAX."""

__version__ = "0.1.0"
