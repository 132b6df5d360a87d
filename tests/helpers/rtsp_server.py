"""A camera for tests: serves a video file or a test pattern by RTSP on the loopback address.

Run by the system's own Python, which has GStreamer's bindings: ``/usr/bin/python3 rtsp_server.py --stamp``.
It prints ``READY rtsp://127.0.0.1:PORT/live`` when it listens, and ends when its standard input is closed.
The words ``still`` and ``moving`` on it make the picture stand still, stamp and all, and move again.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import random
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

# The stamp: 4 rows of 20 cells in the top left corner, each cell one bit, white for 1, the highest bit first.
CELL = 8  # px; even, so that the colour planes divide
COLUMNS, ROWS = 20, 4
NUMBER_BITS, CLOCK_BITS, CHECK_BITS = 24, 40, 16
BLACK, WHITE, GREY = 16, 235, 128  # luma in the video range; grey is also "no colour"

BLOCK = 16  # px: what a codec loses, it loses in blocks
STRIPE = 4  # px: how high the bench's stripes are
SHADES = (
    -18,
    6,
    -6,
    18,
)  # grey levels by which a block of theirs is lighter; the first two and the last take turns
KEEPS = 4  # pictures in which a block keeps its shade; of blocks side by side one changes in each

QUICK = "tune=zerolatency speed-preset=ultrafast key-int-max={key} bitrate={kbit}"
ENCODERS = {
    "h264": f"x264enc {QUICK} ! rtph264pay config-interval=1 pt=96",
    # As home-made servers do it: key frames come in slices, each with parameter sets before it.
    "h264 in slices": "x264enc tune=zerolatency speed-preset=ultrafast threads=4 sliced-threads=true"
    " key-int-max={key} bitrate={kbit} ! rtph264pay config-interval=-1 pt=96",
    "h265": f"x265enc {QUICK} ! rtph265pay config-interval=1 pt=96",
    "mjpeg": "jpegenc quality=85 ! rtpjpegpay pt=26",
}
# A beep of 0.3 s each second, beside pictures.
SOUND_TRACK = (
    "audiotestsrc is-live=true wave=ticks freq=500 sine-periods-per-tick=150 volume=0.5"
    " ! audioconvert ! mulawenc ! rtppcmupay pt=0"
)
SOUND_ONLY = "audiotestsrc is-live=true volume=0.1 ! audioconvert ! alawenc ! rtppcmapay pt=8"


def stamp_rows(number: int, clock_ms: int) -> list[str]:
    """The bits of a stamp, one text of "0" and "1" for each row of cells."""
    body = (number % (1 << NUMBER_BITS)) << CLOCK_BITS | clock_ms % (1 << CLOCK_BITS)
    bits = f"{body << CHECK_BITS | _check(body):0{COLUMNS * ROWS}b}"
    return [bits[row * COLUMNS : (row + 1) * COLUMNS] for row in range(ROWS)]


def read_stamp(image: Any) -> tuple[int, int] | None:
    """(H, W, 3) or (H, W) uint8 -> (frame number, server's ``time.monotonic()`` in ms); None: no stamp."""
    height, width = CELL * ROWS, CELL * COLUMNS
    if image.shape[0] < height or image.shape[1] < width:
        return None
    grey = image[:height, :width].reshape(height, width, -1).mean(axis=2)
    # The rim of a cell is blurred by the codec: look at its middle only.
    cells = grey.reshape(ROWS, CELL, COLUMNS, CELL)[:, 2:-2, :, 2:-2].mean(axis=(1, 3))
    value = int("".join("1" if cell > 127 else "0" for cell in cells.ravel()), 2)
    body, check = value >> CHECK_BITS, value % (1 << CHECK_BITS)
    if check != _check(body):
        return None
    return body >> CLOCK_BITS, body % (1 << CLOCK_BITS)


def _check(body: int) -> int:
    return zlib.crc32(body.to_bytes(8, "big")) >> 16


def keys_every(fps: float) -> int:
    """Of so many pictures one is a key frame: a slow camera, too, sends a whole picture at least once a second."""
    return max(1, min(15, round(fps)))


@dataclass(frozen=True)
class Video:
    """What is served: size in px, pictures a second, and the file (None: the test pattern)."""

    width: int
    height: int
    fps: Fraction
    path: str | None = None
    loops: int = 0  # how often the file is played, or a second of the pattern; 0: for ever
    pattern: str = "bar"  # or "stripes"
    vary: bool = False  # the rate swings between a third of fps and fps, and back, in 4 s

    def pictures(self) -> Generator[bytearray, None, None]:
        """The pictures as I420, without waiting in between."""
        if self.path is not None:
            return self._decoded(self.path)
        return self._stripes() if self.pattern == "stripes" else self._bar()

    def wait(self, second: float) -> float:
        """Seconds from the picture at this second to the next."""
        slower = 2.0 - math.cos(math.tau * second / 4.0) if self.vary else 1.0
        return slower / float(self.fps)

    def _decoded(self, path: str) -> Generator[bytearray, None, None]:
        command = ["ffmpeg", "-nostdin", "-v", "fatal", "-threads", "1"]
        command += ["-stream_loop", str(self.loops - 1), "-i", path, "-an"]
        command += ["-vf", f"scale={self.width}:{self.height},fps={self.fps}"]
        command += ["-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
        size = self.width * self.height * 3 // 2
        # A pipe holds less than a picture: ffmpeg waits for us, and ends when we are gone.
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as ffmpeg:
            assert ffmpeg.stdout is not None
            try:
                while len(picture := bytearray(ffmpeg.stdout.read(size))) == size:
                    yield picture
            finally:
                ffmpeg.kill()

    def _stripes(self) -> Generator[bytearray, None, None]:
        """Short stripes of random grey, to be shaded: hard to guess from their neighbours, and they stand still.

        So an encoder predicts them from the picture before, and damage stays until the next key frame.
        """
        width, height = self.width, self.height
        chance, grey = random.Random(7), 128.0
        stripes = bytearray()
        while len(stripes) < width:
            grey = (grey + chance.uniform(30.0, 90.0) - 70.0) % 140.0 + 70.0
            stripes += bytes([int(grey)]) * chance.randint(6, 18)
        luma = bytearray()
        while len(luma) < width * height:
            at = chance.randrange(width)
            luma += bytes(stripes[at:width] + stripes[:at]) * STRIPE
        picture = bytes(luma[: width * height]) + bytes([GREY]) * (width * height // 2)
        last = self.loops * max(1, round(self.fps)) if self.loops else None
        for _ in itertools.islice(itertools.count(), last):
            yield bytearray(picture)

    def _bar(self) -> Generator[bytearray, None, None]:
        """A bar that crosses a grey picture once in two seconds."""
        width, height, bar = self.width, self.height, self.width // 8
        period = max(1, round(self.fps * 2))
        colour = bytes([GREY]) * (width * height // 2)
        last = self.loops * max(1, round(self.fps)) if self.loops else None
        for number in itertools.islice(itertools.count(), last):
            line = bytearray([90]) * width
            at = (width - bar) * (number % period) // period
            line[at : at + bar] = bytes([200]) * bar
            yield bytearray(line * height + colour)


def stamp(picture: bytearray, width: int, height: int, number: int, clock_ms: int) -> None:
    """Write the stamp into an I420 picture."""
    cells = {"0": bytes([BLACK]) * CELL, "1": bytes([WHITE]) * CELL}
    for row, bits in enumerate(stamp_rows(number, clock_ms)):
        line = b"".join(cells[bit] for bit in bits)
        for y in range(row * CELL, (row + 1) * CELL):
            picture[y * width : y * width + len(line)] = line
    plain = bytes([GREY]) * (CELL * COLUMNS // 2)
    for plane in (width * height, width * height * 5 // 4):
        for y in range(CELL * ROWS // 2):
            start = plane + y * width // 2
            picture[start : start + len(plain)] = plain


_SHADED = tuple(bytes(max(0, min(255, grey + by)) for grey in range(256)) for by in SHADES)


def shade(picture: bytearray, width: int, height: int, number: int) -> None:
    """Make the blocks of an I420 picture of stripes, below the stamp, darker and lighter, as its number says.

    Neither the picture before nor the blocks beside it tell how: what did not arrive cannot be filled in.
    """
    rows, columns = (height - CELL * ROWS) // BLOCK, -(-width // BLOCK)
    turns = [(number + phase) // KEEPS for phase in range(KEEPS)]
    chosen = [hashlib.shake_128(turn.to_bytes(8, "big")).digest(rows * columns) for turn in turns]
    for row, y in itertools.product(range(rows), range(0, BLOCK, STRIPE)):
        at = (CELL * ROWS + row * BLOCK + y) * width
        shaded = []
        for column in range(columns):
            phase = (row + column) % KEEPS
            which = 2 * (turns[phase] % 2) + chosen[phase][row * columns + column] % 2
            x = at + column * BLOCK
            shaded.append(picture[x : min(x + BLOCK, at + width)].translate(_SHADED[which]))
        picture[at : at + STRIPE * width] = b"".join(shaded) * STRIPE


class Feeder:
    """Pushes the pictures into a pipeline at the video's own pace; one thread for each pipeline."""

    def __init__(self, video: Video, *, stamped: bool) -> None:
        self.video = video
        self.stamped = stamped
        self.still = False  # the last picture comes again and again
        self._numbers = itertools.count()  # goes on when the last client leaves and the next one comes

    def attach(self, media: Any) -> None:
        source = media.get_element().get_by_name("pictures")
        gone = threading.Event()
        media.connect("unprepared", lambda _: gone.set())
        threading.Thread(target=self._feed, args=(source, gone), daemon=True).start()

    def _feed(self, source: Any, gone: threading.Event) -> None:
        from gi.repository import Gst

        # A picture pushed before the pipeline's clock runs may get a wild time, and the encoder waits for it.
        while source.get_state(0)[1] != Gst.State.PLAYING:
            if gone.wait(0.005):
                return
        video = self.video
        due = begun = time.monotonic()
        last: bytearray | None = None
        with closing(video.pictures()) as pictures:
            for picture in pictures:
                now = time.monotonic()
                if now > due + 0.5:  # the process was stopped for a while: do not run to catch up
                    due = now
                if gone.wait(max(0.0, due - now)):
                    return
                due += video.wait(due - begun)
                if self.still and last is not None:
                    picture = last
                elif self.stamped:
                    clock_ms, number = int(time.monotonic() * 1000), next(self._numbers)
                    if video.pattern == "stripes" and video.path is None:
                        shade(picture, video.width, video.height, number)
                    stamp(picture, video.width, video.height, number, clock_ms)
                last = picture
                buffer = Gst.Buffer.new_wrapped(bytes(picture))
                buffer.duration = int(Gst.SECOND / video.fps)
                # Refused while the pipeline is not ready yet: the next picture will be taken.
                source.emit("push-buffer", buffer)
        source.emit("end-of-stream")


def serve(
    video: Video,
    *,
    port: int,
    codec: str,
    stamped: bool,
    auth: str,
    user: str,
    password: str,
    transport: str,
    kbit: int,
    tls: str,
    keys: int = 0,
    sound: bool = False,
) -> None:
    """Listen and serve until the process ends. ``codec`` "none": sound without pictures."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))

    factory = GstRtspServer.RTSPMediaFactory()
    rate = f"{video.fps.numerator}/{video.fps.denominator}"
    caps = f"video/x-raw,format=I420,width={video.width},height={video.height},framerate={rate}"
    caps += ",pixel-aspect-ratio=1/1,interlace-mode=progressive"
    # A slow encoder loses pictures, as a camera does, and does not fall behind.
    source = f"appsrc name=pictures caps={caps} is-live=true do-timestamp=true format=time"
    source += " max-buffers=15 leaky-type=downstream"
    feeder = Feeder(video, stamped=stamped)
    factories = {"/live": factory}
    if codec == "none":
        factory.set_launch(f"( {SOUND_ONLY} name=pay0 )")
    else:
        encoder = ENCODERS[codec].format(key=keys or keys_every(float(video.fps)), kbit=kbit)
        if sound:
            factories["/mute"] = GstRtspServer.RTSPMediaFactory()
        for path, one in factories.items():
            track = f" {SOUND_TRACK} name=pay1" if sound and path == "/live" else ""
            one.set_launch(f"( {source} ! {encoder} name=pay0{track} )")
            one.connect("media-configure", lambda _, media: feeder.attach(media))
    for one in factories.values():
        one.set_shared(not sound)  # as cameras do: a session each, with the tracks that it asks for
    lower = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
    threading.Thread(target=_obey, args=(feeder,), daemon=True).start()
    for path, one in factories.items():
        if transport in lower:
            one.set_protocols(lower[transport])
        server.get_mount_points().add_factory(path, one)

    access = GstRtspServer.RTSPAuth() if user or tls else None
    if tls:
        access.set_tls_certificate(Gio.TlsCertificate.new_from_file(tls))
    if user:
        allow(access, user, password, auth, [*factories.values()])
    if access is not None:
        server.set_auth(access)

    if server.attach(None) == 0:
        raise SystemExit(f"cannot listen on 127.0.0.1:{port}")
    print(f"READY {'rtsps' if tls else 'rtsp'}://127.0.0.1:{server.get_bound_port()}/live", flush=True)
    GLib.MainLoop().run()


def _video(arguments: argparse.Namespace) -> Video:
    width, height, fps = 640, 480, Fraction(25)
    if arguments.file:
        command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "json", arguments.file]
        command += ["-show_entries", "stream=width,height,avg_frame_rate"]
        stream = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["streams"][0]
        width, height, fps = stream["width"], stream["height"], Fraction(stream["avg_frame_rate"])
    if arguments.size:
        width, height = (int(side) for side in arguments.size.split("x"))
    if arguments.fps:
        fps = Fraction(arguments.fps).limit_denominator(1001)
    # A multiple of 8 needs no padding: the rows of a plane follow each other without a gap.
    width, height = width // 8 * 8, height // 8 * 8
    return Video(width, height, fps, arguments.file, arguments.loops, arguments.pattern, arguments.vary)


def allow(access: Any, user: str, password: str, auth: str, factories: list[Any]) -> None:
    """Let this user, and no other, use these media; ``auth``: "basic" or "digest"."""
    from gi.repository import GstRtsp, GstRtspServer

    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if auth == "basic":
        access.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        access.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        access.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        access.add_digest(user, password, token)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    for factory in factories:
        factory.set_permissions(permissions)


def _obey(feeder: Feeder) -> None:
    """Do what is said on standard input; its end is the parent's."""
    for word in sys.stdin:
        feeder.still = word.strip() == "still"
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", help="the video; none: a test pattern")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--codec", choices=[*ENCODERS, "none"], default="h264", help="none: sound only")
    parser.add_argument(
        "--sound", action="store_true", help="a sound track beside the pictures; /mute has none"
    )
    parser.add_argument("--transport", choices=["any", "tcp", "udp"], default="any")
    parser.add_argument("--kbit", type=int, default=2000, help="bits a second that H.264 and H.265 may take")
    parser.add_argument("--pattern", choices=["bar", "stripes"], default="bar")
    parser.add_argument(
        "--vary", action="store_true", help="a rate that swings between a third and the whole"
    )
    parser.add_argument("--fps", help="default: the file's own, or 25")
    parser.add_argument("--size", help="as 640x480; default: the file's own, or 640x480")
    parser.add_argument("--loops", type=int, default=0, help="end after so many plays (pattern: seconds)")
    parser.add_argument("--stamp", action="store_true", help="write frame number and time into the picture")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--tls", default="", metavar="PEM", help="key and certificate: serve rtsps alone")
    parser.add_argument("--keys", type=int, default=0, help="one picture in so many is a key frame")
    parser.add_argument("--auth", choices=["basic", "digest"], default="digest")
    arguments = parser.parse_args()
    serve(
        _video(arguments),
        port=arguments.port,
        codec=arguments.codec,
        stamped=arguments.stamp,
        auth=arguments.auth,
        user=arguments.user,
        password=arguments.password,
        transport=arguments.transport,
        kbit=arguments.kbit,
        tls=arguments.tls,
        keys=arguments.keys,
        sound=arguments.sound,
    )


if __name__ == "__main__":
    main()
