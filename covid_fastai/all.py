"Everything a notebook wants: `from covid_fastai.all import *`."
from covid_fastai.core import *
from covid_fastai.anatomy import *
from covid_fastai.phantom import *
from covid_fastai.radiograph import *
from covid_fastai.manifest import *
from covid_fastai.splits import *
from covid_fastai.tables import *
from covid_fastai.metrics import *
from covid_fastai.figures import *
from covid_fastai.blocks import *
from covid_fastai.models import *
from covid_fastai.learner import *
from covid_fastai.bundle import *
from covid_fastai.runs import *
from covid_fastai.validate import *
from covid_fastai.interpret import *
from covid_fastai.predict import *
