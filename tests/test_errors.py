import pytest

from streamrec.errors import MissingExtra, StreamrecError, need, without_password


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
        ("http://cam/shot?channel=1&speed=2", "http://cam/shot?channel=1&speed=2"),
    ],
)
def test_a_password_is_never_part_of_a_shown_address(address, shown):
    assert without_password(address) == shown
    assert "hunter2" not in without_password(address)


def test_a_missing_package_is_named_with_the_extra_that_brings_it():
    with pytest.raises(MissingExtra, match=r"pip install 'streamrec\[mqtt\]'"):
        need("no_such_package_at_all", extra="mqtt")


def test_all_errors_have_one_root():
    import streamrec.errors as errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert len(kinds) >= 8
    assert all(issubclass(kind, StreamrecError) for kind in kinds)
