"""`python -m benchmarks.tagger_peers`."""

import sys

from benchmarks.tagger_peers.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
