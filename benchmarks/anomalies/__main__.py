"""`python -m benchmarks.anomalies`."""

from benchmarks.anomalies.main import main

if __name__ == "__main__":
    main()
