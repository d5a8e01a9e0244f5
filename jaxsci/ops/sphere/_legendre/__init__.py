"""The Legendre part of the transforms: the functions, their recursion, and sums over degrees and rings with them."""
