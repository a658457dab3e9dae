"""The page's HTML, with the server's limits and built-in examples."""

from pathlib import Path

import jinja2

from cosseg_jax.web.examples import EXAMPLE_GROUPS
from cosseg_jax.web.limits import MEGA, Limits, megabytes
from cosseg_jax.web.uploads import accepted_types

TEMPLATES = Path(__file__).parent / "templates"


def render_page(limits: Limits) -> str:
    """The HTML of the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        limits=limits,
        file_size=megabytes(limits.file_bytes),
        group_size=megabytes(limits.session_bytes),
        megapixels=f"{limits.pixels / MEGA:.3g}",
        minutes=f"{limits.idle_s / 60:.0f}",
        accept=accepted_types(),
        examples=EXAMPLE_GROUPS,
    )
