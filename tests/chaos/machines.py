"""Machines that share nothing but the database and a bucket of models."""

import http.client
import shutil

from tests.chaos.processes import kill
from tests.chaos.site import TICKERS, Site
from tests.running import process_ids
from tests.s3_server import s3_server

SERVED_SECONDS = 20.0  # of a machine that has none of the models yet


def lost_machine(site: Site, count: int) -> None:
    """Case 16: one of two machines is lost with its disk while both train; the other one serves its models and goes on."""
    tickers = list(TICKERS[:count])

    def folder(name: str) -> dict[str, str]:
        return {"MODEL_STORAGE": "s3://models/stockpred", "MEDIA_ROOT": str(site.folder / f"media of {name}")}

    with s3_server() as server, site.worker("one", **folder("one")), site.worker("two", **folder("two")):
        for name in ("one", "two"):
            site.until_clusters_run(name=name)
        site.request(tickers)
        published = site.folder / "media of one" / "models"
        site.within(60, "the first machine has published", lambda: published.exists() and any(published.iterdir()))
        for pid in process_ids(site.folder / "one"):
            kill(pid)
        shutil.rmtree(published)
        site.settle()
        with site.web("third", **folder("three")) as web:

            def serves() -> bool:
                status, _, answer = web.ask("POST", "/models/predict", symbols=tickers)
                predictions = answer["predictions"].values() if status == http.client.OK else []
                return bool(predictions) and all(each.get("model", {}).get("kind") == "symbol" for each in predictions)

            site.within(SERVED_SECONDS, "a third machine serves all models", serves)
        site.bucket = {key.removeprefix("stockpred/"): server.content(key) for key in server.paths()}
