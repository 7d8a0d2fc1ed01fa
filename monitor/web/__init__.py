"""What the daemon shows over HTTP. It reads what is stored and what is counted, and never asks a device."""
