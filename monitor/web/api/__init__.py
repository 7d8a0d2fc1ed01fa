"""The API, one module a subject: what the pages do, as JSON. Its answers are the documents of docs/json.md."""

from monitor.web.api import artefacts, bundles, coverage, people, plant

ROUTERS = (
    plant.router,
    artefacts.router,
    bundles.router,
    coverage.router,
    people.router,
)
