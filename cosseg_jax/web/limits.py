"""How much the page's server takes from its users."""

import dataclasses

from cosseg_jax.errors import UserError

MEGA = 1_000_000


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one session, and all sessions together, may take.

    photos: images in a session.
    file_bytes: size of one image file.
    session_bytes: size of all files of a session.
    pixels: height times width of one image.
    server_bytes: memory for what all sessions hold and are sending.
    sessions: number of sessions at a time.
    classes: of the concepts that are applied at once.
    concept_bytes: size of all concepts that are applied at once.
    decode_s: seconds of processor time that decoding one image may take.
    upload_s: seconds that one upload may take.
    left_s: seconds after which a session is dropped whose page was closed and did not come back.
    spare_s: seconds without use after which a session gives way to others when there is no room
        left; an open page uses its session every minute.
    idle_s: seconds without use after which a session is dropped in any case.

    Raises UserError for a limit that is not positive.
    """

    photos: int = 40
    file_bytes: int = 30 * MEGA
    session_bytes: int = 200 * MEGA
    pixels: int = 60 * MEGA
    server_bytes: int = 2000 * MEGA
    sessions: int = 200
    classes: int = 20
    concept_bytes: int = 8 * MEGA
    decode_s: float = 20.0
    upload_s: float = 600.0
    left_s: float = 15.0
    spare_s: float = 150.0
    idle_s: float = 3600.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value < float("inf"):
                raise UserError(f"the limit {name} is {value}; it takes a positive number")


def megabytes(count: int) -> str:
    """A number of bytes for a message: `30 MB`."""
    return f"{count / MEGA:.3g} MB"
