"""Files of a base that hold coefficients apart from its network: leads, base rates and the live model."""

from dataclasses import replace
from pathlib import Path

import pytest

from forecasting.pipeline.model.base_rates import BaseRates
from forecasting.pipeline.model.leads import LeadModel
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import leads_file, live_file, rates_file
from forecasting.pipeline.serving.verified import ArtifactError
from tests.pipeline.lead_data import exchange_leads
from tests.pipeline.live_data import live_model
from tests.pipeline.model.test_base_rates import class_rate
from tests.pipeline.serving.models import BASE_FILES, base_model

LEADS = LeadModel({"XTKS": exchange_leads()})


def test_a_base_keeps_its_lead_model_in_a_file_of_its_own(tmp_path: Path) -> None:
    files = artifacts.write(tmp_path, replace(base_model(), leads=LEADS))

    assert {*files} == {*BASE_FILES, "horizons.json", "leads.json"}
    assert artifacts.read_base(tmp_path, files).leads == artifacts.read_leads(tmp_path, files) == LEADS
    assert artifacts.recorded(tmp_path) == files


def test_a_base_without_a_lead_model_has_no_such_file(tmp_path: Path) -> None:
    files = artifacts.write(tmp_path, base_model())

    assert "leads.json" not in artifacts.recorded(tmp_path) == files
    assert artifacts.read_base(tmp_path, files).leads is artifacts.read_leads(tmp_path, files) is None


def test_a_lead_model_can_be_replaced_apart_from_the_network(tmp_path: Path) -> None:
    before = artifacts.write(tmp_path, replace(base_model(), leads=LEADS))
    (tmp_path / "leads.json").write_bytes(leads_file(LeadModel({})))
    after = artifacts.recorded(tmp_path)

    assert {name for name in before if before[name] != after[name]} == {"leads.json"}
    assert artifacts.read_base(tmp_path, after).leads == LeadModel({})


@pytest.mark.parametrize(("content", "problem"), [(b"{}", "leads.json should have"), (None, "leads.json is missing")])
def test_a_damaged_lead_model_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    files = artifacts.write(tmp_path, replace(base_model(), leads=LEADS))
    (tmp_path / "leads.json").unlink()
    if content is not None:
        (tmp_path / "leads.json").write_bytes(content)

    with pytest.raises(ArtifactError, match=problem):
        artifacts.read_base(tmp_path, files)


def test_a_lead_model_of_another_release_is_refused(tmp_path: Path) -> None:
    artifacts.write(tmp_path, replace(base_model(), leads=LEADS))
    (tmp_path / "leads.json").write_text('{"exchanges": {"XTKS": {}}}')

    with pytest.raises(ArtifactError, match=r"leads\.json is of another release"):
        artifacts.read_leads(tmp_path, artifacts.recorded(tmp_path))


RATES = BaseRates({"XNYS": class_rate()})


def test_a_base_keeps_its_base_rates_in_a_file_of_its_own(tmp_path: Path) -> None:
    files = artifacts.write(tmp_path, replace(base_model(), rates=RATES))

    assert {*files} == {*BASE_FILES, "horizons.json", "rates.json"}
    assert artifacts.read_base(tmp_path, files).rates == artifacts.read_rates(tmp_path, files) == RATES
    assert artifacts.recorded(tmp_path) == files


def test_base_rates_can_be_replaced_apart_from_the_network(tmp_path: Path) -> None:
    before = artifacts.write(tmp_path, replace(base_model(), rates=RATES))
    (tmp_path / "rates.json").write_bytes(rates_file(BaseRates({})))
    after = artifacts.recorded(tmp_path)

    assert {name for name in before if before[name] != after[name]} == {"rates.json"}
    assert artifacts.read_base(tmp_path, after).rates == BaseRates({})
    with pytest.raises(ArtifactError, match=r"rates\.json should have"):
        artifacts.read_base(tmp_path, before)


def test_base_rates_of_another_release_are_refused(tmp_path: Path) -> None:
    artifacts.write(tmp_path, replace(base_model(), rates=RATES))
    (tmp_path / "rates.json").write_text('{"classes": {"XNYS": {}}}')

    with pytest.raises(ArtifactError, match=r"rates\.json is of another release"):
        artifacts.read_rates(tmp_path, artifacts.recorded(tmp_path))


LIVE = live_model()


def test_a_base_keeps_its_live_model_in_a_file_of_its_own(tmp_path: Path) -> None:
    files = artifacts.write(tmp_path, replace(base_model(), live=LIVE))

    assert {*files} == {*BASE_FILES, "horizons.json", "live.json"}
    assert artifacts.recorded(tmp_path) == files
    assert artifacts.read_base(tmp_path, files).live == artifacts.read_live(tmp_path, files) == LIVE


def test_a_damaged_live_model_is_refused(tmp_path: Path) -> None:
    files = artifacts.write(tmp_path, replace(base_model(), live=LIVE))
    (tmp_path / "live.json").write_bytes(live_file(live_model(t=-6.0)))

    with pytest.raises(ArtifactError, match=r"live\.json has been changed"):
        artifacts.read_base(tmp_path, files)


def test_a_live_model_of_another_release_is_refused(tmp_path: Path) -> None:
    artifacts.write(tmp_path, replace(base_model(), live=LIVE))
    (tmp_path / "live.json").write_text('{"nodes": []}')

    with pytest.raises(ArtifactError, match=r"live\.json is of another release"):
        artifacts.read_live(tmp_path, artifacts.recorded(tmp_path))
