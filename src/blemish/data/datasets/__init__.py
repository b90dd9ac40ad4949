"""The data sets, one per file: a card, `index`, and a `DataModule`."""
