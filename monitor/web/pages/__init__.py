"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import alarms, coverage, watch

ROUTERS = (alarms.router, coverage.router, watch.router)
