"""An app with a loop of its own: it hands each picture to a StreamRecognizer and draws the answer itself."""

import argparse
import sys

import cv2

from streamrec import Recognizer, State, StreamrecError, StreamRecognizer, World, WorldSettings


def pictures(video: str):
    """The app's own reader: pictures and their seconds, by plain OpenCV."""
    if video == "synthetic":
        for frame in World(WorldSettings(seconds=10.0, action_seconds=(2.0, 4.0), seed=7)):
            yield frame.image, frame.timestamp
        return
    reader = cv2.VideoCapture(video)
    if not reader.isOpened():
        sys.exit(f"embed: {video} is not a video that can be read")
    while (read := reader.read())[0]:
        yield read[1], reader.get(cv2.CAP_PROP_POS_MSEC) / 1000
    reader.release()


def moved(recognize: StreamRecognizer) -> StreamRecognizer:
    """The same stream in another worker: what it remembers travels as bytes, by file, database or network."""
    data = recognize.state.to_bytes()
    print(f"moved the stream to another worker in {len(data)} bytes", file=sys.stderr)
    other = StreamRecognizer(recognize.recognizer)
    other.state = State.from_bytes(data)
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", default="synthetic", help="a video file, or synthetic")
    parser.add_argument("--model", default="synthetic", help="a shipped model's name, or a file")
    parser.add_argument("--save", default="embed.avi", help="the video to write, .avi")
    parser.add_argument("--move-at", type=float, default=float("inf"), help="second to change the worker")
    options = parser.parse_args()
    recognize, writer, said = StreamRecognizer(Recognizer.load(options.model)), None, ""
    for image, timestamp in pictures(options.video):
        if timestamp >= options.move_at:
            recognize, options.move_at = moved(recognize), float("inf")
        prediction = recognize(image, timestamp)
        if prediction.label != said:
            said = prediction.label
            print(f"{timestamp:6.2f} s  {said} {prediction.confidence:.4f}")
        if writer is None:
            writer = cv2.VideoWriter(options.save, cv2.VideoWriter.fourcc(*"MJPG"), 30.0, image.shape[1::-1])
        cv2.putText(image, said, (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 220, 255), 2)
        writer.write(image)


if __name__ == "__main__":
    try:
        main()
    except StreamrecError as error:
        sys.exit(f"embed: {error}")
