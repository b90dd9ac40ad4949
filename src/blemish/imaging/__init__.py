"""Images: from any file to the network's input, and from the network's map back to the file's pixels. No torch."""
