"""The annotated stream, published to an RTSP server."""
