"""`python -m benchmarks.gradients.claims`."""

from benchmarks.gradients.claims.main import main

main()
