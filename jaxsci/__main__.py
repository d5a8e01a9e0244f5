"""`python -m jaxsci`: the command."""

from jaxsci.cli.main import main

if __name__ == "__main__":
    main()
