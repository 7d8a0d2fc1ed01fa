"""The pages, one module each: a router, its templates beside it in `templates/`."""

from monitor.web.pages import account, coverage, people, reference

ROUTERS = (coverage.router, account.router, people.router, reference.router)
