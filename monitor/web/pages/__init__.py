"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import coverage, jobs, reports

ROUTERS = (coverage.router, jobs.router, reports.router)
