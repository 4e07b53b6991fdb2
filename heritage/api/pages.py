"""The web pages: one document whose scripts show lineage, drift, repairs, labelling and audit (docs/pages.md).

It holds no data and no script of its own, so it is the same for everybody; what it shows comes from the JSON routes.
"""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

# by whichever of these names it is opened; the scripts show that page
PAGES = ("lineage", "drift", "repairs", "labels", "audit")

router = APIRouter(include_in_schema=False)


def shell() -> HTMLResponse:
    """The document; browsers ask again each time, so that an upgrade is seen at once."""
    text = (files("heritage.api") / "static" / "index.html").read_text(encoding="utf-8")
    return HTMLResponse(text, headers={"Cache-Control": "no-cache"})


for _path in ("/", *(f"/{name}" for name in PAGES)):
    router.add_api_route(_path, shell, methods=["GET"], response_class=HTMLResponse)
