"""The installation archive: what `make bundle` puts together for a plant without internet. Not part of the wheel."""
