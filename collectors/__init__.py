"""The rim towards the plant: reads what a device is, never writes to it."""
