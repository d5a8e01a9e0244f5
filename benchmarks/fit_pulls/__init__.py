"""Are the error bars right? Pulls (fitted - true) / error of simulated data sets, for every fitter of the library."""
