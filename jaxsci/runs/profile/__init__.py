"""What `--profile` adds to the page of a run."""

from jaxsci.runs.profile._page import sections

__all__ = ["sections"]
