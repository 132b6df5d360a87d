import codecs

import pytest

from streamrec.core.csv_tables import decimal, read_table
from streamrec.data.clip_recorder import ClipFolder
from streamrec.data.clips import COLUMNS, find_clips
from streamrec.errors import DataError

PLAIN = "clip,label,start,end,group\na.mp4,wave,0,2.5,anna\nb.mp4,Händewaschen,1,2,bert\n"
SEMICOLON = PLAIN.replace(".5", "|5").replace(",", ";").replace("|", ",")


def written(tmp_path, data: str | bytes):
    path = tmp_path / "clips.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


READ = {
    "commas": PLAIN,
    "semicolons and decimal commas": SEMICOLON,
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "capitals and spaces": PLAIN.replace("clip,label,start,end,group", " Clip , LABEL, Start,END , Group "),
    "quotes": '"clip","label","start","end","group"\n"a.mp4","wave","0","2.5","anna"\n'
    '"b.mp4","Händewaschen",1,2,bert\n',
    "UTF-8 with a mark": codecs.BOM_UTF8 + PLAIN.encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + PLAIN.replace(",", "\t").encode("utf-16-be"),
    "Windows": PLAIN.replace("\n", "\r\n"),
    "an old Mac": PLAIN.replace("\n", "\r"),
    "blank lines": "\n" + PLAIN.replace("\n", "\n\n") + "\n,,,,\n",
    "Excel's first line": "sep=;\r\n" + SEMICOLON.replace("\n", "\r\n"),
    "more columns": PLAIN.replace("group\n", "group,,note\n").replace("anna\n", "anna,,x\n"),
    "no line end": PLAIN.rstrip("\n"),
    "notes of several lines": PLAIN.replace("group\n", "group,note\n").replace(
        "anna\n", 'anna,"one\nand two"\n'
    ),
}


@pytest.mark.parametrize("way", READ)
def test_a_table_is_read_however_a_spreadsheet_wrote_it(tmp_path, way):
    path = written(tmp_path, READ[way])
    one, two = find_clips(path)
    assert (one.path.name, one.segments, one.group) == ("a.mp4", ((0.0, 2.5, "wave"),), "anna")
    assert (two.path.name, two.segments, two.group) == ("b.mp4", ((1.0, 2.0, "Händewaschen"),), "bert")


EXPLAINED = {
    "Latin-1": (PLAIN.encode("latin-1"), "line 3: its letters are not UTF-8 .* save it as CSV UTF-8"),
    "UTF-16 without its mark": (PLAIN.encode("utf-16-le"), "save it as CSV UTF-8"),
    "a workbook": (b"PK\x03\x04" + bytes(40), "a workbook of a spreadsheet"),
    "an old workbook": (b"\xd0\xcf\x11\xe0" + bytes(40), "a workbook of a spreadsheet"),
    "a column twice": ("clip,label,Label\na.mp4,x,y\n", "names the column label more than once"),
    "a cell too many": ("clip,label\na.mp4,x,y\n", "line 2: 3 cells, and the first line names 2 columns"),
    "nothing": ("", "needs a first line that names the columns"),
    "no head": ("a.mp4,wave\n", "needs a first line that names the columns"),
    "no number": (PLAIN.replace("2.5", "1.234,5"), "line 2"),
    "an open quote in the middle": (
        'clip,label\na.mp4,"wave\nb.mp4,clap\nc.mp4,clap\nd.mp4,wave\n',
        'the row that ends at line 5: its label goes over several lines; close its "quote"',
    ),
    "an open quote in a note": (
        'clip,label,note\na.mp4,wave,"mine\nb.mp4,clap,yours\nc.mp4,clap,ours\n',
        "the row that ends at line 4: its note goes over several lines",
    ),
    "an open quote": ('clip,label\n"a.mp4,wave\n', "clips.csv"),
}


@pytest.mark.parametrize("way", EXPLAINED)
def test_what_cannot_be_read_is_explained(tmp_path, way):
    data, words = EXPLAINED[way]
    with pytest.raises(DataError, match=words):
        find_clips(written(tmp_path, data))


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    path = written(tmp_path, 'clip,label\n\n"a\nb.mp4",x\n\nc.mp4,y\n')
    assert [line for line, _ in read_table(path, COLUMNS)[1]] == [4, 6]
    path = written(tmp_path, "sep=;\nclip;label\na.mp4;\n")
    with pytest.raises(DataError, match="line 3: clip and label"):
        find_clips(path)


def test_segments_in_one_cell_may_have_decimal_commas(tmp_path):
    path = written(tmp_path, 'clip;segments\na.mp4;"Wave:0-2,5; Clap:3,5-4"\n')
    assert find_clips(path)[0].segments == ((0.0, 2.5, "Wave"), (3.5, 4.0, "Clap"))
    with pytest.raises(ValueError):
        decimal("1,2,3")


def test_a_clip_is_found_by_the_path_in_a_table_of_windows(tmp_path):
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave" / "a.mp4").write_bytes(b"x")
    found = find_clips(written(tmp_path, "clip,label\nwave\\a.mp4,wave\nclap\\b.mp4,clap\n"))
    assert found[0].path == tmp_path / "wave" / "a.mp4"


def test_a_recording_goes_on_with_a_table_that_a_spreadsheet_saved(tmp_path):
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave" / "me-1-01.mp4").write_bytes(b"x")
    (tmp_path / "index.csv").write_bytes(
        "Clip;Label;Group;Note\nwave/me-1-01.mp4;wave;me-1;gut\n".encode("utf-16")
    )
    folder = ClipFolder(tmp_path)
    assert folder.counts() == {"wave": 1}
    folder.add(tmp_path / "wave" / "me-1-02.mp4", "wave", "me-1")
    assert (tmp_path / "index.csv").read_text(encoding="utf-8").splitlines() == [
        "clip,label,group,note",
        "wave/me-1-01.mp4,wave,me-1,gut",
        "wave/me-1-02.mp4,wave,me-1,",
    ]
