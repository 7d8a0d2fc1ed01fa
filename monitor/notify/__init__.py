"""How people are told: which messages are made of what moved (grouping), where they wait (monitor.store.messages), and
how they leave (dispatcher; one module a channel)."""
