"`python -m covid_fastai VERB`, also under torchrun."
import sys

from covid_fastai.cli import main

sys.exit(main())
