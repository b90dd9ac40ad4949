"""What all other packages build on: types, errors, the detector's contract, files, arguments, the registry."""
