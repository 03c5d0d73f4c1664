"""What a page says, and what its forms hold."""

import html
import re
from typing import Any


def text(answer: Any) -> str:
    """What a page says, without its markup."""
    plain = html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode()))
    return re.sub(r"\s+", " ", plain.replace("\N{NO-BREAK SPACE}", " "))


def form_of(answer: Any) -> dict[str, str]:
    """The inputs of the page's form, as a browser would send them."""
    content = answer.content.decode()
    body = content[content.rindex('<form method="post"') :]
    found = dict(re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', body))
    found |= dict(re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>([^<]*)<', body))
    found |= dict.fromkeys(re.findall(r'<input type="checkbox" name="([^"]+)" checked', body), "on")
    return {name: html.unescape(value) for name, value in found.items() if name != "csrfmiddlewaretoken"}


def error_at(answer: Any, name: str) -> str:
    """The message at an input."""
    found = re.search(rf'id="e-{name}">(.*?)</p>', answer.content.decode(), re.S)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])) if found else ""
