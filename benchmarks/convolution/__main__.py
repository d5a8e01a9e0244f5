"""`python -m benchmarks.convolution`."""

import sys

from benchmarks.convolution.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
