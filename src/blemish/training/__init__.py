"""Training by gradients: the one loop, and what a long training needs around it."""
