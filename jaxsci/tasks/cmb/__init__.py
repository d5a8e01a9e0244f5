"""The microwave sky in spherical harmonics."""
