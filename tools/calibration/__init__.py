"""Generated text, conversations and pictures for calibration and evaluation; ../make_calibration.py mixes them. Everything here was written for this
repository and is drawn with a seed: it is nobody else's text."""
