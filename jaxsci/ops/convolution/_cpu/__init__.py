"""Forms of the three contractions that are fast on a CPU."""
