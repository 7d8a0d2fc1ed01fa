"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import audit, coverage, jobs, reports

ROUTERS = (audit.router, coverage.router, jobs.router, reports.router)
