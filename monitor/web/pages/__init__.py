"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import account, alarms, conformity, coverage, orders, people, quality, reference, watch

ROUTERS = (
    account.router,
    alarms.router,
    conformity.router,
    coverage.router,
    orders.router,
    people.router,
    quality.router,
    reference.router,
    watch.router,
)
