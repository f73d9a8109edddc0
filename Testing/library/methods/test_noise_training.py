"""Training of the noise predictor: it learns, it survives a kill, it repeats."""

import dataclasses

import numpy as np
import pytest
import torch

from InvDetectLib.common.errors import Cancelled, InvDetectError
from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.noise_training import NoiseTrainer, PatchPool
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.method_settings import InvDetectSettings, Network, Patches, Training

CPU = torch.device("cpu")
SMALL = InvDetectSettings(
    patches=Patches(size=16, stride=8), network=Network(widths=(8, 8)), training=Training(steps=12, batch=4, cosine=True)
)


def slices(seed: int = 0, channels: int = 1) -> Slices:
    values = np.random.default_rng(seed).uniform(-1, 1, (2, 24, 24, channels)).astype(np.float32)
    return Slices(values, np.ones((2, 24, 24), bool))


def trained(settings: InvDetectSettings = SMALL, seed: int = 0, checkpoint: Checkpoint | None = None, progress: Progress | None = None):
    pool = PatchPool([slices()], settings.patches, CPU)
    trainer = NoiseTrainer(settings, 1, seed, CPU)
    facts = trainer.train(pool, pool, checkpoint or Checkpoint(None, ""), progress or Progress())
    return trainer, facts


def weights(trainer: NoiseTrainer) -> torch.Tensor:
    return torch.cat([value.reshape(-1) for value in trainer.network.state_dict().values()])


def test_the_same_seed_gives_the_same_network_and_another_another():
    assert torch.equal(weights(trained()[0]), weights(trained()[0]))
    assert not torch.equal(weights(trained()[0]), weights(trained(seed=1)[0]))


def test_the_network_learns():
    settings = dataclasses.replace(SMALL, training=Training(steps=60, batch=8, ema_decay=0.9))
    pool = PatchPool([slices()], settings.patches, CPU)
    trainer = NoiseTrainer(settings, 1, 0, CPU)
    before = trainer.loss(pool)
    trainer.train(pool, pool, Checkpoint(None, ""), Progress())
    assert before == pytest.approx(1.0, abs=0.05), "an untrained network predicts nothing, and noise has variance 1"
    assert trainer.loss(pool) < 0.7 * before


def test_a_mirroring_network_expects_left_and_right_alike():
    """One scan with a bright left half: only the network that was shown it mirrored too finds the bright right half as likely."""
    values = np.full((1, 16, 16, 1), -0.8, np.float32)
    values[:, :, :8] = 0.8
    left, right = (Slices(np.ascontiguousarray(array), np.ones((1, 16, 16), bool)) for array in (values, values[:, :, ::-1]))
    losses = {}
    for mirror in (False, True):
        settings = dataclasses.replace(SMALL, training=Training(steps=150, batch=8, learning_rate=5e-3, ema_decay=0.9, mirror=mirror))
        pools = [PatchPool([scan], settings.patches, CPU) for scan in (left, right)]
        trainer = NoiseTrainer(settings, 1, 0, CPU)
        trainer.train(pools[0], pools[0], Checkpoint(None, ""), Progress())
        losses[mirror] = [trainer.loss(pool) for pool in pools]
    assert losses[False][1] > 1.5 * losses[False][0]
    assert losses[True][1] < 1.2 * losses[True][0]


def test_a_stopped_training_resumes_to_the_same_network(tmp_path):
    path = tmp_path / "run.checkpoint"

    class StopAt(Progress):
        def report(self, stage, done=0, total=0, **facts):
            if done >= 5:
                self.cancel()
            super().report(stage, done, total, **facts)

    class Often(Checkpoint):
        def due(self):
            stop.report("training", trainer.step)
            return False

    stop = StopAt()
    pool = PatchPool([slices()], SMALL.patches, CPU)
    trainer = NoiseTrainer(SMALL, 1, 0, CPU)
    with pytest.raises(Cancelled):
        trainer.train(pool, pool, Often(path, "same"), stop)
    assert 0 < trainer.step < SMALL.training.steps
    resumed, facts = trained(checkpoint=Checkpoint(path, "same"))
    assert torch.equal(weights(resumed), weights(trained()[0]))
    assert facts["steps"] == SMALL.training.steps


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    trained(checkpoint=Checkpoint(path, "these scans"))
    with pytest.raises(InvDetectError, match="belongs to other scans"):
        trained(checkpoint=Checkpoint(path, "those scans"))


def test_a_damaged_checkpoint_is_told(tmp_path):
    path = tmp_path / "run.checkpoint"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InvDetectError, match="cannot be read"):
        trained(checkpoint=Checkpoint(path, ""))


def test_a_loss_that_is_no_number_ends_the_training_with_a_sentence():
    with pytest.raises(InvDetectError, match="diverged"):
        trained(dataclasses.replace(SMALL, training=Training(steps=12, batch=4, learning_rate=float("inf"))))


def test_patches_without_foreground_are_not_trained_on():
    scan = slices()
    foreground = np.zeros_like(scan.foreground)
    foreground[0, :16, :16] = True
    pool = PatchPool([dataclasses.replace(scan, foreground=foreground)], Patches(size=16, stride=8, min_foreground=0.9), CPU)
    assert pool.places.tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(("channels", "fold", "size"), [(1, 1, 32), (3, 1, 32), (1, 2, 64), (3, 2, 64)])
def test_the_network_keeps_the_shape_of_what_it_sees(channels, fold, size):
    network = UNet(channels, Network(widths=(8, 8, 16, 16), fold=fold))
    z = torch.randn(2, channels, size, size)
    assert network(z, torch.tensor([7])).shape == z.shape
    assert network(z, torch.tensor([7, 900])).shape == z.shape


def test_one_time_for_all_patches_equals_that_time_for_each():
    network = UNet(1, Network(widths=(8, 8)))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.3, 0.3)
    z = torch.randn(3, 1, 16, 16)
    assert torch.allclose(network(z, torch.tensor([40])), network(z, torch.tensor([40, 40, 40])), atol=1e-6)
    assert not torch.allclose(network(z, torch.tensor([40])), network(z, torch.tensor([900])))


def test_widths_that_cannot_be_are_an_error():
    with pytest.raises(InvDetectError, match="multiples of 8"):
        UNet(1, Network(widths=(10, 20)))
