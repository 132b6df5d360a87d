"""Small models are learned and measured with one thread."""

from tests.helpers.threads import one_thread  # noqa: F401
