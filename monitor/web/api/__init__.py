"""The API, one module a subject: what the pages do, as JSON. Its answers are the documents of docs/json.md."""

from monitor.web.api import (
    alerts,
    artefacts,
    assets,
    baselines,
    bundles,
    conformity,
    coverage,
    evidence,
    network,
    orders,
    people,
    plant,
    quality,
    reports,
    watch,
)

ROUTERS = (
    plant.router,
    alerts.router,
    artefacts.router,
    assets.router,
    baselines.router,
    bundles.router,
    conformity.router,
    coverage.router,
    evidence.router,
    network.router,
    orders.router,
    people.router,
    quality.router,
    reports.router,
    watch.router,
)
