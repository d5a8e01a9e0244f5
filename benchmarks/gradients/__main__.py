"""`python -m benchmarks.gradients`."""

from benchmarks.gradients.main import main

main()
