"""Alembic migrations of the store; they travel in the wheel, so that an installed asbuilt can migrate."""
