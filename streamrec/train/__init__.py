"""Training: windows of endless streams, augmentation, recipes, soups, resume, reports."""
