"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import account, alarms, coverage, people, reference, watch

ROUTERS = (
    account.router,
    alarms.router,
    coverage.router,
    people.router,
    reference.router,
    watch.router,
)
