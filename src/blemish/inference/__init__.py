"""From a part to a verdict: thresholds, inspectors, exported models at work, many images at once."""
