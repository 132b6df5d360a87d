"""Lines and rules in cameras.toml: what is read, and what is refused in a sentence."""

from __future__ import annotations

import re
import tomllib
from datetime import time

import pytest

from streamrec.core.zones import Line
from streamrec.errors import SettingsError
from streamrec.events.rules import Kind, Pattern
from streamrec.settings.cameras_file import WatchFile, read_watchfile
from streamrec.settings.rules_table import RULE_KEYS, sentence, table_of
from tests.helpers.paths import ROOT

CAMERAS = """
[[camera]]
name = "bath"
address = "0"
[[camera.zone]]
name = "floor"
corners = [[0, 0], [1, 0], [1, 1]]
mask = false
[[camera]]
name = "hall"
address = "1"
"""
RULES = """
[[rule]]
name = "lies too long"
when = {label = "fall", camera = "bath", zone = "floor"}
lasts = "30 s"
[[rule]]
name = "nobody moved"
when = {camera = "bath"}
since = "08:00"
by = 10:00:00
timezone = "Europe/Berlin"
[[rule]]
name = "silence"
when = {}
absent = "2 h"
[[rule]]
name = "fell and left"
when = "fall"
then = {label = ["door out", "wave"], camera = "hall"}
within = 90
[[rule]]
name = "often"
when = "fall"
count = 3
within = "1 h"
[[rule]]
name = "not now"
when = "fall"
lasts = 5
enabled = false
"""


def read(tmp_path, text: str) -> WatchFile:
    return read_watchfile(tmp_path / "cameras.toml", {}, text=text)


