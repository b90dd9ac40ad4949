"""What exists: methods and data sets, found by looking."""
