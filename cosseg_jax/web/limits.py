"""How much the page's server takes from its users."""

import dataclasses

MEGA = 1_000_000


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one session, and all of them together, may take.

    photos: in a session.
    file_bytes: of one photograph's file.
    session_bytes: of all files of a session.
    pixels: of one photograph.
    sessions: at a time; when all places are taken, the one unused for longest gives way.
    spare_s: seconds for which a session has to be unused before it gives way; an open page uses it
        every minute.
    idle_s: seconds without use after which a session is dropped in any case.

    Raises ValueError for a limit that is not positive.
    """

    photos: int = 40
    file_bytes: int = 30 * MEGA
    session_bytes: int = 200 * MEGA
    pixels: int = 60 * MEGA
    sessions: int = 8
    spare_s: float = 150.0
    idle_s: float = 3600.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value <= 0:
                raise ValueError(f"the limit {name} is {value}; it takes a positive number")


def megabytes(count: int) -> str:
    """A number of bytes for a message: `30 MB`."""
    return f"{count / MEGA:.3g} MB"
