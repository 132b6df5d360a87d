"""The page whose cameras a test moves by hand."""

from tests.helpers.fake_fleet import open_fleet  # noqa: F401
from tests.helpers.pages import open_page, ways_in  # noqa: F401
