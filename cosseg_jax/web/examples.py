"""Groups to try the page with: built-in pictures, drawn when asked for."""

import functools
import io

from PIL import Image

from cosseg_jax.data.shapes import Shapes
from cosseg_jax.errors import UserError

SIZE = 320  # height and width of the pictures
PICTURES = 5
EXAMPLES = {  # category: what the pictures share, in words
    "star-cross": "a star with a cross",
    "triangle-bar": "a triangle with a bar",
    "disc-dot": "a disc with a dot",
}


@functools.lru_cache(maxsize=len(EXAMPLES))
def example(category: str) -> dict[str, bytes]:
    """PNG files by name, all of which show one object.

    Raises UserError for what is no key of EXAMPLES.
    """
    if category not in EXAMPLES:
        raise UserError(f"there is no example {category!r}; choose one of {', '.join(EXAMPLES)}")
    drawn = Shapes("unseen", size=SIZE)
    members = drawn.members[drawn.categories.index(category)][:PICTURES]
    return {
        f"{category} {number}.png": _png(drawn[int(member)].image)
        for number, member in enumerate(members, start=1)
    }


def _png(image) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="PNG")
    return encoded.getvalue()
