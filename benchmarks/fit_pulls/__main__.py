"""`python -m benchmarks.fit_pulls`."""

import sys

from benchmarks.fit_pulls.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
