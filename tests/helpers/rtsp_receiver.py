"""An RTSP server for tests that takes a stream of H.264 by RECORD at ``/door``, and serves it by PLAY at ``/seen``.

Run by the system's own Python, which has GStreamer's bindings. It prints ``READY rtsp://127.0.0.1:PORT/door`` when it
listens, and ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from typing import Any

CAPS = "video/x-h264,stream-format=byte-stream,alignment=au"
TAKEN = f"rtph264depay name=depay0 ! h264parse config-interval=-1 ! {CAPS} ! appsink name=taken"
SERVED = f"appsrc name=served is-live=true format=time do-timestamp=true caps={CAPS} ! h264parse"


class Relay:
    """Passes what the one media takes to those that are served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: list[Any] = []

    def taking(self, _: Any, media: Any) -> None:
        media.get_element().get_by_name("taken").connect("new-sample", self._pass_on)

    def serving(self, _: Any, media: Any) -> None:
        source = media.get_element().get_by_name("served")
        with self._lock:
            self._served.append(source)
        media.connect("unprepared", lambda _: self._gone(source))

    def _gone(self, source: Any) -> None:
        with self._lock:
            self._served.remove(source)

    def _pass_on(self, sink: Any) -> Any:
        from gi.repository import Gst

        buffer = sink.emit("pull-sample").get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        with self._lock:
            for source in self._served:
                source.emit("push-buffer", Gst.Buffer.new_wrapped(data))
        return Gst.FlowReturn.OK


def serve(port: int, user: str, password: str, auth: str) -> None:
    """Listen and serve until the process ends."""
    import gi
    from rtsp_server import allow  # found beside this file when it runs as a script

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    relay = Relay()
    taken, served = GstRtspServer.RTSPMediaFactory(), GstRtspServer.RTSPMediaFactory()
    taken.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    taken.set_launch(f"( {TAKEN} emit-signals=true sync=false )")
    taken.set_latency(0)
    taken.connect("media-configure", relay.taking)
    served.set_launch(f"( {SERVED} ! rtph264pay name=pay0 pt=96 )")
    served.set_shared(True)
    served.connect("media-configure", relay.serving)
    for factory in (taken, served):
        factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    if user:
        access = GstRtspServer.RTSPAuth()
        allow(access, user, password, auth, [taken, served])
        server.set_auth(access)
    # One thread for all clients would take nothing while another client is being answered.
    server.get_thread_pool().set_max_threads(8)
    server.get_mount_points().add_factory("/door", taken)
    server.get_mount_points().add_factory("/seen", served)
    if server.attach(None) == 0:
        raise SystemExit(f"cannot listen on 127.0.0.1:{port}")
    threading.Thread(target=_wait, daemon=True).start()
    print(f"READY rtsp://127.0.0.1:{server.get_bound_port()}/door", flush=True)
    GLib.MainLoop().run()


def _wait() -> None:
    """End when the parent does."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--auth", choices=["basic", "digest"], default="digest")
    arguments = parser.parse_args()
    serve(arguments.port, arguments.user, arguments.password, arguments.auth)


if __name__ == "__main__":
    main()
