"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import account, alarms, asset, assets, audit, baselines, commissioning, conformity, coverage, jobs, network, orders, people, plant, quality, reference, reports, reviewing, watch

ROUTERS = (
    account.router,
    alarms.router,
    asset.router,
    assets.router,
    audit.router,
    baselines.router,
    commissioning.router,
    conformity.router,
    coverage.router,
    jobs.router,
    network.router,
    orders.router,
    people.router,
    plant.router,
    quality.router,
    reference.router,
    reports.router,
    reviewing.router,
    watch.router,
)
