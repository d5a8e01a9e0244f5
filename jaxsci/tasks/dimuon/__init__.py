"""The mass peak of the Z boson in pairs of muons."""
