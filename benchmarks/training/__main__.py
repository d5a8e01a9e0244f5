"""`python -m benchmarks.training`."""

import sys

from benchmarks.training.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
