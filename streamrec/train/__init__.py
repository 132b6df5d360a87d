"""Training and evaluation: data, the recipe, and the numbers."""
