"""The API, one module a subject: what the pages do, as JSON. Its answers are the documents of docs/json.md."""

from monitor.web.api import alerts, artefacts, bundles, coverage, people, plant, watch

ROUTERS = (
    plant.router,
    alerts.router,
    artefacts.router,
    bundles.router,
    coverage.router,
    people.router,
    watch.router,
)
