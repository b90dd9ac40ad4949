"""The benchmark: grids of methods, data sets, seeds and protocols; one file a result; local processes or Ray."""
