"""Teaching live: examples of own actions, a few-shot head on a frozen backbone, and the teacher that swaps it in."""
