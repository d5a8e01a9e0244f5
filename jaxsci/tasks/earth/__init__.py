"""The relief of the Earth in spherical harmonics."""
