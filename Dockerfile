# `make images` writes the digests of this image and of those in the compose files.
FROM python:3.12-slim
RUN useradd --create-home stockpred && mkdir -p /srv/stockpred/media /srv/stockpred/logs && chown -R stockpred /srv/stockpred
WORKDIR /srv/stockpred
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY manage.py README.md ./
COPY docs/*.md docs/
COPY stockpred stockpred
COPY forecasting forecasting
USER stockpred
# All that is written goes to the volumes and to /tmp: the rest may be read-only.
ENV HOST=0.0.0.0 DEBUG=False STATE_DIR=/tmp/state HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
CMD ["python", "manage.py", "web"]
