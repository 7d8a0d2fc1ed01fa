"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import baselines, commissioning, coverage, reviewing

ROUTERS = (coverage.router, baselines.router, reviewing.router, commissioning.router)
