import pytest

from streamrec.errors import MissingExtra, StreamrecError, need


def test_a_missing_package_is_named_with_the_extra_that_brings_it():
    with pytest.raises(MissingExtra, match=r"pip install 'streamrec\[mqtt\]'"):
        need("no_such_package_at_all", extra="mqtt")


def test_all_errors_have_one_root():
    import streamrec.errors as errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert len(kinds) >= 8
    assert all(issubclass(kind, StreamrecError) for kind in kinds)
