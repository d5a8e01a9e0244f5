"""Where the time of a training goes, and what a step of it costs."""

from jaxsci.training.profile._profile import Profile

__all__ = ["Profile"]
