"""Cases 76 and 78 of the suite: nothing is kept of temporary children."""

from __future__ import annotations

from tests.otp.case import case
from tests.otp.play import Play
from tests.otp.shape import Child, sup
from tests.otp.test_significant import part

STRATEGIES = {"one": "one_for_one", "all": "one_for_all", "rest": "rest_for_one"}


@case(76)
def test_do_not_save_child_specs_for_temporary_children_however_they_end(play: Play) -> None:
    """Permanent and transient ones keep theirs, or come back as their type says."""
    ways = ("killed", "normal", "crash", "stop")
    temporary = [Child(way, "temporary") for way in ways]
    stage = play(
        sup(
            *(
                sup(Child("p"), Child("t", "transient"), *temporary, name=name, strategy=strategy)
                for name, strategy in STRATEGIES.items()
            )
        )
    )
    kept = {name: stage.who(f"{name}/p", f"{name}/t") for name in STRATEGIES}
    part(stage, {f"{name}/{way}": way for name in STRATEGIES for way in ways})
    for name in STRATEGIES:
        assert stage.kids(name) == ["p", "t"]
        assert stage.count(name) == {"specs": 2, "active": 2, "supervisors": 0, "workers": 2}
        assert stage.who(f"{name}/p", f"{name}/t") == kept[name], "nobody else was touched"
    part(stage, {f"{name}/t": "normal" for name in STRATEGIES})
    part(stage, {f"{name}/p": "stop" for name in STRATEGIES})
    for name in STRATEGIES:
        assert [stage.state(f"{name}/{child}") for child in "pt"] == ["down", "done"]
        assert stage.count(name) == {"specs": 2, "active": 0, "supervisors": 0, "workers": 2}
        for child in "pt":
            assert stage.start(f"{name}/{child}").error is None
    part(stage, {f"{name}/p": "crash" for name in STRATEGIES})
    for name in STRATEGIES:
        assert stage.count(name)["active"] == 2
        assert (stage.births(f"{name}/p"), stage.births(f"{name}/t")) == (3, 2 if name == "one" else 3)


@case(78)
def test_temporary_bystander_is_not_brought_back_and_does_not_break_the_restart_of_its_group(play: Play) -> None:
    def group(name: str) -> object:
        children = Child("a"), Child("t", "temporary"), Child("c")
        return sup(*children, name=name, strategy=STRATEGIES[name], intensity=1)

    stage = play(sup(group("all"), group("rest")))  # type: ignore[arg-type]
    before = stage.who("all/c", "rest/c")
    part(stage, {"all/a": "crash", "rest/a": "killed"})
    for name in ("all", "rest"):
        assert stage.kids(name) == ["a", "c"]
        assert [stage.births(f"{name}/{child}") for child in "atc"] == [2, 1, 2]
        assert stage.ends(f"{name}/t") == ["shutdown"]
    assert not set(before) & set(stage.who("all/c", "rest/c"))
