"""The API, one module a subject: what the pages do, as JSON. Its answers are the documents of docs/json.md."""

from monitor.web.api import coverage, evidence, reports

ROUTERS = (coverage.router, evidence.router, reports.router)
