"""Finding cameras: those of the network that speak ONVIF, and the webcams of this machine."""
