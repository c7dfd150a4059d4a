"""An S3-compatible server on this machine: moto's, over HTTP."""

import logging
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "models"
KEYS = {"AWS_ACCESS_KEY_ID": "of a test", "AWS_SECRET_ACCESS_KEY": "of a test", "AWS_DEFAULT_REGION": "us-east-1"}


class S3Server:
    """A running server with an empty bucket."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._port = 0
        self.start()
        self.environment = KEYS | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._port}"}
        urllib.request.urlopen(f"http://127.0.0.1:{self._port}/moto-api/reset", data=b"").close()
        self.client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=KEYS["AWS_DEFAULT_REGION"],
        )
        self.client.create_bucket(Bucket=BUCKET)

    def paths(self) -> set[str]:
        """The paths of all files."""
        return {each["Key"] for each in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())}

    def content(self, key: str) -> bytes:
        """The bytes of a file."""
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        """Writes a file."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def remove(self, key: str) -> None:
        """Deletes a file."""
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def start(self) -> None:
        """Answers again, at the same address, with the files of before."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        _, self._port = self._server.get_host_and_port()

    def stop(self) -> None:
        """From now on nobody answers."""
        self._server.stop()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server for the block, which this process and those that it starts find by their environment."""
    server = S3Server()
    before = {name: os.environ.get(name) for name in server.environment}
    os.environ.update(server.environment)
    try:
        yield server
    finally:
        server.stop()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
