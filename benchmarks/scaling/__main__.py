"""python -m benchmarks.scaling."""

from benchmarks.scaling.main import main

if __name__ == "__main__":
    main()
