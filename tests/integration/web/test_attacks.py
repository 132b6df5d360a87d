"""The page under attack: each attack of tests/integration/web/attacks.py, on a server of its own."""

from __future__ import annotations

import pytest

from streamrec.web import protocols
from tests.helpers.paths import ROOT
from tests.integration.web.attacks import ATTACKS, Attack

DOCS = ROOT / "docs" / "web.md"


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.try_it.__name__ for attack in ATTACKS])
def test_the_attack_gets_what_it_has_to(open_page, tmp_path, monkeypatch, attack: Attack):
    assert (
        protocols._HEAD_SECONDS <= 10.0
    )  # well within the 25 s of the slow loris, which need not be waited for
    monkeypatch.setattr(protocols, "_HEAD_SECONDS", 2.0)
    file = tmp_path / "cameras.toml"
    file.write_text('[[camera]]\nname = "door"\naddress = "rtsp://me:s3cret-pw@192.168.1.20/live"\n')
    page = open_page("door", "<script>alert(1)</script>", guarded=True, file=file)
    page.actors["door"].show()
    assert attack.try_it(page) == attack.gets
    with page.client(headers={"Authorization": f"Bearer {page.token}"}) as client:
        assert client.get("/api/v1/cameras").status_code == 200  # it still works


def test_the_documentation_has_each_of_them():
    text = DOCS.read_text(encoding="utf-8")
    missing = [row for row in (f"| {a.what} | {a.gets} |" for a in ATTACKS) if row not in text]
    assert not missing, "\n".join(missing)
