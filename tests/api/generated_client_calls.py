"""One call of each route with the generated client. Type-checked beside it, then run against a server by a process of its own.

Arguments: the server's address and the staff account's credentials as HTTP Basic has them.
"""

import sys

from stockpred_client import AuthenticatedClient, Client
from stockpred_client.api.models import check, get_predictions, metrics, predict, retrain
from stockpred_client.api.records import (
    get_chart,
    get_finding,
    get_forecast,
    get_symbol,
    get_training,
    get_version,
    list_findings,
    list_forecasts,
    list_symbols,
    list_trainings,
    list_versions,
)
from stockpred_client.api.service import health, health_live, health_ready
from stockpred_client.api.staff import (
    activate_version,
    cancel_training,
    create_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
)
from stockpred_client.models import (
    Error,
    EventsEnum,
    FailureAnswer,
    ForecastAnswer,
    Healthy,
    Living,
    MetricsOfModel,
    NewWebhook,
    NoMetrics,
    PaginatedFindingList,
    PaginatedForecastList,
    PaginatedSymbolList,
    PaginatedTrainingList,
    PaginatedVersionList,
    PaginatedWebhookList,
    PredictAnswer,
    PredictRequest,
    Ready,
    RetrainAnswer,
    SymbolRequest,
    SymbolsRequest,
    Training,
    TrainingAnswer,
    Version,
    WebhookRequest,
)

TWO = ["SAMPLE1", "SAMPLE2"]


def main(address: str, credentials: str) -> None:
    """All calls. Raises AssertionError if an answer has not the type, or not the value, that is expected."""
    anyone = Client(base_url=address, raise_on_unexpected_status=True)
    staff = AuthenticatedClient(base_url=address, token=credentials, prefix="Basic", raise_on_unexpected_status=True)
    service(anyone)
    models(anyone)
    number = predictions(anyone)
    records(anyone, version_id=number)
    work_of_staff(staff, version_id=number)
    webhooks(staff)
    errors(anyone)


def service(client: Client) -> None:
    """Whether it is up."""
    answer = health.sync(client=client)
    assert isinstance(answer, Healthy)
    assert answer.status.value == "ok"
    assert isinstance(health_live.sync(client=client), Living)
    ready = health_ready.sync(client=client)
    assert isinstance(ready, Ready)
    assert ready.parts.worker.status.value == "ok"


def models(client: Client) -> None:
    """SAMPLE1 has a model, SAMPLE2 a training."""
    checked = check.sync(client=client, body=SymbolsRequest(symbols=TWO))
    assert isinstance(checked, list)
    assert [each.model_exists for each in checked] == [True, False]
    measured = metrics.sync(client=client, body=SymbolsRequest(symbols=TWO))
    assert isinstance(measured, list)
    first, second = measured
    assert isinstance(first, MetricsOfModel)
    assert isinstance(second, NoMetrics)
    assert first.metrics.r2 == first.metrics.to_dict()["R²"]


def predictions(client: Client) -> int:
    """The forms of a prediction; the id of the version that serves SAMPLE1."""
    posted = predict.sync(client=client, body=PredictRequest(symbols=TWO))
    read = get_predictions.sync(client=client, symbols=[*TWO, "NOSUCH"])
    assert isinstance(posted, PredictAnswer)
    assert isinstance(read, PredictAnswer)
    forecast, training, failure = (read.predictions[symbol] for symbol in [*TWO, "NOSUCH"])
    assert isinstance(forecast, ForecastAnswer)
    assert isinstance(training, TrainingAnswer)
    assert isinstance(failure, FailureAnswer)
    assert posted.predictions["SAMPLE1"] == forecast
    assert list(forecast.quantiles.to_dict().values()) == sorted(forecast.quantiles.to_dict().values())
    version_id: int = forecast.model.version_id
    return version_id


def records(client: Client, *, version_id: int) -> None:
    """The lists and single rows."""
    symbols, versions = list_symbols.sync(client=client, page_size=1), list_versions.sync(client=client, symbol="SAMPLE1")
    trainings, findings = list_trainings.sync(client=client, symbol="SAMPLE1"), list_findings.sync(client=client)
    forecasts = list_forecasts.sync(client=client, scored=False)
    assert isinstance(symbols, PaginatedSymbolList)
    assert isinstance(versions, PaginatedVersionList)
    assert isinstance(trainings, PaginatedTrainingList)
    assert isinstance(findings, PaginatedFindingList)
    assert isinstance(forecasts, PaginatedForecastList)
    (version,), (training,), (forecast,) = versions.results, trainings.results, forecasts.results
    assert version.id == version_id == training.version_id == forecast.version_id
    assert get_symbol.sync(symbols.results[0].symbol, client=client) == symbols.results[0]
    chart = get_chart.sync(forecast.symbol, client=client, sessions=2)
    assert not isinstance(chart, Error | None)
    assert (len(chart.closes), len(chart.next_)) == (2, 1)
    assert get_version.sync(version_id, client=client) == version
    assert get_training.sync(training.id, client=client) == training
    assert get_finding.sync(findings.results[0].id, client=client) == findings.results[0]
    detail = get_forecast.sync(forecast.id, client=client)
    assert not isinstance(detail, Error | None)
    assert (detail.quantiles.to_dict(), detail.scores) == (forecast.quantiles.to_dict(), [])


def work_of_staff(staff: AuthenticatedClient, *, version_id: int) -> None:
    """A retraining that is cancelled, and an activation."""
    requested = retrain.sync(client=Client(base_url=str(staff.get_httpx_client().base_url)), body=SymbolRequest(symbol="SAMPLE1"))
    assert isinstance(requested, RetrainAnswer)
    cancelled = cancel_training.sync(requested.training.id, client=staff)
    assert isinstance(cancelled, Training)
    assert cancelled.state.value == "cancelled"
    activated = activate_version.sync(version_id, client=staff)
    assert isinstance(activated, Version)


def webhooks(staff: AuthenticatedClient) -> None:
    """One is added, read and removed."""
    made = create_webhook.sync(
        client=staff, body=WebhookRequest(url="https://example.org/hook", events=[EventsEnum.TRAINING_ENDED])
    )
    assert isinstance(made, NewWebhook)
    listed = list_webhooks.sync(client=staff)
    assert isinstance(listed, PaginatedWebhookList)
    assert listed.results == [get_webhook.sync(made.id, client=staff)]
    assert delete_webhook.sync(made.id, client=staff) is None


def errors(client: Client) -> None:
    """A refusal has its reasons by field."""
    refused = list_forecasts.sync(client=client, page_size=0)
    assert isinstance(refused, Error)
    assert list(refused.details.to_dict()) == ["page_size"]


main(*sys.argv[1:])
