"""The network: encoders, heads and the models that join them."""
