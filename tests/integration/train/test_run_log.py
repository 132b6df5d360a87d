"""What a run was made with is written down, the commit too."""

import json

from streamrec.train.run_log import write_config


def test_the_config_holds_what_it_was_made_with(tmp_path):
    write_config(tmp_path, settings={"steps": 3})
    plain = json.loads((tmp_path / "config.json").read_text())
    assert plain["settings"] == {"steps": 3}
    assert {"streamrec", "torch", "python"} <= set(plain["versions"])
    assert "commit" in plain
