"""What is happening, in a Qt window of your own: a thread recognizes, a signal reports new results."""

import argparse
import signal
import sys

from PySide6 import QtCore, QtGui, QtWidgets

from streamrec import Latest, Recognizer, StreamrecError, World, WorldSettings, draw, open_source, results


class Watching(QtCore.QThread):
    arrived = QtCore.Signal()  # without the result: a slow window gets the newest, not a queue of old ones

    def __init__(self, source: str, model: str) -> None:
        super().__init__()
        self.asked, self.source, self.latest, self.error = (source, model), None, Latest(), ""

    def run(self) -> None:
        try:
            source, model = self.asked
            self.source = World(WorldSettings(live=True)) if source == "synthetic" else open_source(source)
            for result in results(self.source, Recognizer.load(model)):
                self.latest.write(result)
                self.arrived.emit()
                if self.isInterruptionRequested():
                    return
        except StreamrecError as error:
            self.error = f"qt: {error}"


class Picture(QtWidgets.QLabel):
    def show_newest(self) -> None:  # in the thread of the window: that is what a signal does
        if (result := self.sender().latest.get(timeout=0.0)) is not None:
            seen = draw(result.frame.image, result)
            form = (*seen.shape[1::-1], seen.strides[0], QtGui.QImage.Format.Format_BGR888)
            self.setPixmap(QtGui.QPixmap.fromImage(QtGui.QImage(seen.data, *form)))
            self.setWindowTitle(f"{result.prediction.label} {result.prediction.confidence:.0%}")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source", nargs="?", default="synthetic", help="a webcam's number, an address, a file")
parser.add_argument("--model", default="synthetic", help="a name or a file")
parser.add_argument("--seconds", type=float, default=1e6, help="close the window after so many")
options = parser.parse_args()
signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: Qt's loop does not listen to Python
app, watching = QtWidgets.QApplication([]), Watching(options.source, options.model)
picture = Picture("opening ...", visible=True)
watching.arrived.connect(picture.show_newest)
watching.finished.connect(app.quit)
QtCore.QTimer.singleShot(round(1000 * options.seconds), app.quit)
watching.start()
app.exec()  # until the window is closed, or the source ends
watching.requestInterruption()
if watching.source is not None:
    watching.source.interrupt()  # ends the wait for a silent camera
watching.wait()
print(f"the last: {picture.windowTitle()}")
sys.exit(watching.error or None)
