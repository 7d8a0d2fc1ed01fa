"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import asset, assets, coverage, plant

ROUTERS = (
    coverage.router,
    plant.router,
    assets.router,
    asset.router,
)
