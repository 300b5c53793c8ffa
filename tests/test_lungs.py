"The lung network on real films: masks that people drew for one collection, and films of two others on which nothing was drawn."
import pytest

from covid_fastai.lungs import LungPlan, PREDICTED, lung_scores, train_lungs, write_masks
from covid_fastai.manifest import read_manifest


@pytest.mark.real
@pytest.mark.slow
def test_lungs_of_patients_that_it_did_not_see(real_data, tmp_path):
    films = read_manifest(real_data/"cxr"/"manifest.csv")
    net, judged = train_lungs(films[films["mask"] == "v7"], LungPlan(size=64, epochs=10))  # the command takes 128 px and 40
    [scores] = lung_scores(judged).to_dict("records")
    assert scores["films"] > 40 and scores["dice"] >= 0.93 and scores["failed_unflagged"] == 0, scores
    bare = films[films["mask"] == ""].groupby("source").head(30).reset_index(drop=True)
    found = write_masks(bare, net, tmp_path)
    assert set(found["mask"]) <= {PREDICTED, ""} and set(bare["source"]) == {"cohen", "kermany", "nih"}
    assert (found["mask"] == "").mean() < 0.1, found.loc[found["mask"] == "", ["filename", "fault"]]
