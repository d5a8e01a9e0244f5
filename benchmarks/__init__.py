"""How fast the library is, measured; each benchmark is a module to run, such as `python -m benchmarks.training`."""
