"""The API, one module a subject: what the pages do, as JSON. Its answers are the documents of docs/json.md."""

from monitor.web.api import conformity, coverage, orders, quality

ROUTERS = (coverage.router, orders.router, conformity.router, quality.router)
