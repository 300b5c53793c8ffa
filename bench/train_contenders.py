"""What `bench/train.py` measures: each contender in a process of its own, which prints its number as the last line."""
import json
import os
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
import torchvision
from fastai.vision.all import Callback, CancelTrainException, ImageDataLoaders, Normalize, Resize, accuracy, aug_transforms, imagenet_stats, vision_learner
from PIL import Image

from covid_fastai.blocks import xray_dls
from covid_fastai.cache import CACHE_VARIABLE, PixelCache
from covid_fastai.core import kept_memory
from covid_fastai.features import pooled_body
from covid_fastai.learner import xray_learner
from covid_fastai.models import evaluation_mode
from covid_fastai.schedules import SCHEDULES, Phase
from covid_fastai.training import fit_head, fit_phases

TASK, SIZE, BS, LR, WARM = "three-class", 224, 32, 1e-3, 2  # WARM: batches before the clock runs
SOARES = SCHEDULES["soares2020"]  # frozen body, batches of 15, Adam at 0.001, 80 epochs


@dataclass(frozen=True)
class Amount:
    "How much is measured."
    films: int = 192  # Training films of a full epoch
    frozen: int = 224  # Training films of the frozen protocol: soares2020 has about 225
    memory: int = 10_000  # Films in the cache whose memory is measured
    epochs: int = SOARES.freeze_epochs  # Of the frozen protocol
    draws: int = 8  # Augmentation draws on which the frozen protocol trains
    repeats: int = 3  # Of every contender


@dataclass(frozen=True)
class Contender:
    "Who does what."
    who: str  # A key of `WHO`
    arch: str = ""
    aug: str = "safe"  # none or safe; plain fastai's safe are its own defaults without flips
    device: str = "cpu"
    head: str = "fastai"

    def __str__(self): return "-".join(str(v) for v, usual in zip(asdict(self).values(), ("", "", "safe", "cpu", "fastai")) if v != usual)  # what `--only` takes


class Clock(Callback):
    "Seconds of an epoch with its validation; in the first, which warms up, training ends after `WARM` batches."
    order = 100  # after the callbacks of fastai and of the package

    def before_train(self): self.start = now()
    def after_epoch(self): self.whole = now() - self.start

    def after_batch(self):
        if self.training and self.epoch == 0 and self.iter + 1 == WARM: raise CancelTrainException


class Epochs(Callback):
    "Seconds of each epoch, all of it."
    order = 100

    def before_fit(self): self.seconds = []
    def before_epoch(self): self.start = now()
    def after_epoch(self): self.seconds.append(now() - self.start)


def now():
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return perf_counter()


def plain_learner(c, films, bs, workers):
    "Plain fastai as its documentation shows it, without weights to download."
    augment = aug_transforms(do_flip=False) if c.aug == "safe" else []
    dls = ImageDataLoaders.from_df(films.assign(is_valid=films["split"] == "valid"), path="/", fn_col="path", label_col="target", valid_col="is_valid", bs=bs, num_workers=workers,
        item_tfms=Resize(SIZE), batch_tfms=[*augment, Normalize.from_stats(*imagenet_stats)], device=torch.device(c.device))
    learn = vision_learner(dls, getattr(torchvision.models, c.arch), pretrained=False, metrics=accuracy)
    return learn.to_fp16() if c.device == "cuda" else learn


def our_learner(c, films, bs, train_bn=False, **kwargs):
    "The learner of this package."
    return xray_learner(xray_dls(films, TASK, SIZE, bs, aug=c.aug, device=torch.device(c.device)), c.arch, "random", train_bn=train_bn, **kwargs)


def full_plain(c, films, amount, workers):
    learn, clock = plain_learner(c, films, BS, workers), Clock()
    learn.unfreeze()
    learn.fit_one_cycle(2, LR, cbs=clock)
    return clock.whole


def full_ours(c, films, amount, workers):
    learn, clock = our_learner(c, films, BS, train_bn=c.who == "full_ours_bn"), Clock()
    learn.add_cb(clock)
    fit_phases(learn, [Phase("all", 2, LR, LR)])
    return clock.whole


