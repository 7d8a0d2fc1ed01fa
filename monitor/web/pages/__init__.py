"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import conformity, coverage, orders, quality

ROUTERS = (coverage.router, orders.router, conformity.router, quality.router)
