"""`python -m benchmarks.superconductors`."""

import sys

from benchmarks.superconductors.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
