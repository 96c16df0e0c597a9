"""kill -9 at named steps of a change: the app serves, and the next command puts everything in order.

Every point comes once and every way in three times; `python -P -m faults.kill_points` tries them all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults import kill_points
from faults.kill_points import ABOVE, ALL, ITSELF, WAYS, Case, Site, perform

CHOSEN = {
    "git:from-image": [("commit written", ITSELF), ("image built", ITSELF), ("ref accepted", ITSELF)],
    "git:load-image": [("image loaded", ITSELF), ("manifest read", ITSELF), ("ref accepted", ITSELF)],
    "git push": [("handed to git", ITSELF), ("router switched", ALL), ("transaction committed", ABOVE)],
    "git:from-archive": [("archive read", ITSELF), ("build running", ITSELF), ("container created", ITSELF)],
    "config:set": [("release row written", ITSELF), ("worker.1 started", ITSELF), ("old container stopped", ITSELF)],
    "ps:scale": [("lock taken", ITSELF), ("web.3 started", ITSELF), ("router's mark set", ITSELF)],
    "ps:restart": [("web.2 started", ITSELF), ("router switched", ITSELF), ("transaction committed", ITSELF)],
    "releases:rollback": [("web.1 started", ITSELF), ("old worker stopped", ITSELF), ("router switched", ITSELF)],
    # Last: it sets an image, which counts from then on.
    "deploy": [("release phase running", ITSELF), ("health passed", ITSELF), ("agent told", ITSELF)],
}
EVERY = {str(case): case for way in WAYS for case in kill_points.cases(way)}
CASES = [EVERY[f"{way} | {point} | {victims}"] for way, chosen in CHOSEN.items() for point, victims in chosen]


@pytest.fixture(scope="module")
def site(image_names: dict[str, str]) -> Iterator[Site]:
    with kill_points.site() as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_killed_change(site: Site, case: Case) -> None:
    perform(site, case)


def test_every_point_is_tried() -> None:
    assert {case.point.name for case in CASES} == {point.name for way in WAYS for point in way.points}
    assert {case.way.name for case in CASES} == {way.name for way in WAYS}