def frozen_plain(c, films, amount, workers):
    learn, clock = plain_learner(c, films, BS, workers), Clock()
    learn.freeze()
    learn.fit(2, SOARES.lr, cbs=clock)
    return clock.whole * amount.epochs


def frozen_ours(c, films, amount, workers):
    learn, start = our_learner(c, films, BS, opt=SOARES.opt), now()
    fit_head(learn, amount.epochs, amount.draws if c.aug == "safe" else 1, SOARES.lr, SOARES.shape)
    return now() - start


def head(c, films, amount, workers):
    "A median epoch of the head on features, with its validation, once they are computed."
    learn, clock = our_learner(c, films, BS, opt=SOARES.opt, head=c.head), Epochs()
    learn.add_cb(clock)
    fit_head(learn, amount.epochs, 1, SOARES.lr, SOARES.shape)
    return median(clock.seconds[1:])


def compute(c, films, amount, workers):
    "An epoch of the same network, precision and optimiser, and its validation, on batches that are in memory."
    learn = our_learner(c, films, BS)
    learn.create_opt()
    for m in learn.model.modules(): m.training = not isinstance(m, torch.nn.BatchNorm2d)  # as in `our_learner`

    def step(x, y):
        learn.loss_func(learn.model(x), y).backward()
        learn.opt.step()
        learn.opt.zero_grad()

    def judge(x, y):
        with evaluation_mode(learn.model), torch.no_grad(): learn.loss_func(learn.model(x), y)
    with kept_memory(): return timed_loop(step, learn.dls.train) + timed_loop(judge, learn.dls.valid)


def forward(c, films, amount, workers):
    "One pass of the frozen body over the training films, which are in memory."
    learn = our_learner(c, films, BS)
    body = pooled_body(learn.model)
    with kept_memory(), evaluation_mode(learn.model), torch.no_grad(), torch.autocast(c.device, torch.bfloat16, enabled=learn.model.bf16): return timed_loop(lambda x, y: body(x), learn.dls.train)


def timed_loop(step, dl):
    batches = [(x.as_subclass(torch.Tensor), y.as_subclass(torch.Tensor)) for x, y in dl]
    for batch in batches[:WARM]: step(*batch)
    start = now()
    for batch in batches: step(*batch)
    return now() - start


def decode(c, films, amount, workers):
    "The training films of a full epoch into an empty cache."
    with tempfile.TemporaryDirectory() as d:
        start = now()
        PixelCache(SIZE, folder=d).add(films.loc[films["split"] == "train", "path"])
        return now() - start


def memory(c, films, amount, workers):
    "GiB that this process has held at most, after one epoch of many made-up films from the cache; on Linux."
    with tempfile.TemporaryDirectory() as d:
        made = pd.DataFrame([made_up_film(f"{d}/{i}.png", i) for i in range(amount.memory)])
        os.environ[CACHE_VARIABLE] = d
        for batch in xray_dls(made, TASK, SIZE, BS, aug=c.aug).train: pass
    status = Path("/proc/self/status").read_text()  # not getrusage, whose peak begins with that of the process which started this one
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20


def made_up_film(path, i):
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8)).resize((SIZE, SIZE), Image.Resampling.NEAREST).save(path)
    return dict(path=path, label=("covid", "normal", "other")[i % 3], finding="pneumonia", split="train" if i > 2 else "valid")


WHO = dict(full_plain=full_plain, full_ours=full_ours, full_ours_bn=full_ours, frozen_plain=frozen_plain, frozen_ours=frozen_ours, head=head, compute=compute, forward=forward, decode=decode, memory=memory)


def main(job):
    c, films = Contender(**job["contender"]), pd.read_csv(job["films"], keep_default_na=False)
    print("\n" + json.dumps(WHO[c.who](c, films, Amount(**job["amount"]), job["workers"])))


if __name__ == "__main__": main(json.loads(sys.argv[1]))
