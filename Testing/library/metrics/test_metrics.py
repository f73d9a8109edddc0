"""Metrics against values that can be worked out by eye, and intervals against what they must cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from InvDetectLib.metrics.agreement import (
    ScoredScan,
    auroc,
    average_precision,
    intensity_score,
    lesion_sensitivity,
    normal_area,
    oracle_dice,
    oracle_threshold,
    same_place,
    slice_dice,
    slice_precision,
    threshold_at_rate,
    volume_dice,
)
from InvDetectLib.metrics.resampling import Averaged, Pooled, paired_difference, patient_bootstrap


def drawn(*slices: str) -> np.ndarray:
    """Slices drawn as rows of signs with spaces between the rows; everything but a dot is True."""
    return np.array([[[sign != "." for sign in row] for row in one.split()] for one in slices])


def scored(mask=None, truth=None, anomaly=None, foreground=None, patient="a", axis=0) -> ScoredScan:
    """A scan of the arrays that matter; the others are empty, the foreground is everything."""
    shape = next(np.shape(array) for array in (mask, truth, anomaly, foreground) if array is not None)
    nothing = np.zeros(shape, bool)
    return ScoredScan(
        patient,
        np.zeros(shape, np.float32) if anomaly is None else np.asarray(anomaly, np.float32),
        nothing if mask is None else mask,
        nothing if truth is None else truth,
        ~nothing if foreground is None else foreground,
        axis,
    )


TRUTH = drawn("##.. ##..", ".... ..#.", ".... ....")
MASK = drawn("#... ##.#", "#... ....", "#### ....")  # Dice 2*3/(4+4); a miss; a slice without lesion, which does not count


def test_dice_and_precision_are_means_over_the_slices_with_lesion_where_a_miss_counts_0():
    assert slice_dice([scored(MASK, TRUTH)]).value == pytest.approx((0.75 + 0) / 2)
    assert slice_precision([scored(MASK, TRUTH)]).value == pytest.approx((0.75 + 0) / 2)


def test_an_empty_mask_gives_0():
    empty = scored(np.zeros_like(MASK), TRUTH)
    assert slice_dice([empty]).value == slice_precision([empty]).value == volume_dice([empty]).value == normal_area([empty]).value == 0
    assert lesion_sensitivity([empty], 1).value == 0


def test_slices_not_scans_weigh_the_same():
    one_slice = scored(drawn("##"), drawn("##"), patient="b")  # Dice 1
    assert slice_dice([scored(MASK, TRUTH), one_slice]).value == pytest.approx((0.75 + 0 + 1) / 3)


def test_slices_follow_the_given_axis():
    turned = [scored(np.moveaxis(MASK, 0, axis), np.moveaxis(TRUTH, 0, axis), axis=axis) for axis in (1, 2)]
    assert [slice_dice([scan]).value for scan in turned] == pytest.approx([0.375, 0.375])
    assert slice_dice([scored(MASK, TRUTH, axis=2)]).value != pytest.approx(0.375)


def test_volume_dice_joins_the_voxels_of_a_patient_and_averages_over_patients():
    first, second = scored(MASK, TRUTH), scored(drawn("#."), drawn("##"))  # one patient: 3 + 1 shared, 9 + 1 found, 5 + 2 lesion
    other = scored(drawn("##"), drawn("##"), patient="b")
    well = scored(drawn("##"), patient="c")  # no lesion: no Dice
    assert volume_dice([first, second]).value == pytest.approx(8 / 17)
    assert volume_dice([first, second, other, well]).value == pytest.approx((8 / 17 + 1) / 2)


def test_normal_area_is_the_detected_share_of_the_foreground():
    assert normal_area([scored(drawn("#..."), foreground=drawn("##.."))]).value == 0.5
    assert normal_area([scored(drawn("#...")), scored(drawn("#."))]).value == pytest.approx(2 / 6)


def test_only_the_foreground_counts():
    foreground = drawn("###.. ###..")
    inside = scored(drawn("##... ..#.."), drawn("#.... #...."), [[[5, 4, 3, 0, 0], [2, 1, 6, 0, 0]]], foreground)
    spoilt = scored(
        inside.mask | ~foreground, inside.truth | drawn("....# ....#"), inside.anomaly + 9 * drawn("...#. ...#."), foreground
    )  # outside: detected, lesion, and high scores
    for metric in (slice_dice, slice_precision, volume_dice, normal_area, average_precision, auroc, oracle_dice):
        assert metric([spoilt]).value == metric([inside]).value
    wide = drawn("#" * 40)
    assert (
        lesion_sensitivity([scored(wide, drawn("##" + "." * 38), foreground=drawn("####" + "." * 36))], 0).value == 1
    )  # 2 of 4, not of 40
    assert slice_dice([scored(drawn("##"), drawn("##"), foreground=drawn(".."))]).patients == ()


# Lesion voxels rank 1, 3 and joint 4-5 of 6: precisions 1, 2/3 and 3/5 at recalls 1/3, 2/3 and 1.
RANKED = [[[9, 8, 7, 5, 5, 1]]]
RANKED_TRUTH = drawn("#.##..")


def test_average_precision_and_auroc_of_a_ranking_drawn_by_hand():
    scan = scored(anomaly=RANKED, truth=RANKED_TRUTH)
    assert average_precision([scan]).value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert auroc([scan]).value == pytest.approx((3 + 2 + 1.5) / 9)  # each lesion voxel: how many of the three others lie below it


def test_pooling_ranks_the_voxels_of_all_scans_together():
    low = scored(anomaly=[[[2, 1]]], truth=drawn("#."))
    high = scored(anomaly=[[[4, 3]]], truth=drawn("#."), patient="b")  # each alone is perfect
    assert auroc([low]).value == auroc([high]).value == 1
    assert auroc([low, high]).value == pytest.approx(3 / 4)
    assert average_precision([low, high]).value == pytest.approx((1 + 2 / 3) / 2)


def test_pooled_metrics_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth = rng.random((2, 30, 30)) < 0.1
    anomaly = np.round(rng.normal(truth.astype(float)), 1).astype(np.float32)
    scan = scored(anomaly=anomaly, truth=truth)
    assert average_precision([scan]).value == pytest.approx(metrics.average_precision_score(truth.ravel(), anomaly.ravel()))
    assert auroc([scan]).value == pytest.approx(metrics.roc_auc_score(truth.ravel(), anomaly.ravel()))


def test_metrics_without_lesions_are_not_a_number():
    well = scored(anomaly=RANKED)
    assert all(math.isnan(metric([well]).value) for metric in (slice_dice, average_precision, auroc, oracle_dice))
    assert all(math.isnan(metric([]).value) for metric in (slice_dice, average_precision, auroc, oracle_dice))


def test_the_oracle_takes_the_one_threshold_that_is_best_for_all_slices_together():
    truth = drawn("##..", "#...")
    anomaly = [[[9, 6, 5, 1]], [[4, 3, 3, 2]]]
    # At 9: 2/3 and 0; at 6: 1 and 0; at 5: 4/5 and 0; at 4: 4/5 and 1; at 3: 4/5 and 1/2; ...
    assert oracle_threshold([scored(truth=truth, anomaly=anomaly)]) == 4
    assert oracle_dice([scored(truth=truth, anomaly=anomaly)]).value == pytest.approx((4 / 5 + 1) / 2)


def test_the_oracle_cannot_part_what_is_tied():
    anomaly, truth = np.array([[[6, 5, 5, 5, 5, 5, 5, 4]]]), drawn("####...#")
    for seen in (slice(None), slice(None, None, -1)):  # Dice at 6, 5 and 4: 2/6, 8/12 and 10/13; with the lucky part of the 5 it were 8/9
        assert oracle_threshold([scored(truth=truth[..., seen], anomaly=anomaly[..., seen])]) == 4


def test_no_threshold_beats_the_oracle():
    rng = np.random.default_rng(1)
    scans = [scored(truth=rng.random((3, 8, 8)) < 0.2, anomaly=np.round(rng.random((3, 8, 8)), 1), patient=name) for name in "ab"]
    tried = [slice_dice([scored(scan.anomaly >= t, scan.truth) for scan in scans]).value for t in np.unique([s.anomaly for s in scans])]
    assert oracle_dice(scans).value == pytest.approx(max(tried))


def test_lesions_are_found_by_findings_kept_down_to_a_number_of_false_ones_a_scan():
    truth = drawn("##....##..##")
    mask = drawn("##.#..#..#..")
    anomaly = [[[3, 3, 0, 5, 0, 0, 4, 0, 0, 6, 0, 0]]]  # two true findings, false ones with peaks 5 and 6
    scans = [scored(mask, truth, anomaly)]
    assert lesion_sensitivity(scans, 0).value == 0
    assert lesion_sensitivity(scans, 1).value == 0
    assert lesion_sensitivity(scans, 2).value == pytest.approx(2 / 3)
    well = scored(np.zeros_like(mask), patient="b")
    assert lesion_sensitivity([*scans, well], 1).value == pytest.approx(2 / 3)  # two false findings in two scans
    spared = scored(drawn("##.#..#....."), truth, [[[3, 3, 0, 3.5, 0, 0, 4, 0, 0, 0, 0, 0]]])
    assert lesion_sensitivity([spared], 0).value == pytest.approx(1 / 3)  # only the finding above the first false one
    tied = scored(drawn("##.#"), drawn("##.."), np.ones((1, 1, 4)))
    assert lesion_sensitivity([tied], 0).value == 0  # both are kept or none
    assert lesion_sensitivity([tied], 1).value == 1


def test_a_finding_that_covers_everything_finds_no_lesion():
    truth = drawn("#..........#")
    assert lesion_sensitivity([scored(np.ones_like(truth), truth, np.ones(truth.shape))], 1).value == 0


def test_a_finding_is_true_for_the_lesions_with_which_it_shares_a_tenth_of_their_union():
    lesion = np.array([[[1] * 10 + [0] * 5 + [2] * 2]])
    finding = np.array([[[1, 0, 0, 0, 0, 0, 0, 0, 2, 2] + [2] * 5 + [0, 3]]])
    assert same_place(lesion, finding).tolist() == [[True, True, False], [False, False, True]]
    for kind in (np.uint8, np.uint32, np.uint64):
        assert np.array_equal(same_place(lesion.astype(kind), finding.astype(kind)), same_place(lesion, finding))
    finding[0, 0, 10:15], finding[0, 0, 8] = 0, 0
    lesion[0, 0, 10:12] = 1  # now the first finding is 1 voxel of 12, the second too
    assert not same_place(lesion, finding)[0].any() and same_place(lesion, 0 * finding).shape == (2, 0)


def test_touching_corners_make_one_lesion_across_slices():
    truth = drawn("#. ..", ".. .#")
    assert lesion_sensitivity([scored(truth, truth)], 0).counts.tolist() == [1]


def noisy_scans(patients: int, seed: int = 0, gain: float = 1.0) -> list[ScoredScan]:
    """Patients with 2, 3, 4, 2, ... slices."""
    rng = np.random.default_rng(seed)
    scans = []
    for number in range(patients):
        truth = rng.random((2 + number % 3, 12, 12)) < 0.2
        anomaly = rng.normal(gain * truth * rng.uniform(0.5, 2))
        scans.append(scored(anomaly > 1, truth, anomaly, patient=f"p{number:02d}"))
    return scans


def test_intervals_of_averages_cover_the_true_mean_in_about_95_of_100_samples():
    rng = np.random.default_rng(3)
    covered, widths = 0, []
    for sample in range(200):
        values = rng.normal(0.6, 0.1, 30)
        interval = patient_bootstrap(Averaged.collect((str(i), value, 1) for i, value in enumerate(values)), 300, sample)
        assert interval["low"] < interval["mean"] < interval["high"]
        covered += interval["low"] <= 0.6 <= interval["high"]
        widths.append(interval["high"] - interval["low"])
    assert 180 <= covered <= 198
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(30), rel=0.05)


def test_a_patient_with_two_scans_is_resampled_as_one():
    rows = [("a", 0.0, 1), ("a", 0.0, 1), ("b", 1.0, 1), ("b", 1.0, 1)]
    joined = Averaged.collect(rows)
    assert joined.patients == ("a", "b") and joined.totals.tolist() == [0, 2] and joined.counts.tolist() == [2, 2]
    drawn_values = joined.resampled(np.array([[2, 0], [1, 1], [0, 2]]))
    assert drawn_values.tolist() == [0, 0.5, 1]  # four patients would also give 1/4 and 3/4
    scans = noisy_scans(2)
    twice = [scans[0], ScoredScan("p00", *(getattr(scans[1], name) for name in ("anomaly", "mask", "truth", "foreground")))]
    assert len(slice_dice(twice).patients) == len(auroc(twice).patients) == 1


@pytest.mark.parametrize("metric", [average_precision, auroc, slice_dice])
def test_a_resampled_metric_is_the_metric_of_the_drawn_patients(metric):
    scans = noisy_scans(4)
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 4, 0, 0]])
    expected = [metric([scan for scan, times in zip(scans, row) for _ in range(times)]).value for row in weights]
    assert metric(scans).resampled(weights) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["ap", "auroc"])
def test_quantised_ranks_move_a_resampled_metric_by_little_and_its_value_not_at_all(kind):
    rows = [(scan.patient, scan.anomaly.ravel(), scan.truth.ravel()) for scan in noisy_scans(6)]
    exact, coarse = Pooled.collect(rows)[kind], Pooled.collect(rows, levels=256)[kind]
    weights = np.array([[1] * 6, [3, 0, 1, 1, 1, 0]])
    assert coarse.positives.shape[1] <= 256 < exact.positives.shape[1]
    assert coarse.value == exact.value
    assert coarse.resampled(weights) == pytest.approx(exact.resampled(weights), abs=0.01)


@pytest.mark.parametrize("metric", [average_precision, auroc, slice_dice, lambda scans: lesion_sensitivity(scans, 1)])
def test_intervals_hold_the_metric_and_repeat_with_their_seed(metric):
    value = metric(noisy_scans(8))
    interval = patient_bootstrap(value, 200, seed=5)
    assert interval["low"] < interval["mean"] < interval["high"] and interval["mean"] == value.value
    assert interval == patient_bootstrap(value, 200, seed=5) != patient_bootstrap(value, 200, seed=6)


def test_one_patient_gives_no_interval():
    interval = patient_bootstrap(slice_dice([scored(MASK, TRUTH)]))
    assert interval["mean"] == 0.375 and math.isnan(interval["low"]) and math.isnan(interval["high"])
    assert math.isnan(patient_bootstrap(slice_dice([]))["mean"])
    assert not paired_difference(slice_dice([scored(TRUTH, TRUTH)]), slice_dice([scored(MASK, TRUTH)]))["ahead"]


def test_a_small_but_steady_lead_is_ahead_although_the_intervals_overlap():
    rng = np.random.default_rng(4)
    hard = rng.uniform(0.2, 0.9, 12)
    better, worse = (Averaged.collect((str(i), value, 1) for i, value in enumerate(hard + lead)) for lead in (0.05, 0.0))
    assert patient_bootstrap(better)["low"] < patient_bootstrap(worse)["high"]
    ahead = paired_difference(better, worse)
    assert ahead["ahead"] is True and ahead["n"] == 12
    assert [ahead[key] for key in ("mean", "low", "high")] == pytest.approx([0.05] * 3)
    assert paired_difference(worse, better)["ahead"] is False and paired_difference(better, better)["ahead"] is False


def test_a_pooled_lead_is_judged_on_the_same_draws():
    good, poor = noisy_scans(8, gain=2.0), noisy_scans(8, gain=0.3)
    ahead = paired_difference(auroc(good), auroc(poor), 200)
    assert ahead["ahead"] and ahead["low"] < ahead["mean"] < ahead["high"]
    with pytest.raises(ValueError, match="same patients"):
        paired_difference(auroc(good), auroc(poor[:-1]))


def test_the_threshold_flags_at_most_the_rate_and_is_the_smallest_that_does():
    maps, everything = [np.arange(100.0).reshape(1, 10, 10)], [np.ones((1, 10, 10), bool)]
    assert threshold_at_rate(maps, everything, 0.05) == 94  # 95 to 99 lie above it
    assert threshold_at_rate(maps, everything, 0.059) == 94
    assert threshold_at_rate(maps, everything, 0.0) == 99
    tied = [np.array([[[1.0, 1.0, 2.0, 2.0, 2.0]]])]
    assert threshold_at_rate(tied, [np.ones((1, 1, 5), bool)], 0.4) == 2  # 1 would flag three of five
    assert threshold_at_rate(maps * 2, [everything[0], np.zeros((1, 10, 10), bool)], 0.05) == 94
    with pytest.raises(ValueError, match="rate"):
        threshold_at_rate(maps, everything, 1.0)
    with pytest.raises(ValueError, match="foreground"):
        threshold_at_rate([], [], 0.01)


def test_the_intensity_baseline_is_smoothed_in_the_plane_only_and_averages_channels():
    point = np.zeros((3, 41, 41, 1), np.float32)
    point[1, 20, 20] = 1
    score = intensity_score(point, np.ones((3, 41, 41), bool))
    assert score[1, 20, 20] == pytest.approx(1 / (2 * np.pi * 2**2), rel=0.02)  # the peak of a Gaussian of sigma 2
    assert score[1, 20, 22] / score[1, 20, 20] == pytest.approx(np.exp(-0.5), rel=0.02)
    assert score.dtype == np.float32 and not score[0].any() and not score[2].any()
    colour = np.concatenate([point, np.zeros_like(point), np.zeros_like(point)], axis=3)
    assert intensity_score(colour, np.ones((3, 41, 41), bool)) == pytest.approx(score / 3, abs=1e-7)
    assert (intensity_score(point, np.zeros((3, 41, 41), bool)) == -1).all()


def test_scans_that_make_no_sense_are_refused():
    flags = np.ones((1, 2, 2), bool)
    with pytest.raises(ValueError, match="one shape"):
        ScoredScan("a", np.zeros((1, 2, 3)), flags, flags, flags)
    with pytest.raises(ValueError, match="bool"):
        ScoredScan("a", np.zeros((1, 2, 2)), flags.astype(np.uint8), flags, flags)
    hole = np.array([[[np.nan, 0], [0, 0]]])
    with pytest.raises(ValueError, match="NaN"):
        ScoredScan("a", hole, flags, flags, flags)
    ScoredScan("a", hole, flags, flags, drawn(".# ##"))