class TestRules:
    def test_each_kind_is_read(self, tmp_path):
        rules = read(tmp_path, CAMERAS + RULES).rules
        assert [rule.kind for rule in rules] == [
            Kind.lasts,
            Kind.daily,
            Kind.absent,
            Kind.follows,
            Kind.often,
        ]
        lies, moved, silence, left, often = rules
        assert lies.when == Pattern(labels=("fall",), cameras=("bath",), zones=("floor",))
        assert (moved.since, moved.by, moved.timezone) == (time(8), time(10), "Europe/Berlin")
        assert (silence.when, silence.absent) == (Pattern(), 7200.0)
        assert left.then == Pattern(labels=("door out", "wave"), cameras=("hall",)) and left.within == 90.0
        assert (often.count, often.within) == (3, 3600.0)

    def test_they_are_put_in_words_and_written_as_they_were_read(self, tmp_path):
        file = read(tmp_path, CAMERAS + RULES)
        assert [sentence(rule) for rule in file.rules] == [
            "fall in floor on bath lasts longer than 30 s",
            "no action on bath from 08:00 to 10:00 (Europe/Berlin)",
            "no action for 2 h",
            "fall, then door out or wave on hall within 90 s",
            "3 times fall within 1 h",
        ]
        given = tomllib.loads(RULES)["rule"]
        written = [table_of(rule) for rule in file.rules]
        assert written[0] == given[0] and written[2] == given[2] and written[4] == given[4]

    @pytest.mark.parametrize(
        ("rule", "why"),
        [
            ("when = 'fall'\nlasts = 5", r"rule 1: name: it is missing; write one of at most 60 letters"),
            ("name = 'a'\nlasts = 5", r"rule 'a': when: it is missing; write which events"),
            (
                "name = 'a'\nwhen = 'fall'",
                r"rule 'a': it says which events, and not what of them; give lasts",
            ),
            ("name = 'a'\nwhen = 'fall'\nlasts = 'long'", r"lasts: give a time like \"30 s\".*not 'long'"),
            ("name = 'a'\nwhen = 'fall'\nlasts = '8 d'", "lasts: give a time like .* up to 7 days"),
            ("name = 'a'\nwhen = 'fall'\nlasts = -1", "lasts: give a time like"),
            ("name = 'a'\nwhen = 'fall'\nlast = 5", "last: there is no such key; did you mean lasts?"),
            ("name = 'a'\nwhen = {lable = 'fall'}\nlasts = 5", "when: lable: .*did you mean label?"),
            ("name = 'a'\nwhen = 5\nlasts = 5", r"when: give something like \"fall\""),
            ("name = 'a'\nwhen = {camera = 'bat'}\nlasts = 5", "when: camera: bat: .*did you mean bath?"),
            ("name = 'a'\nwhen = {zone = 'flor'}\nlasts = 5", "when: zone: flor: .*did you mean floor?"),
            (
                "name = 'a'\nwhen = {camera = 'hall', zone = 'floor'}\nlasts = 5",
                "no such zone of the cameras",
            ),
            ("name = 'a'\nwhen = 'fall'\nsince = '8 o clock'\nby = '9:00'", "since: give a time of day like"),
            ("name = 'a'\nwhen = 'fall'\nsince = '25:00'\nby = '9:00'", "since: give a time of day like"),
            ("name = 'a'\nwhen = 'fall'\ncount = 1\nwithin = 5", "count: give a whole number from 2"),
            ("name = 'a'\nwhen = 'fall'\nwithin = 5", "within: .* add then, also or count"),
            (
                "name = 'a'\nwhen = 'fall'\nsince = '8:00'\nby = '9:00'\ntimezone = 'Mars'",
                "timezone: give a name like",
            ),
            ("name = 'a'\nwhen = 'fall'\nlasts = 5\nenabled = 'no'", "enabled: write true or false"),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_one_sentence(self, tmp_path, rule, why):
        with pytest.raises(SettingsError, match=f"^cameras.toml: .*{why}") as error:
            read(tmp_path, f"{CAMERAS}[[rule]]\n{rule}\n")
        assert "\n" not in str(error.value) and "::" not in str(error.value)

    def test_two_of_one_name_are_refused(self, tmp_path):
        rule = "[[rule]]\nname = 'a'\nwhen = 'fall'\nlasts = 5\n"
        with pytest.raises(SettingsError, match="rule 'a': name: it stands there twice"):
            read(tmp_path, CAMERAS + rule + rule)

    def test_the_guides_rules_are_right(self, tmp_path):
        guide = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
        (example,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
        more = "".join(f'[[camera]]\nname = "{name}"\naddress = "2"\n' for name in ("yard", "entrance"))
        rules = read(tmp_path, CAMERAS + more + example).rules
        assert sorted(rule.kind for rule in rules) == sorted(Kind)
        for key in set(RULE_KEYS) - {"name"}:
            assert f"`{key}" in guide, key


LINE = """
[[camera]]
name = "hall"
address = "1"
[[camera.line]]
name = "door"
ends = [[0.4, 0.9], [0.6, 0.9]]
"""

ZONE = "[[camera.zone]]\nname = 'x'\ncorners = [[0, 0], [1, 0], [1, 1]]\n"


class TestLines:
    def test_they_are_read(self, tmp_path):
        (camera,) = read(tmp_path, LINE).cameras
        assert camera.lines == (Line("door", ((0.4, 0.9), (0.6, 0.9)), "in", "out"),)
        (camera,) = read(tmp_path, LINE + "forward = 'come'\nback = ''").cameras
        assert camera.place_labels == ("door come",)
        (camera,) = read(tmp_path, LINE + ZONE + "report = ['people', 'motion']").cameras
        assert camera.place_labels == ("x occupied", "x moving", "door in", "door out")

    @pytest.mark.parametrize(
        ("more", "why"),
        [
            ("forward = ''\nback = ''", "neither direction counts"),
            ("forward = 'out'", "the same word as forward"),
            ("forward = 5", 'give a word like "in"'),
            ("[[camera.line]]\nname = 'x'\nends = [[0.4, 0.9]]", "give x and y of its two ends"),
            ("[[camera.line]]\nname = 'x'\nends = [[0.4, 0.9], [0.4, 0.9]]", "hardly apart"),
            ("[[camera.line]]\nname = 'door'\nends = [[0.4, 0.9], [0.5, 0.9]]", "two of this name"),
            ("[[camera.line]]\nends = [[0.4, 0.9], [0.5, 0.9]]", "line 2: name: give a name"),
            (ZONE + "mask = false\nexclude = true", "mask"),
            (ZONE + "report = ['cats']", "report: give what is an event"),
            (ZONE + "report = [[]]", "report: give what is an event"),
            (ZONE + "report = ['people', 'people']", "report: give what is an event"),
            (ZONE + "exclude = true\nreport = ['people']", "report: what is left out is not seen"),
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_wrong_is_one_sentence(self, tmp_path, more, why):
        with pytest.raises(SettingsError, match=f"^cameras.toml: camera 'hall': .*{why}"):
            read(tmp_path, LINE + more)
