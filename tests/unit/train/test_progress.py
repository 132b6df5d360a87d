import threading

from streamrec.train.progress import log_every, log_while


def test_where_it_stands_is_said_again_and_again_until_it_is_over():
    said, enough = [], threading.Event()

    def say(text):
        said.append(text)
        if len(said) == 3:
            enough.set()

    with log_every(say, lambda: f"after {len(said)}", every=0.001):
        assert enough.wait(30.0)
    assert said[:3] == ["after 0", "after 1", "after 2"]
    count = len(said)
    assert not [t for t in threading.enumerate() if t.name == "progress"]
    assert len(said) == count


def test_a_step_that_takes_long_says_for_how_long():
    said, heard = [], threading.Event()
    with log_while("writing the model", lambda text: (said.append(text), heard.set()), every=0.001):
        assert heard.wait(30.0)
    assert said[0] == "writing the model: 0 s so far"


def test_what_is_quick_says_nothing():
    said = []
    with log_while("writing the model", said.append, every=60.0):
        pass
    assert said == []
