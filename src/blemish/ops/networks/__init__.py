"""Networks that methods train: one architecture a file."""
