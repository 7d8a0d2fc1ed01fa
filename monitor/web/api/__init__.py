"""The API, one module a subject: what the pages do, as JSON. Its answers are the documents of docs/json.md."""

from monitor.web.api import (
    alerts,
    artefacts,
    assets,
    baselines,
    bundles,
    conformity,
    coverage,
    network,
    orders,
    people,
    plant,
    quality,
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
    network.router,
    orders.router,
    people.router,
    quality.router,
    watch.router,
)
