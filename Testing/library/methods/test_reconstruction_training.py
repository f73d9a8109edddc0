"""Training of the bases: they learn, they survive a kill, they repeat, they do with less memory."""

import dataclasses

import numpy as np
import pytest
import torch

from InvDetectLib.common.errors import Cancelled, InvDetectError
from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.matchgen.ae import AE
from InvDetectLib.methods.matchgen.base_training import BaseTrainer, SlicePool
from InvDetectLib.methods.matchgen.ganomaly import GANomaly
from InvDetectLib.models.method_settings import MatchGenSettings, Reconstruction, Training
from InvDetectLib.scans.phantoms import make_head

CPU = torch.device("cpu")
SIDE = 16
# A base, its steps here, and what of the untrained base's residual is left after them.
LEARNED = [("ae", 150, 0.2), ("ceae", 150, 0.25), ("vae", 150, 0.3), ("vae-grad", 150, 0.3), ("dae", 80, 0.5)]
LEARNED += [("ganomaly", 100, 0.3), ("ddgan", 100, 0.85)]


def settings(base: str = "ae", **training) -> MatchGenSettings:
    chosen = Training(**{"steps": 12, "batch": 4, "cosine": True, **training})
    return MatchGenSettings(base=base, network=Reconstruction(widths=(8, 16), code=8), training=chosen)


def scan(seed: int = 0, channels: int = 1) -> Slices:
    values = np.random.default_rng(seed).uniform(-1, 1, (5, SIDE, 12, channels)).astype(np.float32)
    return Slices(values, np.ones((5, SIDE, 12), bool))


def head(seed: int) -> Slices:
    values = make_head(seed, (4, 32, 32))[0]
    values = np.clip(values / np.percentile(values[values > 0.1 * values.max()], 99), 0, 1)
    return Slices((2 * values - 1).astype(np.float32)[..., None], values > 0.08)


def trained(chosen: MatchGenSettings, seed: int = 0, checkpoint: Checkpoint | None = None, progress: Progress | None = None):
    pool = SlicePool([scan()], SIDE, CPU)
    trainer = BaseTrainer(chosen, 1, SIDE, seed, CPU)
    facts = trainer.train(pool, pool, checkpoint or Checkpoint(None, ""), progress or Progress())
    return trainer, facts


def weights(trainer: BaseTrainer) -> torch.Tensor:
    return torch.cat([value.reshape(-1) for value in trainer.base.state_dict().values()])


class StopAt(Checkpoint):
    """A checkpoint after whose given step the training is cancelled."""

    def __init__(self, path, fingerprint: str, progress: Progress, step: int) -> None:
        super().__init__(path, fingerprint)
        self._progress, self._left = progress, step

    def due(self) -> bool:
        self._left -= 1
        if not self._left:
            self._progress.cancel()
        return False


