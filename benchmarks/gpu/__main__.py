"""`python -m benchmarks.gpu`."""

import sys

from benchmarks.gpu.main import main

if __name__ == "__main__":
    main(sys.argv[1:])
