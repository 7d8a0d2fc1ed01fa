"""What Alembic runs: migrates over the connection that it is given, or over the URL in ASBUILT_STORE."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from monitor.tables import metadata


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with create_engine(os.environ["ASBUILT_STORE"]).begin() as connection:
        migrate(connection)
