"""The data sets, one a file: a card, `index`, and a `DataModule`."""
