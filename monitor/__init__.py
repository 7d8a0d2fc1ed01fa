"""The application: what people and services call."""
