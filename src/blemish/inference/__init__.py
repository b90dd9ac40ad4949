"""From an image to a verdict: thresholds, inspectors, exported models, many images on many machines."""
