"""How much is tried: NUMLP_TORTURE is quick, change, nightly or release; change with NUMLP_TESTS=all, else quick."""

import os
from typing import NamedTuple

from sizes import ALL


class Size(NamedTuple):
    """Numbers of trials."""

    kills: int  # kill -9
    fresh: int  # of them in processes of their own
    sequences: int  # of four trainings, resumptions and deletions in one folder
    signals: int  # to processes


SIZE = {
    "quick": Size(6, 1, 40, 6),
    "change": Size(30, 1, 250, 6),
    "nightly": Size(300, 5, 5_000, 50),
    "release": Size(1_000, 20, 20_000, 200),
}[os.environ.get("NUMLP_TORTURE", "change" if ALL else "quick")]
