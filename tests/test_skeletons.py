import numpy as np
import pytest

from flexpose_core.errors import ConfigError
from flexpose_core.skeletons import BODY15, FACE68, SKELETONS, skeleton_named


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
class TestEverySkeleton:
    def test_flip_is_an_involution_that_moves_every_named_pair(self, skeleton):
        flip = skeleton.flip_permutation
        np.testing.assert_array_equal(flip[flip], np.arange(len(skeleton)))
        assert (flip != np.arange(len(skeleton))).sum() == 2 * len(skeleton.swaps)

    def test_flip_maps_bones_to_bones(self, skeleton):
        bones = {frozenset(bone) for bone in skeleton.bone_ends.tolist()}
        flipped = {frozenset(skeleton.flip_permutation[bone].tolist()) for bone in skeleton.bone_ends}
        assert flipped == bones

    def test_tree_reaches_every_joint_once_parents_first(self, skeleton):
        reached = [skeleton.joints.index(skeleton.root)]
        for parent, child in skeleton.tree_ends.tolist():
            assert parent in reached
            assert child not in reached
            reached.append(child)
        assert sorted(reached) == list(range(len(skeleton)))

    def test_tree_flip_is_an_involution(self, skeleton):
        flip = skeleton.tree_flip_permutation
        np.testing.assert_array_equal(flip[flip], np.arange(len(skeleton) - 1))

    def test_colours_are_colours(self, skeleton):
        assert skeleton.bone_colours.min() >= 0
        assert skeleton.bone_colours.max() <= 1


def test_body_has_the_fifteen_shared_joints_and_a_colour_a_bone():
    assert len(BODY15) == 15
    assert BODY15.joints[:3] == ("head", "neck", "pelvis")
    assert len({bone.colour for bone in BODY15.bones}) == len(BODY15.bones) == 14


def test_face_has_68_landmarks():
    assert len(FACE68) == 68


def test_unknown_names_are_refused_by_name():
    with pytest.raises(ConfigError, match="body15, face68, found 'hand21'"):
        skeleton_named("hand21")
    with pytest.raises(ConfigError, match="found 'nose'"):
        BODY15.index("head", "nose")
