"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import (
    account,
    alarms,
    asset,
    assets,
    baselines,
    commissioning,
    conformity,
    coverage,
    network,
    orders,
    people,
    plant,
    quality,
    reference,
    reviewing,
    watch,
)

ROUTERS = (
    account.router,
    alarms.router,
    asset.router,
    assets.router,
    baselines.router,
    commissioning.router,
    conformity.router,
    coverage.router,
    network.router,
    orders.router,
    people.router,
    plant.router,
    quality.router,
    reference.router,
    reviewing.router,
    watch.router,
)
