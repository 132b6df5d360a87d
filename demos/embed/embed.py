"""An app with a loop of its own: it gives each image to a StreamRecognizer and draws the result itself."""

import argparse
import sys

import cv2

from streamrec import Recognizer, State, StreamrecError, StreamRecognizer, World, WorldSettings


def pictures(video: str):
    """The app's own reader: images and their seconds, by plain OpenCV."""
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


def moved(recognizer: StreamRecognizer) -> StreamRecognizer:
    """The same stream in another worker: its state travels as bytes, by file, database or network."""
    data = recognizer.state.to_bytes()
    print(f"moved the stream to another worker in {len(data)} bytes", file=sys.stderr)
    other = StreamRecognizer(recognizer.recognizer)
    other.state = State.from_bytes(data)
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", default="synthetic", help="a video file, or synthetic")
    parser.add_argument("--model", default="synthetic", help="a shipped model's name, or a file")
    parser.add_argument("--save", default="embed.avi", help="the video to write, .avi")
    parser.add_argument("--move-at", type=float, default=float("inf"), help="second to change the worker")
    options = parser.parse_args()
    recognizer, writer, label = StreamRecognizer(Recognizer.load(options.model)), None, ""
    for image, timestamp in pictures(options.video):
        if timestamp >= options.move_at:
            recognizer, options.move_at = moved(recognizer), float("inf")
        prediction = recognizer.recognize(image, timestamp).prediction
        if prediction.label != label:
            label = prediction.label
            print(f"{timestamp:6.2f} s  {label} {prediction.confidence:.4f}")
        if writer is None:
            writer = cv2.VideoWriter(options.save, cv2.VideoWriter.fourcc(*"MJPG"), 30.0, image.shape[1::-1])
        cv2.putText(image, label, (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 220, 255), 2)
        writer.write(image)


if __name__ == "__main__":
    try:
        main()
    except StreamrecError as error:
        sys.exit(f"embed: {error}")
