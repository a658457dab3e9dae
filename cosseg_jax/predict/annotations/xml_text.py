"""Names as XML can hold them."""

import re

NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(name: str) -> str:
    """The name with "_" for each character that XML cannot hold."""
    return NOT_IN_XML.sub("_", name)
