"""Transfer learning on chest X-rays with fastai: every score with its interval."""
__version__ = "0.1.0"
