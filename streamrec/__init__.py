"""streamrec watches a camera and says what is happening, now."""
