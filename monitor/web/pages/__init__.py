"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import (
    account,
    alarms,
    asset,
    assets,
    conformity,
    coverage,
    orders,
    people,
    plant,
    quality,
    reference,
    watch,
)

ROUTERS = (
    account.router,
    alarms.router,
    asset.router,
    assets.router,
    conformity.router,
    coverage.router,
    orders.router,
    people.router,
    plant.router,
    quality.router,
    reference.router,
    watch.router,
)