@pytest.mark.parametrize(("base", "steps", "left"), LEARNED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_base_learns_to_rebuild_heads(base, steps, left):
    pool = SlicePool([head(seed) for seed in range(4)], 32, CPU)
    chosen = MatchGenSettings(
        base=base,
        network=Reconstruction(widths=(16, 32), code=32),
        training=Training(steps=steps, batch=8, learning_rate=3e-3, ema_decay=0.95, cosine=True),
    )
    trainer = BaseTrainer(chosen, 1, 32, 0, CPU)
    before = trainer.loss(pool)
    facts = trainer.train(pool, pool, Checkpoint(None, ""), Progress())
    assert facts["validation_loss"] == trainer.loss(pool) < left * before
    assert facts["steps"] == steps and len(facts["losses"]) == steps // facts["loss_every"]


@pytest.mark.parametrize("base", ["vae", "ddgan"])
def test_the_same_seed_gives_the_same_base_and_another_another(base):
    chosen = settings(base, steps=4)
    assert torch.equal(weights(trained(chosen)[0]), weights(trained(chosen)[0]))
    assert not torch.equal(weights(trained(chosen)[0]), weights(trained(chosen, seed=1)[0]))


@pytest.mark.parametrize("base", ["dae", "ganomaly", "ddgan"])
def test_a_stopped_training_resumes_to_the_same_base(base, tmp_path):
    path, stop, chosen = tmp_path / "run.checkpoint", Progress(), settings(base)
    with pytest.raises(Cancelled):
        trained(chosen, checkpoint=StopAt(path, "same", stop, 5), progress=stop)
    resumed, facts = trained(chosen, checkpoint=Checkpoint(path, "same"))
    assert torch.equal(weights(resumed), weights(trained(chosen)[0])) and facts["steps"] == 12


@pytest.mark.parametrize("base", ["ganomaly", "ddgan"])
def test_each_step_moves_generator_and_discriminator(base):
    trainer = BaseTrainer(settings(base, steps=1), 1, SIDE, 0, CPU)
    before = [[parameter.clone() for parameter in part] for part in trainer.base.parts()]
    pool = SlicePool([scan()], SIDE, CPU)
    trainer.train(pool, pool, Checkpoint(None, ""), Progress())
    for old, new in zip(before, trainer.base.parts()):
        assert any(not torch.equal(one, other) for one, other in zip(old, new))


def test_a_base_is_kept_as_the_average_of_its_weights():
    slow = trained(settings(ema_decay=0.999999, steps=1, learning_rate=0.1))[0]
    start = BaseTrainer(settings(), 1, SIDE, 0, CPU)
    moved, averaged = (abs(weights_of - weights(start)).max() for weights_of in (_raw(slow), weights(slow)))
    assert float(averaged) == pytest.approx(0.9 * float(moved), rel=1e-3), "the first steps count for more: (1 + 0) / (10 + 0) is kept"
    pool = SlicePool([scan()], SIDE, CPU)
    x = pool.take(np.arange(5))
    assert slow.loss(pool) == pytest.approx(float((x - slow.base.decode(slow.base.encode(x))).abs().mean()), rel=1e-5)


def _raw(trainer: BaseTrainer) -> torch.Tensor:
    return torch.cat([value.reshape(-1) for value in trainer.raw.state_dict().values()])


def test_slices_without_foreground_are_left_out_and_the_rest_is_squared():
    one = scan()
    one.foreground[[0, 3]] = False
    pool = SlicePool([one, scan(1)], SIDE, CPU)
    assert len(pool) == 8
    x = pool.take(np.array([1, 7]))
    assert x.shape == (2, 1, SIDE, SIDE) and np.allclose(x[0, 0, :, 2:14].numpy() * 2 - 1, one.values[2, ..., 0], atol=1e-6)
    assert float(x[..., :2].abs().max()) == float(x[..., 14:].abs().max()) == 0
    assert len(SlicePool([], SIDE, CPU)) == 0


def test_slices_beyond_the_square_are_told():
    with pytest.raises(InvDetectError, match="16 x 12 pixels does not fit"):
        SlicePool([scan()], 8, CPU)


def test_a_loss_that_is_no_number_ends_the_training_with_a_sentence():
    with pytest.raises(InvDetectError, match="diverged"):
        trained(settings("dae", learning_rate=float("inf")))


def test_a_batch_is_taken_in_portions_where_memory_is_short(monkeypatch):
    whole, loss, told = trained(settings(batch=8))[1], AE.loss, Progress()

    def limited(base, images, part, generator):
        if len(images) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return loss(base, images, part, generator)

    monkeypatch.setattr(AE, "loss", limited)
    short = trained(settings(batch=8), progress=told)[1]
    text = "The memory of cpu was not enough, so only {} slices are taken at once from here on."
    assert told.warnings == [text.format(4), text.format(2)]
    assert short["validation_loss"] == pytest.approx(whole["validation_loss"], rel=1e-3)


def test_no_memory_at_all_leaves_a_checkpoint(monkeypatch, tmp_path):
    def never(base, images, part, generator):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(GANomaly, "loss", never)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        trained(settings("ganomaly"), checkpoint=Checkpoint(tmp_path / "x", ""))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_mirroring_training_shows_half_of_the_slices_mirrored(monkeypatch):
    seen = []
    monkeypatch.setattr(AE, "loss", lambda base, images, part, generator: seen.append(images) or base.encode(images).z.sum())
    values = np.full((1, SIDE, SIDE, 1), -1, np.float32)
    values[:, :, : SIDE // 2] = 1
    pool = SlicePool([Slices(values, np.ones((1, SIDE, SIDE), bool))], SIDE, CPU)
    for mirror in (True, False):
        trainer = BaseTrainer(dataclasses.replace(settings(steps=10, mirror=mirror)), 1, SIDE, 0, CPU)
        trainer.train(pool, pool, Checkpoint(None, ""), Progress())
    left = torch.cat(seen)[:, 0, 0, 0]
    assert 0.25 < float(left[:40].mean()) < 0.75 and float(left[40:].min()) == 1


def test_the_pace_is_seconds_a_step():
    pool = SlicePool([scan()], SIDE, CPU)
    assert 0 < BaseTrainer(settings("ddgan"), 1, SIDE, 0, CPU).pace(pool, Progress()) < 10
