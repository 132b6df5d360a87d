import pytest

from streamrec.core.redact import redact_address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        ("rtsp://admin:p@ss@10.0.0.7:554/live", "rtsp://***@10.0.0.7:554/live"),
        ("rtsp://admin:p/a?s@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        ("http://cam/video?user=me&pwd=hunter2&ch=1", "http://cam/video?user=***&pwd=***&ch=1"),
        ("rtsp://10.0.0.7/live", "rtsp://10.0.0.7/live"),
        ("clips/a@b.mp4", "clips/a@b.mp4"),
        ("admin:hunter2@10.0.0.7/live", "***@10.0.0.7/live"),
        ("rtsp:/admin:hunter2@10.0.0.7/live", "rtsp:/***@10.0.0.7/live"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1", "rtsp://cam/user=***_password=***_channel=1"),
        ("http://cam/shot?u=admin&p=hunter2", "http://cam/shot?u=***&p=***"),
        ("http://cam/shot#token=hunter2", "http://cam/shot#token=***"),
        ("http://cam/shot?channel=1&speed=hunter2", "http://cam/shot?channel=1&speed=***"),
    ],
)
def test_a_password_is_never_part_of_a_shown_address(address, shown):
    assert redact_address(address) == shown
    assert "hunter2" not in redact_address(address)
