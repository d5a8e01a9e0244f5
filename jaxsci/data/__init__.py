"""Readers and generators of data, in numpy only: this room never imports JAX."""
