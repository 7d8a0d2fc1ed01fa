"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import coverage, network

ROUTERS = (coverage.router, network.router)
