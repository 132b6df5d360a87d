"""People in a picture: where the detector finds them, and who is who from frame to frame."""
