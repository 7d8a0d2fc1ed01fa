"""The commands, by what people come for. Each module registers its own."""
