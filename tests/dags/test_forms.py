"""What the trigger forms let through: the schema refuses before anything runs."""

import pytest

pytestmark = [pytest.mark.airflow]

FORMS = ("heritage_repair", "heritage_label", "heritage_promote", "heritage_validate")


@pytest.mark.parametrize("name", FORMS)
def test_every_field_has_a_title_and_a_description(bag, name):
    params = bag.dags[name].params
    assert params
    for key in params:
        schema = params.get_param(key).schema
        assert schema["title"]
        assert params.get_param(key).description
        assert "type" in schema


@pytest.mark.parametrize(
    ("dag", "field", "good", "bad"),
    [
        ("heritage_repair", "model", ["", "digits-site", "a.b_c"], ["../x", "a b", "-a", "x" * 129, 3, "<b>"]),
        ("heritage_repair", "window", ["", "2026-11-22T07"], ["a/b", "a\nb"]),
        ("heritage_repair", "rungs", [[], ["none", "hull"]], [["up"], "hull", ["hull", "hull"]]),
        ("heritage_repair", "donors", ["", "auto", "nearest", "a/1, b/2"], ["a;b", "<x>"]),
        ("heritage_repair", "seed", [None, 0, 7], [-1, 1.5, "7"]),
        ("heritage_repair", "dry_run", [True, False], ["yes", 1]),
        ("heritage_label", "rungs", [["one"]], [["two"]]),
        ("heritage_promote", "plan", ["", "a" * 64], ["a" * 63, "A" * 64]),
        ("heritage_promote", "address", ["", "m/1"], ["m", "m/0", "m/x"]),
        ("heritage_validate", "address", ["m/12"], ["", "m@champion"]),
    ],
)
def test_fields_take_what_fits_and_nothing_else(bag, dag, field, good, bad):
    from airflow.sdk.exceptions import ParamValidationError

    param = bag.dags[dag].params.get_param(field)
    for value in good:
        assert param.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            param.resolve(value)
