"""The whole test of a method of your own: `pytest examples/own_method`."""

from own_method import UsualTexture

from blemish.testing import check_detector


def test_it_keeps_the_contract() -> None:
    """Everything that blemish promises of a method, on made parts."""
    print(check_detector(UsualTexture))
