"""What every room stands on: types, errors, the detector's contract, files, arguments, the registry."""
